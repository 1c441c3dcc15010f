//! TLS on the one port, with the clients that people use; certificates that change while the server runs.
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gyre_server::{Front, ServeError, Server, Tls, TlsFiles};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::support::{Scene, good};

/// How long it is waited for what comes by itself.
const PATIENCE: Duration = Duration::from_secs(20);

/// An authority, and a folder with its certificate and those that it has given.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: PathBuf,
}

impl Authority {
    fn new(dir: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let dir = dir.join(name);
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(dir.join("authority.pem"), issuer.pem()).unwrap();
        Self { issuer, dir }
    }

    fn file(&self) -> PathBuf {
        self.dir.join("authority.pem")
    }

    /// Writes a certificate for localhost, and its key.
    fn give(&self, certificate: &Path, key: &Path) {
        let pair = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        std::fs::write(certificate, params.signed_by(&pair, &self.issuer).unwrap().pem()).unwrap();
        std::fs::write(key, pair.serialize_pem()).unwrap();
    }

    /// What a client has that believes it, and shows a certificate by `us`.
    fn client(&self, us: Option<&Authority>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_root_certificates(roots);
        Arc::new(match us {
            None => config.with_no_client_auth(),
            Some(us) => {
                let (certificate, key) = (us.dir.join("client.pem"), us.dir.join("client.key"));
                us.give(&certificate, &key);
                let chain = vec![CertificateDer::from_pem_file(certificate).unwrap()];
                config.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(key).unwrap()).unwrap()
            }
        })
    }
}

/// Asks whether the server is ready: the first line of the answer.
fn ask(address: SocketAddr, config: &Arc<ClientConfig>) -> std::io::Result<String> {
    let connection = ClientConnection::new(Arc::clone(config), "localhost".try_into().unwrap()).unwrap();
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut stream = StreamOwned::new(connection, stream);
    stream.write_all(b"GET /v2/health/ready HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.lines().next().unwrap_or_default().to_owned())
}

fn files(dir: &Path) -> TlsFiles {
    TlsFiles { certificate: dir.join("server.pem"), key: dir.join("server.key"), clients: None }
}

fn front(files: TlsFiles) -> Front {
    Front { tls: Some(Arc::new(Tls::load(files).unwrap())), ..Front::default() }
}

fn python(variable: &str, scene: &Scene, authority: &Authority) -> String {
    let folder = std::env::var(variable)
        .unwrap_or_else(|_| panic!("{variable} is not set: run the tests through `cargo xtask test`"));
    let script = format!("{}/tests/tls_client.py", env!("CARGO_MANIFEST_DIR"));
    let (port, file) = (scene.address.port().to_string(), authority.file());
    let output =
        Command::new(format!("{folder}/bin/python")).arg(script).arg(port).arg(file).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn the_clients_of_all_protocols_come_over_tls_on_one_port() {
    let dir = tempfile::tempdir().unwrap();
    let (authority, files) = (Authority::new(dir.path(), "ours"), files(dir.path()));
    authority.give(&files.certificate, &files.key);
    let scene = Scene::behind(front(files), |_| ()).with_models();
    let told = python("GYRE_TEST_VENV_CLIENTS", &scene, &authority);
    // MLflow says where its pages would be.
    let passed: Vec<&str> = told.lines().filter(|line| !line.contains(" at: ")).collect();
    let expected = [
        "triton-http",
        "triton-grpc",
        "requests",
        "requests without the authority is refused",
        "plain text is told",
        "mlflow",
    ];
    assert_eq!(passed, expected);
}

#[test]
fn a_renewed_certificate_holds_without_a_restart_and_a_wrong_one_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (Authority::new(dir.path(), "old"), Authority::new(dir.path(), "new"));
    let files = files(dir.path());
    old.give(&files.certificate, &files.key);
    let scene = Scene::behind(front(files.clone()), |_| ());
    let (believes_old, believes_new) = (old.client(None), new.client(None));
    assert_eq!(ask(scene.address, &believes_old).unwrap(), "HTTP/1.1 200 OK");
    assert!(ask(scene.address, &believes_new).is_err());

    new.give(&files.certificate, &files.key);
    let begun = Instant::now();
    while ask(scene.address, &believes_new).is_err() {
        assert!(begun.elapsed() < PATIENCE, "the new certificate is not taken");
    }
    assert!(ask(scene.address, &believes_old).is_err());
    // One that is only half there, and then another pair: the second look has passed over the first.
    std::fs::write(&files.certificate, "-----BEGIN CERTIFICATE-----\nMII").unwrap();
    for _ in 0..3 {
        assert_eq!(ask(scene.address, &believes_new).unwrap(), "HTTP/1.1 200 OK");
    }
    old.give(&files.certificate, &files.key);
    let begun = Instant::now();
    while ask(scene.address, &believes_old).is_err() {
        assert!(begun.elapsed() < PATIENCE, "after a wrong one the next right one is taken");
    }
}

#[test]
fn where_clients_need_a_certificate_nobody_else_says_a_word() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, others) = (Authority::new(dir.path(), "ours"), Authority::new(dir.path(), "others"));
    let files = TlsFiles { clients: Some(ours.file()), ..files(dir.path()) };
    ours.give(&files.certificate, &files.key);
    let scene = Scene::behind(front(files), |_| ());
    assert_eq!(ask(scene.address, &ours.client(Some(&ours))).unwrap(), "HTTP/1.1 200 OK");
    assert!(ask(scene.address, &ours.client(None)).is_err());
    assert!(ask(scene.address, &ours.client(Some(&others))).is_err());
}

#[test]
fn an_address_that_others_reach_may_be_listened_on_with_tls() {
    let dir = tempfile::tempdir().unwrap();
    let (authority, files) = (Authority::new(dir.path(), "ours"), files(dir.path()));
    authority.give(&files.certificate, &files.key);
    let open: SocketAddr = "0.0.0.0:0".parse().unwrap();
    assert!(matches!(Server::bind(open), Err(ServeError::Exposed(_))));
    let front = front(files);
    assert!(front.asks(open), "who comes from elsewhere logs in");
    assert!(Server::bind_as(open, front).is_ok());
}

#[test]
fn many_silent_handshakes_keep_nobody_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let (authority, files) = (Authority::new(dir.path(), "ours"), files(dir.path()));
    authority.give(&files.certificate, &files.key);
    let scene = Scene::behind(front(files), |_| ()).with_models();
    // They have opened a connection, and half of them have said that they begin a handshake.
    let silent: Vec<TcpStream> = (0..100)
        .map(|at| {
            let mut stream = TcpStream::connect(scene.address).unwrap();
            if at % 2 == 0 {
                stream.write_all(&[22, 3, 1]).unwrap();
            }
            stream
        })
        .collect();
    let begun = Instant::now();
    assert_eq!(ask(scene.address, &authority.client(None)).unwrap(), "HTTP/1.1 200 OK");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    drop(silent);
    let told = scene.connect().send("POST", "/v2/models/demand/infer", &[], good("x").as_bytes());
    assert_eq!(told.status, 400, "what is in plain text is not answered: {}", told.body);
}

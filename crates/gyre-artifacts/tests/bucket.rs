//! Artifacts in a bucket, against a server that speaks S3's protocol (moto).
//!
//! Credentials and endpoint come from the environment, as for users; so each test runs itself once more in a process whose
//! environment says them.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use gyre_artifacts::{ArtifactError, ArtifactPath, Artifacts, Location, ROOM, index};
use gyre_core::time::SystemClock;
use gyre_core::{Clock, Digest, Span, Timestamp};
use gyre_store::{Room, Store, StoreError};

static ROOMS: [&Room; 1] = [&ROOM];

/// The server's port: set for the process that talks to it.
const PORT: &str = "GYRE_TEST_S3_PORT";

/// A running moto, stopped when it is dropped.
struct Moto(Child, u16);

impl Moto {
    fn start() -> Self {
        let python = std::env::var_os("GYRE_PYTHON").expect(
            "GYRE_PYTHON is not set; run cargo xtask test, which makes an environment with moto (or set it to a Python \
             that has it: pip install 'moto[server]==5.2.5')",
        );
        let mut command = Command::new(python);
        command.args(["-u", "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]);
        let mut child =
            command.stdin(Stdio::null()).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut told = String::new();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let port = loop {
            let line = lines.next().unwrap_or_else(|| panic!("moto did not start: {told}")).unwrap();
            if let Some((_, port)) = line.split_once("http://127.0.0.1:") {
                break port.trim().trim_end_matches('/').parse().unwrap();
            }
            told.push_str(&line);
        };
        // What it says later must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self(child, port)
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Runs the test `inner` with moto's address in its environment.
fn against_moto(inner: &str) {
    let moto = Moto::start();
    let inside = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", inner, "--ignored", "--nocapture"])
        .env(PORT, moto.1.to_string())
        .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", moto.1))
        .env("AWS_ACCESS_KEY_ID", "key")
        .env("AWS_SECRET_ACCESS_KEY", "a-secret-key")
        .env("AWS_REGION", "us-east-1")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&inside.stdout) + String::from_utf8_lossy(&inside.stderr);
    assert!(inside.status.success() && told.contains("1 passed"), "{told}");
    assert!(!told.contains("a-secret-key"), "{told}");
}

/// A request to moto, without any client's help; the answer's status and body.
fn raw(method: &str, path: &str) -> (u16, Vec<u8>) {
    let port = std::env::var(PORT).unwrap();
    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    write!(stream, "{method} {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 0\r\n\r\n")
        .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let head = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let status = String::from_utf8_lossy(&answer[9..12]).parse().unwrap();
    (status, answer[head + 4..].to_vec())
}

fn open(dir: &Path, place: &str) -> (Arc<Store>, Result<Artifacts, ArtifactError>, tokio::runtime::Runtime) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let clock = Arc::new(SystemClock) as Arc<dyn Clock>;
    let store = Arc::new(Store::open(dir, &ROOMS, Arc::clone(&clock)).unwrap());
    let location: Location = place.parse().unwrap();
    let artifacts = Artifacts::at(Arc::clone(&store), clock, &location, runtime.handle().clone());
    (store, artifacts, runtime)
}

fn path(text: &str) -> ArtifactPath {
    ArtifactPath::from_field(text).unwrap()
}

fn get(store: &Store, artifacts: &Artifacts, at: &str, from: u64, to: u64) -> Result<Vec<u8>, ArtifactError> {
    let file = store.read(|tx| index::file(tx, &path(at)))?;
    let mut download = artifacts.open(&file, from, to)?;
    let mut bytes = Vec::new();
    while let Some(chunk) = download.next_chunk()? {
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

#[test]
fn a_bucket_holds_artifacts() {
    against_moto("in_a_bucket");
}

#[test]
#[ignore = "needs moto; started by a_bucket_holds_artifacts"]
fn in_a_bucket() {
    assert_eq!(raw("PUT", "/models").0, 200);
    let dir = tempfile::tempdir().unwrap();
    let (store, artifacts, _runtime) = open(dir.path(), "s3://models/team/a");
    let artifacts = artifacts.unwrap();
    // Three parts of 8 MiB, the last one short.
    let large: Vec<u8> = (0..20_000_000_u32).map(|number| (number % 251) as u8).collect();
    artifacts.put(&path("1/r/large"), &large).unwrap();
    artifacts.put(&path("1/r/copy of it"), &large).unwrap();
    artifacts.put(&path("1/r/small"), b"small").unwrap();
    artifacts.put(&path("1/r/empty"), b"").unwrap();
    let key = |bytes: &[u8]| {
        let hex = Digest::of(bytes).to_hex();
        format!("/models/team/a/{}/{}", &hex[..2], &hex[2..])
    };
    assert!(raw("GET", &key(&large)).1 == large, "anybody with the keys reads the bucket");
    assert!(get(&store, &artifacts, "1/r/copy of it", 0, u64::MAX).unwrap() == large);
    assert_eq!(
        get(&store, &artifacts, "1/r/large", 8_388_600, 8_388_620).unwrap(),
        &large[8_388_600..8_388_620]
    );
    assert_eq!(get(&store, &artifacts, "1/r/empty", 0, 0).unwrap(), b"");
    let incoming = dir.path().join("artifacts/incoming");
    assert_eq!(std::fs::read_dir(incoming).unwrap().count(), 0, "nothing stays on this disk");

    let file = store.read(|tx| index::file(tx, &path("1/r/small"))).unwrap();
    let signed = artifacts.sign(&file).unwrap();
    let (_, query) = signed.split_once("127.0.0.1").unwrap().1.split_once('/').unwrap();
    assert_eq!(raw("GET", &format!("/{query}")), (200, b"small".to_vec()));

    // Somebody else with the keys deletes it.
    let port = std::env::var(PORT).unwrap();
    let delete = "import boto3, sys; bucket, key = sys.argv[2].strip('/').split('/', 1); \
                  boto3.client('s3', endpoint_url=sys.argv[1]).delete_object(Bucket=bucket, Key=key)";
    let mut python = Command::new(std::env::var_os("GYRE_PYTHON").unwrap());
    python.args(["-c", delete, &format!("http://127.0.0.1:{port}"), &key(b"small")]);
    assert!(python.status().unwrap().success());
    let lost = get(&store, &artifacts, "1/r/small", 0, 5).unwrap_err();
    assert!(matches!(lost, ArtifactError::Damaged(_)), "{lost}");
    artifacts.put(&path("1/r/small"), b"small").unwrap();
    assert_eq!(get(&store, &artifacts, "1/r/small", 0, 5).unwrap(), b"small");

    let now = Timestamp::from_millis(i64::MAX);
    store.write(move |tx| index::remove(tx, &path("1/r/large"), now)).unwrap();
    store.write(move |tx| index::remove(tx, &path("1/r/small"), Timestamp::from_millis(0))).unwrap();
    assert_eq!(artifacts.collect(now, Span::from_millis(0)).unwrap().blobs, 1);
    assert_eq!(raw("GET", &key(b"small")).0, 404);
    assert!(get(&store, &artifacts, "1/r/copy of it", 0, u64::MAX).unwrap() == large);
}

#[test]
fn a_place_belongs_to_one_store() {
    against_moto("of_one_store");
}

#[test]
#[ignore = "needs moto; started by a_place_belongs_to_one_store"]
fn of_one_store() {
    assert_eq!(raw("PUT", "/models").0, 200);
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let folder = format!("file://{}", tempfile::tempdir().unwrap().path().display());
    for place in ["s3://models", folder.as_str()] {
        drop(open(one.path(), place).1.unwrap());
        drop(open(one.path(), place).1.unwrap());
        let refused = open(two.path(), place).1.err().unwrap();
        assert!(matches!(refused, ArtifactError::Store(StoreError::Conflict(_))), "{refused}");
        assert!(refused.to_string().contains("belong to another store"), "{refused}");
    }
    let missing = open(one.path(), "s3://nowhere").1.err().unwrap().to_string();
    assert!(missing.contains("the object storage failed to write to"), "{missing}");
}

#[test]
fn a_storage_elsewhere_must_speak_tls() {
    let refused = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "elsewhere_in_plain_text", "--ignored", "--nocapture"])
        .env("AWS_ENDPOINT_URL", "http://192.0.2.1:9000")
        .env("AWS_ALLOW_HTTP", "true")
        .env("AWS_ACCESS_KEY_ID", "key")
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&refused.stdout) + String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.success() && told.contains("1 passed"), "{told}");
}

#[test]
#[ignore = "needs an environment; started by a_storage_elsewhere_must_speak_tls"]
fn elsewhere_in_plain_text() {
    let dir = tempfile::tempdir().unwrap();
    let refused = open(dir.path(), "s3://models").1.err().unwrap().to_string();
    assert!(refused.contains("object storage"), "{refused}");
}

//! The connection to a server: in plain text or by TLS, and whom it is believed to be.
//!
//! A server of this machine has told its certificate's fingerprint in a file that only its user writes, so that certificate
//! is believed and no other, whatever names it bears. A server elsewhere must have a certificate for its name by an
//! authority of the system, or by one that is given.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use gyre_core::Digest;
use hyper::Uri;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// The variables that name the files of our own certificate and its key, for a server that wants to see one.
const CERTIFICATE: &str = "GYRE_CLIENT_CERT";
const KEY: &str = "GYRE_CLIENT_KEY";

/// Whom to believe to be the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Whoever has this certificate.
    Pinned(Digest),
    /// Whoever has a certificate for the host's name by the system's authorities, or those of the file.
    Authorities(Option<PathBuf>),
}

/// A stream of bytes, encrypted or not.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Connects to the host of `url`.
///
/// # Errors
/// Why there is no connection, in words.
pub(crate) async fn dial(url: &Uri, trust: &Trust) -> Result<Box<dyn Stream>, String> {
    let https = url.scheme_str() == Some("https");
    let host = url.host().ok_or("its address names no host")?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let port = url.port_u16().unwrap_or(if https { 443 } else { 80 });
    let connected = TcpStream::connect((host, port)).await;
    let stream = connected.map_err(|error| error.to_string())?;
    if !https {
        return Ok(Box::new(stream));
    }
    let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
    let connector = TlsConnector::from(Arc::new(config(trust)?));
    let stream = connector.connect(name, stream).await.map_err(|error| explained(&error, trust))?;
    Ok(Box::new(stream))
}

fn explained(error: &std::io::Error, trust: &Trust) -> String {
    let source = error.get_ref().and_then(|source| source.downcast_ref::<Error>());
    match (source, trust) {
        (Some(Error::InvalidCertificate(_)), Trust::Pinned(_)) => {
            "another than the server of this project answers there, or its certificate has just changed"
                .to_owned()
        }
        (Some(Error::InvalidCertificate(CertificateError::UnknownIssuer)), _) => format!(
            "its certificate is by an authority that is not known here; name the authority's certificate with --ca or \
             GYRE_CA: {error}"
        ),
        (Some(Error::AlertReceived(_)), _) => {
            format!("{error}; if it asks for certificates of clients: name ours in {CERTIFICATE} and {KEY}")
        }
        _ => error.to_string(),
    }
}

fn config(trust: &Trust) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let algorithms = provider.signature_verification_algorithms;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match trust {
        Trust::Pinned(fingerprint) => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Pinned { fingerprint: *fingerprint, algorithms })),
        Trust::Authorities(file) => builder.with_root_certificates(roots(file.as_deref())?),
    };
    let named = |variable| std::env::var_os(variable).map(PathBuf::from);
    match (named(CERTIFICATE), named(KEY)) {
        (None, None) => Ok(builder.with_no_client_auth()),
        (Some(certificate), Some(key)) => {
            let bytes = read(&key)?;
            let key = PrivateKeyDer::from_pem_slice(&bytes)
                .map_err(|error| format!("{} holds no private key in PEM: {error}", key.display()))?;
            let chain = certificates(&certificate)?;
            builder.with_client_auth_cert(chain, key).map_err(|error| error.to_string())
        }
        _ => Err(format!("{CERTIFICATE} and {KEY} go together: one of them is not set")),
    }
}

fn roots(file: Option<&Path>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(file) = file {
        for certificate in certificates(file)? {
            roots.add(certificate).map_err(|error| format!("{}: {error}", file.display()))?;
        }
    }
    Ok(roots)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = CertificateDer::pem_slice_iter(&read(path)?).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|error| format!("{} holds no certificates in PEM: {error}", path.display()))?;
    if found.is_empty() { Err(format!("{} holds no certificate in PEM", path.display())) } else { Ok(found) }
}

/// Believes one certificate.
#[derive(Debug)]
struct Pinned {
    fingerprint: Digest,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if Digest::of(end_entity) == self.fingerprint {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

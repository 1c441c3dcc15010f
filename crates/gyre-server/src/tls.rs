//! TLS: the server's certificate, and which clients may connect at all.
//!
//! Certificates live for weeks, a server for months: the files are looked at again and again, and a changed certificate
//! holds for the next connection. One that does not fit together (half-written, the key of another) is refused and said
//! once; what was in force goes on. Versions 1.2 and 1.3, by rustls; HTTP/2 and HTTP/1.1 are offered by ALPN, so that gRPC
//! needs no port of its own.

mod expiry;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use gyre_core::Digest;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

pub(crate) use expiry::Expiry;
use expiry::Validity;

/// The largest file that is read, in bytes: a chain of certificates has a few thousand.
const LARGEST: u64 = 1 << 20;

/// Where certificate and key are, as PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate, followed by those of the authorities in between.
    pub certificate: PathBuf,
    /// Its private key: PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
    /// The authorities whose certificates clients must have; without them clients need none.
    pub clients: Option<PathBuf>,
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{} cannot be read: {error}", .path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// A file holds something else.
    #[error("{}: found {found}, expected {expected}", .path.display())]
    Content {
        /// Which.
        path: PathBuf,
        /// What is in it.
        found: String,
        /// What should be.
        expected: &'static str,
    },
    /// The two do not belong together, or are of a kind that is not spoken.
    #[error(
        "the certificate {} and the key {} cannot be used together: {reason}; give the key that the certificate was \
         issued for",
        .certificate.display(), .key.display()
    )]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// What a look at the files gave.
#[derive(Debug)]
pub enum Renewal {
    /// They are as they were, or as wrong as they were when that was said.
    Same,
    /// Another certificate is in force, with this fingerprint.
    Renewed(Digest),
    /// They have changed and cannot be used; what was in force goes on.
    Refused(TlsError),
}

/// The certificate that is in force.
#[derive(Debug)]
pub struct Tls {
    files: TlsFiles,
    force: ArcSwap<Force>,
    /// The digest of the files' contents when they were last looked at; held while they are.
    seen: Mutex<Digest>,
}

#[derive(Debug)]
struct Force {
    config: Arc<ServerConfig>,
    fingerprint: Digest,
    validity: Option<Validity>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`] names the file and what is wrong with it.
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let contents = Contents::read(&files)?;
        let force = ArcSwap::from_pointee(contents.force(&files)?);
        Ok(Self { files, force, seen: Mutex::new(contents.digest()) })
    }

    /// Looks whether the files have changed, and takes what they say now.
    pub fn renew(&self) -> Renewal {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let contents = match Contents::read(&self.files) {
            Ok(contents) => contents,
            Err(error) => {
                // Said once for as long as it lasts.
                let told = Digest::of(error.to_string().as_bytes());
                let again = std::mem::replace(&mut *seen, told) == told;
                return if again { Renewal::Same } else { Renewal::Refused(error) };
            }
        };
        let digest = contents.digest();
        if std::mem::replace(&mut *seen, digest) == digest {
            return Renewal::Same;
        }
        match contents.force(&self.files) {
            Ok(force) => {
                let fingerprint = force.fingerprint;
                let same = self.force.load().fingerprint == fingerprint;
                // The authorities of clients may have changed although the certificate has not.
                self.force.store(Arc::new(force));
                if same && self.files.clients.is_none() {
                    Renewal::Same
                } else {
                    Renewal::Renewed(fingerprint)
                }
            }
            Err(error) => Renewal::Refused(error),
        }
    }

    /// The SHA-256 of the certificate (DER) that is in force.
    pub fn fingerprint(&self) -> Digest {
        self.force.load().fingerprint
    }

    /// Until when the certificate that is in force holds; none when it does not say.
    pub fn holds_until(&self) -> Option<SystemTime> {
        self.force.load().validity.map(|validity| validity.until)
    }

    /// What is to be said of its end at `now`.
    pub(crate) fn expiry(&self, now: SystemTime) -> Expiry {
        self.force.load().validity.map_or(Expiry::Far, |validity| validity.expiry(now))
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.force.load().config)
    }
}

/// What the files hold.
struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
    clients: Option<Vec<u8>>,
}

impl Contents {
    fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let clients = files.clients.as_deref().map(read).transpose()?;
        Ok(Self { certificate: read(&files.certificate)?, key: read(&files.key)?, clients })
    }

    fn digest(&self) -> Digest {
        let parts = [Some(&self.certificate), Some(&self.key), self.clients.as_ref()];
        let each = parts.map(|part| part.map_or_else(String::new, |part| Digest::of(part).to_string()));
        Digest::of(each.join("\n").as_bytes())
    }

    fn force(&self, files: &TlsFiles) -> Result<Force, TlsError> {
        let chain = certificates(&files.certificate, &self.certificate)?;
        let fingerprint = chain.first().map_or_else(|| Digest::of(&[]), |leaf| Digest::of(leaf));
        let validity = chain.first().and_then(Validity::of);
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|error| TlsError::Content {
            path: files.key.clone(),
            found: format!("no private key ({error})"),
            expected: "a private key in PEM, without a passphrase (`-----BEGIN PRIVATE KEY-----`)",
        })?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let pair = |reason: String| TlsError::Pair {
            certificate: files.certificate.clone(),
            key: files.key.clone(),
            reason,
        };
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| pair(error.to_string()))?;
        let builder = match (&files.clients, &self.clients) {
            (Some(path), Some(pem)) => builder.with_client_cert_verifier(verifier(path, pem, provider)?),
            _ => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, key).map_err(|error| pair(error.to_string()))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Force { config: Arc::new(config), fingerprint, validity })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    use io::Read as _;
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path);
    file.and_then(|file| file.take(LARGEST).read_to_end(&mut bytes))
        .map_err(|error| TlsError::Unreadable { path: path.to_owned(), error })?;
    Ok(bytes)
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |found: String| TlsError::Content {
        path: path.to_owned(),
        found,
        expected: "certificates in PEM (`-----BEGIN CERTIFICATE-----`)",
    };
    let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|error| wrong(error.to_string()))?;
    if found.is_empty() { Err(wrong("no certificate".to_owned())) } else { Ok(found) }
}

fn verifier(
    path: &Path,
    pem: &[u8],
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, TlsError> {
    let wrong = |found: String| TlsError::Content {
        path: path.to_owned(),
        found,
        expected: "the certificates of authorities",
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, pem)? {
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
    verifier.map_err(|error| wrong(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(files: &TlsFiles, certificate: &str, key: &str) {
        std::fs::write(&files.certificate, certificate).unwrap();
        std::fs::write(&files.key, key).unwrap();
    }

    fn made() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn a_changed_pair_is_taken_and_a_wrong_one_is_refused_once() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let files = TlsFiles { certificate: at("cert.pem"), key: at("key.pem"), clients: None };
        let missing = Tls::load(files.clone()).unwrap_err().to_string();
        assert!(missing.contains("cert.pem cannot be read"), "{missing}");
        let (first, second) = (made(), made());
        write(&files, &first.0, &first.1);
        let tls = Tls::load(files.clone()).unwrap();
        let before = tls.fingerprint();
        assert!(matches!(tls.renew(), Renewal::Same));

        let wrong = [
            (second.0.as_str(), first.1.as_str(), "cannot be used together"),
            ("nothing", first.1.as_str(), "no certificate"),
            (first.0.as_str(), first.0.as_str(), "no private key"),
        ];
        for (certificate, key, told) in wrong {
            write(&files, certificate, key);
            let Renewal::Refused(error) = tls.renew() else { panic!("it was taken: {told}") };
            assert!(error.to_string().contains(told), "{error}");
            assert!(matches!(tls.renew(), Renewal::Same), "what was said is not said again");
            assert_eq!(tls.fingerprint(), before);
        }
        std::fs::remove_file(&files.key).unwrap();
        assert!(matches!(tls.renew(), Renewal::Refused(TlsError::Unreadable { .. })));
        assert!(matches!(tls.renew(), Renewal::Same));

        write(&files, &second.0, &second.1);
        assert!(
            matches!(tls.renew(), Renewal::Renewed(print) if print == tls.fingerprint() && print != before)
        );
    }
}

//! How a connection to a model's server is made: a Unix socket, a port of this machine, or a URL elsewhere.
//!
//! A URL comes from a user, so it must pass the [`Door`] that every request outwards passes: the name is resolved once,
//! every address of it must be permitted, and the connection is made to what was checked. No proxy is taken from the
//! environment.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Uri;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::error::BackendError;

/// Says whether a URL may be asked at one of the addresses that its host has, and if not, why, with the remedy.
type Permit = dyn Fn(&Uri, IpAddr) -> Result<(), String> + Send + Sync;

/// The one door outwards: what may be asked, at which addresses. It is made of `gyre_access::egress::Egress::permit`; this
/// room does not know users and their rules.
#[derive(Clone)]
pub struct Door(Arc<Permit>);

impl Door {
    /// A door that opens where `permit` says so. It is asked for each address of each new connection.
    pub fn new(permit: impl Fn(&Uri, IpAddr) -> Result<(), String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(permit))
    }

    fn permit(&self, uri: &Uri, address: IpAddr) -> Result<(), Shut> {
        (self.0)(uri, address).map_err(Shut)
    }
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Door")
    }
}

/// What the door said to an address, on its way through the errors of others.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Shut(pub(crate) String);

/// Where the server is.
#[derive(Clone)]
pub(crate) enum Dialer {
    /// A Unix socket.
    Socket(Arc<Path>),
    /// A port of this machine.
    Local(SocketAddr),
    /// Elsewhere.
    Remote(Arc<Remote>),
}

/// A host that is not this machine's, or at least is not ours to know.
pub(crate) struct Remote {
    uri: Uri,
    host: String,
    port: u16,
    door: Door,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Remote {
    /// The host of `url`, as far as `door` lets us near it. Certificates are checked against the system's authorities and
    /// `roots` (DER).
    pub(crate) fn new(uri: &Uri, door: Door, roots: &[Vec<u8>]) -> Result<Self, BackendError> {
        let wrong = |problem: &str| BackendError::Spec(format!("the URL {problem}"));
        let https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(wrong("must begin with https:// or http://")),
        };
        let authority = uri.authority().ok_or_else(|| wrong("names no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("must not hold a user or password; give a header"));
        }
        let host = authority.host();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).to_owned();
        // What is known now need not wait for the first request.
        if let Ok(address) = host.parse() {
            door.permit(uri, address).map_err(|Shut(why)| BackendError::Forbidden(why))?;
        }
        let tls = match https {
            false => None,
            true => {
                let name = ServerName::try_from(host.trim_end_matches('.').to_owned());
                Some((
                    connector(roots)?,
                    name.map_err(|_| wrong("has a host that no certificate could name"))?,
                ))
            }
        };
        let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
        Ok(Self { uri: uri.clone(), host, port, door, tls })
    }

    async fn dial(&self) -> io::Result<Stream> {
        let addresses: Vec<SocketAddr> =
            tokio::net::lookup_host((self.host.as_str(), self.port)).await?.collect();
        for address in &addresses {
            self.door.permit(&self.uri, address.ip()).map_err(io::Error::other)?;
        }
        let mut refused = io::Error::new(io::ErrorKind::NotFound, "its name has no address");
        for address in addresses {
            match TcpStream::connect(address).await {
                Err(error) => refused = error,
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    return Ok(match &self.tls {
                        None => Stream::Tcp(stream),
                        Some((tls, name)) => Stream::Tls(Box::new(tls.connect(name.clone(), stream).await?)),
                    });
                }
            }
        }
        Err(refused)
    }
}

fn connector(roots: &[Vec<u8>]) -> Result<TlsConnector, BackendError> {
    let mut trusted = RootCertStore::empty();
    trusted.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    trusted.add_parsable_certificates(roots.iter().map(|der| CertificateDer::from(der.clone())));
    if trusted.is_empty() {
        return Err(BackendError::Spec(
            "no trusted certificates were found, so no https server can be told from an impostor: install the package \
             ca-certificates, or set SSL_CERT_FILE"
                .into(),
        ));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| BackendError::Spec(format!("TLS cannot be set up: {error}")))?
        .with_root_certificates(trusted)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

impl Dialer {
    /// A new connection.
    pub(crate) async fn dial(&self) -> io::Result<Stream> {
        match self {
            Self::Socket(path) => Ok(Stream::Unix(UnixStream::connect(path).await?)),
            Self::Local(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }
            Self::Remote(remote) => remote.dial().await,
        }
    }
}

/// A connection.
pub(crate) enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Does the same with whatever kind of stream it is.
macro_rules! with {
    ($self:expr, $stream:ident => $do:expr) => {
        match $self.get_mut() {
            Stream::Unix($stream) => $do,
            Stream::Tcp($stream) => $do,
            Stream::Tls($stream) => $do,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        with!(self, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        with!(self, stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        with!(self, stream => Pin::new(stream).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Unix(stream) => stream.is_write_vectored(),
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        with!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        with!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}

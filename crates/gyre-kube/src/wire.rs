//! Requests to an API server: a connection each, over TLS, with a deadline and an answer of bounded size.
//!
//! A handful of requests a minute needs no pool. A watch holds its connection for as long as it lasts.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderValue, Method, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::access::{Access, Credentials, bytes};
use crate::error::{AccessError, ApiError};

/// How long the API server may take to answer.
pub(crate) const ANSWER: Duration = Duration::from_secs(30);

/// The way to an API server.
pub(crate) struct Wire {
    access: Access,
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

/// A stream, encrypted or not.
trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

struct Stream(Box<dyn Io>);

impl Wire {
    pub(crate) fn new(access: Access) -> Result<Self, AccessError> {
        let wrong = |problem: String| AccessError::Tls(problem);
        let uri = &access.server;
        let host = uri.host().ok_or_else(|| wrong(format!("{uri} names no host")))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(wrong(format!("{uri} must begin with https:// or http://"))),
        };
        let tls = match is_tls {
            false => None,
            true => {
                let name = access.server_name.clone().unwrap_or_else(|| host.clone());
                let name = ServerName::try_from(name).map_err(|error| {
                    wrong(format!("{uri} has a host that no certificate could name: {error}"))
                })?;
                Some((connector(&access)?, name))
            }
        };
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        Ok(Self { host, port, tls, access })
    }

    pub(crate) fn access(&self) -> &Access {
        &self.access
    }

    /// The server's URL, as it is shown.
    pub(crate) fn server(&self) -> String {
        self.access.server.to_string().trim_end_matches('/').to_owned()
    }

    /// Sends a request; returns when the head of the answer is there.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<(&'static str, Vec<u8>)>,
    ) -> Result<Response<Incoming>, ApiError> {
        let unreachable = |why: String| ApiError::Unreachable { server: self.server(), why };
        let request = self.request(method, path, body)?;
        let sending = async {
            let stream = self.dial().await.map_err(|error| unreachable(error.to_string()))?;
            let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
                .await
                .map_err(|error| unreachable(error.to_string()))?;
            // It ends with the body of the answer; what breaks it breaks the answer too, which says so.
            tokio::spawn(async move { drop(connection.await) });
            sender.send_request(request).await.map_err(|error| unreachable(error.to_string()))
        };
        let late = || ApiError::Deadline { server: self.server(), within: ANSWER };
        timeout(ANSWER, sending).await.unwrap_or_else(|_| Err(late()))
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<(&'static str, Vec<u8>)>,
    ) -> Result<Request<Full<Bytes>>, ApiError> {
        let authority = self.access.server.authority().map(http::uri::Authority::as_str).unwrap_or_default();
        let prefix = self.access.server.path().trim_end_matches('/');
        let mut request = Request::builder().method(method).uri(format!("{prefix}{path}"));
        request =
            request.header(HOST, authority).header(ACCEPT, "application/json").header(USER_AGENT, "gyre");
        let token = match &self.access.credentials {
            Credentials::Token(token) => Some(token.clone()),
            Credentials::TokenFile(path) => Some(String::from_utf8_lossy(&bytes(path)?).into_owned()),
            Credentials::Anonymous | Credentials::Certificate { .. } => None,
        };
        if let Some(token) = token {
            let value = HeaderValue::from_str(&format!("Bearer {}", token.trim()));
            let mut value =
                value.map_err(|_| AccessError::Tls("the token is not what a header can hold".into()))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        let mut bytes = Bytes::new();
        if let Some((content_type, body)) = body {
            request = request.header(CONTENT_TYPE, content_type);
            bytes = body.into();
        }
        request.body(Full::new(bytes)).map_err(|error| ApiError::Answer {
            what: format!("the request for {path}"),
            problem: error.to_string(),
        })
    }

    async fn dial(&self) -> io::Result<Stream> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        Ok(Stream(match &self.tls {
            None => Box::new(stream),
            Some((tls, name)) => Box::new(tls.connect(name.clone(), stream).await?),
        }))
    }
}

fn connector(access: &Access) -> Result<TlsConnector, AccessError> {
    let wrong = |problem: String| AccessError::Tls(problem);
    let mut trusted = RootCertStore::empty();
    match &access.authority {
        None => {
            trusted.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.map_err(|error| wrong(format!("the authority: {error}")))?;
                trusted.add(certificate).map_err(|error| wrong(format!("the authority: {error}")))?;
            }
        }
    }
    if trusted.is_empty() {
        return Err(wrong("there is no certificate of an authority that vouches for the server".to_owned()));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(error.to_string()))?
        .with_root_certificates(trusted);
    let config = match &access.credentials {
        Credentials::Certificate { chain, key } => {
            let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
            let chain = chain.map_err(|error| wrong(format!("the client certificate: {error}")))?;
            let key = PrivateKeyDer::from_pem_slice(key)
                .map_err(|error| wrong(format!("the key of the client certificate: {error}")))?;
            let builder = builder.with_client_auth_cert(chain, key);
            builder.map_err(|error| wrong(format!("the client certificate: {error}")))?
        }
        _ => builder.with_no_client_auth(),
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

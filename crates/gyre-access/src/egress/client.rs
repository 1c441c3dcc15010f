//! The connection: resolved once, checked, and made to what was checked.

use std::fmt;
use std::io::Read;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use ureq::config::Config;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Error};

use super::{Rule, is_public};

/// The most of an answer that is read, in bytes.
const LARGEST: u64 = 1 << 20;

/// Why the server did not connect, or got no answer.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// The URL is none that can be asked.
    #[error("`{url}` cannot be asked: {reason}")]
    Url {
        /// The URL, cut short.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Plain HTTP to what is not listed.
    #[error(
        "`{host}` would be asked in plain text: use https, or list the host (--allow-egress {host}) if it is in a network that you trust"
    )]
    Plain {
        /// The host.
        host: String,
    },
    /// An address that is not public, and not listed.
    #[error(
        "`{host}` has the address {address}, which is not on the public Internet: to allow it, list the address or its network (--allow-egress {address})"
    )]
    Forbidden {
        /// The host.
        host: String,
        /// Its address.
        address: IpAddr,
    },
    /// There are no trusted certificates.
    #[error(
        "no trusted certificates were found, so no https server can be told from an impostor: install the package ca-certificates, or set SSL_CERT_FILE"
    )]
    NoRoots,
    /// The answer is longer than is read.
    #[error("the answer of `{host}` is larger than {LARGEST} bytes")]
    TooLarge {
        /// The host.
        host: String,
    },
    /// No answer came.
    #[error("`{host}` does not answer: {reason}")]
    Silent {
        /// The host.
        host: String,
        /// Why not, as far as is known.
        reason: String,
    },
}

/// What the server may connect to, and the way there. Cheap to make; connections are not kept.
pub struct Egress {
    allow: Arc<[Rule]>,
    agent: OnceLock<Agent>,
}

impl Egress {
    /// A door that opens to public `https` addresses, and to what `allow` lists.
    pub fn new(allow: Vec<Rule>) -> Self {
        Self { allow: allow.into(), agent: OnceLock::new() }
    }

    /// Says whether `url` could be asked, as far as that is known without resolving its host: to be called when somebody
    /// gives a URL that will be asked later.
    ///
    /// # Errors
    /// [`EgressError::Url`], [`EgressError::Plain`], [`EgressError::Forbidden`].
    pub fn check(&self, url: &str) -> Result<(), EgressError> {
        let uri = read(url)?;
        let host = bare(uri.host().unwrap_or_default());
        let literal = host.parse::<IpAddr>().ok();
        let named = self.allow.iter().any(|rule| rule.names(host));
        let nets = self.allow.iter().any(|rule| matches!(rule, Rule::Net(_)));
        match literal {
            Some(address) => self.allow.judge(&uri, address),
            // Only its addresses will say whether a network of the list holds it.
            None if named || nets || is_https(&uri) => Ok(()),
            None => Err(EgressError::Plain { host: host.to_owned() }),
        }
    }

    /// Says whether `uri` may be asked at `address`, one of those that its host resolved to: for whoever connects by other
    /// means than [`Egress::fetch`], which must then connect to that very address.
    ///
    /// # Errors
    /// [`EgressError::Url`], [`EgressError::Plain`], [`EgressError::Forbidden`].
    pub fn permit(&self, uri: &Uri, address: IpAddr) -> Result<(), EgressError> {
        check_uri(uri)?;
        self.allow.judge(uri, address)
    }

    /// Posts `body` to `url` and returns the status of the answer, a redirect's too. Blocks until then, at most for
    /// `timeout`.
    ///
    /// # Errors
    /// [`EgressError`]; a status that tells of an error is none.
    pub fn post(
        &self,
        url: &str,
        headers: &[(&str, &str)],
        body: &[u8],
        timeout: Duration,
    ) -> Result<StatusCode, EgressError> {
        let mut request = Request::new(body.to_vec());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = read(url)?;
        let wrong = |_| EgressError::Url {
            url: shown(url),
            reason: "one of its headers has characters that no header has",
        };
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| wrong(error.into()))?;
            let value = HeaderValue::from_str(value).map_err(|error| wrong(http::Error::from(error)))?;
            request.headers_mut().append(name, value);
        }
        Ok(self.fetch(request, timeout)?.status())
    }

    /// Sends `request` and returns the answer with its body. Blocks until then, at most for `timeout`.
    ///
    /// # Errors
    /// [`EgressError`]; a status that tells of an error is none.
    pub fn fetch(
        &self,
        request: Request<Vec<u8>>,
        timeout: Duration,
    ) -> Result<Response<Vec<u8>>, EgressError> {
        check_uri(request.uri())?;
        let host = bare(request.uri().host().unwrap_or_default()).to_owned();
        let agent = self.agent(is_https(request.uri()))?;
        let silent = |error: Error| tell(error, &host);
        let request = agent.configure_request(request).timeout_global(Some(timeout)).build();
        let (head, body) = agent.run(request).map_err(silent)?.into_parts();
        let mut bytes = Vec::new();
        let mut reader = body.into_reader().take(LARGEST + 1);
        reader.read_to_end(&mut bytes).map_err(|error| silent(error.into()))?;
        if bytes.len() as u64 > LARGEST {
            return Err(EgressError::TooLarge { host });
        }
        Ok(Response::from_parts(head, bytes))
    }

    /// The client. Trusted certificates are read when the first `https` request needs them.
    fn agent(&self, https: bool) -> Result<Agent, EgressError> {
        if let Some(agent) = self.agent.get() {
            return Ok(agent.clone());
        }
        if !https {
            return Ok(agent(Arc::clone(&self.allow), Vec::new()));
        }
        let roots = rustls_native_certs::load_native_certs().certs;
        if roots.is_empty() {
            return Err(EgressError::NoRoots);
        }
        let roots = roots.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
        Ok(self.agent.get_or_init(|| agent(Arc::clone(&self.allow), roots)).clone())
    }
}

impl fmt::Debug for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Egress").field("allow", &self.allow).finish_non_exhaustive()
    }
}

fn agent(allow: Arc<[Rule]>, roots: Vec<Certificate<'static>>) -> Agent {
    let tls = TlsConfig::builder()
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .root_certs(RootCerts::Specific(Arc::new(roots)))
        .build();
    let config = Config::builder()
        .tls_config(tls)
        .proxy(None)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .max_idle_connections(0)
        .user_agent(concat!("gyre/", env!("CARGO_PKG_VERSION")))
        .build();
    Agent::with_parts(
        config,
        DefaultConnector::default(),
        Checked { allow, inner: DefaultResolver::default() },
    )
}

/// Resolves, and lets nothing through that may not be connected to.
#[derive(Debug)]
struct Checked {
    allow: Arc<[Rule]>,
    inner: DefaultResolver,
}

impl Resolver for Checked {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let addresses = self.inner.resolve(uri, config, timeout)?;
        for address in &*addresses {
            self.allow.judge(uri, address.ip()).map_err(|error| Error::Other(Box::new(error)))?;
        }
        Ok(addresses)
    }
}

trait Judge {
    /// Whether `uri` may be asked at `address`.
    fn judge(&self, uri: &Uri, address: IpAddr) -> Result<(), EgressError>;
}

impl Judge for [Rule] {
    fn judge(&self, uri: &Uri, address: IpAddr) -> Result<(), EgressError> {
        let host = bare(uri.host().unwrap_or_default());
        if self.iter().any(|rule| rule.lists(host, address)) {
            return Ok(());
        }
        if !is_public(address) {
            return Err(EgressError::Forbidden { host: host.to_owned(), address });
        }
        if !is_https(uri) {
            return Err(EgressError::Plain { host: host.to_owned() });
        }
        Ok(())
    }
}

fn read(url: &str) -> Result<Uri, EgressError> {
    let wrong = |reason| EgressError::Url { url: shown(url), reason };
    if url.len() > 2_048 {
        return Err(wrong("it is longer than 2,048 bytes"));
    }
    let uri: Uri = url.parse().map_err(|_| wrong("it is not a URL"))?;
    check_uri(&uri)?;
    Ok(uri)
}

fn check_uri(uri: &Uri) -> Result<(), EgressError> {
    let wrong = |reason| EgressError::Url { url: shown(&uri.to_string()), reason };
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(wrong("it must begin with https:// (or http:// for a listed host)"));
    }
    match uri.authority() {
        Some(authority) if authority.as_str().contains('@') => Err(EgressError::Url {
            url: "(with user)".to_owned(),
            reason: "it must not hold a user or password",
        }),
        Some(authority) if !authority.host().is_empty() => Ok(()),
        _ => Err(wrong("it names no host")),
    }
}

fn is_https(uri: &Uri) -> bool {
    uri.scheme_str() == Some("https")
}

/// A host without the brackets of an IPv6 address, and without the dot that ends a full name.
fn bare(host: &str) -> &str {
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.strip_suffix('.').unwrap_or(host)
}

fn shown(url: &str) -> String {
    url.chars().take(200).collect()
}

fn tell(error: Error, host: &str) -> EgressError {
    let silent = |reason: String| EgressError::Silent { host: host.to_owned(), reason };
    match error {
        Error::Other(inner) => match inner.downcast::<EgressError>() {
            Ok(own) => *own,
            Err(other) => silent(other.to_string()),
        },
        Error::Timeout(_) => silent("it took too long".to_owned()),
        other => silent(other.to_string()),
    }
}

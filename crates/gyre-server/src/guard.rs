//! Who may come in.
//!
//! A server on loopback is still reachable by every web page that its user has open: a page may post to
//! `http://127.0.0.1:4973` (cross-site request forgery), or own a name that it suddenly lets point to 127.0.0.1 (DNS
//! rebinding) and then read the answers too. The first is stopped by the `Origin` header, which browsers put on every
//! request that changes something; the second by the `Host` header, which still bears the page's own name. A server that
//! others reach answers to its public names and to addresses: nobody can let an address point somewhere else.

use std::net::IpAddr;
use std::sync::OnceLock;

use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};

/// Why a request was turned away at the door.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Turned {
    /// No `Host`, or more than one, or something that is no host.
    #[error("the request has no valid Host header")]
    NoHost,
    /// `Host` is not this machine.
    #[error("`{name}` is not a name of this server: it answers to {}", answers_to(.known))]
    Misdirected {
        /// What was named.
        name: String,
        /// What it answers to.
        known: Vec<String>,
    },
    /// A page of another origin wants to change something.
    #[error(
        "a page of `{0}` may not change anything here: requests from pages must come from the control room itself"
    )]
    CrossSite(String),
}

impl Turned {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::NoHost => StatusCode::BAD_REQUEST,
            Self::Misdirected { .. } => StatusCode::MISDIRECTED_REQUEST,
            Self::CrossSite(_) => StatusCode::FORBIDDEN,
        }
    }
}

fn answers_to(known: &[String]) -> String {
    let mut names = vec!["localhost", "127.0.0.1", "[::1]"];
    names.extend(known.iter().map(String::as_str));
    format!("{} only (more names: `gyre up --host NAME`)", names.join(", "))
}

/// The names that a server answers to, beside those of loopback.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Names {
    /// Host names, without port.
    pub(crate) hosts: Vec<String>,
    /// Whether it answers to addresses that are not loopback.
    pub(crate) addresses: bool,
}

/// A `Host` that was found to be this server's. Clients say the same with every request of a connection, and it need not be
/// read again.
pub(crate) type Known = OnceLock<HeaderValue>;

/// Checks where a request comes from and whom it is meant for; `seen` is of its connection.
///
/// # Errors
/// [`Turned`].
pub(crate) fn check(
    names: &Names,
    seen: &Known,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<(), Turned> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(said), None) = (hosts.next(), hosts.next()) else { return Err(Turned::NoHost) };
    let host = said.to_str().map_err(|_| Turned::NoHost)?;
    if seen.get() != Some(said) || uri.authority().is_some() {
        let authority: Authority = host.parse().map_err(|_| Turned::NoHost)?;
        for named in [Some(&authority), uri.authority()].into_iter().flatten() {
            if !names.include(named) {
                return Err(Turned::Misdirected { name: shown(named.as_str()), known: names.hosts.clone() });
            }
        }
        seen.get_or_init(|| said.clone());
    }
    if method.is_safe() {
        return Ok(());
    }
    match headers.get(header::ORIGIN).map(|origin| origin.to_str()) {
        None => {}
        Some(Ok(origin)) if same_origin(origin, host) => {}
        Some(origin) => return Err(Turned::CrossSite(shown(origin.unwrap_or("(unreadable)")))),
    }
    match headers.get("sec-fetch-site").map(|site| site.as_bytes()) {
        Some(b"cross-site" | b"same-site") => Err(Turned::CrossSite("another site".to_owned())),
        _ => Ok(()),
    }
}

/// Whether the browser says that the request comes from a page of this server. For requests that bear a cookie: a missing
/// header is no. [`check`] has compared `Origin` with `Host` already.
pub(crate) fn says_same_origin(headers: &HeaderMap) -> bool {
    match headers.get("sec-fetch-site").map(|site| site.as_bytes()) {
        Some(site) => site == b"same-origin",
        None => headers.contains_key(header::ORIGIN),
    }
}

impl Names {
    fn include(&self, authority: &Authority) -> bool {
        if authority.as_str().contains('@') {
            return false;
        }
        let host = authority.host();
        let known = self.hosts.iter().any(|name| name.eq_ignore_ascii_case(host));
        if known || host.eq_ignore_ascii_case("localhost") {
            return true;
        }
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        address.parse::<IpAddr>().is_ok_and(|address| self.addresses || address.is_loopback())
    }
}

/// Whether `origin` (RFC 6454) is what served the page of `host`. Any port of this machine is somebody else.
fn same_origin(origin: &str, host: &str) -> bool {
    let named = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    named.is_some_and(|named| named.eq_ignore_ascii_case(host))
}

fn shown(text: &str) -> String {
    text.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(method: Method, headers: &[(&'static str, &'static str)]) -> Option<u16> {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), axum::http::HeaderValue::from_static(value)))
            .fold(HeaderMap::new(), |mut map, (name, value): (header::HeaderName, _)| {
                map.append(name, value);
                map
            });
        let (names, seen, uri) = (Names::default(), Known::new(), Uri::from_static("/v1/models"));
        let once = || check(&names, &seen, &method, &uri, &headers).err();
        let first = once();
        assert_eq!(once(), first, "also when the host is known");
        first.map(|turned| turned.status().as_u16())
    }

    #[test]
    fn names_of_this_machine_are_let_in_and_no_others() {
        for host in ["localhost", "LOCALHOST:4973", "127.0.0.1:1", "127.9.9.9", "[::1]:4973", "[::1]"] {
            assert_eq!(outcome(Method::GET, &[("host", host)]), None, "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example:4973",
            "0.0.0.0",
            "10.0.0.1",
            "[::]",
            "user@localhost",
            "2130706433",
        ] {
            assert_eq!(outcome(Method::GET, &[("host", host)]), Some(421), "{host}");
        }
        for headers in
            [&[][..], &[("host", "")], &[("host", "a b")], &[("host", "localhost"), ("host", "localhost")]]
        {
            assert_eq!(outcome(Method::GET, headers), Some(400), "{headers:?}");
        }
    }

    #[test]
    fn a_host_that_is_known_lets_no_other_in() {
        let (names, seen) = (Names::default(), Known::new());
        let asked = |host: &str, uri: &'static str| {
            let headers = HeaderMap::from_iter([(header::HOST, host.parse().unwrap())]);
            check(&names, &seen, &Method::GET, &Uri::from_static(uri), &headers).is_ok()
        };
        assert!(!asked("evil.example", "/") && asked("localhost", "/") && asked("localhost", "/"));
        assert!(!asked("evil.example", "/") && !asked("localhost", "http://evil.example/"));
        assert!(asked("127.0.0.1", "/") && asked("localhost", "/"));
    }

    #[test]
    fn a_public_server_answers_to_its_names_and_to_addresses() {
        let names = Names { hosts: vec!["gyre.example".to_owned()], addresses: true };
        let turned = |host: &str| {
            let headers = HeaderMap::from_iter([(header::HOST, host.parse().unwrap())]);
            check(&names, &Known::new(), &Method::GET, &Uri::from_static("/"), &headers).err()
        };
        for host in ["gyre.example", "GYRE.example:443", "10.0.0.1", "[2001:db8::1]:80", "localhost"] {
            assert_eq!(turned(host), None, "{host}");
        }
        for host in ["evil.example", "gyre.example.evil.example", "x.gyre.example", "user@gyre.example"] {
            let told = turned(host).unwrap().to_string();
            assert!(told.contains("[::1], gyre.example only") && told.contains("--host NAME"), "{told}");
        }
    }

    #[test]
    fn only_a_page_of_this_server_says_that_it_is_one() {
        let says = |name: &'static str, value: &str| {
            says_same_origin(&HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())]))
        };
        assert!(says("sec-fetch-site", "same-origin") && says("origin", "http://localhost:1"));
        for site in ["none", "same-site", "cross-site", ""] {
            assert!(!says("sec-fetch-site", site), "{site}");
        }
        assert!(!says_same_origin(&HeaderMap::new()));
    }

    #[test]
    fn pages_of_other_origins_change_nothing() {
        let host = ("host", "127.0.0.1:4973");
        let cases = [
            (Method::POST, Some("http://127.0.0.1:4973"), None),
            (Method::POST, None, None),
            (Method::GET, Some("https://evil.example"), None),
            (Method::POST, Some("https://evil.example"), Some(403)),
            (Method::POST, Some("http://127.0.0.1:8080"), Some(403)),
            (Method::POST, Some("null"), Some(403)),
            (Method::DELETE, Some("http://127.0.0.1:4973.evil.example"), Some(403)),
        ];
        for (method, origin, expected) in cases {
            let mut headers = vec![host];
            headers.extend(origin.map(|origin| ("origin", origin)));
            assert_eq!(outcome(method.clone(), &headers), expected, "{method} {origin:?}");
        }
        assert_eq!(outcome(Method::POST, &[host, ("sec-fetch-site", "cross-site")]), Some(403));
        assert_eq!(outcome(Method::POST, &[host, ("sec-fetch-site", "same-origin")]), None);
    }
}

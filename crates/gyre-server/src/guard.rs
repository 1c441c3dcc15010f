//! Who may come in.
//!
//! A server on loopback is still reachable by every web page that its user has open: a page may post to
//! `http://127.0.0.1:4973` (cross-site request forgery), or own a name that it suddenly lets point to 127.0.0.1 (DNS
//! rebinding) and then read the answers too. The first is stopped by the `Origin` header, which browsers put on every
//! request that changes something; the second by the `Host` header, which still bears the page's own name.

use std::net::IpAddr;

use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};

/// Why a request was turned away at the door.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Turned {
    /// No `Host`, or more than one, or something that is no host.
    #[error("the request has no valid Host header")]
    NoHost,
    /// `Host` is not this machine.
    #[error("`{0}` is not a name of this server: it answers to localhost, 127.0.0.1 and [::1] only")]
    Misdirected(String),
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
            Self::Misdirected(_) => StatusCode::MISDIRECTED_REQUEST,
            Self::CrossSite(_) => StatusCode::FORBIDDEN,
        }
    }
}

/// Checks where a request comes from and whom it is meant for.
///
/// # Errors
/// [`Turned`].
pub(crate) fn check(method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Turned> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return Err(Turned::NoHost) };
    let host = host.to_str().map_err(|_| Turned::NoHost)?;
    let authority: Authority = host.parse().map_err(|_| Turned::NoHost)?;
    for named in [Some(&authority), uri.authority()].into_iter().flatten() {
        if !is_loopback(named) {
            return Err(Turned::Misdirected(shown(named.as_str())));
        }
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

fn is_loopback(authority: &Authority) -> bool {
    if authority.as_str().contains('@') {
        return false;
    }
    let host = authority.host();
    if host.eq_ignore_ascii_case("localhost") {
        return true;
    }
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
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
        check(&method, &Uri::from_static("/v1/models"), &headers).err().map(|turned| turned.status().as_u16())
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

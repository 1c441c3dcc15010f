//! Rules: what the server may connect to although it is not public.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use super::address::is_link_local;

/// A listed destination: a host by name (`hooks.internal`), or a network (`10.1.0.0/16`, `127.0.0.1`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// A host by its name, in lower case, on any port.
    Host(String),
    /// Every address of a network.
    Net(IpNet),
}

/// Text that is no rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a destination (expected a host name such as hooks.internal, an address such as 10.1.2.3, or a network such as 10.1.0.0/16; no scheme, no port)"
)]
pub struct InvalidRule(String);

impl Rule {
    /// Whether this rule lists `host`, or its `address`.
    pub(crate) fn lists(&self, host: &str, address: IpAddr) -> bool {
        match self {
            Self::Host(name) => name.eq_ignore_ascii_case(host) && !is_link_local(address),
            // `::ffff:10.0.0.1` is 10.0.0.1 under another name.
            Self::Net(net) => net.contains(&address) || net.contains(&address.to_canonical()),
        }
    }

    /// Whether this rule lists `host` by name.
    pub(crate) fn names(&self, host: &str) -> bool {
        matches!(self, Self::Host(name) if name.eq_ignore_ascii_case(host))
    }
}

impl FromStr for Rule {
    type Err = InvalidRule;

    fn from_str(text: &str) -> Result<Self, InvalidRule> {
        if let Ok(net) = text.parse::<IpNet>() {
            return Ok(Self::Net(net));
        }
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Ok(Self::Net(address.into()));
        }
        let label = |label: &str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            (1..=63).contains(&label.len()) && label.bytes().all(plain)
        };
        if text.len() <= 253 && text.split('.').all(label) {
            return Ok(Self::Host(text.to_ascii_lowercase()));
        }
        Err(InvalidRule(text.chars().take(100).collect()))
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(name) => f.write_str(name),
            Self::Net(net) => net.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_and_nonsense_is_not() {
        for (text, shown) in [
            ("Hooks.Internal", "hooks.internal"),
            ("10.1.0.0/16", "10.1.0.0/16"),
            ("127.0.0.1", "127.0.0.1/32"),
            ("[::1]", "::1/128"),
        ] {
            assert_eq!(text.parse::<Rule>().unwrap().to_string(), shown);
        }
        for text in ["", "https://a", "a:80", "*.internal", "a..b", "10.0.0.0/33", "a b", "user@host"] {
            let error = text.parse::<Rule>().unwrap_err().to_string();
            assert!(error.contains("expected a host name"), "{text}: {error}");
        }
    }

    #[test]
    fn a_listed_host_does_not_open_the_metadata_service() {
        let metadata: IpAddr = "169.254.169.254".parse().unwrap();
        let host: Rule = "hooks.internal".parse().unwrap();
        assert!(host.lists("HOOKS.internal", "10.0.0.1".parse().unwrap()));
        assert!(!host.lists("hooks.internal", metadata));
        assert!("169.254.0.0/16".parse::<Rule>().unwrap().lists("x", metadata));
        assert!("10.0.0.0/8".parse::<Rule>().unwrap().lists("x", "::ffff:10.0.0.1".parse().unwrap()));
    }
}

//! How the server is reached, and who has to say who they are. Pure.
//!
//! On loopback nobody has to log in, unless told otherwise. Every other address, and every sign that requests come from
//! elsewhere (a public host name, a proxy), asks for a login; and an address that others reach asks for a decision on
//! encryption, since credentials would go over the wire in plain text.

use std::net::SocketAddr;
use std::sync::Arc;

use gyre_access::oidc::Oidc;
use gyre_access::tokens::LONGEST_LIFE;
use gyre_core::Span;

use crate::tls::Tls;

/// Who has to log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Login {
    /// Nobody on a loopback address, everybody on any other.
    #[default]
    WhereReachable,
    /// Everybody.
    Required,
}

/// How requests come over the wire, where the server speaks no TLS itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Transport {
    /// In plain text; on loopback only.
    #[default]
    Plain,
    /// In plain text, on a network that is trusted.
    PlainAccepted,
    /// From a proxy in front that speaks TLS, and that says in `X-Forwarded-For` who asks.
    Proxied,
}

/// The server's front.
#[derive(Debug, Clone)]
pub struct Front {
    /// Host names that it answers to, beside those of loopback.
    pub hosts: Vec<String>,
    /// How requests come.
    pub transport: Transport,
    /// The certificate, when the server speaks TLS itself.
    pub tls: Option<Arc<Tls>>,
    /// Who has to log in.
    pub login: Login,
    /// How long an API token may live at most.
    pub token_life: Span,
    /// The provider by which people log in, if there is one.
    pub oidc: Option<Arc<Oidc>>,
}

impl Default for Front {
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            transport: Transport::default(),
            tls: None,
            login: Login::default(),
            token_life: LONGEST_LIFE,
            oidc: None,
        }
    }
}

impl Front {
    /// Whether requests to `listen` have to bring credentials.
    pub fn asks(&self, listen: SocketAddr) -> bool {
        self.login == Login::Required
            || !listen.ip().is_loopback()
            || !self.hosts.is_empty()
            || self.transport == Transport::Proxied
            || self.oidc.is_some()
    }

    /// Whether what is sent to `listen` could be read on the way without anybody having agreed to that.
    pub(crate) fn is_exposed(&self, listen: SocketAddr) -> bool {
        !listen.ip().is_loopback() && self.transport == Transport::Plain && self.tls.is_none()
    }

    /// Whether browsers come by https.
    pub(crate) fn is_secure(&self) -> bool {
        self.transport == Transport::Proxied || self.tls.is_some()
    }

    /// The name of the cookie of a session. The prefix makes browsers refuse it from anywhere but this host, over https.
    pub(crate) fn cookie(&self) -> &'static str {
        if self.is_secure() { "__Host-gyre" } else { "gyre-session" }
    }

    /// The name of the cookie that a browser keeps while it is at the identity provider.
    pub(crate) fn ticket(&self) -> &'static str {
        if self.is_secure() { "__Host-gyre-login" } else { "gyre-login" }
    }

    /// A cookie: not for scripts, not for requests that other sites make, only over https where that is spoken.
    pub(crate) fn set_cookie(&self, name: &str, value: &str, seconds: i64) -> String {
        let secure = if self.is_secure() { "; Secure" } else { "" };
        format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}")
    }

    /// Where the identity provider sends browsers back to, on the host that they asked.
    pub(crate) fn callback(&self, host: &str) -> String {
        let scheme = if self.is_secure() { "https" } else { "http" };
        format!("{scheme}://{host}/login/callback")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_others_can_reach_asks_for_a_login() {
        let (loopback, open) = ("127.0.0.1:1".parse().unwrap(), "0.0.0.0:1".parse().unwrap());
        let front = Front::default();
        assert!(!front.asks(loopback) && !front.is_exposed(loopback));
        assert!(front.asks(open) && front.is_exposed(open));
        let proxied = Front { transport: Transport::Proxied, ..Front::default() };
        assert!(proxied.asks(loopback) && !proxied.is_exposed(open) && proxied.is_secure());
        let named = Front { hosts: vec!["gyre.example".to_owned()], ..Front::default() };
        assert!(named.asks(loopback), "a public name means that requests come from elsewhere");
        assert!(Front { login: Login::Required, ..Front::default() }.asks(loopback));
        assert!(!Front { transport: Transport::PlainAccepted, ..Front::default() }.is_exposed(open));
    }
}

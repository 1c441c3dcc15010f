//! The words with which `gyre up` is told how it is reached, and who has to log in.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use gyre_access::Role;
use gyre_access::egress::{Egress, Rule};
use gyre_access::oidc::{Oidc, Settings};
use gyre_access::tokens::LONGEST_LIFE;
use gyre_core::Span;
use gyre_server::{Front, Login, Tls, TlsFiles, Transport};

use crate::failure::Failure;

#[derive(Debug, Args)]
#[command(next_help_heading = "Access")]
pub(crate) struct FrontArgs {
    /// Who has to log in: nobody on a loopback address and everybody on others, or everybody.
    #[arg(long, value_name = "WHO", default_value = "reachable", env = "GYRE_AUTH")]
    auth: Auth,
    /// A name by which browsers and clients reach this server; may be given several times. Everybody has to log in then.
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,
    /// A proxy in front speaks TLS, and says in X-Forwarded-For who asks. Everybody has to log in then.
    #[arg(long, conflicts_with = "insecure_http")]
    behind_proxy: bool,
    /// Let passwords and tokens go over the network in plain text: only where you trust the network.
    #[arg(long)]
    insecure_http: bool,
    /// The server's certificate in PEM, followed by those of the authorities in between: it then speaks TLS. The file may
    /// change while the server runs.
    #[arg(long, value_name = "FILE", env = "GYRE_TLS_CERT", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The private key of that certificate, in PEM.
    #[arg(long, value_name = "FILE", env = "GYRE_TLS_KEY", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Authorities, in PEM: only clients with a certificate by one of them may connect. They still log in.
    #[arg(long, value_name = "FILE", env = "GYRE_TLS_CLIENT_CA", requires = "tls_cert")]
    tls_client_ca: Option<PathBuf>,
    /// The most days that an API token may live.
    #[arg(long, value_name = "DAYS", default_value_t = LONGEST_LIFE.as_days() as i64)]
    token_max_days: i64,
    /// The issuer URL of an OpenID Connect provider by which people log in; its callback here is /login/callback.
    #[arg(long, value_name = "URL", env = "GYRE_OIDC_ISSUER", requires = "oidc_client_id")]
    oidc_issuer: Option<String>,
    /// This server's client id at the provider; its secret is taken from GYRE_OIDC_CLIENT_SECRET.
    #[arg(long, value_name = "ID", env = "GYRE_OIDC_CLIENT_ID", requires = "oidc_issuer")]
    oidc_client_id: Option<String>,
    /// The claim of the ID token that lists a person's groups.
    #[arg(long, value_name = "CLAIM", default_value = "groups")]
    oidc_groups_claim: String,
    /// The role here of a group there; may be given several times. Then the groups decide, at each login.
    #[arg(long, value_name = "GROUP=ROLE", value_parser = group_role, requires = "oidc_issuer")]
    oidc_role: Vec<(String, Role)>,
    /// A host or network that the server may connect to although it is not public https; may be given several times.
    #[arg(long, value_name = "HOST|NET")]
    allow_egress: Vec<Rule>,
}

fn group_role(text: &str) -> Result<(String, Role), String> {
    let (group, role) = text.rsplit_once('=').ok_or("expected GROUP=ROLE, such as ml-team=contributor")?;
    let role = role.parse().map_err(|error: gyre_access::InvalidRole| error.to_string())?;
    Ok((group.to_owned(), role))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Auth {
    /// Where others can reach the server.
    Reachable,
    /// Everybody, on this machine too.
    Required,
}

impl FrontArgs {
    /// The way out: what webhooks are told goes through it.
    pub(super) fn egress(&self) -> Egress {
        Egress::new(self.allow_egress.clone())
    }

    /// What they say.
    pub(crate) fn front(&self) -> Result<Front, Failure> {
        let wrong = |host: &&String| host.is_empty() || host.contains(['/', ':', '@', ' ', '*']);
        if let Some(host) = self.host.iter().find(wrong) {
            return Err(Failure::because(format!(
                "--host `{host}` is not a host name (expected a name such as gyre.example.org, without scheme and port)"
            )));
        }
        if self.token_max_days < 1 {
            return Err(Failure::because("--token-max-days takes a number of days of at least 1"));
        }
        let transport = match (self.behind_proxy, self.insecure_http) {
            (true, _) => Transport::Proxied,
            (_, true) => Transport::PlainAccepted,
            _ => Transport::Plain,
        };
        let tls = self.tls()?.map(Arc::new);
        let login = if self.auth == Auth::Required { Login::Required } else { Login::WhereReachable };
        let token_life = Span::days(self.token_max_days);
        let oidc = self.oidc()?.map(Arc::new);
        Ok(Front { hosts: self.host.clone(), transport, tls, login, token_life, oidc })
    }

    fn tls(&self) -> Result<Option<Tls>, Failure> {
        let (Some(certificate), Some(key)) = (&self.tls_cert, &self.tls_key) else { return Ok(None) };
        let clients = self.tls_client_ca.clone();
        Ok(Some(Tls::load(TlsFiles { certificate: certificate.clone(), key: key.clone(), clients })?))
    }

    fn oidc(&self) -> Result<Option<Oidc>, Failure> {
        let (Some(issuer), Some(client)) = (&self.oidc_issuer, &self.oidc_client_id) else { return Ok(None) };
        let settings = Settings {
            issuer: issuer.clone(),
            client: client.clone(),
            secret: std::env::var("GYRE_OIDC_CLIENT_SECRET").ok().filter(|secret| !secret.is_empty()),
            groups_claim: self.oidc_groups_claim.clone(),
            roles: self.oidc_role.clone(),
        };
        Ok(Some(Oidc::new(settings, self.allow_egress.clone())?))
    }
}

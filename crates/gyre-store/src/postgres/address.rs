//! Where the PostgreSQL is, and how it is spoken to: `postgres://user:password@host:port/database?sslmode=require`.
//!
//! Without `sslmode`, a database on this machine is spoken to in the clear and any other by TLS. TLS always checks the
//! server's certificate, by the system's authorities or by those in `sslrootcert=FILE`; libpq's modes that encrypt without
//! checking, or fall back to clear text, are refused. The password shows nowhere: not in errors, not in `Debug`.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use postgres::config::{Host, SslMode};
use postgres::{Client, Config, NoTls};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::StoreError;

/// The address of a store on PostgreSQL, which may hold a password.
#[derive(Clone)]
pub struct StoreUrl(String);

impl StoreUrl {
    /// The address without user's password and options.
    pub fn shown(&self) -> String {
        Address::parse(self).map_or_else(|_| "postgres://…".to_owned(), |address| address.shown.to_string())
    }
}

impl From<&str> for StoreUrl {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl FromStr for StoreUrl {
    type Err = std::convert::Infallible;

    /// Takes any text: what is wrong with it is said when the store is opened, in words that hide the password.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

/// How long a connection may take to be made.
const PATIENCE: Duration = Duration::from_secs(5);

/// An address that was understood.
#[derive(Clone)]
pub(crate) struct Address {
    config: Config,
    tls: Option<MakeRustlsConnect>,
    /// `host:port/database`, for people.
    pub(crate) shown: Arc<str>,
}

/// What the address asks of TLS.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    mode: Option<bool>,
    authorities: Option<String>,
}

impl Address {
    pub(crate) fn parse(url: &StoreUrl) -> Result<Self, StoreError> {
        let wrong = |reason: String| {
            StoreError::Invalid(format!(
                "the store's address: {reason}; expected postgres://USER@HOST:PORT/DATABASE (the password in it, or in PGPASSWORD)"
            ))
        };
        let scheme = url.0.split(':').next().unwrap_or_default();
        if !matches!(scheme, "postgres" | "postgresql") || !url.0[scheme.len()..].starts_with("://") {
            return Err(wrong("it does not begin with `postgres://`".to_owned()));
        }
        let (base, wanted) = take_tls(&url.0).map_err(wrong)?;
        // The driver's own words name the option that is wrong, never its value.
        let reason = |error: postgres::Error| {
            let cause =
                std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            wrong(format!("{error}{cause}"))
        };
        let mut config = Config::from_str(&base).map_err(reason)?;
        if config.get_hosts().is_empty() {
            return Err(wrong("it names no host".to_owned()));
        }
        if config.get_password().is_none()
            && let Ok(password) = std::env::var("PGPASSWORD")
        {
            config.password(password);
        }
        let far = !config.get_hosts().iter().all(is_near);
        let tls = match wanted.mode.unwrap_or(far) {
            true => Some(MakeRustlsConnect::new(tls(wanted.authorities.as_deref()).map_err(wrong)?)),
            false => None,
        };
        config.ssl_mode(if tls.is_some() { SslMode::Require } else { SslMode::Disable });
        config.application_name("gyre").connect_timeout(PATIENCE).keepalives_idle(Duration::from_secs(30));
        config.tcp_user_timeout(Duration::from_secs(30));
        let shown = shown(&config).into();
        Ok(Self { config, tls, shown })
    }

    pub(crate) fn connect(&self) -> Result<Client, postgres::Error> {
        match &self.tls {
            Some(tls) => self.config.connect(tls.clone()),
            None => self.config.connect(NoTls),
        }
    }
}

/// Takes `sslmode` and `sslrootcert` out of the address.
fn take_tls(url: &str) -> Result<(String, Wanted), String> {
    let mut wanted = Wanted::default();
    let Some((base, options)) = url.split_once('?') else { return Ok((url.to_owned(), wanted)) };
    let mut kept = Vec::new();
    for option in options.split('&').filter(|option| !option.is_empty()) {
        match option.split_once('=') {
            Some(("sslmode", "disable")) => wanted.mode = Some(false),
            Some(("sslmode", "require" | "verify-ca" | "verify-full")) => wanted.mode = Some(true),
            Some(("sslmode", other)) => {
                return Err(format!(
                    "sslmode is `{}`; expected `require` (TLS, the server's certificate checked) or `disable`",
                    other.chars().take(20).collect::<String>()
                ));
            }
            Some(("sslrootcert", file)) => wanted.authorities = Some(file.replace("%2F", "/")),
            _ => kept.push(option),
        }
    }
    let options = kept.join("&");
    Ok((if options.is_empty() { base.to_owned() } else { format!("{base}?{options}") }, wanted))
}

/// Whether what is said to `host` stays on this machine.
fn is_near(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => name == "localhost" || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback()),
        Host::Unix(_) => true,
    }
}

fn shown(config: &Config) -> String {
    let hosts = config.get_hosts().iter().enumerate().map(|(i, host)| {
        let ports = config.get_ports();
        let port = ports.get(i).or(ports.first()).copied().unwrap_or(5432);
        match host {
            Host::Tcp(name) => format!("{name}:{port}"),
            Host::Unix(path) => format!("{}:{port}", path.display()),
        }
    });
    let hosts = hosts.collect::<Vec<_>>().join(",");
    let database = config.get_dbname().or(config.get_user()).unwrap_or_default();
    format!("{hosts}/{database}")
}

fn tls(authorities: Option<&str>) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    match authorities {
        Some(file) => {
            let unreadable = |error: &dyn fmt::Display| format!("sslrootcert {file}: {error}");
            let found = CertificateDer::pem_file_iter(Path::new(file)).map_err(|error| unreadable(&error))?;
            for certificate in found {
                let certificate = certificate.map_err(|error| unreadable(&error))?;
                roots.add(certificate).map_err(|error| unreadable(&error))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        let remedy = "no certificate authority was found to check the server by";
        return Err(format!("{remedy}: install `ca-certificates`, or name a file with sslrootcert=FILE"));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| error.to_string())?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(url: &str) -> String {
        Address::parse(&StoreUrl::from(url)).err().unwrap().to_string()
    }

    #[test]
    fn the_password_shows_nowhere() {
        let url = StoreUrl::from("postgres://ann:s3cret@127.0.0.1:5433/gyre");
        assert_eq!(format!("{url:?}"), "127.0.0.1:5433/gyre");
        for wrong in [
            "mysql://ann:s3cret@h/d",
            "s3cret",
            "postgres://ann:s3cret@h:port/d",
            "postgres://ann:s3cret@h/d?sslmode=prefer",
            "postgres://ann:s3cret@h/d?no_such=1",
            "postgres://ann:s3cret@/d",
        ] {
            let said = format!("{} {:?}", refusal(wrong), StoreUrl::from(wrong));
            assert!(!said.contains("s3cret"), "{said}");
            assert!(said.contains("expected postgres://"), "{said}");
        }
    }

    #[test]
    fn another_machine_is_spoken_to_by_tls_unless_told_otherwise() {
        let encrypted = |url: &str| Address::parse(&StoreUrl::from(url)).unwrap().tls.is_some();
        assert!(!encrypted("postgres://ann@127.0.0.1/gyre"));
        assert!(!encrypted("postgres://ann@localhost/gyre?options=-csearch_path%3Dx"));
        assert!(!encrypted("postgres://ann@db.example.org/gyre?sslmode=disable"));
        assert!(!encrypted("postgres://ann@%2Fvar%2Frun%2Fpostgresql/gyre"));
    }

    #[test]
    fn tls_that_does_not_check_is_refused() {
        for mode in ["prefer", "allow", "no-such"] {
            let said = refusal(&format!("postgres://ann@h/d?sslmode={mode}"));
            assert!(said.contains(&format!("sslmode is `{mode}`")) && said.contains("`require`"), "{said}");
        }
        let said = refusal("postgres://ann@h/d?sslmode=require&sslrootcert=/no/such/file");
        assert!(said.contains("sslrootcert /no/such/file"), "{said}");
    }
}

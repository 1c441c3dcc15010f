//! Asking a server: credentials, patience, and no more than a bounded answer.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::Agent;
use ureq::config::Config;
use ureq::http::Response;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::ImportError;
use crate::source::without_credentials;

/// The most of a JSON answer that is read, in bytes.
const LARGEST: u64 = 256 << 20;

/// How often something is tried that a server refuses for the moment.
const TRIES: u32 = 5;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// An MLflow server.
pub(super) struct Server {
    agent: Agent,
    url: String,
    name: String,
    authorization: Option<String>,
}

impl Server {
    pub(super) fn new(url: &str) -> Result<Self, ImportError> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (given, host) = match host.rsplit_once('@') {
            Some((given, host)) => {
                (given.split_once(':').map(|(user, word)| (user.to_owned(), word.to_owned())), host)
            }
            None => (None, host),
        };
        let user = || Some((variable("MLFLOW_TRACKING_USERNAME")?, variable("MLFLOW_TRACKING_PASSWORD")?));
        let basic = given.or_else(user);
        let authorization = match basic {
            Some((user, word)) => Some(format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{word}")))),
            None => variable("MLFLOW_TRACKING_TOKEN").map(|token| format!("Bearer {token}")),
        };
        let roots =
            if scheme == "https" { rustls_native_certs::load_native_certs().certs } else { Vec::new() };
        let roots = roots.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .root_certs(RootCerts::Specific(Arc::new(roots)))
            .build();
        // A redirect could carry the credentials elsewhere.
        let config = Config::builder()
            .tls_config(tls)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .timeout_connect(Some(Duration::from_secs(10)))
            .timeout_recv_response(Some(PATIENCE))
            .user_agent(concat!("gyre/", env!("CARGO_PKG_VERSION")))
            .build();
        let url = format!("{scheme}://{host}/{path}").trim_end_matches('/').to_owned();
        Ok(Self {
            agent: Agent::new_with_config(config),
            name: without_credentials(&url),
            url,
            authorization,
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ImportError> {
        self.json(path, None)?.ok_or_else(|| self.missing(path))
    }

    pub(super) fn get_if_any<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, ImportError> {
        self.json(path, None)
    }

    pub(super) fn post<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T, ImportError> {
        self.json(path, Some(body))?.ok_or_else(|| self.missing(path))
    }

    pub(super) fn post_if_any<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &Value,
    ) -> Result<Option<T>, ImportError> {
        self.json(path, Some(body))
    }

    /// The bytes of a file.
    pub(super) fn download(&self, path: &str) -> Result<impl Read + use<>, ImportError> {
        let answer = self.ask(path, None)?.ok_or_else(|| self.missing(path))?;
        Ok(answer.into_body().into_reader())
    }

    fn missing(&self, path: &str) -> ImportError {
        let what = path.split('?').next().unwrap_or_default();
        ImportError::Source(format!(
            "{} knows no {what} (404): is it the URL of an MLflow server, as MLFLOW_TRACKING_URI has it?",
            self.name
        ))
    }

    fn json<T: DeserializeOwned>(&self, path: &str, body: Option<&Value>) -> Result<Option<T>, ImportError> {
        let Some(answer) = self.ask(path, body)? else { return Ok(None) };
        let wrong = |reason: String| {
            let what = path.split('?').next().unwrap_or_default();
            ImportError::Source(format!("the answer of {} to {what} cannot be read: {reason}", self.name))
        };
        let mut text = String::new();
        let mut reader = answer.into_body().into_reader().take(LARGEST + 1);
        reader.read_to_string(&mut text).map_err(|error| wrong(error.to_string()))?;
        if text.len() as u64 > LARGEST {
            return Err(wrong(format!("it has more than {LARGEST} bytes")));
        }
        serde_json::from_str(&text).map(Some).map_err(|error| wrong(error.to_string()))
    }

    /// The answer; none when there is no such thing (404).
    fn ask(&self, path: &str, body: Option<&Value>) -> Result<Option<Response<ureq::Body>>, ImportError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let (reason, again) = match self.once(path, body) {
                Ok(answer) => match answer.status().as_u16() {
                    200..=299 => return Ok(Some(answer)),
                    404 => return Ok(None),
                    401 | 403 => {
                        return Err(ImportError::Source(format!(
                            "{} wants other credentials ({}): set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and \
                             MLFLOW_TRACKING_PASSWORD",
                            self.name,
                            answer.status()
                        )));
                    }
                    code @ (408 | 429 | 500..=599) => (told(answer), code != 501),
                    _ => (told(answer), false),
                },
                Err(error) => (error.to_string(), true),
            };
            if !again || tries >= TRIES {
                let what = path.split('?').next().unwrap_or_default();
                return Err(ImportError::Source(format!(
                    "{} does not answer to {what}: {reason}. What came so far stays; the same command goes on from there",
                    self.name
                )));
            }
            std::thread::sleep(Duration::from_millis(250 << tries));
        }
    }

    fn once(&self, path: &str, body: Option<&Value>) -> Result<Response<ureq::Body>, ureq::Error> {
        let url = format!("{}/api/2.0/{path}", self.url);
        let authorization = self.authorization.iter().map(|value| ("authorization", value.as_str()));
        match body {
            None => {
                authorization.fold(self.agent.get(&url), |ask, (name, value)| ask.header(name, value)).call()
            }
            Some(body) => authorization
                .fold(self.agent.post(&url), |ask, (name, value)| ask.header(name, value))
                .header("content-type", "application/json")
                .send(body.to_string().as_bytes()),
        }
    }
}

/// What an answer says went wrong.
fn told(answer: Response<ureq::Body>) -> String {
    let status = answer.status();
    let mut text = String::new();
    // What cannot be read of an error is not missed.
    let _ = answer.into_body().into_reader().take(2_000).read_to_string(&mut text);
    let message = serde_json::from_str::<Value>(&text).ok();
    let message = message.as_ref().and_then(|value| value["message"].as_str()).unwrap_or_default();
    format!("{status} {message}").trim().chars().take(300).collect()
}

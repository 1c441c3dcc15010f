//! Talking to a running server: JSON over HTTP, one request a connection.
//!
//! The server says where it is in `.gyre/server.json`. That file may be left behind by a server that was killed, so what
//! it says is believed only once somebody answers there.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use gyre_core::Digest;
use gyre_loop::STATE_DIR;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::Value;

use crate::commands::up::ANNOUNCEMENT;
use crate::dial::{Trust, dial};

/// How long the server may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How long it may take to answer.
const ANSWER: Duration = Duration::from_secs(60);
/// How long it may take where a model's process is started, or a file taken in.
const PATIENT: Duration = Duration::from_secs(900);
/// The largest answer that is read, in bytes.
const LARGEST: usize = 64 << 20;

/// The variable that holds the API token, for a server that asks who calls.
const TOKEN: &str = "GYRE_TOKEN";

/// A server elsewhere.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Server")]
pub(crate) struct ServerArgs {
    /// The server, when it is not the one that runs in the project's folder: https://HOST[:PORT]. Its API token is taken
    /// from GYRE_TOKEN.
    #[arg(long, value_name = "URL", env = "GYRE_SERVER")]
    server: Option<String>,
    /// The certificate, in PEM, of a private authority that the server's certificate is by.
    #[arg(long, value_name = "FILE", env = "GYRE_CA")]
    ca: Option<PathBuf>,
}

impl ServerArgs {
    /// Whether a server elsewhere is meant.
    pub(crate) fn is_elsewhere(&self) -> bool {
        self.server.is_some()
    }

    /// The server that is meant: the one that they name, otherwise that of the project at `root`.
    pub(crate) fn server(&self, root: &Path) -> Result<Server, ClientError> {
        let Some(url) = &self.server else { return Server::expected(root) };
        let url = url.trim_end_matches('/').to_owned();
        let wrong = |problem: &str| ClientError::Unable(format!("--server {url}: {problem}"));
        let parsed: Uri = url.parse().map_err(|_| wrong("this is no URL, expected https://HOST:PORT"))?;
        if !matches!(parsed.scheme_str(), Some("https" | "http")) || parsed.host().is_none() {
            return Err(wrong("expected https://HOST:PORT"));
        }
        if parsed.path() != "/" || parsed.authority().is_some_and(|named| named.as_str().contains('@')) {
            return Err(wrong("expected https://HOST:PORT without user and path"));
        }
        let ca = self.ca.clone();
        Ok(Server { url, pid: 0, certificate: None, ca })
    }
}

/// A server that announced itself, or was named.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Server {
    /// `http://ADDR:PORT` or `https://ADDR:PORT`
    pub(crate) url: String,
    /// Its process; 0 elsewhere.
    pub(crate) pid: u32,
    /// The fingerprint of its certificate.
    #[serde(default)]
    certificate: Option<Digest>,
    /// The authorities that are believed beside the system's.
    #[serde(skip)]
    ca: Option<PathBuf>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("no server runs for this project: start it with `gyre up`")]
    NoServer,
    #[error("the server at {url} does not answer ({reason}): is it still running? Start it with `gyre up`")]
    Silent { url: String, reason: String },
    #[error("{message}{}{}", line("expected", expected), line("help", help))]
    Refused { status: StatusCode, message: String, expected: Option<String>, help: Option<String> },
    #[error("the server at {url} answered {status} with what is not JSON: {found}")]
    Garbled { url: String, status: StatusCode, found: String },
    #[error("no request can be made: {0}")]
    Unable(String),
}

fn line(name: &str, text: &Option<String>) -> String {
    text.as_ref().map_or_else(String::new, |text| format!("\n  {name}: {text}"))
}

/// An error as the server tells it.
#[derive(Deserialize)]
struct Told {
    error: Reason,
}

#[derive(Deserialize)]
struct Reason {
    message: String,
    expected: Option<String>,
    help: Option<String>,
}

impl Server {
    /// The server that announced itself in the project at `root`.
    pub(crate) fn announced(root: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(root.join(STATE_DIR).join(ANNOUNCEMENT)).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// The server of the project at `root`, if it answers.
    pub(crate) fn running(root: &Path) -> Option<Self> {
        Self::announced(root).filter(|server| server.get("/v2/health/live").is_ok())
    }

    /// The server of the project at `root`, whether it answers or not.
    pub(crate) fn expected(root: &Path) -> Result<Self, ClientError> {
        Self::announced(root).ok_or(ClientError::NoServer)
    }

    /// Asks for `path`.
    pub(crate) fn get(&self, path: &str) -> Result<Value, ClientError> {
        self.ask(Method::GET, path, None)
    }

    /// Sends `body` to `path`.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Value, ClientError> {
        self.ask(Method::POST, path, Some(body))
    }

    /// Sends `body` to `path`, where the answer may take as long as the start of a model's process.
    pub(crate) fn post_patiently(&self, path: &str, body: &Value) -> Result<Value, ClientError> {
        self.send(Method::POST, path, body.to_string().into(), PATIENT)
    }

    /// Sends bytes as they are.
    pub(crate) fn upload(&self, path: &str, bytes: Vec<u8>) -> Result<Value, ClientError> {
        self.send(Method::POST, path, bytes.into(), PATIENT)
    }

    /// Removes what is at `path`.
    pub(crate) fn delete(&self, path: &str) -> Result<Value, ClientError> {
        self.ask(Method::DELETE, path, None)
    }

    fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, ClientError> {
        self.send(method, path, body.map(Value::to_string).unwrap_or_default().into(), ANSWER)
    }

    fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        patience: Duration,
    ) -> Result<Value, ClientError> {
        let url: Uri = self.url.parse().map_err(|_| self.silent("its address cannot be read"))?;
        let trust = match self.certificate {
            Some(fingerprint) => Trust::Pinned(fingerprint),
            None => Trust::Authorities(self.ca.clone()),
        };
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", url.authority().map_or("", |authority| authority.as_str()))
            .header("content-type", "application/json");
        if let Ok(token) = std::env::var(TOKEN) {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request =
            request.body(Full::new(body)).map_err(|error| ClientError::Unable(error.to_string()))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| ClientError::Unable(error.to_string()))?;
        let (status, bytes) =
            runtime.block_on(exchange(&url, &trust, request, patience)).map_err(|why| self.silent(&why))?;
        if status.is_success() {
            return serde_json::from_slice(&bytes).map_err(|_| self.garbled(status, &bytes));
        }
        match serde_json::from_slice(&bytes) {
            Ok(Told { error: Reason { message, expected, help } }) => {
                let token = "put an API token into GYRE_TOKEN (`gyre access token create`)";
                let help = help.or((status == StatusCode::UNAUTHORIZED).then(|| token.to_owned()));
                Err(ClientError::Refused { status, message, expected, help })
            }
            Err(_) => Err(self.garbled(status, &bytes)),
        }
    }

    fn silent(&self, reason: &str) -> ClientError {
        ClientError::Silent { url: self.url.clone(), reason: reason.to_owned() }
    }

    fn garbled(&self, status: StatusCode, bytes: &[u8]) -> ClientError {
        let found = String::from_utf8_lossy(bytes).chars().take(200).collect();
        ClientError::Garbled { url: self.url.clone(), status, found }
    }
}

/// One request and its answer; or why there is none.
async fn exchange(
    url: &Uri,
    trust: &Trust,
    request: Request<Full<Bytes>>,
    patience: Duration,
) -> Result<(StatusCode, Bytes), String> {
    let late = |limit: Duration| move |_| format!("nothing came within {} s", limit.as_secs());
    let stream = tokio::time::timeout(CONNECT, dial(url, trust)).await.map_err(late(CONNECT))??;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(|error| error.to_string())?;
    // It ends with the runtime; what breaks it breaks the request too, which says so.
    tokio::spawn(connection);
    let answer = async {
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LARGEST).collect().await;
        Ok((status, body.map_err(|error| error.to_string())?.to_bytes()))
    };
    tokio::time::timeout(patience, answer).await.map_err(late(patience))?
}

/// `text` as one segment of a path.
pub(crate) fn segment(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let each = text
        .bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") });
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_an_id_holds_it_stays_one_segment() {
        assert_eq!(segment("UA 1545/2013?x=ü"), "UA%201545%2F2013%3Fx%3D%C3%BC");
    }

    #[test]
    fn an_announcement_that_was_left_behind_is_no_server() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Server::announced(dir.path()).is_none());
        std::fs::create_dir(dir.path().join(STATE_DIR)).unwrap();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let text = format!("{{\"url\": \"http://{free}\", \"pid\": 1}}");
        std::fs::write(dir.path().join(STATE_DIR).join(ANNOUNCEMENT), text).unwrap();
        let server = Server::announced(dir.path()).unwrap();
        assert!(Server::running(dir.path()).is_none());
        let error = server.get("/v2/health/live").unwrap_err().to_string();
        assert!(error.contains("does not answer") && error.contains("gyre up"), "{error}");
    }
}

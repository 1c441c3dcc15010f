//! What somebody wants to have run or asked: the command or the URL, the protocol, the limits.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gyre_core::record::Signature;
use gyre_runtime::Table;
use http::{HeaderName, HeaderValue};

use crate::backoff::Backoff;

/// What the model's server speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Protocol {
    /// The Open Inference Protocol, version 2, over HTTP: `POST /v2/models/NAME/infer`. Tensors travel in binary when the
    /// server's metadata names the extension `binary_tensor_data`, otherwise as JSON.
    V2 {
        /// The model's name at its server.
        model: String,
        /// The version to name in requests, for servers that want one.
        version: Option<String>,
        /// The name of the input that takes all features as one matrix, for servers whose metadata does not say so; otherwise
        /// the features go as one tensor each, of shape `[rows, 1]`.
        matrix: Option<String>,
    },
    /// MLflow's scoring protocol: `POST /invocations` with `dataframe_split`.
    Mlflow,
}

impl Protocol {
    /// V2 for a model of this name, with everything else as its server says.
    pub fn v2(model: impl Into<String>) -> Self {
        Self::V2 { model: model.into(), version: None, matrix: None }
    }
}

/// How much is asked of a model at once, and how much may wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Calls under way at once. One is right for a server that answers one request at a time: the rows that come meanwhile
    /// go together in the next call.
    pub calls: usize,
    /// Rows that go together in one call; 1 turns batching off. A request with more rows goes alone, whole.
    pub batch_rows: usize,
    /// Rows that may wait.
    pub queue_rows: usize,
    /// Requests that may wait.
    pub queue_requests: usize,
    /// The largest answer that is read, in bytes.
    pub answer_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { calls: 1, batch_rows: 256, queue_rows: 4_096, queue_requests: 1_024, answer_bytes: 64 << 20 }
    }
}

/// Where a process is to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listen {
    /// On a port of 127.0.0.1 that is free when it starts.
    FreePort,
    /// On this port of 127.0.0.1.
    Port(u16),
    /// On a Unix socket in a folder that only this user can enter: the quickest, and nobody else can reach it.
    Socket,
}

/// Takes each line that a process prints. It is called on the way of the output, so it must be quick.
#[derive(Clone)]
pub struct LogHook(pub Arc<dyn Fn(&str) + Send + Sync>);

impl fmt::Debug for LogHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogHook")
    }
}

/// A command that answers one of the protocols.
///
/// It learns where to listen from `{port}` or `{socket}` in its arguments, or from the environment: `PORT` and `GYRE_PORT`,
/// or `GYRE_SOCKET`. It must listen on 127.0.0.1, or on the socket.
#[derive(Debug, Clone)]
pub struct ProcessSpec {
    /// Program and arguments; no shell reads them.
    pub command: Vec<String>,
    /// The folder that it runs in.
    pub dir: PathBuf,
    /// Variables set for it. A value may hold `{port}` or `{socket}`.
    pub env: Vec<(String, String)>,
    /// Names of variables of our own environment that it gets, beside [`PASSED`]. It sees no others: our secrets are not its.
    pub pass_env: Vec<String>,
    /// Where it is to listen.
    pub listen: Listen,
    /// What it speaks.
    pub protocol: Protocol,
    /// What it takes and gives.
    pub signature: Signature,
    /// The path whose `200` says that it is ready; `None` for the protocol's own (`/v2/models/NAME/ready`, `/ping`).
    pub probe: Option<String>,
    /// A row that must be predicted before it counts as ready. `None`: a made-up row, which it may refuse, but must not
    /// answer wrongly.
    pub warm_up: Option<Table>,
    /// How long it may take until it is ready.
    pub start_within: Duration,
    /// How often it is asked whether it still answers, while it is not asked for anything else.
    pub probe_every: Duration,
    /// How long it may give no sign of life, while it is asked for something, until it is killed. Must be longer than the
    /// longest prediction.
    pub hang_after: Duration,
    /// How long requests under way may take to end when it is to stop, before it is told to.
    pub drain: Duration,
    /// How long it may take to end after it was told to (SIGTERM), before it is killed.
    pub grace: Duration,
    /// The memory that its whole group may hold, in bytes.
    pub memory: Option<u64>,
    /// How long it may be idle until it is stopped; the next request starts it again and waits for it.
    pub idle: Option<Duration>,
    /// How much of what it printed is kept, in bytes.
    pub keep_log: usize,
    /// Takes each line that it prints.
    pub log_hook: Option<LogHook>,
    /// How long to wait before it is started again after a failure.
    pub backoff: Backoff,
    /// How much is asked of it at once.
    pub limits: Limits,
    /// The paths, beside those of its protocol, to which requests may be passed on as they are.
    pub pass: Vec<String>,
}

/// The variables of our own environment that every process gets.
pub const PASSED: [&str; 7] = ["HOME", "LANG", "LC_ALL", "LC_CTYPE", "PATH", "TMPDIR", "TZ"];

impl ProcessSpec {
    /// This command, with defaults for everything else. It listens on a socket when `{socket}` is among its arguments, and
    /// on a free port otherwise.
    pub fn new<S: Into<String>>(
        command: impl IntoIterator<Item = S>,
        protocol: Protocol,
        signature: Signature,
    ) -> Self {
        let command: Vec<String> = command.into_iter().map(Into::into).collect();
        let socket = command.iter().any(|argument| argument.contains("{socket}"));
        Self {
            command,
            dir: PathBuf::from("."),
            env: Vec::new(),
            pass_env: Vec::new(),
            listen: if socket { Listen::Socket } else { Listen::FreePort },
            protocol,
            signature,
            probe: None,
            warm_up: None,
            start_within: Duration::from_secs(120),
            probe_every: Duration::from_secs(5),
            hang_after: Duration::from_secs(60),
            drain: Duration::from_secs(30),
            grace: Duration::from_secs(10),
            memory: None,
            idle: None,
            keep_log: 256 << 10,
            log_hook: None,
            backoff: Backoff::default(),
            limits: Limits::default(),
            pass: Vec::new(),
        }
    }
}

/// A model whose server somebody else looks after.
#[derive(Debug, Clone)]
pub struct PlacedSpec {
    /// What it speaks.
    pub protocol: Protocol,
    /// What it takes and gives.
    pub signature: Signature,
    /// The paths, beside those of its protocol, to which requests may be passed on as they are.
    pub pass: Vec<String>,
    /// How much is asked of it at once.
    pub limits: Limits,
}

impl PlacedSpec {
    /// With defaults for everything else: eight calls at once.
    pub fn new(protocol: Protocol, signature: Signature) -> Self {
        let limits = Limits { calls: 8, ..Limits::default() };
        Self { protocol, signature, pass: Vec::new(), limits }
    }
}

/// A model at a URL.
#[derive(Clone)]
pub struct EndpointSpec {
    /// Where it is: scheme, host, port, and the path in front of the protocol's own paths.
    pub url: String,
    /// What it speaks.
    pub protocol: Protocol,
    /// What it takes and gives.
    pub signature: Signature,
    /// Headers of every request, a token perhaps. They are never shown.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Certificate authorities (DER) that are trusted beside the system's.
    pub roots: Vec<Vec<u8>>,
    /// How much is asked of it at once.
    pub limits: Limits,
    /// The paths, beside those of its protocol, to which requests may be passed on as they are.
    pub pass: Vec<String>,
}

impl EndpointSpec {
    /// The model at `url`, with defaults for everything else: eight calls at once.
    pub fn new(url: impl Into<String>, protocol: Protocol, signature: Signature) -> Self {
        let limits = Limits { calls: 8, ..Limits::default() };
        let (url, pass) = (url.into(), Vec::new());
        Self { url, protocol, signature, headers: Vec::new(), roots: Vec::new(), limits, pass }
    }
}

impl fmt::Debug for EndpointSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("EndpointSpec")
            .field("url", &self.url)
            .field("protocol", &self.protocol)
            .field("headers", &names)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

//! Where a version's model runs: in our process, in one of its own, or somewhere else.
//!
//! A version is more than a file. A model that needs its own interpreter is the command that serves it, a model of
//! another team is its URL; both are versions like any other, with a signature, a share of traffic, a history. What is
//! said here becomes part of the journal, so secrets have no place in it: they are named, and taken from the server's
//! environment when they are used.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Span;
pub use crate::kubernetes::{Container, Deployment, InferenceService, Kubernetes, Workload};

/// How the names of variables begin that may be sent to a URL. Whoever deploys names variable and URL alike, so that without
/// a rule every secret of the server's environment could be sent anywhere.
pub const SECRETS: &str = "GYRE_MODEL_";

/// Where a version's model runs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Runtime {
    /// In our process: the artifact is the model's file.
    #[default]
    Native,
    /// As a command that answers a serving protocol: the artifact is this description.
    Process(Box<Process>),
    /// At a URL that answers a serving protocol: the artifact is this description.
    Endpoint(Box<Endpoint>),
    /// On a Kubernetes cluster, in objects that gyre makes: the artifact is this description.
    Kubernetes(Box<Kubernetes>),
}

/// A command that serves a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// Program and arguments; no shell reads them. `{port}` or `{socket}` says where it is to listen.
    pub command: Vec<String>,
    /// What it speaks.
    pub protocol: Protocol,
    /// The folder that it runs in, relative to the project; the project's own when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dir: Option<String>,
    /// Variables set for it. Not for secrets: they are kept in the journal.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Names of variables of the server's environment that it gets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pass_env: Vec<String>,
    /// The memory that it may hold, in MiB; it is started again when it holds more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u64>,
    /// How long it may be idle until it is stopped; the next request starts it again and waits for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle: Option<Span>,
    /// How long it may take to start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_within: Option<Span>,
    /// Paths at its server, beside those of its protocol, to which requests are passed on as they are (`/v1/chat/completions`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pass: Vec<String>,
    /// How much is asked of it at once.
    #[serde(default, skip_serializing_if = "Limits::is_default")]
    pub limits: Limits,
}

/// A model at a URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// Scheme, host, port, and the path in front of the protocol's own paths.
    pub url: String,
    /// What it speaks.
    pub protocol: Protocol,
    /// Headers of every request whose values are variables of the server's environment: header by variable. The variables'
    /// names begin with [`SECRETS`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers_from_env: BTreeMap<String, String>,
    /// Paths at its server, beside those of its protocol, to which requests are passed on as they are (`/v1/chat/completions`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pass: Vec<String>,
    /// How much is asked of it at once.
    #[serde(default, skip_serializing_if = "Limits::is_default")]
    pub limits: Limits,
}

/// What a model's server speaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Protocol {
    /// The Open Inference Protocol, version 2, over HTTP.
    V2 {
        /// The model's name at its server.
        model: String,
        /// The version to name in requests, for servers that want one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<String>,
        /// The input that takes all features as one matrix, for servers whose metadata does not say so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        matrix: Option<String>,
    },
    /// MLflow's scoring protocol.
    Mlflow,
}

/// How much is asked of a model at once; what is not said is left to gyre.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Calls under way at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls: Option<u32>,
    /// Rows that go together in one call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_rows: Option<u32>,
    /// Rows that may wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_rows: Option<u32>,
}

impl Limits {
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Endpoint {
    /// What is wrong with it, in words.
    ///
    /// # Errors
    /// A variable that is not for models.
    pub fn check(&self) -> Result<(), String> {
        match self.headers_from_env.iter().find(|(_, variable)| !variable.starts_with(SECRETS)) {
            Some((header, variable)) => Err(format!(
                "the header {header} is to hold the variable {variable}; only variables whose names begin with {SECRETS} are sent to models"
            )),
            None => Ok(()),
        }
    }
}

impl Runtime {
    /// Whether the model runs in our process.
    pub fn is_native(&self) -> bool {
        *self == Self::Native
    }

    /// What is wrong with it, in words.
    ///
    /// # Errors
    /// A variable that is not for models; a path that is not written out.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Self::Native => Ok(()),
            Self::Process(process) => check_paths(&process.pass),
            Self::Endpoint(endpoint) => check_paths(&endpoint.pass).and_then(|()| endpoint.check()),
            // What it asks of the cluster is checked where the cluster's rules are known.
            Self::Kubernetes(kubernetes) => check_paths(&kubernetes.pass),
        }
    }
}

/// Most paths that requests are passed on to, and the longest, in bytes.
const PATHS: usize = 32;
const LONGEST: usize = 256;

/// A path that is compared letter by letter must have one way of being written.
fn check_paths(paths: &[String]) -> Result<(), String> {
    if paths.len() > PATHS {
        return Err(format!("requests are to be passed on to {} paths, {PATHS} are the most", paths.len()));
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~:@+,".contains(&byte);
    let is_path = |path: &str| {
        let inner = path.strip_prefix('/').unwrap_or_default();
        path.len() <= LONGEST
            && path.bytes().all(plain)
            && inner.split('/').all(|part| !["", ".", ".."].contains(&part))
    };
    match paths.iter().find(|path| !is_path(path)) {
        Some(path) => Err(format!(
            "{path:?} is no path to pass requests on to; expected such as /v1/chat/completions, of letters, digits and -._~:@+, alone"
        )),
        None => Ok(()),
    }
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Native => f.write_str("in process"),
            Self::Process(process) => write!(f, "command `{}`", process.command.join(" ")),
            Self::Endpoint(endpoint) => write!(f, "endpoint {}", endpoint.url),
            Self::Kubernetes(kubernetes) => write!(f, "{kubernetes}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_reads_as_it_is_written() {
        let text = r#"{"kind":"process","command":["mlflow","models","serve","-p","{port}"],"protocol":"mlflow","idle":"15m"}"#;
        let runtime: Runtime = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&runtime).unwrap(), text);
        assert_eq!(runtime.to_string(), "command `mlflow models serve -p {port}`");
        let text = r#"{"kind":"endpoint","url":"https://a.example","protocol":{"v2":{"model":"iris"}}}"#;
        let runtime: Runtime = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&runtime).unwrap(), text);
        assert!(!runtime.is_native() && Runtime::default().is_native());
        let Runtime::Endpoint(mut endpoint) = runtime.clone() else { panic!() };
        endpoint.headers_from_env.insert("Authorization".to_owned(), "GYRE_MODEL_TOKEN".to_owned());
        assert_eq!(endpoint.check(), Ok(()));
        endpoint.headers_from_env.insert("X".to_owned(), "AWS_SECRET_ACCESS_KEY".to_owned());
        assert!(endpoint.check().unwrap_err().contains("AWS_SECRET_ACCESS_KEY"));
        let passing = |path: &str| -> Runtime {
            serde_json::from_value(serde_json::json!({
                "kind": "process", "command": ["a"], "protocol": "mlflow", "pass": [path],
            }))
            .unwrap()
        };
        assert_eq!(passing("/v1/chat/completions").check(), Ok(()));
        for wrong in ["v1", "/", "/a/../b", "/a//b", "/a/", "/a?b=1", "/a%2fb", "/ä", ""] {
            assert!(passing(wrong).check().is_err(), "{wrong}");
        }
        let text = r#"{"kind":"kubernetes","protocol":{"v2":{"model":"iris"}},"workload":{"deployment":{"image":"iris:3","port":8080}}}"#;
        let runtime: Runtime = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&runtime).unwrap(), text);
        assert_eq!(runtime.to_string(), "Kubernetes Deployment of iris:3");
        let wrong = r#"{"kind":"process","command":["a"],"protocol":"mlflow","memory":3}"#;
        assert!(serde_json::from_str::<Runtime>(wrong).unwrap_err().to_string().contains("memory"));
    }
}

//! What can go wrong between us and a cluster, each with its place and what to do.

use std::path::PathBuf;
use std::time::Duration;

/// Why there is no access to a cluster.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccessError {
    /// Nothing says which cluster.
    #[error(
        "nothing says which cluster to use: expected a kubeconfig ($KUBECONFIG, or ~/.kube/config), or to run in a pod with a service account"
    )]
    Nowhere,
    /// A file that is named cannot be read.
    #[error("{path} cannot be read: {error}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// A kubeconfig that says nothing, or something that is not followed.
    #[error("{path}: {problem}", path = path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// Certificates or keys that cannot be used.
    #[error("the TLS of the access to the cluster cannot be set up: {0}")]
    Tls(String),
}

/// Why the API server did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApiError {
    /// There is no access.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// It did not answer.
    #[error("the API server {server} cannot be reached: {why}")]
    Unreachable {
        /// Its URL.
        server: String,
        /// What happened.
        why: String,
    },
    /// It did not answer in time.
    #[error("the API server {server} did not answer within {:.0} s", within.as_secs_f64())]
    Deadline {
        /// Its URL.
        server: String,
        /// The time that it had.
        within: Duration,
    },
    /// It refused.
    #[error("the API server refused to {what}: {message} ({status} {reason}){}", remedy(*status, reason))]
    Refused {
        /// What was asked.
        what: String,
        /// The HTTP status.
        status: u16,
        /// Its word for it: `NotFound`, `Forbidden`, `Conflict`, …
        reason: String,
        /// Its message.
        message: String,
    },
    /// Its answer is not one of an API server, or larger than is read.
    #[error("the API server's answer to {what} cannot be used: {problem}")]
    Answer {
        /// What was asked.
        what: String,
        /// What is wrong.
        problem: String,
    },
}

impl ApiError {
    /// The HTTP status with which the API server refused, when it did.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Whether the same may be done another time, when nobody does anything about it.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Deadline { .. } => true,
            Self::Refused { status, .. } => matches!(status, 408 | 410 | 429 | 500..),
            Self::Access(_) | Self::Answer { .. } => false,
        }
    }
}

fn remedy(status: u16, reason: &str) -> &'static str {
    match status {
        // An object that is not there is `NotFound`; a kind that is not known has no such word.
        404 if reason != "NotFound" => {
            "; the cluster does not know this kind of object: is KServe installed?"
        }
        401 => "; the credentials are not accepted: have they expired?",
        403 => "; docs/deployment.md, \"Kubernetes\", has the Role that gyre needs",
        _ => "",
    }
}

/// Why a description makes no objects.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// The YAML cannot be read.
    #[error("the manifest is no YAML: {0}")]
    Yaml(String),
    /// An object is not what it must be.
    #[error("object {at} of the manifest: {problem}")]
    Object {
        /// Which, from one.
        at: usize,
        /// What is wrong, and what was expected.
        problem: String,
    },
    /// Nothing in it can be asked.
    #[error("{0}")]
    Nothing(String),
    /// A word that Kubernetes would not take.
    #[error("{what} is {found:?}; expected {expected}")]
    Word {
        /// Which.
        what: &'static str,
        /// What it is.
        found: String,
        /// What it must be.
        expected: &'static str,
    },
}

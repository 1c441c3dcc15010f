//! A version that runs on a Kubernetes cluster: what is to run there, in the words of those who run things there.
//!
//! This is the part of a version's description that the journal keeps; `gyre-kube` makes objects of it. It holds no secrets: a
//! container gets them from Secrets of its namespace, which are named here.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Span;
use crate::runtime::{Limits, Protocol};

/// A version on a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kubernetes {
    /// What the server speaks. `{name}` in the model's name stands for the name that its objects get.
    pub protocol: Protocol,
    /// What is to run.
    pub workload: Workload,
    /// The namespace; that of gyre's own access to the cluster when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The URL at which gyre reaches it, where that is not its address within the cluster: `{name}` and `{namespace}` in it stand for
    /// those of its objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// How long it may take until it is ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_within: Option<Span>,
    /// Paths at its server, beside those of its protocol, to which requests are passed on as they are (`/v1/chat/completions`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pass: Vec<String>,
    /// How much is asked of it at once.
    #[serde(default, skip_serializing_if = "Limits::is_default")]
    pub limits: Limits,
}

/// What is to run on a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Workload {
    /// A Deployment of one container, and a Service in front of it.
    Deployment(Deployment),
    /// A model that KServe fetches and serves.
    InferenceService(InferenceService),
    /// Objects that somebody brought, as YAML; texts in them may hold `{name}` and `{namespace}`.
    Manifest(String),
}

/// A Deployment of one container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deployment {
    /// The image.
    pub image: String,
    /// The port on which the container listens; it finds it in `PORT` too.
    pub port: u16,
    /// How many pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u32>,
    /// What the container gets.
    #[serde(default, skip_serializing_if = "Container::is_default")]
    pub container: Container,
}

/// A model that KServe fetches and serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InferenceService {
    /// KServe's name of its kind: `sklearn`, `xgboost`, `onnx`, …
    pub model_format: String,
    /// Where it lies: `s3://…`, `gs://…`, `pvc://…`, …
    pub storage_uri: String,
    /// The fewest pods; 0 lets it sleep where KServe can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_replicas: Option<u32>,
    /// The most pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_replicas: Option<u32>,
    /// What the container gets.
    #[serde(default, skip_serializing_if = "Container::is_default")]
    pub container: Container,
}

/// What a container gets.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Container {
    /// Its arguments; `{name}`, `{namespace}` and `{port}` in them stand for what they say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Variables set for it. Not for secrets: they are kept in the journal.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Secrets of the namespace whose entries become variables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env_from: Vec<String>,
    /// The processors that it asks for and may use at most, as Kubernetes writes it: `500m`, `2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
    /// The memory that it asks for and may use at most, as Kubernetes writes it: `512Mi`, `2Gi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    /// The service account of its pods. Without one they get no access to the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account: Option<String>,
}

impl Container {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Kubernetes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.workload {
            Workload::Deployment(of) => write!(f, "Kubernetes Deployment of {}", of.image),
            Workload::InferenceService(of) => {
                write!(f, "KServe InferenceService of {} ({})", of.storage_uri, of.model_format)
            }
            Workload::Manifest(_) => f.write_str("Kubernetes manifest"),
        }
    }
}

//! The words of `gyre deploy` for versions on a Kubernetes cluster: those of `kubectl` and of KServe, where they have one.

use std::path::PathBuf;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use clap::Args;
use gyre_core::runtime::{Container, Deployment, InferenceService, Kubernetes, Limits, Protocol, Workload};
use gyre_core::{Span, Version};
use serde_json::Value;

use crate::client::Server;
use crate::failure::Failure;

/// How often it is asked how a version comes along.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
#[command(next_help_heading = "Models on a Kubernetes cluster")]
pub(super) struct ClusterArgs {
    /// An image to run as a Deployment with a Service; its arguments come after `--`.
    #[arg(long, value_name = "IMAGE", requires = "protocol", conflicts_with_all = ["candidate", "file", "endpoint", "storage_uri", "manifest"])]
    image: Option<String>,
    /// A model that KServe is to fetch and serve as an InferenceService: s3://…, gs://…, pvc://…
    #[arg(long, value_name = "URI", requires_all = ["protocol", "model_format"], conflicts_with_all = ["candidate", "file", "endpoint", "manifest"])]
    storage_uri: Option<String>,
    /// Objects in YAML: a Deployment with a Service, or an InferenceService; gyre adds its labels. `{name}` in quotes stands
    /// for a name of the version's own.
    #[arg(long, value_name = "FILE", requires = "protocol", conflicts_with_all = ["candidate", "file", "endpoint", "serve"])]
    manifest: Option<PathBuf>,
    /// KServe's name of the model's kind: sklearn, xgboost, onnx, …
    #[arg(long, value_name = "FORMAT", requires = "storage_uri")]
    model_format: Option<String>,
    /// The namespace; by default that of the kubeconfig's context, or of gyre's own pod.
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,
    /// The port on which the image listens; it finds it in PORT too. 8080 by default.
    #[arg(long, value_name = "PORT", requires = "image")]
    port: Option<u16>,
    /// How many pods of an image run.
    #[arg(long, value_name = "N", requires = "image")]
    replicas: Option<u32>,
    /// The fewest pods that KServe runs; 0 lets the model sleep where KServe can.
    #[arg(long, value_name = "N", requires = "storage_uri")]
    min_replicas: Option<u32>,
    /// The most pods that KServe runs.
    #[arg(long, value_name = "N", requires = "storage_uri")]
    max_replicas: Option<u32>,
    /// The processors that a pod asks for and may use at most: 500m, 2.
    #[arg(long, value_name = "AMOUNT")]
    cpu: Option<String>,
    /// A Secret of the namespace whose entries become variables of the container.
    #[arg(long, value_name = "SECRET")]
    env_from: Vec<String>,
    /// The service account of the pods; without one they get no access to the cluster.
    #[arg(long, value_name = "NAME")]
    service_account: Option<String>,
    /// Where gyre reaches the model, when gyre runs outside of the cluster: a URL, in which {name} and {namespace} are filled
    /// in. Its address must be one that `gyre up` may connect to.
    #[arg(long, value_name = "URL")]
    address: Option<String>,
}

/// What is said of a version whatever it runs on.
pub(super) struct Shared<'a> {
    pub(super) protocol: Protocol,
    pub(super) served_as: Option<&'a str>,
    pub(super) args: &'a [String],
    pub(super) env: &'a [(String, String)],
    pub(super) memory: Option<&'a str>,
    pub(super) start_within: Option<Span>,
    pub(super) pass: &'a [String],
    pub(super) limits: Limits,
}

impl ClusterArgs {
    /// Whether they say that a version is brought along for a cluster.
    pub(super) fn is_given(&self) -> bool {
        self.image.is_some() || self.storage_uri.is_some() || self.manifest.is_some()
    }

    /// What is to run; none when nothing is said of a cluster.
    pub(super) fn kubernetes(&self, shared: Shared<'_>) -> Result<Option<Kubernetes>, Failure> {
        let Shared { mut protocol, served_as, args, env, memory, start_within, pass, limits } = shared;
        let container = Container {
            args: args.to_vec(),
            env: env.iter().cloned().collect(),
            env_from: self.env_from.clone(),
            cpu: self.cpu.clone(),
            memory: memory.map(amount),
            service_account: self.service_account.clone(),
        };
        let workload = if let Some(image) = &self.image {
            let (image, port) = (image.clone(), self.port.unwrap_or(8080));
            Workload::Deployment(Deployment { image, port, replicas: self.replicas, container })
        } else if let (Some(uri), Some(format)) = (&self.storage_uri, &self.model_format) {
            // KServe's servers call a model as its InferenceService is called.
            if let (Protocol::V2 { model, .. }, None) = (&mut protocol, served_as) {
                "{name}".clone_into(model);
            }
            Workload::InferenceService(InferenceService {
                model_format: format.clone(),
                storage_uri: uri.clone(),
                min_replicas: self.min_replicas,
                max_replicas: self.max_replicas,
                container,
            })
        } else if let Some(path) = &self.manifest {
            if container != Container::default() {
                return Err(Failure::because(
                    "--cpu, --memory, --env, --env-from and --service-account go with --image and --storage-uri; a manifest says them itself",
                ));
            }
            let text = std::fs::read_to_string(path)
                .map_err(|error| Failure::because(format!("{} cannot be read: {error}", path.display())))?;
            Workload::Manifest(text)
        } else {
            if self.namespace.is_some() || self.address.is_some() || self.cpu.is_some() {
                return Err(Failure::because(
                    "--namespace, --address and --cpu are for a model on a cluster: bring --image, --storage-uri or --manifest",
                ));
            }
            return Ok(None);
        };
        let (namespace, address, pass) = (self.namespace.clone(), self.address.clone(), pass.to_vec());
        Ok(Some(Kubernetes { protocol, workload, namespace, address, start_within, pass, limits }))
    }
}

/// A number alone is MiB, as it is for commands.
fn amount(text: &str) -> String {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { format!("{text}Mi") } else { text.to_owned() }
}

/// The objects as YAML would have them: JSON, which is YAML, one document each.
pub(super) fn manifest(answer: &Value) -> String {
    let objects = answer.get("objects").and_then(Value::as_array).into_iter().flatten();
    let texts = objects.filter_map(|object| serde_json::to_string_pretty(object).ok());
    texts.collect::<Vec<_>>().join("\n---\n")
}

/// Does `work`, and meanwhile tells on standard error what the version waits for.
pub(super) fn telling<T>(server: &Server, path: &str, version: Version, work: impl FnOnce() -> T) -> T {
    let (done, ended) = (Mutex::new(false), Condvar::new());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut told = None;
            loop {
                let guard = done.lock().unwrap_or_else(PoisonError::into_inner);
                let waited = ended.wait_timeout_while(guard, LOOK, |done| !*done);
                if *waited.unwrap_or_else(PoisonError::into_inner).0 {
                    return;
                }
                // Whoever does the work says what is wrong with the server.
                let remark =
                    server.get(&format!("{path}/runtimes")).ok().and_then(|answer| remark(&answer, version));
                if remark.is_some() && remark != told {
                    anstream::eprintln!("version {version}: {}", remark.as_deref().unwrap_or_default());
                    told = remark;
                }
            }
        });
        let worked = work();
        *done.lock().unwrap_or_else(PoisonError::into_inner) = true;
        ended.notify_all();
        worked
    })
}

fn remark(answer: &Value, version: Version) -> Option<String> {
    let all = answer.get("runtimes")?.as_array()?;
    let of = all.iter().find(|of| of.get("version").and_then(Value::as_u64) == Some(version.into()))?;
    Some(of.get("remark")?.as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::amount;

    #[test]
    fn a_number_alone_is_mebibytes() {
        assert_eq!((amount("512"), amount("2Gi")), ("512Mi".to_owned(), "2Gi".to_owned()));
    }
}

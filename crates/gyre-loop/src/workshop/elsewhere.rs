//! Versions that run outside our process: from what the registry says of them to something that answers.

use std::path::{Component, Path};
use std::time::Duration;

use gyre_backend::{Backend, BackendError, Door, EndpointSpec, Instant, Listen, ProcessSpec};
use gyre_core::Span;
use gyre_core::fact::ModelVersion;
use gyre_core::record::Signature;
use gyre_core::runtime::{Endpoint, Limits, Process, Protocol, Runtime};
use gyre_gateway::Remote;
use gyre_kube::Stand;
use http::{HeaderName, HeaderValue};
use tokio::runtime::Handle;

use super::Workshop;
use crate::engine::Failure;

/// How long a URL may take until it answers for the first time.
const REACHED: Duration = Duration::from_secs(30);
/// How long a process may take to start, when nobody says otherwise.
const START: Duration = Duration::from_secs(120);
/// How long a cluster may take to have a version ready, when nobody says otherwise: images and models are large.
const SCHEDULED: Duration = Duration::from_secs(600);

/// What models outside our process need of ours: the runtime that they are asked on, and the door to URLs.
#[derive(Debug, Clone)]
pub struct Abroad {
    /// Where their connections and processes are looked after.
    pub runtime: Handle,
    /// Which URLs may be asked.
    pub door: Door,
}

impl Workshop {
    /// Starts what answers for `version`; it is not waited for.
    pub(super) fn remote(&self, version: &ModelVersion, stand: Stand) -> Result<Remote, Failure> {
        let Some(abroad @ Abroad { runtime, door }) = &self.abroad else {
            return Err(Failure::because("models outside of this process are run by `gyre up` alone"));
        };
        let _entered = runtime.enter();
        let signature = version.signature.clone();
        let backend = match &version.runtime {
            Runtime::Native => return Err(Failure::because("the version runs in process")),
            Runtime::Process(process) => Backend::process(self.process(process, signature)?)?,
            Runtime::Endpoint(endpoint) => Backend::endpoint(url(endpoint, signature)?, door.clone())?,
            Runtime::Kubernetes(of) => self.on_cluster(version, of, stand, abroad)?,
        };
        Ok(Remote::new(backend, runtime.clone()))
    }

    fn process(&self, process: &Process, signature: Signature) -> Result<ProcessSpec, Failure> {
        let mut spec = ProcessSpec::new(process.command.clone(), protocol(&process.protocol), signature);
        spec.dir = match &process.dir {
            None => self.root().to_owned(),
            Some(dir) => self.root().join(inside(dir)?),
        };
        spec.env = process.env.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        if spec.env.iter().any(|(_, value)| value.contains("{socket}")) {
            spec.listen = Listen::Socket;
        }
        spec.pass_env.clone_from(&process.pass_env);
        spec.memory = process.memory_mib.map(|mib| mib.saturating_mul(1 << 20));
        spec.idle = process.idle.map(duration);
        spec.start_within = process.start_within.map_or(START, duration);
        limit(&mut spec.limits, process.limits);
        spec.pass.clone_from(&process.pass);
        Ok(spec)
    }
}

/// Waits until `remote` answers; says what it printed when it does not.
pub(super) fn wait(remote: &Remote, runtime: &Runtime) -> Result<(), Failure> {
    let patience = match runtime {
        Runtime::Process(process) => process.start_within.map_or(START, duration),
        Runtime::Kubernetes(of) => of.start_within.map_or(SCHEDULED, duration),
        Runtime::Native | Runtime::Endpoint(_) => REACHED,
    };
    remote.wait(Instant::now() + patience).map_err(|error| told(remote, &error))
}

/// The error, with the last that the process printed.
fn told(remote: &Remote, error: &BackendError) -> Failure {
    /// Lines that are shown.
    const LAST: usize = 15;
    let log = remote.backend().log();
    let printed = log.get(log.len().saturating_sub(LAST)..).unwrap_or_default().join("\n");
    let status = remote.backend().status();
    // What is not there at all says so itself.
    let remark = status.remark.filter(|_| matches!(error, BackendError::Deadline { .. }));
    let remark = remark.map_or_else(String::new, |remark| format!(": {remark}"));
    let failed = status.last_failure;
    let failed = failed.map_or_else(String::new, |failure| format!(" ({failure})"));
    let printed = if printed.is_empty() { String::new() } else { format!("; it printed:\n{printed}") };
    Failure::because(format!("{error}{remark}{failed}{printed}"))
}

fn url(endpoint: &Endpoint, signature: Signature) -> Result<EndpointSpec, Failure> {
    let mut spec = EndpointSpec::new(endpoint.url.clone(), protocol(&endpoint.protocol), signature);
    endpoint.check().map_err(Failure::because)?;
    for (header, variable) in &endpoint.headers_from_env {
        let value = std::env::var(variable)
            .map_err(|_| Failure::because(format!("the header {header} is to hold the variable {variable}, which the server's environment does not have")))?;
        let name: HeaderName =
            header.parse().map_err(|_| Failure::because(format!("{header:?} is no header")))?;
        let value = HeaderValue::from_str(&value).map_err(|_| {
            Failure::because(format!("the variable {variable} is not what a header can hold"))
        })?;
        spec.headers.push((name, value));
    }
    limit(&mut spec.limits, endpoint.limits);
    spec.pass.clone_from(&endpoint.pass);
    Ok(spec)
}

pub(super) fn protocol(protocol: &Protocol) -> gyre_backend::Protocol {
    match protocol {
        Protocol::Mlflow => gyre_backend::Protocol::Mlflow,
        Protocol::V2 { model, version, matrix } => gyre_backend::Protocol::V2 {
            model: model.clone(),
            version: version.clone(),
            matrix: matrix.clone(),
        },
    }
}

pub(super) fn limit(limits: &mut gyre_backend::Limits, said: Limits) {
    let set = |place: &mut usize, value: Option<u32>| {
        if let Some(value) = value.and_then(|value| usize::try_from(value).ok()) {
            *place = value;
        }
    };
    set(&mut limits.calls, said.calls);
    set(&mut limits.batch_rows, said.batch_rows);
    set(&mut limits.queue_rows, said.queue_rows);
}

/// A folder below the project, for nothing that a request names may lie elsewhere.
fn inside(dir: &str) -> Result<&Path, Failure> {
    let path = Path::new(dir);
    let below = path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if below {
        Ok(path)
    } else {
        Err(Failure::because(format!("{dir:?} is not a folder inside the project")))
    }
}

fn duration(span: Span) -> Duration {
    Duration::from_millis(u64::try_from(span.as_millis()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::inside;

    #[test]
    fn a_process_runs_inside_the_project() {
        assert!(inside("models/python").is_ok() && inside("./a").is_ok());
        for outside in ["/etc", "../elsewhere", "a/../../b"] {
            assert!(inside(outside).unwrap_err().reason.contains("inside the project"), "{outside}");
        }
    }
}

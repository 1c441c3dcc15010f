//! Versions that run on a Kubernetes cluster: who they are there, what becomes of them, what is swept away when they are not
//! needed any more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;
use std::time::Duration;

use gyre_backend::{Backend, PlacedSpec};
use gyre_core::fact::ModelVersion;
use gyre_core::runtime::{Kubernetes, Runtime};
use gyre_core::{Digest, ModelName, Version};
use gyre_gateway::Remote;
use gyre_kube::{Cluster, Identity, Stand};
use gyre_store::journal;
use serde_json::Value;

use super::elsewhere::{self, Abroad};
use super::{Workshop, versions};
use crate::engine::Failure;

/// Attempts to remove what is not needed any more, the first after [`FIRST`], each later one after twice the time; then it is left
/// to the next change of the model's traffic, or to the next start.
const SWEEPS: u32 = 9;
/// Before the first attempt: those who still listen are on their way out.
const FIRST: Duration = Duration::from_millis(50);

impl Workshop {
    /// Which version of which gyre. Gyres that share a namespace are told apart by the beginning of their journals, so that
    /// processes which share a journal are one.
    fn identity(&self, model: &ModelName, version: Version) -> Result<Identity, Failure> {
        let first = self.store.read(|tx| journal::entries(tx, 0, 1))?;
        let first = first.first().map(|entry| format!("{}/{}/{}", entry.recorded, entry.at, entry.actor));
        let first = first.ok_or_else(|| Failure::because("the journal has no beginning yet"))?;
        let digest = Digest::of(first.as_bytes()).to_string();
        let instance = digest.get(..12).unwrap_or(&digest).to_owned();
        Ok(Identity { instance, model: model.clone(), version })
    }

    fn cluster(&self) -> Result<&Cluster, Failure> {
        self.cluster
            .as_ref()
            .ok_or_else(|| Failure::because("models on a cluster are run by `gyre up` alone"))
    }

    /// The objects that a version would have.
    pub(crate) fn objects(
        &self,
        model: &ModelName,
        version: Version,
        of: &Kubernetes,
    ) -> Result<Vec<Value>, Failure> {
        let identity = self.identity(model, version)?;
        let plan = self.cluster()?.plan(of, &identity).map_err(Failure::because)?;
        Ok(plan.objects.into_iter().map(|object| object.body).collect())
    }

    /// Whether a description makes objects at all.
    pub(crate) fn check_objects(&self, model: &ModelName, of: &Kubernetes) -> Result<(), Failure> {
        let identity = Identity { instance: String::new(), model: model.clone(), version: 1 };
        Cluster::protocol(of, &identity).map(drop).map_err(|error| Failure::because(error.to_string()))
    }

    /// Has a version run on the cluster; adopts what runs there already.
    pub(super) fn on_cluster(
        &self,
        version: &ModelVersion,
        of: &Kubernetes,
        stand: Stand,
        abroad: &Abroad,
    ) -> Result<Backend, Failure> {
        let identity = self.identity(&version.model, version.version)?;
        let protocol =
            Cluster::protocol(of, &identity).map_err(|error| Failure::because(error.to_string()))?;
        let mut spec = PlacedSpec::new(elsewhere::protocol(&protocol), version.signature.clone());
        elsewhere::limit(&mut spec.limits, of.limits);
        spec.pass.clone_from(&of.pass);
        let news = self.cluster()?.keep(of, identity, stand);
        Ok(Backend::placed(spec, abroad.door.clone(), news)?)
    }

    /// Starts what answers for `version`, and waits until it does. Meanwhile it is seen by [`Workshop::coming`]. What does not
    /// come up is let go of.
    pub(super) fn up(&self, version: &ModelVersion) -> Result<Remote, Failure> {
        let remote = self.remote(version, Stand::New)?;
        let key = (version.model.clone(), version.version);
        let coming = || self.coming.lock().unwrap_or_else(PoisonError::into_inner);
        coming().insert(key.clone(), remote.clone());
        let waited = elsewhere::wait(&remote, &version.runtime);
        coming().remove(&key);
        match waited {
            Ok(()) => Ok(remote),
            Err(failure) => {
                drop(remote);
                if let Runtime::Kubernetes(of) = &version.runtime {
                    let gone = BTreeMap::from([(version.version, (**of).clone())]);
                    self.sweep(&version.model, gone);
                }
                Err(failure)
            }
        }
    }

    /// The versions of a model that are waited for at present.
    pub(crate) fn coming(&self, model: &ModelName) -> Vec<(Version, Remote)> {
        let coming = self.coming.lock().unwrap_or_else(PoisonError::into_inner);
        let of_model = coming.iter().filter(|((of, _), _)| of == model);
        of_model.map(|((_, version), remote)| (*version, remote.clone())).collect()
    }

    /// Why something of a model could not be removed from the cluster.
    pub(crate) fn left_over(&self, model: &ModelName) -> Option<String> {
        self.left_over.lock().unwrap_or_else(PoisonError::into_inner).get(model).cloned()
    }

    /// Removes the objects of all versions of `model` but those that are `wanted` or loaded.
    pub(super) fn sweep_all_but(&self, model: &ModelName, all: &[&ModelVersion], wanted: &BTreeSet<Version>) {
        let loaded = self.gateway.versions(model.as_str());
        let gone = all.iter().filter_map(|version| match &version.runtime {
            Runtime::Kubernetes(of) => Some((version.version, (**of).clone())),
            Runtime::Native | Runtime::Process(_) | Runtime::Endpoint(_) => None,
        });
        let gone = gone.filter(|(version, _)| !wanted.contains(version) && !loaded.contains(version));
        self.sweep(model, gone.collect());
    }

    /// Removes the objects of these versions, in the background.
    fn sweep(&self, model: &ModelName, gone: BTreeMap<Version, Kubernetes>) {
        let (Some(Abroad { runtime, .. }), Some(cluster)) = (&self.abroad, self.cluster.clone()) else {
            return;
        };
        if gone.is_empty() {
            return;
        }
        let identity = match self.identity(model, 1) {
            Ok(identity) => identity,
            Err(Failure { reason, .. }) => {
                self.left_over.lock().unwrap_or_else(PoisonError::into_inner).insert(model.clone(), reason);
                return;
            }
        };
        let (model, left_over) = (model.clone(), std::sync::Arc::clone(&self.left_over));
        runtime.spawn(async move {
            let mut told = None;
            for attempt in 0..SWEEPS {
                tokio::time::sleep(FIRST * 2_u32.pow(attempt)).await;
                told = match cluster.sweep(&identity.instance, &model, &gone).await {
                    Ok(true) => None,
                    Ok(false) => {
                        Some("a version that is not needed any more is still being asked".to_owned())
                    }
                    Err(error) => Some(error.to_string()),
                };
                if told.is_none() {
                    break;
                }
            }
            let mut left_over = left_over.lock().unwrap_or_else(PoisonError::into_inner);
            match told {
                Some(told) => left_over.insert(model, told),
                None => left_over.remove(&model),
            };
        });
    }
}

impl Workshop {
    /// A version outside of our process that answers already, or is started for the occasion.
    pub(super) fn serving(&self, version: &ModelVersion) -> Result<versions::Answerer, Failure> {
        let serving = self.gateway.remote(version.model.as_str(), version.version);
        Ok(versions::Answerer::Remote(match serving {
            Some(serving) => serving,
            None => self.up(version)?,
        }))
    }
}

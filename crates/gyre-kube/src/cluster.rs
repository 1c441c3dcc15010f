//! A cluster as those who deploy see it: versions that are kept there, and what is swept away.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use gyre_backend::{News, Place};
use gyre_core::runtime::{Kubernetes, Protocol};
use gyre_core::{ModelName, Version};
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::access::Access;
use crate::client::Client;
use crate::error::{AccessError, ApiError, ManifestError};
use crate::keeper::{Find, Keeper, Known, Stand};
use crate::kind::Kind;
use crate::manifest::{Plan, plan};
use crate::names::{Identity, VERSION, label_of, of_model};

/// A cluster.
#[derive(Clone)]
pub struct Cluster {
    runtime: Handle,
    find: Arc<Find>,
    keepers: Arc<Mutex<BTreeMap<Identity, watch::Sender<News>>>>,
}

impl Cluster {
    /// The cluster to which `find` finds access whenever it is needed; versions are looked after on `runtime`.
    pub fn new(
        runtime: Handle,
        find: impl Fn() -> Result<Access, AccessError> + Send + Sync + 'static,
    ) -> Self {
        Self { runtime, find: Arc::new(find), keepers: Arc::default() }
    }

    /// What a version's server speaks, with its name filled in.
    ///
    /// # Errors
    /// [`ManifestError`]: the description makes no objects.
    pub fn protocol(of: &Kubernetes, identity: &Identity) -> Result<Protocol, ManifestError> {
        Ok(plan(of, identity, "default")?.protocol)
    }

    /// The objects of a version, as they would be made now.
    ///
    /// # Errors
    /// [`ApiError::Access`], and what is wrong with the description, in words.
    pub fn plan(&self, of: &Kubernetes, identity: &Identity) -> Result<Plan, String> {
        let namespace = match &of.namespace {
            Some(namespace) => namespace.clone(),
            None => (self.find)().map_err(|error| error.to_string())?.namespace,
        };
        plan(of, identity, &namespace).map_err(|error| error.to_string())
    }

    /// Has a version run, and keeps it until the last of those who hear of it is gone. Its objects stay then; see
    /// [`Cluster::sweep`].
    pub fn keep(&self, of: &Kubernetes, identity: Identity, stand: Stand) -> watch::Receiver<News> {
        let mut keepers = self.keepers.lock().unwrap_or_else(PoisonError::into_inner);
        keepers.retain(|_, keeper| !keeper.is_closed());
        if let Some(keeper) = keepers.get(&identity) {
            let news = keeper.subscribe();
            // With another beside ours it has not ended, and will not as long as ours is there.
            if keeper.receiver_count() > 1 {
                return news;
            }
        }
        let first = News::of(Place::Coming { why: "it is being made".to_owned() });
        let (sender, news) = watch::channel(first);
        keepers.insert(identity.clone(), sender.clone());
        let known = Known::default();
        let keeper =
            Keeper { find: Arc::clone(&self.find), of: of.clone(), identity, news: sender, stand, known };
        self.runtime.spawn(keeper.run());
        news
    }

    /// Removes the objects of versions of `model` that are `gone`, and says whether none is left. Nothing else is touched: not
    /// what other gyres made, not what does not carry our labels, not what is still kept.
    ///
    /// # Errors
    /// [`ApiError`]; what was not removed is removed by the next sweep.
    pub async fn sweep(
        &self,
        instance: &str,
        model: &ModelName,
        gone: &BTreeMap<Version, Kubernetes>,
    ) -> Result<bool, ApiError> {
        if gone.is_empty() {
            return Ok(true);
        }
        let mut is_all = true;
        let client = Client::new((self.find)()?)?;
        let identity = |version| Identity { instance: instance.to_owned(), model: model.clone(), version };
        let mut places: BTreeSet<(String, &'static Kind)> = BTreeSet::new();
        for (version, of) in gone {
            // What makes no objects has none.
            if let Ok(plan) = plan(of, &identity(*version), client.namespace()) {
                places.extend(plan.objects.into_iter().map(|object| (object.namespace, object.kind)));
            }
        }
        let selector = of_model(instance, model);
        for (namespace, kind) in places {
            let listed = match client.list(kind, &namespace, ("labelSelector", &selector)).await {
                // The cluster does not know the kind, so it has none of it.
                Err(error) if error.status() == Some(404) => continue,
                listed => listed?,
            };
            for object in listed.items {
                let version: Option<Version> = label_of(&object, VERSION).and_then(|text| text.parse().ok());
                let Some(version) = version.filter(|version| gone.contains_key(version)) else { continue };
                let identity = identity(version);
                if self.is_kept(&identity) {
                    is_all = false;
                } else if identity.owns(&object) && !is_ending(&object) {
                    client.delete(kind, &object).await?;
                }
            }
        }
        Ok(is_all)
    }

    fn is_kept(&self, identity: &Identity) -> bool {
        let keepers = self.keepers.lock().unwrap_or_else(PoisonError::into_inner);
        keepers.get(identity).is_some_and(|keeper| !keeper.is_closed())
    }
}

/// Whether it is being deleted already.
fn is_ending(object: &Value) -> bool {
    object.pointer("/metadata/deletionTimestamp").is_some()
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cluster")
    }
}

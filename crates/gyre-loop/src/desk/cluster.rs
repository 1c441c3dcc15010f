//! What a person may ask about versions on a cluster, and about those that are still coming up.

use gyre_core::runtime::Kubernetes;
use gyre_core::{ModelName, Version};
use gyre_gateway::Remote;
use serde_json::Value;

use super::deploy::told;
use super::{Desk, DeskError};

impl Desk {
    /// The number that the next version of a model gets, and the objects that it would have on the cluster.
    ///
    /// # Errors
    /// [`DeskError::Refused`]: a description that makes no objects, no access to a cluster.
    pub fn planned(&self, model: &ModelName, of: &Kubernetes) -> Result<(Version, Vec<Value>), DeskError> {
        let named = model.clone();
        let version = self.store.read(move |tx| gyre_registry::next_version(tx, &named))?;
        Ok((version, self.workshop.objects(model, version, of).map_err(told)?))
    }

    /// The versions of a model that run outside of this process, take no traffic yet, and are waited for.
    pub fn coming(&self, model: &ModelName) -> Vec<(Version, Remote)> {
        self.workshop.coming(model)
    }

    /// Why something of a model that is not needed any more is still on the cluster.
    pub fn left_over(&self, model: &ModelName) -> Option<String> {
        self.workshop.left_over(model)
    }
}

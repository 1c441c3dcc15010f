//! The rules that features are held to, as the gateway keeps them for each version.

use std::sync::Arc;
use std::time::Duration;

use gyre_core::{ModelName, Version};

use super::Gateway;
use super::deployment::{Deployment, Group};
use crate::request::Request;
use crate::rules::{Counting, FeatureRule, FeatureRules};

impl Gateway {
    /// Holds the features of every request to a loaded version to `rules` from now on. Rules that say the same as those in force
    /// change nothing, and go on counting.
    pub fn set_feature_rules(&self, model: &ModelName, version: Version, rules: FeatureRules) {
        if let Some(deployment) = self.deployment(model.as_str())
            && let Some(loaded) = deployment.versions.get(&version)
            && !loaded.rules.load().says_the_same(&rules)
        {
            loaded.rules.store(Arc::new(rules));
        }
    }

    /// The rules that the features of a loaded version are held to, with what was counted since it was loaded.
    pub fn feature_rules(&self, model: &str, version: Version) -> Option<Vec<FeatureRule>> {
        Some(self.deployment(model)?.versions.get(&version)?.rules.load().shown())
    }

    /// Why the rules of a loaded version lack what was seen in training; none when they do not.
    pub fn rules_problem(&self, model: &str, version: Version) -> Option<String> {
        Some(self.deployment(model)?.versions.get(&version)?.rules.load().problem()?.to_owned())
    }

    /// A request that a candidate's rules refuse and those of the champion do not is the candidate's failure: its caller
    /// is worse off for having met it.
    pub(super) fn hold_against(&self, deployment: &Deployment, group: &Group<'_>, request: &Request) {
        let trial = deployment.trials.iter().find(|trial| trial.candidate() == group.loaded.version);
        let (Some(trial), Some(traffic), true) = (trial, &deployment.traffic, group.is_dealt) else { return };
        let (Some(champion), [id]) = (deployment.versions.get(&traffic.champion), &request.ids[..]) else {
            return;
        };
        let taken = request
            .bind(&champion.signature, |name| deployment.knows(name))
            .and_then(|places| champion.check(request, &places, None, Counting::Nothing));
        if taken.is_ok() {
            group.loaded.failed(request);
            let id = request.key.as_ref().unwrap_or(id);
            if trial.observe(group.loaded.version, deployment.weight(trial), id, Duration::ZERO, false) {
                self.brake(deployment.model.as_str(), trial);
            }
        }
    }
}

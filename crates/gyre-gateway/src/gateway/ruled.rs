//! Rules that decide before chance does, as the gateway keeps them.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};

use gyre_core::ModelName;

use super::Gateway;
use super::deployment::Deployment;
use crate::contextual::{Headers, RuleCount, Rules};

impl Gateway {
    /// Has `rules` decide before chance does, from the next request on; none: chance alone. Rules that are the same as before
    /// go on counting.
    pub fn set_rules(&self, model: &ModelName, rules: Option<Rules>) {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(current) = self.deployment(model.as_str()) else { return };
        let split = |rules: &Rules| rules.split().clone();
        if current.rules.as_deref().map(split) == rules.as_ref().map(split) {
            return;
        }
        let mut next = Deployment::clone(&current);
        next.rules = rules.map(Arc::new);
        self.swap(next);
        let asks = |found: &Arc<Deployment>| {
            found.rules.as_ref().is_some_and(|rules| !rules.split().headers.is_empty())
        };
        self.asks_for_headers.store(self.table.load().values().any(asks), Relaxed);
    }

    /// The rules of a model, with what each has done; empty when there are none.
    pub fn rules(&self, model: &str) -> Vec<RuleCount> {
        let deployment = self.deployment(model);
        deployment.and_then(|found| Some(found.rules.as_ref()?.counts())).unwrap_or_default()
    }

    /// What the rules of `model` may know of a request's headers, which `found` looks up by their names in lower case.
    pub fn headers<'a>(&self, model: &str, found: impl Fn(&str) -> Option<&'a str>) -> Headers {
        if !self.asks_for_headers.load(Relaxed) {
            return Headers::new();
        }
        let deployment = self.deployment(model);
        deployment.and_then(|there| Some(there.rules.as_ref()?.headers(found))).unwrap_or_default()
    }
}

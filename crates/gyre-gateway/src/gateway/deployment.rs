//! One model in the table: its versions, who takes how much traffic, and which version answers which rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use gyre_backend::Instant as Deadline;
use gyre_core::record::Route;
use gyre_core::{ModelName, Version};

use super::loaded::Loaded;
use super::{PATIENCE, Traffic};
use crate::error::{InferError, Refusal};
use crate::request::Request;
use crate::routing::{Split, WHOLE};
use crate::shadow::Shadow;
use crate::trial::Trial;

/// One model: its versions and how traffic is split between them.
#[derive(Clone)]
pub(super) struct Deployment {
    pub(super) model: ModelName,
    pub(super) versions: BTreeMap<Version, Arc<Loaded>>,
    pub(super) traffic: Option<Traffic>,
    pub(super) split: Option<Split>,
    /// While one candidate takes a part of the traffic.
    pub(super) trial: Option<Arc<Trial>>,
    /// From when on one candidate has had a share of nothing, for as long as it is a candidate.
    pub(super) shadow: Option<Arc<Shadow>>,
}

/// The rows of a request that one version answers.
pub(super) struct Group<'a> {
    pub(super) loaded: &'a Arc<Loaded>,
    pub(super) route: Route,
    /// None: all of them.
    pub(super) rows: Option<Vec<usize>>,
}

/// The one version beside the champion that has a share; none when there are several, or none.
pub(super) fn on_trial(weights: &[(Version, u32)], champion: Version) -> Option<Version> {
    let mut candidates = weights.iter().filter(|(version, share)| *version != champion && *share > 0);
    match (candidates.next(), candidates.next()) {
        (Some((candidate, _)), None) => Some(*candidate),
        _ => None,
    }
}

impl Deployment {
    /// A model without versions.
    pub(super) fn new(model: ModelName) -> Self {
        Self { model, versions: BTreeMap::new(), traffic: None, split: None, trial: None, shadow: None }
    }

    /// The shadow that goes with these shares: one that is there while its candidate is one, a new one where a candidate
    /// has a share of nothing.
    pub(super) fn shadowed(
        &self,
        weights: &[(Version, u32)],
        champion: Version,
    ) -> std::io::Result<Option<Arc<Shadow>>> {
        let mut candidates = weights.iter().filter(|(version, _)| *version != champion);
        let (Some((candidate, share)), None) = (candidates.next(), candidates.next()) else {
            return Ok(None);
        };
        if let Some(there) = self.shadow.as_ref().filter(|there| there.is_of(*candidate, champion)) {
            return Ok(Some(Arc::clone(there)));
        }
        let Some(loaded) = self.versions.get(candidate).filter(|_| *share == 0) else { return Ok(None) };
        let loaded = Arc::clone(loaded);
        let asked = move |request: Request| {
            let places =
                request.bind(&loaded.signature, |_| true).inspect_err(|_| loaded.failed(&request)).ok()?;
            // On the shadow's own thread, which nobody waits for.
            let scored = loaded.score_all(Route::Candidate, request, &places, Deadline::now() + PATIENCE);
            Some(pollster::block_on(scored).ok()?.answers().collect())
        };
        Shadow::start(*candidate, champion, Box::new(asked)).map(|shadow| Some(Arc::new(shadow)))
    }

    /// Sends all requests by these shares.
    pub(super) fn direct(&mut self, weights: &[(Version, u32)], champion: Version) {
        self.split = Some(Split::new(self.model.as_str(), weights, champion));
        self.traffic = Some(Traffic { weights: weights.to_vec(), champion });
    }

    pub(super) fn loaded(&self, version: Version) -> Result<&Arc<Loaded>, InferError> {
        self.versions.get(&version).ok_or_else(|| InferError::UnknownVersion {
            model: self.model.clone(),
            version,
            loaded: self.versions.keys().copied().collect(),
        })
    }

    /// The share of the traffic that a version takes, 0 to 1.
    pub(super) fn weight(&self, version: Version) -> f64 {
        let weights = self.traffic.iter().flat_map(|traffic| &traffic.weights);
        let share = weights.into_iter().find(|(taking, _)| *taking == version);
        share.map_or(0.0, |(_, share)| f64::from(*share) / f64::from(WHOLE))
    }

    /// Whether some loaded version has a feature of that name.
    pub(super) fn knows(&self, feature: &str) -> bool {
        self.versions.values().any(|loaded| loaded.signature.inputs.iter().any(|field| field.name == feature))
    }

    pub(super) fn no_rows(&self) -> InferError {
        let version = self.split.as_ref().map_or(0, Split::champion);
        InferError::Refused { model: self.model.clone(), version, refusal: Refusal::Empty }
    }

    /// Which version answers which rows.
    pub(super) fn groups(
        &self,
        pinned: Option<Version>,
        request: &Request,
    ) -> Result<Vec<Group<'_>>, InferError> {
        if let Some(version) = pinned {
            return Ok(vec![Group { loaded: self.loaded(version)?, route: Route::Pinned, rows: None }]);
        }
        let split = self.split.as_ref().ok_or_else(|| InferError::NoTraffic(self.model.clone()))?;
        let route = |version| if version == split.champion() { Route::Champion } else { Route::Candidate };
        let whole = |version| -> Result<Vec<Group<'_>>, InferError> {
            Ok(vec![Group { loaded: self.loaded(version)?, route: route(version), rows: None }])
        };
        if split.is_whole() {
            return whole(split.champion());
        }
        if let Some(key) = &request.key {
            return whole(split.version_for(key));
        }
        let mut by_version: BTreeMap<Version, Vec<usize>> = BTreeMap::new();
        match &request.ids[..] {
            [id] => return whole(split.version_for(id)),
            ids => ids.iter().enumerate().for_each(|(row, id)| {
                by_version.entry(split.version_for(id)).or_default().push(row);
            }),
        }
        if let (1, Some((version, _))) = (by_version.len(), by_version.first_key_value()) {
            return whole(*version);
        }
        let group = |(version, rows)| {
            Ok(Group { loaded: self.loaded(version)?, route: route(version), rows: Some(rows) })
        };
        by_version.into_iter().map(group).collect()
    }
}

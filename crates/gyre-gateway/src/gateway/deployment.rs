//! One model in the table: its versions, who takes how much traffic, and which version answers which rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use gyre_backend::Instant as Deadline;
use gyre_core::fact::Target;
use gyre_core::record::Route;
use gyre_core::{ModelName, Version};

use super::loaded::Loaded;
use super::{PATIENCE, Traffic};
use crate::contextual::Rules;
use crate::error::{InferError, Refusal};
use crate::met::Met;
use crate::request::Request;
use crate::routing::Split;
use crate::rules::Counting;
use crate::shadow::Shadow;
use crate::trial::{Terms, Trial};

/// One model: its versions and how traffic is split between them.
#[derive(Clone)]
pub(super) struct Deployment {
    pub(super) model: ModelName,
    pub(super) versions: BTreeMap<Version, Arc<Loaded>>,
    pub(super) traffic: Option<Traffic>,
    pub(super) split: Option<Split>,
    /// One for each version beside the champion that has a share, in the order of their numbers.
    pub(super) trials: Vec<Arc<Trial>>,
    /// From when on one candidate has had a share of nothing, for as long as it is a candidate.
    pub(super) shadow: Option<Arc<Shadow>>,
    /// What decides before chance does.
    pub(super) rules: Option<Arc<Rules>>,
    /// Who has met which version, while shares move both ways.
    pub(super) met: Option<Arc<Met>>,
}

/// The rows of a request that one version answers.
pub(super) struct Group<'a> {
    pub(super) loaded: &'a Arc<Loaded>,
    pub(super) route: Route,
    /// None: all of them.
    pub(super) rows: Option<Vec<usize>>,
    /// Whether chance dealt these rows to the version now, by its share, so that they say something about it.
    pub(super) is_dealt: bool,
}

/// Why a version answers a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Why {
    /// A rule says so.
    Rule,
    /// It has before.
    Met,
    /// Chance dealt it.
    Dealt,
}

impl Deployment {
    /// A model without versions.
    pub(super) fn new(model: ModelName) -> Self {
        Self {
            model,
            versions: BTreeMap::new(),
            traffic: None,
            split: None,
            trials: Vec::new(),
            shadow: None,
            rules: None,
            met: None,
        }
    }

    /// The trials that go with these shares: one that is there while its candidate has a share, new ones for the others. They
    /// share the chance of a false conviction evenly.
    pub(super) fn tried(
        &self,
        weights: &[(Version, u32)],
        champion: Version,
        terms: &Terms,
    ) -> Vec<Arc<Trial>> {
        let mut candidates: Vec<Version> = weights
            .iter()
            .filter(|(version, share)| *version != champion && *share > 0)
            .map(|(version, _)| *version)
            .collect();
        candidates.sort_unstable();
        let terms = Terms { alpha: terms.alpha / candidates.len().max(1) as f64, ..terms.clone() };
        let classes =
            |version| self.versions.get(&version).map_or(&[][..], |loaded| &loaded.signature.classes[..]);
        let trial = |candidate| match self.trials.iter().find(|trial| trial.is_of(candidate, champion)) {
            Some(trial) => Arc::clone(trial),
            None => {
                Arc::new(Trial::of((candidate, classes(candidate)), (champion, classes(champion)), &terms))
            }
        };
        candidates.into_iter().map(trial).collect()
    }

    /// These shares, with those of convicted candidates given to the champion.
    pub(super) fn without_convicted(
        &self,
        weights: &[(Version, u32)],
        champion: Version,
    ) -> Vec<(Version, u32)> {
        let convicted = |version: Version| {
            version != champion
                && self.trials.iter().any(|trial| trial.candidate() == version && trial.is_convicted())
        };
        let taken: u32 =
            weights.iter().filter(|(version, _)| convicted(*version)).map(|(_, share)| share).sum();
        if taken == 0 {
            return weights.to_vec();
        }
        let mut kept: Vec<(Version, u32)> = weights
            .iter()
            .filter(|(version, _)| !convicted(*version))
            .map(|(version, share)| (*version, share + if *version == champion { taken } else { 0 }))
            .collect();
        if !kept.iter().any(|(version, _)| *version == champion) {
            kept.push((champion, taken));
        }
        kept
    }

    /// Who a rule's target is now; none while nobody is, or a candidate that was convicted.
    fn resolve(&self, target: Target) -> Option<Version> {
        let traffic = self.traffic.as_ref()?;
        let candidate = || {
            let mut others =
                traffic.weights.iter().filter(|(version, share)| *version != traffic.champion && *share > 0);
            others.next().map(|(version, _)| *version)
        };
        let version = match target {
            Target::Champion => traffic.champion,
            Target::Candidate => candidate()?,
            Target::Version(version) => version,
        };
        let convicted = self.trials.iter().any(|trial| trial.candidate() == version && trial.is_convicted());
        (self.versions.contains_key(&version) && !convicted).then_some(version)
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
            // The champion has answered what its own rules let through.
            let odd = loaded
                .check(&request, &places, None, Counting::Refused)
                .inspect_err(|_| loaded.failed(&request))
                .ok()?;
            odd.count();
            // On the shadow's own thread, which nobody waits for.
            let scored =
                loaded.score_all(Route::Candidate, request, &places, &odd, Deadline::now() + PATIENCE);
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

    /// The candidate's share of the traffic that its trial is about, its own and the champion's: 0 to 1.
    pub(super) fn weight(&self, trial: &Trial) -> f64 {
        let Some(traffic) = &self.traffic else { return 0.0 };
        let share = |wanted: Version| {
            let found = traffic.weights.iter().find(|(version, _)| *version == wanted);
            found.map_or(0.0, |(_, share)| f64::from(*share))
        };
        let (candidate, champion) = (share(trial.candidate()), share(traffic.champion));
        if candidate + champion > 0.0 { candidate / (candidate + champion) } else { 0.0 }
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
            return Ok(vec![Group {
                loaded: self.loaded(version)?,
                route: Route::Pinned,
                rows: None,
                is_dealt: false,
            }]);
        }
        let split = self.split.as_ref().ok_or_else(|| InferError::NoTraffic(self.model.clone()))?;
        let route = |version| if version == split.champion() { Route::Champion } else { Route::Candidate };
        let whole = |version| -> Result<Vec<Group<'_>>, InferError> {
            Ok(vec![Group {
                loaded: self.loaded(version)?,
                route: route(version),
                rows: None,
                is_dealt: true,
            }])
        };
        if self.rules.is_some() || self.met.is_some() {
            return self.groups_row_by_row(split, request);
        }
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
            Ok(Group {
                loaded: self.loaded(version)?,
                route: route(version),
                rows: Some(rows),
                is_dealt: true,
            })
        };
        by_version.into_iter().map(group).collect()
    }

    /// The same where rules are asked first, or whoever met a version keeps it.
    fn groups_row_by_row(&self, split: &Split, request: &Request) -> Result<Vec<Group<'_>>, InferError> {
        let mut by_answer: BTreeMap<(Version, Why), Vec<usize>> = BTreeMap::new();
        for (row, id) in request.ids.iter().enumerate() {
            let rules = self.rules.as_ref();
            let ruled = rules.and_then(|rules| rules.decide(request, row, |target| self.resolve(target)));
            let answer = match ruled {
                Some(version) => (version, Why::Rule),
                None => self.dealt(split, request.key.as_ref().unwrap_or(id)),
            };
            by_answer.entry(answer).or_default().push(row);
        }
        let alone = by_answer.len() == 1;
        let group = |((version, why), rows)| {
            let route = match why {
                Why::Rule => Route::Rule,
                Why::Met | Why::Dealt if version == split.champion() => Route::Champion,
                Why::Met | Why::Dealt => Route::Candidate,
            };
            let (loaded, is_dealt) = (self.loaded(version)?, why == Why::Dealt);
            Ok(Group { loaded, route, rows: (!alone).then_some(rows), is_dealt })
        };
        by_answer.into_iter().map(group).collect()
    }

    /// Who answers what no rule decides.
    pub(super) fn dealt(&self, split: &Split, unit: &str) -> (Version, Why) {
        let Some(met) = &self.met else { return (split.version_for(unit), Why::Dealt) };
        let has_a_share = |wanted: Version| {
            let traffic = self.traffic.as_ref();
            traffic.is_some_and(|traffic| {
                traffic.weights.iter().any(|(version, share)| *version == wanted && *share > 0)
            })
        };
        match met.version_for(unit, has_a_share, || split.version_for(unit)) {
            (version, true) => (version, Why::Dealt),
            (version, false) => (version, Why::Met),
        }
    }
}

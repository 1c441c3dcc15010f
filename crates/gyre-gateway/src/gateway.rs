//! The table of loaded versions, how it is changed, and the way of one prediction through it.
//!
//! The table is immutable and swapped as a whole: a request takes the table as it is, and finishes with it, while a
//! change prepares the next one. What a change drops is freed when the last request that uses it is done.

mod loaded;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;
use gyre_core::ids::nearest;
use gyre_core::record::{Label, Route, Signature};
use gyre_core::time::Period;
use gyre_core::{ModelName, Version};
use gyre_runtime::Column;
use gyre_store::Store;

use crate::error::{InferError, LoadError, LogError, Refusal, TrafficError};
use crate::evidence::Evidence;
use crate::log::{Found, InferenceLog, LogOptions, LogPosition, Scan};
use crate::request::{Answer, Request};
use crate::routing::{Split, WHOLE};
use crate::shadow::{Shadow, ShadowFinding};
use crate::totals::Totals;
use crate::trial::{ALPHA, Finding, Trial};
use loaded::{Loaded, Scored};

/// Serves predictions of all models of a project.
pub struct Gateway {
    table: ArcSwap<Table>,
    /// Held while the next table is prepared.
    changing: Mutex<()>,
    log: InferenceLog,
}

type Table = HashMap<Arc<str>, Arc<Deployment>>;

/// One model: its versions and how traffic is split between them.
#[derive(Clone)]
struct Deployment {
    model: ModelName,
    versions: BTreeMap<Version, Arc<Loaded>>,
    traffic: Option<Traffic>,
    split: Option<Split>,
    /// While one candidate takes a part of the traffic.
    trial: Option<Arc<Trial>>,
    /// From when on one candidate has had a share of nothing, for as long as it is a candidate.
    shadow: Option<Arc<Shadow>>,
}

/// Who takes how much traffic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traffic {
    /// Shares by version, in hundredths of a percent; they add up to 10,000.
    pub weights: Vec<(Version, u32)>,
    /// The version in charge.
    pub champion: Version,
}

/// The rows of a request that one version answers.
struct Group<'a> {
    loaded: &'a Arc<Loaded>,
    route: Route,
    /// None: all of them.
    rows: Option<Vec<usize>>,
}

impl Gateway {
    /// A gateway without models, whose inference log lies in `log_dir`; what a crash left there is repaired first.
    ///
    /// # Errors
    /// What the disk or the journal said.
    pub fn open(log_dir: PathBuf, store: Arc<Store>) -> Result<Self, LogError> {
        Self::open_with(log_dir, store, LogOptions::default())
    }

    /// As [`Gateway::open`], with other limits of the log.
    ///
    /// # Errors
    /// As [`Gateway::open`].
    pub fn open_with(log_dir: PathBuf, store: Arc<Store>, options: LogOptions) -> Result<Self, LogError> {
        let log = InferenceLog::open(log_dir, store, options)?;
        Ok(Self { table: ArcSwap::default(), changing: Mutex::new(()), log })
    }

    /// Loads a version and runs it once, before it can take any traffic. Loading the same bytes again changes nothing.
    ///
    /// # Errors
    /// [`LoadError`]; whatever serves goes on serving.
    pub fn load(
        &self,
        model: &ModelName,
        version: Version,
        signature: Signature,
        artifact: &[u8],
    ) -> Result<(), LoadError> {
        let loaded = Loaded::prepare(model, version, signature, artifact)?;
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let log = self.log.of(model)?;
        let mut next = self.deployment(model.as_str()).map_or_else(
            || Deployment {
                model: model.clone(),
                versions: BTreeMap::new(),
                traffic: None,
                split: None,
                trial: None,
                shadow: None,
            },
            |deployment| Deployment::clone(&deployment),
        );
        match next.versions.get(&version) {
            Some(there) if there.same_as(&loaded) => return Ok(()),
            Some(_) => return Err(LoadError::Changed { model: model.clone(), version }),
            None => next.versions.insert(version, Arc::new(loaded.logging_to(log))),
        };
        self.swap(next);
        Ok(())
    }

    /// Moves the traffic of `model`, for all requests from now on at once. Shares are in hundredths of a percent.
    ///
    /// # Errors
    /// [`TrafficError`]; the traffic is then as it was.
    pub fn set_traffic(
        &self,
        model: &ModelName,
        weights: &[(Version, u32)],
        champion: Version,
    ) -> Result<(), TrafficError> {
        self.set_traffic_at(model, weights, champion, ALPHA)
    }

    /// As [`Gateway::set_traffic`]. While one version beside the champion has a share it is on [`Trial`], with the chance
    /// `alpha` of a false conviction. A trial goes on while its shares move; once it has convicted the candidate, the
    /// champion takes the candidate's share, whatever `weights` say, until traffic is moved without the candidate.
    ///
    /// # Errors
    /// As [`Gateway::set_traffic`].
    pub fn set_traffic_at(
        &self,
        model: &ModelName,
        weights: &[(Version, u32)],
        champion: Version,
        alpha: f64,
    ) -> Result<(), TrafficError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let not_loaded = |version| TrafficError::NotLoaded { model: model.clone(), version };
        let current = self.deployment(model.as_str()).ok_or_else(|| not_loaded(champion))?;
        let found = weights.iter().map(|(_, share)| u64::from(*share)).sum();
        if found != u64::from(WHOLE) {
            return Err(TrafficError::Sum { model: model.clone(), found });
        }
        for (at, (version, _)) in weights.iter().enumerate() {
            if weights[..at].iter().any(|(earlier, _)| earlier == version) {
                return Err(TrafficError::Twice { model: model.clone(), version: *version });
            }
        }
        let named = weights.iter().map(|(version, _)| *version).chain([champion]);
        if let Some(version) = named.into_iter().find(|version| !current.versions.contains_key(version)) {
            return Err(not_loaded(version));
        }
        let mut next = Deployment::clone(&current);
        next.shadow = next
            .shadowed(weights, champion)
            .map_err(|error| TrafficError::Shadow { model: model.clone(), error: error.to_string() })?;
        next.trial = on_trial(weights, champion).map(|candidate| match &current.trial {
            Some(trial) if trial.is_of(candidate, champion) => Arc::clone(trial),
            _ => Arc::new(Trial::new(candidate, champion, alpha)),
        });
        let convicted = next.trial.as_ref().is_some_and(|trial| trial.is_convicted());
        let alone = [(champion, WHOLE)];
        next.direct(if convicted { &alone } else { weights }, champion);
        self.swap(next);
        Ok(())
    }

    /// Takes a convicted candidate out of traffic at once. The journal hears of it from whoever judges the rollout.
    fn brake(&self, model: &str, trial: &Arc<Trial>) {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(current) = self.deployment(model) else { return };
        let ours = current.trial.as_ref().is_some_and(|there| Arc::ptr_eq(there, trial));
        if let (true, Some(traffic)) = (ours, &current.traffic) {
            let mut next = Deployment::clone(&current);
            next.direct(&[(traffic.champion, WHOLE)], traffic.champion);
            self.swap(next);
        }
    }

    /// What the trial of a candidate has shown; none when it is not on trial.
    pub fn finding(&self, model: &ModelName, candidate: Version) -> Option<Finding> {
        let deployment = self.deployment(model.as_str())?;
        let trial = deployment.trial.as_ref().filter(|trial| trial.candidate() == candidate)?;
        Some(trial.finding())
    }

    /// Forgets a version that takes no traffic. Its memory is freed when the last request that uses it is done.
    ///
    /// # Errors
    /// [`TrafficError::InUse`] when it still serves, [`TrafficError::NotLoaded`] when it is not there.
    pub fn unload(&self, model: &ModelName, version: Version) -> Result<(), TrafficError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let not_loaded = || TrafficError::NotLoaded { model: model.clone(), version };
        let current = self.deployment(model.as_str()).ok_or_else(not_loaded)?;
        let serves = current.traffic.as_ref().is_some_and(|traffic| {
            traffic.champion == version
                || traffic.weights.iter().any(|(taking, share)| *taking == version && *share > 0)
        });
        if serves {
            return Err(TrafficError::InUse { model: model.clone(), version });
        }
        let mut next = Deployment::clone(&current);
        next.versions.remove(&version).ok_or_else(not_loaded)?;
        self.swap(next);
        Ok(())
    }

    /// Forgets a model with all its versions; says whether there was one. Requests that are under way finish.
    pub fn withdraw(&self, model: &ModelName) -> bool {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut table = Table::clone(&self.table.load());
        let found = table.remove(model.as_str()).is_some();
        self.table.store(Arc::new(table));
        found
    }

    /// Predicts every row of `request` by the version that its id is routed to, or by `pinned`, and logs the
    /// predictions beside. Answers are in the order of the rows. When any row fails, nothing is answered or logged.
    ///
    /// # Errors
    /// [`InferError`]; its [`status`](InferError::status) says whose fault it is.
    pub fn infer(
        &self,
        model: &str,
        pinned: Option<Version>,
        request: Request,
    ) -> Result<Vec<Answer>, InferError> {
        let table = self.table.load();
        let deployment = table.get(model).ok_or_else(|| InferError::UnknownModel {
            model: model.to_owned(),
            nearest: nearest(model, table.keys().map(|name| &**name)).map(str::to_owned),
        })?;
        let groups = deployment.groups(pinned, &request.ids)?;
        let refused = |loaded: &Loaded, refusal| InferError::Refused {
            model: deployment.model.clone(),
            version: loaded.version,
            refusal,
        };
        if let Some(first) = groups.first() {
            request.check_ids().map_err(|refusal| refused(first.loaded, refusal))?;
        } else {
            return Err(deployment.no_rows());
        }
        let known = |name: &str| deployment.knows(name);
        let bound = groups.iter().map(|group| {
            request.bind(&group.loaded.signature, known).map_err(|refusal| refused(group.loaded, refusal))
        });
        let bound = bound.collect::<Result<Vec<_>, _>>()?;
        if let ([group], [places]) = (&groups[..], &bound[..]) {
            let tried = match &request.ids[..] {
                [id] if deployment.trial.is_some() => Some((Arc::clone(id), Instant::now())),
                _ => None,
            };
            let shadow = deployment.shadow.as_ref().filter(|_| group.route != Route::Pinned);
            let shadow = shadow.filter(|_| deployment.trial.is_none());
            let copy = shadow.map(|shadow| (shadow, request.clone()));
            let scored = group.loaded.score_all(group.route, request, places);
            if let Some((id, started)) = tried {
                self.try_out(deployment, group, &id, started, &scored);
            }
            let scored = scored?;
            let answers: Vec<Answer> = scored.answers().collect();
            if let Some((shadow, request)) = copy {
                shadow.mirror(request, answers.clone());
            }
            group.loaded.submit(scored);
            return Ok(answers);
        }
        let mut answers: Vec<Option<Answer>> = vec![None; request.ids.len()];
        let mut to_log: Vec<(&Loaded, Scored)> = Vec::with_capacity(groups.len());
        for (group, places) in groups.iter().zip(&bound) {
            let rows = group.rows.as_deref().unwrap_or_default();
            let scored = group.loaded.score_rows(group.route, &request, places, rows)?;
            for (row, answer) in rows.iter().zip(scored.answers()) {
                if let Some(place) = answers.get_mut(*row) {
                    *place = Some(answer);
                }
            }
            to_log.push((group.loaded, scored));
        }
        to_log.into_iter().for_each(|(loaded, scored)| loaded.submit(scored));
        Ok(answers.into_iter().flatten().collect())
    }

    /// What a candidate has shown in the shadow of the champion; none when it was never there in this rollout.
    pub fn shadow(&self, model: &ModelName, candidate: Version) -> Option<ShadowFinding> {
        let deployment = self.deployment(model.as_str())?;
        let shadow = deployment.shadow.as_ref().filter(|shadow| shadow.candidate() == candidate)?;
        Some(shadow.finding())
    }

    /// Hands a call of one row to the trial, when there is one and chance routed the call.
    fn try_out(
        &self,
        deployment: &Deployment,
        group: &Group<'_>,
        id: &str,
        started: Instant,
        scored: &Result<Scored, InferError>,
    ) {
        let (Some(trial), Some(traffic)) = (&deployment.trial, &deployment.traffic) else { return };
        // A request that was refused says nothing about the version.
        let answered = match scored {
            Ok(_) => true,
            Err(InferError::Model { .. }) => false,
            Err(_) => return,
        };
        if group.route == Route::Pinned {
            return;
        }
        let share = traffic.weights.iter().find(|(version, _)| *version == trial.candidate());
        let weight = share.map_or(0.0, |(_, share)| f64::from(*share) / f64::from(WHOLE));
        if trial.observe(group.loaded.version, weight, id, started.elapsed(), answered) {
            self.brake(deployment.model.as_str(), trial);
        }
    }

    /// What a version has shown since [`Gateway::reset_evidence`]; none when it is not loaded.
    pub fn evidence(&self, model: &ModelName, version: Version) -> Option<Evidence> {
        Some(self.deployment(model.as_str())?.versions.get(&version)?.counters.load().evidence())
    }

    /// What a version has done since it was loaded; none when it is not loaded.
    pub fn totals(&self, model: &str, version: Version) -> Option<Totals> {
        Some(self.deployment(model)?.versions.get(&version)?.tally.totals())
    }

    /// Begins to count a version anew: a step of a rollout begins.
    pub fn reset_evidence(&self, model: &ModelName, version: Version) {
        if let Some(deployment) = self.deployment(model.as_str())
            && let Some(loaded) = deployment.versions.get(&version)
        {
            loaded.counters.store(Arc::default());
        }
    }

    /// Models with at least one loaded version, by name.
    pub fn models(&self) -> Vec<ModelName> {
        let mut models: Vec<ModelName> =
            self.table.load().values().map(|found| found.model.clone()).collect();
        models.sort();
        models
    }

    /// The loaded versions of a model, ascending; none when there is no such model.
    pub fn versions(&self, model: &str) -> Vec<Version> {
        self.deployment(model).map_or_else(Vec::new, |found| found.versions.keys().copied().collect())
    }

    /// What a loaded version takes and gives.
    pub fn signature(&self, model: &str, version: Version) -> Option<Arc<Signature>> {
        Some(Arc::clone(&self.deployment(model)?.versions.get(&version)?.signature))
    }

    /// Who takes how much traffic; none before the first [`Gateway::set_traffic`].
    pub fn traffic(&self, model: &str) -> Option<Traffic> {
        self.deployment(model)?.traffic.clone()
    }

    /// The inference log.
    pub fn log(&self) -> &InferenceLog {
        &self.log
    }

    /// Returns once everything that was answered before is on disk: the acknowledgement "logged".
    ///
    /// # Errors
    /// As [`InferenceLog::flush`].
    pub fn flush(&self, model: &str) -> Result<LogPosition, LogError> {
        self.log.flush(model)
    }

    /// Takes labels in; returns once they are on disk.
    ///
    /// # Errors
    /// As [`InferenceLog::append_labels`].
    pub fn append_labels(&self, model: &str, labels: Vec<Label>) -> Result<(), LogError> {
        self.log.append_labels(model, labels)
    }

    /// The predictions of a period with their labels.
    ///
    /// # Errors
    /// As [`InferenceLog::scan`].
    pub fn scan(&self, model: &str, period: Period) -> Result<Scan, LogError> {
        self.log.scan(model, period)
    }

    /// One prediction with its label, and where it lies.
    ///
    /// # Errors
    /// As [`InferenceLog::find`].
    pub fn find(&self, model: &str, id: &str) -> Result<Option<Found>, LogError> {
        self.log.find(model, id)
    }

    fn deployment(&self, model: &str) -> Option<Arc<Deployment>> {
        self.table.load().get(model).cloned()
    }

    /// Puts `next` in place; `changing` is held.
    fn swap(&self, next: Deployment) {
        let mut table = Table::clone(&self.table.load());
        table.insert(next.model.as_str().into(), Arc::new(next));
        self.table.store(Arc::new(table));
    }
}

/// The one version beside the champion that has a share; none when there are several, or none.
fn on_trial(weights: &[(Version, u32)], champion: Version) -> Option<Version> {
    let mut candidates = weights.iter().filter(|(version, share)| *version != champion && *share > 0);
    match (candidates.next(), candidates.next()) {
        (Some((candidate, _)), None) => Some(*candidate),
        _ => None,
    }
}

impl Deployment {
    /// The shadow that goes with these shares: one that is there while its candidate is one, a new one where a candidate
    /// has a share of nothing.
    fn shadowed(
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
            Some(loaded.score_all(Route::Candidate, request, &places).ok()?.answers().collect())
        };
        Shadow::start(*candidate, champion, Box::new(asked)).map(|shadow| Some(Arc::new(shadow)))
    }

    /// Sends all requests by these shares.
    fn direct(&mut self, weights: &[(Version, u32)], champion: Version) {
        self.split = Some(Split::new(self.model.as_str(), weights, champion));
        self.traffic = Some(Traffic { weights: weights.to_vec(), champion });
    }

    fn loaded(&self, version: Version) -> Result<&Arc<Loaded>, InferError> {
        self.versions.get(&version).ok_or_else(|| InferError::UnknownVersion {
            model: self.model.clone(),
            version,
            loaded: self.versions.keys().copied().collect(),
        })
    }

    /// Whether some loaded version has a feature of that name.
    fn knows(&self, feature: &str) -> bool {
        self.versions.values().any(|loaded| loaded.signature.inputs.iter().any(|field| field.name == feature))
    }

    fn no_rows(&self) -> InferError {
        let version = self.split.as_ref().map_or(0, Split::champion);
        InferError::Refused { model: self.model.clone(), version, refusal: Refusal::Empty }
    }

    /// Which version answers which rows.
    fn groups(&self, pinned: Option<Version>, ids: &[Arc<str>]) -> Result<Vec<Group<'_>>, InferError> {
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
        let mut by_version: BTreeMap<Version, Vec<usize>> = BTreeMap::new();
        match ids {
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

/// The values of `rows`, in their order.
fn gather(column: &Column, rows: &[usize]) -> Column {
    match column {
        Column::Numeric(values) => {
            Column::Numeric(rows.iter().map(|row| values.get(*row).copied().unwrap_or(f64::NAN)).collect())
        }
        Column::Text(values) => {
            Column::Text(rows.iter().map(|row| values.get(*row).cloned().flatten()).collect())
        }
    }
}

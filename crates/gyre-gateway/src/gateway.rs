//! The table of loaded versions, how it is changed, and the way of one prediction through it.
//!
//! The table is immutable and swapped as a whole: a request takes the table as it is, and finishes with it, while a
//! change prepares the next one. What a change drops is freed when the last request that uses it is done.

mod deployment;
mod held;
mod loaded;
mod ruled;
mod trials;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use gyre_backend::Instant as Deadline;
use gyre_core::ids::nearest;
use gyre_core::record::{Route, Signature};
use gyre_core::time::Period;
use gyre_core::{Digest, ModelName, Version};
use gyre_runtime::{Explanation, Name};
use gyre_store::Store;

use crate::cache::CachePolicy;
use crate::engine::Remote;
use crate::error::{InferError, LoadError, LogError, TrafficError};
use crate::evidence::Evidence;
use crate::log::{Found, InferenceLog, LogOptions, LogPosition, Scan};
use crate::request::{Answer, Answers, Request};
use crate::routing::WHOLE;
use crate::rules::{Checked, Counting, Oddity};
use crate::totals::Totals;
use crate::trial::{Terms, Trial};
use deployment::{Deployment, Group, Why};
pub(crate) use loaded::Loaded;
use loaded::Scored;
use trials::predicted;

/// Serves predictions of all models of a project.
pub struct Gateway {
    table: ArcSwap<Table>,
    /// Held while the next table is prepared.
    changing: Mutex<()>,
    log: InferenceLog,
    /// Whether the rules of some model ask for headers.
    asks_for_headers: AtomicBool,
}

/// A request of trials: what chance dealt it by, and with which share of each candidate.
#[derive(Debug)]
pub(crate) struct Tried {
    trials: Vec<(Arc<Trial>, f64)>,
    id: Arc<str>,
}

/// What a version takes and gives.
#[derive(Debug, Clone)]
pub struct Ports {
    /// Its signature.
    pub signature: Arc<Signature>,
    /// The names of its features, in the signature's order, as inputs of a request bear them: shared, not copied for each.
    pub features: Arc<[Name]>,
}

/// How long a model may take, when nobody says otherwise.
pub const PATIENCE: Duration = Duration::from_secs(30);

type Table = HashMap<Arc<str>, Arc<Deployment>>;

/// Who takes how much traffic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traffic {
    /// Shares by version, in hundredths of a percent; they add up to 10,000.
    pub weights: Vec<(Version, u32)>,
    /// The version in charge.
    pub champion: Version,
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
        let asks_for_headers = AtomicBool::new(false);
        Ok(Self { table: ArcSwap::default(), changing: Mutex::new(()), log, asks_for_headers })
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
        let digest = Digest::of(artifact);
        let there = self.deployment(model.as_str());
        let there = there.as_ref().and_then(|deployment| deployment.versions.get(&version));
        if there.is_some_and(|there| there.is_of(&digest, &signature)) {
            return Ok(());
        }
        self.put(Loaded::prepare(model, version, signature, artifact, digest)?)
    }

    /// Has a version answered by a process or URL; `artifact` is the digest of the description of where. Whoever gives it
    /// traffic has waited until it answers ([`Remote::wait`]).
    ///
    /// # Errors
    /// As [`Gateway::load`].
    pub fn load_remote(
        &self,
        model: &ModelName,
        version: Version,
        artifact: Digest,
        remote: Remote,
    ) -> Result<(), LoadError> {
        self.put(Loaded::elsewhere(model, version, artifact, remote))
    }

    fn put(&self, loaded: Loaded<()>) -> Result<(), LoadError> {
        let (model, version) = (&loaded.model.clone(), loaded.version);
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let log = self.log.of(model)?;
        let mut next = self
            .deployment(model.as_str())
            .map_or_else(|| Deployment::new(model.clone()), |deployment| Deployment::clone(&deployment));
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
        self.set_traffic_at(model, weights, champion, &Terms::default())
    }

    /// As [`Gateway::set_traffic`]. A version beside the champion that has a share is on [`Trial`], by `terms`; several share
    /// the chance of a false conviction. A trial goes on while its shares move; once it has convicted the candidate, the
    /// champion takes the candidate's share, whatever `weights` say, until traffic is moved without the candidate.
    ///
    /// # Errors
    /// As [`Gateway::set_traffic`].
    pub fn set_traffic_at(
        &self,
        model: &ModelName,
        weights: &[(Version, u32)],
        champion: Version,
        terms: &Terms,
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
        next.trials = next.tried(weights, champion, terms);
        next.met = terms.learns.then(|| current.met.clone().unwrap_or_default());
        let kept = next.without_convicted(weights, champion);
        next.direct(&kept, champion);
        self.swap(next);
        Ok(())
    }

    /// Has the answers of every loaded version of `model` kept by `policy`, or not any more.
    pub fn set_cache(&self, model: &ModelName, policy: Option<CachePolicy>) {
        if let Some(deployment) = self.deployment(model.as_str()) {
            deployment.versions.values().for_each(|loaded| loaded.keep(policy));
        }
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

    /// [`Gateway::ask`] for whoever may wait on its own thread, with the time that is given when none is.
    ///
    /// # Errors
    /// As [`Gateway::ask`].
    pub fn infer(
        &self,
        model: &str,
        pinned: Option<Version>,
        request: Request,
    ) -> Result<Vec<Answer>, InferError> {
        let asked = self.ask(model, pinned, request, Deadline::now() + PATIENCE);
        Ok(pollster::block_on(asked)?.rows)
    }

    /// Predicts every row of `request` by the version that its id is routed to, or by `pinned`, and logs the
    /// predictions beside. Answers are in the order of the rows. When any row fails, nothing is answered or logged.
    ///
    /// A native model is asked at once, on this thread; one that takes longer or lives elsewhere is awaited, until `deadline`.
    ///
    /// # Errors
    /// [`InferError`]; its [`status`](InferError::status) says whose fault it is.
    pub async fn ask(
        &self,
        model: &str,
        pinned: Option<Version>,
        request: Request,
        deadline: Deadline,
    ) -> Result<Answers, InferError> {
        let Some(deployment) = self.deployment(model) else { return Err(self.unknown(model)) };
        let (time, rows) = (request.time, request.ids.len());
        let answered = self.ask_deployed(&deployment, pinned, request, deadline).await;
        if answered.as_ref().is_err_and(InferError::is_failure) {
            self.log.failed(model, time, rows);
        }
        answered
    }

    async fn ask_deployed(
        &self,
        deployment: &Deployment,
        pinned: Option<Version>,
        request: Request,
        deadline: Deadline,
    ) -> Result<Answers, InferError> {
        let groups = deployment.groups(pinned, &request)?;
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
        let checked = groups.iter().zip(&bound).map(|(group, places)| {
            let checked = group.loaded.check(&request, places, group.rows.as_deref(), Counting::Refused);
            checked.map_err(|refusal| {
                self.hold_against(deployment, group, &request);
                refused(group.loaded, refusal)
            })
        });
        let checked = checked.collect::<Result<Vec<_>, _>>()?;
        checked.iter().for_each(Checked::count);
        if let ([group], [places], [odd]) = (&groups[..], &bound[..], &checked[..]) {
            let on_trial = group.is_dealt && !deployment.trials.is_empty();
            let key = request.key.clone().filter(|_| on_trial);
            let tried = match &request.ids[..] {
                // Chance deals keys where there are keys, and ids where there are none.
                [id] if on_trial => Some((Arc::clone(request.key.as_ref().unwrap_or(id)), Instant::now())),
                _ => None,
            };
            let shadow = deployment.shadow.as_ref().filter(|_| group.is_dealt);
            let shadow = shadow.filter(|_| deployment.trials.is_empty());
            let copy = shadow.map(|shadow| (shadow, request.clone()));
            let scored = group.loaded.score_all(group.route, request, places, odd, deadline).await;
            if let Some((id, started)) = tried {
                self.try_out(deployment, group, &id, started, &scored);
            }
            let scored = scored?;
            let answers: Vec<Answer> = scored.answers().collect();
            if on_trial {
                predicted(deployment, group, key.as_deref(), scored.ids(), &answers);
            }
            if let Some((shadow, request)) = copy {
                shadow.mirror(request, answers.clone());
            }
            group.loaded.submit(scored);
            return Ok(Answers { rows: answers, odd: all_odd(checked) });
        }
        let mut answers: Vec<Option<Answer>> = vec![None; request.ids.len()];
        let mut to_log: Vec<(&Group<'_>, Scored)> = Vec::with_capacity(groups.len());
        for ((group, places), odd) in groups.iter().zip(&bound).zip(&checked) {
            let rows = group.rows.as_deref().unwrap_or_default();
            let scored = group.loaded.score_rows(group.route, &request, places, rows, odd, deadline).await?;
            for (row, answer) in rows.iter().zip(scored.answers()) {
                if let Some(place) = answers.get_mut(*row) {
                    *place = Some(answer);
                }
            }
            to_log.push((group, scored));
        }
        // Only once all rows are answered: otherwise none of them is.
        for (group, scored) in to_log {
            if group.is_dealt && !deployment.trials.is_empty() {
                let answers: Vec<Answer> = scored.answers().collect();
                predicted(deployment, group, request.key.as_deref(), scored.ids(), &answers);
            }
            group.loaded.submit(scored);
        }
        Ok(Answers { rows: answers.into_iter().flatten().collect(), odd: all_odd(checked) })
    }

    /// Takes predictions apart: what each feature added to each row's score, by the version `pinned`, otherwise by the
    /// champion. Nothing is logged, and nothing counts for a rollout.
    ///
    /// # Errors
    /// [`InferError`]; [`InferError::Unexplained`] for models that cannot be explained.
    pub fn explain(
        &self,
        model: &str,
        pinned: Option<Version>,
        request: Request,
    ) -> Result<(Version, Explanation), InferError> {
        let Some(deployment) = self.deployment(model) else { return Err(self.unknown(model)) };
        let champion = deployment.traffic.as_ref().map(|traffic| traffic.champion);
        let version = pinned.or(champion).ok_or_else(|| InferError::NoTraffic(deployment.model.clone()))?;
        let loaded = deployment.loaded(version)?;
        let refused = |refusal| InferError::Refused { model: deployment.model.clone(), version, refusal };
        request.check_ids().map_err(refused)?;
        let places = request.bind(&loaded.signature, |name| deployment.knows(name)).map_err(refused)?;
        let odd = loaded.check(&request, &places, None, Counting::Nothing).map_err(refused)?;
        Ok((version, loaded.explain(request, &places, &odd)?))
    }

    fn unknown(&self, model: &str) -> InferError {
        let table = self.table.load();
        let nearest = nearest(model, table.keys().map(|name| &**name)).map(str::to_owned);
        InferError::UnknownModel { model: model.to_owned(), nearest }
    }

    /// The version that answers a request which is passed on, why, and its trials when chance chose it now. What is passed on
    /// has no features, so no rule is held against it.
    pub(crate) fn chosen(
        &self,
        model: &str,
        pinned: Option<Version>,
        id: &Arc<str>,
        key: Option<&Arc<str>>,
    ) -> Result<(Arc<Loaded>, Route, Option<Tried>), InferError> {
        let deployment = self.deployment(model).ok_or_else(|| self.unknown(model))?;
        if let Some(version) = pinned {
            return Ok((Arc::clone(deployment.loaded(version)?), Route::Pinned, None));
        }
        let split =
            deployment.split.as_ref().ok_or_else(|| InferError::NoTraffic(deployment.model.clone()))?;
        let id = key.unwrap_or(id);
        let (version, why) = deployment.dealt(split, id);
        let route = if version == split.champion() { Route::Champion } else { Route::Candidate };
        let weighed = |trial: &Arc<Trial>| (Arc::clone(trial), deployment.weight(trial));
        let tried = (why == Why::Dealt)
            .then(|| Tried { trials: deployment.trials.iter().map(weighed).collect(), id: Arc::clone(id) });
        Ok((Arc::clone(deployment.loaded(version)?), route, tried))
    }

    /// Hands what became of a request that was passed on to its trials.
    pub(crate) fn try_out_stream(&self, loaded: &Loaded, tried: &Tried, took: Duration, answered: bool) {
        for (trial, weight) in &tried.trials {
            if trial.observe(loaded.version, *weight, &tried.id, took, answered) {
                self.brake(loaded.model.as_str(), trial);
            }
        }
    }

    /// What a version has shown since [`Gateway::reset_evidence`]; none when it is not loaded.
    pub fn evidence(&self, model: &ModelName, version: Version) -> Option<Evidence> {
        Some(self.deployment(model.as_str())?.versions.get(&version)?.counters.load().evidence())
    }

    /// What a version has done since it was loaded; none when it is not loaded.
    pub fn totals(&self, model: &str, version: Version) -> Option<Totals> {
        Some(self.deployment(model)?.versions.get(&version)?.totals())
    }

    /// Begins to count a version anew: a step of a rollout begins.
    pub fn reset_evidence(&self, model: &ModelName, version: Version) {
        if let Some(deployment) = self.deployment(model.as_str())
            && let Some(loaded) = deployment.versions.get(&version)
        {
            loaded.counters.store(Arc::default());
            let trial = deployment.trials.iter().find(|trial| trial.candidate() == version);
            if let Some(trial) = trial {
                trial.begin_step();
            }
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
        Some(Arc::clone(&self.table.load().get(model)?.versions.get(&version)?.signature))
    }

    /// What the version `pinned`, otherwise the one in charge, takes; none when it is not loaded.
    pub fn ports(&self, model: &str, pinned: Option<Version>) -> Option<Ports> {
        // A look at the table as it stands: counting who holds the deployment would keep threads waiting for each other.
        let table = self.table.load();
        let deployment = table.get(model)?;
        let version = pinned.or(deployment.traffic.as_ref().map(|traffic| traffic.champion))?;
        let Loaded { signature, names, .. } = &**deployment.versions.get(&version)?;
        Some(Ports { signature: Arc::clone(signature), features: Arc::clone(names) })
    }

    /// Who takes how much traffic; none before the first [`Gateway::set_traffic`].
    pub fn traffic(&self, model: &str) -> Option<Traffic> {
        self.deployment(model)?.traffic.clone()
    }

    /// The process or URL that answers for a loaded version; none for a native model.
    pub fn remote(&self, model: &str, version: Version) -> Option<Remote> {
        self.deployment(model)?.versions.get(&version)?.remote().cloned()
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

    /// The predictions of a period with their labels.
    ///
    /// # Errors
    /// As [`InferenceLog::scan`].
    pub fn scan(&self, model: &str, period: Period) -> Result<Scan, LogError> {
        self.log.scan(model, period)
    }

    /// How many predictions failed.
    ///
    /// # Errors
    /// As [`InferenceLog::failures`].
    pub fn failures(&self, model: &str, period: Period) -> Result<u64, LogError> {
        self.log.failures(model, period)
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

/// What was odd in all parts of a request.
fn all_odd(checked: Vec<Checked>) -> Vec<Oddity> {
    checked.into_iter().flat_map(|checked| checked.odd).collect()
}

//! The desk: a running project, and what a person may ask of it.
//!
//! Opening a desk opens everything that a project needs to live: the store, the gateway with the models that served before,
//! the loop where it stopped. What a person does (promote, roll back, train) is a fact like any other, under that person's
//! name; the routing follows at once, without waiting for the loop.

mod cluster;
mod deploy;
mod receivers;
mod reload;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use arc_swap::ArcSwap;
use gyre_core::fact::{DataVersion, Decision, Fact, Numbers};
use gyre_core::ids::nearest;
use gyre_core::spec::{self, Project, Window};
use gyre_core::{Clock, Diagnostic, Digest, Entry, ModelName, Span, Timestamp, Version};
use gyre_data::checks::Report;
use gyre_gateway::Gateway;
use gyre_registry::VersionStatus;
use gyre_store::{Appended, NewFact, Room, Store, StoreError, StoreUrl, Tx, journal};

use crate::engine::{Failure, LoopError};
use crate::policy::policies;
use crate::workshop::{Abroad, STATE_DIR, Workshop};
use crate::{Driver, State};
pub use deploy::NewVersion;
pub use reload::Reload;

/// The rooms whose tables a project's store holds.
static ROOMS: [&Room; 7] = [
    &gyre_access::ROOM,
    &gyre_artifacts::ROOM,
    &gyre_registry::ROOM,
    &gyre_tracking::ROOM,
    &gyre_traces::ROOM,
    &gyre_import::ROOM,
    &crate::ROOM,
];

/// The rooms whose tables a project's store holds.
#[must_use]
pub fn rooms() -> &'static [&'static Room] {
    &ROOMS
}

/// Who says how far event time has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeSource {
    /// The clock: event time is now.
    Clock,
    /// Whoever replays history, by [`Desk::advance`].
    Replay,
}

/// A running project.
pub struct Desk {
    root: PathBuf,
    project: ArcSwap<Project>,
    /// The digest of the project file when it was last looked at, if there was one; held while it is.
    seen: Mutex<Option<Digest>>,
    store: Arc<Store>,
    gateway: Arc<Gateway>,
    workshop: Arc<Workshop>,
    driver: Driver,
    /// Models with versions, declared or not.
    deployed: RwLock<BTreeSet<ModelName>>,
    clock: Arc<dyn Clock>,
    time: TimeSource,
    /// Models that could not be served when the project was opened.
    broken: Vec<String>,
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// The project file is wrong.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Project(Vec<Diagnostic>),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The loop cannot run.
    #[error(transparent)]
    Loop(#[from] LoopError),
    /// The inference log cannot be opened or written.
    #[error(transparent)]
    Log(#[from] gyre_gateway::LogError),
    /// It makes no sense now.
    #[error("{0}")]
    Refused(String),
}

impl Desk {
    /// Opens the project in `root` and sets it going where it stopped. Without a project file there are no models to keep
    /// right; what clients track and register is kept all the same.
    ///
    /// # Errors
    /// [`DeskError`]: a wrong project file, a store in use, a log that cannot be repaired.
    pub fn open(root: &Path, clock: Arc<dyn Clock>, time: TimeSource) -> Result<Self, DeskError> {
        Self::open_with(root, None, clock, time)
    }

    /// The same with the store in the PostgreSQL at `url`, when there is one.
    ///
    /// # Errors
    /// As [`Desk::open`].
    pub fn open_with(
        root: &Path,
        url: Option<&StoreUrl>,
        clock: Arc<dyn Clock>,
        time: TimeSource,
    ) -> Result<Self, DeskError> {
        Self::open_in(root, url, clock, time, None)
    }

    /// The same with models that run outside of this process.
    ///
    /// # Errors
    /// As [`Desk::open`].
    pub fn open_in(
        root: &Path,
        url: Option<&StoreUrl>,
        clock: Arc<dyn Clock>,
        time: TimeSource,
        abroad: Option<Abroad>,
    ) -> Result<Self, DeskError> {
        // Trainings, processes and Git are started in other folders; there a relative path would mean something else.
        let root = &std::path::absolute(root).map_err(|error| {
            DeskError::Refused(format!("cannot tell where {} is: {error}", root.display()))
        })?;
        let (project, text) = project_in(root)?;
        let state = root.join(STATE_DIR);
        let store = Arc::new(open_store(root, url, Arc::clone(&clock))?);
        let gateway = Arc::new(Gateway::open(state.join("log"), Arc::clone(&store))?);
        let project = Arc::new(project);
        let workshop = Arc::new(Workshop::new(
            root.to_owned(),
            Arc::clone(&project),
            Arc::clone(&store),
            Arc::clone(&gateway),
            abroad,
        ));
        let deployed: BTreeSet<ModelName> = store
            .read(gyre_registry::models)?
            .into_iter()
            .filter(|model| model.versions > 0)
            .map(|model| model.name)
            .collect();
        let watermark = match time {
            TimeSource::Clock => clock.now(),
            // No fact is later than the moment that it was replayed to.
            TimeSource::Replay => store.read(newest_time)?.unwrap_or_default(),
        };
        deploy::take_over_rules(&project, &store, watermark)?;
        // Whoever cannot be told is said with the models that are not served.
        let mut broken = receivers::take_over(&project, &store, watermark)?;
        // One model that does not load must not take the others down with it.
        for model in
            project.models.keys().chain(deployed.difference(&project.models.keys().cloned().collect()))
        {
            if let Err(Failure { reason, .. }) = workshop.route_at_start(model) {
                broken.push(format!("{model} is not served: {reason}"));
            }
        }
        let seen = root.join(spec::FILE).exists().then(|| Digest::of(text.as_bytes()));
        let loaded = NewFact::new(
            watermark,
            "gyre",
            Fact::ProjectLoaded {
                project: project.project.to_string(),
                spec: Digest::of(text.as_bytes()),
                code: gyre_data::git::code_version(root).unwrap_or_default(),
            },
        );
        let loaded = loaded.once(format!("project/{}", Digest::of(text.as_bytes())));
        store.write(move |tx| tx.append(loaded))?;
        let driver = Driver::start(
            Arc::clone(&store),
            policies(&project),
            Arc::clone(&workshop) as Arc<_>,
            watermark,
        )?;
        Ok(Self {
            root: root.to_owned(),
            project: ArcSwap::new(project),
            seen: Mutex::new(seen),
            store,
            gateway,
            workshop,
            driver,
            deployed: RwLock::new(deployed),
            clock,
            time,
            broken,
        })
    }

    /// The project's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The project file, as it is in force.
    pub fn project(&self) -> Arc<Project> {
        self.project.load_full()
    }

    /// How long after its prediction a label of `model` is expected.
    pub fn expected_delay(&self, model: &ModelName) -> Span {
        let declared = self.project().models.get(model).map(|spec| spec.labels.expected_delay);
        declared.unwrap_or_else(|| spec::Labels::default().expected_delay)
    }

    /// The store.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// The gateway.
    pub fn gateway(&self) -> &Arc<Gateway> {
        &self.gateway
    }

    /// What the loop knows.
    pub fn state(&self) -> State {
        self.driver.state()
    }

    /// What the rollout of a model waits for, in words; none when there is none.
    pub fn waiting(&self, model: &ModelName) -> Option<String> {
        let state = self.state().models.remove(model)?;
        self.workshop.waiting(model, &state, self.watermark())
    }

    /// What is wrong at present: models that could not be loaded at the start, and why the loop cannot go on.
    pub fn trouble(&self) -> Option<String> {
        let troubles =
            self.broken.iter().cloned().chain(self.unread_profiles()).chain(self.unmatched_features());
        let troubles: Vec<String> = troubles.chain(self.driver.trouble()).collect();
        (!troubles.is_empty()).then(|| troubles.join("; "))
    }

    /// Why versions that are loaded lack rules that they should have.
    fn unread_profiles(&self) -> impl Iterator<Item = String> {
        self.gateway.models().into_iter().flat_map(move |model| {
            let versions = self.gateway.versions(model.as_str()).into_iter();
            versions.filter_map(move |version| self.gateway.rules_problem(model.as_str(), version))
        })
    }

    /// Columns whose rules hold for nothing, because no version that is loaded has a feature of that name.
    fn unmatched_features(&self) -> Vec<String> {
        let project = self.project();
        let of = |(model, spec): (&ModelName, &spec::Model)| {
            let loaded = self.gateway.versions(model.as_str()).into_iter();
            let signatures: Vec<_> =
                loaded.filter_map(|version| self.gateway.signature(model.as_str(), version)).collect();
            let known =
                signatures.iter().flat_map(|signature| &signature.inputs).map(|field| field.name.as_str());
            let known: BTreeSet<&str> = known.collect();
            let unmatched = spec
                .features
                .columns
                .keys()
                .filter(|column| !known.is_empty() && !known.contains(column.as_str()));
            let told = unmatched.map(|column| {
                let near = nearest(column, known.iter().copied());
                let hint = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
                format!("no version of {model} has the feature `{column}` that gyre.yaml has rules for{hint}")
            });
            told.collect::<Vec<_>>()
        };
        project.models.iter().flat_map(of).collect()
    }

    /// How far event time has come.
    pub fn watermark(&self) -> Timestamp {
        self.driver.watermark()
    }

    /// Lets event time follow the clock; does nothing in a replay. To be called every second or so.
    pub fn tick(&self) {
        if self.time == TimeSource::Clock {
            self.driver.advance(self.clock.now());
        }
    }

    /// Event time has come to `moment`; with `wait`, returns when all that follows from it is done. Returns how far event
    /// time has come.
    ///
    /// # Errors
    /// [`DeskError::Refused`] when event time follows the clock; [`DeskError::Loop`] when the loop cannot go on.
    pub fn advance(&self, moment: Timestamp, wait: bool) -> Result<Timestamp, DeskError> {
        if self.time == TimeSource::Clock {
            let remedy =
                "event time follows the clock here; to replay history, start with `gyre up --replay`";
            return Err(DeskError::Refused(remedy.to_owned()));
        }
        self.driver.advance(moment);
        if wait {
            self.driver.settle(moment)?;
        }
        Ok(self.driver.watermark())
    }

    /// Waits until nothing is left to do at present.
    ///
    /// # Errors
    /// [`DeskError::Loop`] when the loop cannot go on.
    pub fn settle(&self) -> Result<(), DeskError> {
        Ok(self.driver.settle(self.driver.watermark())?)
    }

    /// Makes `version` champion at once.
    ///
    /// # Errors
    /// [`DeskError::Refused`] when it has not passed its gates or serves already; an unknown version.
    pub fn promote(
        &self,
        model: &ModelName,
        version: Version,
        actor: &str,
        reason: &str,
    ) -> Result<Appended, DeskError> {
        self.served(model)?;
        let (name, reason) = (model.clone(), reason.to_owned());
        let (record, _) = self.version_and_champion(model, version)?;
        if record.gates.as_ref().is_some_and(|gates| gates.passed) {
            self.workshop
                .ready(&record.registered)
                .map_err(|Failure { reason, .. }| DeskError::Refused(reason))?;
        }
        self.move_traffic(model, actor, move |tx| {
            let record = gyre_registry::version(tx, &name, version)?;
            let previous = gyre_registry::champion(tx, &name)?;
            if previous == Some(version) {
                return Err(StoreError::Conflict(format!("version {version} of `{name}` is the champion already")));
            }
            if !record.gates.as_ref().is_some_and(|gates| gates.passed) {
                return Err(StoreError::Conflict(format!(
                    "version {version} of `{name}` has not passed its gates, so it cannot take traffic; see `gyre model show {name}`"
                )));
            }
            Ok((version, Fact::Promoted { model: name, version, previous, reason }))
        })
    }

    /// Sends all traffic back: of a rollout to its champion, otherwise to the champion before.
    ///
    /// # Errors
    /// [`DeskError::Refused`] when there is nothing to go back to.
    pub fn roll_back(&self, model: &ModelName, actor: &str, reason: &str) -> Result<Appended, DeskError> {
        self.served(model)?;
        let (name, reason) = (model.clone(), reason.to_owned());
        self.move_traffic(model, actor, move |tx| {
            let nothing = || StoreError::Conflict(format!("`{name}` has no version to go back to"));
            let champion = gyre_registry::champion(tx, &name)?.ok_or_else(nothing)?;
            let versions = gyre_registry::versions(tx, &name)?;
            let rolling = versions.iter().find(|version| version.status == VersionStatus::RollingOut);
            let (from, to) = match rolling {
                Some(candidate) => (candidate.registered.version, champion),
                None => (champion, gyre_registry::previous_champion(tx, &name)?.ok_or_else(nothing)?),
            };
            Ok((to, Fact::RolledBack { model: name.clone(), from, to, reason }))
        })
    }

    /// Appends the fact, and that all traffic goes to one version; then makes the gateway follow.
    fn move_traffic(
        &self,
        model: &ModelName,
        actor: &str,
        decide: impl FnOnce(&mut Tx<'_>) -> Result<(Version, Fact), StoreError> + Send + 'static,
    ) -> Result<Appended, DeskError> {
        let (at, actor, name) = (self.now(), actor.to_owned(), model.clone());
        let appended = self.store.write(move |tx| {
            let (version, fact) = decide(tx)?;
            let appended = tx.append(NewFact::new(at, actor.clone(), fact))?;
            let weights = vec![(version, 10_000)];
            let fact = Fact::TrafficShifted { model: name, weights, reason: "by hand".to_owned() };
            tx.append(NewFact::new(at, actor, fact).because_of(appended.seq))?;
            Ok(appended)
        });
        let appended = appended.map_err(|error| match error {
            StoreError::Conflict(reason) => DeskError::Refused(reason),
            other => DeskError::Store(other),
        })?;
        self.workshop.route(model).map_err(|Failure { reason, .. }| DeskError::Refused(reason))?;
        Ok(appended)
    }

    /// Asks for a training on `window` (`train.window` when none is given), as of `as_of` (now, when none is given), for `reason`.
    ///
    /// # Errors
    /// [`DeskError::Refused`] for an unknown model.
    pub fn train(
        &self,
        model: &ModelName,
        window: Option<Window>,
        as_of: Option<Timestamp>,
        actor: &str,
        reason: Option<&str>,
    ) -> Result<Appended, DeskError> {
        let project = self.project();
        let spec = known(&project, model)?;
        let window = window.unwrap_or(spec.train.window);
        let at = as_of.unwrap_or_else(|| self.now());
        if self.time == TimeSource::Replay {
            self.driver.advance(at);
        }
        let fact = Fact::DecisionTaken {
            model: model.clone(),
            decision: Decision::Retrain { window },
            reason: reason.map_or_else(
                || format!("{actor} asked for it"),
                |reason| format!("{actor} asked for it: {reason}"),
            ),
            numbers: Numbers::new(),
        };
        let actor = actor.to_owned();
        Ok(self.store.write(move |tx| tx.append(NewFact::new(at, actor, fact)))?)
    }

    /// Holds a file against the checks of `dataset`, and puts the outcome into the journal: refused, with every reason, or
    /// recorded as a data version. Returns what the checks found.
    ///
    /// # Errors
    /// [`DeskError::Refused`] for an unknown dataset or a file that is no table.
    pub fn examine(&self, dataset: &str, file: &Path, actor: &str) -> Result<Report, DeskError> {
        let project = self.project();
        let spec = project.data.get(dataset).ok_or_else(|| {
            let near = gyre_core::ids::nearest(dataset, project.data.keys().map(String::as_str));
            let near = near.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
            DeskError::Refused(format!("there is no dataset `{dataset}` in {}{near}", spec::FILE))
        })?;
        let told = |error: &dyn std::fmt::Display| DeskError::Refused(error.to_string());
        let checks = spec.checks.iter().map(|check| &check.value);
        let report = gyre_data::checks::run(file, checks).map_err(|error| told(&error))?;
        let hash = gyre_data::hash::hash_file(file).map_err(|error| told(&error))?;
        let (name, dataset) = (dataset, dataset.to_owned());
        let fact = if report.passed() {
            let (md5, size, rows) = (hash.md5, hash.size, report.rows);
            Fact::DataRecorded(DataVersion {
                dataset,
                digest: hash.sha256,
                md5,
                size,
                rows,
                period: None,
                cut_from: None,
            })
        } else {
            Fact::DataRefused { dataset, digest: hash.sha256, reasons: report.failures.clone() }
        };
        let key = format!("data/{}/{name}/{}", fact.kind(), hash.sha256);
        let new = NewFact::new(self.now(), actor, fact).once(key);
        self.store.write(move |tx| tx.append(new))?;
        Ok(report)
    }

    /// Lets the loop try again to repair a model that it had given up on.
    ///
    /// # Errors
    /// [`DeskError::Refused`] for an unknown model.
    pub fn resume(&self, model: &ModelName, actor: &str) -> Result<Appended, DeskError> {
        known(&self.project(), model)?;
        let (at, actor, fact) = (self.now(), actor.to_owned(), Fact::LoopResumed { model: model.clone() });
        Ok(self.store.write(move |tx| tx.append(NewFact::new(at, actor, fact)))?)
    }

    /// Takes note of an incident for somebody; until `until`, nothing is told of it, or of another one with its cause.
    ///
    /// # Errors
    /// [`DeskError::Refused`] for an unknown model or incident, or a silence that ends before it begins.
    pub fn acknowledge(
        &self,
        model: &ModelName,
        incident: &str,
        until: Option<Timestamp>,
        actor: &str,
        reason: &str,
    ) -> Result<Appended, DeskError> {
        known(&self.project(), model)?;
        let at = self.now();
        if let Some(until) = until.filter(|until| *until <= at) {
            return Err(DeskError::Refused(format!("a silence until {until} is over already: it is {at}")));
        }
        let (named, wanted) = (model.clone(), incident.to_owned());
        let told =
            self.store.read(move |tx| journal::of_kind(tx, "incident_opened", Some(named.as_str())))?;
        let is_known = |entry: &gyre_core::Entry| matches!(&entry.fact, Fact::IncidentOpened(of) if of.incident == wanted);
        if !told.iter().any(is_known) {
            return Err(DeskError::Refused(format!("`{model}` has no incident `{incident:.100}`")));
        }
        let fact = Fact::IncidentAcknowledged {
            model: model.clone(),
            incident: incident.to_owned(),
            until,
            by: actor.to_owned(),
            reason: reason.to_owned(),
        };
        let actor = actor.to_owned();
        Ok(self.store.write(move |tx| tx.append(NewFact::new(at, actor, fact)))?)
    }

    /// Lets the gateway let go of a model: its requests are refused until it is loaded again, traffic is moved, or the
    /// server starts anew.
    ///
    /// # Errors
    /// [`DeskError::Refused`] for a model that is not loaded.
    pub fn unload(&self, model: &ModelName, actor: &str) -> Result<Appended, DeskError> {
        if self.gateway().versions(model.as_str()).is_empty() {
            return Err(DeskError::Refused(format!("`{model}` is not loaded")));
        }
        let (at, actor, fact) = (self.now(), actor.to_owned(), Fact::ModelUnloaded { model: model.clone() });
        let appended = self.store.write(move |tx| tx.append(NewFact::new(at, actor, fact)))?;
        self.gateway().withdraw(model);
        Ok(appended)
    }

    /// Has the gateway serve a model again, as its traffic says. Nothing happens, and no fact tells of it, when it does.
    ///
    /// # Errors
    /// [`DeskError::Refused`] for an unknown model, one without a champion, or one that cannot be loaded.
    pub fn load(&self, model: &ModelName, actor: &str) -> Result<(), DeskError> {
        self.served(model)?;
        if !self.gateway().versions(model.as_str()).is_empty() {
            return Ok(());
        }
        self.workshop.route(model).map_err(|Failure { reason, .. }| DeskError::Refused(reason))?;
        if self.gateway().versions(model.as_str()).is_empty() {
            return Err(DeskError::Refused(format!(
                "`{model}` has no version that takes traffic; promote one"
            )));
        }
        let (at, actor, fact) = (self.now(), actor.to_owned(), Fact::ModelLoaded { model: model.clone() });
        self.store.write(move |tx| tx.append(NewFact::new(at, actor, fact)))?;
        Ok(())
    }

    /// Whether there is such a model, declared or deployed without.
    fn served(&self, model: &ModelName) -> Result<(), DeskError> {
        let deployed = self.deployed.read().unwrap_or_else(PoisonError::into_inner).contains(model);
        if deployed { Ok(()) } else { known(&self.project(), model).map(drop) }
    }

    /// Now, in event time.
    fn now(&self) -> Timestamp {
        match self.time {
            TimeSource::Clock => self.clock.now(),
            TimeSource::Replay => self.driver.watermark(),
        }
    }
}

fn known<'a>(project: &'a Project, model: &ModelName) -> Result<&'a spec::Model, DeskError> {
    project.models.get(model).ok_or_else(|| {
        let names = project.models.keys().map(ModelName::as_str);
        let near = gyre_core::ids::nearest(model.as_str(), names.clone());
        let near = near.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
        let names = names.collect::<Vec<_>>().join(", ");
        DeskError::Refused(format!("there is no model `{model}` in {} (it has: {names}){near}", spec::FILE))
    })
}

/// Opens the store of the project in `root`, making it when it is not there, in SQLite or in the PostgreSQL at `url`; the
/// project's folder is for this process alone.
///
/// # Errors
/// [`StoreError::Held`] when a server runs; otherwise what the disk or the database said.
pub fn open_store(root: &Path, url: Option<&StoreUrl>, clock: Arc<dyn Clock>) -> Result<Store, StoreError> {
    let state = root.join(STATE_DIR);
    let store = match url {
        Some(url) => Store::open_postgres(&state, url, &ROOMS, clock)?,
        None => Store::open(&state, &ROOMS, clock)?,
    };
    keep_out_of_git(&state)?;
    Ok(store)
}

/// The project in `root` and the text of its file; without a file, one that declares nothing.
///
/// # Errors
/// [`DeskError::Project`] with every diagnostic.
pub fn project_in(root: &Path) -> Result<(Project, String), DeskError> {
    if root.join(spec::FILE).exists() { read_project(root) } else { Ok((undeclared(root), String::new())) }
}

/// A project without a file, named after its folder.
fn undeclared(root: &Path) -> Project {
    let folder = root.canonicalize().ok();
    let folder = folder.as_deref().and_then(Path::file_name).and_then(|name| name.to_str());
    Project::undeclared(ModelName::near(folder.unwrap_or_default()))
}

/// The project in `root`, and the text of its file.
///
/// # Errors
/// [`DeskError::Project`] with every diagnostic.
pub fn read_project(root: &Path) -> Result<(Project, String), DeskError> {
    let path = root.join(spec::FILE);
    let name = path.display().to_string();
    let text = std::fs::read_to_string(&path).map_err(|error| {
        let missing = Diagnostic::new(name.clone(), format!("cannot be read: {error}"));
        DeskError::Project(vec![
            missing.help("run gyre in the folder of a project, or make one with `gyre init`"),
        ])
    })?;
    let project = Project::parse(&name, &text).map_err(DeskError::Project)?;
    Ok((project, text))
}

fn newest_time(tx: &mut Tx<'_>) -> Result<Option<Timestamp>, StoreError> {
    let mut end = journal::head(tx)?.size;
    while end > 0 {
        let begin = end.saturating_sub(1000);
        let entries = journal::entries(tx, begin, end - begin)?;
        // What clients track and register happens now, also while history is replayed.
        let of_history =
            |entry: &&Entry| !matches!(entry.fact, Fact::Tracking(_) | Fact::Registry(_) | Fact::Access(_));
        if let Some(newest) = entries.iter().filter(of_history).map(|entry| entry.at).max() {
            return Ok(Some(newest));
        }
        end = begin;
    }
    Ok(None)
}

/// What gyre keeps for itself is not for Git.
fn keep_out_of_git(state: &Path) -> Result<(), StoreError> {
    let path = state.join(".gitignore");
    if path.exists() {
        return Ok(());
    }
    std::fs::write(&path, "*\n").map_err(|error| StoreError::io("write", &path, error))
}

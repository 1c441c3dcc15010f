//! The workshop: the hands that work on real data, real pipelines, real traffic.
//!
//! One module an action. Each finds the traces of an earlier attempt: a run's folder is named by the action's key, blobs
//! and data versions by their content, and routing is read from the registry; so an action that a crash cut short is
//! simply begun again.

mod bandit;
mod checkout;
mod cluster;
mod compare;
mod drifted;
mod due;
mod elsewhere;
mod foresee;
mod frame;
mod groups;
mod judge;
mod observe;
mod recalibrate;
mod recall;
mod route;
mod train;
mod versions;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use gyre_core::fact::{Fact, ModelVersion};
use gyre_core::spec::{Model, Project};
use gyre_core::{ModelName, Timestamp, Version};
use gyre_gateway::{Gateway, Remote};
use gyre_kube::{Access, Cluster};
use gyre_store::{NewFact, Store};

use crate::action::Action;
use crate::engine::{Failure, Hands};
use crate::state::{ModelState, State};
use bandit::Looked;
use drifted::Drifted;
use due::CodeLooks;
pub use elsewhere::Abroad;
use recall::Remembered;
use route::Waiting;
use train::How;
use versions::Scorers;
pub(crate) use versions::{load, signature};

/// The folder inside a project that is gyre's own.
pub const STATE_DIR: &str = ".gyre";

/// What the hands work with.
pub struct Workshop {
    root: PathBuf,
    /// An action takes it as it is, and ends with it.
    project: ArcSwap<Project>,
    store: Arc<Store>,
    gateway: Arc<Gateway>,
    scorers: Scorers,
    /// What models outside our process need; without it there are none.
    abroad: Option<Abroad>,
    /// Where versions run that are deployed on a cluster.
    cluster: Option<Cluster>,
    /// Versions outside of our process that are waited for.
    coming: Mutex<BTreeMap<(ModelName, Version), Remote>>,
    /// Why something of a model is still on the cluster.
    left_over: Arc<Mutex<BTreeMap<ModelName, String>>>,
    /// Held from reading the registry until the gateway follows, so that the last one to read is the last one to act.
    routing: Mutex<()>,
    /// Rollouts whose trials know what the log knows.
    remembered: Remembered,
    /// When bandits were looked at.
    looked: Looked,
    /// How far the inputs of steps under way have drifted.
    drifted: Drifted,
    /// When the code of models was looked at.
    code_looks: CodeLooks,
    /// Whether commands that run are to end.
    stop: Arc<AtomicBool>,
}

impl Workshop {
    /// A workshop for the project in the folder `root`.
    pub fn new(
        root: PathBuf,
        project: Arc<Project>,
        store: Arc<Store>,
        gateway: Arc<Gateway>,
        abroad: Option<Abroad>,
    ) -> Self {
        Self {
            root,
            project: ArcSwap::new(project),
            store,
            gateway,
            scorers: Scorers::default(),
            cluster: abroad.as_ref().map(|abroad| Cluster::new(abroad.runtime.clone(), Access::find)),
            coming: Mutex::default(),
            left_over: Arc::default(),
            abroad,
            routing: Mutex::default(),
            remembered: Remembered::default(),
            looked: Looked::default(),
            drifted: Drifted::default(),
            code_looks: CodeLooks::default(),
            stop: Arc::default(),
        }
    }

    fn project(&self) -> Arc<Project> {
        self.project.load_full()
    }

    /// From now on `project` is what the file says.
    pub(crate) fn follow(&self, project: Arc<Project>) {
        self.project.store(project);
    }

    fn runs(&self) -> PathBuf {
        self.root.join(STATE_DIR).join("runs")
    }

    fn root(&self) -> &Path {
        &self.root
    }

    /// Makes the gateway route `model` as the registry says. Harmless at any time.
    ///
    /// # Errors
    /// Why it cannot: a version that does not load, a store that does not answer.
    pub fn route(&self, model: &ModelName) -> Result<(), Failure> {
        let _routing = self.routing.lock().unwrap_or_else(PoisonError::into_inner);
        route::follow(self, model, Waiting::UntilReady)
    }

    /// The same for the start of a server: models that run elsewhere come up by and by, and whoever asks them meanwhile
    /// waits for them.
    ///
    /// # Errors
    /// As [`Workshop::route`].
    pub fn route_at_start(&self, model: &ModelName) -> Result<(), Failure> {
        let _routing = self.routing.lock().unwrap_or_else(PoisonError::into_inner);
        route::follow(self, model, Waiting::Never)
    }

    /// What the rollout of a model waits for, in words.
    pub fn waiting(&self, model: &ModelName, state: &ModelState, watermark: Timestamp) -> Option<String> {
        observe::waiting(self, model, state, watermark)
    }

    /// Has the gateway hold a version ready, without traffic.
    ///
    /// # Errors
    /// Why it cannot be loaded or does not answer.
    pub fn ready(&self, version: &ModelVersion) -> Result<(), Failure> {
        route::load(self, version, Waiting::UntilReady)
    }
}

fn declared<'a>(project: &'a Project, name: &ModelName) -> Result<&'a Model, Failure> {
    let known = project.models.get(name);
    known.ok_or_else(|| Failure::because(format!("`gyre.yaml` declares no model `{name}`")))
}

impl Hands for Workshop {
    fn perform(&self, key: &str, action: &Action) -> Result<Vec<Fact>, Failure> {
        match action {
            Action::Compare { model, period } => compare::compare(self, model, *period),
            Action::Train { model, window, as_of } => {
                train::train(self, key, model, (*window, *as_of), How::Pipeline)
            }
            Action::Recalibrate { model, version, window, as_of } => {
                train::train(self, key, model, (*window, *as_of), How::Recalibrate(*version))
            }
            Action::Refit { model, version, window, as_of } => {
                train::train(self, key, model, (*window, *as_of), How::Refit(*version))
            }
            Action::Judge { model, version, as_of } => judge::judge(self, model, *version, *as_of),
            Action::Route { model } => self.route(model).map(|()| Vec::new()),
        }
    }

    fn observe(&self, state: &State, watermark: Timestamp) -> Result<Vec<NewFact>, Failure> {
        observe::observe(self, state, watermark)
    }

    fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Failure {
    /// A failure that is told in words only.
    pub fn because(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), facts: Vec::new() }
    }

    /// The same with a fact that stays true.
    pub fn with(mut self, fact: Fact) -> Self {
        self.facts.push(fact);
        self
    }
}

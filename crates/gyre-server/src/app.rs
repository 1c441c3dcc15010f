//! What the handlers work with, and where they may wait.
//!
//! The store and the loop answer with blocking calls, so those run on threads of their own, a bounded number at a time:
//! readers wait their turn, for reading is short; operations (which may take as long as a training) are refused when too
//! many are under way, so that they never keep the readers out.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use futures_util::future::BoxFuture;
use gyre_access::Gate;
use gyre_access::egress::Egress;
use gyre_artifacts::Artifacts;
use gyre_core::Clock;
use gyre_gateway::Gateway;
use gyre_labels::Collector;
use gyre_loop::Desk;
use gyre_registry::deliveries::Pace;
use gyre_store::{Store, StoreError, Tx};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use crate::front::Front;
use crate::provenance::watch::Watch;
use crate::telemetry::Telemetry;

/// Reads that run at a time.
const READERS: usize = 8;
/// Artifacts that are on their way at a time, up or down: each takes the memory of a few chunks.
const TRANSFERS: usize = 128;
/// How long an artifact may wait for its turn.
const TURN: Duration = Duration::from_secs(30);
/// Chunks of artifacts that are read or written at a time.
const CHUNKS: usize = 16;
/// Files of models that are taken in at a time: each is held in memory whole.
const UPLOADS: usize = 2;
/// Operations that run at a time.
const OPERATIONS: usize = 32;

/// Passwords that are verified at a time: each takes tens of milliseconds of a core, and 19 MiB.
const HASHING: usize = 2;
/// Passwords that may wait for that.
const TO_HASH: usize = 64;

/// Conversations with the identity provider at a time.
const ABROAD: usize = 8;

/// A running project, as the server sees it.
pub struct App {
    pub(crate) desk: Arc<Desk>,
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) store: Arc<Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) artifacts: Artifacts,
    /// The folder with MLflow's own pages.
    pub(crate) pages: Option<PathBuf>,
    chunks: Semaphore,
    transfers: Arc<Semaphore>,
    /// The way out: what webhooks are told goes through here.
    pub(crate) egress: Arc<Egress>,
    /// How often a webhook that does not answer is tried.
    pub(crate) pace: Pace,
    /// Who may come in.
    pub(crate) gate: Gate,
    /// How this server is reached; known once it listens.
    pub(crate) front: Front,
    /// Whether requests have to bring credentials.
    pub(crate) asks: bool,
    /// Where spans of requests go, if anywhere.
    pub(crate) telemetry: Option<Arc<Telemetry>>,
    /// Whether each request is told of in the log.
    pub(crate) tells: bool,
    /// Whether the server goes down: nothing more should be sent to it.
    pub(crate) draining: AtomicBool,
    /// Whether requests may bring commands to run, also where nobody has to log in.
    pub(crate) commands: bool,
    /// The runtime whose threads share their work; known once it listens.
    pub(crate) shared: Option<Handle>,
    /// Looks for labels where the project says they are.
    pub(crate) labels: Option<Arc<Collector>>,
    /// Finds out where runs come from, unless that is switched off.
    pub(crate) watch: Option<Watch>,
    uploads: Semaphore,
    readers: Semaphore,
    operations: Semaphore,
    hashing: Semaphore,
    to_hash: Semaphore,
    abroad: Semaphore,
}

/// Why work was not taken on, or not finished.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Aside {
    #[error("too much is under way already; try again in a moment")]
    Busy,
    #[error("an internal error: the work on this request ended unexpectedly")]
    Broken,
}

impl App {
    /// The project behind `desk`; `clock` says when a prediction was asked that names no event time.
    pub fn new(desk: Arc<Desk>, clock: Arc<dyn Clock>) -> Self {
        let (gateway, store) = (Arc::clone(desk.gateway()), Arc::clone(desk.store()));
        Self {
            gate: Gate::new(Arc::clone(&store)),
            artifacts: Artifacts::local(Arc::clone(&store), Arc::clone(&clock)),
            pages: None,
            shared: None,
            chunks: Semaphore::new(CHUNKS),
            transfers: Arc::new(Semaphore::new(TRANSFERS)),
            egress: Arc::new(Egress::new(Vec::new())),
            pace: Pace::default(),
            desk,
            gateway,
            store,
            clock,
            front: Front::default(),
            // Until it is known how the server is reached, nobody comes in unknown.
            asks: true,
            telemetry: None,
            tells: false,
            draining: AtomicBool::new(false),
            commands: false,
            labels: None,
            watch: None,
            uploads: Semaphore::new(UPLOADS),
            readers: Semaphore::new(READERS),
            operations: Semaphore::new(OPERATIONS),
            hashing: Semaphore::new(HASHING),
            to_hash: Semaphore::new(TO_HASH),
            abroad: Semaphore::new(ABROAD),
        }
    }

    /// The same with artifacts that lie elsewhere than in the store's folder.
    pub fn with_artifacts(self, artifacts: Artifacts) -> Self {
        Self { artifacts, ..self }
    }

    /// The same with MLflow's own pages under `/mlflow/`, from a folder that [`crate::pages_folder`] has checked.
    pub fn with_pages(self, folder: PathBuf) -> Self {
        Self { pages: Some(folder), ..self }
    }

    /// The same with a door to the outside that opens to more than public `https` addresses.
    pub fn with_egress(self, egress: impl Into<Arc<Egress>>) -> Self {
        Self { egress: egress.into(), ..self }
    }

    /// The same, running the commands that versions bring, also where nobody has to log in.
    pub fn with_commands(self) -> Self {
        Self { commands: true, ..self }
    }

    /// The same, sending spans of its requests to a collector.
    pub fn with_telemetry(self, telemetry: Telemetry) -> Self {
        Self { telemetry: Some(Arc::new(telemetry)), ..self }
    }

    /// The same, telling of each request in the log.
    pub fn with_access_log(self) -> Self {
        Self { tells: true, ..self }
    }

    /// The same, telling what is found by whoever looks for labels.
    pub fn with_labels(self, labels: Arc<Collector>) -> Self {
        Self { labels: Some(labels), ..self }
    }

    /// The same with webhooks tried again at another pace.
    pub fn with_pace(self, pace: Pace) -> Self {
        Self { pace, ..self }
    }

    /// The same, finding out where runs come from by looking into the processes of clients on this machine.
    ///
    /// # Errors
    /// When no thread can be had for it.
    pub fn with_provenance(self) -> std::io::Result<Self> {
        let watch = Some(Watch::start(Arc::clone(&self.store))?);
        Ok(Self { watch, ..self })
    }

    /// Runs something that hashes a password.
    pub(crate) async fn hash<T: Send + 'static>(
        self: &Arc<Self>,
        job: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T, Aside> {
        let _place = self.to_hash.try_acquire().map_err(|_| Aside::Busy)?;
        let _turn = self.hashing.acquire().await.map_err(|_| Aside::Broken)?;
        self.aside(job).await
    }

    /// Runs something that waits for another server: strangers can ask for it, so it must keep nobody else waiting.
    pub(crate) async fn abroad<T: Send + 'static>(
        self: &Arc<Self>,
        job: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T, Aside> {
        let _place = self.abroad.try_acquire().map_err(|_| Aside::Busy)?;
        self.aside(job).await
    }

    /// Changes who may do what, and has the change in force when it returns.
    pub(crate) async fn change<T: Send + 'static>(
        self: &Arc<Self>,
        job: impl FnOnce(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<Result<T, StoreError>, Aside> {
        self.operate(move |app| app.gate.change(job)).await
    }

    /// Runs something short that waits for the disk.
    pub(crate) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        job: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T, Aside> {
        let _place = self.readers.acquire().await.map_err(|_| Aside::Broken)?;
        self.aside(job).await
    }

    /// Runs something that changes state and may take long.
    pub(crate) async fn operate<T: Send + 'static>(
        self: &Arc<Self>,
        job: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T, Aside> {
        let _place = self.operations.try_acquire().map_err(|_| Aside::Busy)?;
        self.aside(job).await
    }

    /// Writes to the store without holding a thread, and returns once it is on disk.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, outcome) = tokio::sync::oneshot::channel();
        // A client that has gone away does not need the answer.
        self.store.submit(job, move |result| drop(answer.send(result)))?;
        outcome.await.map_err(|_| StoreError::Closed)?
    }

    /// A place among the files of models that are taken in, for as long as it is held.
    pub(crate) fn upload(&self) -> Result<SemaphorePermit<'_>, Aside> {
        self.uploads.try_acquire().map_err(|_| Aside::Busy)
    }

    /// A place among the artifacts that are on their way, for as long as it is held.
    pub(crate) async fn transfer(&self) -> Result<OwnedSemaphorePermit, Aside> {
        let place = Arc::clone(&self.transfers).acquire_owned();
        tokio::time::timeout(TURN, place).await.map_err(|_| Aside::Busy)?.map_err(|_| Aside::Broken)
    }

    /// Begins something short that moves bytes of an artifact: it runs whether or not it is waited for.
    pub(crate) fn on_disk<T: Send + 'static>(
        self: &Arc<Self>,
        job: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> BoxFuture<'static, Result<T, Aside>> {
        let app = Arc::clone(self);
        let begun = tokio::spawn(async move {
            let _place = app.chunks.acquire().await.map_err(|_| Aside::Broken)?;
            app.aside(job).await
        });
        Box::pin(async move { begun.await.map_err(|_| Aside::Broken)? })
    }

    async fn aside<T: Send + 'static>(
        self: &Arc<Self>,
        job: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T, Aside> {
        let app = Arc::clone(self);
        tokio::task::spawn_blocking(move || job(&app)).await.map_err(|_| Aside::Broken)
    }
}

//! Work on a project whose server is stopped: its store, held by this process, and its artifacts.

use std::sync::Arc;

use clap::Args;
use gyre_artifacts::{Artifacts, Location};
use gyre_core::Clock;
use gyre_core::time::SystemClock;
use gyre_store::{Store, StoreError};
use tokio::runtime::Runtime;

use crate::cli::ProjectArgs;
use crate::failure::Failure;

/// Where this project keeps artifacts.
#[derive(Debug, Args)]
pub(super) struct DepotArgs {
    /// Where this project keeps artifacts, when that is what `gyre up --artifacts` says.
    #[arg(long, value_name = "LOCATION")]
    artifacts_at: Option<Location>,
}

/// A project that nobody else is at work on.
pub(super) struct Offline {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) store: Arc<Store>,
    pub(super) artifacts: Artifacts,
    /// Drives the connections to a bucket.
    _runtime: Runtime,
}

impl DepotArgs {
    /// Opens the project, making its store when there is none.
    ///
    /// # Errors
    /// A server runs, or the store or the artifacts cannot be opened.
    pub(super) fn open(&self, project: &ProjectArgs) -> Result<Offline, Failure> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let opened = gyre_loop::open_store(&project.project, project.store.url.as_ref(), Arc::clone(&clock));
        let store = Arc::new(opened.map_err(held)?);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let (kept, now) = (Arc::clone(&store), Arc::clone(&clock));
        let artifacts = match &self.artifacts_at {
            None => Artifacts::local(kept, now),
            Some(location) => Artifacts::at(kept, now, location, runtime.handle().clone())?,
        };
        Ok(Offline { clock, store, artifacts, _runtime: runtime })
    }
}

/// Whoever holds the store is to be stopped.
fn held(error: StoreError) -> Failure {
    match error {
        StoreError::Held { holder, .. } => Failure::because(format!(
            "the store is in use by process {holder}: stop `gyre up` (or whatever that is) meanwhile"
        )),
        other => other.into(),
    }
}

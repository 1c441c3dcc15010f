//! What runs a version's model: an engine in our process, or a process or URL behind the gateway.
//!
//! A native model answers in microseconds on the thread that asks; so does a graph that onnxruntime runs, or it is asked
//! on a thread that may wait. A model that lives elsewhere is awaited, so that a waiting request holds no thread; it is
//! asked on the runtime that its backend was made in, for whoever asks may stand on another thread, without a runtime.

use std::fmt;

use gyre_backend::{Backend, BackendError, Instant, context};
use gyre_onnxruntime::{AskError, LocalModel};
use gyre_runtime::{Scores, Table};
use std::sync::Arc;
use tokio::runtime::Handle;

/// A model behind a process or a URL.
#[derive(Clone)]
pub struct Remote {
    backend: Arc<Backend>,
    runtime: Handle,
}

impl Remote {
    /// A backend that was made in `runtime`.
    pub fn new(backend: Backend, runtime: Handle) -> Self {
        Self { backend: Arc::new(backend), runtime }
    }

    /// The backend.
    pub fn backend(&self) -> &Arc<Backend> {
        &self.backend
    }

    /// Asks it about every row; nobody waits past `deadline`.
    ///
    /// # Errors
    /// [`BackendError`].
    pub async fn score(&self, table: Table, deadline: Instant) -> Result<Scores, BackendError> {
        let backend = Arc::clone(&self.backend);
        // The trace that the request is part of goes along to the other task.
        let parent = context::current();
        let asked = self.runtime.spawn(async move {
            match parent {
                None => backend.predict(table, deadline).await,
                Some(parent) => context::within(parent, backend.predict(table, deadline)).await,
            }
        });
        asked.await.unwrap_or(Err(BackendError::Stopped))
    }

    /// The same for a thread that may wait.
    ///
    /// # Errors
    /// As [`Remote::score`].
    pub fn score_blocking(&self, table: Table, deadline: Instant) -> Result<Scores, BackendError> {
        pollster::block_on(self.score(table, deadline))
    }

    /// Waits until it answers, in a thread that may wait; wakes a process that is idle.
    ///
    /// # Errors
    /// [`BackendError`]: it does not come up, or not before `deadline`.
    pub fn wait(&self, deadline: Instant) -> Result<(), BackendError> {
        let backend = Arc::clone(&self.backend);
        let waiting = self.runtime.spawn(async move { backend.ready(deadline).await });
        pollster::block_on(waiting).unwrap_or(Err(BackendError::Stopped))
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.backend.fmt(f)
    }
}

/// What runs a version's model.
pub(crate) enum Engine {
    /// In our process.
    Local(LocalModel),
    /// Elsewhere.
    Remote(Remote),
}

/// Why a model did not answer.
pub(crate) enum EngineError {
    Local(AskError),
    Remote(BackendError),
}

impl Engine {
    pub(crate) async fn score(&self, table: &Table, deadline: Instant) -> Result<Scores, EngineError> {
        match self {
            Self::Local(model) => model.score(table, deadline.into_std()).await.map_err(EngineError::Local),
            Self::Remote(remote) => remote.score(table.clone(), deadline).await.map_err(EngineError::Remote),
        }
    }
}

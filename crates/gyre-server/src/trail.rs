//! What a request did on its way, for its span and its line in the access log.
//!
//! Handlers of all protocols note it here, and the connection reads it when they are done. Where nobody wants to know,
//! there is no trail, and a note costs one look.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::MatchedPath;
use gyre_gateway::{Answers, InferError};

use crate::inference::reply::{route, versions};

/// Predictions of a request that are noted: a stream may make any number.
const MOST: usize = 32;

tokio::task_local! {
    static TRAIL: Arc<Trail>;
}

/// The trail of one request.
#[derive(Debug, Default)]
pub(crate) struct Trail {
    predictions: Mutex<Vec<Prediction>>,
    route: OnceLock<String>,
}

/// A model was asked.
#[derive(Debug, Clone)]
pub(crate) struct Prediction {
    pub(crate) model: String,
    /// Who answered; empty when nobody did.
    pub(crate) versions: String,
    /// Why they were asked.
    pub(crate) route: &'static str,
    pub(crate) rows: usize,
    began: Instant,
    /// From asking the gateway to its answer: waiting, the model's work, and handing the rows to the log.
    pub(crate) took: Duration,
    /// Why there is no answer.
    pub(crate) failed: Option<String>,
}

impl Prediction {
    /// How long after `begin` it began.
    pub(crate) fn after(&self, begin: Instant) -> Duration {
        self.began.saturating_duration_since(begin)
    }
}

impl Trail {
    /// Runs `future`, noting in this trail.
    pub(crate) async fn along<F: Future>(self: Arc<Self>, future: F) -> F::Output {
        TRAIL.scope(self, future).await
    }

    /// The route that the request went, with its parameters in braces.
    pub(crate) fn route(&self) -> &str {
        self.route.get().map_or("(none)", String::as_str)
    }

    pub(crate) fn predictions(&self) -> Vec<Prediction> {
        self.predictions.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The trail of the request that this task works on, when there is one.
pub(crate) fn current() -> Option<Arc<Trail>> {
    TRAIL.try_with(Arc::clone).ok()
}

/// Notes which route the request goes, when there is a trail.
pub(crate) fn goes(route: Option<&MatchedPath>) {
    let Some(route) = route else { return };
    // Without a trail nobody wants to know.
    let _ = TRAIL.try_with(|trail| trail.route.set(route.as_str().to_owned()));
}

/// Notes what became of asking a model about `rows` rows, when there is a trail.
pub(crate) async fn noting(
    model: &str,
    rows: usize,
    asking: impl Future<Output = Result<Answers, InferError>>,
) -> Result<Answers, InferError> {
    let Some(trail) = current() else { return asking.await };
    let began = Instant::now();
    let answered = asking.await;
    let mut predictions = trail.predictions.lock().unwrap_or_else(PoisonError::into_inner);
    if predictions.len() < MOST {
        let answers = answered.as_deref().unwrap_or_default();
        predictions.push(Prediction {
            model: model.chars().take(100).collect(),
            versions: if answers.is_empty() { String::new() } else { versions(answers) },
            route: route(answers),
            rows,
            began,
            took: began.elapsed(),
            // What an error says in words may hold a value of the request.
            failed: answered.as_ref().err().map(|error| format!("{:?}", error.status())),
        });
    }
    drop(predictions);
    answered
}

//! The trace that a request is part of, passed on to the model's server (W3C Trace Context).
//!
//! It goes beside the rows rather than with them, as a value of the task that asks: most requests have none, and nothing
//! between a server's door and a model's has to know. Rows of several callers that go in one call bear the trace of the
//! first that has one.

use std::future::Future;

use http::HeaderValue;

tokio::task_local! {
    static PARENT: HeaderValue;
}

/// The header that says it.
pub(crate) const TRACEPARENT: &str = "traceparent";

/// Runs `future`; models that it asks hear that they are asked on behalf of `parent`, a value of `traceparent`.
pub async fn within<F: Future>(parent: HeaderValue, future: F) -> F::Output {
    PARENT.scope(parent, future).await
}

/// On whose behalf this task asks.
pub fn current() -> Option<HeaderValue> {
    PARENT.try_with(Clone::clone).ok()
}

//! Answers that come bit by bit: passed through as they come, and judged as predictions are.
//!
//! A model that generates answers by events or chunks, in a protocol of its own. What is asked of it is none of our
//! features, so nothing is held against the signature and nothing goes to the inference log; but the version is chosen by
//! the same split, takes its turn in the same queue, and a version that fails is convicted in the same trial. It fails when
//! its server answers with 5xx (503, "busy", is none), does not begin in time, breaks off, or falls silent in the middle.
//! Its time is that to the first byte: how long an answer is says nothing about the version. A caller that goes away in the
//! middle says nothing either.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use gyre_backend::{Backend, BackendError, Body, Patience};
use gyre_core::Version;
use gyre_core::record::Route;
use http::{Response, StatusCode};
use http_body::{Frame, SizeHint};
use http_body_util::Full;

use crate::error::{InferError, Refusal, blames_the_model};
use crate::gateway::{Gateway, Loaded, Tried};
use crate::request::MAX_ID;

/// A request to be passed on.
#[derive(Debug)]
pub struct Call {
    /// Its id: assigns the arm of a rollout.
    pub id: Arc<str>,
    /// What assigns the arm in place of the id.
    pub key: Option<Arc<str>>,
    /// Where it goes.
    pub place: Place,
    /// What it says; of its URI only the query counts.
    pub request: http::Request<Full<Bytes>>,
}

/// A place at the model's server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// What V2 does with a model: `generate`.
    Verb(&'static str),
    /// A path, as it was written.
    Path(String),
}

/// What is answered.
#[derive(Debug)]
pub struct Passed {
    /// Who answers.
    pub version: Version,
    /// Why it was asked.
    pub route: Route,
    /// Its answer.
    pub response: Response<Stream>,
}

/// What has become of the requests that were passed on to a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StreamTotals {
    /// Answered to the end.
    pub whole: u64,
    /// The version failed.
    pub failed: u64,
    /// The server said that the request is wrong, or that it is busy.
    pub refused: u64,
    /// The caller went away.
    pub abandoned: u64,
    /// Bytes of answers.
    pub bytes: u64,
    /// Time to the first byte of those that were answered to the end.
    pub first_byte: Duration,
}

/// The counters behind [`StreamTotals`].
#[derive(Debug, Default)]
pub(crate) struct StreamTally {
    whole: AtomicU64,
    failed: AtomicU64,
    refused: AtomicU64,
    abandoned: AtomicU64,
    bytes: AtomicU64,
    first_byte_nanos: AtomicU64,
}

/// What became of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Whole,
    Failed,
    Refused,
    Abandoned,
}

impl StreamTally {
    pub(crate) fn observe(&self, outcome: Outcome, first: Duration, bytes: u64) {
        let count = match outcome {
            Outcome::Whole => &self.whole,
            Outcome::Failed => &self.failed,
            Outcome::Refused => &self.refused,
            Outcome::Abandoned => &self.abandoned,
        };
        count.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
        if outcome == Outcome::Whole {
            let nanos = u64::try_from(first.as_nanos()).unwrap_or(u64::MAX);
            self.first_byte_nanos.fetch_add(nanos, Relaxed);
        }
    }

    pub(crate) fn totals(&self) -> StreamTotals {
        StreamTotals {
            whole: self.whole.load(Relaxed),
            failed: self.failed.load(Relaxed),
            refused: self.refused.load(Relaxed),
            abandoned: self.abandoned.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            first_byte: Duration::from_nanos(self.first_byte_nanos.load(Relaxed)),
        }
    }
}

/// The body of an answer that is passed through: nothing of it is kept.
pub struct Stream {
    body: Body,
    bytes: u64,
    /// None once it has been judged.
    watch: Option<Watch>,
    /// Told at the next turn: a server that hears of a failure throws away what it has not sent yet, and the caller would
    /// not even see the head of an answer that broke off as soon as it began.
    failure: Option<BackendError>,
}

/// Who is to hear of the end.
struct Watch {
    gateway: Arc<Gateway>,
    loaded: Arc<Loaded>,
    tried: Option<Tried>,
    first: Duration,
    /// What it is when it comes to its end.
    outcome: Outcome,
}

impl Watch {
    fn tell(self, outcome: Outcome, bytes: u64) {
        let Self { gateway, loaded, tried, first, .. } = self;
        loaded.count_stream(outcome, first, bytes);
        let answered = match outcome {
            Outcome::Whole => true,
            Outcome::Failed => false,
            Outcome::Refused | Outcome::Abandoned => return,
        };
        if let Some(tried) = tried {
            gateway.try_out_stream(&loaded, &tried, first, answered);
        }
    }
}

impl Gateway {
    /// Passes a request on to the version that its id (or key) is routed to, or to `pinned`. The answer begins within
    /// `patience`, comes as it arrives, and is judged when it ends. Must be called in a tokio runtime.
    ///
    /// # Errors
    /// [`InferError`]; what the model's server answers is none.
    pub async fn pass(
        self: &Arc<Self>,
        model: &str,
        pinned: Option<Version>,
        call: Call,
        patience: Patience,
    ) -> Result<Passed, InferError> {
        let (loaded, route, tried) = self.chosen(model, pinned, &call.id, call.key.as_ref())?;
        let (model, version) = (loaded.model.clone(), loaded.version);
        check(&call).map_err(|refusal| InferError::Refused { model: model.clone(), version, refusal })?;
        let not_passed = |reason| InferError::NotPassed { model: model.clone(), version, reason };
        let remote = loaded.remote().ok_or_else(|| {
            not_passed("it runs in gyre's process, where nothing is generated: ask it by /infer".to_owned())
        })?;
        let path = path(remote.backend(), &call.place).map_err(not_passed)?;
        let mut request = call.request;
        let query = request.uri().query().map_or_else(String::new, |query| format!("?{query}"));
        *request.uri_mut() = format!("{path}{query}")
            .parse()
            .map_err(|error| not_passed(format!("its path cannot be written: {error}")))?;
        let started = Instant::now();
        let outcome = remote.backend().forward(request, patience).await;
        let watch = |outcome| Watch {
            gateway: Arc::clone(self),
            loaded: Arc::clone(&loaded),
            tried,
            first: started.elapsed(),
            outcome,
        };
        match outcome {
            Ok(response) => {
                let watch = watch(judged(response.status()));
                let response =
                    response.map(|body| Stream { body, bytes: 0, watch: Some(watch), failure: None });
                Ok(Passed { version, route, response })
            }
            Err(error) => {
                watch(Outcome::Refused).tell(blamed(&error), 0);
                Err(InferError::Elsewhere { model, version, error })
            }
        }
    }
}

/// What an answer with this status is, when it comes to its end.
fn judged(status: StatusCode) -> Outcome {
    match status {
        StatusCode::SERVICE_UNAVAILABLE => Outcome::Refused,
        status if status.is_server_error() => Outcome::Failed,
        status if status.is_client_error() => Outcome::Refused,
        _ => Outcome::Whole,
    }
}

fn blamed(error: &BackendError) -> Outcome {
    if blames_the_model(error) { Outcome::Failed } else { Outcome::Refused }
}

fn check(call: &Call) -> Result<(), Refusal> {
    let wrong = |text: &str| text.is_empty() || text.len() > MAX_ID;
    if wrong(&call.id) {
        return Err(Refusal::Id { row: 0, found: call.id.len(), limit: MAX_ID });
    }
    match call.key.as_ref().filter(|key| wrong(key)) {
        Some(key) => Err(Refusal::Key { found: key.len(), limit: MAX_ID }),
        None => Ok(()),
    }
}

/// Where at its server the request goes; nothing that was not named when the version was registered can be reached.
fn path(backend: &Backend, place: &Place) -> Result<String, String> {
    match place {
        Place::Verb(verb) => {
            let told =
                || format!("its server does not speak V2, which has `{verb}`; name its own path (--pass)");
            backend.verb(verb).ok_or_else(told)
        }
        Place::Path(path) if backend.passes().contains(path) => Ok(path.clone()),
        Place::Path(path) => {
            let shown: String = path.chars().take(200).collect();
            Err(match backend.passes() {
                [] => format!(
                    "no requests are passed on to {shown}: no path was named when it was deployed (--pass)"
                ),
                known => format!("no requests are passed on to {shown}, but to {}", known.join(", ")),
            })
        }
    }
}

impl Stream {
    fn ended(&mut self, outcome: Option<Outcome>) {
        if let Some(watch) = self.watch.take() {
            let outcome = outcome.unwrap_or(watch.outcome);
            watch.tell(outcome, self.bytes);
        }
    }
}

impl http_body::Body for Stream {
    type Data = Bytes;
    type Error = BackendError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BackendError>>> {
        if let Some(error) = self.failure.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match polled {
            Poll::Pending => {}
            Poll::Ready(Some(Ok(ref frame))) => {
                self.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                // Whoever knows that it was the last frame asks for no more.
                if self.body.is_end_stream() {
                    self.ended(None);
                }
            }
            Poll::Ready(Some(Err(error))) => {
                self.ended(Some(blamed(&error)));
                self.failure = Some(error);
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(None) => self.ended(None),
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.failure.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // A failure was one from the first byte on.
        let fails = self.watch.as_ref().is_some_and(|watch| watch.outcome == Outcome::Failed);
        let is_over = fails || http_body::Body::is_end_stream(&self.body);
        self.ended(if is_over { None } else { Some(Outcome::Abandoned) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_speaks_against_the_version_counts_against_it() {
        let told = |status: u16| judged(StatusCode::from_u16(status).unwrap());
        assert_eq!([200, 204, 301].map(told), [Outcome::Whole; 3]);
        assert_eq!([400, 404, 429, 503].map(told), [Outcome::Refused; 4]);
        assert_eq!([500, 502, 504].map(told), [Outcome::Failed; 3]);
        let tally = StreamTally::default();
        tally.observe(Outcome::Whole, Duration::from_millis(3), 10);
        tally.observe(Outcome::Failed, Duration::from_millis(5), 7);
        let expected = StreamTotals {
            whole: 1,
            failed: 1,
            bytes: 17,
            first_byte: Duration::from_millis(3),
            ..StreamTotals::default()
        };
        assert_eq!(tally.totals(), expected);
    }
}

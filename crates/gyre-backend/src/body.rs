//! The body of an answer that is passed on as it comes: it holds its slot until it has ended, and ends when the model's
//! server falls silent.
//!
//! Nothing is gathered: a frame is taken from the server when the caller has taken the one before, so a caller that reads
//! slowly slows the server down. While a frame is with its caller, nothing is expected of the server.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::error::BackendError;
use crate::lane::{Away, Lane, Slot};
use crate::peer::Peer;
use crate::pool::Line;

/// How long an answer that is passed on may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// By when it must have begun: its status and headers are there.
    pub first: Instant,
    /// How long nothing may come of it while the caller waits.
    pub idle: Duration,
    /// How long it may take in all, from its beginning.
    pub whole: Duration,
}

/// The body of a model server's answer, frame by frame as it arrives. Dropping it breaks the answer off.
pub struct Body {
    inner: Incoming,
    idle: Duration,
    until: Instant,
    /// Since the caller began to wait for the frame that comes next.
    waiting: Option<Pin<Box<Sleep>>>,
    /// None when the body has ended.
    held: Option<Held>,
    /// While a frame is with the caller.
    away: Option<Away>,
    /// To be told that the server lives.
    lane: Arc<Lane>,
}

/// What an answer under way occupies: a call, and a connection.
pub(crate) struct Held {
    pub(crate) slot: Slot,
    pub(crate) line: Line,
    pub(crate) peer: Arc<Peer>,
}

impl Body {
    pub(crate) fn new(inner: Incoming, patience: Patience, held: Held, lane: Arc<Lane>) -> Self {
        let until = Instant::now() + patience.whole;
        let (idle, away) = (patience.idle, Some(lane.away()));
        let mut body = Self { inner, idle, until, waiting: None, held: Some(held), away, lane };
        if http_body::Body::is_end_stream(&body.inner) {
            // Nobody will ask for more.
            body.end(true);
        }
        body
    }

    /// Gives back what it occupied; the connection only when the answer was read whole.
    fn end(&mut self, is_whole: bool) {
        self.away = None;
        if let Some(Held { slot, line, peer }) = self.held.take() {
            if is_whole {
                peer.give_back(line);
            }
            // The next call finds the connection.
            drop(slot);
        }
    }

    /// What is wrong when nothing came until now, if it was too long.
    fn late(&mut self, cx: &mut Context<'_>) -> Poll<BackendError> {
        let until = self.until.min(Instant::now() + self.idle);
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep_until(until)));
        waiting.as_mut().poll(cx).map(|()| self.too_long())
    }

    fn too_long(&self) -> BackendError {
        match Instant::now() < self.until {
            true => BackendError::Deadline { while_: "for the model fell silent in the middle of it" },
            false => BackendError::Deadline { while_: "for the model went on for too long" },
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BackendError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BackendError>>> {
        if self.held.is_none() {
            return Poll::Ready(None);
        }
        self.away = None;
        let frame = match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(_))) if Instant::now() >= self.until => Some(Err(self.too_long())),
            Poll::Ready(Some(Ok(frame))) => {
                self.waiting = None;
                self.away = Some(self.lane.away());
                return Poll::Ready(Some(Ok(frame)));
            }
            Poll::Ready(Some(Err(error))) => Some(Err(BackendError::Lost(error.to_string()))),
            Poll::Ready(None) => None,
            Poll::Pending => match self.late(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(late) => Some(Err(late)),
            },
        };
        self.end(frame.is_none());
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_none() || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

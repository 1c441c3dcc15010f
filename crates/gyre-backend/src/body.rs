//! The body of an answer that is passed on as it comes: it holds its slot until it has ended, and ends at the deadline.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::error::BackendError;
use crate::lane::{Lane, Slot};
use crate::peer::Peer;
use crate::pool::Line;

/// The body of a model server's answer, frame by frame as it arrives. Dropping it breaks the answer off.
pub struct Body {
    inner: Incoming,
    deadline: Pin<Box<Sleep>>,
    /// None when the body has ended.
    held: Option<Held>,
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
    pub(crate) fn new(inner: Incoming, deadline: Instant, held: Held, lane: Arc<Lane>) -> Self {
        let mut body = Self { inner, deadline: Box::pin(sleep_until(deadline)), held: Some(held), lane };
        if http_body::Body::is_end_stream(&body.inner) {
            // Nobody will ask for more.
            body.end(true);
        }
        body
    }

    /// Gives back what it occupied; the connection only when the answer was read whole.
    fn end(&mut self, is_whole: bool) {
        if let Some(Held { slot, line, peer }) = self.held.take() {
            if is_whole {
                peer.give_back(line);
            }
            // The next call finds the connection.
            drop(slot);
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
        let frame = match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.lane.sign();
                return Poll::Ready(Some(Ok(frame)));
            }
            Poll::Ready(Some(Err(error))) => Some(Err(BackendError::Lost(error.to_string()))),
            Poll::Ready(None) => None,
            Poll::Pending => match self.deadline.as_mut().poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(()) => {
                    Some(Err(BackendError::Deadline { while_: "while the model was answering" }))
                }
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

//! Bodies that nobody read: a request that is refused by its head leaves its body on the connection.
//!
//! On HTTP/1 the next request begins where the body ends. So an unread body is read to its end when it is short, and otherwise the
//! connection is closed, which the answer says in its head; a client that was not told would send its next request into a
//! connection that is about to end, and be left without an answer.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, Version, header};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};

/// The longest rest that is read, in bytes.
const LONGEST: usize = 64 << 10;
/// How long it is waited for.
const PATIENCE: Duration = Duration::from_millis(500);

/// Where a body is put that was let go of before its end.
pub(super) struct Leftover {
    place: Arc<Mutex<Option<Incoming>>>,
    /// Whether the client sends the body only when it is asked for (`Expect: 100-continue`).
    waits: bool,
}

/// A body that is put back when nobody reads it to its end.
struct Lent {
    body: Option<Incoming>,
    place: Arc<Mutex<Option<Incoming>>>,
}

impl Leftover {
    /// Has what is left of the request's body kept; none when there is no body, or streams of their own keep it apart.
    pub(super) fn of(request: Request<Incoming>) -> (Request<Body>, Option<Self>) {
        if request.version() > Version::HTTP_11 || request.body().is_end_stream() {
            return (request.map(Body::new), None);
        }
        let place = Arc::default();
        let waits = request.headers().contains_key(header::EXPECT);
        let lent = request.map(|body| Body::new(Lent { body: Some(body), place: Arc::clone(&place) }));
        (lent, Some(Self { place, waits }))
    }

    /// Reads the rest of the body, or has the connection closed after this answer.
    pub(super) async fn clear(self, response: &mut Response<Body>) {
        let left = self.place.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(body) = left else { return };
        if self.waits || !is_read(body).await {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

/// Whether the body came to its end, soon and before it was long.
async fn is_read(mut body: Incoming) -> bool {
    if body.size_hint().lower() > LONGEST as u64 {
        return false;
    }
    let rest = async {
        let mut read = 0;
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return false };
            read += frame.data_ref().map_or(0, Bytes::len);
            if read > LONGEST {
                return false;
            }
        }
        true
    };
    tokio::time::timeout(PATIENCE, rest).await.unwrap_or(false)
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) {
            *self.place.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
        }
    }
}

impl hyper::body::Body for Lent {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(cx);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.body = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Incoming::size_hint)
    }
}

//! Connections to one server that are kept for the next request.
//!
//! Of our own, although libraries have pools: a server that serves one connection at a time, as small Python servers do,
//! keeps everybody else waiting as long as a connection is kept. A pool that dials while its only connection is about to
//! come back would wait for itself. This one never has more connections than calls under way, and takes back a connection
//! as soon as its answer has been read.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use crate::dial::{Dialer, Shut};
use crate::error::BackendError;
use crate::peer::Sent;

/// A connection that was idle for this long is not used again; less than the 2 s after which gunicorn closes its, and
/// uvicorn and Node later.
const KEEP: Duration = Duration::from_millis(1_500);
/// How many are kept.
const MOST: usize = 64;

/// A connection that can carry one request at a time.
pub(crate) type Line = SendRequest<Sent>;

/// The connections to one server.
pub(crate) struct Pool {
    dialer: Dialer,
    idle: Mutex<Vec<(Line, Instant)>>,
}

impl Pool {
    pub(crate) fn new(dialer: Dialer) -> Self {
        Self { dialer, idle: Mutex::default() }
    }

    /// Sends a request over a kept connection, or a new one. The connection comes with the answer, to be given back when
    /// the answer has been read.
    pub(crate) async fn send(
        &self,
        mut request: Request<Sent>,
    ) -> Result<(Response<Incoming>, Line), BackendError> {
        loop {
            let (mut line, is_new) = match self.kept().await {
                Some(line) => (line, false),
                None => (self.dial().await?, true),
            };
            match line.try_send_request(request).await {
                Ok(response) => return Ok((response, line)),
                // The server closed it while it was idle: the request was not sent, so it can be sent by another.
                Err(mut error) => match error.take_message() {
                    Some(unsent) if !is_new => request = unsent,
                    _ => return Err(BackendError::Lost(told(&error.into_error()))),
                },
            }
        }
    }

    /// Takes a connection back whose answer has been read to its end.
    pub(crate) fn give_back(&self, line: Line) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MOST {
            idle.push((line, Instant::now()));
        }
    }

    /// The connection that was used last, if it is still good.
    async fn kept(&self) -> Option<Line> {
        loop {
            let mut line = {
                let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
                idle.retain(|(line, since)| !line.is_closed() && since.elapsed() < KEEP);
                idle.pop()?.0
            };
            // It may still have to take note of the end of its last answer.
            if line.ready().await.is_ok() {
                return Some(line);
            }
        }
    }

    async fn dial(&self) -> Result<Line, BackendError> {
        let no_connection = |error: io::Error| {
            match (error.get_ref().and_then(|inner| inner.downcast_ref::<Shut>()), &self.dialer) {
                (Some(Shut(why)), _) => BackendError::Forbidden(why.clone()),
                (None, Dialer::Remote(_)) => {
                    BackendError::Unavailable { reason: format!("no connection: {error}"), retry_after: None }
                }
                // Whoever supervises it knows more.
                (None, _) => BackendError::Lost(format!("no connection: {error}")),
            }
        };
        let stream = self.dialer.dial().await.map_err(no_connection)?;
        let (line, connection) =
            handshake(TokioIo::new(stream)).await.map_err(|error| BackendError::Lost(told(&error)))?;
        // It ends with the connection, and what went wrong with it is told to whoever waits for an answer.
        tokio::spawn(connection);
        Ok(line)
    }
}

/// An error with its cause.
fn told(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

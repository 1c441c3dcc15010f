//! Bodies, read within limits.
//!
//! A body is read into memory whole, up to a limit of bytes and of time; a client that promises more than the limit is
//! refused before a byte is read. All large bodies together may hold so much memory and no more ([`TOGETHER`]), from their
//! first byte until the request that they belong to is done with them; small ones are bounded by the number of connections.
//! JSON goes straight into the types of the protocol, so that its depth is bounded by them
//! (and by serde_json's own limit of 128), and what is wrong is told with line and column.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::Deserialize;
use tokio::sync::{Semaphore, SemaphorePermit};

/// How long a client may take to send a body.
const PATIENCE: Duration = Duration::from_secs(30);

/// How large a body is that counts towards [`TOGETHER`], and the unit in which it counts, in bytes.
const UNIT: usize = 64 << 10;
/// What large bodies may hold together, in units: 1 GiB.
const TOGETHER: usize = (1 << 30) / UNIT;
/// What they do not hold.
static FREE: Semaphore = Semaphore::const_new(TOGETHER);

/// Why a body was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PayloadError {
    #[error("the body is larger than {0} bytes; send it in parts")]
    TooLarge(usize),
    #[error("the body did not arrive within {} seconds", PATIENCE.as_secs())]
    TooSlow,
    #[error("too many large bodies are being read already; try again in a moment")]
    Full,
    #[error("the body could not be read: {0}")]
    Broken(String),
    #[error("the content type is `{found}`, expected {expected}")]
    ContentType { found: String, expected: &'static str },
    #[error("the body is compressed ({0}); send it as it is")]
    Compressed(String),
    #[error("the body is not what was expected: {0}")]
    Json(String),
}

impl PayloadError {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Full => StatusCode::SERVICE_UNAVAILABLE,
            Self::ContentType { .. } | Self::Compressed(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Broken(_) | Self::Json(_) => StatusCode::BAD_REQUEST,
        }
    }
}

/// The body of a request that says that it is JSON, or says nothing.
///
/// # Errors
/// [`PayloadError`].
pub(crate) async fn read(request: Request<Body>, limit: usize) -> Result<Bytes, PayloadError> {
    check_headers(request.headers(), "application/json", limit)?;
    whole(request, limit).await
}

/// The body of a form that a page sends.
///
/// # Errors
/// [`PayloadError`].
pub(crate) async fn form(request: Request<Body>, limit: usize) -> Result<Bytes, PayloadError> {
    check_headers(request.headers(), "application/x-www-form-urlencoded", limit)?;
    whole(request, limit).await
}

/// The body of a request, whatever it says that it is.
///
/// # Errors
/// [`PayloadError::TooLarge`], [`PayloadError::TooSlow`], [`PayloadError::Full`], [`PayloadError::Broken`].
pub(crate) async fn whole(request: Request<Body>, limit: usize) -> Result<Bytes, PayloadError> {
    check_length(request.headers(), limit)?;
    let body = gather(Limited::new(request.into_body(), limit), limit, &FREE);
    tokio::time::timeout(PATIENCE, body).await.unwrap_or(Err(PayloadError::TooSlow))
}

/// The whole of `body`, which takes of `free` what it holds beyond a unit.
async fn gather(
    mut body: Limited<Body>,
    limit: usize,
    free: &'static Semaphore,
) -> Result<Bytes, PayloadError> {
    let (mut first, mut rest) = (Bytes::new(), Vec::new());
    let mut held: Option<SemaphorePermit<'static>> = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| match error.is::<LengthLimitError>() {
            true => PayloadError::TooLarge(limit),
            false => PayloadError::Broken(error.to_string()),
        })?;
        let Ok(data) = frame.into_data() else { continue };
        let units = (first.len() + rest.len() + data.len()) / UNIT;
        let more = units.saturating_sub(held.as_ref().map_or(0, SemaphorePermit::num_permits));
        if more > 0 {
            let more = u32::try_from(more).map_err(|_| PayloadError::TooLarge(limit))?;
            let more = free.try_acquire_many(more).map_err(|_| PayloadError::Full)?;
            match &mut held {
                Some(held) => held.merge(more),
                None => held = Some(more),
            }
        }
        if first.is_empty() && rest.is_empty() {
            // Most bodies come in one piece, which need not be copied.
            first = data;
        } else {
            if rest.is_empty() {
                rest.extend_from_slice(&first);
                first = Bytes::new();
            }
            rest.extend_from_slice(&data);
        }
    }
    let whole = if rest.is_empty() { first } else { rest.into() };
    Ok(match held {
        None => whole,
        Some(held) => Bytes::from_owner(Counted { bytes: whole, _held: held }),
    })
}

/// A large body, which counts until nobody has any of it any more.
struct Counted {
    bytes: Bytes,
    _held: SemaphorePermit<'static>,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

fn check_length(headers: &HeaderMap, limit: usize) -> Result<(), PayloadError> {
    let promised =
        headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if promised.is_some_and(|promised| promised > limit as u64) {
        Err(PayloadError::TooLarge(limit))
    } else {
        Ok(())
    }
}

fn check_headers(headers: &HeaderMap, expected: &'static str, limit: usize) -> Result<(), PayloadError> {
    check_length(headers, limit)?;
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("(unreadable)"));
    if let Some(kind) = text(header::CONTENT_TYPE) {
        let essence = kind.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case(expected) {
            return Err(PayloadError::ContentType { found: essence.chars().take(80).collect(), expected });
        }
    }
    match text(header::CONTENT_ENCODING) {
        None | Some("identity") => Ok(()),
        Some(coding) => Err(PayloadError::Compressed(coding.chars().take(40).collect())),
    }
}

/// Reads `body` as JSON that is no object.
///
/// # Errors
/// [`PayloadError::Json`].
pub(crate) fn scalar<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, PayloadError> {
    serde_json::from_slice(body).map_err(|error| PayloadError::Json(error.to_string()))
}

/// Reads `body` as the JSON of a `T`.
///
/// # Errors
/// [`PayloadError::Json`] with what was found, what was expected, line and column.
pub(crate) fn json<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, PayloadError> {
    // An array would be taken for the fields in their order, and where nothing is asked anything would do; no protocol here
    // means that.
    if body.trim_ascii_start().first().is_some_and(|first| *first != b'{') {
        let wrong = "it does not begin as an object does, expected `{`, at line 1 column 1";
        return Err(PayloadError::Json(wrong.to_owned()));
    }
    serde_json::from_slice(body).map_err(|error| PayloadError::Json(error.to_string()))
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    fn chunks(count: usize) -> Limited<Body> {
        let chunk = || Ok::<_, std::convert::Infallible>(Bytes::from(vec![7; UNIT / 2]));
        Limited::new(Body::from_stream(stream::iter((0..count).map(move |_| chunk()))), 100 * UNIT)
    }

    #[tokio::test]
    async fn large_bodies_hold_so_much_together_until_they_are_done_with() {
        static FEW: Semaphore = Semaphore::const_new(4);
        let small = gather(chunks(1), 100 * UNIT, &FEW).await.unwrap();
        assert_eq!((small.len(), FEW.available_permits()), (UNIT / 2, 4));
        let large = gather(chunks(6), 100 * UNIT, &FEW).await.unwrap();
        assert_eq!((large.len(), FEW.available_permits()), (3 * UNIT, 1));
        assert!(large.iter().all(|byte| *byte == 7));
        let part = large.slice(UNIT..);
        drop(large);
        assert_eq!(gather(chunks(6), 100 * UNIT, &FEW).await, Err(PayloadError::Full));
        assert_eq!(FEW.available_permits(), 1, "what was refused holds nothing");
        drop(part);
        assert_eq!(FEW.available_permits(), 4);
        assert_eq!(gather(chunks(300), 100 * UNIT, &FEW).await, Err(PayloadError::Full));
    }
}

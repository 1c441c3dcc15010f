//! Bodies, read within limits.
//!
//! A body is read into memory whole, up to a limit of bytes and of time; a client that promises more than the limit is
//! refused before a byte is read. JSON goes straight into the types of the protocol, so that its depth is bounded by them
//! (and by serde_json's own limit of 128), and what is wrong is told with line and column.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::Deserialize;

/// How long a client may take to send a body.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why a body was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PayloadError {
    #[error("the body is larger than {0} bytes; send it in parts")]
    TooLarge(usize),
    #[error("the body did not arrive within {} seconds", PATIENCE.as_secs())]
    TooSlow,
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
/// [`PayloadError::TooLarge`], [`PayloadError::TooSlow`], [`PayloadError::Broken`].
pub(crate) async fn whole(request: Request<Body>, limit: usize) -> Result<Bytes, PayloadError> {
    check_length(request.headers(), limit)?;
    let body = Limited::new(request.into_body(), limit).collect();
    match tokio::time::timeout(PATIENCE, body).await {
        Err(_) => Err(PayloadError::TooSlow),
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(PayloadError::TooLarge(limit)),
        Ok(Err(error)) => Err(PayloadError::Broken(error.to_string())),
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

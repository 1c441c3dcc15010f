//! A watch: one JSON object a line, for as long as the API server holds the connection.

use bytes::BytesMut;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;

use crate::client::refused;
use crate::error::ApiError;

/// The longest line that is read, in bytes: an object may be about as large as its store takes (1.5 MiB).
const LONGEST: usize = 4 << 20;

/// Something that happened to an object.
#[derive(Debug)]
pub enum Event {
    /// It is so now.
    Now(Value),
    /// It is gone.
    Gone,
    /// Nothing happened to it; from here a watch may go on.
    Still,
}

/// A watch that is under way.
pub struct Watch {
    body: Incoming,
    buffer: BytesMut,
    server: String,
    what: String,
    /// The newest version that was told of.
    pub(crate) seen: Option<String>,
}

impl Watch {
    pub(crate) fn new(body: Incoming, server: String, what: String) -> Self {
        Self { body, buffer: BytesMut::new(), server, what, seen: None }
    }

    /// The next thing that happens; none when the API server ends the watch. May be dropped while it waits: nothing is lost.
    ///
    /// # Errors
    /// [`ApiError`]; of status 410 when the watch must begin anew with a list.
    pub async fn next(&mut self) -> Result<Option<Event>, ApiError> {
        loop {
            if let Some(end) = self.buffer.iter().position(|&byte| byte == b'\n') {
                let line = self.buffer.split_to(end + 1);
                if !line.trim_ascii().is_empty() {
                    return self.read(&line).map(Some);
                }
                continue;
            }
            if self.buffer.len() > LONGEST {
                return Err(self.unusable(format!("a line is longer than {LONGEST} bytes")));
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.buffer.extend_from_slice(data);
                    }
                }
                Some(Err(error)) => {
                    return Err(ApiError::Unreachable {
                        server: self.server.clone(),
                        why: error.to_string(),
                    });
                }
            }
        }
    }

    fn read(&mut self, line: &[u8]) -> Result<Event, ApiError> {
        let mut told: Value =
            serde_json::from_slice(line).map_err(|error| self.unusable(error.to_string()))?;
        let object = told.get_mut("object").map(Value::take).unwrap_or_default();
        let kind = told.get("type").and_then(Value::as_str).unwrap_or_default();
        if kind == "ERROR" {
            let code = object.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
            let status = code.and_then(|code| http::StatusCode::from_u16(code).ok());
            let status = status.unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
            return Err(refused(self.what.clone(), status, object.to_string().as_bytes()));
        }
        let version = object.get("metadata").and_then(|of| of.get("resourceVersion")).and_then(Value::as_str);
        if let Some(version) = version {
            self.seen = Some(version.to_owned());
        }
        match kind {
            "ADDED" | "MODIFIED" => Ok(Event::Now(object)),
            "DELETED" => Ok(Event::Gone),
            "BOOKMARK" => Ok(Event::Still),
            other => Err(self.unusable(format!("it tells of {other:?}"))),
        }
    }

    fn unusable(&self, problem: String) -> ApiError {
        ApiError::Answer { what: self.what.clone(), problem }
    }
}

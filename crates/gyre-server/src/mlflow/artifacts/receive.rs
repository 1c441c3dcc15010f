//! A file from the body of a request, with little memory: while one batch of bytes is hashed and written, the next is
//! read from the socket.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;
use gyre_artifacts::Upload;
use http_body_util::BodyExt;

use crate::app::App;
use crate::mlflow::MlflowError;

/// How many bytes are handed to the disk at a time.
const BATCH: usize = 1 << 20;

/// How long a client may be silent within a body. A large file may take as long as it needs.
const IDLE: Duration = Duration::from_secs(60);

/// Takes a file in; nothing is visible yet. Whatever breaks off leaves nothing.
///
/// # Errors
/// The client was silent for too long or went away; the disk is full.
pub(super) async fn receive(
    app: &Arc<App>,
    headers: &HeaderMap,
    mut body: Body,
) -> Result<Upload, MlflowError> {
    if let Some(coding) = headers.get(header::CONTENT_ENCODING).filter(|coding| *coding != "identity") {
        let coding: String = String::from_utf8_lossy(coding.as_bytes()).chars().take(40).collect();
        return Err(MlflowError::invalid(format!(
            "the file comes with the content encoding `{coding}`; send it as it is"
        )));
    }
    let _place = app.transfer().await?;
    let mut writing = app.on_disk(|app| app.artifacts.begin());
    loop {
        let (batch, end) = gather(&mut body).await?;
        let mut upload = writing.await??;
        writing = app.on_disk(move |_| {
            batch.iter().try_for_each(|bytes| upload.write(bytes))?;
            Ok(upload)
        });
        if end {
            return Ok(writing.await??);
        }
    }
}

/// The next bytes of the body, and whether that was all.
async fn gather(body: &mut Body) -> Result<(Vec<Bytes>, bool), MlflowError> {
    let (mut batch, mut size) = (Vec::new(), 0);
    while size < BATCH {
        let silent = || {
            let message = format!("no bytes came for {} seconds; nothing was stored", IDLE.as_secs());
            MlflowError::with_status(StatusCode::REQUEST_TIMEOUT, &message)
        };
        let Some(frame) = tokio::time::timeout(IDLE, body.frame()).await.map_err(|_| silent())? else {
            return Ok((batch, true));
        };
        let frame = frame.map_err(|error| {
            let message = format!("the body broke off, and nothing was stored: {error}");
            MlflowError::with_status(StatusCode::BAD_REQUEST, &message)
        })?;
        // Trailers say nothing about the file.
        if let Ok(bytes) = frame.into_data() {
            size += bytes.len();
            batch.push(bytes);
        }
    }
    Ok((batch, false))
}

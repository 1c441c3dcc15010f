//! A file as the body of an answer, with little memory: while one chunk goes to the socket, the next is read.

use std::io;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use gyre_artifacts::index::{self, FileRecord};
use gyre_artifacts::{ArtifactError, ArtifactPath, Download};
use gyre_core::Digest;
use gyre_store::StoreError;
use tokio::sync::OwnedSemaphorePermit;

use super::media;
use super::range::{Wanted, entity_tag, wanted};
use super::trained;
use crate::app::{App, Aside};
use crate::mlflow::MlflowError;

/// The file at `path`, or what of it the headers ask for.
///
/// # Errors
/// There is no such file, or its bytes are damaged.
pub(super) async fn send(
    app: &Arc<App>,
    path: ArtifactPath,
    headers: &HeaderMap,
) -> Result<Response, MlflowError> {
    let name = path.name().to_owned();
    let file = match trained::place(path.as_str()) {
        Some(place) => Found::Made(app.on_disk(move |app| trained::file(&app.store, &place)).await??),
        None => Found::Kept(app.read(move |app| app.store.read(|tx| find(tx, &path))).await??),
    };
    let (digest, size) = file.identity();
    let tag = entity_tag(&digest);
    let (status, from, to) = match wanted(headers, &tag, size) {
        Wanted::Whole => (StatusCode::OK, 0, size),
        Wanted::Part(from, to) => (StatusCode::PARTIAL_CONTENT, from, to),
        Wanted::Nothing => (StatusCode::NOT_MODIFIED, 0, 0),
        Wanted::Beyond => (StatusCode::RANGE_NOT_SATISFIABLE, 0, 0),
    };
    let mut response = if status.is_success() {
        let place = app.transfer().await?;
        let download = app.on_disk(move |app| file.open(app, from, to)).await??;
        let mut response = Response::new(body(Arc::clone(app), download, place));
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(to - from));
        *response.status_mut() = status;
        response
    } else {
        status.into_response()
    };
    let answer = response.headers_mut();
    media::guard(answer, &name);
    answer.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    let range = match status {
        StatusCode::PARTIAL_CONTENT => Some(format!("bytes {from}-{}/{size}", to - 1)),
        StatusCode::RANGE_NOT_SATISFIABLE => Some(format!("bytes */{size}")),
        _ => None,
    };
    let texts = [(header::ETAG, Some(tag)), (header::CONTENT_RANGE, range)];
    for (name, text) in texts {
        if let Some(value) = text.and_then(|text| HeaderValue::try_from(text).ok()) {
            answer.insert(name, value);
        }
    }
    Ok(response)
}

/// A file that there is.
enum Found {
    /// Somebody logged it.
    Kept(FileRecord),
    /// It belongs to a version that the loop trained.
    Made(trained::File),
}

impl Found {
    fn identity(&self) -> (Digest, u64) {
        match self {
            Self::Kept(file) => (file.digest, file.size),
            Self::Made(file) => (file.digest, file.size),
        }
    }

    fn open(&self, app: &App, from: u64, to: u64) -> Result<Download, ArtifactError> {
        match self {
            Self::Kept(file) => app.artifacts.open(file, from, to),
            Self::Made(file) => file.open(from, to),
        }
    }
}

fn find(tx: &mut gyre_store::Tx<'_>, path: &ArtifactPath) -> Result<FileRecord, StoreError> {
    match index::file(tx, path) {
        Err(StoreError::NotFound { .. }) if index::exists(tx, &path.as_folder())? => {
            Err(StoreError::Invalid(format!(
                "`{path}` is a folder, not a file; list it, and get its files one by one"
            )))
        }
        found => found,
    }
}

/// A file on its way out, with the chunk after the one that is being sent.
struct Outgoing {
    app: Arc<App>,
    ahead: Option<Ahead>,
    _place: OwnedSemaphorePermit,
}

/// A chunk that is being read, and what comes after it.
type Ahead = BoxFuture<'static, Result<Result<(Download, Option<Bytes>), ArtifactError>, Aside>>;

/// When a chunk cannot be had, the connection breaks off, so that the client sees that the file is not whole.
fn body(app: Arc<App>, download: Download, place: OwnedSemaphorePermit) -> Body {
    let ahead = read(&app, download);
    Body::from_stream(futures_util::stream::unfold(Outgoing { app, ahead, _place: place }, Outgoing::next))
}

/// Begins to read the next chunk, if there is one.
fn read(app: &Arc<App>, mut download: Download) -> Option<Ahead> {
    if download.left() == 0 {
        return None;
    }
    Some(app.on_disk(move |_| {
        let chunk = download.next_chunk()?;
        Ok((download, chunk))
    }))
}

impl Outgoing {
    async fn next(mut self) -> Option<(io::Result<Bytes>, Self)> {
        match self.ahead.take()?.await {
            Ok(Ok((download, chunk))) => {
                self.ahead = read(&self.app, download);
                chunk.map(|chunk| (Ok(chunk), self))
            }
            Ok(Err(error)) => Some((Err(io::Error::other(error)), self)),
            Err(aside) => Some((Err(io::Error::other(aside)), self)),
        }
    }
}

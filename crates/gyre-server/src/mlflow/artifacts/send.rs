//! A file as the body of an answer, with little memory: while one chunk goes to the socket, the next is read.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use gyre_artifacts::index::{self, FileRecord};
use gyre_artifacts::{ArtifactError, ArtifactPath, Download};
use gyre_store::StoreError;

use super::media;
use super::range::{Wanted, entity_tag, wanted};
use crate::app::App;
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
    let file = app.read(move |app| app.store.read(|tx| find(tx, &path))).await??;
    let tag = entity_tag(&file.digest);
    let size = file.size;
    let (status, from, to) = match wanted(headers, &tag, size) {
        Wanted::Whole => (StatusCode::OK, 0, size),
        Wanted::Part(from, to) => (StatusCode::PARTIAL_CONTENT, from, to),
        Wanted::Nothing => (StatusCode::NOT_MODIFIED, 0, 0),
        Wanted::Beyond => (StatusCode::RANGE_NOT_SATISFIABLE, 0, 0),
    };
    let mut response = if status.is_success() {
        let download = app.on_disk(move |app| app.artifacts.open(&file, from, to)).await??;
        let mut response = Response::new(body(Arc::clone(app), download));
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

/// When a chunk cannot be had, the connection breaks off, so that the client sees that the file is not whole.
fn body(app: Arc<App>, download: Download) -> Body {
    let read = |app: &Arc<App>, mut download: Download| {
        app.on_disk(move |_| {
            let chunk = download.next_chunk()?;
            Ok::<_, ArtifactError>((download, chunk))
        })
    };
    let ahead = (download.left() > 0).then(|| read(&app, download));
    Body::from_stream(futures_util::stream::unfold((app, ahead), move |(app, ahead)| async move {
        let (download, chunk) = match ahead?.await {
            Ok(Ok(read)) => read,
            Ok(Err(error)) => return Some((Err(std::io::Error::other(error)), (app, None))),
            Err(aside) => return Some((Err(std::io::Error::other(aside)), (app, None))),
        };
        let ahead = (download.left() > 0).then(|| read(&app, download));
        chunk.map(|chunk| (Ok(chunk), (app, ahead)))
    }))
}

//! Artifacts: MLflow's proxied ones (`mlflow-artifacts:`), and those of runs, model versions and logged models.
//!
//! | module | what lives there |
//! | --- | --- |
//! | `receive` | a file from a request's body |
//! | `send` | a file as an answer's body |
//! | `range` | which bytes a client wants; pure |
//! | `media` | content types, and what keeps a file from being a page; pure |
//! | `listing` | folders as MLflow lists them |
//! | `multipart` | files in parts |
//! | `owned` | artifacts by what they belong to |
//! | `trained`, `package` | the files of versions that the loop trained: made when they are asked for |
//!
//! Bodies stream through, so the limit of other bodies does not hold here; a client may take as long as it needs, so long
//! as it is not silent for a minute.

mod listing;
mod media;
mod multipart;
pub(super) mod owned;
mod package;
mod range;
mod receive;
mod send;
mod trained;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, header};
use gyre_artifacts::{ArtifactError, ArtifactPath, Folder, InvalidPath, index};
use serde::Deserialize;

use super::call::{Answer, Call, done, json};
use super::error::ErrorCode;
use super::{MlflowError, endpoint};
use crate::app::App;
use crate::routes::{Need, Routes};

/// What stands before a path in a URL.
const FILES: &str = "/mlflow-artifacts/artifacts/";

pub(super) fn routes(routes: &mut Routes) {
    for base in ["/api/2.0", "/ajax-api/2.0"] {
        let files = format!("{base}{FILES}{{*path}}");
        routes.add(Method::PUT, &files, Need::Write, put);
        routes.add(Method::GET, &files, Need::Read, get);
        routes.add(Method::DELETE, &files, Need::Write, delete);
        routes.add(Method::GET, &format!("{base}/mlflow-artifacts/artifacts"), Need::Read, list);
        let parts = format!("{base}{}", multipart::URL);
        routes.add(Method::POST, &format!("{parts}create/{{*path}}"), Need::Write, multipart::create);
        routes.add(Method::PUT, &format!("{parts}part/{{upload}}/{{number}}"), Need::Write, multipart::part);
        routes.add(Method::POST, &format!("{parts}complete/{{*path}}"), Need::Write, multipart::complete);
        routes.add(Method::POST, &format!("{parts}abort/{{*path}}"), Need::Write, multipart::abort);
        routes.add(Method::GET, &format!("{base}{SIGNED}{{*path}}"), Need::Read, presigned);
    }
    routes.add(Method::GET, "/get-artifact", Need::Read, owned::of_run);
    routes.add(Method::GET, "/model-versions/get-artifact", Need::Read, owned::of_version);
    let ajax = "/ajax-api/2.0/mlflow";
    routes.add(Method::GET, &format!("{ajax}/get-artifact"), Need::Read, owned::of_run);
    routes.add(Method::POST, &format!("{ajax}/upload-artifact"), Need::Write, owned::upload);
    let files = format!("{ajax}/logged-models/{{model}}/artifacts/files");
    routes.add(Method::GET, &files, Need::Read, owned::of_logged_model);
    endpoint(routes, &Method::GET, "/artifacts/list", Need::Read, owned::list);
    for url in ["/artifacts/presigned-upload-url", "/artifacts/presigned-download-url"] {
        endpoint(routes, &Method::POST, url, Need::Write, unsigned);
    }
    let folders = "/logged-models/{model}/artifacts/directories";
    endpoint(routes, &Method::GET, folders, Need::Read, owned::list_logged_model);
}

/// The same before the path of a file that is to be downloaded from a bucket.
const SIGNED: &str = "/mlflow-artifacts/presigned/";

/// The path of a URL after what stands before it, still encoded: it must be decoded only once.
fn raw(request: &Request) -> &str {
    request.uri().path().split_once(FILES).map_or("", |(_, path)| path)
}

async fn put(State(app): State<Arc<App>>, request: Request) -> Answer {
    let path = ArtifactPath::from_url(raw(&request))?;
    trained::refuse_change(path.as_str())?;
    let (parts, body) = request.into_parts();
    let upload = receive::receive(&app, &parts.headers, body).await?;
    let file = app.on_disk(move |app| app.artifacts.settle(&path, upload)).await??;
    let mut response = done()?;
    if let Ok(tag) = HeaderValue::try_from(range::entity_tag(&file.digest)) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    Ok(response)
}

async fn get(State(app): State<Arc<App>>, request: Request) -> Answer {
    let path = ArtifactPath::from_url(raw(&request))?;
    send::send(&app, path, request.headers()).await
}

/// A file, or a folder with all that is in it. What is gone already is gone: clients repeat requests.
async fn delete(State(app): State<Arc<App>>, request: Request) -> Answer {
    let folder = Folder::from_url(raw(&request))?;
    trained::refuse_change(folder.as_str())?;
    let path = ArtifactPath::from_field(folder.as_str())?;
    let now = app.clock.now();
    app.write(move |tx| {
        if !index::remove(tx, &path, now)? {
            index::remove_tree(tx, &folder, now)?;
        }
        Ok(())
    })
    .await?;
    done()
}

/// Which folder to list.
#[derive(Debug, Deserialize)]
struct Asked {
    path: Option<String>,
}

async fn list(call: Call<Asked>) -> Answer {
    let folder = Folder::from_field(call.asked.path.as_deref().unwrap_or_default())?;
    if let Some(place) = trained::place(folder.as_str()) {
        let children = call.app.on_disk(move |app| trained::children(&app.store, &place)).await??;
        return json(&listing::of(children));
    }
    json(&call.read(move |tx| listing::whole(tx, &folder)).await?)
}

/// A URL by which the client can download the file from the bucket itself.
async fn presigned(State(app): State<Arc<App>>, request: Request) -> Answer {
    let raw = request.uri().path().split_once(SIGNED).map_or("", |(_, path)| path);
    let path = ArtifactPath::from_url(raw)?;
    if trained::place(path.as_str()).is_some() {
        let message = "the files of versions that gyre trained do not lie in a bucket; download this one by its own URL";
        return Err(MlflowError::new(ErrorCode::NotImplemented, message));
    }
    let file = app.read(move |app| app.store.read(|tx| index::file(tx, &path))).await??;
    let size = file.size;
    let url = app.on_disk(move |app| app.artifacts.sign(&file)).await??;
    json(&serde_json::json!({ "url": url, "headers": {}, "file_size": size }))
}

/// URLs of a bucket that a run has of its own. Runs here have none: their artifacts are proxied.
async fn unsigned() -> Answer {
    Err(MlflowError::invalid(
        "presigned URLs are not supported for proxied artifact storage (mlflow-artifacts:); send and fetch artifacts through \
         this server",
    ))
}

impl From<InvalidPath> for MlflowError {
    fn from(invalid: InvalidPath) -> Self {
        Self::invalid(invalid.to_string())
    }
}

impl From<ArtifactError> for MlflowError {
    fn from(error: ArtifactError) -> Self {
        let code = match error {
            ArtifactError::Path(invalid) => return invalid.into(),
            ArtifactError::Store(error) => return error.into(),
            ArtifactError::Damaged(_) => ErrorCode::InternalError,
            ArtifactError::Remote { .. } => ErrorCode::TemporarilyUnavailable,
            ArtifactError::Unsupported(_) => ErrorCode::NotImplemented,
        };
        Self::new(code, error.to_string())
    }
}

//! Artifacts by what they belong to: a run, a model version, a logged model.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use gyre_artifacts::{ArtifactPath, Folder};
use gyre_store::{StoreError, Tx};
use serde::Deserialize;

use super::listing;
use super::receive::receive;
use super::send::send;
use super::trained;
use crate::app::App;
use crate::mlflow::artifact_root::{self, Root};
use crate::mlflow::call::{Answer, Call, Path, done, json, required};
use crate::mlflow::{MlflowError, call};

/// A file or folder of a run.
#[derive(Debug, Deserialize)]
pub(in crate::mlflow) struct OfRun {
    #[serde(alias = "runId")]
    run_id: Option<String>,
    #[serde(alias = "runUuid")]
    run_uuid: Option<String>,
    path: Option<String>,
    #[serde(alias = "pageToken")]
    page_token: Option<String>,
}

impl OfRun {
    fn run(&self) -> Result<String, MlflowError> {
        let run = self.run_id.as_ref().filter(|run| !run.is_empty()).or(self.run_uuid.as_ref());
        required("run_id", &run.cloned()).map(str::to_owned)
    }

    fn file(&self) -> Result<ArtifactPath, MlflowError> {
        Ok(ArtifactPath::from_field(required("path", &self.path)?)?)
    }
}

/// A file of a model version.
#[derive(Debug, Deserialize)]
pub(super) struct OfVersion {
    name: Option<String>,
    version: Option<crate::mlflow::wire::Int64>,
    path: Option<String>,
}

/// A file or folder of a logged model.
#[derive(Debug, Deserialize)]
pub(super) struct OfLoggedModel {
    #[serde(alias = "artifactFilePath")]
    artifact_file_path: Option<String>,
    #[serde(alias = "artifactDirectoryPath")]
    artifact_directory_path: Option<String>,
    #[serde(alias = "pageToken")]
    page_token: Option<String>,
}

/// `GET artifacts/list`.
pub(in crate::mlflow) async fn list(call: Call<OfRun>) -> Answer {
    let run = call.asked.run()?;
    page(&call, call.asked.path.as_deref(), call.asked.page_token.as_deref(), move |tx| {
        artifact_root::of_run(tx, &run)
    })
    .await
}

/// `GET /get-artifact`.
pub(super) async fn of_run(State(app): State<Arc<App>>, request: Request) -> Answer {
    let asked: OfRun = call::query(&request)?;
    let (run, file) = (asked.run()?, asked.file()?);
    from_root(&app, request.headers(), file, move |tx| artifact_root::of_run(tx, &run)).await
}

/// `GET /model-versions/get-artifact`.
pub(super) async fn of_version(State(app): State<Arc<App>>, request: Request) -> Answer {
    let asked: OfVersion = call::query(&request)?;
    let file = ArtifactPath::from_field(required("path", &asked.path)?)?;
    let name = required("name", &asked.name)?.to_owned();
    let version = asked.version.ok_or_else(|| MlflowError::missing("version"))?.0;
    from_root(&app, request.headers(), file, move |tx| artifact_root::of_version(tx, &name, version)).await
}

/// `GET logged-models/{id}/artifacts/files`.
pub(super) async fn of_logged_model(
    State(app): State<Arc<App>>,
    Path(model): Path<String>,
    request: Request,
) -> Answer {
    let asked: OfLoggedModel = call::query(&request)?;
    let file = ArtifactPath::from_field(required("artifact_file_path", &asked.artifact_file_path)?)?;
    from_root(&app, request.headers(), file, move |tx| artifact_root::of_logged_model(tx, &model)).await
}

/// `GET logged-models/{id}/artifacts/directories`.
pub(super) async fn list_logged_model(Path(model): Path<String>, call: Call<OfLoggedModel>) -> Answer {
    let asked = &call.asked;
    page(&call, asked.artifact_directory_path.as_deref(), asked.page_token.as_deref(), move |tx| {
        artifact_root::of_logged_model(tx, &model)
    })
    .await
}

/// `POST upload-artifact`: the web interface puts a file into a run.
pub(super) async fn upload(State(app): State<Arc<App>>, request: Request) -> Answer {
    let asked: OfRun = call::query(&request)?;
    let (run, file) = (asked.run()?, asked.file()?);
    let (_, root) = app.read(move |app| app.store.read(|tx| artifact_root::of_run(tx, &run))).await??;
    let path = root.file(&file)?;
    trained::refuse_change(path.as_str())?;
    let (parts, body) = request.into_parts();
    let upload = receive(&app, &parts.headers, body).await?;
    app.on_disk(move |app| app.artifacts.settle(&path, upload)).await??;
    done()
}

async fn from_root(
    app: &Arc<App>,
    headers: &HeaderMap,
    file: ArtifactPath,
    root: impl FnOnce(&mut Tx<'_>) -> Result<Root, StoreError> + Send + 'static,
) -> Result<Response, MlflowError> {
    let (_, root) = app.read(move |app| app.store.read(root)).await??;
    send(app, root.file(&file)?, headers).await
}

async fn page<T>(
    call: &Call<T>,
    path: Option<&str>,
    token: Option<&str>,
    root: impl FnOnce(&mut Tx<'_>) -> Result<Root, StoreError> + Send + 'static,
) -> Answer {
    let inner = Folder::from_field(path.unwrap_or_default())?;
    let after = token.filter(|token| !token.is_empty()).map(listing::after).transpose()?;
    let answer = call.read(move |tx| {
        let (uri, root) = root(tx)?;
        listing::page(tx, (uri, &root), &inner, after.as_ref())
    });
    json(&answer.await?)
}

//! What MLflow's own web pages ask of a server besides its protocol, and the pages themselves.
//!
//! The pages are not part of gyre: whoever has the `mlflow` package installed points `gyre up --mlflow-ui` at the folder
//! `mlflow/server/js/build` in it, and finds them under `/mlflow/`. They ask with paths relative to their own, so
//! whatever of the protocol they need answers below `/mlflow/` too.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde_json::json;

use super::call::{Answer, Path as UrlPath, json};
use super::{MlflowError, endpoint};
use crate::app::App;
use crate::routes::{Need, Routes};

pub(super) fn routes(routes: &mut Routes) {
    let (get, post) = (&Method::GET, &Method::POST);
    endpoint(routes, get, "/server-info", Need::Read, server_info);
    endpoint(routes, get, "/ui-telemetry", Need::Read, telemetry);
    endpoint(routes, post, "/ui-telemetry", Need::Read, telemetry);
    routes.get("/mlflow", || async { Redirect::permanent("/mlflow/") });
    routes.get("/mlflow/", index);
    routes.get("/mlflow/static-files/{*path}", file);
}

/// What the pages ask for below their own place, and what it is called elsewhere: `/mlflow/ajax-api/…` is `/ajax-api/…`.
pub(crate) fn below(uri: &Uri) -> Option<Uri> {
    let path = uri.path_and_query()?.as_str();
    let inner = path.strip_prefix("/mlflow").filter(|inner| inner.starts_with('/'))?;
    let of_protocol = ["/health", "/mlflow-artifacts/"].iter().any(|other| inner.starts_with(other));
    if of_protocol || super::speaks(inner) { inner.parse().ok() } else { None }
}

async fn server_info() -> Answer {
    json(&json!({ "store_type": "SqlStore", "workspaces_enabled": false, "trace_archival_enabled": false }))
}

/// The pages would tell their makers how they are used; here they are told not to.
async fn telemetry() -> Answer {
    json(&json!({ "disable_ui_telemetry": true, "disable_ui_events": [], "ui_rollout_percentage": 0 }))
}

/// The folder with the pages, checked.
///
/// # Errors
/// What is not as it should be, and what to do.
pub fn folder(path: &Path) -> Result<PathBuf, String> {
    let folder = path.canonicalize().map_err(|error| format!("cannot open {}: {error}", path.display()))?;
    // Whoever names the package instead of the folder in it means the folder.
    let inner = ["", "server/js/build", "mlflow/server/js/build"].map(|inner| folder.join(inner));
    inner.into_iter().find(|folder| folder.join("index.html").is_file()).ok_or_else(|| {
        format!(
            "{} has no index.html, expected the folder mlflow/server/js/build of an installed mlflow package; \
             `python -c \"import mlflow; print(mlflow.__path__[0])\"` says where that is",
            path.display()
        )
    })
}

async fn index(State(app): State<Arc<App>>) -> Response {
    match &app.pages {
        None => nothing("MLflow's pages are not installed here: start with `gyre up --mlflow-ui DIR`"),
        Some(folder) => send(&folder.join("index.html"), "no-cache").await,
    }
}

async fn file(State(app): State<Arc<App>>, UrlPath(path): UrlPath<String>) -> Response {
    let Some(folder) = &app.pages else { return nothing("MLflow's pages are not installed here") };
    let path = Path::new(&path);
    // Only names, one below the other: nothing that leads out or elsewhere.
    if path.components().any(|part| !matches!(part, Component::Normal(_))) || path.as_os_str().is_empty() {
        return nothing("there is no such file");
    }
    match folder.join(path).canonicalize() {
        Ok(file) if file.starts_with(folder) && file.is_file() => send(&file, "public, max-age=86400").await,
        _ => nothing("there is no such file"),
    }
}

fn nothing(message: &str) -> Response {
    MlflowError::with_status(StatusCode::NOT_FOUND, message).into_response()
}

/// The pages run scripts of their own and nobody else's; WebAssembly and workers are among them.
const POLICY: &str = "default-src 'self'; script-src 'self' 'unsafe-inline' 'wasm-unsafe-eval'; style-src 'self' 'unsafe-inline'; \
                      img-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; connect-src 'self'; \
                      frame-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'";

async fn send(path: &Path, cache: &'static str) -> Response {
    let reading = path.to_owned();
    let read = tokio::task::spawn_blocking(move || std::fs::read(reading)).await;
    let Ok(Ok(bytes)) = read else { return nothing("there is no such file") };
    let kind = match path.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json" | "map") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("gif") => "image/gif",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("woff") => "font/woff",
        Some("woff2") => "font/woff2",
        Some("ttf") => "font/ttf",
        Some("wasm") => "application/wasm",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    };
    let mut response = bytes.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("SAMEORIGIN"));
    response
}

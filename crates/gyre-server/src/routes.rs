//! All routes in one place, and what is said where there is none.

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use crate::app::App;
use crate::{inference, rest, ui};

/// Every route: method, and path with its parameters in braces.
pub const ROUTES: [(&str, &str); 29] = [
    ("GET", "/health"),
    ("GET", "/v2"),
    ("GET", "/v2/health/live"),
    ("GET", "/v2/health/ready"),
    ("GET", "/v2/models/{model}"),
    ("GET", "/v2/models/{model}/ready"),
    ("POST", "/v2/models/{model}/infer"),
    ("GET", "/v2/models/{model}/versions/{version}"),
    ("GET", "/v2/models/{model}/versions/{version}/ready"),
    ("POST", "/v2/models/{model}/versions/{version}/infer"),
    ("GET", "/v1/status"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/{model}"),
    ("POST", "/v1/models/{model}/promote"),
    ("POST", "/v1/models/{model}/rollback"),
    ("POST", "/v1/models/{model}/train"),
    ("POST", "/v1/models/{model}/resume"),
    ("POST", "/v1/models/{model}/flush"),
    ("POST", "/v1/labels"),
    ("POST", "/v1/watermark"),
    ("GET", "/v1/journal"),
    ("GET", "/v1/journal/head"),
    ("GET", "/v1/journal/verify"),
    ("GET", "/v1/lineage"),
    ("GET", "/"),
    ("GET", "/models"),
    ("GET", "/models/{model}"),
    ("GET", "/journal"),
    ("GET", "/report/{model}"),
];

/// The router over `app`.
pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/health", get(rest::health))
        .route("/v2", get(inference::server))
        .route("/v2/health/live", get(inference::health))
        .route("/v2/health/ready", get(inference::health))
        .route("/v2/models/{model}", get(inference::metadata))
        .route("/v2/models/{model}/ready", get(inference::ready))
        .route("/v2/models/{model}/infer", post(inference::infer))
        .route("/v2/models/{model}/versions/{version}", get(inference::metadata_version))
        .route("/v2/models/{model}/versions/{version}/ready", get(inference::ready_version))
        .route("/v2/models/{model}/versions/{version}/infer", post(inference::infer_version))
        .route("/v1/status", get(rest::models::status))
        .route("/v1/models", get(rest::models::list))
        .route("/v1/models/{model}", get(rest::models::show))
        .route("/v1/models/{model}/promote", post(rest::operations::promote))
        .route("/v1/models/{model}/rollback", post(rest::operations::roll_back))
        .route("/v1/models/{model}/train", post(rest::operations::train))
        .route("/v1/models/{model}/resume", post(rest::operations::resume))
        .route("/v1/models/{model}/flush", post(rest::operations::flush))
        .route("/v1/labels", post(rest::labels::take))
        .route("/v1/watermark", post(rest::operations::advance))
        .route("/v1/journal", get(rest::journal::list))
        .route("/v1/journal/head", get(rest::journal::head))
        .route("/v1/journal/verify", get(rest::journal::verify))
        .route("/v1/lineage", get(rest::lineage::of))
        .route("/", get(ui::overview::page))
        .route("/models", get(ui::models::page))
        .route("/models/{model}", get(ui::model::page))
        .route("/journal", get(ui::journal::page))
        .route("/report/{model}", get(ui::model::report))
        .fallback(nowhere)
        .method_not_allowed_fallback(other_method)
        .with_state(app)
}

async fn nowhere(uri: Uri) -> Response {
    let path: String = uri.path().chars().take(200).collect();
    refuse(uri.path(), StatusCode::NOT_FOUND, &format!("there is nothing at `{path}`"))
}

async fn other_method(uri: Uri) -> Response {
    refuse(
        uri.path(),
        StatusCode::METHOD_NOT_ALLOWED,
        "this path does not take that method; see the header Allow",
    )
}

/// A refusal in the shape of the protocol that `path` belongs to.
pub(crate) fn refuse(path: &str, status: StatusCode, message: &str) -> Response {
    let mut response = if path == "/v2" || path.starts_with("/v2/") {
        inference::Refused::new(status, message).into_response()
    } else if path == "/health" || path.starts_with("/v1/") {
        rest::Refused::new(status, message).into_response()
    } else {
        ui::refused(status, message)
    };
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

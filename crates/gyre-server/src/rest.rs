//! `/v1`: gyre's own API, for its command line and for scripts.
//!
//! JSON in, JSON out. Errors are `{"error": {"message", "expected"?, "help"?}}` under the status that HTTP has for them.
//! What changes state answers once it is durable.

mod access;
mod deploy;
pub(crate) mod incidents;
pub(crate) mod journal;
pub(crate) mod labels;
pub(crate) mod lineage;
mod logged;
pub(crate) mod models;
pub(crate) mod operations;
mod provenance;

use axum::Json;
use axum::extract::Path;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use gyre_core::ModelName;
use gyre_core::ids::nearest;
use gyre_gateway::LogError;
use gyre_loop::DeskError;
use gyre_store::StoreError;
use serde::Serialize;
use serde_json::json;

use crate::app::{App, Aside};
use crate::payload::PayloadError;
use crate::routes::{Need, Routes};

pub(crate) fn routes(routes: &mut Routes) {
    routes
        .add(Method::GET, "/health", Need::Open, health)
        .get("/v1/status", models::status)
        .get("/v1/models", models::list)
        .get("/v1/models/{model}", models::show)
        .post("/v1/models/{model}/promote", Need::Approve, operations::promote)
        .post("/v1/models/{model}/rollback", Need::Approve, operations::roll_back)
        .post("/v1/blobs", Need::Approve, deploy::put_blob)
        .post("/v1/models/{model}/versions", Need::Approve, deploy::register)
        .post("/v1/models/{model}/deploy", Need::Approve, deploy::deploy)
        .post("/v1/models/{model}/traffic", Need::Approve, deploy::split)
        .get("/v1/models/{model}/runtimes", deploy::runtimes)
        .post("/v1/models/{model}/train", Need::Write, operations::train)
        .post("/v1/models/{model}/resume", Need::Approve, operations::resume)
        .get("/v1/models/{model}/incidents", incidents::list)
        .post("/v1/models/{model}/incidents/{incident}/acknowledge", Need::Write, incidents::acknowledge)
        .post("/v1/models/{model}/flush", Need::Write, operations::flush)
        .post("/v1/labels", Need::Write, labels::take)
        .post("/v1/watermark", Need::Admin, operations::advance)
        .get("/v1/journal", journal::list)
        .get("/v1/journal/head", journal::head)
        .get("/v1/journal/verify", journal::verify)
        .get("/v1/lineage", lineage::of);
    access::routes(routes);
    provenance::routes(routes);
}

/// Why a request was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Refused {
    #[serde(skip)]
    status: StatusCode,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
}

impl Refused {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), expected: None, help: None }
    }

    pub(crate) fn expecting(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    pub(crate) fn helping(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(json!({ "error": self }))).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<PayloadError> for Refused {
    fn from(error: PayloadError) -> Self {
        Self::new(error.status(), error.to_string())
    }
}

impl From<PathRejection> for Refused {
    fn from(rejection: PathRejection) -> Self {
        Self::new(StatusCode::BAD_REQUEST, rejection.body_text())
    }
}

impl From<QueryRejection> for Refused {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(StatusCode::BAD_REQUEST, rejection.body_text())
    }
}

impl From<Aside> for Refused {
    fn from(aside: Aside) -> Self {
        let status = match aside {
            Aside::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Aside::Broken => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, aside.to_string())
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        let status = match &error {
            StoreError::NotFound { .. } => StatusCode::NOT_FOUND,
            StoreError::Invalid(_) => StatusCode::BAD_REQUEST,
            StoreError::Conflict(_) | StoreError::Exists { .. } => StatusCode::CONFLICT,
            StoreError::Full => StatusCode::INSUFFICIENT_STORAGE,
            StoreError::Closed | StoreError::Busy | StoreError::Unavailable(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.to_string())
    }
}

impl From<LogError> for Refused {
    fn from(error: LogError) -> Self {
        let status = match &error {
            LogError::UnknownModel { .. } => StatusCode::NOT_FOUND,
            LogError::Label { .. } => StatusCode::BAD_REQUEST,
            LogError::Full(_) => StatusCode::INSUFFICIENT_STORAGE,
            LogError::Closed => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.to_string())
    }
}

impl From<DeskError> for Refused {
    fn from(error: DeskError) -> Self {
        match error {
            DeskError::Store(error) => error.into(),
            DeskError::Log(error) => error.into(),
            DeskError::Refused(reason) => Self::new(StatusCode::CONFLICT, reason),
            DeskError::Loop(error) => Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()).helping(
                "the loop tries again by itself; GET /v1/status says whether it is still in trouble",
            ),
            DeskError::Project(_) => Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        }
    }
}

/// The model that a path names, when the project has it.
pub(crate) fn known(app: &App, path: Result<Path<String>, PathRejection>) -> Result<ModelName, Refused> {
    let Path(name) = path?;
    model(app, &name)
}

/// The project's model of that name, declared or deployed.
pub(crate) fn model(app: &App, name: &str) -> Result<ModelName, Refused> {
    let models = app.desk.models();
    if let Some(model) = models.iter().find(|model| model.as_str() == name) {
        return Ok(model.clone());
    }
    let shown: String = name.chars().take(100).collect();
    let names: Vec<&str> = models.iter().map(ModelName::as_str).collect();
    let refused = Refused::new(StatusCode::NOT_FOUND, format!("there is no model `{shown}`"))
        .expecting(format!("one of {}", names.join(", ")));
    Err(match nearest(&shown, names) {
        Some(near) => refused.helping(format!("did you mean `{near}`?")),
        None => refused,
    })
}

/// `GET /health`: the process answers. In the words that MLflow's clients expect.
pub(crate) async fn health() -> &'static str {
    "OK"
}

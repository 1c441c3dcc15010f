//! `/v2`: the Open Inference Protocol, version 2, over REST (specification of May 2025).
//!
//! What clients of KServe, Triton and MLServer send, as far as it fits tabular models: one input tensor for each feature,
//! of shape `[n]` or `[n, 1]`, or one matrix `[n, features]`. gyre's own words, all of them within what the protocol leaves open:
//!
//! | where | what |
//! | --- | --- |
//! | `id` | the prediction's id, which joins its label and decides its arm in a rollout; a UUID is made when absent. Rows of a batch are `id.0`, `id.1`, … |
//! | `parameters.event_time` of the request | RFC 3339; now, when absent |
//! | `parameters.role = "id"` of a BYTES input | not a feature, but the ids of the rows |
//! | header `gyre-feature-warnings` of the answer | which features held values that are not as expected, when there are some |
//! | headers `gyre-model-version`, `gyre-route` of the answer | who answered, and why (`champion`, `candidate`, `pinned`); comma-separated when a rollout split a batch |
//!
//! Errors are `{"error": "…"}`. Of the protocol's extensions the binary tensors, the model repository, the model's
//! configuration and its statistics are spoken, as `GET /v2` says.

mod ask;
mod binary;
mod deadline;
mod describe;
mod explain;
pub(crate) mod grpc;
mod openapi;
pub(crate) mod reply;
mod repository;
mod scoring;
mod statistics;
mod stream;
mod tensor;
mod warnings;
mod written;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, Method, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use gyre_core::Version;
use gyre_core::ids::nearest;
use gyre_core::record::Signature;
use gyre_gateway::{InferError, Status};
use gyre_wire::HEADER_LENGTH;
use serde_json::json;

use crate::app::App;
use crate::payload::{self, PayloadError};
use crate::routes::{Need, Routes};
use crate::trail;

/// The largest request.
const LIMIT: usize = 16 << 20;
/// What is spoken beside the protocol's core, as Triton names it.
const EXTENSIONS: [&str; 4] = ["binary_tensor_data", "model_repository", "model_configuration", "statistics"];

pub(crate) fn routes(routes: &mut Routes) {
    routes
        .add(Method::GET, "/v2", Need::Open, server)
        .add(Method::GET, "/v2/health/live", Need::Open, health)
        .add(Method::GET, "/v2/health/ready", Need::Open, ready)
        .get("/v2/models/{model}", describe::metadata)
        .get("/v2/models/{model}/ready", describe::ready)
        .get("/v2/models/{model}/config", describe::config)
        .get("/v2/models/{model}/stats", statistics::of_model)
        .get("/v2/models/stats", statistics::of_all)
        .get("/v2/models/{model}/openapi.json", describe::openapi)
        .post("/v2/models/{model}/explain", Need::Read, explain::explain)
        .post("/v2/models/{model}/versions/{version}/explain", Need::Read, explain::explain_version)
        .post("/v2/models/{model}/infer", Need::Read, infer)
        .get("/v2/models/{model}/versions/{version}", describe::metadata_version)
        .get("/v2/models/{model}/versions/{version}/ready", describe::ready_version)
        .get("/v2/models/{model}/versions/{version}/config", describe::config_version)
        .get("/v2/models/{model}/versions/{version}/stats", statistics::of_version)
        .add(Method::POST, "/v2/repository/index", Need::Read, repository::index)
        .add(Method::POST, "/v2/repository/models/{model}/load", Need::Approve, repository::load)
        .add(Method::POST, "/v2/repository/models/{model}/unload", Need::Approve, repository::unload)
        .post("/v2/models/{model}/versions/{version}/infer", Need::Read, infer_version);
    routes.get("/metrics", statistics::metrics);
    scoring::routes(routes);
    stream::routes(routes);
    grpc::routes(routes);
}

/// Why a request was not answered.
#[derive(Debug)]
pub(crate) struct Refused {
    status: StatusCode,
    message: String,
}

impl Refused {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    fn bad(message: impl ToString) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message.to_string())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(json!({ "error": self.message }))).into_response();
        if matches!(self.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<InferError> for Refused {
    fn from(error: InferError) -> Self {
        let status = match error.status() {
            Status::NotFound => StatusCode::NOT_FOUND,
            Status::BadRequest => StatusCode::BAD_REQUEST,
            Status::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Status::Failed => StatusCode::INTERNAL_SERVER_ERROR,
            Status::Busy => StatusCode::TOO_MANY_REQUESTS,
            Status::Late => StatusCode::GATEWAY_TIMEOUT,
        };
        Self::new(status, error.to_string())
    }
}

impl From<PayloadError> for Refused {
    fn from(error: PayloadError) -> Self {
        Self::new(error.status(), error.to_string())
    }
}

impl From<PathRejection> for Refused {
    fn from(rejection: PathRejection) -> Self {
        Self::bad(rejection.body_text())
    }
}

type Answered = Result<Response, Refused>;

/// `GET /v2`
pub(crate) async fn server() -> Response {
    Json(json!({ "name": "gyre", "version": env!("CARGO_PKG_VERSION"), "extensions": EXTENSIONS }))
        .into_response()
}

/// `GET /v2/health/live`
pub(crate) async fn health(State(app): State<Arc<App>>) -> Response {
    Json(healthy(&app)).into_response()
}

/// `GET /v2/health/ready`: 503 once the server goes down.
pub(crate) async fn ready(State(app): State<Arc<App>>) -> Response {
    let status = if is_ready(&app) { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(healthy(&app))).into_response()
}

fn healthy(app: &App) -> serde_json::Value {
    // Clients disagree on which of the two each of them answers with.
    json!({ "live": true, "ready": is_ready(app) })
}

/// Whether more may be sent here.
fn is_ready(app: &App) -> bool {
    !app.draining.load(Ordering::Relaxed)
}

/// A model, and a version of it when one is named in the path.
struct Target {
    model: String,
    version: Option<Version>,
}

type Named = Result<Path<String>, PathRejection>;
type Versioned = Result<Path<(String, String)>, PathRejection>;

fn named(path: Named) -> Result<Target, Refused> {
    let Path(model) = path?;
    Ok(Target { model, version: None })
}

fn versioned(path: Versioned) -> Result<Target, Refused> {
    let Path((model, version)) = path?;
    let parsed = version.parse().map_err(|_| {
        let found: String = version.chars().take(40).collect();
        let told = format!("`{found}` is not a version: versions are whole numbers from 1");
        Refused::new(StatusCode::NOT_FOUND, told)
    })?;
    Ok(Target { model, version: Some(parsed) })
}

/// `POST /v2/models/{model}/infer`
pub(crate) async fn infer(State(app): State<Arc<App>>, path: Named, request: Request<Body>) -> Answered {
    answer(&app, &named(path)?, request).await
}

/// `POST /v2/models/{model}/versions/{version}/infer`
pub(crate) async fn infer_version(
    State(app): State<Arc<App>>,
    path: Versioned,
    request: Request<Body>,
) -> Answered {
    answer(&app, &versioned(path)?, request).await
}

/// The way of one prediction. A native model is asked on the thread that read the request: it takes microseconds, less than
/// handing it to another thread would.
async fn answer(app: &App, target: &Target, request: Request<Body>) -> Answered {
    let deadline = deadline::of(request.headers()).map_err(Refused::bad)?;
    let headers = headers(app, &target.model, request.headers());
    let mut asked = asked(app, target, request).await?;
    asked.request.headers = headers;
    check_outputs(app, &target.model, &asked.wanted)?;
    let rows = asked.request.ids.len();
    let answers = app.gateway.ask(&target.model, target.version, asked.request, deadline);
    let answers = trail::noting(&target.model, rows, answers).await?;
    let version = answers.first().map_or(0, |answer| answer.version);
    let signature = app.gateway.signature(&target.model, version);
    let outputs = reply::outputs(&answers, signature.as_deref(), &asked.wanted);
    reply::render(&target.model, &asked.id, outputs, &answers)
        .map_err(|failure| Refused::new(StatusCode::INTERNAL_SERVER_ERROR, failure.to_string()))
}

/// What the model's rules may know of a request's headers.
fn headers(app: &App, model: &str, found: &axum::http::HeaderMap) -> gyre_gateway::Headers {
    app.gateway.headers(model, |name| found.get(name)?.to_str().ok())
}

/// What a request of the protocol asks, read from JSON with or without tensors behind it.
async fn asked(app: &App, target: &Target, request: Request<Body>) -> Result<ask::Asked, Refused> {
    let json = binary_split(request.headers())?;
    let body = match json {
        None => payload::read(request, LIMIT).await?,
        Some(_) => payload::whole(request, LIMIT).await?,
    };
    let (json, raw) = match json {
        None => (&body[..], &[][..]),
        Some(length) => body.split_at_checked(length).ok_or_else(|| {
            let told = format!("{} is {length}, and the body has {} bytes", HEADER_LENGTH, body.len());
            Refused::bad(told)
        })?,
    };
    let ask: ask::Ask<'_> = payload::json(json)?;
    let parts = ask.into_parts(raw).map_err(Refused::bad)?;
    let ports = || app.gateway.ports(&target.model, target.version);
    parts.prepare(|| app.clock.now(), ports).map_err(Refused::bad)
}

/// How many bytes of the body are JSON, when tensors stand behind it.
fn binary_split(headers: &axum::http::HeaderMap) -> Result<Option<usize>, Refused> {
    let Some(length) = headers.get(HEADER_LENGTH) else { return Ok(None) };
    let parsed = length.to_str().ok().and_then(|length| length.parse().ok());
    parsed
        .map(Some)
        .ok_or_else(|| Refused::bad(format!("the header {} is not a number of bytes", HEADER_LENGTH)))
}

/// Refuses outputs that no version of the model has, before anything is predicted.
fn check_outputs(app: &App, model: &str, wanted: &ask::Wanted) -> Result<(), Refused> {
    if wanted.named.is_empty() {
        return Ok(());
    }
    let signatures: Vec<Arc<Signature>> = app
        .gateway
        .versions(model)
        .into_iter()
        .filter_map(|version| app.gateway.signature(model, version))
        .collect();
    let mut known: Vec<&str> = signatures.iter().map(|signature| signature.output.as_str()).collect();
    if signatures.iter().any(|signature| !signature.classes.is_empty()) {
        known.push(reply::PROBABILITIES);
    }
    // An unknown model has no outputs either; the gateway says so.
    let mut named = wanted.named.iter().map(|(name, _)| name);
    let Some(unknown) = named.find(|name| !known.contains(&name.as_str())) else { return Ok(()) };
    if known.is_empty() {
        return Ok(());
    }
    let unknown: String = unknown.chars().take(80).collect();
    let hint = nearest(&unknown, known.iter().copied())
        .map_or(String::new(), |name| format!("; did you mean `{name}`?"));
    Err(Refused::bad(format!("`{unknown}` is not an output of {model}{hint}")))
}

/// The loaded versions of the model, of which the target's is one.
fn loaded(app: &App, target: &Target) -> Result<Vec<Version>, Refused> {
    let versions = app.gateway.versions(&target.model);
    let Some(model) = app.gateway.models().into_iter().find(|model| model.as_str() == target.model) else {
        let models = app.gateway.models();
        let near = nearest(&target.model, models.iter().map(|model| model.as_str())).map(str::to_owned);
        return Err(InferError::UnknownModel { model: target.model.clone(), nearest: near }.into());
    };
    match target.version {
        Some(version) if !versions.contains(&version) => {
            Err(InferError::UnknownVersion { model, version, loaded: versions }.into())
        }
        _ => Ok(versions),
    }
}

//! MLflow's scoring protocol: `POST /invocations`, as `mlflow models serve` answers it.
//!
//! A model has its own address, `/serve/MODEL/invocations`; `/invocations` alone means the only model that there is. Rows come
//! as a pandas frame (`dataframe_split`, `dataframe_records`), as TensorFlow Serving's `instances` or `inputs`, or as CSV. A
//! column that is named as `labels.join` of the model in `gyre.yaml` holds the ids of the predictions; without one, ids are
//! made from a UUID, which the header `gyre-request-id` of the answer tells.
//!
//! Classes that are all whole numbers are answered as numbers, for so scikit-learn answers them.

mod frame;

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use gyre_core::Value;
use gyre_core::record::Signature;
use gyre_gateway::{Answer, InferError, Ports};
use gyre_wire::{MISSING, nulled};
use serde_json::json;
use uuid::Uuid;

use super::{LIMIT, Named, Refused, Target, deadline, describe, named, reply};
use crate::app::App;
use crate::mlflow::MlflowError;
use crate::payload;
use crate::routes::{Need, Routes};
use crate::trail;
use frame::Frame;

pub(super) fn routes(routes: &mut Routes) {
    routes
        .add(Method::GET, "/ping", Need::Open, ping)
        .add(Method::POST, "/invocations", Need::Read, invoke_only)
        .add(Method::GET, "/serve/{model}/ping", Need::Read, ready)
        .add(Method::GET, "/serve/{model}/health", Need::Read, ready)
        .add(Method::GET, "/serve/{model}/version", Need::Read, version)
        .add(Method::POST, "/serve/{model}/invocations", Need::Read, invoke);
}

type Answered = Result<Response, MlflowError>;

impl From<Refused> for MlflowError {
    fn from(refused: Refused) -> Self {
        Self::with_status(refused.status, &refused.message)
    }
}

/// `GET /ping`
pub(crate) async fn ping() -> &'static str {
    "\n"
}

/// `GET /serve/{model}/ping`
pub(crate) async fn ready(State(app): State<Arc<App>>, path: Named) -> Result<&'static str, MlflowError> {
    describe::check_ready(&app, &named(path)?)?;
    Ok("\n")
}

/// `GET /serve/{model}/version`: of the protocol, which clients compare with their own.
pub(crate) async fn version(State(app): State<Arc<App>>, path: Named) -> Result<&'static str, MlflowError> {
    describe::check_ready(&app, &named(path)?)?;
    Ok(crate::mlflow::SPOKEN)
}

/// `POST /invocations`
pub(crate) async fn invoke_only(State(app): State<Arc<App>>, request: Request<Body>) -> Answered {
    let models = app.gateway.models();
    let model = match &models[..] {
        [only] => only.to_string(),
        [] => {
            let told = "there is no model that could answer yet";
            return Err(MlflowError::with_status(StatusCode::SERVICE_UNAVAILABLE, told));
        }
        several => {
            let names: Vec<&str> = several.iter().map(gyre_core::ModelName::as_str).collect();
            let told = format!(
                "there are several models here: send this to /serve/MODEL/invocations, with MODEL one of {}",
                names.join(", ")
            );
            return Err(MlflowError::invalid(told));
        }
    };
    answer(&app, Target { model, version: None }, request).await
}

/// The header that decides the version while traffic is split, for a protocol that has no place for it.
const KEY: &str = "gyre-key";

/// `POST /serve/{model}/invocations`
pub(crate) async fn invoke(State(app): State<Arc<App>>, path: Named, request: Request<Body>) -> Answered {
    answer(&app, named(path)?, request).await
}

async fn answer(app: &App, target: Target, request: Request<Body>) -> Answered {
    let format = Format::of(request.headers())?;
    let who = request.headers().get(KEY).and_then(|key| key.to_str().ok()).map(Arc::from);
    let deadline = deadline::of(request.headers()).map_err(MlflowError::invalid)?;
    let headers = super::headers(app, &target.model, request.headers());
    let body = payload::whole(request, LIMIT).await.map_err(Refused::from)?;
    describe::check_ready(app, &target)?;
    let Some(Ports { signature, .. }) = app.gateway.ports(&target.model, target.version) else {
        // It was unloaded between the two questions.
        let told = format!("{} is being unloaded", target.model);
        return Err(MlflowError::with_status(StatusCode::SERVICE_UNAVAILABLE, &told));
    };
    let frame = match format {
        Format::Json => {
            // Python writes a bare NaN for a missing number.
            let body = nulled(&body, MISSING).map_or(body, Bytes::from);
            let asked: frame::Invocation = payload::json(&body).map_err(Refused::from)?;
            asked.into_frame(&signature)
        }
        Format::Csv => Frame::from_csv(&body, &signature),
    };
    let served = app.desk.project();
    let key = served.models.iter().find(|(name, _)| name.as_str() == target.model);
    let key = key.and_then(|(_, spec)| spec.labels.join.as_deref());
    let id = Uuid::new_v4().to_string();
    let mut request = frame
        .and_then(|frame| frame.into_request(&signature, key, &id, app.clock.now()))
        .map_err(|error| MlflowError::invalid(error.to_string()))?;
    request.key = who;
    request.headers = headers;
    let rows = request.ids.len();
    let answers = app.gateway.ask(&target.model, None, request, deadline);
    let answers = trail::noting(&target.model, rows, answers).await.map_err(refused)?;
    let predictions = predictions(&signature, &answers);
    let mut response = Json(json!({ "predictions": predictions })).into_response();
    reply::name_who(response.headers_mut(), &reply::versions(&answers), &answers);
    reply::warn(response.headers_mut(), &answers);
    if let Ok(id) = HeaderValue::try_from(id) {
        response.headers_mut().insert("gyre-request-id", id);
    }
    Ok(response)
}

fn refused(error: InferError) -> MlflowError {
    Refused::from(error).into()
}

/// The predictions as scikit-learn would give them.
fn predictions(signature: &Signature, answers: &[Answer]) -> Vec<serde_json::Value> {
    let numbers: Option<Vec<i64>> = signature.classes.iter().map(|class| class.parse().ok()).collect();
    let are_numbers = numbers.is_some_and(|numbers| !numbers.is_empty());
    let one = |answer: &Answer| match &answer.output {
        Value::Text(class) if are_numbers => {
            class.parse::<i64>().map_or_else(|_| json!(class), |class| json!(class))
        }
        other => json!(other),
    };
    answers.iter().map(one).collect()
}

/// What the body is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Json,
    Csv,
}

impl Format {
    fn of(headers: &HeaderMap) -> Result<Self, MlflowError> {
        let kind =
            headers.get(header::CONTENT_TYPE).map_or("", |kind| kind.to_str().unwrap_or("(unreadable)"));
        let mut parts = kind.split(';').map(str::trim);
        let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
        let charset = parts.find_map(|part| part.strip_prefix("charset="));
        if charset.is_some_and(|charset| !charset.trim_matches('"').eq_ignore_ascii_case("utf-8")) {
            return Err(MlflowError::with_status(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "the body's charset is not UTF-8; send it as UTF-8",
            ));
        }
        match essence.as_str() {
            "" | "application/json" => Ok(Self::Json),
            "text/csv" => Ok(Self::Csv),
            other => {
                let other: String = other.chars().take(80).collect();
                let told = format!("the content type is `{other}`, expected application/json or text/csv");
                Err(MlflowError::with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE, &told))
            }
        }
    }
}

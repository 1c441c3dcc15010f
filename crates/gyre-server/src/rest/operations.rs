//! What a person may ask of the loop, and the event time that a replay tells it.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use gyre_core::spec::Window;
use gyre_core::{ModelName, Timestamp, Version};
use gyre_loop::DeskError;
use gyre_store::Appended;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{Refused, known};
use crate::app::App;
use crate::caller::Caller;
use crate::payload;

pub(super) const LIMIT: usize = 64 << 10;
/// The longest reason, in bytes: it becomes part of a journal entry.
const REASON: usize = 4_096;

pub(super) type Name = Result<Path<String>, PathRejection>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Promotion {
    version: Version,
    #[serde(default)]
    reason: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reason {
    #[serde(default)]
    reason: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Training {
    #[serde(default)]
    window: Option<Window>,
    #[serde(default)]
    as_of: Option<Timestamp>,
    #[serde(default)]
    reason: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Watermark {
    time: Timestamp,
    #[serde(default)]
    wait: bool,
}

/// The body, or the default where an empty one means "nothing to add".
async fn optional<T: DeserializeOwned + Default>(request: Request<Body>) -> Result<T, Refused> {
    let body = payload::read(request, LIMIT).await?;
    if body.is_empty() { Ok(T::default()) } else { Ok(payload::json(&body)?) }
}

pub(super) fn reason(given: Option<String>) -> Result<String, Refused> {
    match given {
        Some(reason) if reason.len() > REASON => {
            let told = format!("the reason has {} bytes", reason.len());
            Err(Refused::new(StatusCode::BAD_REQUEST, told).expecting(format!("at most {REASON}")))
        }
        Some(reason) if !reason.trim().is_empty() => Ok(reason),
        _ => Ok("by hand".to_owned()),
    }
}

/// Runs `job`, and answers with the entry that it left.
pub(super) async fn entry(
    app: &Arc<App>,
    model: ModelName,
    job: impl FnOnce(&App, &ModelName) -> Result<Appended, DeskError> + Send + 'static,
) -> Result<Response, Refused> {
    let named = model.clone();
    let appended = app.operate(move |app| job(app, &model)).await??;
    Ok(Json(json!({ "model": named, "entry": appended.seq })).into_response())
}

/// `POST /v1/models/{model}/promote {version, reason?}`: the version takes all traffic at once.
pub(crate) async fn promote(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: Name,
    request: Request<Body>,
) -> Result<Response, Refused> {
    let model = known(&app, path)?;
    let body = payload::read(request, LIMIT).await?;
    let Promotion { version, reason: given } = payload::json(&body)?;
    let reason = reason(given)?;
    entry(&app, model, move |app, model| app.desk.promote(model, version, &caller.actor, &reason)).await
}

/// `POST /v1/models/{model}/rollback {reason?}`: all traffic goes back to the version before.
pub(crate) async fn roll_back(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: Name,
    request: Request<Body>,
) -> Result<Response, Refused> {
    let model = known(&app, path)?;
    let reason = reason(optional::<Reason>(request).await?.reason)?;
    entry(&app, model, move |app, model| app.desk.roll_back(model, &caller.actor, &reason)).await
}

/// `POST /v1/models/{model}/train {window?, as_of?, reason?}`: answers once the training is asked for, by a person or by another
/// system's webhook; the journal tells the rest.
pub(crate) async fn train(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: Name,
    request: Request<Body>,
) -> Result<Response, Refused> {
    let model = known(&app, path)?;
    let Training { window, as_of, reason: given } = optional(request).await?;
    let given = given.map(|given| reason(Some(given))).transpose()?;
    entry(&app, model, move |app, model| {
        app.desk.train(model, window, as_of, &caller.actor, given.as_deref())
    })
    .await
}

/// `POST /v1/models/{model}/resume`: the loop tries again after it had given up.
pub(crate) async fn resume(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: Name,
    request: Request<Body>,
) -> Result<Response, Refused> {
    let model = known(&app, path)?;
    let Nothing {} = optional(request).await?;
    entry(&app, model, move |app, model| app.desk.resume(model, &caller.actor)).await
}

/// `POST /v1/models/{model}/flush`: answers once every prediction that was answered before is on disk.
pub(crate) async fn flush(
    State(app): State<Arc<App>>,
    path: Name,
    request: Request<Body>,
) -> Result<Response, Refused> {
    let model = known(&app, path)?;
    let Nothing {} = optional(request).await?;
    let named = model.clone();
    let position = app.operate(move |app| app.gateway.flush(named.as_str())).await??;
    if let Some(problem) = position.problem {
        return Err(problem.into());
    }
    let body = json!({ "model": model, "durable": position.durable_records, "dropped": position.dropped });
    Ok(Json(body).into_response())
}

/// `POST /v1/watermark {time, wait?}`: event time has come to `time`; with `wait`, answers when all that follows is done.
pub(crate) async fn advance(
    State(app): State<Arc<App>>,
    request: Request<Body>,
) -> Result<Response, Refused> {
    let body = payload::read(request, LIMIT).await?;
    let Watermark { time, wait } = payload::json(&body)?;
    let watermark = app.operate(move |app| app.desk.advance(time, wait)).await??;
    Ok(Json(json!({ "time": watermark })).into_response())
}

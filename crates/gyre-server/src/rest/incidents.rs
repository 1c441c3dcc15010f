//! Incidents of a model: what is wrong, why most likely, and that somebody has taken note of it.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use gyre_core::{ModelName, Span, Timestamp};
use gyre_govern::incidents::{Account, KINDS, accounts};
use gyre_store::{StoreError, Tx, journal};
use serde::Deserialize;
use serde_json::json;

use super::operations::{LIMIT, Name, entry, reason};
use super::{Refused, known, model};
use crate::app::App;
use crate::caller::Caller;
use crate::payload;

/// A model, and the name of one of its incidents.
pub(crate) type OfIncident = Result<Path<(String, String)>, axum::extract::rejection::PathRejection>;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Acknowledgement {
    /// For how long nothing is told of its cause.
    #[serde(default, rename = "for")]
    span: Option<Span>,
    /// Until when, in event time.
    #[serde(default)]
    until: Option<Timestamp>,
    #[serde(default)]
    reason: Option<String>,
}

/// The incidents of a model: those that are open first, then the newest first.
pub(crate) fn of(tx: &mut Tx<'_>, name: &ModelName) -> Result<Vec<Account>, StoreError> {
    let mut entries = Vec::new();
    for kind in KINDS {
        entries.extend(journal::of_kind(tx, kind, Some(name.as_str()))?);
    }
    entries.sort_by_key(|entry| entry.seq);
    Ok(accounts(&entries))
}

/// `GET /v1/models/{model}/incidents`
pub(super) async fn list(State(app): State<Arc<App>>, path: Name) -> Result<Response, Refused> {
    let model = known(&app, path)?;
    let named = model.clone();
    let incidents = app.read(move |app| app.store.read(|tx| of(tx, &named))).await??;
    Ok(Json(json!({ "model": model, "incidents": incidents })).into_response())
}

/// `POST /v1/models/{model}/incidents/{incident}/acknowledge {for? | until?, reason?}`
pub(super) async fn acknowledge(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: OfIncident,
    request: Request<Body>,
) -> Result<Response, Refused> {
    let Path((name, incident)) = path?;
    let model = model(&app, &name)?;
    let body = payload::read(request, LIMIT).await?;
    let asked: Acknowledgement =
        if body.is_empty() { Acknowledgement::default() } else { payload::json(&body)? };
    if asked.span.is_some() && asked.until.is_some() {
        let told = "a silence ends by `for` or by `until`, and both are given";
        return Err(Refused::new(StatusCode::BAD_REQUEST, told).expecting("{\"for\": \"7d\"}"));
    }
    let until = asked.until.or_else(|| asked.span.map(|span| app.desk.watermark() + span));
    let reason = reason(asked.reason)?;
    entry(&app, model, move |app, model| {
        app.desk.acknowledge(model, &incident, until, &caller.actor, &reason)
    })
    .await
}

//! The journal, to be read and checked by others.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use gyre_store::journal;
use serde::Deserialize;
use serde_json::json;

use super::Refused;
use crate::app::App;
use crate::pages::{Direction, Filter};

/// Entries in an answer, at most.
const MOST: u64 = 1_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    #[serde(default)]
    after: u64,
    #[serde(default)]
    limit: Option<u64>,
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    kind: Option<String>,
}

/// `GET /v1/journal?after&limit&model&kind`: entries after `after`, oldest first; `next` is the `after` of the next page,
/// or null when there was no more.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    query: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Refused> {
    let Query(Asked { after, limit, model, kind }) = query?;
    let limit = limit.unwrap_or(100);
    if limit == 0 || limit > MOST {
        let told = format!("limit is {limit}");
        return Err(Refused::new(StatusCode::BAD_REQUEST, told).expecting(format!("1 to {MOST}")));
    }
    // A cursor beyond what the database can count has nothing after it.
    let after = after.min(i64::MAX as u64);
    let filter = Filter { model, kind };
    let entries = app
        .read(move |app| app.store.read(|tx| filter.entries(tx, Direction::After(after), limit)))
        .await??;
    let full = entries.len() as u64 == limit;
    let next = entries.last().filter(|_| full).map(|entry| entry.seq);
    Ok(Json(json!({ "entries": entries, "next": next })).into_response())
}

/// `GET /v1/journal/head`: size and Merkle root.
pub(crate) async fn head(State(app): State<Arc<App>>) -> Result<Response, Refused> {
    let head = app.read(|app| app.store.read(journal::head)).await??;
    Ok(Json(head).into_response())
}

/// `GET /v1/journal/verify`: recomputes everything, and says whether it is as it was written.
pub(crate) async fn verify(State(app): State<Arc<App>>) -> Result<Response, Refused> {
    let found = app.operate(|app| journal::verify(&app.store)).await??;
    Ok(Json(found).into_response())
}

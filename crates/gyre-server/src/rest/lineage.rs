//! Where something came from, and what came of it.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use gyre_govern::lineage::{LineageError, Ref};
use serde::Deserialize;

use super::Refused;
use crate::app::App;
use crate::lineage::{TraceError, Way, trace};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    of: String,
    #[serde(default)]
    forward: bool,
}

/// `GET /v1/lineage?of&forward`: the lineage of a prediction, version, run, data version or entry; with `forward=true`,
/// what a data version influenced.
pub(crate) async fn of(
    State(app): State<Arc<App>>,
    query: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Refused> {
    let Query(Asked { of, forward }) = query?;
    let reference =
        Ref::parse(&of).map_err(|error| Refused::new(StatusCode::BAD_REQUEST, error.to_string()))?;
    let way = if forward { Way::Forward } else { Way::Back };
    // Counting may read the whole log, which takes as long as an operation.
    let found = app.operate(move |app| trace(&app.store, app.gateway.log(), &reference, way)).await?;
    Ok(Json(found?).into_response())
}

impl From<TraceError> for Refused {
    fn from(error: TraceError) -> Self {
        let told = error.to_string();
        match error {
            TraceError::Lineage(LineageError::Store(error)) => error.into(),
            TraceError::Lineage(LineageError::Unknown { .. }) => Self::new(StatusCode::NOT_FOUND, told),
            TraceError::Lineage(LineageError::Ambiguous { .. }) => Self::new(StatusCode::CONFLICT, told),
            TraceError::Log(error) => error.into(),
            TraceError::NotData(_) => Self::new(StatusCode::BAD_REQUEST, told),
        }
    }
}

//! What there is: the project, its models, their versions.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use gyre_store::journal;
use serde_json::json;

use super::{Refused, known};
use crate::app::App;
use crate::glance;

/// `GET /v1/status`: the project, its journal, the loop, and each model at a glance.
pub(crate) async fn status(State(app): State<Arc<App>>) -> Result<Response, Refused> {
    let read = |app: &App| Ok::<_, Refused>((glance::all(app)?, app.store.read(journal::head)?));
    let (models, head) = app.read(read).await??;
    let body = json!({
        "project": app.desk.project().project,
        "version": env!("CARGO_PKG_VERSION"),
        "event_time": app.desk.watermark(),
        "trouble": app.desk.trouble(),
        "journal": head,
        "models": models,
    });
    Ok(Json(body).into_response())
}

/// `GET /v1/models`
pub(crate) async fn list(State(app): State<Arc<App>>) -> Result<Response, Refused> {
    let models = app.read(glance::all).await??;
    Ok(Json(json!({ "models": models })).into_response())
}

/// `GET /v1/models/{model}`: the model at a glance, its versions with signature, holdout, gates, status, traffic, and of
/// those that are loaded what their features are held to, with what was counted since;
/// and what was found where its labels are looked for.
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Refused> {
    let model = known(&app, path)?;
    let read = move |app: &App| {
        let versions = app.store.read(|tx| gyre_registry::versions(tx, &model))?;
        let features = app.gateway.versions(model.as_str()).into_iter().map(|version| {
            let rules = app.gateway.feature_rules(model.as_str(), version).unwrap_or_default();
            json!({ "version": version, "rules": rules })
        });
        let features: Vec<serde_json::Value> = features.collect();
        let source = app.labels.as_ref().and_then(|labels| labels.looked(model.as_str()));
        Ok::<_, Refused>((glance::of(app, &model)?, versions, features, source))
    };
    let (glance, versions, features, source) = app.read(read).await??;
    Ok(Json(json!({ "model": glance, "versions": versions, "features": features, "label_source": source }))
        .into_response())
}

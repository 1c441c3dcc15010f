//! The model repository extension: which models there are, and loading and unloading them.
//!
//! What gyre serves is what was registered, passed its gates and was promoted, so nobody hands in a model here. Loading
//! makes the gateway follow the registry again; unloading makes it refuse a model's requests until then. Both are facts in
//! the journal, and both ask for an approver.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, StatusCode};
use axum::response::IntoResponse;
use gyre_core::ModelName;
use gyre_loop::{Desk, DeskError};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Answered, Named, Refused, named};
use crate::app::App;
use crate::caller::Caller;
use crate::payload;

/// The largest request.
const LIMIT: usize = 64 << 10;

#[derive(Debug, Default, Deserialize)]
struct Index {
    /// Whether only models that are ready are wanted.
    #[serde(default)]
    ready: bool,
}

#[derive(Debug, Default, Deserialize)]
struct Change {
    #[serde(default)]
    parameters: Map<String, Value>,
}

/// A version in the index.
pub(super) struct Indexed {
    pub(super) name: String,
    /// None for a model without a loaded version.
    pub(super) version: Option<u32>,
    pub(super) ready: bool,
    pub(super) reason: &'static str,
}

/// Every loaded version, and every declared model that has none.
pub(super) fn list(app: &App, only_ready: bool) -> Vec<Indexed> {
    let loaded = app.gateway.models();
    let mut list = Vec::new();
    for model in &loaded {
        for version in app.gateway.versions(model.as_str()) {
            list.push(Indexed { name: model.to_string(), version: Some(version), ready: true, reason: "" });
        }
    }
    if !only_ready {
        let others = app.desk.models().into_iter().filter(|model| !loaded.contains(model));
        list.extend(others.map(|model| Indexed {
            name: model.to_string(),
            version: None,
            ready: false,
            reason: "unloaded, or no version takes traffic yet",
        }));
    }
    list
}

/// `POST /v2/repository/index`
pub(crate) async fn index(State(app): State<Arc<App>>, request: Request<Body>) -> Answered {
    let Index { ready } = optional(request).await?;
    let shown = |model: Indexed| {
        let state = if model.ready { "READY" } else { "UNAVAILABLE" };
        let mut shown = json!({ "name": model.name, "state": state, "reason": model.reason });
        if let Some(version) = model.version {
            shown["version"] = json!(version.to_string());
        }
        shown
    };
    Ok(Json(list(&app, ready).into_iter().map(shown).collect::<Vec<_>>()).into_response())
}

/// `POST /v2/repository/models/{model}/load`
pub(crate) async fn load(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: Named,
    request: Request<Body>,
) -> Answered {
    let target = named(path)?;
    let Change { parameters } = optional(request).await?;
    check_parameters(parameters.keys())?;
    change(&app, target.model, move |desk, model| desk.load(model, &caller.actor)).await?;
    Ok(StatusCode::OK.into_response())
}

/// Refuses to load what somebody brings along.
pub(super) fn check_parameters<'a>(mut names: impl Iterator<Item = &'a String>) -> Result<(), Refused> {
    match names.find(|name| *name == "config" || name.starts_with("file:")) {
        None => Ok(()),
        Some(found) => {
            let found: String = found.chars().take(40).collect();
            Err(Refused::bad(format!(
                "the parameter `{found}` brings a model along; gyre serves what was registered and passed its gates: \
                 register a version instead"
            )))
        }
    }
}

/// `POST /v2/repository/models/{model}/unload`
pub(crate) async fn unload(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: Named,
    request: Request<Body>,
) -> Answered {
    let target = named(path)?;
    let _: Change = optional(request).await?;
    change(&app, target.model, move |desk, model| desk.unload(model, &caller.actor).map(drop)).await?;
    Ok(StatusCode::OK.into_response())
}

/// The body, or what an empty one means.
async fn optional<T: for<'a> Deserialize<'a> + Default>(request: Request<Body>) -> Result<T, Refused> {
    let body = payload::whole(request, LIMIT).await?;
    if body.trim_ascii().is_empty() { Ok(T::default()) } else { Ok(payload::json(&body)?) }
}

/// Loads or unloads, aside from the threads that serve.
pub(super) async fn change(
    app: &Arc<App>,
    model: String,
    work: impl FnOnce(&Desk, &ModelName) -> Result<(), DeskError> + Send + 'static,
) -> Result<(), Refused> {
    let model: ModelName = model.parse().map_err(|error| Refused::bad(format!("{error}")))?;
    let done = app.operate(move |app| work(&app.desk, &model)).await;
    let refused = |error: String| Refused::new(StatusCode::SERVICE_UNAVAILABLE, error);
    match done.map_err(|aside| refused(aside.to_string()))? {
        Ok(()) => Ok(()),
        Err(DeskError::Refused(reason)) => Err(Refused::bad(reason)),
        Err(error) => Err(refused(error.to_string())),
    }
}

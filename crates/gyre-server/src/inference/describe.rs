//! What a model takes and gives, and whether it is ready.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use gyre_backend::State as Doing;
use gyre_core::Version;
use gyre_core::record::{Kind, Signature};
use serde_json::{Value, json};

use super::reply::PROBABILITIES;
use super::{Answered, Named, Refused, Target, Versioned, loaded, named, versioned};
use crate::app::App;

/// `GET /v2/models/{model}`
pub(crate) async fn metadata(State(app): State<Arc<App>>, path: Named) -> Answered {
    describe(&app, &named(path)?)
}

/// `GET /v2/models/{model}/versions/{version}`
pub(crate) async fn metadata_version(State(app): State<Arc<App>>, path: Versioned) -> Answered {
    describe(&app, &versioned(path)?)
}

/// `GET /v2/models/{model}/config`
pub(crate) async fn config(State(app): State<Arc<App>>, path: Named) -> Answered {
    configuration(&app, &named(path)?)
}

/// `GET /v2/models/{model}/versions/{version}/config`
pub(crate) async fn config_version(State(app): State<Arc<App>>, path: Versioned) -> Answered {
    configuration(&app, &versioned(path)?)
}

/// `GET /v2/models/{model}/ready`
pub(crate) async fn ready(State(app): State<Arc<App>>, path: Named) -> Answered {
    readiness(&app, &named(path)?)
}

/// `GET /v2/models/{model}/versions/{version}/ready`
pub(crate) async fn ready_version(State(app): State<Arc<App>>, path: Versioned) -> Answered {
    readiness(&app, &versioned(path)?)
}

fn readiness(app: &App, target: &Target) -> Answered {
    check_up(app, target)?;
    Ok(Json(json!({ "name": target.model, "ready": true })).into_response())
}

/// Whether requests for `target` can be answered.
pub(super) fn check_ready(app: &App, target: &Target) -> Result<(), Refused> {
    loaded(app, target)?;
    if target.version.is_none() && app.gateway.traffic(&target.model).is_none() {
        let told = format!("{} has no version that takes traffic yet", target.model);
        return Err(Refused::new(StatusCode::SERVICE_UNAVAILABLE, told));
    }
    Ok(())
}

/// Whether requests for `target` would be answered now: also a model that runs elsewhere is up, or comes up when asked.
pub(super) fn check_up(app: &App, target: &Target) -> Result<(), Refused> {
    check_ready(app, target)?;
    let champion = || app.gateway.traffic(&target.model).map(|traffic| traffic.champion);
    let Some(remote) =
        target.version.or_else(champion).and_then(|version| app.gateway.remote(&target.model, version))
    else {
        return Ok(());
    };
    match remote.backend().state() {
        Doing::Ready | Doing::Idle => Ok(()),
        state => Err(Refused::new(StatusCode::SERVICE_UNAVAILABLE, format!("{}: {state}", target.model))),
    }
}

/// `GET /v2/models/{model}/openapi.json`
pub(crate) async fn openapi(State(app): State<Arc<App>>, path: Named) -> Answered {
    let target = named(path)?;
    let Shown { versions, signature } = shown(&app, &target)?;
    let champion = app.gateway.traffic(&target.model).map(|traffic| traffic.champion);
    let version = champion.or(versions.last().copied()).unwrap_or(0);
    Ok(Json(super::openapi::document(&target.model, version, &signature)).into_response())
}

/// A model as it is described: its loaded versions, and the signature of one of them.
pub(super) struct Shown {
    pub(super) versions: Vec<Version>,
    pub(super) signature: Arc<Signature>,
}

/// What is shown of `target`: the version that it names, otherwise the champion.
pub(super) fn shown(app: &App, target: &Target) -> Result<Shown, Refused> {
    let versions = loaded(app, target)?;
    let champion = app.gateway.traffic(&target.model).map(|traffic| traffic.champion);
    let version = target.version.or(champion).or(versions.last().copied()).unwrap_or(0);
    match app.gateway.signature(&target.model, version) {
        Some(signature) => Ok(Shown { versions, signature }),
        // It was unloaded between the two questions.
        None => {
            let told = format!("version {version} of {} is being unloaded", target.model);
            Err(Refused::new(StatusCode::SERVICE_UNAVAILABLE, told))
        }
    }
}

/// A tensor of a signature.
pub(super) struct Port<'a> {
    pub(super) name: &'a str,
    pub(super) datatype: &'static str,
    /// Elements of a row.
    pub(super) width: Option<usize>,
}

impl Port<'_> {
    /// Its shape, -1 for any number of rows.
    pub(super) fn shape(&self) -> Vec<i64> {
        let width = self.width.map(|width| i64::try_from(width).unwrap_or(i64::MAX));
        std::iter::once(-1).chain(width).collect()
    }
}

pub(super) fn inputs(signature: &Signature) -> impl Iterator<Item = Port<'_>> {
    signature.inputs.iter().map(|field| Port {
        name: &field.name,
        datatype: if field.kind == Kind::Text { "BYTES" } else { "FP64" },
        width: None,
    })
}

pub(super) fn outputs(signature: &Signature) -> impl Iterator<Item = Port<'_>> {
    let classes = signature.classes.len();
    let datatype = if classes > 0 { "BYTES" } else { "FP64" };
    let prediction = Port { name: &signature.output, datatype, width: None };
    let probabilities = Port { name: PROBABILITIES, datatype: "FP64", width: Some(classes) };
    std::iter::once(prediction).chain((classes > 0).then_some(probabilities))
}

fn describe(app: &App, target: &Target) -> Answered {
    let Shown { versions, signature, .. } = shown(app, target)?;
    let tensor = |port: Port<'_>| {
        let mut tensor = json!({ "name": port.name, "datatype": port.datatype, "shape": port.shape() });
        if port.name == PROBABILITIES {
            tensor["parameters"] = json!({ "classes": json!(signature.classes).to_string() });
        }
        tensor
    };
    let body = json!({
        "name": target.model,
        "versions": versions.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "platform": "gyre",
        "inputs": inputs(&signature).map(tensor).collect::<Vec<_>>(),
        "outputs": outputs(&signature).map(tensor).collect::<Vec<_>>(),
    });
    Ok(Json(body).into_response())
}

/// The model's configuration in Triton's words, as far as they mean something here: rows are its batches.
fn configuration(app: &App, target: &Target) -> Answered {
    let Shown { versions, signature, .. } = shown(app, target)?;
    let port = |port: Port<'_>| {
        let kind = match port.datatype {
            "BYTES" => "TYPE_STRING",
            _ => "TYPE_FP64",
        };
        json!({ "name": port.name, "data_type": kind, "dims": port.shape() })
    };
    let body = json!({
        "name": target.model,
        "platform": "gyre",
        "backend": "gyre",
        "max_batch_size": 0,
        "version_policy": { "specific": { "versions": versions } },
        "input": inputs(&signature).map(port).collect::<Vec<Value>>(),
        "output": outputs(&signature).map(port).collect::<Vec<Value>>(),
    });
    Ok(Json(body).into_response())
}

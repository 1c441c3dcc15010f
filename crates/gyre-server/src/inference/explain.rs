//! `POST /v2/models/{model}/explain`: predictions taken apart, what each feature added to each row's score.
//!
//! The protocol has no word for it, so the request is one for a prediction, and the answer is gyre's own:
//! `{"model_name", "model_version", "scale", "base": {OUTPUT: number}, "rows": [{"id", "contributions": {OUTPUT: {FEATURE: number}}}]}`.
//! For every row and output, `base` and the contributions add up to the model's score on `scale`.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, StatusCode};
use axum::response::IntoResponse;
use gyre_runtime::{Explanation, Scale};
use serde_json::{Map, Value, json};

use super::{Answered, Named, Refused, Target, Versioned, asked, named, versioned};
use crate::app::App;

/// Rows that are explained at once: each takes many times as long as its prediction.
const MOST_ROWS: usize = 1_000;

/// `POST /v2/models/{model}/explain`
pub(crate) async fn explain(State(app): State<Arc<App>>, path: Named, request: Request<Body>) -> Answered {
    answer(&app, named(path)?, request).await
}

/// `POST /v2/models/{model}/versions/{version}/explain`
pub(crate) async fn explain_version(
    State(app): State<Arc<App>>,
    path: Versioned,
    request: Request<Body>,
) -> Answered {
    answer(&app, versioned(path)?, request).await
}

async fn answer(app: &Arc<App>, target: Target, request: Request<Body>) -> Answered {
    let asked = asked(app, &target, request).await?;
    let (ids, rows) = (asked.request.ids.clone(), asked.request.ids.len());
    if rows > MOST_ROWS {
        return Err(Refused::bad(format!("{rows} rows; explain at most {MOST_ROWS} at once")));
    }
    let Target { model, version } = target;
    let named = model.clone();
    let explained = app.read(move |app| app.gateway.explain(&named, version, asked.request)).await;
    let (version, explanation) =
        explained.map_err(|aside| Refused::new(StatusCode::SERVICE_UNAVAILABLE, aside.to_string()))??;
    let name = |output: &str| if output.is_empty() { "prediction".to_owned() } else { output.to_owned() };
    let base: Map<String, Value> = explanation
        .outputs
        .iter()
        .zip(&explanation.base)
        .map(|(output, base)| (name(output), json!(base)))
        .collect();
    let scale = match explanation.scale {
        Scale::Output => "output",
        Scale::Log => "log",
        Scale::LogOdds => "log_odds",
        Scale::Score => "score",
    };
    let rows: Vec<Value> = ids
        .iter()
        .enumerate()
        .map(|(row, id)| json!({ "id": id, "contributions": contributions(&explanation, row, name) }))
        .collect();
    let version = version.to_string();
    Ok(Json(
        json!({ "model_name": model, "model_version": version, "scale": scale, "base": base, "rows": rows }),
    )
    .into_response())
}

fn contributions(explanation: &Explanation, row: usize, name: impl Fn(&str) -> String) -> Map<String, Value> {
    let of = |(at, output): (usize, &Arc<str>)| {
        let added = explanation.features.iter().zip(explanation.of(row, at));
        let added: Map<String, Value> =
            added.map(|(feature, number)| (feature.to_string(), json!(number))).collect();
        (name(output), Value::from(added))
    };
    explanation.outputs.iter().enumerate().map(of).collect()
}

//! Labels: what came true, sent when it is known.

use std::fmt;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use gyre_core::record::Label;
use gyre_core::{Timestamp, Value};
use gyre_gateway::Brought;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::json;

use super::{Refused, model};
use crate::app::App;
use crate::payload;

/// The largest batch, in bytes and in labels.
const LIMIT: usize = 8 << 20;
const BATCH: usize = 50_000;
/// The longest id, as for predictions.
const ID: usize = gyre_gateway::request::MAX_ID;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch {
    model: String,
    labels: Vec<Item>,
    /// Whether they are weighed against the log, which is read for it.
    #[serde(default)]
    count: bool,
    /// Whether it is only said what would become of them.
    #[serde(default)]
    dry_run: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    id: Arc<str>,
    value: Truth,
    #[serde(default)]
    time: Option<Timestamp>,
}

/// A label's value: [`Value`] without "missing", and with an error that says what was expected.
struct Truth(Value);

impl<'de> Deserialize<'de> for Truth {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Plain;
        impl Visitor<'_> for Plain {
            type Value = Truth;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a label: a number, text, true or false")
            }
            fn visit_bool<E: Error>(self, truth: bool) -> Result<Truth, E> {
                Ok(Truth(Value::Bool(truth)))
            }
            fn visit_f64<E: Error>(self, number: f64) -> Result<Truth, E> {
                Ok(Truth(Value::Number(number)))
            }
            fn visit_u64<E: Error>(self, number: u64) -> Result<Truth, E> {
                self.visit_f64(number as f64)
            }
            fn visit_i64<E: Error>(self, number: i64) -> Result<Truth, E> {
                self.visit_f64(number as f64)
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Truth, E> {
                Ok(Truth(Value::Text(text.into())))
            }
        }
        deserializer.deserialize_any(Plain)
    }
}

/// `POST /v1/labels {model, labels: [{id, value, time?}], count?, dry_run?}`: answers once all of them are on disk. `time` is
/// when the label became known, in event time; now, when absent. With `count`, labels that the log has already are not
/// written again, and the answer says how many were taken, repeated, outdated, corrected, unknown and late ([`gyre_gateway::Intake`]);
/// with `dry_run` it says so and nothing is written.
pub(crate) async fn take(State(app): State<Arc<App>>, request: Request<Body>) -> Result<Response, Refused> {
    let body = payload::read(request, LIMIT).await?;
    let Batch { model: name, labels, count, dry_run } = payload::json(&body)?;
    let name = model(&app, &name)?;
    if labels.len() > BATCH {
        let told = format!("{} labels at once", labels.len());
        return Err(Refused::new(StatusCode::PAYLOAD_TOO_LARGE, told).expecting(format!("at most {BATCH}")));
    }
    if let Some(at) = labels.iter().position(|item| item.id.is_empty() || item.id.len() > ID) {
        let told = format!("labels[{at}].id has {} bytes", labels[at].id.len());
        return Err(Refused::new(StatusCode::BAD_REQUEST, told).expecting(format!("1 to {ID}")));
    }
    let taken = labels.len();
    let now = app.clock.now();
    if count || dry_run {
        let brought = |Item { id, value: Truth(value), time }| Brought {
            label: Label { id, value, time: time.unwrap_or(now) },
            timed: time.is_some(),
        };
        let labels = labels.into_iter().map(brought).collect();
        let expected = app.desk.expected_delay(&name);
        let bring = move |app: &App| app.gateway.bring_labels(name.as_str(), labels, expected, dry_run);
        return Ok(Json(app.operate(bring).await??).into_response());
    }
    if taken > 0 {
        let label = |Item { id, value: Truth(value), time }| Label { id, value, time: time.unwrap_or(now) };
        let labels = labels.into_iter().map(label).collect();
        app.operate(move |app| app.gateway.append_labels(name.as_str(), labels)).await??;
    }
    Ok(Json(json!({ "labels": taken })).into_response())
}

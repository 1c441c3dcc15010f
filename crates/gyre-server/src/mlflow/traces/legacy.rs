//! What clients before 3.0 call: a trace is begun and ended by two requests, and its spans are a file among its artifacts.

use axum::http::Method;
use gyre_traces::record::{TraceInfo, TraceState};
use gyre_traces::{Search, experiments, infos, search};
use serde::Deserialize;
use serde_json::{Value, json};

use super::record;
use crate::mlflow::MlflowError;
use crate::mlflow::call::{Answer, Call, Path, json as answer, required};
use crate::mlflow::wire::{self, Int64};
use crate::routes::{Need, Routes};

pub(super) fn routes(routes: &mut Routes) {
    for base in ["/api/2.0/mlflow/traces", "/ajax-api/2.0/mlflow/traces"] {
        routes.add(Method::POST, base, Need::Write, begin);
        routes.add(Method::GET, base, Need::Read, find);
        routes.add(Method::PATCH, &format!("{base}/{{trace}}"), Need::Write, end);
        routes.add(Method::GET, &format!("{base}/{{trace}}/info"), Need::Read, get);
    }
}

#[derive(Deserialize)]
struct PairIn {
    key: Option<String>,
    value: Option<String>,
}

fn pairs(pairs: Option<Vec<PairIn>>) -> std::collections::BTreeMap<String, String> {
    let pairs = pairs.unwrap_or_default().into_iter();
    pairs.map(|pair| (pair.key.unwrap_or_default(), pair.value.unwrap_or_default())).collect()
}

#[derive(Deserialize)]
struct Asked {
    #[serde(alias = "experimentId")]
    experiment_id: Option<String>,
    #[serde(alias = "timestampMs")]
    timestamp_ms: Option<Int64>,
    status: Option<String>,
    #[serde(alias = "requestMetadata")]
    request_metadata: Option<Vec<PairIn>>,
    tags: Option<Vec<PairIn>>,
}

async fn begin(call: Call<Asked>) -> Answer {
    let (asked, call) = call.split();
    let info = TraceInfo {
        experiment: experiments::number(required("experiment_id", &asked.experiment_id)?)?,
        time_ms: record::in_range("timestamp_ms", asked.timestamp_ms.unwrap_or_default().0)?,
        state: TraceState::InProgress,
        metadata: pairs(asked.request_metadata),
        tags: pairs(asked.tags),
        ..TraceInfo::default()
    };
    let info = call.write(move |tx| infos::begin(tx, info)).await?;
    answer(&json!({"trace_info": told(&info)}))
}

async fn end(Path(trace): Path<String>, call: Call<Asked>) -> Answer {
    let (asked, call) = call.split();
    let end_ms = record::in_range("timestamp_ms", asked.timestamp_ms.unwrap_or_default().0)?;
    let state = record::state(asked.status.as_deref().unwrap_or_default())?;
    let (metadata, tags) = (pairs(asked.request_metadata), pairs(asked.tags));
    let info = call.write(move |tx| infos::end(tx, &trace, end_ms, state, &metadata, &tags)).await?;
    answer(&json!({"trace_info": told(&info)}))
}

async fn get(Path(trace): Path<String>, call: Call<Value>) -> Answer {
    let info = call.read(move |tx| infos::get(tx, &trace)).await?;
    answer(&json!({"trace_info": told(&info)}))
}

#[derive(Deserialize)]
struct FindAsked {
    #[serde(default, alias = "experimentIds", deserialize_with = "wire::list")]
    experiment_ids: Vec<String>,
    filter: Option<String>,
    #[serde(alias = "maxResults")]
    max_results: Option<Int64>,
    #[serde(default, alias = "orderBy", deserialize_with = "wire::list")]
    order_by: Vec<String>,
    #[serde(alias = "pageToken")]
    page_token: Option<String>,
}

async fn find(call: Call<FindAsked>) -> Answer {
    let (asked, call) = call.split();
    if asked.experiment_ids.is_empty() {
        return Err(MlflowError::missing("experiment_ids"));
    }
    let experiments: Vec<i64> =
        asked.experiment_ids.iter().map(|id| experiments::number(id)).collect::<Result<_, _>>()?;
    let wanted = Search::new(experiments, asked.filter.as_deref().unwrap_or_default(), &asked.order_by)?;
    let limit = super::page_size(asked.max_results)?;
    let token = asked.page_token.filter(|token| !token.is_empty());
    let page = call.read(move |tx| search(tx, &wanted, limit, token.as_deref())).await?;
    let mut found = serde_json::Map::new();
    if !page.traces.is_empty() {
        found.insert("traces".to_owned(), page.traces.iter().map(told).collect::<Vec<Value>>().into());
    }
    if let Some(next) = page.next {
        found.insert("next_page_token".to_owned(), next.into());
    }
    answer(&found)
}

/// A trace's info in the words of version 2.
fn told(info: &TraceInfo) -> Value {
    let state = match info.state {
        TraceState::Unspecified => "TRACE_STATUS_UNSPECIFIED",
        other => other.name(),
    };
    let pairs = |pairs: &std::collections::BTreeMap<String, String>| -> Vec<Value> {
        pairs.iter().map(|(key, value)| json!({"key": key, "value": value})).collect()
    };
    let mut told = json!({
        "request_id": info.trace_id,
        "experiment_id": info.experiment.to_string(),
        "timestamp_ms": info.time_ms,
        "execution_time_ms": info.duration_ms.unwrap_or_default(),
        "status": state,
    });
    if let Some(told) = told.as_object_mut() {
        for (key, list) in [("request_metadata", pairs(&info.metadata)), ("tags", pairs(&info.tags))] {
            if !list.is_empty() {
                told.insert(key.to_owned(), list.into());
            }
        }
    }
    told
}

//! Figures over many traces.

use axum::http::Method;
use gyre_traces::correlation::correlation;
use gyre_traces::experiments;
use serde::Deserialize;
use serde_json::json;

use super::v3;
use crate::mlflow::MlflowError;
use crate::mlflow::call::{Answer, Call, json as answer, required};
use crate::mlflow::wire::{self, Double};
use crate::routes::{Need, Routes};

pub(super) fn routes(routes: &mut Routes) {
    v3(routes, &Method::POST, "/traces/calculate-filter-correlation", Need::Read, correlate);
}

fn numbers(ids: &[String]) -> Result<Vec<i64>, MlflowError> {
    if ids.is_empty() {
        return Err(MlflowError::missing("experiment_ids"));
    }
    Ok(ids.iter().map(|id| experiments::number(id)).collect::<Result<_, _>>()?)
}

#[derive(Deserialize)]
struct CorrelateAsked {
    #[serde(default, alias = "experimentIds", deserialize_with = "wire::list")]
    experiment_ids: Vec<String>,
    #[serde(alias = "filterString1")]
    filter_string1: Option<String>,
    #[serde(alias = "filterString2")]
    filter_string2: Option<String>,
    #[serde(alias = "baseFilter")]
    base_filter: Option<String>,
}

async fn correlate(call: Call<CorrelateAsked>) -> Answer {
    let experiments = numbers(&call.asked.experiment_ids)?;
    let first = required("filter_string1", &call.asked.filter_string1)?.to_owned();
    let second = required("filter_string2", &call.asked.filter_string2)?.to_owned();
    let (asked, call) = call.split();
    let base = asked.base_filter;
    let found =
        call.read(move |tx| correlation(tx, &experiments, [&first, &second], base.as_deref())).await?;
    answer(&json!({
        "npmi": Double(found.npmi),
        "npmi_smoothed": Double(found.smoothed),
        "filter1_count": found.first,
        "filter2_count": found.second,
        "joint_count": found.both,
        "total_count": found.total,
    }))
}

//! Figures over many traces.

use axum::http::Method;
use gyre_traces::correlation::correlation;
use gyre_traces::experiments;
use gyre_traces::metrics::{Aggregation, Query, View, query};
use serde::Deserialize;
use serde_json::{Value, json};

use super::v3;
use crate::mlflow::MlflowError;
use crate::mlflow::call::{Answer, Call, json as answer, required};
use crate::mlflow::wire::{self, Double, Int64};
use crate::routes::{Need, Routes};

pub(super) fn routes(routes: &mut Routes) {
    v3(routes, &Method::POST, "/traces/metrics", Need::Read, metrics);
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

#[derive(Deserialize)]
struct MetricsAsked {
    #[serde(default, alias = "experimentIds", deserialize_with = "wire::list")]
    experiment_ids: Vec<String>,
    #[serde(alias = "viewType")]
    view_type: Option<String>,
    #[serde(alias = "metricName")]
    metric_name: Option<String>,
    aggregations: Option<Vec<AggregationIn>>,
    #[serde(default, deserialize_with = "wire::list")]
    dimensions: Vec<String>,
    #[serde(default, deserialize_with = "wire::list")]
    filters: Vec<String>,
    #[serde(alias = "timeIntervalSeconds")]
    time_interval_seconds: Option<Int64>,
    #[serde(alias = "startTimeMs")]
    start_time_ms: Option<Int64>,
    #[serde(alias = "endTimeMs")]
    end_time_ms: Option<Int64>,
    #[serde(alias = "maxResults")]
    max_results: Option<Int64>,
}

#[derive(Deserialize)]
struct AggregationIn {
    #[serde(alias = "aggregationType")]
    aggregation_type: Option<String>,
    #[serde(alias = "percentileValue")]
    percentile_value: Option<Double>,
}

impl AggregationIn {
    fn read(&self) -> Result<Aggregation, MlflowError> {
        Ok(match self.aggregation_type.as_deref().unwrap_or_default() {
            "COUNT" => Aggregation::Count,
            "SUM" => Aggregation::Sum,
            "AVG" => Aggregation::Avg,
            "MIN" => Aggregation::Min,
            "MAX" => Aggregation::Max,
            "PERCENTILE" => {
                let percent = self
                    .percentile_value
                    .ok_or_else(|| MlflowError::missing("aggregations.percentile_value"))?;
                Aggregation::Percentile(percent.0)
            }
            other => {
                let other: String = other.chars().take(80).collect();
                return Err(MlflowError::invalid(format!(
                    "aggregation_type is `{other}`, expected COUNT, SUM, AVG, MIN, MAX or PERCENTILE"
                )));
            }
        })
    }
}

impl MetricsAsked {
    fn read(self) -> Result<Query, MlflowError> {
        let view = match required("view_type", &self.view_type)? {
            "TRACES" => View::Traces,
            "SPANS" => View::Spans,
            "ASSESSMENTS" => View::Assessments,
            other => {
                let other: String = other.chars().take(80).collect();
                return Err(MlflowError::invalid(format!(
                    "view_type is `{other}`, expected TRACES, SPANS or ASSESSMENTS"
                )));
            }
        };
        let aggregations = self.aggregations.ok_or_else(|| MlflowError::missing("aggregations"))?;
        Ok(Query {
            experiments: numbers(&self.experiment_ids)?,
            view,
            metric: required("metric_name", &self.metric_name)?.to_owned(),
            aggregations: aggregations.iter().map(AggregationIn::read).collect::<Result<_, _>>()?,
            dimensions: self.dimensions,
            filters: self.filters,
            interval_s: self.time_interval_seconds.map(|seconds| seconds.0).filter(|seconds| *seconds != 0),
            start_ms: self.start_time_ms.map(|moment| moment.0),
            end_ms: self.end_time_ms.map(|moment| moment.0),
            limit: self.max_results.map_or(1_000, |limit| usize::try_from(limit.0).unwrap_or(0)),
        })
    }
}

async fn metrics(call: Call<MetricsAsked>) -> Answer {
    let (asked, call) = call.split();
    let asked = asked.read()?;
    let metric = asked.metric.clone();
    let points = call.read(move |tx| query(tx, &asked)).await?;
    let points: Vec<Value> = points
        .into_iter()
        .map(|point| {
            let mut told = json!({"metric_name": metric, "values": point.values});
            if let Some(told) = told.as_object_mut().filter(|_| !point.dimensions.is_empty()) {
                told.insert("dimensions".to_owned(), json!(point.dimensions));
            }
            told
        })
        .collect();
    answer(&if points.is_empty() { json!({}) } else { json!({"data_points": points}) })
}

//! The history of metrics: whole, in pages, sampled for charts.

use axum::http::Method;
use gyre_store::Cell;
use gyre_tracking::points::Point;
use gyre_tracking::{history, page};
use serde::{Deserialize, Serialize};

use super::call::{Answer, Call, json, required};
use super::runs::Which;
use super::wire::{self, Double, Int64};
use super::{MlflowError, endpoint};
use crate::routes::{Need, Routes};

pub(super) fn routes(routes: &mut Routes) {
    let get = &Method::GET;
    endpoint(routes, get, "/metrics/get-history", Need::Read, whole);
    endpoint(routes, get, "/metrics/get-history-bulk", Need::Read, bulk);
    endpoint(routes, get, "/metrics/get-history-bulk-interval", Need::Read, sampled);
}

#[derive(Deserialize)]
struct Whole {
    #[serde(flatten)]
    which: Which,
    #[serde(alias = "metricKey")]
    metric_key: Option<String>,
    #[serde(alias = "pageToken")]
    page_token: Option<String>,
    #[serde(alias = "maxResults")]
    max_results: Option<Int64>,
}

/// Points without the key that all of them share, written with it.
struct Series {
    key: String,
    run_id: Option<String>,
    points: Vec<Point>,
}

#[derive(Serialize)]
struct PointOut<'a> {
    key: &'a str,
    value: Double,
    timestamp: i64,
    step: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_id: Option<&'a str>,
}

/// The points of several series as one list.
#[derive(Default)]
struct History {
    series: Vec<Series>,
    next: Option<String>,
}

impl Serialize for History {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        struct List<'a>(&'a [Series]);
        impl Serialize for List<'_> {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_seq(self.0.iter().flat_map(|series| {
                    series.points.iter().map(|point| PointOut {
                        key: &series.key,
                        value: Double(point.value),
                        timestamp: point.timestamp,
                        step: point.step,
                        run_id: series.run_id.as_deref(),
                    })
                }))
            }
        }
        let mut map = serializer.serialize_map(None)?;
        if self.series.iter().any(|series| !series.points.is_empty()) {
            map.serialize_entry("metrics", &List(&self.series))?;
        }
        if let Some(next) = &self.next {
            map.serialize_entry("next_page_token", next)?;
        }
        map.end()
    }
}

async fn whole(call: Call<Whole>) -> Answer {
    let run_id = call.asked.which.id()?;
    let key = required("metric_key", &call.asked.metric_key)?.to_owned();
    let limit = match call.asked.max_results {
        None => None,
        Some(_) => Some(super::experiments::page_size(call.asked.max_results, 0)?),
    };
    let fingerprint = page::fingerprint(&("history", &run_id, &key));
    let from = match call.asked.page_token.as_deref().filter(|token| !token.is_empty()) {
        Some(token) => match page::read(token, &fingerprint, &[page::Kind::Whole])?.as_slice() {
            [Cell::Int(from)] => usize::try_from(*from).unwrap_or(0),
            _ => return Err(MlflowError::invalid("the page token is not one of this server's")),
        },
        None => 0,
    };
    let asked = key.clone();
    let mut points = call.read(move |tx| history::of_run(tx, &run_id, &asked)).await?;
    let count = points.len();
    points.drain(..from.min(count));
    let mut next = None;
    if let Some(limit) = limit.filter(|limit| *limit < points.len()) {
        points.truncate(limit);
        next = Some(page::write(&fingerprint, &[Cell::Int((from + limit) as i64)])?);
    }
    json(&History { series: vec![Series { key, run_id: None, points }], next })
}

/// Runs of one request, and points of one run, at most.
const RUNS: usize = 100;
const POINTS: usize = 25_000;
/// Points of one run in a sample, at most.
const SAMPLE: usize = 2_500;

#[derive(Deserialize)]
struct Bulk {
    #[serde(default, alias = "runId", deserialize_with = "wire::list")]
    run_id: Vec<String>,
    #[serde(alias = "metricKey")]
    metric_key: Option<String>,
    #[serde(alias = "maxResults")]
    max_results: Option<Int64>,
}

fn check_runs(parameter: &str, ids: &[String]) -> Result<(), MlflowError> {
    match ids.len() {
        0 => Err(MlflowError::missing(parameter)),
        1..=RUNS => Ok(()),
        count => Err(MlflowError::invalid(format!("{parameter} has {count} items, expected at most {RUNS}"))),
    }
}

async fn bulk(call: Call<Bulk>) -> Answer {
    let ids = call.asked.run_id.clone();
    check_runs("run_id", &ids)?;
    let key = required("metric_key", &call.asked.metric_key)?.to_owned();
    let most = super::experiments::page_size(call.asked.max_results, POINTS)?.min(POINTS);
    let series = call
        .read(move |tx| {
            let mut left = most;
            let mut all = Vec::new();
            for run_id in ids {
                let mut points = history::of_run(tx, &run_id, &key)?;
                points.truncate(left);
                left -= points.len();
                all.push(Series { key: key.clone(), run_id: Some(run_id), points });
            }
            Ok(all)
        })
        .await?;
    json(&History { series, next: None })
}

#[derive(Deserialize)]
pub(super) struct Sampled {
    #[serde(default, alias = "runIds", deserialize_with = "wire::list")]
    run_ids: Vec<String>,
    #[serde(alias = "metricKey")]
    metric_key: Option<String>,
    #[serde(alias = "startStep")]
    start_step: Option<Int64>,
    #[serde(alias = "endStep")]
    end_step: Option<Int64>,
    #[serde(alias = "maxResults")]
    max_results: Option<Int64>,
}

pub(super) async fn sampled(call: Call<Sampled>) -> Answer {
    let asked = &call.asked;
    let ids = asked.run_ids.clone();
    check_runs("run_ids", &ids)?;
    let key = required("metric_key", &asked.metric_key)?.to_owned();
    let most = super::experiments::page_size(asked.max_results, SAMPLE)?;
    if most > SAMPLE {
        return Err(MlflowError::invalid(format!("max_results is {most}, expected 1 to {SAMPLE}")));
    }
    let steps = match (asked.start_step, asked.end_step) {
        (None, None) => None,
        (Some(Int64(from)), Some(Int64(to))) if from <= to => Some((from, to)),
        (Some(Int64(from)), Some(Int64(to))) => {
            return Err(MlflowError::invalid(format!(
                "start_step is {from} and end_step {to}, expected an end after the start"
            )));
        }
        _ => {
            return Err(MlflowError::invalid(
                "one of start_step and end_step is given, expected both or none",
            ));
        }
    };
    let series = call
        .read(move |tx| {
            let mut all = Vec::new();
            for run_id in ids {
                let points = history::sample(history::of_run(tx, &run_id, &key)?, steps, most);
                all.push(Series { key: key.clone(), run_id: Some(run_id), points });
            }
            Ok(all)
        })
        .await?;
    json(&History { series, next: None })
}

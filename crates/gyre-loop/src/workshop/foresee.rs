//! Foreseeing: what the loss of a window will be, as soon as the window has ended and before its labels have come.
//!
//! An estimator is learned from a version's withheld rows when it is registered, and is asked about the champion's own
//! predictions of each window. It can only know what the log keeps, so features that are left out of the log are left out here.

use gyre_core::fact::{EstimateMethod, Fact, LossEstimate, LossForecast, ModelVersion};
use gyre_core::record::Route;
use gyre_core::spec::{Metric, Model};
use gyre_core::time::Period;
use gyre_core::{ModelName, Timestamp, Version};
use gyre_estimate::{Answered, EstimateError, EstimatedMetric, Estimator, Method};
use gyre_gateway::log::Scan;
use gyre_monitor::Calendar;
use gyre_runtime::{Column, Table};
use gyre_store::{NewFact, journal};

use super::Workshop;
use super::frame::{self, Frame};
use super::observe::is_kept;
use super::versions::Predicted;
use crate::engine::Failure;

/// What estimates the loss of a version that answered these withheld rows so, as bytes to keep.
///
/// # Errors
/// Why there is none: the rows may be too few, or all of one class.
pub(super) fn learn(model: &Model, rows: &Frame, predicted: &Predicted) -> Result<Vec<u8>, EstimateError> {
    let kept = rows.features.columns().iter().filter(|(name, _)| is_kept(model, name)).cloned();
    let kept = Table::new(kept)?;
    Estimator::fit(predicted.beside(&kept), &rows.target)?.to_json()
}

/// The windows that have ended since the last one that was looked at, with what is expected of each.
pub(super) fn windows(
    workshop: &Workshop,
    name: &ModelName,
    spec: &Model,
    champion: Version,
    watermark: Timestamp,
    facts: &mut Vec<NewFact>,
) -> Result<(), Failure> {
    let text = name.as_str().to_owned();
    let named = name.clone();
    let (first, last, version) = workshop.store.read(move |tx| {
        let first = journal::first_of_kind(tx, "promoted", &text)?;
        let last = journal::latest_of_kind(tx, "loss_estimated", &text)?;
        Ok((first, last, gyre_registry::version(tx, &named, champion)?.registered))
    })?;
    let (Some(first), Some(estimator)) = (first, version.estimator) else { return Ok(()) };
    let last = last.and_then(|entry| match entry.fact {
        Fact::LossEstimated(estimate) => Some(estimate.period.to),
        _ => None,
    });
    let calendar = Calendar::new(first.at, spec.monitor.window);
    // Of what ended before this version served there is nothing to expect.
    let since = last.unwrap_or(first.at).max(version_serves_since(workshop, name, champion)?);
    let due = calendar.due(Some(since), watermark, gyre_core::Span::default());
    if due.is_empty() {
        return Ok(());
    }
    let estimator = Estimator::from_json(&workshop.store.blobs().get(&estimator)?);
    for period in due {
        let mut estimate = LossEstimate {
            model: name.clone(),
            period,
            version: champion,
            predictions: 0,
            forecast: None,
            reason: None,
        };
        let said = match &estimator {
            Ok(estimator) => foresee(workshop, spec, estimator, &version, &mut estimate)?,
            Err(error) => Err(error.to_string()),
        };
        match said {
            Ok(forecast) => estimate.forecast = Some(forecast),
            Err(reason) => estimate.reason = Some(reason),
        }
        facts.push(NewFact::new(watermark, "monitor", Fact::LossEstimated(estimate)).once(key(name, period)));
    }
    Ok(())
}

/// What was expected of a window of the champion's that closes now.
pub(super) fn of_window(
    workshop: &Workshop,
    name: &ModelName,
    champion: Version,
    period: Period,
) -> Result<Option<LossForecast>, Failure> {
    let key = key(name, period);
    let entry = workshop.store.read(move |tx| journal::by_key(tx, &key))?;
    Ok(entry.and_then(|entry| match entry.fact {
        Fact::LossEstimated(estimate) if estimate.version == champion => estimate.forecast,
        _ => None,
    }))
}

fn key(name: &ModelName, period: Period) -> String {
    format!("estimate/{name}/{}", period.from.as_millis())
}

fn version_serves_since(
    workshop: &Workshop,
    name: &ModelName,
    champion: Version,
) -> Result<Timestamp, Failure> {
    let text = name.as_str().to_owned();
    let promoted = workshop.store.read(move |tx| journal::latest_of_kind(tx, "promoted", &text))?;
    Ok(match promoted {
        Some(entry) if matches!(entry.fact, Fact::Promoted { version, .. } if version == champion) => {
            entry.at
        }
        _ => Timestamp::default(),
    })
}

fn foresee(
    workshop: &Workshop,
    spec: &Model,
    estimator: &Estimator,
    version: &ModelVersion,
    estimate: &mut LossEstimate,
) -> Result<Result<LossForecast, String>, Failure> {
    workshop.gateway.flush(estimate.model.as_str())?;
    let scan = workshop.gateway.scan(estimate.model.as_str(), estimate.period)?;
    let own = own_rows(&scan, version.version);
    estimate.predictions = own.len() as u64;
    if own.is_empty() {
        return Ok(Err("it was asked for no prediction".to_owned()));
    }
    let outputs =
        frame::labels(spec.task, own.iter().filter_map(|row| scan.outputs.get(*row)).cloned().map(Some));
    let scores: Vec<f64> = own.iter().filter_map(|row| scan.scores.get(*row)).flatten().copied().collect();
    let columns = scan.features.iter().map(|(name, column)| (name.as_str(), pick(column, &own)));
    let features = match Table::new(columns) {
        Ok(features) => features,
        Err(error) => return Ok(Err(EstimateError::from(error).to_string())),
    };
    let answered = Answered {
        features: &features,
        outputs: &outputs,
        scores: &scores,
        classes: &version.signature.classes,
    };
    let found = estimator.estimate(metric_of(spec.metric), answered);
    let forecast = found.map(|(expected, method)| LossForecast {
        loss: expected.value,
        standard_error: expected.standard_error(),
        rows: expected.rows,
        method: match method {
            Method::DirectLoss => EstimateMethod::DirectLoss,
            Method::Calibration => EstimateMethod::Calibration,
            Method::Adapted => EstimateMethod::AdaptedCalibration,
        },
    });
    Ok(forecast.map_err(|error| error.to_string()))
}

/// What the version was asked by chance or rule; what callers ask of a version by its number is asked for comparison.
fn own_rows(scan: &Scan, version: Version) -> Vec<usize> {
    let of = scan.versions.iter().zip(&scan.routes).enumerate();
    of.filter(|(_, (by, route))| **by == version && **route != Route::Pinned).map(|(row, _)| row).collect()
}

fn pick(column: &Column, rows: &[usize]) -> Column {
    match column {
        Column::Numeric(values) => {
            Column::Numeric(rows.iter().filter_map(|row| values.get(*row)).copied().collect())
        }
        Column::Text(values) => {
            Column::Text(rows.iter().filter_map(|row| values.get(*row)).cloned().collect())
        }
    }
}

const fn metric_of(metric: Metric) -> EstimatedMetric {
    match metric {
        Metric::Mae => EstimatedMetric::Mae,
        Metric::Rmse => EstimatedMetric::Rmse,
        Metric::LogLoss => EstimatedMetric::LogLoss,
        Metric::ErrorRate => EstimatedMetric::ErrorRate,
    }
}

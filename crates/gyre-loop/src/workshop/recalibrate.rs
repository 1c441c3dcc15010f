//! Recalibrating: the champion's answers put right by recent labels, without a training.
//!
//! The rows are cut as for a training, from after the days that the version learnt from: what it says of rows that it knows
//! says nothing of how far off it is. The numbers come from the training part, what they are worth from the withheld one.

use std::path::Path;
use std::sync::Arc;

use gyre_core::fact::ModelVersion;
use gyre_core::spec::{Metric, Model, Window};
use gyre_core::{ModelName, Span, Timestamp, Version};
use gyre_monitor::Values;
use gyre_runtime::{Calibration, Column, Table};
use gyre_stats::recalibration;

use super::Workshop;
use super::versions::{Predicted, predict};
use crate::engine::Failure;
use crate::workshop::frame::Frame;

/// The least time that must have gone by since the version learnt.
const LEAST: Span = Span::days(2);
/// The fewest labelled rows.
const FEWEST: usize = 30;
/// The most rows that are learnt from, evenly chosen: a few numbers need no more.
const MOST: usize = 100_000;

/// The version that a recalibration of `version` begins with: the one beneath, where its answers were put right before.
pub(super) fn beneath(
    workshop: &Workshop,
    name: &ModelName,
    version: Version,
) -> Result<ModelVersion, Failure> {
    let mut found = workshop.version(name, version)?;
    if let Some(of) = found.calibrated_from {
        found = workshop.version(name, of)?;
    }
    if !found.runtime.is_native() {
        return Err(Failure::because(format!(
            "version {} runs as {}: only the answers of models in gyre's own process can be put right",
            found.version, found.runtime
        )));
    }
    Ok(found)
}

/// As far back as `window` says, but not into the days that the version learnt from.
pub(super) fn unseen(beneath: &ModelVersion, window: Window, as_of: Timestamp) -> Result<Window, Failure> {
    let unlearnt = beneath.trained_on.map(|period| Span::from_millis(as_of.since(period.to).as_millis()));
    let since = match (window, unlearnt) {
        (Window::Last(span), Some(unlearnt)) => span.min(unlearnt),
        (Window::Last(span), None) => span,
        (Window::All | Window::Fading(_), Some(unlearnt)) => unlearnt,
        (window, None) => return Ok(window),
    };
    if since < LEAST {
        return Err(Failure::because(format!(
            "version {} has learnt from all but the last {since}: too little to see how far off it is",
            beneath.version
        )));
    }
    Ok(Window::Last(since))
}

/// The file of the version with its answers put right by the labelled rows at `rows`, and what was found, in words.
pub(super) fn fit(
    workshop: &Workshop,
    model: &Model,
    time: Option<&str>,
    beneath: &ModelVersion,
    rows: &Path,
) -> Result<(Vec<u8>, String), Failure> {
    let target = (model.target.as_str(), model.task);
    let rows = Frame::read(rows, &beneath.signature.inputs, target, time, |_| true)?;
    let (features, target) = thinned(&rows)?;
    let predicted = predict(&*workshop.scorer(beneath)?, &features)?;
    let found = numbers(model.metric, &predicted, &target)
        .ok_or_else(|| Failure::because("there is nothing to put its answers right by"))?;
    let told = match &found {
        Calibration::Numbers { scale, shift } => {
            format!("{} rows: prediction × {scale:.6} + {shift:.6}", rows.times.len())
        }
        Calibration::Classes { scale, shifts } => {
            format!("{} rows: ln p × {scale:.6} + {shifts:.6?} by class", rows.times.len())
        }
    };
    let file = found.over(&workshop.store.blobs().get(&beneath.artifact)?);
    Ok((file.map_err(|error| Failure::because(error.to_string()))?, told))
}

fn thinned(rows: &Frame) -> Result<(Table, Column), Failure> {
    let step = rows.times.len().div_ceil(MOST).max(1);
    let some = |column: &Column| match column {
        Column::Numeric(values) => Column::Numeric(values.iter().step_by(step).copied().collect()),
        Column::Text(values) => Column::Text(values.iter().step_by(step).cloned().collect()),
    };
    let columns = rows.features.columns().iter().map(|(name, column)| (name.clone(), some(column)));
    Ok((Table::new(columns)?, some(&rows.target)))
}

fn numbers(metric: Metric, predicted: &Predicted, target: &Column) -> Option<Calibration> {
    let predictions = predicted.predictions();
    match (predictions.outputs, target) {
        (Values::Numbers(said), Column::Numeric(came)) => {
            let labelled = said.iter().zip(came).filter(|(said, came)| said.is_finite() && came.is_finite());
            if labelled.count() < FEWEST {
                return None;
            }
            let line = recalibration::line(said, came, metric == Metric::Mae)?;
            Some(Calibration::Numbers { scale: line.scale, shift: line.shift })
        }
        (Values::Text(_), Column::Text(came)) => {
            let class = |label: &Option<Arc<str>>| {
                let label = label.as_deref()?;
                predictions.classes.iter().position(|class| class == label)
            };
            let came: Vec<Option<usize>> = came.iter().map(class).collect();
            if came.iter().flatten().count() < FEWEST {
                return None;
            }
            let found = recalibration::logits(predictions.scores, predictions.classes.len(), &came)?;
            Some(Calibration::Classes { scale: found.scale, shifts: found.shifts })
        }
        _ => None,
    }
}

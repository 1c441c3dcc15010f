//! A closed window in one small fact.
//!
//! Drift is said of a column when its difference from the reference is beyond luck (Benjamini–Hochberg over all columns of
//! the window, at q = 0.01), large enough to matter (the configured effect), and larger than windows of the reference
//! itself are from the rest of it ([`variation`](crate::variation)). A column can change in several ways, and each has its
//! own test and its own yardstick; the one reported is the largest among those that count.

use std::collections::BTreeMap;

use gyre_core::fact::{Drift, Realised, WindowSummary};
use gyre_core::record::Route;
use gyre_core::spec::Metric;
use gyre_core::time::Period;
use gyre_core::{ModelName, Timestamp, Version};
use gyre_stats::adjust::benjamini_hochberg;
use gyre_stats::drift::{self, ColumnDrift};
use gyre_stats::profile::ColumnReference;

use crate::change::{Bar, Change, changes, telling};
use crate::columns::{MonitorError, Predictions, Values, expect_rows};
use crate::evidence;
use crate::loss::{losses, measure};
use crate::profile::ReferenceProfile;
use crate::quality;
use crate::variation::Variation;

/// The name under which the prediction stands among the columns.
pub const PREDICTION: &str = "(prediction)";

/// The most columns and the most versions that a fact lists: the worst ones, those with most rows.
const MOST_LISTED: usize = 100;

/// The most bytes that the listed columns' names may take, so that the fact fits into the journal.
const MOST_NAME_BYTES: usize = 24_000;

/// The rows of a closed window, by column.
#[derive(Debug, Clone)]
pub struct WindowInput<'a> {
    /// The model.
    pub model: &'a ModelName,
    /// Event time of the window.
    pub period: Period,
    /// The champion when it closed.
    pub champion: Version,
    /// When each prediction was made.
    pub times: &'a [Timestamp],
    /// Who made it.
    pub versions: &'a [Version],
    /// Why that version was asked. Rows where the caller named the version count for its loss only: they are asked for
    /// comparison, often beside the same row by another version, and would count it twice.
    pub routes: &'a [Route],
    /// What was answered.
    pub predictions: Predictions<'a>,
    /// What came true; missing where no label has come.
    pub labels: Values<'a>,
    /// The features, by name.
    pub features: &'a [(&'a str, Values<'a>)],
    /// Requests in the window that were refused or failed.
    pub errors: u64,
    /// The time in the model of each prediction, in microseconds; empty when it is not known.
    pub latencies_us: &'a [u32],
}

/// How a window is looked at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// What is measured.
    pub metric: Metric,
    /// How far numbers must have moved to matter (`monitor.drift_effect`).
    pub drift_effect: f64,
    /// How much a share must have changed to matter (`monitor.drift_share`).
    pub drift_share: f64,
    /// The share of false discoveries among the drifts that is put up with.
    pub false_discovery_rate: f64,
}

impl Settings {
    /// Settings for a model of `gyre.yaml`.
    pub fn of(model: &gyre_core::spec::Model) -> Self {
        let (drift_effect, drift_share) = (model.monitor.drift_effect, model.monitor.drift_share);
        Self { metric: model.metric, drift_effect, drift_share, false_discovery_rate: 0.01 }
    }
}

/// What the window showed: the loss that came true, by version, and the drift of each column that the reference and the
/// window have in common (versions of a model may differ in features), worst first. Columns with too little to test are
/// not listed.
///
/// # Errors
/// [`MonitorError`] when columns differ in length, or predictions or labels are not what the metric takes. A feature of
/// another kind than the reference's is no error but a finding.
pub fn summarise(
    input: &WindowInput<'_>,
    reference: &ReferenceProfile,
    settings: &Settings,
) -> Result<WindowSummary, MonitorError> {
    let rows = input.times.len();
    expect_rows("(version)", input.versions.len(), rows)?;
    expect_rows("(route)", input.routes.len(), rows)?;
    input.predictions.outputs.expect_rows(PREDICTION, rows)?;
    input.features.iter().try_for_each(|(name, values)| values.expect_rows(name, rows))?;
    let drift = drifts(input, reference, settings)?;
    let losses = losses(settings.metric, &input.predictions, &input.labels)?;
    let evidence = evidence::of(input, reference, settings.metric, &losses, &drift);
    Ok(WindowSummary {
        model: input.model.clone(),
        period: input.period,
        champion: input.champion,
        predictions: rows as u64,
        labels: (0..rows).filter(|row| input.labels.is_present(*row)).count() as u64,
        realised: realised(input, settings.metric, losses)?,
        estimated: None,
        drift,
        errors: input.errors,
        odd: Vec::new(),
        quality: quality::findings(input, reference),
        evidence,
        attribution: None,
        segments: Vec::new(),
    })
}

fn realised(
    input: &WindowInput<'_>,
    metric: Metric,
    losses: Vec<f64>,
) -> Result<Vec<Realised>, MonitorError> {
    let mut by_version: BTreeMap<Version, (Vec<f64>, Vec<i64>)> = BTreeMap::new();
    for ((loss, version), time) in losses.into_iter().zip(input.versions).zip(input.times) {
        let (losses, days) = by_version.entry(*version).or_default();
        losses.push(loss);
        days.push(time.day());
    }
    let mut realised = Vec::new();
    for (version, (losses, days)) in by_version {
        let Some(measured) = measure(metric, &losses, &days)? else { continue };
        realised.push(Realised {
            version,
            rows: measured.rows,
            loss: measured.loss,
            days: measured.days,
            standard_error: measured.standard_error,
        });
    }
    if realised.len() > MOST_LISTED {
        realised.sort_by_key(|of| (of.version != input.champion, std::cmp::Reverse(of.rows)));
        realised.truncate(MOST_LISTED);
        realised.sort_by_key(|of| of.version);
    }
    Ok(realised)
}

fn drifts(
    input: &WindowInput<'_>,
    reference: &ReferenceProfile,
    settings: &Settings,
) -> Result<Vec<Drift>, MonitorError> {
    let routed = |row: &usize| input.routes.get(*row).is_some_and(|route| *route != Route::Pinned);
    // Another version's predictions differ from the champion's reference without any drift.
    let own = |row: &usize| routed(row) && input.versions.get(*row) == Some(&input.champion);
    let rows = input.times.len();
    let prediction = (0..rows).filter(own);
    let mut columns =
        vec![column(PREDICTION, &input.predictions.outputs, &reference.prediction, prediction)?];
    for (name, values) in input.features {
        // A column of another kind is no matter of distance: it is a finding of quality.
        let Some(reference) = reference.columns.get(*name).filter(|reference| values.is_like(reference))
        else {
            continue;
        };
        columns.push(column(name, values, reference, (0..rows).filter(routed))?);
    }
    let tested: Vec<(&str, f64, Vec<Change>)> =
        columns.iter().filter_map(|(name, drift)| Some((*name, drift.p_value()?, changes(drift)))).collect();
    let p_values: Vec<f64> = tested.iter().map(|(_, p, _)| *p).collect();
    let q_values = benjamini_hochberg(&p_values);
    let nothing = BTreeMap::new();
    let drifts = tested.into_iter().zip(q_values).filter_map(|((name, _, changes), p)| {
        let usual = reference.variation.get(name).unwrap_or(&nothing);
        let bar = Bar {
            level: settings.false_discovery_rate,
            shift: settings.drift_effect,
            share: settings.drift_share,
            usual,
        };
        let (change, counts) = telling(&changes, &bar)?;
        Some(Drift {
            column: name.to_owned(),
            statistic: change.statistic.to_owned(),
            effect: change.effect,
            floor: Some(bar.floor(change.statistic)),
            p,
            usual: usual.get(change.statistic).map(Variation::bound),
            drifted: p <= settings.false_discovery_rate && counts,
        })
    });
    Ok(worst(drifts.collect()))
}

fn column<'a>(
    name: &'a str,
    values: &Values<'_>,
    reference: &ColumnReference,
    rows: impl Iterator<Item = usize>,
) -> Result<(&'a str, ColumnDrift), MonitorError> {
    let expected = match reference {
        ColumnReference::Numeric(_) => "numbers",
        ColumnReference::Categorical(_) => "text",
    };
    let drift = values.window(reference, rows).and_then(|window| drift::column(reference, &window));
    let drift =
        drift.map_err(|_| MonitorError::Kind { column: name.to_owned(), found: values.kind(), expected })?;
    Ok((name, drift))
}

/// The worst columns first, as many as the fact may list; the prediction is always among them.
fn worst(mut drifts: Vec<Drift>) -> Vec<Drift> {
    let of_prediction = |drift: &Drift| drift.column == PREDICTION;
    drifts.sort_by(|a, b| {
        let by_size = b.effect.total_cmp(&a.effect).then(a.p.total_cmp(&b.p));
        b.drifted.cmp(&a.drifted).then(by_size).then(a.column.cmp(&b.column))
    });
    let mut bytes = 0;
    let mut listed = 0;
    let mut kept_prediction = false;
    drifts.retain(|drift| {
        kept_prediction |= of_prediction(drift);
        let last = if kept_prediction { MOST_LISTED } else { MOST_LISTED - 1 };
        let fits = listed < last && bytes + drift.column.len() <= MOST_NAME_BYTES;
        if !fits && !of_prediction(drift) {
            return false;
        }
        listed += 1;
        bytes += drift.column.len();
        true
    });
    drifts
}

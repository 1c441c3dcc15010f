//! The loss by parts of the rows: a model may be fine on average and fail all flights of one carrier.
//!
//! `monitor.segments` names features; each divides the rows into a bounded number of segments. A window's segment is held
//! against *the same segment* of the withheld rows, not against the average: some are always harder. With many segments some
//! are worse by luck, so the false discovery rate is controlled over all of them (Benjamini & Hochberg 1995).

use std::cmp::Reverse;
use std::collections::BTreeMap;

use gyre_core::fact::SegmentLoss;
use gyre_core::spec::{Metric, Segment};
use gyre_stats::adjust::benjamini_hochberg;
use gyre_stats::performance::p_above_reference;
use serde::{Deserialize, Serialize};

use crate::columns::{MonitorError, Values, expect_rows};
use crate::loss::{MeasuredLoss, losses, measure};
use crate::profile::ReferenceProfile;
use crate::summary::{Settings, WindowInput};

/// Values of a feature that are segments of their own; all others are one segment. Numbers of more values are cut at their
/// quartiles.
const MOST_VALUES: usize = 20;

/// The most segments that a fact lists.
const MOST_LISTED: usize = 50;

/// The most bytes that their names may take, so that the fact fits into the journal.
const MOST_NAME_BYTES: usize = 8_000;

/// The most characters of a value that are shown.
const SHOWN: usize = 64;

/// How a feature divides rows, and the losses of the withheld rows in each part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Division {
    of: Segment,
    /// Values of names, or of few numbers, ascending; empty for ranges.
    values: Vec<String>,
    /// Upper ends of ranges.
    cuts: Vec<f64>,
    /// What was measured in each part; `null` where there were no rows.
    losses: Vec<Option<MeasuredLoss>>,
}

/// The withheld rows' losses by segment. Features that the rows do not have are passed over.
///
/// # Errors
/// [`MonitorError`].
pub(crate) fn learn(
    metric: Metric,
    features: &[(&str, Values<'_>)],
    (losses, days): (&[f64], &[i64]),
    segments: &[Segment],
) -> Result<Vec<Division>, MonitorError> {
    let rows: Vec<usize> = (0..losses.len()).filter(|row| losses[*row].is_finite()).collect();
    let mut divisions = Vec::new();
    for segment in segments {
        let Some((_, values)) = features.iter().find(|(name, _)| *name == segment.column) else { continue };
        values.expect_rows(&segment.column, losses.len())?;
        expect_rows("(day)", days.len(), losses.len())?;
        let mut division = Division::new(segment, values, &rows);
        division.losses = division.measure(values, &rows, metric, losses, days)?;
        divisions.push(division);
    }
    Ok(divisions)
}

/// The champion's loss in each segment of the window, the worst against its own reference first. Segments that the reference
/// was not told of, because they were declared later, are measured, and compared with nothing.
///
/// # Errors
/// [`MonitorError`] when columns differ in length.
pub fn by_segment(
    input: &WindowInput<'_>,
    reference: &ReferenceProfile,
    segments: &[Segment],
    settings: &Settings,
) -> Result<Vec<SegmentLoss>, MonitorError> {
    if segments.is_empty() {
        return Ok(Vec::new());
    }
    let metric = settings.metric;
    let losses = losses(metric, &input.predictions, &input.labels)?;
    let days: Vec<i64> = input.times.iter().map(|time| time.day()).collect();
    expect_rows("(time)", days.len(), losses.len())?;
    let own = |row: &usize| input.versions.get(*row) == Some(&input.champion) && losses[*row].is_finite();
    let rows: Vec<usize> = (0..losses.len()).filter(own).collect();
    let same_metric = reference.holdout.as_ref().is_none_or(|holdout| holdout.metric == metric);
    let mut found = Vec::new();
    for segment in segments {
        let Some((_, values)) = input.features.iter().find(|(name, _)| *name == segment.column) else {
            continue;
        };
        values.expect_rows(&segment.column, losses.len())?;
        let known = reference.segments.iter().find(|division| division.of == *segment && same_metric);
        let learned;
        let division = match known.filter(|division| division.fits(values)) {
            Some(division) => division,
            None => {
                learned = Division::new(segment, values, &rows);
                &learned
            }
        };
        let measured = division.measure(values, &rows, metric, &losses, &days)?;
        found.extend(division.compare(&measured, metric));
    }
    Ok(worst(judge(found, settings.false_discovery_rate)))
}

impl Division {
    fn new(segment: &Segment, values: &Values<'_>, rows: &[usize]) -> Self {
        let mut division =
            Self { of: segment.clone(), values: Vec::new(), cuts: segment.cuts.clone(), losses: Vec::new() };
        match values {
            Values::Numbers(numbers) if segment.cuts.is_empty() => {
                let mut present: Vec<f64> =
                    rows.iter().filter_map(|row| numbers.get(*row).copied()).collect();
                present.retain(|value| value.is_finite());
                present.sort_unstable_by(f64::total_cmp);
                let distinct: Vec<f64> =
                    present.chunk_by(|a, b| a == b).filter_map(|same| same.first().copied()).collect();
                if distinct.len() <= MOST_VALUES {
                    division.values = distinct.iter().map(ToString::to_string).collect();
                    division.values.sort_unstable();
                } else {
                    let quartile = |at: usize| present.get(at * present.len() / 4).copied();
                    division.cuts = (1..4).filter_map(quartile).collect();
                    division.cuts.dedup();
                }
            }
            Values::Numbers(_) => {}
            Values::Text(names) => {
                division.cuts = Vec::new();
                let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
                for name in rows.iter().filter_map(|row| names.get(*row)?.as_deref()) {
                    *counts.entry(name).or_default() += 1;
                }
                let mut counts: Vec<(&str, usize)> = counts.into_iter().collect();
                counts.sort_by_key(|(_, count)| Reverse(*count));
                let most = counts.into_iter().take(MOST_VALUES);
                division.values = most.map(|(name, _)| name.to_owned()).collect();
                division.values.sort_unstable();
            }
        }
        division
    }

    /// Whether a column can be divided so: ranges are of numbers.
    fn fits(&self, values: &Values<'_>) -> bool {
        self.cuts.is_empty() || matches!(values, Values::Numbers(_))
    }

    /// Values, then all others, or ranges; then the missing.
    fn len(&self) -> usize {
        self.values.len().max(self.cuts.len()) + 2
    }

    fn of_row(&self, values: &Values<'_>, row: usize) -> usize {
        let missing = self.len() - 1;
        let named = |name: &str| {
            self.values.binary_search_by(|own| own.as_str().cmp(name)).unwrap_or(self.values.len())
        };
        match values {
            Values::Numbers(numbers) => match numbers.get(row) {
                Some(number) if number.is_nan() => missing,
                Some(number) if self.cuts.is_empty() => named(&number.to_string()),
                Some(number) => self.cuts.partition_point(|cut| cut < number),
                None => missing,
            },
            Values::Text(names) => names.get(row).and_then(Option::as_deref).map_or(missing, named),
        }
    }

    fn name(&self, at: usize) -> String {
        if at + 1 == self.len() {
            return "(missing)".to_owned();
        }
        if let Some(value) = self.values.get(at) {
            return value.chars().take(SHOWN).collect();
        }
        match (self.cuts.get(at.wrapping_sub(1)), self.cuts.get(at)) {
            (None, None) => "(others)".to_owned(),
            (None, Some(upper)) => format!("≤ {upper}"),
            (Some(lower), None) => format!("> {lower}"),
            (Some(lower), Some(upper)) => format!("{lower} to {upper}"),
        }
    }

    fn measure(
        &self,
        values: &Values<'_>,
        rows: &[usize],
        metric: Metric,
        losses: &[f64],
        days: &[i64],
    ) -> Result<Vec<Option<MeasuredLoss>>, MonitorError> {
        let mut parts: Vec<(Vec<f64>, Vec<i64>)> = vec![Default::default(); self.len()];
        for row in rows {
            let part = &mut parts[self.of_row(values, *row)];
            part.0.push(losses[*row]);
            part.1.push(days[*row]);
        }
        parts.iter().map(|(losses, days)| measure(metric, losses, days)).collect()
    }

    fn compare(&self, measured: &[Option<MeasuredLoss>], metric: Metric) -> Vec<SegmentLoss> {
        let before = Whole::of(&self.losses, metric);
        let after = Whole::of(measured, metric);
        let scale = match metric {
            Metric::Rmse => before.mean.sqrt() + after.mean.sqrt(),
            _ => 1.0,
        };
        let parts = measured.iter().enumerate().filter_map(|(at, now)| Some((at, (*now)?)));
        let segment = |(at, now): (usize, MeasuredLoss)| {
            let reference = self.losses.get(at).copied().flatten();
            let errors = now.standard_error.zip(reference.and_then(|reference| reference.standard_error));
            let p = errors.zip(reference).and_then(|((error, old), reference)| {
                p_above_reference((now.loss, error), now.days.into(), (reference.loss, old))
            });
            // What the segment has above the reference's mean loss, now less then.
            let excess = |of: Option<MeasuredLoss>, whole: &Whole| {
                of.map_or(0.0, |of| of.rows as f64 / whole.rows * (mean_of(&of, metric) - before.mean))
            };
            let contribution = excess(Some(now), &after) - excess(reference, &before);
            SegmentLoss {
                column: self.of.column.clone(),
                segment: self.name(at),
                rows: now.rows,
                loss: now.loss,
                standard_error: now.standard_error,
                reference: reference.map(|reference| reference.loss),
                contribution: (before.rows > 0.0 && scale > 0.0).then_some(contribution / scale),
                p: p.filter(|p| p.is_finite()),
                worse: false,
            }
        };
        parts.map(segment).collect()
    }
}

/// All parts of a division together.
struct Whole {
    rows: f64,
    /// Mean loss: of an rmse, the mean square.
    mean: f64,
}

impl Whole {
    fn of(parts: &[Option<MeasuredLoss>], metric: Metric) -> Self {
        let parts = parts.iter().flatten();
        let rows: f64 = parts.clone().map(|part| part.rows as f64).sum();
        let sum: f64 = parts.map(|part| part.rows as f64 * mean_of(part, metric)).sum();
        Self { rows, mean: if rows > 0.0 { sum / rows } else { 0.0 } }
    }
}

fn mean_of(measured: &MeasuredLoss, metric: Metric) -> f64 {
    if metric == Metric::Rmse { measured.loss * measured.loss } else { measured.loss }
}

/// Corrects the p-values for their number, over the segments of all columns.
fn judge(mut segments: Vec<SegmentLoss>, rate: f64) -> Vec<SegmentLoss> {
    let p_values: Vec<f64> = segments.iter().filter_map(|segment| segment.p).collect();
    let mut corrected = benjamini_hochberg(&p_values).into_iter();
    for segment in segments.iter_mut().filter(|segment| segment.p.is_some()) {
        segment.p = corrected.next();
        segment.worse = segment.p.is_some_and(|p| p <= rate);
    }
    segments
}

/// The worst first: those beyond luck, then by how much of the change is theirs; as many as the fact may list.
fn worst(mut segments: Vec<SegmentLoss>) -> Vec<SegmentLoss> {
    let share = |segment: &SegmentLoss| segment.contribution.unwrap_or(0.0);
    segments.sort_by(|a, b| {
        let by_size = share(b).total_cmp(&share(a)).then(b.rows.cmp(&a.rows));
        let by_name = (&a.column, &a.segment).cmp(&(&b.column, &b.segment));
        b.worse.cmp(&a.worse).then(by_size).then(by_name)
    });
    segments.truncate(MOST_LISTED);
    let mut bytes = 0;
    segments.retain(|segment| {
        bytes += segment.column.len() + segment.segment.len();
        bytes <= MOST_NAME_BYTES
    });
    segments
}

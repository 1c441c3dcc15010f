//! Where the change of a loss comes from.
//!
//! A loss that rose says nothing of why. Either the rows became harder (more long flights, and those were always hard: a
//! *covariate shift*), or rows like those of the reference came out otherwise (a *concept change*); a retraining cures
//! the second, and may be useless against the first. This room divides the change of the mean loss between the withheld
//! rows of the registration and a window, so that the parts add up:
//!
//! change = Σ of the columns' shifts + what fell on unseen values + concept
//!
//! Method: the decomposition of Kitagawa (1955), Oaxaca (1973) and Blinder (1973), with the loss as the outcome. On the
//! withheld rows the loss is explained by an additive model of the columns' bins, loss ≈ μ + Σ_j f_j(bin of column j). The part
//! of column j is Σ_b (q_b − p_b)·f_j(b), where p and q are the shares of the bin in reference and window: what its shift did
//! with the others held fast. Rows with a value that the reference lacks are kept apart, since nothing is known of them
//! (Cai, Namkoong & Yadlowsky 2023, "Diagnosing model performance under distribution shift"); the rest is concept.
//!
//! What is guaranteed: the parts add up exactly, whatever the data. Where the reference's expected loss is additive in the
//! columns' bins and the reference is large, each part is what that column's shift did, and of two columns that move together
//! only the one that the loss depends on gets a part (alone, either would get all of it: [`ColumnPart::alone`] is
//! Kitagawa's division by one column). What is not: an effect of two columns *together* beyond the sum of theirs, and of
//! shifts within a bin, counts as concept. A small reference shrinks the columns' parts towards 0, into concept too.
//!
//! Intervals are by the delta method: the window's error clustered by day, the reference's by the jackknife over ten blocks of
//! days (Kott 2001, "The delete-a-group jackknife").
//!
//! A window costs one pass over the rows and counts of days × bins a column.

mod additive;
mod bins;
mod reference;
mod tally;

use gyre_core::fact::{Attribution, ColumnPart, Part};
use gyre_core::spec::Metric;
use gyre_stats::performance::{MINIMUM_CLUSTERS, MINIMUM_ROWS, student_interval};

use crate::columns::MonitorError;
use crate::loss::{LEVEL, aggregate, losses};
use crate::summary::WindowInput;

pub use reference::LossReference;
use tally::{Days, Tally};

/// The most columns that the fact lists.
const MOST_LISTED: usize = 20;

/// The most bytes that their names may take, so that the fact fits into the journal.
const MOST_NAME_BYTES: usize = 4_000;

/// Divides the change of the champion's loss in the window. None with less than 30 labelled rows of the champion, or when the
/// reference measured another metric.
///
/// # Errors
/// [`MonitorError`] when columns differ in length or hold something else than the reference.
pub fn attribute(
    input: &WindowInput<'_>,
    reference: &LossReference,
    metric: Metric,
) -> Result<Option<Attribution>, MonitorError> {
    let losses = losses(metric, &input.predictions, &input.labels)?;
    let own = |row: &usize| input.versions.get(*row) == Some(&input.champion) && losses[*row].is_finite();
    let rows: Vec<usize> = (0..losses.len()).filter(own).collect();
    if (rows.len() as u64) < MINIMUM_ROWS || reference.metric() != metric {
        return Ok(None);
    }
    let of_rows: Vec<f64> = rows.iter().map(|row| losses[*row]).collect();
    let days = Days::of(rows.iter().map(|row| input.times.get(*row).map_or(0, |time| time.day())));
    let tally = Tally::count(reference, input.features, &rows, &of_rows, &days)?;
    Ok(Some(divide(reference, &tally, &of_rows, &days, metric)))
}

fn divide(
    reference: &LossReference,
    tally: &Tally,
    losses: &[f64],
    days: &Days,
    metric: Metric,
) -> Attribution {
    let n = losses.len() as f64;
    let mean = losses.iter().sum::<f64>() / n;
    let (promised, came) = (aggregate(metric, reference.loss()), aggregate(metric, mean));
    // A difference of roots is that of the squares over the roots' sum, and so are its parts.
    let scale = if metric == Metric::Rmse && promised + came > 0.0 { promised + came } else { 1.0 };
    let freedom = days.count().min(reference.replicates().len()) as f64 - 1.0;
    let part = |amount: f64, error: Option<f64>, replicates: &dyn Fn(usize) -> f64| {
        let spread = reference.jackknife(amount, replicates);
        let error = error.zip(spread).map(|(window, reference)| window.hypot(reference));
        let interval = error.map(|error| student_interval(amount / scale, error / scale, freedom, LEVEL));
        let interval = interval.map(|interval| (interval.lower, interval.upper));
        Part { amount: amount / scale, interval: interval.filter(|(l, u)| l.is_finite() && u.is_finite()) }
    };
    let change = mean - reference.loss();
    let covariate = tally.covariate.iter().sum::<f64>() / n;
    let unseen = tally.any_unseen().then_some(tally.unseen_sum / n);
    let concept = change - covariate - unseen.unwrap_or(0.0);
    let shifted = |at: usize| tally.columns.iter().map(|column| column.replicate(reference, at)).sum::<f64>();
    let promised_without = |at: usize| reference.replicates().get(at).copied().unwrap_or(reference.loss());
    let rest: Vec<f64> =
        losses.iter().zip(&tally.covariate).map(|(loss, covariate)| loss - covariate).collect();
    let mut columns: Vec<ColumnPart> = tally
        .columns
        .iter()
        .map(|column| ColumnPart {
            column: column.name(reference).to_owned(),
            shift: part(column.shift(reference), column.error(reference, days), &|at| {
                column.replicate(reference, at)
            }),
            unseen: (column.unseen_rows > 0).then_some(column.unseen_sum / n / scale),
            alone: column.alone(reference) / scale,
        })
        .collect();
    let weight = |column: &ColumnPart| column.shift.amount.abs() + column.unseen.unwrap_or(0.0).abs();
    columns.sort_by(|a, b| weight(b).total_cmp(&weight(a)).then_with(|| a.column.cmp(&b.column)));
    let mut bytes = 0;
    columns.truncate(MOST_LISTED);
    columns.retain(|column| {
        bytes += column.column.len();
        bytes <= MOST_NAME_BYTES
    });
    Attribution {
        reference: promised,
        rows: losses.len() as u64,
        change: part(change, days.error(losses), &|at| mean - promised_without(at)),
        covariate: part(covariate, days.error(&tally.covariate), &shifted),
        unseen: unseen.map(|unseen| unseen / scale),
        concept: part(concept, days.error(&rest), &|at| {
            mean - promised_without(at) - shifted(at) - unseen.unwrap_or(0.0)
        }),
        columns,
    }
}

impl Days {
    /// The standard error of the mean of `values`, clustered by day; none with too few days.
    fn error(&self, values: &[f64]) -> Option<f64> {
        if (self.count() as u64) < MINIMUM_CLUSTERS {
            return None;
        }
        let mut sums = vec![0.0; self.count()];
        let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
        for (value, day) in values.iter().zip(self.rows()) {
            if let Some(sum) = sums.get_mut(*day as usize) {
                *sum += value - mean;
            }
        }
        Some(tally::clustered(sums.into_iter(), self.count(), values.len() as f64))
    }
}

//! What a window shows only beside the windows before it: volume, freshness, label lag, errors, latency, skew.
//!
//! A reference profile knows columns, not traffic. What is usual there is what the last windows showed, so a lasting change
//! becomes the usual after some windows: an incident that is no news any more ends by itself.

use gyre_core::fact::{Check, Drift, Finding, WindowSummary};
use gyre_stats::proportion::{Proportion, two_proportion_p};

use super::{FEWEST_ROWS, LEVEL, percent};
use crate::seen::Seen;
use crate::summary::PREDICTION;

/// Windows that must have closed before anything is said.
pub const ENOUGH: usize = 4;

/// By which factor the number of predictions must have changed, at least.
const VOLUME: f64 = 2.0;
/// And how many robust standard deviations of its logarithm.
const SIGMAS: f64 = 5.0;
/// The least share of the window's time without a prediction at its end.
const QUIET: f64 = 0.25;
/// The share of its usual coverage below which labels are late, and the coverage that windows before must have had.
const LABELS: (f64, f64) = (0.6, 0.1);
/// By how much the share of failed requests must be up.
const ERRORS: f64 = 0.02;
/// How many times as slow the slowest hundredth must be, and the half that is faster; and which latency, in microseconds,
/// nobody minds.
const LATENCY: (f64, f64, f64) = (2.5, 1.5, 1_000.0);
/// How many times the floor of drift a column must differ by in the first window of a version.
const SKEW: f64 = 3.0;

/// What is unusual about a window beside those before it, oldest first.
#[must_use]
pub fn findings(window: &WindowSummary, before: &[Seen]) -> Vec<Finding> {
    let skew = skew(window, before);
    if before.len() < ENOUGH {
        return skew.into_iter().collect();
    }
    let checks = [
        volume(window, before),
        freshness(window, before),
        labels(window, before),
        errors(window, before),
        latency(window, before),
        skew,
    ];
    checks.into_iter().flatten().collect()
}

fn finding(check: Check, found: f64, expected: f64, rows: u64, words: String) -> Finding {
    Finding { check, column: None, found: Some(found), expected: Some(expected), rows, words }
}

fn volume(window: &WindowSummary, before: &[Seen]) -> Option<Finding> {
    // What was asked for and failed is traffic as well, and what is wrong with it is told by `errors`.
    let log = |rows: u64| (rows as f64).max(0.5).ln();
    let asked = window.predictions.saturating_add(window.errors);
    let before: Vec<f64> =
        before.iter().map(|seen| log(seen.predictions.saturating_add(seen.errors))).collect();
    let usual = median(before.iter().copied())?;
    if usual.exp() < FEWEST_ROWS as f64 {
        return None;
    }
    let deviation = median(before.iter().map(|asked| (asked - usual).abs()))?;
    // The median of few absolute deviations may be 0 by luck; counts have at least Poisson's.
    let sigma = (1.4826 * deviation).hypot((-0.5 * usual).exp());
    let difference = log(asked) - usual;
    let unusual = difference.abs() >= VOLUME.ln().max(SIGMAS * sigma);
    unusual.then(|| {
        let expected = usual.exp().round();
        let words = format!("{asked} predictions were asked for, where {expected} are usual");
        finding(Check::Volume, asked as f64, expected, asked, words)
    })
}

fn freshness(window: &WindowSummary, before: &[Seen]) -> Option<Finding> {
    let quiet = window.evidence.quiet?;
    let usual = before.iter().filter_map(|seen| seen.quiet).fold(0.0, f64::max);
    (quiet >= QUIET && quiet >= 2.0 * usual && window.predictions >= FEWEST_ROWS as u64).then(|| {
        let words = format!("no prediction in the last {} of the window's time", percent(quiet));
        finding(Check::Freshness, quiet, usual, 0, words)
    })
}

fn labels(window: &WindowSummary, before: &[Seen]) -> Option<Finding> {
    let coverage = |seen: &Seen| Proportion::new(seen.labels, seen.predictions).value();
    let usual = median(before.iter().filter_map(coverage))?;
    let now = Proportion::new(window.labels, window.predictions);
    let share = now.value()?;
    let least = before.iter().filter_map(coverage).fold(1.0, f64::min);
    if usual < LABELS.1
        || share >= LABELS.0 * usual
        || share >= least
        || window.predictions < FEWEST_ROWS as u64
    {
        return None;
    }
    let expected = Proportion::new((usual * window.predictions as f64).round() as u64, window.predictions);
    (two_proportion_p(expected, now)? < LEVEL).then(|| {
        let words =
            format!("{} of the predictions have a label, where {} are usual", percent(share), percent(usual));
        finding(Check::Labels, share, usual, window.predictions - window.labels, words)
    })
}

fn errors(window: &WindowSummary, before: &[Seen]) -> Option<Finding> {
    let share = |errors: u64, predictions: u64| Proportion::new(errors, errors.saturating_add(predictions));
    let sum = |of: fn(&Seen) -> u64| before.iter().map(of).fold(0_u64, u64::saturating_add);
    let usual = share(sum(|seen| seen.errors), sum(|seen| seen.predictions));
    let worst =
        before.iter().filter_map(|seen| share(seen.errors, seen.predictions).value()).fold(0.0, f64::max);
    let now = share(window.errors, window.predictions);
    let (found, expected) = (now.value()?, usual.value()?);
    (found - expected >= ERRORS && found >= 1.5 * worst && two_proportion_p(usual, now)? < LEVEL).then(|| {
        let words =
            format!("{} of the requests failed, where {} are usual", percent(found), percent(expected));
        finding(Check::Errors, found, expected, window.errors, words)
    })
}

fn latency(window: &WindowSummary, before: &[Seen]) -> Option<Finding> {
    let (half, slow) = window.evidence.latency_p50_us.zip(window.evidence.latency_p99_us)?;
    let usual_half = median(before.iter().filter_map(|seen| seen.latency_p50_us))?;
    let usual_slow = median(before.iter().filter_map(|seen| seen.latency_p99_us))?;
    let slowest = before.iter().filter_map(|seen| seen.latency_p99_us).fold(0.0, f64::max);
    let slower = slow >= LATENCY.0 * usual_slow && half >= LATENCY.1 * usual_half && slow >= 1.25 * slowest;
    (slower && slow >= LATENCY.2 && window.predictions >= FEWEST_ROWS as u64).then(|| {
        let words = format!(
            "one answer in a hundred takes {:.1} ms and more, where {:.1} ms are usual",
            slow / 1e3,
            usual_slow / 1e3
        );
        finding(Check::Latency, slow, usual_slow, window.predictions, words)
    })
}

/// The first window of a version that follows windows of other versions: what differs at once differed between training
/// and serving.
fn skew(window: &WindowSummary, before: &[Seen]) -> Option<Finding> {
    if before.iter().any(|seen| seen.champion == window.champion) {
        return None;
    }
    let far = |drift: &&Drift| {
        drift.drifted
            && drift.column != PREDICTION
            && drift.floor.is_some_and(|floor| drift.effect >= SKEW * floor)
    };
    let worst = window.drift.iter().filter(far).max_by(|a, b| a.effect.total_cmp(&b.effect))?;
    let words = format!(
        "`{}` differs from training in the first window that version {} serves: is it computed alike?",
        super::shortened(&worst.column),
        window.champion
    );
    let column = Some(worst.column.clone());
    Some(Finding { column, ..finding(Check::Skew, worst.effect, worst.floor?, window.predictions, words) })
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = values.get(middle).copied()?;
    let is_even = values.len().is_multiple_of(2);
    Some(if is_even { values.get(middle - 1).map_or(upper, |lower| (lower + upper) / 2.0) } else { upper })
}

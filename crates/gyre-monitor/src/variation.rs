//! How much a column varies by itself from window to window.
//!
//! No two weeks are alike, and a test that takes rows for independent draws finds each week different from the last. So the
//! reference is cut into windows of the size that will be watched, in the order of time, and each is held against the rest
//! (leave one out): what comes of it is what a window differs by when nothing has happened. A live window counts as drifted
//! only when it differs by more than [`SIGMAS`] standard deviations of that more.

use std::collections::BTreeMap;
use std::ops::Range;

use gyre_stats::drift::column;
use gyre_stats::moments::Moments;
use gyre_stats::profile::{ColumnReference, ColumnWindow, Incompatible};
use serde::{Deserialize, Serialize};

use crate::change::changes;
use crate::columns::Values;

/// Windows below which nothing is said of their variation.
pub const FEWEST_WINDOWS: usize = 5;

/// How many standard deviations above its mean a distance is no longer usual.
const SIGMAS: f64 = 5.0;

/// The most windows that the reference is cut into; more say nothing new.
const MOST_WINDOWS: usize = 100;

/// How far windows of a reference are from the rest of it, by one statistic.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Variation {
    /// Windows that were measured.
    pub windows: u32,
    /// Their mean distance.
    pub mean: f64,
    /// Its standard deviation.
    pub deviation: f64,
}

impl Variation {
    /// What a window like those before hardly exceeds: the mean and five standard deviations of the predictive
    /// distribution, which is the wider the fewer windows there were (that of a normal sample: Student's t with n − 1
    /// degrees of freedom, scaled by √(1 + 1/n); its variance is (1 + 1/n)·(n − 1)/(n − 3)).
    #[must_use]
    pub fn bound(&self) -> f64 {
        let n = f64::from(self.windows).max(FEWEST_WINDOWS as f64);
        let spread = (1.0 + 1.0 / n) * (n - 1.0) / (n - 3.0);
        self.mean + SIGMAS * self.deviation * spread.sqrt()
    }
}

/// Cuts so many rows, in the order of time, into windows of about `size` rows; none when that makes too few.
#[must_use]
pub fn windows(rows: usize, size: usize) -> Vec<Range<usize>> {
    let count = (rows / size.max(1)).min(MOST_WINDOWS);
    if count < FEWEST_WINDOWS {
        return Vec::new();
    }
    (0..count).map(|at| rows * at / count..rows * (at + 1) / count).collect()
}

/// The variation of a column by each statistic that it is watched by: `order` is the order of its rows in time, `windows`
/// what it is cut into. Statistics that fewer than [`FEWEST_WINDOWS`] windows have are left out.
pub(crate) fn of_column(
    values: &Values<'_>,
    reference: &ColumnReference,
    order: &[usize],
    windows: &[Range<usize>],
) -> Result<BTreeMap<String, Variation>, Incompatible> {
    let rows = |range: &Range<usize>| order.get(range.clone()).unwrap_or_default().iter().copied();
    let windows: Vec<ColumnWindow> =
        windows.iter().map(|range| values.window(reference, rows(range))).collect::<Result<_, _>>()?;
    // The rest of each: all before it and all after it.
    let mut after = vec![reference.window()];
    for window in windows.iter().rev() {
        let mut sum = window.clone();
        after.last().map_or(Ok(()), |rest| sum.merge(rest))?;
        after.push(sum);
    }
    let mut before = reference.window();
    let mut distances: BTreeMap<&'static str, Moments> = BTreeMap::new();
    for (at, window) in windows.iter().enumerate() {
        let mut rest = before.clone();
        after.get(windows.len() - 1 - at).map_or(Ok(()), |later| rest.merge(later))?;
        for change in changes(&column(&reference.with_counts(rest)?, window)?) {
            distances.entry(change.statistic).or_default().push(change.effect);
        }
        before.merge(window)?;
    }
    let variation = |(statistic, distances): (&str, Moments)| {
        let windows = u32::try_from(distances.count()).ok().filter(|n| *n as usize >= FEWEST_WINDOWS)?;
        let (mean, deviation) = distances.mean().zip(distances.standard_deviation())?;
        Some((statistic.to_owned(), Variation { windows, mean, deviation }))
    };
    Ok(distances.into_iter().filter_map(variation).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_windows_say_less_and_too_few_nothing() {
        assert_eq!(windows(400, 100), []);
        assert_eq!(windows(1_050, 200), [0..210, 210..420, 420..630, 630..840, 840..1_050]);
        assert_eq!(windows(1_000_000, 10).len(), MOST_WINDOWS);
        let of = |windows| Variation { windows, mean: 0.02, deviation: 0.01 }.bound();
        assert!((of(1_000) - 0.07).abs() < 1e-3 && of(30) < 0.075 && of(5) > 0.09);
    }

    #[test]
    fn weeks_that_differ_make_a_wider_bound_than_weeks_that_do_not() {
        let week = |week: usize, moves: f64| {
            let shift = moves * ((week as f64 * 0.618_033_988_749_895).fract() - 0.5);
            (0..500).map(move |row| (row as f64 * 0.618_033_988_749_895 + week as f64 * 0.31).fract() + shift)
        };
        let bound = |moves: f64| {
            let values: Vec<f64> = (0..30).flat_map(|at| week(at, moves)).collect();
            let values = Values::Numbers(&values);
            let order: Vec<usize> = (0..values.len()).collect();
            let found = of_column(&values, &values.reference(), &order, &windows(values.len(), 500)).unwrap();
            assert_eq!(found["wasserstein_over_iqr"].windows, 30);
            found["wasserstein_over_iqr"].bound()
        };
        assert!(bound(0.0) < 0.02 && bound(0.3) > 0.25, "{} {}", bound(0.0), bound(0.3));
    }
}

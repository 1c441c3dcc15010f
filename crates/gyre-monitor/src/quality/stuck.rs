//! Columns that varied and stand still.
//!
//! A sensor that hangs repeats its last value; a default that is filled in repeats itself. In a column that was nearly
//! continuous the same value again and again is a mark that no shift of a distribution makes. Three marks, from plain to
//! subtle: nearly all rows hold one value; a run of one value that luck does not make; one value in many more rows than
//! before.

use gyre_stats::profile::NumericReference;

use super::learned::{Learned, longest_run};
use super::{FEWEST_ROWS, LEVEL, percent, sample};

/// The share of rows with one value at which a column stands still.
const STILL: f64 = 0.95;
/// The share above which it stood still before, in a window of training: a month is the same all week.
const STOOD: f64 = 0.5;
/// Where training had no windows, the share of one value in all of it up to which a column is (nearly) continuous, so that
/// no window holds one value.
const CONTINUOUS: f64 = 0.02;
/// The least part of the window that a run must take.
const RUN: f64 = 0.1;
/// How many times longer than the longest run of training a run must be.
const LONGER: u64 = 3;
/// Where training had no order, the part of the window that a run must take.
const RUN_UNKNOWN: f64 = 0.5;
/// By how many points, and how many times, the share of one value must have grown.
const FILLED: (f64, f64) = (0.2, 5.0);

/// A column that stands still.
pub(super) struct Stuck {
    value: f64,
    pub(super) share: f64,
    pub(super) expected: f64,
    pub(super) rows: u64,
    is_run: bool,
}

impl Stuck {
    pub(super) fn words(&self) -> String {
        let how = if self.is_run { "one after another, " } else { "" };
        format!(
            "is {} in {} of the rows, {how}where no value had more than {}",
            self.value,
            percent(self.share),
            percent(self.expected)
        )
    }
}

/// Whether the values, in order of time, stand still.
pub(super) fn stuck(reference: &NumericReference, learned: &Learned, values: &[f64]) -> Option<Stuck> {
    let finite: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    let windows = learned.order.and_then(|order| order.window_top);
    let (usual, bound) = windows.map_or((learned.top, CONTINUOUS), |top| (top, STOOD));
    if finite.len() < FEWEST_ROWS || usual <= 0.0 || usual >= bound {
        return None;
    }
    let (run, of_run) = longest_run(finite.iter().copied());
    let all = finite.len() as f64;
    let sample = sample(&finite);
    let same = sample.chunk_by(|a, b| a == b).max_by_key(|same| same.len())?;
    let (value, share) = (*same.first()?, same.len() as f64 / sample.len() as f64);
    let rows = (share * all).round() as u64;
    let before = share_of(reference, value)?;
    let is_filled = share - before.max(usual) >= FILLED.0 && share >= FILLED.1 * before;
    if share >= STILL || is_filled {
        return Some(Stuck { value, share, expected: usual, rows, is_run: false });
    }
    // A run of k of a value with share p begins at one of n rows with probability n·p^k at most.
    let by_luck = (all.ln() - LEVEL.ln()) / -learned.top.ln();
    let by_order = learned.order.map_or(RUN_UNKNOWN * all, |order| (LONGER * order.run) as f64);
    let bound = by_luck.max(by_order).max(RUN * all).max(FEWEST_ROWS as f64);
    (run as f64 > bound).then_some(Stuck {
        value: of_run,
        share: run as f64 / all,
        expected: usual,
        rows: run,
        is_run: true,
    })
}

/// The share of the reference's bin that `value` falls into: no less than its own.
fn share_of(reference: &NumericReference, value: f64) -> Option<f64> {
    let histogram = reference.histogram();
    let bin = histogram.cuts().partition_point(|cut| *cut < value);
    let all = histogram.moments().count();
    (all > 0).then(|| histogram.counts().get(bin).copied().unwrap_or(0) as f64 / all as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::Values;
    use crate::quality::learned::{in_time, of_column};

    fn smooth(rows: usize) -> Vec<f64> {
        (0..rows).map(|row| (row as f64 * 0.618_033_988_749_895).fract()).collect()
    }

    #[test]
    fn a_sensor_that_hangs_is_found_however_late_it_hangs() {
        let training = smooth(5_000);
        let reference = NumericReference::from_values(&training);
        let values = Values::Numbers(&training);
        let order: Vec<usize> = (0..training.len()).collect();
        let learned = Learned {
            order: Some(in_time(&values, &order, std::slice::from_ref(&(0..1_000)))),
            ..of_column(&values)
        };
        let find = |values: &[f64]| stuck(&reference, &learned, values);
        assert!(find(&smooth(1_000)).is_none());
        let mut late = smooth(1_000);
        late[850..].fill(0.42);
        let found = find(&late).unwrap();
        assert_eq!((found.rows, found.value), (150, 0.42));
        assert!(find(&[0.42; 100]).is_some());
        // Every third row: no run, but a share that no value had.
        let mut filled = smooth(1_000);
        filled.iter_mut().step_by(3).for_each(|value| *value = -1.0);
        assert!((find(&filled).unwrap().share - 0.334).abs() < 1e-9);
    }

    #[test]
    fn what_is_the_same_all_week_is_not_stuck() {
        // A month: three values in training, one in a week.
        let training: Vec<f64> = (0..3_000).map(|row| f64::from(row / 1_000)).collect();
        let reference = NumericReference::from_values(&training);
        let values = Values::Numbers(&training);
        let order: Vec<usize> = (0..training.len()).collect();
        let windows: Vec<_> = (0..12).map(|at| at * 250..(at + 1) * 250).collect();
        let learned = Learned { order: Some(in_time(&values, &order, &windows)), ..of_column(&values) };
        assert!(stuck(&reference, &learned, &[3.0; 250]).is_none());
        // Without windows nobody knows, and a column of few values is given the benefit of the doubt.
        assert!(stuck(&reference, &of_column(&values), &[3.0; 250]).is_none());
    }
}

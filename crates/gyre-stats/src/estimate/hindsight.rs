//! Estimates held against what came true.

use serde::{Deserialize, Serialize};

use super::Expected;
use crate::{moments::Moments, proportion::Proportion};

/// How far the estimates of one metric were off, window by window, once labels had arrived.
///
/// An estimate is only worth its record: a model whose estimates were off by more than a loss that would matter should not be
/// judged by them. And concept drift, which estimates cannot see, shows here first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Hindsight {
    /// Of estimate − realised.
    errors: Moments,
    absolute: Moments,
    inside: u64,
    skipped: u64,
}

impl Hindsight {
    /// No window judged yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in one window: what was expected, what came true, and the level of the interval that it is held against. Numbers
    /// that are not finite are counted in [`skipped`](Self::skipped) only.
    pub fn push(&mut self, expected: &Expected, realised: f64, level: f64) {
        let error = expected.value - realised;
        if !error.is_finite() {
            self.skipped += 1;
            return;
        }
        let interval = expected.interval(level);
        self.errors.push(error);
        self.absolute.push(error.abs());
        self.inside += u64::from(interval.lower <= realised && realised <= interval.upper);
    }

    /// Adds the record of other windows.
    pub fn merge(&mut self, other: &Self) {
        self.errors.merge(&other.errors);
        self.absolute.merge(&other.absolute);
        self.inside += other.inside;
        self.skipped += other.skipped;
    }

    /// Windows judged.
    #[must_use]
    pub fn windows(&self) -> u64 {
        self.errors.count()
    }

    /// Windows that could not be taken in.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Mean distance of estimate and truth, in the metric's unit; `None` before the first window.
    #[must_use]
    pub fn mean_absolute_error(&self) -> Option<f64> {
        self.absolute.mean()
    }

    /// Mean of estimate − truth: positive when estimates are too high; `None` before the first window.
    #[must_use]
    pub fn bias(&self) -> Option<f64> {
        self.errors.mean()
    }

    /// Windows whose truth lay in the interval, of all.
    #[must_use]
    pub fn coverage(&self) -> Proportion {
        Proportion::new(self.inside, self.windows())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_kept_with_and_without_their_sign() {
        let expected = |value| Expected::of_loss(value, 0.3, 0.4, 10);
        let mut record = Hindsight::new();
        assert_eq!((record.mean_absolute_error(), record.coverage().value()), (None, None));
        record.push(&expected(2.0), 1.5, 0.95);
        let mut later = Hindsight::new();
        later.push(&expected(2.0), 3.5, 0.95);
        later.push(&expected(2.0), f64::NAN, 0.95);
        record.merge(&later);
        assert_eq!((record.mean_absolute_error(), record.bias()), (Some(1.0), Some(-0.5)));
        assert_eq!((record.windows(), record.skipped(), record.coverage().value()), (2, 1, Some(0.5)));
    }
}

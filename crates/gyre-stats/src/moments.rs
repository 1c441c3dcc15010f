//! Count, mean, spread and range of a stream of numbers, in one pass and mergeable.

use serde::{Deserialize, Serialize};

/// Sums that are kept side by side, so that one addition need not wait for the last.
const LANES: usize = 8;

/// Running moments of finite numbers.
///
/// Welford's update (1962) and the pairwise merge of Chan, Golub & LeVeque (1983): stable where the textbook
/// sum-of-squares cancels, for example for values near 1e9 with a spread of 1. Where values are so large that squares
/// overflow, the spread saturates and is undefined; everything stays finite.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Moments {
    count: u64,
    mean: f64,
    /// Sum of squared deviations from the mean.
    m2: f64,
    min: Option<f64>,
    max: Option<f64>,
}

impl Moments {
    /// Moments of nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Those of finite values, in two passes: no value waits for the one before it.
    #[must_use]
    pub(crate) fn of(values: &[f64]) -> Self {
        let Some(&first) = values.first() else { return Self::default() };
        let (share, count) = (1.0 / values.len() as f64, values.len() as u64);
        let (min, max) = bounds(values, first);
        let (min, max) = (Some(min), Some(max));
        if min == max {
            // No rounding makes a constant vary.
            return Self { count, mean: first, m2: 0.0, min, max };
        }
        let rough = sum(values, |value| value) * share;
        // Values so large that their sum overflows are divided first.
        let rough = if rough.is_finite() { rough } else { sum(values, |value| value * share) };
        let mean = saturated(rough + sum(values, |value| saturated(value - rough) * share));
        let m2 = sum(values, |value| saturated(value - mean) * saturated(value - mean));
        Self { count, mean, m2: saturated(m2), min, max }
    }

    /// Takes in one value; NaN and infinities are ignored (the caller counts them where they matter).
    #[inline]
    pub fn push(&mut self, value: f64) {
        if !value.is_finite() {
            return;
        }
        self.count += 1;
        let before = saturated(value - self.mean);
        self.mean += before / self.count as f64;
        self.m2 = saturated(self.m2 + before * (value - self.mean));
        // Both are rarely moved, and then a jump costs less than what it skips.
        if self.min.is_none_or(|min| value < min) {
            self.min = Some(value);
        }
        if self.max.is_none_or(|max| value > max) {
            self.max = Some(value);
        }
    }

    /// Adds the moments of other, disjoint values.
    pub fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            self.clone_from(other);
            return;
        }
        let (a, b) = (self.count as f64, other.count as f64);
        let apart = saturated(other.mean - self.mean);
        self.mean += apart * (b / (a + b));
        self.m2 = saturated(self.m2 + other.m2 + apart * apart * (a * b / (a + b)));
        self.count += other.count;
        self.min = self.min.zip(other.min).map(|(a, b)| a.min(b));
        self.max = self.max.zip(other.max).map(|(a, b)| a.max(b));
    }

    /// Those of the same values with the opposite sign: losses as rewards.
    #[must_use]
    pub fn negated(&self) -> Self {
        Self {
            count: self.count,
            mean: -self.mean,
            m2: self.m2,
            min: self.max.map(|max| -max),
            max: self.min.map(|min| -min),
        }
    }

    /// How many finite values were taken in.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Arithmetic mean; `None` without values.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then_some(self.mean)
    }

    /// Unbiased sample variance (n − 1); `None` below two values and where it overflows.
    #[must_use]
    pub fn variance(&self) -> Option<f64> {
        (self.count > 1 && self.m2 < f64::MAX).then(|| (self.m2 / (self.count - 1) as f64).max(0.0))
    }

    /// Square root of [`variance`](Self::variance).
    #[must_use]
    pub fn standard_deviation(&self) -> Option<f64> {
        self.variance().map(f64::sqrt)
    }

    /// Standard error of the mean for independent values; `None` below two values.
    #[must_use]
    pub fn standard_error(&self) -> Option<f64> {
        self.variance().map(|variance| (variance / self.count as f64).sqrt())
    }

    /// Smallest value; `None` without values.
    #[must_use]
    pub fn min(&self) -> Option<f64> {
        self.min
    }

    /// Largest value; `None` without values.
    #[must_use]
    pub fn max(&self) -> Option<f64> {
        self.max
    }

    /// Sum of squared deviations from the mean.
    pub(crate) fn squared_deviations(&self) -> f64 {
        self.m2
    }
}

/// The nearest finite number.
///
/// Nearly always that is the number itself, which a jump that is foreseen gives sooner than two comparisons in a row.
#[inline]
pub(crate) fn saturated(value: f64) -> f64 {
    if value.is_finite() { value } else { value.clamp(f64::MIN, f64::MAX) }
}

/// The smallest and the largest of values, `first` among them.
fn bounds(values: &[f64], first: f64) -> (f64, f64) {
    let lower = |least: f64, value: f64| if value < least { value } else { least };
    let upper = |most: f64, value: f64| if value > most { value } else { most };
    let (mut least, mut most) = ([first; LANES], [first; LANES]);
    let (whole, rest) = values.as_chunks::<LANES>();
    for chunk in whole {
        for ((least, most), value) in least.iter_mut().zip(&mut most).zip(chunk) {
            (*least, *most) = (lower(*least, *value), upper(*most, *value));
        }
    }
    let both = |values: &[f64], best: &dyn Fn(f64, f64) -> f64| values.iter().copied().fold(first, best);
    (lower(both(&least, &lower), both(rest, &lower)), upper(both(&most, &upper), both(rest, &upper)))
}

/// The sum of `of` over all values.
pub(crate) fn sum(values: &[f64], of: impl Fn(f64) -> f64) -> f64 {
    let mut lanes = [0.0; LANES];
    let (whole, rest) = values.as_chunks::<LANES>();
    for chunk in whole {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += of(*value);
        }
    }
    lanes.iter().sum::<f64>() + rest.iter().map(|value| of(*value)).sum::<f64>()
}

impl Extend<f64> for Moments {
    fn extend<I: IntoIterator<Item = f64>>(&mut self, values: I) {
        for value in values {
            self.push(value);
        }
    }
}

impl FromIterator<f64> for Moments {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut moments = Self::new();
        moments.extend(values);
        moments
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn undefined_is_none() {
        let nothing = Moments::new();
        assert_eq!((nothing.mean(), nothing.variance(), nothing.min()), (None, None, None));
        let one: Moments = [3.0].into_iter().collect();
        assert_eq!((one.mean(), one.variance(), one.standard_error()), (Some(3.0), None, None));
    }

    #[test]
    fn a_large_offset_does_not_cancel() {
        let far: Moments = [1e9 + 1.0, 1e9 + 2.0, 1e9 + 3.0].into_iter().collect();
        assert_eq!(far.variance(), Some(1.0));
    }

    #[test]
    fn the_largest_numbers_stay_finite() {
        let mut huge: Moments = [f64::MAX, f64::MIN, f64::MAX].into_iter().collect();
        huge.merge(&huge.clone());
        assert!(huge.mean().unwrap().is_finite());
        assert_eq!((huge.variance(), huge.max()), (None, Some(f64::MAX)));
    }

    proptest! {
        #![proptest_config(crate::seeded())]

        #[test]
        fn merge_equals_one_pass(values in prop::collection::vec(-1e6..1e6f64, 0..60), cut in 0usize..60) {
            let cut = cut.min(values.len());
            let whole: Moments = values.iter().copied().collect();
            let mut left: Moments = values[..cut].iter().copied().collect();
            left.merge(&values[cut..].iter().copied().collect());
            prop_assert_eq!(left.count(), whole.count());
            prop_assert_eq!(left.min(), whole.min());
            prop_assert_eq!(left.max(), whole.max());
            prop_assert!((left.mean - whole.mean).abs() <= 1e-9 * (1.0 + whole.mean.abs()));
            prop_assert!((left.m2 - whole.m2).abs() <= 1e-9 * (1.0 + whole.m2));
        }
    }
}

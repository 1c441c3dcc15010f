//! Moments up to the third of many numbers at once: mean, spread, range and skewness, mergeable.
//!
//! Whoever has a whole batch of values can do better than value by value: passes over the batch are quicker and more exact, and
//! only batches are merged, by the formulas of Chan, Golub & LeVeque (1983) and, for the third moment, Pébay (2008, Sandia report
//! SAND2008-6212).

use serde::{Deserialize, Serialize};

use crate::moments::{Moments, saturated, sum};

/// Moments of finite numbers with the third one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Shape {
    #[serde(flatten)]
    moments: Moments,
    /// Sum of cubed deviations from the mean.
    m3: f64,
}

impl Shape {
    /// Moments of nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Moments of a batch; NaN and infinities are ignored (the caller counts them where they matter).
    #[must_use]
    pub fn of(values: &[f64]) -> Self {
        if !values.iter().all(|value| value.is_finite()) {
            let finite: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
            return Self::of(&finite);
        }
        let moments = Moments::of(values);
        let Some(mean) = moments.mean().filter(|_| moments.min() < moments.max()) else {
            return Self { moments, m3: 0.0 };
        };
        let m3 = sum(values, |value| saturated(value - mean).powi(3));
        // Infinities of both signs add up to NaN.
        Self { moments, m3: if m3.is_nan() { f64::MAX } else { saturated(m3) } }
    }

    /// Adds the moments of other, disjoint values.
    pub fn merge(&mut self, other: &Self) {
        if other.count() == 0 {
            return;
        }
        if self.count() == 0 {
            self.clone_from(other);
            return;
        }
        let (a, b) = (self.count() as f64, other.count() as f64);
        let n = a + b;
        let means = self.moments.mean().zip(other.moments.mean());
        let apart = means.map_or(0.0, |(ours, theirs)| saturated(theirs - ours));
        let (ours, theirs) = (self.moments.squared_deviations(), other.moments.squared_deviations());
        let third =
            apart.powi(3) * (a / n) * (b / n) * (a - b) + 3.0 * apart * (a / n * theirs - b / n * ours);
        let m3 = self.m3 + other.m3 + third;
        self.m3 = if m3.is_nan() { f64::MAX } else { saturated(m3) };
        self.moments.merge(&other.moments);
    }

    /// Count, mean, spread and range.
    #[must_use]
    pub fn moments(&self) -> &Moments {
        &self.moments
    }

    /// How many finite values were taken in.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.moments.count()
    }

    /// Skewness, adjusted for the size of the sample (`G1` of Joanes & Gill 1998, as pandas and spreadsheets have it).
    ///
    /// `None` below three values, for constant ones, and where the sums overflow.
    #[must_use]
    pub fn skewness(&self) -> Option<f64> {
        let n = self.count() as f64;
        let m2 = self.moments.squared_deviations();
        if n < 3.0 || m2 <= 0.0 || m2 >= f64::MAX || self.m3.abs() >= f64::MAX {
            return None;
        }
        let plain = (self.m3 / n) / (m2 / n).powf(1.5);
        Some(plain * (n * (n - 1.0)).sqrt() / (n - 2.0)).filter(|skewness| skewness.is_finite())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn skewness_is_that_of_pandas() {
        // pandas.Series([2, 8, 0, 4, 1, 9, 9, 0]).skew()
        let skewness = Shape::of(&[2.0, 8.0, 0.0, 4.0, 1.0, 9.0, 9.0, 0.0]).skewness().unwrap();
        assert!((skewness - 0.330_582_180_407_974_7).abs() < 1e-12, "{skewness}");
        let far: Vec<f64> = [2.0, 8.0, 0.0, 4.0, 1.0, 9.0, 9.0, 0.0].map(|value| value + 1e9).to_vec();
        assert!((Shape::of(&far).skewness().unwrap() - skewness).abs() < 1e-6);
    }

    #[test]
    fn undefined_is_none_and_nothing_is_too_large() {
        assert_eq!(Shape::of(&[]), Shape::new());
        assert_eq!(Shape::of(&[0.1; 999]).moments().variance(), Some(0.0));
        assert_eq!(Shape::of(&[f64::NAN, f64::INFINITY]).count(), 0);
        for values in
            [&[1.0, 2.0][..], &[5.0; 100], &[f64::MAX, f64::MIN, f64::MAX, 0.0], &[1e200, -1e200, 3e200]]
        {
            let mut shape = Shape::of(values);
            shape.merge(&shape.clone());
            assert_eq!(Shape::of(values).skewness(), None, "{values:?}");
            assert!(shape.moments().mean().unwrap().is_finite(), "{values:?}");
            let stored = serde_json::to_string(&shape).unwrap();
            assert_eq!(serde_json::from_str::<Shape>(&stored).unwrap(), shape, "{stored}");
        }
    }

    proptest! {
        #![proptest_config(crate::seeded())]

        #[test]
        fn merge_equals_one_batch(values in prop::collection::vec(-1e3..1e3f64, 0..80), cut in 0usize..80) {
            let cut = cut.min(values.len());
            let whole = Shape::of(&values);
            let mut left = Shape::of(&values[..cut]);
            left.merge(&Shape::of(&values[cut..]));
            let one_by_one: Moments = values.iter().copied().collect();
            prop_assert_eq!(left.count(), whole.count());
            prop_assert_eq!(whole.moments().min(), one_by_one.min());
            for (a, b) in [
                (left.moments().mean(), one_by_one.mean()),
                (left.moments().variance(), one_by_one.variance()),
                (whole.moments().variance(), one_by_one.variance()),
                (left.skewness(), whole.skewness()),
            ] {
                prop_assert_eq!(a.is_some(), b.is_some());
                let (a, b) = (a.unwrap_or(0.0), b.unwrap_or(0.0));
                prop_assert!((a - b).abs() <= 1e-8 * (1.0 + a.abs()), "{} {}", a, b);
            }
        }
    }
}

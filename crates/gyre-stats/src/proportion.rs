//! Proportions: their intervals, their differences, their ratios, and whether two of them differ.
//!
//! Every rate in monitoring and fairness is `successes / trials`, and most go wrong at the same place: few trials, or a
//! rate near 0 or 1, where the textbook `p ± 1.96·√(p(1−p)/n)` leaves `[0, 1]` or has width zero. The methods here hold
//! there. Newcombe (1998) compares eleven of them; his recommendations are followed.

use serde::{Deserialize, Serialize};

use crate::special::{normal_critical, normal_upper};

/// An interval for an unknown quantity.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub lower: f64,
    /// Upper end.
    pub upper: f64,
    /// Coverage that the method aims at, for example 0.95.
    pub level: f64,
}

/// `successes` out of `trials`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proportion {
    successes: u64,
    trials: u64,
}

impl Proportion {
    /// `successes` out of `trials`; more successes than trials are cut to `trials`.
    #[must_use]
    pub fn new(successes: u64, trials: u64) -> Self {
        Self { successes: successes.min(trials), trials }
    }

    /// Number of successes.
    #[must_use]
    pub fn successes(self) -> u64 {
        self.successes
    }

    /// Number of trials.
    #[must_use]
    pub fn trials(self) -> u64 {
        self.trials
    }

    /// Number of failures.
    #[must_use]
    pub fn failures(self) -> u64 {
        self.trials - self.successes
    }

    /// `successes / trials`; `None` without trials.
    #[must_use]
    pub fn value(self) -> Option<f64> {
        (self.trials > 0).then(|| self.successes as f64 / self.trials as f64)
    }

    /// Wilson's score interval (1927) at `level`; `None` without trials.
    #[must_use]
    pub fn wilson(self, level: f64) -> Option<Interval> {
        let p = self.value()?;
        let n = self.trials as f64;
        let z2 = normal_critical(level).powi(2);
        let centre = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
        let half = (z2 * (p * (1.0 - p) / n + z2 / (4.0 * n * n))).sqrt() / (1.0 + z2 / n);
        // At 0 and n successes the end is exactly 0 or 1; rounding must not say otherwise.
        let lower = if self.successes == 0 { 0.0 } else { (centre - half).max(0.0) };
        let upper = if self.failures() == 0 { 1.0 } else { (centre + half).min(1.0) };
        Some(Interval { lower, upper, level })
    }
}

/// Newcombe's hybrid score interval for `a − b` (1998, method 10); `None` when either has no trials.
#[must_use]
pub fn newcombe_difference(a: Proportion, b: Proportion, level: f64) -> Option<Interval> {
    let (p, q) = (a.value()?, b.value()?);
    let (wide_a, wide_b) = (a.wilson(level)?, b.wilson(level)?);
    Some(Interval {
        lower: (p - q) - (p - wide_a.lower).hypot(wide_b.upper - q),
        upper: (p - q) + (wide_a.upper - p).hypot(q - wide_b.lower),
        level,
    })
}

/// Katz' log interval for the ratio `a / b` (1978); `None` when either has no successes, where the logarithm ends.
#[must_use]
pub fn katz_ratio(a: Proportion, b: Proportion, level: f64) -> Option<Interval> {
    if a.successes == 0 || b.successes == 0 {
        return None;
    }
    let ratio = a.value()? / b.value()?;
    let part = |p: Proportion| 1.0 / p.successes as f64 - 1.0 / p.trials as f64;
    let half = normal_critical(level) * (part(a) + part(b)).sqrt();
    Some(Interval { lower: ratio * (-half).exp(), upper: ratio * half.exp(), level })
}

/// Two-sided p-value that two proportions are equal; `None` when either has no trials.
///
/// Fisher's exact test where an expected count is below 5 (Cochran's rule), otherwise the pooled z test.
#[must_use]
pub fn two_proportion_p(a: Proportion, b: Proportion) -> Option<f64> {
    if a.trials == 0 || b.trials == 0 {
        return None;
    }
    let (n, m) = (a.trials as f64, b.trials as f64);
    let successes = a.successes as f64 + b.successes as f64;
    let failures = n + m - successes;
    let smallest_expected = n.min(m) * successes.min(failures) / (n + m);
    if smallest_expected < 5.0 {
        return Some(fisher_exact_p(a, b));
    }
    let pooled = successes / (n + m);
    let z = (a.value()? - b.value()?) / (pooled * (1.0 - pooled) * (1.0 / n + 1.0 / m)).sqrt();
    Some((2.0 * normal_upper(z.abs())).min(1.0))
}

/// Fisher's exact two-sided p-value of the 2×2 table that two proportions form.
///
/// Sums the hypergeometric weights that are no more likely than the observed table. Weights come from their ratios,
/// outward from the mode, so that large tables neither overflow nor lose digits. Without evidence either way it is 1.
#[must_use]
pub fn fisher_exact_p(a: Proportion, b: Proportion) -> f64 {
    let weights = hypergeometric(a, b);
    let observed = a.successes as f64;
    let of_observed = weights.iter().find(|(x, _)| *x == observed).map_or(0.0, |(_, weight)| *weight);
    // Tables that are equally likely must count as such in spite of rounding.
    let limit = of_observed * (1.0 + 1e-9);
    let total: f64 = weights.iter().map(|(_, weight)| weight).sum();
    let extreme: f64 = weights.iter().map(|(_, weight)| weight).filter(|weight| **weight <= limit).sum();
    (extreme / total).min(1.0)
}

/// Fisher's exact one-sided p-value that the rate of `b` is no higher than that of `a`: how probable it is that `b` has as
/// many of all successes as it has, or more.
#[must_use]
pub fn fisher_higher_p(a: Proportion, b: Proportion) -> f64 {
    let weights = hypergeometric(a, b);
    let observed = a.successes as f64;
    let total: f64 = weights.iter().map(|(_, weight)| weight).sum();
    let extreme: f64 = weights.iter().filter(|(x, _)| *x <= observed).map(|(_, weight)| weight).sum();
    (extreme / total).min(1.0)
}

/// The hypergeometric distribution of `a`'s successes, given the margins of the table: values and weights relative to the
/// mode's, outward from it until they vanish.
fn hypergeometric(a: Proportion, b: Proportion) -> Vec<(f64, f64)> {
    let (n, m) = (a.trials as f64, b.trials as f64);
    let successes = a.successes as f64 + b.successes as f64;
    let lowest = (successes - m).max(0.0);
    let highest = n.min(successes);
    let mode = (((n + 1.0) * (successes + 1.0)) / (n + m + 2.0)).floor().clamp(lowest, highest);

    // weight(x + 1) / weight(x).
    let step = |x: f64| (n - x) * (successes - x) / ((x + 1.0) * (m - successes + x + 1.0));
    let mut weights = vec![(mode, 1.0_f64)];
    let (mut x, mut weight) = (mode, 1.0);
    while x < highest && weight > 0.0 {
        weight *= step(x);
        x += 1.0;
        weights.push((x, weight));
    }
    (x, weight) = (mode, 1.0);
    while x > lowest && weight > 0.0 {
        x -= 1.0;
        weight /= step(x);
        weights.push((x, weight));
    }
    weights
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn without_trials_there_is_no_rate() {
        let none = Proportion::new(0, 0);
        let some = Proportion::new(1, 2);
        assert_eq!((none.value(), none.wilson(0.95)), (None, None));
        assert_eq!((newcombe_difference(none, some, 0.95), katz_ratio(some, none, 0.95)), (None, None));
        assert_eq!(two_proportion_p(none, some), None);
    }

    #[test]
    fn equal_certain_rates_are_no_evidence() {
        assert_eq!(two_proportion_p(Proportion::new(0, 50), Proportion::new(0, 70)), Some(1.0));
        assert_eq!(two_proportion_p(Proportion::new(50, 50), Proportion::new(70, 70)), Some(1.0));
    }

    #[test]
    fn the_higher_of_two_rates_is_told_from_the_lower() {
        // scipy.stats.fisher_exact([[1, 9], [6, 4]], alternative="less") and "greater".
        let (a, b) = (Proportion::new(1, 10), Proportion::new(6, 10));
        assert!((fisher_higher_p(a, b) - 0.028_637_770_897_832_82).abs() < 1e-12);
        assert!((fisher_higher_p(b, a) - 0.998_452_012_383_900_9).abs() < 1e-12);
    }

    #[test]
    fn a_huge_table_is_fast_and_finite() {
        let p = fisher_exact_p(Proportion::new(500_000, 1_000_000), Proportion::new(500_400, 1_000_000));
        assert!(p > 0.5 && p < 0.6, "{p}");
        assert!(
            fisher_exact_p(Proportion::new(0, 1_000_000), Proportion::new(1_000_000, 1_000_000)) < 1e-300
        );
    }

    proptest! {
        #![proptest_config(crate::seeded())]

        #[test]
        fn intervals_hold_their_estimate(a in 0u64..200, n in 1u64..200, b in 0u64..200, m in 1u64..200) {
            let (a, b) = (Proportion::new(a, n), Proportion::new(b, m));
            let (p, q) = (a.value().unwrap(), b.value().unwrap());
            let wilson = a.wilson(0.95).unwrap();
            prop_assert!(0.0 <= wilson.lower && wilson.lower <= p && p <= wilson.upper && wilson.upper <= 1.0);
            let newcombe = newcombe_difference(a, b, 0.95).unwrap();
            prop_assert!(-1.0 - 1e-12 <= newcombe.lower && newcombe.lower <= p - q + 1e-12);
            prop_assert!(p - q - 1e-12 <= newcombe.upper && newcombe.upper <= 1.0 + 1e-12);
            let p_value = two_proportion_p(a, b).unwrap();
            prop_assert!((0.0..=1.0).contains(&p_value));
            prop_assert!((p_value - two_proportion_p(b, a).unwrap()).abs() < 1e-9);
        }
    }
}

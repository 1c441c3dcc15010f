//! How far values moved, with an interval: Wasserstein-1 and what of it is luck.
//!
//! The distance of two samples is never 0, even without drift: like every distance it is biased upward, by up to what luck
//! alone shows. An effect size that goes into a decision needs that figure and an interval beside it.

use serde::{Deserialize, Serialize};

use super::{Sorted, pooled::walk};
use crate::{proportion::Interval, special::normal_critical};

/// The Wasserstein-1 distance of the finite values of two samples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shift {
    /// The distance, in the unit that was asked for.
    pub distance: f64,
    /// What two samples of these sizes show on average without drift, about: √(2/π)·√(1/n + 1/m)·∫√(H(1 − H)), where H
    /// is the distribution of both together.
    pub by_luck: f64,
    /// Interval for the distance of the two distributions. Wide: luck is taken off its lower end, though real
    /// drift leaves less room for it, and its upper end keeps it.
    pub interval: Interval,
}

/// Measures how far `current` moved from `reference` in multiples of `unit`, with an interval at `level`.
///
/// A usual unit is the reference's [interquartile range](Sorted::interquartile_range); 1 keeps the values' own. It is taken
/// as given: the interval does not cover its sampling error. `None` without two finite values on both sides, where `unit`
/// is not positive and finite, and where a result overflows.
///
/// The standard error is that of the limiting normal distribution for different distributions, the variance of
/// φ(x) = ∫ˣ sign(F − G) over either sample (del Barrio, Giné & Matrán 1999, "Central limit theorems for the Wasserstein
/// distance between the empirical and the true distributions"); it wants a finite variance of the values.
#[must_use]
pub fn shift(reference: &Sorted, current: &Sorted, unit: f64, level: f64) -> Option<Shift> {
    let (a, b) = (reference.finite(), current.finite());
    let (n, m) = (a.len() as f64, b.len() as f64);
    if n < 2.0 || m < 2.0 || !(unit > 0.0 && unit.is_finite()) {
        return None;
    }
    let (mut distance, mut luck, mut turned) = (0.0, 0.0, 0.0_f64);
    // Sums of φ and φ² over either sample.
    let (mut of_a, mut of_b) = ([0.0; 2], [0.0; 2]);
    walk(a, b, |step| {
        for (sums, times) in [(&mut of_a, step.of_a), (&mut of_b, step.of_b)] {
            sums[0] += times * turned;
            sums[1] += times * turned * turned;
        }
        if let Some(next) = step.next {
            let width = (next - step.value) / unit;
            let apart = step.below_a / n - step.below_b / m;
            let pooled = (step.below_a + step.below_b) / (n + m);
            distance += apart.abs() * width;
            luck += (pooled * (1.0 - pooled)).max(0.0).sqrt() * width;
            if apart != 0.0 {
                turned += width * apart.signum();
            }
        }
    });
    let squared_error =
        |sums: [f64; 2], rows: f64| (sums[1] - sums[0] * sums[0] / rows) / (rows - 1.0) / rows;
    let variance = squared_error(of_a, n) + squared_error(of_b, m);
    let half = normal_critical(level) * variance.max(0.0).sqrt();
    let by_luck = (2.0 / std::f64::consts::PI * (1.0 / n + 1.0 / m)).sqrt() * luck;
    let interval = Interval { lower: (distance - by_luck - half).max(0.0), upper: distance + half, level };
    let finite = [variance, by_luck, interval.upper].iter().all(|value| value.is_finite());
    finite.then_some(Shift { distance, by_luck, interval })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_divides_everything() {
        let a = Sorted::new(&(0..200).map(f64::from).collect::<Vec<_>>());
        let b = Sorted::new(&(0..300).map(|i| f64::from(i) + 400.0).collect::<Vec<_>>());
        let (plain, tenth) = (shift(&a, &b, 1.0, 0.95).unwrap(), shift(&a, &b, 10.0, 0.95).unwrap());
        assert!((plain.distance - 450.0).abs() < 1e-9, "{}", plain.distance);
        for (one, ten) in [
            (plain.distance, tenth.distance),
            (plain.by_luck, tenth.by_luck),
            (plain.interval.lower, tenth.interval.lower),
            (plain.interval.upper, tenth.interval.upper),
        ] {
            assert!((one - 10.0 * ten).abs() < 1e-9);
        }
        assert!(plain.interval.lower > 300.0 && plain.interval.upper > 450.0);
    }

    #[test]
    fn nothing_to_measure_with_is_none() {
        let (one, two) = (Sorted::new(&[1.0]), Sorted::new(&[1.0, 2.0]));
        assert_eq!((shift(&one, &two, 1.0, 0.95), shift(&two, &two, 0.0, 0.95)), (None, None));
        assert_eq!(shift(&Sorted::new(&[f64::MIN, f64::MAX]), &two, 1.0, 0.95), None);
        assert_eq!(shift(&two, &two, 1.0, 0.95).unwrap().interval.lower, 0.0);
    }
}

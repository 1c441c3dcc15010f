//! The Kolmogorov–Smirnov two-sample test of raw samples, with each of the p-values in use.
//!
//! | p-value | what it is | when it errs |
//! | --- | --- | --- |
//! | [`p_exact`](Smirnov::p_exact) | counts the orders of n and m distinct values | conservative with ties |
//! | [`p_asymptotic`](Smirnov::p_asymptotic) | the one-sample distribution of nm/(n+m) rows | a few per cent, in small samples |
//! | [`p_limit`](Smirnov::p_limit) | Kolmogorov's limit | conservative below some hundred rows |

use serde::{Deserialize, Serialize};

use super::{Pooled, kolmogorov::kolmogorov_upper_of_rows, lattice};

/// Rows of the larger sample up to which the exact p-value is worked out (that of scipy).
pub const EXACT_UP_TO: u64 = 10_000;

/// Largest least common multiple of the sample sizes for which it is, likewise.
const LARGEST_COMMON_MULTIPLE: f64 = i32::MAX as f64;

/// The exact p-value is at most e·exp(−2·nm/(n+m)·D²) (Wei & Dudley 2012, "Two-sample Dvoretzky–Kiefer–Wolfowitz
/// inequalities"); beyond this exponent it is below the smallest double, e⁻⁷⁴⁵, with some to spare.
const BELOW_ALL_DOUBLES: f64 = 760.0;

/// Two-sample Kolmogorov–Smirnov statistic of raw samples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Smirnov {
    /// Largest distance between the two distribution functions, in 0..=1.
    pub statistic: f64,
    /// The value at which they are so far apart; may be infinite, when the samples hold infinities.
    pub location: f64,
    /// 1 where the reference has the larger share at or below the location, −1 where the current sample has.
    pub sign: i8,
    n: u64,
    m: u64,
}

impl Pooled {
    /// Kolmogorov–Smirnov statistic of all values; infinities are the smallest and the largest of them.
    #[must_use]
    pub fn kolmogorov_smirnov(&self) -> Smirnov {
        self.all.smirnov()
    }

    /// The same of the finite values only; `None` without any on either side.
    #[must_use]
    pub fn kolmogorov_smirnov_of_finite(&self) -> Option<Smirnov> {
        self.both().then(|| self.finite.smirnov())
    }
}

impl Smirnov {
    /// P-value by Kolmogorov's limit, √(nm/(n+m))·D (Smirnov 1939).
    #[must_use]
    pub fn p_limit(&self) -> f64 {
        let (n, m) = (self.n as f64, self.m as f64);
        crate::special::kolmogorov_upper((n * m / (n + m)).sqrt() * self.statistic)
    }

    /// P-value by the distribution of the one-sample statistic with round(nm/(n+m)) rows, as scipy has it.
    #[must_use]
    pub fn p_asymptotic(&self) -> f64 {
        let (large, small) = (self.n.max(self.m) as f64, self.n.min(self.m) as f64);
        let rows = (large * small / (large + small)).round_ties_even();
        kolmogorov_upper_of_rows(rows, self.statistic)
    }

    /// Exact p-value for distinct values (Hodges 1957); `None` where it is not worked out: above [`EXACT_UP_TO`] rows, and
    /// where the least common multiple of the sizes exceeds 2³¹ − 1.
    ///
    /// Takes time in proportion to the product of the sizes times the statistic, two tenths of a second at the worst; what is
    /// below the smallest double is 0 at once.
    #[must_use]
    pub fn p_exact(&self) -> Option<f64> {
        let divisor = common_divisor(self.n, self.m);
        let (steps_n, steps_m) = ((self.n / divisor) as f64, (self.m / divisor) as f64);
        if self.n.max(self.m) > EXACT_UP_TO || steps_n >= LARGEST_COMMON_MULTIPLE / steps_m {
            return None;
        }
        let (n, m) = (self.n as f64, self.m as f64);
        if 2.0 * n * m / (n + m) * self.statistic.powi(2) > BELOW_ALL_DOUBLES {
            return Some(0.0);
        }
        let common = self.n / divisor * self.m;
        let height = (self.statistic * common as f64).round_ties_even() as u64;
        Some(lattice::p_of_height(self.n, self.m, height))
    }

    /// The exact p-value where it is worked out, the asymptotic one elsewhere.
    #[must_use]
    pub fn p_value(&self) -> f64 {
        self.p_exact().unwrap_or_else(|| self.p_asymptotic())
    }
}

pub(super) fn common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

/// How far the distribution functions are apart in either direction, as the values pass by in order.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Extremes {
    n: f64,
    m: f64,
    above: Extreme,
    below: Extreme,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Extreme {
    /// n·m times the distance, an exact integer.
    steps: f64,
    /// The distance.
    apart: f64,
    location: f64,
    /// Whether the reference holds the location.
    in_reference: bool,
}

impl Extremes {
    pub(super) fn new(n: f64, m: f64) -> Self {
        let none = Extreme {
            steps: f64::NEG_INFINITY,
            apart: f64::NEG_INFINITY,
            location: 0.0,
            in_reference: false,
        };
        Self { n, m, above: none, below: none }
    }

    /// Takes in a distinct value with how many of either sample are at or below it, and whether the reference holds it.
    pub(super) fn step(&mut self, value: f64, i: f64, j: f64, in_reference: bool) {
        let steps = self.m * i - self.n * j;
        if steps >= self.above.steps {
            self.above.offer(steps, i / self.n - j / self.m, value, in_reference);
        }
        if -steps >= self.below.steps {
            self.below.offer(-steps, -(i / self.n - j / self.m), value, in_reference);
        }
    }

    fn smirnov(&self) -> Smirnov {
        let lower = self.below.apart > self.above.apart;
        let (extreme, sign) = if lower { (self.below, -1) } else { (self.above, 1) };
        let statistic = extreme.apart.clamp(0.0, 1.0);
        Smirnov { statistic, location: extreme.location, sign, n: self.n as u64, m: self.m as u64 }
    }
}

impl Extreme {
    /// Of equal distances the one at a value of the reference is kept, then the one at the smaller value.
    fn offer(&mut self, steps: f64, apart: f64, location: f64, in_reference: bool) {
        let preferred = apart == self.apart && in_reference && !self.in_reference;
        if apart > self.apart || preferred {
            *self = Self { steps: steps.max(self.steps), apart, location, in_reference };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Sorted;
    use super::*;

    fn test(reference: &[f64], current: &[f64]) -> Smirnov {
        Pooled::new(&Sorted::new(reference), &Sorted::new(current)).unwrap().kolmogorov_smirnov()
    }

    #[test]
    fn the_largest_gap_is_placed_and_signed() {
        let found = test(&[1.0, 2.0, 3.0, 6.0], &[2.5, 4.0, 5.0, 7.0]);
        assert_eq!((found.statistic, found.location, found.sign), (0.5, 2.0, 1));
        let found = test(&[4.0, 5.0], &[1.0, 2.0]);
        assert_eq!((found.statistic, found.location, found.sign), (1.0, 2.0, -1));
    }

    #[test]
    fn small_samples_by_hand() {
        // Of the C(4, 2) = 6 orders, two are separated.
        let separated = test(&[1.0, 2.0], &[3.0, 4.0]);
        assert!((separated.p_exact().unwrap() - 2.0 / 6.0).abs() < 1e-12);
        // Of the C(5, 2) = 10 orders of 2 and 3 values, two are separated.
        let unequal = test(&[1.0, 2.0], &[3.0, 4.0, 5.0]);
        assert!((unequal.p_exact().unwrap() - 0.2).abs() < 1e-12);
        assert_eq!(test(&[1.0], &[1.0]).p_exact(), Some(1.0));
        assert_eq!(test(&[1.0], &[2.0]).p_exact(), Some(1.0));
    }

    #[test]
    fn large_samples_fall_back() {
        let many: Vec<f64> = (0..10_001).map(f64::from).collect();
        let found = test(&many, &[0.5, 3.5]);
        assert_eq!(found.p_exact(), None);
        assert_eq!(found.p_value(), found.p_asymptotic());
    }
}

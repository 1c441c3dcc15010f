//! Tests of a shift and of a change of spread: fewer questions than "any difference?", so more power for those.

use serde::{Deserialize, Serialize};

use super::{Pooled, Sorted, sorted::Centre};
use crate::special::{normal_upper, student_upper};

/// A test by Student's t.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Welch {
    /// t; positive where the reference has the larger mean.
    pub statistic: f64,
    /// Degrees of freedom (Welch–Satterthwaite), rarely whole.
    pub degrees_of_freedom: f64,
    /// Two-sided p-value.
    pub p_value: f64,
}

/// A test of equal spread.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BrownForsythe {
    /// F with 1 and n + m − 2 degrees of freedom.
    pub statistic: f64,
    /// P-value.
    pub p_value: f64,
}

/// A rank-sum test.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MannWhitney {
    /// U of the reference: the pairs in which its value is larger, ties counting half.
    pub statistic: f64,
    /// U over the number of pairs: the probability that a row of the reference is above a current one, ½ without drift.
    /// An effect size by itself (the area under the curve).
    pub superiority: f64,
    /// Two-sided p-value.
    pub p_value: f64,
}

/// Welch's test that two means are equal, variances unknown and unequal (Welch 1947), on the finite values.
///
/// `None` unless both sides have two finite values, and where neither varies: there is no yardstick then.
#[must_use]
pub fn welch(reference: &Sorted, current: &Sorted) -> Option<Welch> {
    let (a, b) = (Centre::of(reference.finite())?, Centre::of(current.finite())?);
    let unit = a.unit.max(b.unit);
    let error = |side: &Centre| (side.count > 1.0).then(|| side.squared_error() * (side.unit / unit).powi(2));
    let (error_a, error_b) = (error(&a)?, error(&b)?);
    // Origins first: they cancel exactly where the offset is large.
    let difference = ((a.origin - b.origin) + (a.offset - b.offset)) / unit;
    let statistic = difference / (error_a + error_b).sqrt();
    let degrees_of_freedom = (error_a + error_b).powi(2)
        / (error_a * error_a / (a.count - 1.0) + error_b * error_b / (b.count - 1.0));
    (statistic.is_finite() && degrees_of_freedom.is_finite()).then(|| Welch {
        statistic,
        degrees_of_freedom,
        p_value: (2.0 * student_upper(statistic.abs(), degrees_of_freedom)).min(1.0),
    })
}

/// Brown & Forsythe's test that two spreads are equal (1974): Levene's, about the medians, on the finite values.
///
/// `None` unless both sides have a finite value and together three, and where deviations from the median do not vary
/// within either side.
#[must_use]
pub fn brown_forsythe(reference: &Sorted, current: &Sorted) -> Option<BrownForsythe> {
    let deviations = |side: &Sorted| {
        let median = side.quantile(0.5)?;
        Centre::of(&side.finite().iter().map(|value| (value - median).abs()).collect::<Vec<_>>())
    };
    let (a, b) = (deviations(reference)?, deviations(current)?);
    let unit = a.unit.max(b.unit);
    let squares = |side: &Centre| side.squares * (side.unit / unit).powi(2);
    let freedom = a.count + b.count - 2.0;
    let difference = ((a.origin - b.origin) + (a.offset - b.offset)) / unit;
    let between = difference * difference * (a.count * b.count / (a.count + b.count));
    let statistic = freedom * between / (squares(&a) + squares(&b));
    (freedom > 0.0 && statistic.is_finite()).then(|| BrownForsythe {
        statistic,
        // F with one degree of freedom above is t².
        p_value: (2.0 * student_upper(statistic.sqrt(), freedom)).min(1.0),
    })
}

impl Pooled {
    /// Mann & Whitney's test that neither side tends to larger values (1947), on the finite values: normal approximation
    /// with the correction for ties (Lehmann, "Nonparametrics", 1975, §1.4) and for continuity.
    ///
    /// `None` without finite values on both sides. Where all values are equal, p is 1: every order of them is the same.
    #[must_use]
    pub fn mann_whitney(&self) -> Option<MannWhitney> {
        if !self.both() {
            return None;
        }
        let (n, m, total) = (self.n, self.m, self.n + self.m);
        let pairs = n * m;
        let apart = (self.won - 0.5 * pairs).abs() - 0.5;
        let variance = pairs / 12.0 * (total + 1.0 - self.tied / (total * (total - 1.0)));
        let p_value =
            if variance > 0.0 { (2.0 * normal_upper(apart / variance.sqrt())).min(1.0) } else { 1.0 };
        Some(MannWhitney { statistic: self.won, superiority: self.won / pairs, p_value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_vary_has_no_yardstick() {
        let (a, b) = (Sorted::new(&[3.5; 10]), Sorted::new(&[3.6; 8]));
        assert_eq!((welch(&a, &b), brown_forsythe(&a, &b)), (None, None));
        let one = Sorted::new(&[1.0]);
        assert_eq!((welch(&one, &a), welch(&one, &one), brown_forsythe(&one, &one)), (None, None, None));
        assert_eq!(Pooled::new(&a, &a).unwrap().mann_whitney().unwrap().p_value, 1.0);
    }

    #[test]
    fn tiny_magnitudes_are_tested_like_any_other() {
        let of = |unit: f64| {
            let side =
                |shift: f64| Sorted::new(&(0..9).map(|i| unit * (f64::from(i) + shift)).collect::<Vec<_>>());
            (welch(&side(0.0), &side(1.5)).unwrap().p_value, brown_forsythe(&side(0.0), &side(1.5)).unwrap())
        };
        let (usual, tiny) = (of(1.0), of(1e-300));
        assert!((usual.0 - tiny.0).abs() < 1e-12);
        assert!((usual.1.statistic - tiny.1.statistic).abs() < 1e-9);
    }
}

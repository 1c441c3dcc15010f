//! What an uncertain gain may cost.

use std::f64::consts::PI;

use crate::special::{normal_upper, student_critical};

/// E[max(0, −G)] of a normal G: what is expected to be lost by trusting a gain that was estimated, in the gain's unit.
///
/// `gain` is the estimate, `interval` its two-sided 95 % interval from so many `clusters` (Student's t with one degree of freedom
/// less), of which the standard error is taken. With z = gain ÷ error it is error × (φ(z) − z·Φ(−z)): the unit normal loss
/// (Raiffa & Schlaifer 1961). None where something is not finite, or there are fewer than two clusters.
pub fn expected_shortfall(gain: f64, interval: (f64, f64), clusters: u32) -> Option<f64> {
    let freedom = f64::from(clusters.checked_sub(1).filter(|freedom| *freedom > 0)?);
    let error = (interval.1 - interval.0) / 2.0 / student_critical(0.95, freedom);
    if !(gain.is_finite() && error.is_finite() && error >= 0.0) {
        return None;
    }
    if error == 0.0 {
        return Some((-gain).max(0.0));
    }
    let z = gain / error;
    let density = (-0.5 * z * z).exp() / (2.0 * PI).sqrt();
    Some((error * (density - z * normal_upper(z))).max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The interval of a gain with a standard error of `error` from 8 clusters.
    fn around(gain: f64, error: f64) -> (f64, f64) {
        let half = error * student_critical(0.95, 7.0);
        (gain - half, gain + half)
    }

    #[test]
    fn it_is_the_unit_normal_loss() {
        // Unit normal loss at 0, 1, 2: 0.398942, 0.083315, 0.008491; at −1 the loss itself comes on top.
        for (gain, expected) in [(0.0, 0.398_942), (1.0, 0.083_315), (2.0, 0.008_491), (-1.0, 1.083_315)] {
            let found = expected_shortfall(gain, around(gain, 1.0), 8).unwrap();
            assert!((found - expected).abs() < 1e-6, "{gain}: {found}");
        }
        assert_eq!(expected_shortfall(-2.0, (-2.0, -2.0), 8), Some(2.0));
    }

    #[test]
    fn what_is_not_known_has_none() {
        assert_eq!(expected_shortfall(1.0, (0.0, 2.0), 1), None);
        assert_eq!(expected_shortfall(f64::NAN, (0.0, 2.0), 8), None);
        assert_eq!(expected_shortfall(1.0, (f64::NEG_INFINITY, f64::INFINITY), 8), None);
    }
}

//! Post-transforms: how raw scores become probabilities (`post_transform` of the ONNX-ML operators).

use crate::attributes::Attributes;
use crate::error::Problem;

/// The post-transform of a classifier or regressor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transform {
    None,
    Logistic,
    Softmax,
    SoftmaxZero,
    Probit,
}

impl Transform {
    pub(super) fn read(attributes: &Attributes<'_>) -> Result<Self, Problem> {
        Ok(match &*attributes.text("post_transform", "NONE")? {
            "NONE" => Self::None,
            "LOGISTIC" => Self::Logistic,
            "SOFTMAX" => Self::Softmax,
            "SOFTMAX_ZERO" => Self::SoftmaxZero,
            "PROBIT" => Self::Probit,
            other => {
                return Err(format!(
                    "post_transform {other:?} is not one of NONE, LOGISTIC, SOFTMAX, SOFTMAX_ZERO, PROBIT"
                ));
            }
        })
    }

    /// Transforms one row of scores in place.
    pub(crate) fn apply(self, scores: &mut [f64]) {
        match self {
            Self::None => {}
            Self::Logistic => scores.iter_mut().for_each(|s| *s = logistic(*s)),
            Self::Probit => scores.iter_mut().for_each(|s| *s = probit(*s)),
            Self::Softmax => softmax(scores, |_| true),
            // Scores of exactly zero (to single precision) stand for "no opinion" and stay zero.
            Self::SoftmaxZero => softmax(scores, |s| s.abs() > 1e-7),
        }
    }
}

/// 1 / (1 + e^−x), without overflow.
pub(crate) fn logistic(x: f64) -> f64 {
    let e = (-x.abs()).exp();
    if x < 0.0 { e / (1.0 + e) } else { 1.0 / (1.0 + e) }
}

fn softmax(scores: &mut [f64], takes_part: impl Fn(f64) -> bool) {
    let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut sum = 0.0;
    for s in scores.iter_mut() {
        *s = if takes_part(*s) { (*s - max).exp() } else { 0.0 };
        sum += *s;
    }
    if sum > 0.0 {
        scores.iter_mut().for_each(|s| *s /= sum);
    }
}

/// Inverse of the normal distribution function as ONNX runtimes compute it: √2 · erf⁻¹(2p − 1) with Winitzki's
/// approximation of erf⁻¹ (S. Winitzki, "A handy approximation for the error function and its inverse", 2008).
fn probit(p: f64) -> f64 {
    let x = 2.0 * p - 1.0;
    let sign = if x < 0.0 { -1.0 } else { 1.0 };
    let log = ((1.0 - x) * (1.0 + x)).ln();
    let v = 2.0 / (std::f64::consts::PI * 0.147) + 0.5 * log;
    let inverse = sign * (-v + (v * v - log / 0.147).sqrt()).sqrt();
    std::f64::consts::SQRT_2 * inverse
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logistic_does_not_overflow() {
        assert_eq!([logistic(0.0), logistic(1000.0), logistic(-1000.0)], [0.5, 1.0, 0.0]);
    }

    #[test]
    fn softmax_sums_to_one_and_zero_keeps_zero() {
        let mut scores = [1000.0, 1000.0];
        Transform::Softmax.apply(&mut scores);
        assert_eq!(scores, [0.5, 0.5]);
        let mut scores = [0.0, 2.0, 2.0];
        Transform::SoftmaxZero.apply(&mut scores);
        assert_eq!(scores, [0.0, 0.5, 0.5]);
    }

    #[test]
    fn probit_is_close_to_the_normal_quantile() {
        for (p, z) in [(0.5, 0.0), (0.975, 1.959_964), (0.1, -1.281_552)] {
            assert!((probit(p) - z).abs() < 5e-3, "{p}");
        }
    }
}

//! Tail probabilities and quantiles of the distributions that the tests need.
//!
//! Thin, panic-free fronts over `statrs` special functions, plus the Kolmogorov distribution, which it lacks.
//! Upper tails are computed as such, never as `1 − cdf`, so that small p-values keep their digits.

use std::f64::consts::{PI, SQRT_2};

use statrs::function::{beta::beta_reg, erf, gamma::gamma_ur};

/// Degrees of freedom beyond which Student's t is the normal distribution to more digits than matter.
const NORMAL_BEYOND: f64 = 1e7;

/// P(Z > z) for a standard normal Z.
pub(crate) fn normal_upper(z: f64) -> f64 {
    0.5 * erf::erfc(z / SQRT_2)
}

/// The z with P(Z ≤ z) = p; `p` is clamped into (0, 1).
pub(crate) fn normal_quantile(p: f64) -> f64 {
    -SQRT_2 * erf::erfc_inv(2.0 * p.clamp(f64::MIN_POSITIVE, 1.0 - f64::EPSILON))
}

/// Half-width multiplier of a two-sided normal interval, 1.96 at `level` 0.95.
pub(crate) fn normal_critical(level: f64) -> f64 {
    normal_quantile(0.5 + 0.5 * level)
}

/// P(T > t) for Student's t with `df` > 0 degrees of freedom.
pub(crate) fn student_upper(t: f64, df: f64) -> f64 {
    if df > NORMAL_BEYOND {
        return normal_upper(t);
    }
    let square = t * t;
    let tail = if square.is_infinite() { 0.0 } else { 0.5 * beta_reg(0.5 * df, 0.5, df / (df + square)) };
    if t >= 0.0 { tail } else { 1.0 - tail }
}

/// Half-width multiplier of a two-sided Student interval at `level` with `df` degrees of freedom.
///
/// By bisection of [`student_upper`], which is monotone: slow next to a series, but called once an interval.
pub(crate) fn student_critical(level: f64, df: f64) -> f64 {
    let tail = (0.5 - 0.5 * level).clamp(1e-12, 0.5);
    let (mut low, mut high) = (0.0, 1.0);
    while student_upper(high, df) > tail && high < 1e150 {
        low = high;
        high *= 2.0;
    }
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            break;
        }
        if student_upper(middle, df) > tail {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

/// P(X > x) for chi-square with `df` > 0 degrees of freedom.
pub(crate) fn chi_square_upper(x: f64, df: f64) -> f64 {
    if x <= 0.0 || x.is_infinite() {
        return if x <= 0.0 { 1.0 } else { 0.0 };
    }
    gamma_ur(0.5 * df, 0.5 * x).clamp(0.0, 1.0)
}

/// P(K > x) for Kolmogorov's limiting distribution of √n·D.
///
/// Two series that meet at 1.18: the alternating one converges fast above, its theta-function transform below
/// (Marsaglia, Tsang, Wang 2003, §3).
pub(crate) fn kolmogorov_upper(x: f64) -> f64 {
    if x <= 0.04 {
        return 1.0;
    }
    if x < 1.18 {
        let base = -PI * PI / (8.0 * x * x);
        let sum: f64 = (1..=6).map(|k| f64::from(2 * k - 1).powi(2) * base).map(f64::exp).sum();
        return (1.0 - (2.0 * PI).sqrt() / x * sum).clamp(0.0, 1.0);
    }
    let term = |k: i32| (-2.0 * f64::from(k * k) * x * x).exp();
    (2.0 * (term(1) - term(2) + term(3) - term(4) + term(5))).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() <= 1e-10 * expected.abs().max(1e-3), "{found} is not {expected}");
    }

    // Expected values: scipy 1.17 (norm.sf, norm.ppf, t.sf, t.ppf, chi2.sf, special.kolmogorov).
    #[test]
    fn tails_and_quantiles_equal_scipy() {
        close(normal_upper(1.5), 0.066_807_201_268_858_07);
        close(normal_quantile(0.975), 1.959_963_984_540_054);
        close(student_upper(2.0, 3.0), 0.069_662_984_279_421_6);
        close(student_upper(-2.0, 3.0), 0.930_337_015_720_578_4);
        close(student_upper(2.0, 10_000.0), 0.022_763_630_330_717_714);
        close(student_critical(0.95, 4.0), 2.776_445_105_197_798_7);
        close(student_critical(0.99, 1.0), 63.656_741_162_871_54);
        close(chi_square_upper(30.0, 20.0), 0.069_853_660_699_409_86);
        close(kolmogorov_upper(0.5), 0.963_945_243_664_875_1);
        close(kolmogorov_upper(1.36), 0.049_485_876_755_377_87);
    }

    #[test]
    fn the_two_kolmogorov_series_meet() {
        assert!((kolmogorov_upper(1.18 - 1e-12) - kolmogorov_upper(1.18)).abs() < 1e-10);
    }

    #[test]
    fn extreme_arguments_stay_probabilities() {
        for x in [0.0, 1e-300, 1e300, f64::INFINITY] {
            for p in [normal_upper(x), student_upper(x, 2.0), chi_square_upper(x, 5.0), kolmogorov_upper(x)] {
                assert!((0.0..=1.0).contains(&p), "{x}: {p}");
            }
        }
    }
}

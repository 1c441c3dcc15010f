//! The limiting distributions of the Cramér–von Mises and the Anderson–Darling statistic.
//!
//! Both are those of Σⱼ Zⱼ²/λⱼ with independent standard normal Zⱼ: λⱼ = π²j² for the first, j(j + 1) for the second.
//! Smirnov's formula gives the upper tail of such a sum directly, so that small p-values keep their digits
//! (Smirnov 1937; Durbin, "Distribution theory for tests based on the sample distribution function", 1973, §4.4):
//!
//! P(X > x) = 1/π · Σₖ (−1)ᵏ⁺¹ ∫ e^(−xy/2) / (y·√|D(y)|) dy over λ₂ₖ₋₁ < y < λ₂ₖ, with D(y) = Πⱼ (1 − y/λⱼ).

use std::f64::consts::PI;

/// Nodes of a Gauss–Chebyshev rule on one interval; 24 already give all digits.
const NODES: i32 = 32;

/// P(X > x) for the limit of the one-sample Cramér–von Mises statistic.
pub(super) fn cramer_von_mises_upper(x: f64) -> f64 {
    // Below, 1 − p is less than 1e-17.
    if x < 0.003 {
        return 1.0;
    }
    // y = t², D = sin t/t: intervals from (2k − 1)·π to 2k·π.
    alternating(|k, u| {
        let middle = (2.0 * k - 0.5) * PI;
        let t = middle + 0.5 * PI * u;
        // |sin t| over 1 − u², both zero at the ends.
        let shape = (0.5 * PI * u).cos() / (1.0 - u * u);
        (-0.5 * x * t * t).exp() / t * (t / shape).sqrt()
    })
}

/// P(X > x) for the limit of the Anderson–Darling statistic.
pub(super) fn anderson_darling_upper(x: f64) -> f64 {
    if x < 0.03 {
        return 1.0;
    }
    // y = (s² − 1)/4, D = −cos(πs/2)/(π·y): intervals from 4k − 1 to 4k + 1.
    alternating(|k, u| {
        let s = 4.0 * k + u;
        let y = 0.25 * (s * s - 1.0);
        let shape = (0.5 * PI * u).cos() / (1.0 - u * u);
        (-0.5 * x * y).exp() / y * (PI * y / shape).sqrt() * (s / (2.0 * PI))
    })
}

/// Σₖ (−1)ᵏ⁺¹ ∫ f(k, u)/√(1 − u²) du over −1 < u < 1, until nothing is added.
fn alternating(integrand: impl Fn(f64, f64) -> f64) -> f64 {
    let (mut sum, mut sign) = (0.0, 1.0);
    for k in 1..=200 {
        let nodes = (0..NODES).map(|i| ((f64::from(i) + 0.5) * PI / f64::from(NODES)).cos());
        let part = nodes.map(|u| integrand(f64::from(k), u)).sum::<f64>() * PI / f64::from(NODES);
        sum += sign * part;
        sign = -sign;
        if part <= 1e-17 * sum.abs() {
            break;
        }
    }
    sum.clamp(0.0, 1.0)
}

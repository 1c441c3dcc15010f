//! Cramér–von Mises and Anderson–Darling: tests that weigh the distance of the distribution functions everywhere.
//!
//! Kolmogorov–Smirnov looks at the one widest gap; these sum the squared gap over all values and so find small differences
//! that last. Anderson–Darling divides by the variance of the gap, which brings out the tails.

use serde::{Deserialize, Serialize};

use super::{
    Pooled, lattice,
    limits::{anderson_darling_upper, cramer_von_mises_upper},
    smirnov::common_divisor,
};

/// Rows of the larger sample up to which the exact Cramér–von Mises p-value is worked out.
pub const EXACT_SQUARES_UP_TO: f64 = 20.0;

/// The two-sample Cramér–von Mises test (Anderson 1962, "On the distribution of the two-sample Cramér–von Mises criterion").
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CramerVonMises {
    /// T, from midranks where values are tied.
    pub statistic: f64,
    /// The p-value to decide by: for distinct values `p_exact` where there is one and `p_asymptotic` elsewhere; for tied
    /// ones that of the squared gaps at the middles of the blocks of equal values, whose distribution takes the ties into
    /// account.
    pub p_value: f64,
    /// P-value of T by its limiting distribution for distinct values, with mean and variance adjusted to the sample sizes
    /// (Anderson 1962, eq. 15), as scipy has it; but precise in the far tail, where scipy's, 1 less a series that is cut at
    /// terms of 1e-7, ends in noise. With ties T grows without drift and this is far too small.
    pub p_asymptotic: f64,
    /// P-value by counting all orders of distinct values (Xiao, Gordon & Yakovlev 2006); `None` above
    /// [`EXACT_SQUARES_UP_TO`] rows a side.
    pub p_exact: Option<f64>,
}

/// How Anderson–Darling takes tied values (Scholz & Stephens 1987, "K-sample Anderson–Darling tests").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ties {
    /// The mean of the empirical distribution functions left and right of a value (their eq. 7).
    Midrank,
    /// The empirical distribution functions as they are, continuous from the right (their eq. 6).
    Right,
}

/// The two-sample Anderson–Darling test.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AndersonDarling {
    /// A², less its mean of 1 and over its standard deviation without drift.
    pub statistic: f64,
    /// The p-value to decide by, in the whole of 0..=1: by the limiting distribution, at the statistic brought to that
    /// distribution's mean and standard deviation; for tied values by one that takes the ties into account.
    pub p_value: f64,
    /// P-value by interpolation in the table of Scholz & Stephens, which ends at 0.001 and 0.25: values outside are cut to
    /// these, as scipy cuts them. For comparison with other tools.
    pub p_table: f64,
}

impl Pooled {
    /// Cramér–von Mises test of the finite values; `None` unless both sides have two of them.
    #[must_use]
    pub fn cramer_von_mises(&self) -> Option<CramerVonMises> {
        let (n, m) = (self.n, self.m);
        if n < 2.0 || m < 2.0 {
            return None;
        }
        let (product, total) = (n * m, n + m);
        // Anderson's eq. 10 in terms of the gaps at the middle of each block of equal values: nothing cancels.
        let statistic = (self.squares + self.tied_squares) / (product * total * total) + (1.0 / 6.0) / total;
        let mean = (1.0 + 1.0 / total) / 6.0;
        let variance = (total + 1.0) * (4.0 * product * total - 3.0 * (n * n + m * m) - 2.0 * product)
            / (45.0 * total * total * 4.0 * product);
        let standardised = (statistic - mean) / (45.0 * variance).sqrt() + 1.0 / 6.0;
        let p_exact = (n.max(m) <= EXACT_SQUARES_UP_TO).then(|| exact(statistic, n as u64, m as u64));
        let p_asymptotic = cramer_von_mises_upper(standardised);
        let p_value = self.law.map_or(p_exact.unwrap_or(p_asymptotic), |law| {
            law.plain.upper(self.squares / (product * total * total), total / (total - 1.0))
        });
        Some(CramerVonMises { statistic, p_value, p_asymptotic, p_exact })
    }

    /// Anderson–Darling test of the finite values; `None` unless both sides have two of them, and where all are equal.
    #[must_use]
    pub fn anderson_darling(&self, ties: Ties) -> Option<AndersonDarling> {
        let (n, m) = (self.n, self.m);
        if n < 2.0 || m < 2.0 || !self.vary {
            return None;
        }
        let total = n + m;
        let (weighted, law, factor) = match ties {
            Ties::Midrank => {
                (self.weighted_middle * (total - 1.0) / total, self.law.map(|law| law.weighted_middle), 1.0)
            }
            Ties::Right => {
                (self.weighted_right, self.law.map(|law| law.weighted_right), total / (total - 1.0))
            }
        };
        // One sum for each sample; the gaps are the same but for the sign.
        let squared = weighted * (1.0 / n + 1.0 / m) / total;
        let statistic = (squared - 1.0) / anderson_darling_variance(n, m).sqrt();
        let limit_deviation = (2.0 * (std::f64::consts::PI.powi(2) - 9.0) / 3.0).sqrt();
        let distinct = || anderson_darling_upper(1.0 + statistic * limit_deviation);
        Some(AndersonDarling {
            statistic,
            p_value: law.map_or_else(distinct, |law| law.upper(squared, factor)),
            p_table: table_p(statistic),
        })
    }
}

/// Exact p-value of T, by its sum over the points of a lattice path.
fn exact(statistic: f64, n: u64, m: u64) -> f64 {
    let (product, total) = ((n * m) as f64, (n + m) as f64);
    // Four times Anderson's U is a whole number, midranks included.
    let fourfold = (4.0 * product * total * (statistic + (4.0 * product - 1.0) / (6.0 * total))).round();
    let common = n / common_divisor(n, m).max(1) * m;
    let excess = 6.0 * fourfold - 4.0 * product * (4.0 * product - 1.0);
    let least = ((common * common) as f64 * total * excess / (24.0 * product * product)).floor();
    lattice::p_of_squares(n, m, least.max(0.0) as u64)
}

/// Variance of A² for two samples without drift (Scholz & Stephens 1987, eq. 4 with k = 2).
fn anderson_darling_variance(n: f64, m: f64) -> f64 {
    let (total, k) = (n + m, 2.0);
    let reciprocals = 1.0 / n + 1.0 / m;
    let (harmonic, harmonic_of_squares) = harmonic_numbers(total);
    let h = harmonic - 1.0 / total;
    // Σᵢ<ⱼ 1/((N − i)·j), in closed form by Σ Hₖ/(N − k) = H_N² − H_N⁽²⁾.
    let g = harmonic_of_squares - (2.0 * harmonic - 1.0 / total) / total;
    let a = (4.0 * g - 6.0) * (k - 1.0) + (10.0 - 6.0 * g) * reciprocals;
    let b = (2.0 * g - 4.0) * k * k + 8.0 * h * k + (2.0 * g - 14.0 * h - 4.0) * reciprocals - 8.0 * h
        + 4.0 * g
        - 6.0;
    let c = (6.0 * h + 2.0 * g - 2.0) * k * k
        + (4.0 * h - 4.0 * g + 6.0) * k
        + (2.0 * h - 6.0) * reciprocals
        + 4.0 * h;
    let d = (2.0 * h + 6.0) * k * k - 4.0 * h * k;
    (((a * total + b) * total + c) * total + d) / ((total - 1.0) * (total - 2.0) * (total - 3.0))
}

/// Σ 1/i and Σ 1/i² for i = 1..=n.
fn harmonic_numbers(n: f64) -> (f64, f64) {
    let start = n.min(64.0);
    let (mut first, mut second) = (0.0, 0.0);
    let mut i = start;
    while i >= 1.0 {
        first += 1.0 / i;
        second += 1.0 / (i * i);
        i -= 1.0;
    }
    // What is beyond 64, by Euler–Maclaurin from both ends.
    let tail_first = |x: f64| x.ln() + 0.5 / x - (1.0 / 12.0 - (1.0 / 120.0) / (x * x)) / (x * x);
    let tail_second = |x: f64| -1.0 / x + 0.5 / (x * x) - (1.0 / 6.0 - (1.0 / 30.0) / (x * x)) / (x * x * x);
    (first + tail_first(n) - tail_first(start), second + tail_second(n) - tail_second(start))
}

/// Critical values for two samples (Scholz & Stephens 1987, table 2) and their levels.
const TABLE: [(f64, f64); 7] = [
    (0.675 - 0.245 - 0.105, 0.25),
    (1.281 + 0.25 - 0.305, 0.1),
    (1.645 + 0.678 - 0.362, 0.05),
    (1.96 + 1.149 - 0.391, 0.025),
    (2.326 + 1.822 - 0.396, 0.01),
    (2.573 + 2.364 - 0.345, 0.005),
    (3.085 + 3.615 - 0.154, 0.001),
];

/// Interpolates the table by the quadratic that fits the logarithms of its levels best.
fn table_p(statistic: f64) -> f64 {
    let (first, last) = (TABLE[0], TABLE[6]);
    if statistic < first.0 {
        return first.1;
    }
    if statistic > last.0 {
        return last.1;
    }
    // Orthogonal polynomials over the critical values: least squares without a system of equations.
    let mean = TABLE.iter().map(|(x, _)| x).sum::<f64>() / 7.0;
    let sum = |term: &dyn Fn(f64) -> f64| TABLE.iter().map(|(x, _)| term(x - mean)).sum::<f64>();
    let (second, third) = (sum(&|x| x * x), sum(&|x| x * x * x));
    let bend = |x: f64| x * x - third / second * x - second / 7.0;
    let along = |basis: &dyn Fn(f64) -> f64| {
        let product: f64 = TABLE.iter().map(|(x, level)| basis(x - mean) * level.ln()).sum();
        product / sum(&|x| basis(x).powi(2))
    };
    let x = statistic - mean;
    (along(&|_| 1.0) + along(&|x| x) * x + along(&bend) * bend(x)).exp()
}

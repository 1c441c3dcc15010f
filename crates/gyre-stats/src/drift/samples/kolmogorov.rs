//! The distribution of Kolmogorov's one-sample statistic for a finite number of rows.
//!
//! No single formula is both fast and precise everywhere, so the plane of (rows, statistic) is divided as Simard & L'Ecuyer
//! found best ("Computing the two-sided Kolmogorov–Smirnov distribution", J. Stat. Soft. 39(11), 2011, §3): closed forms at
//! both ends, Smirnov's one-sided sum in the upper tail, Durbin's matrix for few rows, and the expansion of Pelz & Good
//! for many.

use std::f64::consts::PI;

use statrs::function::gamma::ln_gamma;

/// Rows up to which Durbin's matrix is used throughout.
const FEW: f64 = 140.0;

/// P(D ≥ d) for the largest distance D between a distribution and the empirical one of `rows` rows.
pub(super) fn kolmogorov_upper_of_rows(rows: f64, d: f64) -> f64 {
    let steps = rows * d;
    if steps <= 0.5 || rows < 1.0 {
        return 1.0;
    }
    if d >= 1.0 {
        return 0.0;
    }
    // n·d², the square of what has a limit.
    let scaled = steps * d;
    let upper = if steps <= 1.0 {
        // n!·((2nd − 1)/n)ⁿ (Ruben & Gambino 1982).
        1.0 - (ln_gamma(rows + 1.0) + rows * ((2.0 * steps - 1.0) / rows).ln()).exp()
    } else if steps >= rows - 1.0 || d >= 0.5 || scaled >= if rows <= FEW { 4.0 } else { 2.2 } {
        // Both sides at once are impossible, or as good as.
        2.0 * one_sided_upper(rows, d)
    } else if scaled < 0.03 && rows > FEW {
        // Below 1e-13 from here on.
        1.0
    } else if rows <= FEW || (rows <= 1e5 && rows * d.powf(1.5) <= 1.4) {
        1.0 - durbin(rows, d)
    } else {
        pelz_good_upper(rows, d)
    };
    upper.clamp(0.0, 1.0)
}

/// Terms of [`one_sided_upper`] that are enough: they are a smooth function that vanishes with all its derivatives at both
/// ends, whose sum a coarser grid gives to all digits (Euler–Maclaurin).
const TERMS: f64 = 2048.0;

/// P(D⁺ ≥ d) = d·Σⱼ C(n, j)·(d + j/n)ʲ⁻¹·(1 − d − j/n)ⁿ⁻ʲ (Smirnov 1944; Birnbaum & Tingey 1951).
///
/// Each term is a binomial probability at its own p = d + j/n, taken by its deviance (Loader 2000, "Fast and accurate
/// computation of binomial probabilities"), where logarithms of factorials would cancel.
fn one_sided_upper(rows: f64, d: f64) -> f64 {
    let last = (rows * (1.0 - d)).floor();
    let stride = (rows / TERMS).floor().max(1.0);
    let mut sum = 0.0;
    let mut j = 0.0;
    while j <= last {
        let p = d + j / rows;
        if p < 1.0 {
            sum += d / p * binomial(j, rows, p, 1.0 - p);
        } else if j == rows {
            sum += d / p;
        }
        j += stride;
    }
    sum * stride
}

/// Probability of `j` out of `n` at `p`, with `q` = 1 − p.
fn binomial(j: f64, n: f64, p: f64, q: f64) -> f64 {
    if j == 0.0 {
        return (n * (-p).ln_1p()).exp();
    }
    if j == n {
        return (n * p.ln()).exp();
    }
    let rest = n - j;
    let exponent = stirling_error(n)
        - stirling_error(j)
        - stirling_error(rest)
        - deviance(j, n * p)
        - deviance(rest, n * q);
    exponent.exp() * (n / (2.0 * PI * j * rest)).sqrt()
}

/// x·ln(x/mean) + mean − x, without cancellation near x = mean.
fn deviance(x: f64, mean: f64) -> f64 {
    let part = (mean - x) / x;
    if part.abs() > 0.1 {
        return x * (x / mean).ln() + mean - x;
    }
    // x·(u − ln(1 + u)) = x·(u²/2 − u³/3 + …).
    let (mut power, mut sum) = (part * part, 0.0);
    let mut k = 2.0;
    while k < 20.0 {
        sum += power / k;
        power *= -part;
        k += 1.0;
    }
    x * sum
}

/// ln n! less Stirling's formula.
fn stirling_error(n: f64) -> f64 {
    if n < 16.0 {
        return ln_gamma(n + 1.0) - (n + 0.5) * n.ln() + n - 0.5 * (2.0 * PI).ln();
    }
    let square = n * n;
    (1.0 / 12.0
        - (1.0 / 360.0 - (1.0 / 1260.0 - (1.0 / 1680.0 - 1.0 / 1188.0 / square) / square) / square) / square)
        / n
}

/// P(D < d) exactly, by a power of Durbin's matrix (Durbin 1968; Marsaglia, Tsang & Wang 2003, "Evaluating Kolmogorov's
/// distribution").
fn durbin(rows: f64, d: f64) -> f64 {
    let k = (rows * d).floor() as usize + 1;
    let size = 2 * k - 1;
    let h = k as f64 - rows * d;
    let factorials: Vec<f64> = (1..=size)
        .scan(1.0, |product, i| {
            *product *= i as f64;
            Some(*product)
        })
        .collect();
    let mut matrix = Square::zero(size);
    for row in 0..size {
        for column in 0..size.min(row + 2) {
            // 1/(row − column + 1)!, less h to the same power at the border.
            let power = row + 1 - column;
            let mut entry = 1.0;
            if column == 0 {
                entry -= h.powi(power as i32);
            }
            if row + 1 == size {
                entry -= h.powi((size - column) as i32);
            }
            if column == 0 && row + 1 == size && h > 0.5 {
                entry += (2.0 * h - 1.0).powi(size as i32);
            }
            matrix.entries[row * size + column] =
                entry / power.checked_sub(1).map_or(1.0, |before| factorials[before]);
        }
    }
    let (power, exponent) = matrix.power(rows as u32);
    // times n!/nⁿ.
    let logarithm = ln_gamma(rows + 1.0) - rows * rows.ln();
    power.entries[(k - 1) * size + k - 1] * (logarithm + f64::from(exponent) * std::f64::consts::LN_2).exp()
}

/// A square matrix of non-negative numbers.
#[derive(Clone)]
struct Square {
    size: usize,
    entries: Vec<f64>,
}

impl Square {
    fn zero(size: usize) -> Self {
        Self { size, entries: vec![0.0; size * size] }
    }

    fn times(&self, other: &Self) -> Self {
        let mut product = Self::zero(self.size);
        for (row, out) in self.entries.chunks(self.size).zip(product.entries.chunks_mut(self.size)) {
            for (factor, line) in row.iter().zip(other.entries.chunks(self.size)) {
                for (sum, entry) in out.iter_mut().zip(line) {
                    *sum += factor * entry;
                }
            }
        }
        product
    }

    /// The matrix to the power of `n`, less a power of two that is given apart.
    fn power(&self, n: u32) -> (Self, i32) {
        if n <= 1 {
            return (self.clone(), 0);
        }
        let (half, exponent) = self.power(n / 2);
        let mut whole = half.times(&half);
        if n % 2 == 1 {
            whole = whole.times(self);
        }
        let largest = whole.entries.iter().copied().fold(0.0, f64::max);
        let shift = if largest > 1e100 { largest.log2().floor() as i32 } else { 0 };
        whole.entries.iter_mut().for_each(|entry| *entry *= 2.0_f64.powi(-shift));
        (whole, 2 * exponent + shift)
    }
}

/// P(D ≥ d) by the expansion of Pelz & Good (1976, "Approximating the lower tail-areas of the Kolmogorov–Smirnov one-sample
/// statistic") in powers of 1/√n, their theta functions in the form that converges for small z = √n·d.
fn pelz_good_upper(rows: f64, d: f64) -> f64 {
    let z = rows.sqrt() * d;
    let (z2, pi2) = (z * z, PI * PI);
    let (z4, pi4) = (z2 * z2, pi2 * pi2);
    let (z6, pi6) = (z4 * z2, pi4 * pi2);
    let mut sums = [0.0_f64; 4];
    for k in (0..20).rev() {
        // Odd multiples.
        let odd2 = f64::from(2 * k + 1).powi(2);
        let (odd4, odd6) = (odd2 * odd2, odd2 * odd2 * odd2);
        let weight = (-pi2 * odd2 / (8.0 * z2)).exp();
        sums[0] += weight;
        sums[1] += weight * (pi2 / 4.0 * odd2 - z2);
        sums[2] += weight
            * (6.0 * z6
                + 2.0 * z4
                + pi2 / 4.0 * (2.0 * z4 - 5.0 * z2) * odd2
                + pi4 / 16.0 * (1.0 - 2.0 * z2) * odd4);
        sums[3] += weight
            * (pi6 / 64.0 * (5.0 - 30.0 * z2) * odd6
                + pi4 / 16.0 * (212.0 * z4 - 60.0 * z2) * odd4
                + pi2 / 4.0 * (135.0 * z4 - 96.0 * z6) * odd2
                - 30.0 * z6
                - 90.0 * z6 * z2);
    }
    let root = (2.0 * PI).sqrt();
    let mut terms = [
        sums[0] * root / z,
        sums[1] * root / (6.0 * z4),
        sums[2] * root / (72.0 * z6 * z),
        sums[3] * root / (6480.0 * z6 * z4),
    ];
    for k in (1..20).rev() {
        let k2 = f64::from(k * k);
        let weight = k2 * (-pi2 * k2 / (2.0 * z2)).exp();
        terms[2] -= weight * pi2 * root / (36.0 * z2 * z);
        terms[3] += weight * (3.0 * z2 - pi2 * k2) * pi2 * root / (216.0 * z6);
    }
    1.0 - terms[0] - terms[1] / rows.sqrt() - terms[2] / rows - terms[3] / (rows * rows.sqrt())
}

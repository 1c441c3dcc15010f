//! The distribution of the summed squared gaps when values are tied.
//!
//! Tied values leave fewer gaps to sum, and larger ones, so the limits for distinct values no longer hold: on a column of
//! twenty values they make the Cramér–von Mises test alarm three times too often. Without drift the sum is, for many rows,
//! one of weighted χ² whose cumulants follow from the blocks of equal values; a scaled and shifted χ² with the same first
//! three gives its tail (Hall 1983; Buckley & Eagleson 1988, "An approximation to the distribution of quadratic forms in
//! normal random variables").

use super::pooled::walk;
use crate::special::chi_square_upper;

/// The first three cumulants of a sum Σ g·(gap)² over blocks, gathered block by block.
///
/// The gaps are those of a Brownian bridge: at shares u < s they have covariance u·(1 − s). So the traces of the products of
/// their covariance matrix, on which the cumulants rest, are nested sums, which one pass keeps up to date.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Cumulants {
    mean: f64,
    /// Σ over single blocks, pairs and triples of blocks, weighted.
    pairs: f64,
    triples: f64,
    /// Σ g·u² and Σ g·(1 − u)² over the blocks so far.
    from_left: f64,
    to_right: f64,
    /// Parts of `triples` to be multiplied by what will lie to the right of them: it is `to_right` at the end less now.
    open: f64,
    open_before: f64,
}

impl Cumulants {
    /// Takes in the next block: its weight, the share of rows at or below it, and the variance of the gap there.
    fn push(&mut self, weight: f64, u: f64, variance: f64) {
        let own = weight * variance;
        let right = weight * (1.0 - u) * (1.0 - u);
        self.mean += own;
        self.pairs += own * own + 2.0 * right * self.from_left;
        self.triples += own * own * own + 3.0 * own * right * self.from_left;
        // Twice this block and one to the right; one to the left, this and one to the right.
        let open = 3.0 * own * weight * u * u + 6.0 * weight * u * (1.0 - u) * self.from_left;
        self.from_left += weight * u * u;
        self.to_right += right;
        self.open += open;
        self.open_before += open * self.to_right;
    }

    /// P(X > x) for the sum times `factor`.
    pub(super) fn upper(&self, x: f64, factor: f64) -> f64 {
        let triples = self.triples + self.open * self.to_right - self.open_before;
        let (mean, variance, third) = (self.mean, 2.0 * self.pairs, 8.0 * triples);
        if !(variance > 0.0 && third > 0.0) {
            return 1.0;
        }
        let freedom = 8.0 * variance.powi(3) / (third * third);
        chi_square_upper((x / factor - mean) * (2.0 * freedom / variance).sqrt() + freedom, freedom)
    }
}

/// The cumulants of the Cramér–von Mises sum and of both Anderson–Darling sums of two samples with tied values.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Tied {
    pub(super) plain: Cumulants,
    pub(super) weighted_middle: Cumulants,
    pub(super) weighted_right: Cumulants,
}

impl Tied {
    pub(super) fn of(a: &[f64], b: &[f64]) -> Self {
        let total = (a.len() + b.len()) as f64;
        let mut tied = Self::default();
        walk(a, b, |step| {
            let share = (step.of_a + step.of_b) / total;
            let right = (step.below_a + step.below_b) / total;
            let middle = right - 0.5 * share;
            let variance = middle * (1.0 - middle) - 0.25 * share;
            // Nothing varies where all values are equal.
            if variance <= 0.0 {
                return;
            }
            tied.plain.push(share, middle, variance);
            tied.weighted_middle.push(share / variance, middle, variance);
            if step.next.is_some() {
                let variance = right * (1.0 - right);
                tied.weighted_right.push(share / variance, right, variance);
            }
        });
        tied
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_values_are_a_chi_square_of_one() {
        // 300 of one value and 100 of another: the only gap decides, a χ² with one degree of freedom.
        let a = [vec![0.0; 150], vec![1.0; 50]].concat();
        let tied = Tied::of(&a, &a);
        // Its mean, the sum of the weighted variances of the gap at both middles.
        let mean = tied.plain.mean;
        for x in [0.5, 3.84, 6.63] {
            assert!((tied.plain.upper(x * mean, 1.0) - chi_square_upper(x, 1.0)).abs() < 1e-9);
            assert!((tied.weighted_middle.upper(x, 1.0) - chi_square_upper(x, 1.0)).abs() < 1e-9);
        }
    }

    #[test]
    fn distinct_values_have_the_limits() {
        let values: Vec<f64> = (0..4000).map(f64::from).collect();
        let (a, b) = values.split_at(2000);
        let tied = Tied::of(a, b);
        // Critical values of the limits at 10, 5 and 1 %.
        for (level, cramer, anderson) in
            [(0.1, 0.34730, 1.933), (0.05, 0.46136, 2.492), (0.01, 0.74346, 3.878)]
        {
            for found in [tied.plain.upper(cramer, 1.0), tied.weighted_middle.upper(anderson, 1.0)] {
                assert!((found / level - 1.0).abs() < 0.05, "{found} at {level}");
            }
        }
    }
}

//! Distances of all pairs of rows, and the two statistics that are means over them.

use super::{Matrix, RowsError, permutation::PermutationTest};

/// Most rows of both sides together: their distances take 64 MB.
pub const MOST_ROWS: usize = 4096;

/// Squared Euclidean distances of all pairs of rows of two sides.
#[derive(Clone, Debug, PartialEq)]
pub struct Distances {
    pub(super) pairs: Pairs,
    /// Rows of the reference, the first ones.
    pub(super) n: usize,
}

/// A symmetric function of all pairs of rows: the part left of the diagonal, row after row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pairs {
    pub(super) left: Vec<f64>,
    pub(super) rows: usize,
}

/// Sums of a function over the pairs within the reference, within the current side, and across.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sums {
    /// Σ over ordered pairs of different rows.
    pub(super) reference: f64,
    pub(super) current: f64,
    /// Σ over pairs of one of either side.
    pub(super) across: f64,
}

/// Squared maximum mean discrepancy with the kernel exp(−γ·‖x − y‖²) (Gretton et al. 2012, "A kernel two-sample test").
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mmd {
    /// Without bias (their eq. 3), so below 0 about half the time without drift.
    pub unbiased: f64,
    /// Never below 0 (their eq. 5), so above 0 without drift too.
    pub biased: f64,
    /// γ.
    pub gamma: f64,
}

impl Distances {
    /// Works out the distances of all pairs, in time rows²·columns.
    ///
    /// # Errors
    /// [`RowsError::Columns`] when the sides have different columns, [`RowsError::TooFew`] below two rows on either,
    /// [`RowsError::TooMany`] above [`MOST_ROWS`] together, [`RowsError::NotFinite`] where a distance overflows.
    pub fn new(reference: &Matrix, current: &Matrix) -> Result<Self, RowsError> {
        if reference.columns() != current.columns() {
            return Err(RowsError::Columns { expected: reference.columns(), found: current.columns() });
        }
        let (n, rows) = (reference.rows(), reference.rows() + current.rows());
        let fewest = reference.rows().min(current.rows());
        if fewest < 2 {
            return Err(RowsError::TooFew { needed: 2, found: fewest });
        }
        if rows > MOST_ROWS {
            return Err(RowsError::TooMany { most: MOST_ROWS, found: rows });
        }
        let all: Vec<&[f64]> = reference.iter().chain(current.iter()).collect();
        let mut left = Vec::with_capacity(rows * (rows - 1) / 2);
        for (at, row) in all.iter().enumerate() {
            let distances = all.iter().take(at).map(|other| squared_distance(row, other));
            left.extend(distances.take_while(|distance| distance.is_finite()));
            if left.len() < at * (at + 1) / 2 {
                return Err(RowsError::NotFinite { row: if at < n { at } else { at - n } });
            }
        }
        Ok(Self { pairs: Pairs { left, rows }, n })
    }

    /// 1/median of the squared distances of all pairs of different rows: the "median heuristic", a kernel about as wide as
    /// the typical distance (discussed by Gretton et al. 2012, §8; with exp(−d²/2σ²) for the kernel it is 2σ² = median, as
    /// alibi-detect has it, twice the γ of σ = median distance). `None` where half the pairs are equal.
    #[must_use]
    pub fn median_gamma(&self) -> Option<f64> {
        self.median().filter(|median| *median > 0.0).map(|median| 1.0 / median)
    }

    /// Median of the squared distances of all pairs of different rows.
    #[must_use]
    pub fn median(&self) -> Option<f64> {
        let mut distances = self.pairs.left.clone();
        let middle = distances.len() / 2;
        if distances.is_empty() {
            return None;
        }
        let (below, upper, _) = distances.select_nth_unstable_by(middle, f64::total_cmp);
        let upper = *upper;
        if self.pairs.left.len() % 2 == 1 {
            return Some(upper);
        }
        let lower = below.iter().copied().fold(0.0, f64::max);
        Some(0.5 * (lower + upper))
    }

    /// Squared maximum mean discrepancy with γ, for example [`median_gamma`](Self::median_gamma).
    #[must_use]
    pub fn mmd(&self, gamma: f64) -> Mmd {
        let (sums, (n, m)) = (self.pairs.map(kernel(gamma)).sums(self.n), self.sizes());
        Mmd {
            unbiased: mmd(sums, n, m),
            biased: (sums.reference + n) / (n * n) + (sums.current + m) / (m * m)
                - 2.0 * sums.across / (n * m),
            gamma,
        }
    }

    /// Permutation test of the unbiased [`mmd`](Self::mmd), with `permutations` random divisions of all rows.
    #[must_use]
    pub fn mmd_test(&self, gamma: f64, permutations: u32, seed: u64) -> PermutationTest {
        let (n, m) = self.sizes();
        self.pairs.map(kernel(gamma)).test(self.n, permutations, seed, |sums| mmd(sums, n, m))
    }

    /// Energy statistic 2·E‖X − Y‖ − E‖X − X′‖ − E‖Y − Y′‖ over all pairs, the diagonal included, so never below 0
    /// (Székely & Rizzo 2013, "Energy statistics"). For one column it is the square of
    /// [`energy_distance`](crate::drift::samples::Pooled::energy_distance). No kernel to choose.
    #[must_use]
    pub fn energy(&self) -> f64 {
        let (n, m) = self.sizes();
        energy(self.pairs.map(f64::sqrt).sums(self.n), n, m)
    }

    /// Permutation test of the [`energy`](Self::energy) statistic.
    #[must_use]
    pub fn energy_test(&self, permutations: u32, seed: u64) -> PermutationTest {
        let (n, m) = self.sizes();
        self.pairs.map(f64::sqrt).test(self.n, permutations, seed, |sums| energy(sums, n, m))
    }

    fn sizes(&self) -> (f64, f64) {
        (self.n as f64, (self.pairs.rows - self.n) as f64)
    }
}

/// The kernel of a squared distance; a γ that is negative or no number counts as 0, where nothing is told apart.
fn kernel(gamma: f64) -> impl Fn(f64) -> f64 {
    let gamma = if gamma > 0.0 { gamma.min(f64::MAX) } else { 0.0 };
    move |squared| (-gamma * squared).exp()
}

fn mmd(sums: Sums, n: f64, m: f64) -> f64 {
    sums.reference / (n * (n - 1.0)) + sums.current / (m * (m - 1.0)) - 2.0 * sums.across / (n * m)
}

fn energy(sums: Sums, n: f64, m: f64) -> f64 {
    2.0 * sums.across / (n * m) - sums.reference / (n * n) - sums.current / (m * m)
}

fn squared_distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum()
}

impl Pairs {
    fn map(&self, function: impl Fn(f64) -> f64) -> Self {
        Self { left: self.left.iter().map(|value| function(*value)).collect(), rows: self.rows }
    }

    /// The values of each row left of the diagonal.
    pub(super) fn lines(&self) -> impl Iterator<Item = &[f64]> {
        (0..self.rows).map(|row| &self.left[row * row.saturating_sub(1) / 2..][..row])
    }

    /// Sums over the pairs when the first `n` rows are the reference.
    fn sums(&self, n: usize) -> Sums {
        let mut sums = Sums { reference: 0.0, current: 0.0, across: 0.0 };
        for (row, line) in self.lines().enumerate() {
            let (first, rest) = line.split_at(n.min(row));
            if row < n {
                sums.reference += 2.0 * first.iter().sum::<f64>();
            } else {
                sums.across += first.iter().sum::<f64>();
                sums.current += 2.0 * rest.iter().sum::<f64>();
            }
        }
        sums
    }
}

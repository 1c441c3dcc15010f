//! Chi-square test of homogeneity between two rows of category counts.

use serde::{Deserialize, Serialize};

use crate::special::chi_square_upper;

/// Expected count below which a cell is pooled with others (Cochran 1954).
const SMALLEST_EXPECTED: f64 = 5.0;

/// A chi-square test on a 2×k table.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChiSquare {
    /// Pearson's statistic, without Yates' correction.
    pub statistic: f64,
    /// Degrees of freedom, columns − 1, after pooling.
    pub degrees_of_freedom: u64,
    /// Asymptotic p-value.
    pub p_value: f64,
}

/// Tests whether two rows of counts over the same categories come from one distribution.
///
/// Both rows are samples (a contingency table): a test that takes the reference for the truth rejects far too often.
/// Categories are pooled first, see [`pool`]. `None` when the lengths differ, a row is empty, or fewer than two columns
/// remain: nothing can be said.
#[must_use]
pub fn chi_square(reference: &[u64], current: &[u64]) -> Option<ChiSquare> {
    let (reference, current) = pool(reference, current, (0, 0))?;
    chi_square_of_pooled(&reference, &current)
}

/// [`chi_square`] of columns that are pooled already.
pub(super) fn chi_square_of_pooled(reference: &[u64], current: &[u64]) -> Option<ChiSquare> {
    let total = |counts: &[u64]| counts.iter().map(|count| *count as f64).sum::<f64>();
    let (n, m) = (total(reference), total(current));
    let degrees_of_freedom = reference.len().checked_sub(1).filter(|df| *df > 0)? as u64;
    let statistic: f64 = (reference.iter().zip(current))
        .map(|(a, b)| {
            let (a, b) = (*a as f64, *b as f64);
            let (expected_a, expected_b) = ((a + b) * n / (n + m), (a + b) * m / (n + m));
            (a - expected_a).powi(2) / expected_a + (b - expected_b).powi(2) / expected_b
        })
        .sum();
    Some(ChiSquare {
        statistic,
        degrees_of_freedom,
        p_value: chi_square_upper(statistic, degrees_of_freedom as f64),
    })
}

/// Pools the columns of a 2×k table, rarest first, until each expects at least 5 in both rows; `None` when the lengths
/// differ or a row is empty.
///
/// `other` counts the rows of all names that the reference did not keep, and always joins the pool. Which names are kept
/// depends on the reference's own luck, so that "other" by itself is smaller there than in any later sample; which names
/// are rare *in both rows together* favours neither.
#[must_use]
pub fn pool(reference: &[u64], current: &[u64], other: (u64, u64)) -> Option<(Vec<u64>, Vec<u64>)> {
    let total =
        |counts: &[u64], other: u64| counts.iter().map(|count| *count as f64).sum::<f64>() + other as f64;
    let (n, m) = (total(reference, other.0), total(current, other.1));
    if reference.len() != current.len() || n == 0.0 || m == 0.0 {
        return None;
    }
    let enough = |column: (u64, u64)| (column.0 + column.1) as f64 >= SMALLEST_EXPECTED * (n + m) / n.min(m);
    let mut columns: Vec<(u64, u64)> = reference.iter().copied().zip(current.iter().copied()).collect();
    columns.sort_by_key(|(a, b)| std::cmp::Reverse(a + b));
    let mut rare = other;
    while let Some((a, b)) = columns.pop() {
        if enough((a, b)) && (rare == (0, 0) || enough(rare)) {
            columns.push((a, b));
            break;
        }
        rare = (rare.0 + a, rare.1 + b);
    }
    if rare != (0, 0) {
        columns.push(rare);
    }
    Some(columns.into_iter().unzip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rare_categories_are_pooled() {
        // 3 + 2 rows of rare categories of 200: expected 2.5 a row, so they join the next smallest.
        let found = chi_square(&[50, 47, 2, 1], &[40, 58, 1, 1]).unwrap();
        assert_eq!(found.degrees_of_freedom, 1);
    }

    #[test]
    fn too_little_is_none() {
        assert_eq!(chi_square(&[3, 1], &[1, 2]), None);
        assert_eq!(chi_square(&[100], &[50]), None);
        assert_eq!(chi_square(&[0, 0], &[50, 50]), None);
    }

    #[test]
    fn other_joins_the_rare() {
        let (reference, current) = pool(&[500, 400, 20, 10], &[250, 200, 1, 1], (0, 60)).unwrap();
        assert_eq!((reference, current), (vec![500, 400, 20, 10], vec![250, 200, 1, 61]));
    }
}

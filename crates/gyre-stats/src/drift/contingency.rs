//! Chi-square test of homogeneity between two rows of category counts, and an exact one for what is too rare for it.
//!
//! Where a small sample is held against a large one, most names may be too rare for a chi-square approximation and are pooled,
//! and one of them can come to be half of the small sample without being noticed. So each pooled name is tested by itself
//! as well, exactly ([`names`]).

use serde::{Deserialize, Serialize};

use crate::proportion::{Proportion, fisher_higher_p};
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
    let pooled = pool(reference, current, (0, 0))?;
    chi_square_of_pooled(&pooled.reference, &pooled.current)
}

/// How much of the error that a test may make by luck is left to rare names, where there is a chi-square as well.
const OF_RARE: f64 = 0.1;
/// The rows of both sides together that a rare name must have to be tested by itself.
const FEWEST_OF_RARE: u64 = 5;

/// How two rows of counts differ.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct NamesTest {
    /// The test of all names, the rare ones pooled; none where that leaves one column.
    pub chi_square: Option<ChiSquare>,
    /// The p-value of the rare names, each by itself, corrected for their number; none without any.
    pub rare: Option<f64>,
    /// Of both.
    pub p_value: f64,
    /// The change of the share of the name, or of all rare ones together, that changed most, in 0..=1.
    pub change: f64,
}

impl NamesTest {
    /// Whether it is a rare name rather than all together that speaks for a change.
    #[must_use]
    pub fn is_of_rare(&self) -> bool {
        let weighed = self.rare.map(|p| p / OF_RARE);
        weighed.is_some_and(|rare| self.chi_square.is_none_or(|all| rare < all.p_value / (1.0 - OF_RARE)))
    }
}

/// Tests whether two rows of counts over the same names come from one distribution: by [`chi_square`], and each name that it
/// pools by Fisher's exact test that it has not become more frequent in the smaller sample (one that became rarer there shows
/// in the others). Which names these are depends on the margins of the table alone, so the exact tests remain exact. The
/// levels are divided 9 to 1 (weighted Bonferroni), so that rare names cost the chi-square hardly any power.
///
/// `other` are rows of names that the reference did not keep, see [`pool`]. `None` when the lengths differ, a row is empty,
/// or there is nothing to test.
#[must_use]
pub fn names(reference: &[u64], current: &[u64], other: (u64, u64)) -> Option<NamesTest> {
    let pooled = pool(reference, current, other)?;
    let chi_square = chi_square_of_pooled(&pooled.reference, &pooled.current);
    let total = |counts: &[u64]| counts.iter().fold(0_u64, |sum, count| sum.saturating_add(*count));
    let (n, m) = (total(&pooled.reference), total(&pooled.current));
    let tested = pooled.rare.iter().filter(|(a, b)| a.saturating_add(*b) >= FEWEST_OF_RARE);
    let tested = tested.map(|(a, b)| {
        let (large, small) = (Proportion::new(*a, n), Proportion::new(*b, m));
        let (large, small) = if n >= m { (large, small) } else { (small, large) };
        // What has become rarer has a p-value of about a half and more, which decides nothing.
        if small.value() > large.value() { fisher_higher_p(large, small) } else { 1.0 }
    });
    let (count, smallest) = tested.fold((0_u32, 1.0_f64), |(count, least), p| (count + 1, least.min(p)));
    let rare = (count > 0).then(|| (smallest * f64::from(count)).min(1.0));
    let p_value = match (chi_square.map(|test| test.p_value), rare) {
        (Some(all), Some(rare)) => (all / (1.0 - OF_RARE)).min(rare / OF_RARE).min(1.0),
        (Some(p), None) | (None, Some(p)) => p,
        (None, None) => return None,
    };
    let share = |count: u64, of: u64| count as f64 / of as f64;
    let of_pooled = pooled.reference.iter().copied().zip(pooled.current.iter().copied());
    let changes = of_pooled.chain(pooled.rare.iter().copied());
    let change = changes.map(|(a, b)| (share(a, n) - share(b, m)).abs()).fold(0.0, f64::max);
    Some(NamesTest { chi_square, rare, p_value, change })
}

/// [`chi_square`] of columns that are pooled already.
fn chi_square_of_pooled(reference: &[u64], current: &[u64]) -> Option<ChiSquare> {
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

/// The columns of a table, rare ones together.
#[derive(Clone, Debug, PartialEq)]
pub struct Pooled {
    /// Counts of the reference.
    pub reference: Vec<u64>,
    /// Counts of the current sample.
    pub current: Vec<u64>,
    /// The counts of the names that were pooled, one by one, in both; those of no name of its own are not among them.
    pub rare: Vec<(u64, u64)>,
}

/// Pools the columns of a 2×k table, rarest first, until each expects at least 5 in both rows; `None` when the lengths
/// differ or a row is empty.
///
/// `other` counts the rows of all names that the reference did not keep, and always joins the pool. Which names are kept
/// depends on the reference's own luck, so that "other" by itself is smaller there than in any later sample; which names
/// are rare *in both rows together* favours neither.
#[must_use]
pub fn pool(reference: &[u64], current: &[u64], other: (u64, u64)) -> Option<Pooled> {
    let total =
        |counts: &[u64], other: u64| counts.iter().map(|count| *count as f64).sum::<f64>() + other as f64;
    let (n, m) = (total(reference, other.0), total(current, other.1));
    if reference.len() != current.len() || n == 0.0 || m == 0.0 {
        return None;
    }
    let enough = |column: (u64, u64)| (column.0 + column.1) as f64 >= SMALLEST_EXPECTED * (n + m) / n.min(m);
    let mut columns: Vec<(u64, u64)> = reference.iter().copied().zip(current.iter().copied()).collect();
    columns.sort_by_key(|(a, b)| std::cmp::Reverse(a + b));
    let (mut rare, mut pooled) = (other, Vec::new());
    while let Some((a, b)) = columns.pop() {
        if enough((a, b)) && (rare == (0, 0) || enough(rare)) {
            columns.push((a, b));
            break;
        }
        rare = (rare.0 + a, rare.1 + b);
        pooled.push((a, b));
    }
    if rare != (0, 0) {
        columns.push(rare);
    }
    let (reference, current) = columns.into_iter().unzip();
    Some(Pooled { reference, current, rare: pooled })
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
        let pooled = pool(&[500, 400, 20, 10], &[250, 200, 1, 1], (0, 60)).unwrap();
        assert_eq!((pooled.reference, pooled.current), (vec![500, 400, 20, 10], vec![250, 200, 1, 61]));
    }

    #[test]
    fn a_rare_name_that_fills_a_small_sample_is_found() {
        // Beside a million rows a name of 0.02 % is pooled even when it is 6 % of a thousand, and so is a flag of 40 %.
        let found = names(&[700_000, 299_800, 200], &[660, 280, 60], (0, 0)).unwrap();
        assert!(found.p_value < 1e-20 && found.is_of_rare(), "{found:?}");
        assert!((found.change - 0.0598).abs() < 1e-12, "{found:?}");
        let flag = names(&[999_800, 200], &[600, 400], (0, 0)).unwrap();
        assert!(flag.chi_square.is_none() && flag.p_value < 1e-100, "{flag:?}");
        assert!((flag.change - 0.3998).abs() < 1e-12);
        // Whichever of the two is the small one.
        let back = names(&[600, 400], &[999_800, 200], (0, 0)).unwrap();
        assert!(back.p_value < 1e-100 && (back.change - 0.3998).abs() < 1e-12, "{back:?}");
        let alike = names(&[700_000, 299_800, 200], &[700, 300, 0], (0, 0)).unwrap();
        assert!(alike.p_value > 0.5 && alike.change < 0.001, "{alike:?}");
        assert_eq!(names(&[1_000], &[10], (0, 0)), None);
    }
}

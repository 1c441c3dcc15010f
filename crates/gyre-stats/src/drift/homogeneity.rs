//! The classical tests and effect sizes of a 2×k table of category counts, just as it is.
//!
//! [`chi_square`](super::chi_square) is the test to decide by: it pools rare categories first, so that its p-value holds. The
//! figures here do not pool. They are what people know from elsewhere, and they say by [`Homogeneity::sparse_cells`] whether
//! to believe them. For 2×2 tables there is besides [`fisher_exact_p`](crate::proportion::fisher_exact_p), which always holds,
//! and for the difference of two shares [`newcombe_difference`](crate::proportion::newcombe_difference), its interval.

use serde::{Deserialize, Serialize};

use crate::{
    proportion::Proportion,
    special::{chi_square_upper, normal_upper},
};

/// A 2×k table compared with what equal distributions would give.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Homogeneity {
    /// Pearson's χ² (1900), Σ(count − expected)²/expected.
    pub pearson: f64,
    /// The same with each count moved by up to ½ towards what is expected (Yates 1934); for 2×2 tables only.
    pub yates: Option<f64>,
    /// G, 2·Σ count·ln(count/expected), the likelihood ratio (Wilks 1938).
    pub likelihood_ratio: f64,
    /// Categories in use less 1.
    pub degrees_of_freedom: u64,
    /// Smallest expected count.
    pub smallest_expected: f64,
    /// Cells that expect less than 5: with more than a few, no p-value here can be relied on (Cochran 1954).
    pub sparse_cells: u64,
    rows: f64,
}

/// Compares two rows of counts over the same categories; `None` when the lengths differ, a row is empty, or fewer than two
/// categories are in use.
#[must_use]
pub fn homogeneity(reference: &[u64], current: &[u64]) -> Option<Homogeneity> {
    let total = |counts: &[u64]| counts.iter().map(|count| *count as f64).sum::<f64>();
    let (n, m) = (total(reference), total(current));
    if reference.len() != current.len() || n == 0.0 || m == 0.0 {
        return None;
    }
    let used = reference.iter().zip(current).filter(|(a, b)| **a > 0 || **b > 0);
    let degrees_of_freedom = (used.clone().count() as u64).checked_sub(1).filter(|df| *df > 0)?;
    let mut table = Homogeneity {
        pearson: 0.0,
        yates: None,
        likelihood_ratio: 0.0,
        degrees_of_freedom,
        smallest_expected: f64::INFINITY,
        sparse_cells: 0,
        rows: n + m,
    };
    let mut yates = 0.0;
    for (a, b) in used {
        let (a, b) = (*a as f64, *b as f64);
        for (count, total) in [(a, n), (b, m)] {
            let expected = (a + b) * (total / (n + m));
            let apart = (count - expected).abs();
            table.pearson += apart * apart / expected;
            yates += (apart - 0.5).max(0.0).powi(2) / expected;
            if count > 0.0 {
                table.likelihood_ratio += 2.0 * count * (count / expected).ln();
            }
            table.smallest_expected = table.smallest_expected.min(expected);
            table.sparse_cells += u64::from(expected < 5.0);
        }
    }
    table.likelihood_ratio = table.likelihood_ratio.max(0.0);
    table.yates = (degrees_of_freedom == 1).then_some(yates);
    Some(table)
}

impl Homogeneity {
    /// P-value of Pearson's χ².
    #[must_use]
    pub fn pearson_p(&self) -> f64 {
        chi_square_upper(self.pearson, self.degrees_of_freedom as f64)
    }

    /// P-value with Yates' correction: conservative. 2×2 tables only.
    #[must_use]
    pub fn yates_p(&self) -> Option<f64> {
        self.yates.map(|statistic| chi_square_upper(statistic, 1.0))
    }

    /// P-value of G.
    #[must_use]
    pub fn likelihood_ratio_p(&self) -> f64 {
        chi_square_upper(self.likelihood_ratio, self.degrees_of_freedom as f64)
    }

    /// Cramér's V, √(χ²/rows), in 0..=1: how far the category tells which side a row is of.
    #[must_use]
    pub fn cramers_v(&self) -> f64 {
        (self.pearson / self.rows).sqrt()
    }

    /// Cramér's V less what luck shows, and not below 0 (Bergsma 2013, "A bias-correction for Cramér's V and Tschuprow's
    /// T"); `None` where so few rows have so many categories that nothing is left.
    #[must_use]
    pub fn cramers_v_corrected(&self) -> Option<f64> {
        let (df, others) = (self.degrees_of_freedom as f64, self.rows - 1.0);
        let squared = (self.pearson / self.rows - df / others).max(0.0);
        // Each side of the table less 1, both as corrected.
        let sides = (df - df * df / others).min(1.0 - 1.0 / others);
        (sides > 0.0).then(|| (squared / sides).sqrt())
    }
}

/// A test by the normal distribution.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct NormalTest {
    /// z.
    pub statistic: f64,
    /// Two-sided p-value.
    pub p_value: f64,
}

/// The pooled z test that two proportions are equal, positive where the reference has the larger one; `None` without trials
/// on either side, and where all succeed or all fail.
///
/// z² is Pearson's χ² of the same table. For few rows, see [`two_proportion_p`](crate::proportion::two_proportion_p).
#[must_use]
pub fn two_proportion_z(reference: Proportion, current: Proportion) -> Option<NormalTest> {
    let (p, q) = (reference.value()?, current.value()?);
    let (n, m) = (reference.trials() as f64, current.trials() as f64);
    let pooled = (reference.successes() as f64 + current.successes() as f64) / (n + m);
    let variance = pooled * (1.0 - pooled) * (1.0 / n + 1.0 / m);
    (variance > 0.0).then(|| {
        let statistic = (p - q) / variance.sqrt();
        NormalTest { statistic, p_value: (2.0 * normal_upper(statistic.abs())).min(1.0) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_by_hand() {
        let table = homogeneity(&[10, 0, 20], &[20, 0, 10]).unwrap();
        assert!((table.pearson - 20.0 / 3.0).abs() < 1e-12);
        assert!((table.yates.unwrap() - 4.0 * 4.5 * 4.5 / 15.0).abs() < 1e-12);
        assert_eq!((table.degrees_of_freedom, table.smallest_expected, table.sparse_cells), (1, 15.0, 0));
        assert!((table.cramers_v() - 1.0 / 3.0).abs() < 1e-12);
        let z = two_proportion_z(Proportion::new(10, 30), Proportion::new(20, 30)).unwrap();
        assert!((z.statistic.powi(2) - table.pearson).abs() < 1e-12 && z.statistic < 0.0);
        assert!((z.p_value - table.pearson_p()).abs() < 1e-12);
    }

    #[test]
    fn undefined_is_none() {
        assert_eq!(homogeneity(&[5, 0], &[7, 0]), None);
        assert_eq!(homogeneity(&[5, 1], &[0, 0]), None);
        assert_eq!(homogeneity(&[5, 1], &[1, 2, 3]), None);
        assert_eq!(two_proportion_z(Proportion::new(0, 9), Proportion::new(0, 8)), None);
        assert_eq!(two_proportion_z(Proportion::new(0, 0), Proportion::new(1, 8)), None);
        // Every row its own category.
        let unique = homogeneity(&[1, 1, 0, 0], &[0, 0, 1, 1]).unwrap();
        assert_eq!(unique.cramers_v_corrected(), None);
        assert_eq!(unique.sparse_cells, 8);
    }
}

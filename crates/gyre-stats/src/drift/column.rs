//! The drift of one column, with all that a decision or a person needs about it.

use serde::{Deserialize, Serialize};

use super::{
    contingency::{NamesTest, names, pool},
    counts,
    transport::wasserstein_binned,
};
use crate::{
    profile::{CategoricalReference, CategoricalWindow, ColumnReference, ColumnWindow, Incompatible},
    profile::{NumericReference, NumericWindow},
    proportion::{Proportion, two_proportion_p},
};

/// Rows with a value that both sides need before their distributions are compared.
pub const MINIMUM_ROWS: u64 = 30;

/// Which test stands behind a p-value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Two-sample Kolmogorov–Smirnov on the bins of the reference.
    KolmogorovSmirnov,
    /// Chi-square of homogeneity, rare categories pooled.
    ChiSquare,
    /// Fisher's exact test of the rare category that became most frequent; its statistic is the change of the share.
    FisherExact,
}

/// How large a change is, by the yardstick of its kind of column.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Wasserstein-1 distance in interquartile ranges of the reference (standard deviations where that range is 0).
    WassersteinOverScale(f64),
    /// The change of the share of the name (or of all rare ones together) that changed most, in 0..=1.
    ShareChange(f64),
}

impl Effect {
    /// The number.
    #[must_use]
    pub fn value(self) -> f64 {
        match self {
            Self::WassersteinOverScale(value) | Self::ShareChange(value) => value,
        }
    }
}

/// What the comparison of two distributions gave.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// The distributions were compared.
    Tested {
        /// Which test.
        method: Method,
        /// Its statistic.
        statistic: f64,
        /// Its p-value.
        p_value: f64,
    },
    /// Too few rows, or all of them in one bin. This is not "no drift".
    Insufficient,
}

/// How the share of some rows changed, for example of missing ones.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShareChange {
    /// Share in the reference; `None` without rows.
    pub reference: Option<f64>,
    /// Share in the window; `None` without rows.
    pub current: Option<f64>,
    /// Two-sided p-value that the shares are equal; `None` without rows on either side, and where both shares are 0 or
    /// both are 1, so that nothing is tested.
    pub p_value: Option<f64>,
}

impl ShareChange {
    fn between(reference: Proportion, current: Proportion) -> Self {
        let varies = reference.successes().max(current.successes()) > 0
            && reference.failures().max(current.failures()) > 0;
        Self {
            reference: reference.value(),
            current: current.value(),
            p_value: two_proportion_p(reference, current).filter(|_| varies),
        }
    }
}

/// The drift of one column between its reference and a window.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ColumnDrift {
    /// Whether the distribution of present values changed.
    pub evidence: Evidence,
    /// How large that change is; `None` where there is no yardstick or nothing to compare.
    pub effect: Option<Effect>,
    /// Population stability index ([`counts::psi`]), for those who think in it.
    pub psi: Option<f64>,
    /// Rows with a value in the reference.
    pub n_reference: u64,
    /// Rows with a value in the window.
    pub n_current: u64,
    /// Missing rows.
    pub missing: ShareChange,
    /// Infinite values (numeric columns).
    pub infinite: Option<ShareChange>,
    /// Names that the reference did not keep (categorical columns), against the share of them that is to be expected
    /// ([`CategoricalReference::novelty`]). They are *new* names when the reference is complete, as it is up to
    /// [`TOP_CATEGORIES`](crate::profile::categorical::TOP_CATEGORIES) names.
    pub new_categories: Option<ShareChange>,
}

impl ColumnDrift {
    /// One p-value for the whole column: the smallest of its tests times their number (Bonferroni); `None` when no test
    /// could be made.
    #[must_use]
    pub fn p_value(&self) -> Option<f64> {
        let shape = match self.evidence {
            Evidence::Tested { p_value, .. } => Some(p_value),
            Evidence::Insufficient => None,
        };
        let shares = [Some(self.missing), self.infinite, self.new_categories];
        let tests: Vec<f64> =
            shares.iter().flatten().filter_map(|share| share.p_value).chain(shape).collect();
        let smallest = tests.iter().copied().reduce(f64::min)?;
        Some((smallest * tests.len() as f64).min(1.0))
    }
}

/// Compares a window with its reference.
///
/// # Errors
/// [`Incompatible`] when the window was not made from this reference.
pub fn column(reference: &ColumnReference, window: &ColumnWindow) -> Result<ColumnDrift, Incompatible> {
    match (reference, window) {
        (ColumnReference::Numeric(reference), ColumnWindow::Numeric(window)) => numeric(reference, window),
        (ColumnReference::Categorical(reference), ColumnWindow::Categorical(window)) => {
            categorical(reference, window)
        }
        _ => Err(Incompatible::Kind),
    }
}

fn numeric(reference: &NumericReference, current: &NumericWindow) -> Result<ColumnDrift, Incompatible> {
    let past = reference.histogram();
    if !past.same_bins(current) {
        return Err(Incompatible::Bins);
    }
    let enough = past.present().min(current.present()) >= MINIMUM_ROWS;
    let (before, after) = (past.ordered_counts(), current.ordered_counts());
    let test = counts::kolmogorov_smirnov(&before, &after).filter(|_| enough);
    let distance = wasserstein_binned(past, current).zip(reference.scale()).filter(|_| enough);
    Ok(ColumnDrift {
        evidence: test.map_or(Evidence::Insufficient, |test| Evidence::Tested {
            method: Method::KolmogorovSmirnov,
            statistic: test.statistic,
            p_value: test.p_value,
        }),
        effect: distance.map(|(distance, scale)| Effect::WassersteinOverScale(distance / scale)),
        psi: counts::psi(&before, &after).filter(|_| enough),
        n_reference: past.present(),
        n_current: current.present(),
        missing: missing(past.missing(), past.rows(), current.missing(), current.rows()),
        infinite: Some(ShareChange::between(
            Proportion::new(past.infinite(), past.present()),
            Proportion::new(current.infinite(), current.present()),
        )),
        new_categories: None,
    })
}

fn categorical(
    reference: &CategoricalReference,
    current: &CategoricalWindow,
) -> Result<ColumnDrift, Incompatible> {
    let past = reference.histogram();
    if !past.same_bins(current) {
        return Err(Incompatible::Bins);
    }
    let enough = past.present().min(current.present()) >= MINIMUM_ROWS;
    let other = (past.other(), current.other());
    let test = names(past.counts(), current.counts(), other).filter(|_| enough);
    let pooled = pool(past.counts(), current.counts(), other).filter(|_| enough);
    let of_all = |test: &NamesTest| test.chi_square.map_or(0.0, |all| all.statistic);
    Ok(ColumnDrift {
        evidence: test.map_or(Evidence::Insufficient, |test| Evidence::Tested {
            method: if test.is_of_rare() { Method::FisherExact } else { Method::ChiSquare },
            statistic: if test.is_of_rare() { test.change } else { of_all(&test) },
            p_value: test.p_value,
        }),
        effect: test.map(|test| Effect::ShareChange(test.change)),
        psi: pooled.and_then(|pooled| counts::psi(&pooled.reference, &pooled.current)),
        n_reference: past.present(),
        n_current: current.present(),
        missing: missing(past.missing(), past.rows(), current.missing(), current.rows()),
        infinite: None,
        new_categories: Some(ShareChange::between(
            reference.novelty(),
            Proportion::new(current.other(), current.present()),
        )),
    })
}

fn missing(before: u64, rows_before: u64, after: u64, rows_after: u64) -> ShareChange {
    ShareChange::between(Proportion::new(before, rows_before), Proportion::new(after, rows_after))
}

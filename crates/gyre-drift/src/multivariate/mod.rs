//! All columns at once: changes that no column shows by itself.
//!
//! When two columns that rose together begin to fall apart, each may keep its own distribution to the last digit, and a
//! model that relied on both is lost. Four looks at a sample of the rows find such changes, each good at something else:
//!
//! | look | sees | from |
//! | --- | --- | --- |
//! | domain classifier | whatever a boosted classifier can use to tell the tables apart; says which columns it needs | Kim et al. 2021, "Classification accuracy as a proxy for two-sample testing"; Rabanser et al. 2019 |
//! | reconstruction | rows that leave the plane in which the reference lies | principal components, as NannyML has them |
//! | maximum mean discrepancy | any difference, best smooth ones | Gretton et al. 2012 |
//! | energy distance | the same without a kernel to choose | Székely & Rizzo 2013 |
//!
//! Every p-value is of a fresh sample: the classifier is trained on one half of the rows and judged on the other, the plane
//! is learned from one half of the reference and its other half is compared with the current rows, and the last two are
//! permutation tests. So each keeps its level, which pooled out-of-fold scores do not (folds that look alike by luck teach
//! each other's classifiers). The four are corrected together by Holm's procedure (1979).
//!
//! Invariants: the same files, options and seed give the same numbers; memory is bounded by [`Options::rows`] rows a table.

mod classifier;
mod geometry;
mod rows;

use std::path::Path;

use gyre_stats::adjust::holm;
use gyre_stats::proportion::Interval;
use serde::Serialize;

use crate::error::DriftError;
use crate::verdict::Verdict;
use rows::{Sampled, sample};

/// Rows on a side below which nothing is said.
const FEWEST_ROWS: usize = 100;

/// How all columns are compared at once.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Options {
    /// Most rows of each table; of more, a random sample.
    pub rows: usize,
    /// Most rows of each table that all pairs are compared of.
    pub pair_rows: usize,
    /// Random divisions of a permutation test.
    pub permutations: u32,
    /// Seeds the samples, the halves and the permutations.
    pub seed: u64,
    /// The level of the four looks together.
    pub level: f64,
    /// How well the classifier must tell the tables apart to matter: the area under its ROC curve.
    pub auc: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self { rows: 20_000, pair_rows: 1_000, permutations: 500, seed: 0, level: 0.01, auc: 0.55 }
    }
}

/// What the columns together show.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Multivariate {
    /// Rows of the reference that were looked at.
    pub reference_rows: usize,
    /// Rows of the current table that were looked at.
    pub current_rows: usize,
    /// The columns that took part; times do not, since later ones are always greater, nor do vectors.
    pub columns: Vec<String>,
    /// By what.
    pub options: Options,
    /// The looks that could be taken.
    pub looks: Vec<Look>,
    /// What the classifier needs to tell the tables apart, the most telling column first.
    pub telling: Vec<Telling>,
    /// What to think of it.
    pub verdict: Verdict,
}

/// One way to look at all columns.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Look {
    /// Its name: `domain_classifier`, `reconstruction`, `mmd`, `energy`.
    pub name: &'static str,
    /// What it measures: the area under the ROC curve (0.5 is luck); how many times farther from the reference's plane the
    /// rows are; the unbiased squared discrepancy; the energy statistic.
    pub value: f64,
    /// Its interval at 95 %, where there is one.
    pub interval: Option<Interval>,
    /// The p-value that both tables are of one distribution.
    pub p_value: f64,
    /// The same, corrected for the number of looks (Holm).
    pub adjusted_p_value: f64,
}

/// How much the classifier needs a column.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Telling {
    /// Its name.
    pub column: String,
    /// By how much the area under the curve falls when the column's values are shuffled among the rows, so that neither they nor
    /// what they have to do with others tell anything (Breiman 2001).
    pub auc_drop: f64,
    /// The column's share in the gain of all splits.
    pub gain: f64,
}

impl Multivariate {
    /// A look by its name.
    #[must_use]
    pub fn look(&self, name: &str) -> Option<&Look> {
        self.looks.iter().find(|look| look.name == name)
    }
}

/// Compares samples of two tables in all columns at once: those that both have, or those named. Without a column of numbers or names
/// that both have, none takes part, and nothing is found.
///
/// # Errors
/// [`DriftError`] when a file cannot be read.
pub fn multivariate(
    reference: &Path,
    current: &Path,
    wanted: Option<&[String]>,
    options: &Options,
) -> Result<Multivariate, DriftError> {
    let columns = rows::common(reference, current, wanted)?;
    if columns.is_empty() {
        let none = || Sampled { columns: Vec::new() };
        return Ok(together(none(), none(), options));
    }
    let before = sample(reference, &columns, options.rows, options.seed)?;
    let after = sample(current, &columns, options.rows, options.seed ^ 0x5851_F42D_4C95_7F2D)?;
    Ok(together(before, after, options))
}

/// The same of rows in memory.
fn together(before: Sampled, after: Sampled, options: &Options) -> Multivariate {
    let (before, after) = rows::alike(before, after);
    let mut found = Multivariate {
        reference_rows: before.rows(),
        current_rows: after.rows(),
        columns: before.columns.iter().map(|(name, _)| name.clone()).collect(),
        options: *options,
        looks: Vec::new(),
        telling: Vec::new(),
        verdict: Verdict::Insufficient,
    };
    if before.rows().min(after.rows()) < FEWEST_ROWS {
        return found;
    }
    if let Some((look, telling)) = classifier::tell_apart(&before, &after, options) {
        found.looks.push(look);
        found.telling = telling;
    }
    found.looks.extend(geometry::looks(&before, &after, options));
    let p_values: Vec<f64> = found.looks.iter().map(|look| look.p_value).collect();
    for (look, adjusted) in found.looks.iter_mut().zip(holm(&p_values)) {
        look.adjusted_p_value = adjusted;
    }
    let is_sure = |look: &&Look| look.adjusted_p_value <= options.level;
    // The discrepancies have no yardstick of their own; the classifier's area and the distance from the plane have.
    let is_large = |look: &Look| match look.name {
        "domain_classifier" => look.value >= options.auc,
        "reconstruction" => !(0.9..=1.1).contains(&look.value),
        _ => false,
    };
    let sure: Vec<&Look> = found.looks.iter().filter(is_sure).collect();
    found.verdict = match (found.looks.is_empty(), sure.is_empty()) {
        (true, _) => Verdict::Insufficient,
        (_, true) => Verdict::Stable,
        _ if found.looks.iter().any(is_large) => Verdict::Drift,
        _ => Verdict::Immaterial,
    };
    found
}

/// SplitMix64 (Steele, Lea & Flood 2014), as a hash of a number under a seed.
fn hash(seed: u64, number: u64) -> u64 {
    let mut z = seed.wrapping_add(number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The numbers from 0 to `n` in an order that only the seed knows.
fn shuffled(n: usize, seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by_cached_key(|at| hash(seed, *at as u64));
    order
}

#[cfg(test)]
mod tests;

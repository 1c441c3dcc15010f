//! Means and paired differences of rows that come in clusters.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{InputError, all_finite, same_length};
use crate::{
    moments::Moments,
    proportion::Interval,
    special::{student_critical, student_upper},
};

/// Rows below which no comparison is made.
pub const MINIMUM_ROWS: u64 = 30;

/// Clusters below which no comparison is made.
pub const MINIMUM_CLUSTERS: u64 = 3;

/// A measurement, or the plain statement that there is too little to measure.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome<T> {
    /// Enough data.
    Measured(T),
    /// Too little data. This is neither "no difference" nor "not better".
    Insufficient(Shortage),
}

impl<T> Outcome<T> {
    /// The measurement, if there is one.
    pub fn measured(self) -> Option<T> {
        match self {
            Self::Measured(value) => Some(value),
            Self::Insufficient(_) => None,
        }
    }
}

/// How much data there was where more was needed: [`MINIMUM_ROWS`] rows in [`MINIMUM_CLUSTERS`] clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shortage {
    /// Rows found.
    pub rows: u64,
    /// Clusters found.
    pub clusters: u64,
}

/// A mean with an error that allows rows of one cluster to move together.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClusteredMean {
    /// Mean over all rows.
    pub mean: f64,
    /// Cluster-robust standard error (CR1).
    pub standard_error: f64,
    /// Student interval with clusters − 1 degrees of freedom.
    pub interval: Interval,
    /// One-sided p-value against "the mean is not below 0".
    pub p_below: f64,
    /// One-sided p-value against "the mean is not above 0".
    pub p_above: f64,
    /// Rows.
    pub rows: u64,
    /// Clusters.
    pub clusters: u64,
}

/// Mean of `values` whose rows belong to `clusters` (for example days), at confidence `level`.
///
/// The variance is the sandwich estimator of a regression on a constant with the usual small-sample factor (CR1),
/// G/(G − 1)·Σ_g(Σ_i e)²/n², and Student's t has G − 1 degrees of freedom (Cameron & Miller 2015). With few clusters it
/// still rejects somewhat too often.
///
/// # Errors
/// [`InputError`] when the lengths differ or a value is not finite.
pub fn clustered_mean<K: Ord>(
    values: &[f64],
    clusters: &[K],
    level: f64,
) -> Result<Outcome<ClusteredMean>, InputError> {
    same_length(values.len(), clusters.len())?;
    all_finite(values)?;
    let moments: Moments = values.iter().copied().collect();
    let mean = moments.mean().unwrap_or(0.0);
    let mut sums: BTreeMap<&K, f64> = BTreeMap::new();
    for (value, cluster) in values.iter().zip(clusters) {
        *sums.entry(cluster).or_default() += value - mean;
    }
    let (rows, count) = (moments.count(), sums.len() as u64);
    if rows < MINIMUM_ROWS || count < MINIMUM_CLUSTERS {
        return Ok(Outcome::Insufficient(Shortage { rows, clusters: count }));
    }
    let (n, groups) = (rows as f64, count as f64);
    let standard_error =
        (groups / (groups - 1.0) * sums.values().map(|sum| sum * sum).sum::<f64>()).sqrt() / n;
    let df = groups - 1.0;
    let half = student_critical(level, df) * standard_error;
    Ok(Outcome::Measured(ClusteredMean {
        mean,
        standard_error,
        interval: Interval { lower: mean - half, upper: mean + half, level },
        p_below: p_above(-mean, standard_error, df),
        p_above: p_above(mean, standard_error, df),
        rows,
        clusters: count,
    }))
}

/// Student's interval of an estimate with `degrees` of freedom (at least 1 is taken) at confidence `level`.
#[must_use]
pub fn student_interval(estimate: f64, standard_error: f64, degrees: f64, level: f64) -> Interval {
    let half = student_critical(level, degrees.max(1.0)) * standard_error;
    Interval { lower: estimate - half, upper: estimate + half, level }
}

/// One-sided p-value against "the mean is not above 0". Rows without any variation are proof, or no evidence at 0.
fn p_above(mean: f64, standard_error: f64, df: f64) -> f64 {
    match (standard_error > 0.0, mean > 0.0) {
        (true, _) => student_upper(mean / standard_error, df),
        (false, true) => 0.0,
        (false, false) => 1.0,
    }
}

/// One-sided p-value against "the mean is not above the reference", for a mean and a reference that were measured on
/// different rows, each with a cluster-robust standard error: Student's t on their difference, with `clusters` − 1
/// degrees of freedom, those of the mean (the reference usually has more). `None` below [`MINIMUM_CLUSTERS`].
pub fn p_above_reference(
    (mean, standard_error): (f64, f64),
    clusters: u64,
    (reference, reference_error): (f64, f64),
) -> Option<f64> {
    let error = standard_error.hypot(reference_error);
    let measurable = clusters >= MINIMUM_CLUSTERS && (mean - reference).is_finite() && error.is_finite();
    measurable.then(|| p_above(mean - reference, error, clusters as f64 - 1.0))
}

/// Two models on the same rows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairedDifference {
    /// Mean loss of model a.
    pub mean_a: f64,
    /// Mean loss of model b.
    pub mean_b: f64,
    /// Mean of loss(a) − loss(b): negative when a is better.
    pub difference: f64,
    /// Cluster-robust standard error of the difference.
    pub standard_error: f64,
    /// Student interval of the difference.
    pub interval: Interval,
    /// One-sided p-value: small when a is better (its losses are lower).
    pub p_a_better: f64,
    /// One-sided p-value: small when b is better.
    pub p_b_better: f64,
    /// Rows that both models scored.
    pub rows: u64,
    /// Clusters that the rows fall into.
    pub clusters: u64,
}

/// Compares two models by their losses (absolute errors, log losses, …) on the same rows, clustered by block, for example
/// by day. Lower losses are better. See [`clustered_mean`] for the method.
///
/// # Errors
/// [`InputError`] when the lengths differ or a loss is not finite.
pub fn paired<K: Ord>(
    losses_a: &[f64],
    losses_b: &[f64],
    clusters: &[K],
    level: f64,
) -> Result<Outcome<PairedDifference>, InputError> {
    same_length(losses_a.len(), losses_b.len())?;
    let differences: Vec<f64> = losses_a.iter().zip(losses_b).map(|(a, b)| a - b).collect();
    let of_difference = match clustered_mean(&differences, clusters, level)? {
        Outcome::Measured(mean) => mean,
        Outcome::Insufficient(shortage) => return Ok(Outcome::Insufficient(shortage)),
    };
    let mean_b = losses_b.iter().copied().collect::<Moments>().mean().unwrap_or(0.0);
    let ClusteredMean { mean, standard_error, interval, p_below, p_above, rows, clusters } = of_difference;
    Ok(Outcome::Measured(PairedDifference {
        mean_a: mean_b + mean,
        mean_b,
        difference: mean,
        standard_error,
        interval,
        p_a_better: p_below,
        p_b_better: p_above,
        rows,
        clusters,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_is_held_against_a_reference_with_both_their_errors() {
        // t = (12 − 8)/hypot(3, 4) = 0.8 with 6 degrees of freedom: scipy.stats.t.sf(0.8, 6) = 0.22710518
        let p = p_above_reference((12.0, 3.0), 7, (8.0, 4.0)).unwrap();
        assert!((p - 0.227_105_18).abs() < 1e-7, "{p}");
        assert_eq!(p_above_reference((12.0, 3.0), 2, (8.0, 4.0)), None);
    }

    #[test]
    fn too_little_is_said_to_be_too_little() {
        fn shortage<T>(rows: u64, clusters: u64) -> Result<Outcome<T>, InputError> {
            Ok(Outcome::Insufficient(Shortage { rows, clusters }))
        }
        assert_eq!(clustered_mean::<u8>(&[], &[], 0.95), shortage(0, 0));
        let days: Vec<u32> = (0..40).map(|row| row % 2).collect();
        assert_eq!(paired(&[1.0; 40], &[2.0; 40], &days, 0.95), shortage(40, 2));
        let days: Vec<u32> = (0..29).collect();
        assert_eq!(paired(&[1.0; 29], &[2.0; 29], &days, 0.95), shortage(29, 29));
    }

    #[test]
    fn a_model_is_not_better_than_itself() {
        let losses: Vec<f64> = (0..60).map(f64::from).collect();
        let days: Vec<u32> = (0..60).map(|row| row / 10).collect();
        let same = paired(&losses, &losses, &days, 0.95).unwrap().measured().unwrap();
        assert_eq!((same.difference, same.p_a_better, same.p_b_better), (0.0, 1.0, 1.0));
    }

    #[test]
    fn rows_of_one_day_are_not_independent() {
        // Each day has one value, a hundred times: the error must be that of the days, not of the rows.
        let days: Vec<u32> = (0..1000).map(|row| row / 100).collect();
        let values: Vec<f64> = days.iter().map(|day| f64::from(day % 3)).collect();
        let clustered = clustered_mean(&values, &days, 0.95).unwrap().measured().unwrap();
        let by_day: Moments = (0..10_u32).map(|day| f64::from(day % 3)).collect();
        assert!((clustered.standard_error - by_day.standard_error().unwrap()).abs() < 1e-12);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert_eq!(
            paired(&[1.0], &[1.0, 2.0], &[0, 0], 0.95),
            Err(InputError::Lengths { expected: 1, found: 2 })
        );
        assert_eq!(clustered_mean(&[1.0, f64::NAN], &[0, 0], 0.95), Err(InputError::NotFinite { row: 1 }));
    }
}

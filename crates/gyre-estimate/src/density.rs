//! How much each reference row looks like the window: the ratio of the two densities.
//!
//! A classifier that tells window from reference knows the ratio: where it gives a row the probability p of being the
//! window's, window rows are p/(1−p) times as frequent there as reference rows (Bickel et al. 2009; Sugiyama et al., "Density
//! Ratio Estimation in Machine Learning", 2012), up to their numbers. Each row is judged by a classifier that has not seen it,
//! since one that has remembers which side it came from.

use gyre_baseline::Options;
use gyre_runtime::Table;
use serde::{Deserialize, Serialize};

use crate::EstimateError;
use crate::learner::Learner;
use crate::rows::{PARTS, part_of, select, stack, take};

/// Rows needed on each side.
pub(crate) const MINIMUM_ROWS: usize = 100;

/// How alike reference and window are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Likeness {
    /// Reference rows.
    pub rows: usize,
    /// Window rows that they were compared with.
    pub window_rows: usize,
    /// Reference rows that the weighted reference is worth, (Σw)²/Σw²: all when the two are alike, few when the window is
    /// unlike the reference, and estimates from it uncertain.
    pub effective_rows: f64,
    /// Rows whose weight was cut to the limit.
    pub cut: usize,
}

/// A weight for each row of `reference`, with mean 1 before they are cut at `limit`.
pub(crate) fn weights(
    reference: &Table,
    window: &Table,
    options: &Options,
    limit: f64,
) -> Result<(Vec<f64>, Likeness), EstimateError> {
    for (place, found) in [("reference", reference.rows()), ("window", window.rows())] {
        if found < MINIMUM_ROWS {
            return Err(EstimateError::TooFewRows { place, found, needed: MINIMUM_ROWS });
        }
    }
    let rows = reference.rows();
    let both = stack(reference, window)?;
    let of_window: Vec<bool> = (0..both.rows()).map(|row| row >= rows).collect();
    let mut weights = vec![1.0; rows];
    for part in 0..PARTS {
        let seen: Vec<usize> = (0..both.rows()).filter(|row| part_of(*row) != part).collect();
        let withheld: Vec<usize> = (0..rows).filter(|row| part_of(*row) == part).collect();
        let learner = Learner::binary(select(&both, &seen)?, &take(&of_window, &seen), options)?;
        for (row, p) in withheld.iter().zip(learner.predict(&select(reference, &withheld)?)?) {
            if let Some(weight) = weights.get_mut(*row) {
                // Probabilities are 32-bit numbers, and 1 is one of them.
                *weight = p / (1.0 - p).max(1e-7);
            }
        }
    }
    let sum: f64 = weights.iter().sum();
    let mut cut = 0;
    for weight in &mut weights {
        *weight *= rows as f64 / sum;
        if *weight > limit {
            *weight = limit;
            cut += 1;
        }
    }
    let sum: f64 = weights.iter().sum();
    let effective_rows = sum * sum / weights.iter().map(|weight| weight * weight).sum::<f64>();
    Ok((weights, Likeness { rows, window_rows: window.rows(), effective_rows, cut }))
}

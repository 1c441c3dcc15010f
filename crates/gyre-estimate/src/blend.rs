//! How far weights count.
//!
//! Weighting the reference trades bias for variance. Which is worse can be measured on the reference itself: curves are fitted
//! with weights 1 + share·(weight − 1), for shares from 0 to 1, and judged by their squared errors on rows that they have not
//! seen, weighted to look like the window. The best share wins, if it beats none at all by more than one standard error of
//! their difference (as the one-standard-error rule of Breiman et al., "Classification and Regression Trees", 1984, prefers
//! the plainer model).

use gyre_stats::estimate::Isotonic;

use crate::EstimateError;
use crate::rows::{PARTS, part_of, take};

const SHARES: [f64; 4] = [0.25, 0.5, 0.75, 1.0];

/// The weights to use, and how far they count. `classes` are scores and labels (0 or 1), class by class.
pub(crate) fn blend(
    classes: &[(Vec<f64>, Vec<f64>)],
    weights: &[f64],
) -> Result<(Vec<f64>, f64), EstimateError> {
    let blended =
        |share: f64| weights.iter().map(|weight| 1.0 + share * (weight - 1.0)).collect::<Vec<f64>>();
    let plain = squared_errors(classes, &blended(0.0))?;
    let total: f64 = weights.iter().sum();
    let mut best = (0.0, 0.0);
    for share in SHARES {
        let errors = squared_errors(classes, &blended(share))?;
        let rows =
            || errors.iter().zip(&plain).zip(weights).map(|((error, plain), weight)| (error - plain, weight));
        let gain = rows().map(|(more, weight)| weight * more).sum::<f64>() / total;
        let scatter =
            rows().map(|(more, weight)| (weight * (more - gain)).powi(2)).sum::<f64>().sqrt() / total;
        if gain + scatter < 0.0 && gain < best.1 {
            best = (share, gain);
        }
    }
    Ok((blended(best.0), best.0))
}

/// The squared error of each row, summed over the classes, by curves that were fitted without it.
fn squared_errors(classes: &[(Vec<f64>, Vec<f64>)], weights: &[f64]) -> Result<Vec<f64>, EstimateError> {
    let mut errors = vec![0.0; weights.len()];
    for part in 0..PARTS {
        let (withheld, seen): (Vec<usize>, Vec<usize>) =
            (0..weights.len()).partition(|row| part_of(*row) == part);
        for (scores, labels) in classes {
            let (scores_seen, labels_seen) = (take(scores, &seen), take(labels, &seen));
            let (curve, _) = Isotonic::fit(&scores_seen, &labels_seen, Some(&take(weights, &seen)))?;
            for &row in &withheld {
                let (Some(error), Some(score), Some(label)) =
                    (errors.get_mut(row), scores.get(row), labels.get(row))
                else {
                    continue;
                };
                *error += (curve.at(*score) - label).powi(2);
            }
        }
    }
    Ok(errors)
}

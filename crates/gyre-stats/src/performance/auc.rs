//! Area under the ROC curve.

use super::{Estimate, InputError, all_finite, same_length};
use crate::moments::Moments;

/// Probability that a positive row scores above a negative one, ties counting half; `None` when a class is missing.
///
/// Exact, by midranks. Standard error by DeLong, DeLong & Clarke-Pearson (1988) in the rank form of Sun & Xu (2014);
/// `None` when a class has a single row.
///
/// # Errors
/// [`InputError`] when the lengths differ or a score is not finite.
pub fn auc(scores: &[f64], labels: &[bool]) -> Result<Option<Estimate>, InputError> {
    same_length(scores.len(), labels.len())?;
    all_finite(scores)?;
    let of_class = |class: bool| -> Vec<f64> {
        scores.iter().zip(labels).filter(|(_, label)| **label == class).map(|(score, _)| *score).collect()
    };
    let (positives, negatives) = (of_class(true), of_class(false));
    if positives.is_empty() || negatives.is_empty() {
        return Ok(None);
    }
    let (n, m) = (positives.len() as f64, negatives.len() as f64);
    let together = midranks(&[positives.as_slice(), &negatives].concat());
    let (of_positives, of_negatives) = together.split_at(positives.len());
    // Share of the other class that each row beats.
    let beaten: Moments =
        of_positives.iter().zip(midranks(&positives)).map(|(all, within)| (all - within) / m).collect();
    let beating: Moments =
        of_negatives.iter().zip(midranks(&negatives)).map(|(all, within)| 1.0 - (all - within) / n).collect();
    let standard_error = beaten.variance().zip(beating.variance()).map(|(s, t)| (s / n + t / m).sqrt());
    Ok(beaten.mean().map(|value| Estimate { value, standard_error, rows: scores.len() as u64 }))
}

/// Ranks from 1, tied values sharing the mean of theirs.
fn midranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|&a, &b| (values[a] + 0.0).total_cmp(&(values[b] + 0.0)));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for tied in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let rank = before as f64 + 0.5 * (tied.len() + 1) as f64;
        tied.iter().for_each(|&index| ranks[index] = rank);
        before += tied.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_count_half() {
        assert_eq!(auc(&[0.5; 4], &[true, false, true, false]).unwrap().unwrap().value, 0.5);
        assert_eq!(auc(&[0.1, 0.9], &[false, true]).unwrap().unwrap().value, 1.0);
    }

    #[test]
    fn one_class_has_no_curve() {
        assert_eq!(auc(&[0.1, 0.9], &[true, true]), Ok(None));
        assert_eq!(auc(&[0.1, f64::NAN], &[true, false]), Err(InputError::NotFinite { row: 1 }));
        assert_eq!(auc(&[0.1], &[]), Err(InputError::Lengths { expected: 1, found: 0 }));
    }
}

//! Calibration: scores are corrected only where that makes them more honest on rows the correction has not seen.
//!
//! A correction costs: it follows the reference's noise, and scores that were honest get worse by it. So it is held against
//! the scores as they are, out of fold: each row is judged by a curve that was fitted without it.

use serde::{Deserialize, Serialize};

use super::isotonic::{Isotonic, Row, sorted};
use super::{FitError, PARTS, Skipped, same_length, weight_of};
use crate::performance::InputError;

/// Usable reference rows below which nothing is fitted.
pub const MINIMUM_ROWS: u64 = 30;

/// Groups of neighbouring scores that promise and truth are compared in.
const GROUPS: usize = 10;

/// What scores promise, corrected by what came true on a reference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// The correction; also where it is not applied, since the error of the reference comes from its levels.
    curve: Option<Isotonic>,
    check: Option<CalibrationCheck>,
    applied: bool,
    skipped: Skipped,
}

/// Calibration errors on the reference, in the unit of the labels: the mean distance of promise and truth over ten groups of
/// neighbouring scores with about the same weight each, weighted by it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CalibrationCheck {
    /// Of the scores as they are.
    pub as_they_are: f64,
    /// Of the corrected scores, each by a curve that was fitted without its row.
    pub out_of_fold: f64,
}

impl Calibration {
    /// Scores taken as they are, without any reference; estimates then have no calibration error to state.
    #[must_use]
    pub fn trusting() -> Self {
        Self { curve: None, check: None, applied: false, skipped: 0 }
    }

    /// Of probabilities of the positive class, by reference rows with labels. Rows whose score is no probability, or whose
    /// weight is not finite and above 0, are left out and counted.
    ///
    /// # Errors
    /// [`FitError`]: lengths differ, fewer than [`MINIMUM_ROWS`] usable rows, or all of one class.
    pub fn of_probabilities(
        scores: &[f64],
        labels: &[bool],
        weights: Option<&[f64]>,
    ) -> Result<Self, FitError> {
        same_length(scores.len(), labels.len())?;
        let usable = |(row, score): (usize, &f64)| is_probability(*score) && weight_of(weights, row) > 0.0;
        let mut classes = scores.iter().enumerate().zip(labels).filter(|(row, _)| usable(*row));
        if let Some((_, first)) = classes.next()
            && classes.all(|(_, label)| label == first)
        {
            return Err(FitError::OneClass);
        }
        let labels: Vec<f64> = labels.iter().map(|label| f64::from(u8::from(*label))).collect();
        Self::of_shares(scores, &labels, weights)
    }

    /// The same for labels 0 and 1, without asking for both of them.
    pub(super) fn of_shares(
        scores: &[f64],
        labels: &[f64],
        weights: Option<&[f64]>,
    ) -> Result<Self, FitError> {
        let scores: Vec<f64> =
            scores.iter().map(|score| if is_probability(*score) { *score } else { f64::NAN }).collect();
        Self::of_predictions(&scores, labels, weights)
    }

    /// Of any predictions of a number, by what the number was. They should be out of fold themselves. Rows with a number or a
    /// weight that is not finite, or a weight of 0 or less, are left out and counted.
    ///
    /// # Errors
    /// [`FitError`]: lengths differ, or fewer than [`MINIMUM_ROWS`] usable rows.
    pub fn of_predictions(
        predictions: &[f64],
        truth: &[f64],
        weights: Option<&[f64]>,
    ) -> Result<Self, FitError> {
        let (rows, skipped) = sorted(predictions, truth, weights)?;
        if (rows.len() as u64) < MINIMUM_ROWS {
            return Err(FitError::TooFewRows { rows: rows.len() as u64 });
        }
        let curve = Isotonic::of_sorted(rows.iter().copied()).ok_or(FitError::NoRows)?;
        let check = check(&rows);
        let applied = check.is_some_and(|check| check.out_of_fold < check.as_they_are);
        Ok(Self { curve: Some(curve), check, applied, skipped })
    }

    /// The same, with the correction applied whether it helps or not.
    #[must_use]
    pub fn always(mut self) -> Self {
        self.applied = self.curve.is_some();
        self
    }

    /// Whether scores are corrected.
    #[must_use]
    pub fn is_applied(&self) -> bool {
        self.applied
    }

    /// What the decision rests on; `None` without a reference.
    #[must_use]
    pub fn check(&self) -> Option<CalibrationCheck> {
        self.check
    }

    /// The correction; `None` without a reference.
    #[must_use]
    pub fn curve(&self) -> Option<&Isotonic> {
        self.curve.as_ref()
    }

    /// Reference rows that could not be used.
    #[must_use]
    pub fn skipped(&self) -> Skipped {
        self.skipped
    }

    /// The corrected score; NaN is given back as it is.
    #[must_use]
    pub fn at(&self, score: f64) -> f64 {
        self.read(score).1
    }

    /// The level that a score falls into, and the corrected score.
    pub(super) fn read(&self, score: f64) -> (usize, f64) {
        match &self.curve {
            None => (0, score),
            Some(curve) => {
                let (level, corrected) = curve.read(score);
                (level, if self.applied { corrected } else { score })
            }
        }
    }

    /// Mean of the corrected `predictions` of losses with its errors, each row's label scattering as its level does; `None`
    /// without a finite prediction.
    #[must_use]
    pub fn mean_of(&self, predictions: &[f64]) -> Option<super::Expected> {
        let levels = self.curve.as_ref().map_or(&[][..], Isotonic::levels);
        let mut counts = vec![0.0; levels.len()];
        let (mut sum, mut rows) = (0.0, 0_u64);
        for prediction in predictions.iter().filter(|prediction| prediction.is_finite()) {
            let (level, corrected) = self.read(*prediction);
            sum += corrected;
            rows += 1;
            if let Some(count) = counts.get_mut(level) {
                *count += 1.0;
            }
        }
        let n = rows as f64;
        let over = |of: &dyn Fn(&super::Level, f64) -> f64| {
            levels.iter().zip(&counts).map(|(level, count)| of(level, *count)).sum::<f64>().sqrt() / n
        };
        let sampling = over(&|level, count| count * level.variance);
        let calibration = over(&|level, count| count * count * level.variance / level.rows);
        (rows > 0).then(|| super::Expected::of_loss(sum / n, sampling, calibration, rows))
    }
}

fn is_probability(score: f64) -> bool {
    (0.0..=1.0).contains(&score)
}

/// Calibration errors of rows in order of their scores; `None` where a part of the cross-fit has no rows to learn from.
fn check(rows: &[Row]) -> Option<CalibrationCheck> {
    let curves: Vec<Isotonic> = (0..PARTS)
        .map(|part| Isotonic::of_sorted(rows.iter().copied().filter(|row| row.3 != part)))
        .collect::<Option<_>>()?;
    let total: f64 = rows.iter().map(|row| row.2).sum();
    // Distances of promise and truth: as they are, and corrected.
    let mut distances = [0.0; 2];
    let (mut group, mut seen, mut ended) = ([0.0; 2], 0.0, 0);
    for tied in rows.chunk_by(|a, b| a.0 == b.0) {
        for (score, label, weight, part) in tied {
            let corrected = curves.get(usize::from(*part)).map_or(*score, |curve| curve.at(*score));
            group[0] += weight * (score - label);
            group[1] += weight * (corrected - label);
            seen += weight;
        }
        let due = (GROUPS as f64 * seen / total) as usize;
        if due > ended {
            distances.iter_mut().zip(&mut group).for_each(|(all, part)| *all += std::mem::take(part).abs());
            ended = due;
        }
    }
    distances.iter_mut().zip(&group).for_each(|(all, part)| *all += part.abs());
    let [as_they_are, out_of_fold] = distances.map(|distance| distance / total);
    Some(CalibrationCheck { as_they_are, out_of_fold })
}

/// Expected calibration error over `groups` equally wide groups of scores (Guo et al. 2017): the mean distance between mean
/// score and share of positives, weighted by the groups' weights. A score on a border belongs to the upper group, 1 to the
/// last. Rows whose score is no probability, or whose weight is not finite and above 0, are left out; `None` when that
/// leaves none, or without groups.
///
/// # Errors
/// [`InputError::Lengths`].
pub fn expected_calibration_error(
    scores: &[f64],
    labels: &[bool],
    weights: Option<&[f64]>,
    groups: usize,
) -> Result<Option<f64>, InputError> {
    same_length(scores.len(), labels.len())?;
    same_length(scores.len(), weights.map_or(scores.len(), <[f64]>::len))?;
    let mut distances = vec![0.0; groups];
    let mut total = 0.0;
    for (row, (&score, &label)) in scores.iter().zip(labels).enumerate() {
        let weight = weight_of(weights, row);
        let group = ((score * groups as f64) as usize).min(groups.saturating_sub(1));
        if is_probability(score)
            && weight > 0.0
            && let Some(distance) = distances.get_mut(group)
        {
            *distance += weight * (score - f64::from(u8::from(label)));
            total += weight;
        }
    }
    Ok((total > 0.0).then(|| distances.iter().map(|distance| distance.abs()).sum::<f64>() / total))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `n` rows whose positives have the share `of` score, spread as evenly as can be.
    fn rows(n: usize, of: impl Fn(f64) -> f64) -> (Vec<f64>, Vec<bool>) {
        let scores: Vec<f64> = (0..n).map(|row| (row as f64 + 0.5) / n as f64).collect();
        let mut owed = 0.0;
        let labels = scores.iter().map(|score| {
            owed += of(*score);
            let label = owed >= 0.5;
            owed -= f64::from(u8::from(label));
            label
        });
        let labels = labels.collect();
        (scores, labels)
    }

    #[test]
    fn only_dishonest_scores_are_corrected() {
        let (scores, labels) = rows(4000, |score| score);
        let honest = Calibration::of_probabilities(&scores, &labels, None).unwrap();
        assert!(!honest.is_applied(), "{:?}", honest.check());
        assert_eq!(honest.at(0.3), 0.3);
        let (scores, labels) = rows(4000, |score| score * score);
        let corrected = Calibration::of_probabilities(&scores, &labels, None).unwrap();
        assert!(corrected.is_applied());
        assert!((corrected.at(0.5) - 0.25).abs() < 0.05, "{}", corrected.at(0.5));
    }

    #[test]
    fn too_little_to_learn_from_is_said() {
        let of = |scores: &[f64], labels: &[bool]| Calibration::of_probabilities(scores, labels, None);
        assert_eq!(of(&[0.5; 40], &[true; 40]), Err(FitError::OneClass));
        assert_eq!(of(&[0.5; 2], &[true, false]), Err(FitError::TooFewRows { rows: 2 }));
        assert_eq!(of(&[], &[]), Err(FitError::TooFewRows { rows: 0 }));
        let lengths = InputError::Lengths { expected: 1, found: 0 };
        assert_eq!(of(&[0.5], &[]), Err(FitError::Input(lengths)));
        assert_eq!(Calibration::of_probabilities(&[0.5], &[true], Some(&[])), Err(FitError::Input(lengths)));
    }

    #[test]
    fn scores_that_are_no_probabilities_are_left_out() {
        let (mut scores, mut labels) = rows(100, |score| score);
        scores.extend([f64::NAN, -0.1, 1.1, f64::INFINITY]);
        labels.extend([true; 4]);
        assert_eq!(Calibration::of_probabilities(&scores, &labels, None).unwrap().skipped(), 4);
        let error = expected_calibration_error(&scores, &labels, None, 10).unwrap().unwrap();
        assert!(error < 0.06, "{error}");
        assert_eq!(expected_calibration_error(&[f64::NAN], &[true], None, 10), Ok(None));
        assert_eq!(expected_calibration_error(&[0.5], &[true], None, 0), Ok(None));
    }

    #[test]
    fn a_mean_of_losses_has_the_errors_of_its_levels() {
        let predictions = [1.0; 40];
        let truth: Vec<f64> = (0..40).map(|row| f64::from(row % 2) * 4.0).collect();
        let calibration = Calibration::of_predictions(&predictions, &truth, None).unwrap().always();
        let mean = calibration.mean_of(&[1.0, 9.0, f64::NAN, 1.0, 1.0]).unwrap();
        // Mean 2, standard deviation 2: 2/√4 over the window's rows, 2/√40 over the reference's.
        assert_eq!((mean.value, mean.rows), (2.0, 4));
        assert!((mean.sampling_error - 1.0).abs() < 1e-12);
        assert!((mean.calibration_error.unwrap() - 2.0 / 40.0_f64.sqrt()).abs() < 1e-12);
        assert_eq!(calibration.mean_of(&[f64::NAN]), None);
    }
}

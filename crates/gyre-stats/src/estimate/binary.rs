//! Expected metrics of a binary classifier.

use serde::{Deserialize, Serialize};

use super::area::{Ranked, area};
use super::{Calibration, Expected, Isotonic, Skipped, Spread, Undefined, same_length, surprise, weight_of};
use crate::performance::InputError;

/// Rows of a window, without labels.
#[derive(Clone, Copy, Debug)]
pub struct BinaryRows<'a> {
    /// The model's probability of the positive class.
    pub scores: &'a [f64],
    /// Whether the row was decided positive.
    pub decisions: &'a [bool],
    /// How much each row counts; 1 each without.
    pub weights: Option<&'a [f64]>,
}

/// Expected weight of each kind of decision.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExpectedConfusion {
    /// Decided positive, rightly.
    pub true_positive: f64,
    /// Decided positive, wrongly.
    pub false_positive: f64,
    /// Decided negative, rightly.
    pub true_negative: f64,
    /// Decided negative, wrongly.
    pub false_negative: f64,
}

/// Metrics as they are expected to come true, each with the reason where there is none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BinaryEstimates {
    /// Rows taken in.
    pub rows: u64,
    /// Rows left out: the score is no probability, or the weight not finite and above 0.
    pub skipped: Skipped,
    /// Decisions by kind.
    pub confusion: ExpectedConfusion,
    /// Share of right decisions.
    pub accuracy: Result<Expected, Undefined>,
    /// Share of wrong decisions.
    pub error_rate: Result<Expected, Undefined>,
    /// TP / (TP + FP).
    pub precision: Result<Expected, Undefined>,
    /// TP / (TP + FN).
    pub recall: Result<Expected, Undefined>,
    /// TN / (TN + FP).
    pub specificity: Result<Expected, Undefined>,
    /// 2·TP / (2·TP + FP + FN).
    pub f1: Result<Expected, Undefined>,
    /// Probability that a positive scores above a negative, by the model's own scores, ties counting half.
    pub roc_auc: Result<Expected, Undefined>,
    /// Mean of −ln(the model's own probability of the label), in nats.
    pub log_loss: Result<Expected, Undefined>,
    /// Mean squared distance of the model's own probability and the label.
    pub brier: Result<Expected, Undefined>,
}

/// A usable row.
struct Kept {
    score: f64,
    /// Probability of a positive label, corrected.
    probability: f64,
    weight: f64,
    level: usize,
    decision: bool,
}

/// Expected metrics of a window. O(n log n), for the order of the scores.
///
/// # Errors
/// [`InputError::Lengths`]. What the rows leave undefined is a reason in its field instead.
pub fn binary(calibration: &Calibration, window: BinaryRows<'_>) -> Result<BinaryEstimates, InputError> {
    let BinaryRows { scores, decisions, weights } = window;
    same_length(scores.len(), decisions.len())?;
    same_length(scores.len(), weights.map_or(scores.len(), <[f64]>::len))?;
    let mut rows = Vec::with_capacity(scores.len());
    for (row, (&score, &decision)) in scores.iter().zip(decisions).enumerate() {
        let weight = weight_of(weights, row);
        if (0.0..=1.0).contains(&score) && weight > 0.0 {
            // Adding 0 makes −0 and 0 one score.
            let (level, probability) = calibration.read(score + 0.0);
            rows.push(Kept { score: score + 0.0, probability, weight, level, decision });
        }
    }
    let skipped = (scores.len() - rows.len()) as Skipped;
    Ok(Sums::new(&rows, calibration).estimates(skipped))
}

/// The window's rows with their sums.
struct Sums<'a> {
    rows: &'a [Kept],
    /// For each level of the calibration the variance of its height; `None` without a reference.
    heights: Option<Vec<f64>>,
    confusion: ExpectedConfusion,
}

impl<'a> Sums<'a> {
    fn new(rows: &'a [Kept], calibration: &Calibration) -> Self {
        let mut confusion = ExpectedConfusion {
            true_positive: 0.0,
            false_positive: 0.0,
            true_negative: 0.0,
            false_negative: 0.0,
        };
        for row in rows {
            let positive = row.weight * row.probability;
            let negative = row.weight * (1.0 - row.probability);
            let (of_positive, of_negative) = if row.decision {
                (&mut confusion.true_positive, &mut confusion.false_positive)
            } else {
                (&mut confusion.false_negative, &mut confusion.true_negative)
            };
            *of_positive += positive;
            *of_negative += negative;
        }
        Self { rows, heights: calibration.curve().map(heights), confusion }
    }

    fn estimates(&self, skipped: Skipped) -> BinaryEstimates {
        let ExpectedConfusion { true_positive, false_positive, true_negative, false_negative } =
            self.confusion;
        let (positives, negatives) = (true_positive + false_negative, true_negative + false_positive);
        let decided = true_positive + false_positive;
        let all = positives + negatives;
        // Each gradient is that of a quotient a/b with value m: (a' − m·b')/b, for a row of weight 1.
        let accuracy = self.share(true_positive + true_negative, all, Undefined::NoRows, |row, _| {
            if row.decision { 1.0 } else { -1.0 }
        });
        let precision = self
            .share(true_positive, decided, Undefined::NoPositiveDecisions, |row, _| indicator(row.decision));
        let recall = self.share(true_positive, positives, Undefined::NoPositives, |row, value| {
            indicator(row.decision) - value
        });
        let specificity = self.share(true_negative, negatives, Undefined::NoNegatives, |row, value| {
            value - indicator(!row.decision)
        });
        let f1 =
            self.share(2.0 * true_positive, decided + positives, Undefined::NoPositives, |row, value| {
                2.0 * indicator(row.decision) - value
            });
        let log_loss = |row: &Kept| (surprise(row.score), surprise(1.0 - row.score));
        let brier = |row: &Kept| ((1.0 - row.score).powi(2), row.score.powi(2));
        BinaryEstimates {
            rows: self.rows.len() as u64,
            skipped,
            confusion: self.confusion,
            accuracy,
            error_rate: accuracy.map(Expected::complement),
            precision,
            recall,
            specificity,
            f1,
            roc_auc: self.area(),
            log_loss: self.loss(all, log_loss, None),
            brier: self.loss(all, brier, Some(1.0)),
        }
    }

    /// The quotient of two sums, with the slope of a row of weight 1 (given the quotient) times the lower sum.
    fn share(
        &self,
        above: f64,
        below: f64,
        otherwise: Undefined,
        slope: impl Fn(&Kept, f64) -> f64,
    ) -> Result<Expected, Undefined> {
        if self.rows.is_empty() {
            return Err(Undefined::NoRows);
        }
        if below <= 0.0 {
            return Err(otherwise);
        }
        let value = above / below;
        let spread = self.spread(|_, row| row.weight * slope(row, value) / below);
        Ok(self.expected(value, spread, Some(1.0)))
    }

    /// The mean of a loss that is `of` a row, with a positive and with a negative label.
    fn loss(
        &self,
        all: f64,
        of: impl Fn(&Kept) -> (f64, f64),
        largest: Option<f64>,
    ) -> Result<Expected, Undefined> {
        if self.rows.is_empty() {
            return Err(Undefined::NoRows);
        }
        let losses: Vec<(f64, f64)> = self.rows.iter().map(of).collect();
        let sum = self.rows.iter().zip(&losses).map(|(row, (positive, negative))| {
            row.weight * (row.probability * positive + (1.0 - row.probability) * negative)
        });
        let value = sum.sum::<f64>() / all;
        let slope = |index: usize| losses.get(index).map_or(0.0, |(positive, negative)| positive - negative);
        let spread = self.spread(|index, row| row.weight * slope(index) / all);
        Ok(self.expected(value, spread, largest))
    }

    fn area(&self) -> Result<Expected, Undefined> {
        let ranked = |(row, kept): (usize, &Kept)| Ranked {
            score: kept.score,
            probability: kept.probability,
            weight: kept.weight,
            row,
        };
        let area = area(self.rows.iter().enumerate().map(ranked).collect(), self.rows.len())?;
        let spread = self.spread(|index, _| area.gradient.get(index).copied().unwrap_or(0.0));
        Ok(self.expected(area.value, spread, Some(1.0)))
    }

    fn expected(&self, value: f64, spread: Spread, largest: Option<f64>) -> Expected {
        Expected::of(value, spread, largest, self.rows.len() as u64)
    }

    /// Variances of a metric with this derivative by each row's probability.
    fn spread(&self, gradient: impl Fn(usize, &Kept) -> f64) -> Spread {
        let levels = self.heights.as_ref().map_or(0, Vec::len);
        let (mut sampling, mut by_level) = (0.0, vec![0.0; levels]);
        for (index, row) in self.rows.iter().enumerate() {
            let slope = gradient(index, row);
            sampling += row.probability * (1.0 - row.probability) * slope * slope;
            if let Some(sum) = by_level.get_mut(row.level) {
                *sum += slope;
            }
        }
        let of_levels = |heights: &Vec<f64>| {
            by_level.iter().zip(heights).map(|(slope, variance)| slope * slope * variance).sum()
        };
        Spread { sampling, calibration: self.heights.as_ref().map(of_levels) }
    }
}

/// Variance of each level's height. A level without scatter still rests on few rows: half a success and half a failure are
/// added (Jeffreys).
fn heights(curve: &Isotonic) -> Vec<f64> {
    let of = |level: &super::Level| {
        let share = (level.mean * level.rows + 0.5) / (level.rows + 1.0);
        share * (1.0 - share) / level.rows
    };
    curve.levels().iter().map(of).collect()
}

fn indicator(truth: bool) -> f64 {
    f64::from(u8::from(truth))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimates(scores: &[f64], decisions: &[bool]) -> BinaryEstimates {
        let rows = BinaryRows { scores, decisions, weights: None };
        binary(&Calibration::trusting(), rows).unwrap()
    }

    #[test]
    fn undefined_has_its_reason() {
        let none = estimates(&[f64::NAN, 1.5, -0.5], &[true; 3]);
        assert_eq!((none.rows, none.skipped), (0, 3));
        for metric in [none.accuracy, none.precision, none.f1, none.roc_auc, none.log_loss] {
            assert_eq!(metric, Err(Undefined::NoRows));
        }
        let negative = estimates(&[0.0, 0.0], &[false; 2]);
        assert_eq!(negative.precision, Err(Undefined::NoPositiveDecisions));
        assert_eq!(
            (negative.recall, negative.f1),
            (Err(Undefined::NoPositives), Err(Undefined::NoPositives))
        );
        assert_eq!(negative.roc_auc, Err(Undefined::NoPositives));
        assert_eq!(negative.accuracy.unwrap().value, 1.0);
        let positive = estimates(&[1.0, 1.0], &[true; 2]);
        assert_eq!(positive.specificity, Err(Undefined::NoNegatives));
        assert_eq!(positive.roc_auc, Err(Undefined::NoNegatives));
        assert!(positive.log_loss.unwrap().value.is_finite());
    }

    #[test]
    fn a_window_without_a_reference_states_no_error_of_one() {
        let accuracy = estimates(&[0.2, 0.9], &[false, true]).accuracy.unwrap();
        assert!((accuracy.value - 0.85).abs() < 1e-12);
        assert!((accuracy.sampling_error - (0.16_f64 + 0.09).sqrt() / 2.0).abs() < 1e-12);
        assert_eq!(accuracy.calibration_error, None);
    }

    #[test]
    fn weights_are_like_repetition() {
        let repeated = estimates(&[0.2, 0.9, 0.9, 0.4], &[false, true, true, true]);
        let rows = BinaryRows {
            scores: &[0.2, 0.9, 0.4, 0.7, 0.7],
            decisions: &[false, true, true, true, true],
            weights: Some(&[1.0, 2.0, 1.0, 0.0, f64::NAN]),
        };
        let weighted = binary(&Calibration::trusting(), rows).unwrap();
        assert_eq!(weighted.skipped, 2);
        let values = |of: &BinaryEstimates| {
            [of.accuracy, of.precision, of.recall, of.specificity, of.f1, of.roc_auc, of.log_loss, of.brier]
                .map(|metric| metric.unwrap().value)
        };
        for (a, b) in values(&repeated).into_iter().zip(values(&weighted)) {
            assert!((a - b).abs() < 1e-12, "{a} {b}");
        }
    }
}

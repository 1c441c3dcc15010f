//! Errors of a classifier, a row at a time.

use serde::{Deserialize, Serialize};

use super::{Estimate, InputError};
use crate::{
    confusion::{Confusion, Rate},
    moments::Moments,
    proportion::Proportion,
};

/// Probabilities are kept this far from 0 and 1 in the log loss, as scikit-learn does for doubles.
const SMALLEST_PROBABILITY: f64 = f64::EPSILON;

/// −ln of the probability that was given to what came true.
fn surprise(probability: f64) -> f64 {
    -probability.clamp(SMALLEST_PROBABILITY, 1.0 - SMALLEST_PROBABILITY).ln()
}

/// Running metrics of a binary classifier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BinaryStats {
    threshold: f64,
    confusion: Confusion,
    log_loss: Moments,
    squared: Moments,
    skipped: u64,
}

impl BinaryStats {
    /// No rows seen; a probability at or above `threshold` is a positive decision.
    #[must_use]
    pub fn new(threshold: f64) -> Self {
        let (confusion, log_loss, squared) = <(Confusion, Moments, Moments)>::default();
        Self { threshold, confusion, log_loss, squared, skipped: 0 }
    }

    /// Takes in the probability of the positive class and the label. A row whose probability is not in 0..=1 is counted
    /// in [`skipped`](Self::skipped) only.
    pub fn push(&mut self, probability: f64, label: bool) {
        if !(0.0..=1.0).contains(&probability) {
            self.skipped += 1;
            return;
        }
        self.confusion.push(probability >= self.threshold, label);
        self.log_loss.push(surprise(if label { probability } else { 1.0 - probability }));
        self.squared.push((probability - f64::from(u8::from(label))).powi(2));
    }

    /// Adds the metrics of other rows, decided at the same threshold.
    pub fn merge(&mut self, other: &Self) {
        self.confusion.merge(&other.confusion);
        self.log_loss.merge(&other.log_loss);
        self.squared.merge(&other.squared);
        self.skipped += other.skipped;
    }

    /// Rows that could not be taken in.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// The counts of decisions.
    #[must_use]
    pub fn confusion(&self) -> &Confusion {
        &self.confusion
    }

    /// Share of right decisions.
    #[must_use]
    pub fn accuracy(&self) -> Option<Estimate> {
        Estimate::of_share(self.confusion.rate(Rate::Accuracy))
    }

    /// TP / (TP + FP); `None` without positive decisions.
    #[must_use]
    pub fn precision(&self) -> Option<Estimate> {
        Estimate::of_share(self.confusion.rate(Rate::PositivePredictive))
    }

    /// TP / (TP + FN); `None` without positive labels.
    #[must_use]
    pub fn recall(&self) -> Option<Estimate> {
        Estimate::of_share(self.confusion.rate(Rate::TruePositive))
    }

    /// 2·TP / (2·TP + FP + FN); `None` without positives on either side. Standard error by the delta method.
    #[must_use]
    pub fn f1(&self) -> Option<Estimate> {
        let right = self.confusion.true_positive as f64;
        let wrong = (self.confusion.false_positive + self.confusion.false_negative) as f64;
        let sum = 2.0 * right + wrong;
        (sum > 0.0).then(|| Estimate {
            value: 2.0 * right / sum,
            standard_error: Some((4.0 * right * wrong * (right + wrong)).sqrt() / (sum * sum)),
            rows: self.confusion.total(),
        })
    }

    /// Mean of −ln(probability of the label), in nats.
    #[must_use]
    pub fn log_loss(&self) -> Option<Estimate> {
        Estimate::of_mean(&self.log_loss)
    }

    /// Brier score: mean squared distance of probability and label.
    #[must_use]
    pub fn brier(&self) -> Option<Estimate> {
        Estimate::of_mean(&self.squared)
    }
}

/// Running metrics of a classifier with more than two classes, given as indices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MulticlassStats {
    right: Vec<u64>,
    predicted: Vec<u64>,
    actual: Vec<u64>,
    log_loss: Moments,
}

impl MulticlassStats {
    /// No rows seen, of `classes` classes.
    #[must_use]
    pub fn new(classes: usize) -> Self {
        let zeros = vec![0; classes];
        Self { right: zeros.clone(), predicted: zeros.clone(), actual: zeros, log_loss: Moments::new() }
    }

    /// Takes in one row: the class predicted, the class that came true, and the probability that was given to the latter
    /// (`None` for models that give none).
    ///
    /// # Errors
    /// [`InputError::UnknownClass`]; the state is then unchanged.
    pub fn push(
        &mut self,
        predicted: usize,
        actual: usize,
        probability_of_actual: Option<f64>,
    ) -> Result<(), InputError> {
        let classes = self.actual.len();
        let found = predicted.max(actual);
        if found >= classes {
            return Err(InputError::UnknownClass { found, classes });
        }
        self.predicted[predicted] += 1;
        self.actual[actual] += 1;
        self.right[actual] += u64::from(predicted == actual);
        if let Some(probability) = probability_of_actual.filter(|probability| !probability.is_nan()) {
            self.log_loss.push(surprise(probability));
        }
        Ok(())
    }

    /// Adds the metrics of other rows.
    ///
    /// # Errors
    /// [`InputError::Lengths`] when the numbers of classes differ; the state is then unchanged.
    pub fn merge(&mut self, other: &Self) -> Result<(), InputError> {
        super::same_length(self.actual.len(), other.actual.len())?;
        let add = |counts: &mut [u64], more: &[u64]| {
            counts.iter_mut().zip(more).for_each(|(count, more)| *count += more)
        };
        add(&mut self.right, &other.right);
        add(&mut self.predicted, &other.predicted);
        add(&mut self.actual, &other.actual);
        self.log_loss.merge(&other.log_loss);
        Ok(())
    }

    /// Share of right decisions.
    #[must_use]
    pub fn accuracy(&self) -> Option<Estimate> {
        Estimate::of_share(Proportion::new(self.right.iter().sum(), self.actual.iter().sum()))
    }

    /// Unweighted mean of the classes' F1; classes neither predicted nor seen are left out.
    #[must_use]
    pub fn macro_f1(&self) -> Option<f64> {
        let sums = self.predicted.iter().zip(&self.actual).map(|(predicted, actual)| predicted + actual);
        let scores: Moments = (self.right.iter().zip(sums))
            .filter(|(_, sum)| *sum > 0)
            .map(|(right, sum)| 2.0 * *right as f64 / sum as f64)
            .collect();
        scores.mean()
    }

    /// Mean of −ln(probability of the label), in nats; `None` when the model gives no probabilities.
    #[must_use]
    pub fn log_loss(&self) -> Option<Estimate> {
        Estimate::of_mean(&self.log_loss)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undefined_is_none() {
        let mut stats = BinaryStats::new(0.5);
        stats.push(f64::NAN, true);
        stats.push(1.5, true);
        assert_eq!((stats.skipped(), stats.accuracy(), stats.f1()), (2, None, None));
        stats.push(0.1, false);
        assert_eq!((stats.precision(), stats.recall(), stats.f1()), (None, None, None));
        assert_eq!(stats.accuracy().unwrap().value, 1.0);
    }

    #[test]
    fn certainty_that_is_wrong_costs_a_finite_amount() {
        let mut stats = BinaryStats::new(0.5);
        stats.push(0.0, true);
        assert!(stats.log_loss().unwrap().value.is_finite());
    }

    #[test]
    fn a_class_that_does_not_exist_is_refused() {
        let mut stats = MulticlassStats::new(3);
        assert_eq!(stats.push(3, 0, None), Err(InputError::UnknownClass { found: 3, classes: 3 }));
        assert_eq!(stats, MulticlassStats::new(3));
    }
}

//! Calibration: whether what comes true is as likely, or as large, as the model says.
//!
//! A classifier whose classes are still right may say 90 % of what comes true in 70 % of the cases, and every decision that
//! weighs its probabilities is wrong. Compared are the mean of what was said and the mean of what came true (calibration in the
//! large, Cox 1958; Van Calster et al. 2019): of two classes the probability of the second; of more the confidence in the answer and
//! how often it was right (Guo et al. 2017); of numbers prediction and label. Some versions were never calibrated, so
//! a window is held against the withheld rows, not against perfection. The slope tells the other kind: below 1 what is said is too
//! extreme, above 1 too timid.

use gyre_core::fact::CalibrationShift;
use gyre_stats::performance::{clustered_mean, p_above_reference};
use gyre_stats::recalibration;
use serde::{Deserialize, Serialize};

use crate::columns::{Predictions, Values};
use crate::loss::LEVEL;

/// What was said and what came true, over labelled rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Calibrated {
    /// Labelled rows.
    pub rows: u64,
    /// Days that they fall into.
    pub days: u64,
    /// Mean of what was said.
    pub predicted: f64,
    /// Mean of what came true.
    pub actual: f64,
    /// The standard error of their difference, clustered by day.
    pub standard_error: f64,
    /// By how much what comes true rises with what is said: of logits, or of numbers. None of more than two classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slope: Option<f64>,
}

impl Calibrated {
    /// What `rows` show; none without scores, or with too few labels or days to test.
    pub(crate) fn measure(
        predictions: &Predictions<'_>,
        labels: &Values<'_>,
        days: &[i64],
        rows: impl Iterator<Item = usize>,
    ) -> Option<Self> {
        let (mut said, mut came, mut of) = (Vec::new(), Vec::new(), Vec::new());
        for row in rows {
            let Some((predicted, actual)) = pair(predictions, labels, row) else { continue };
            if let Some(day) = days.get(row).filter(|_| predicted.is_finite() && actual.is_finite()) {
                said.push(predicted);
                came.push(actual);
                of.push(*day);
            }
        }
        let differences: Vec<f64> = came.iter().zip(&said).map(|(actual, said)| actual - said).collect();
        let off = clustered_mean(&differences, &of, LEVEL).ok()?.measured()?;
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let (predicted, actual, standard_error) = (mean(&said), mean(&came), off.standard_error);
        // Of numbers as large as numbers can be.
        if ![predicted, actual, standard_error].into_iter().all(f64::is_finite) {
            return None;
        }
        let slope = slope(predictions.classes.len(), &said, &came).filter(|slope| slope.is_finite());
        Some(Self { rows: off.rows, days: off.clusters, predicted, actual, standard_error, slope })
    }

    /// By how much what came true is above what was said.
    fn off(&self) -> f64 {
        self.actual - self.predicted
    }

    /// A window's, beside that of the withheld rows.
    pub(crate) fn beside(&self, reference: Option<&Self>) -> CalibrationShift {
        let above = reference.and_then(|reference| {
            let now = (self.off(), self.standard_error);
            p_above_reference(now, self.days, (reference.off(), reference.standard_error))
        });
        CalibrationShift {
            rows: self.rows,
            predicted: self.predicted,
            actual: self.actual,
            slope: self.slope,
            reference: reference.map(Self::off),
            reference_slope: reference.and_then(|reference| reference.slope),
            p: above.map(|p| (2.0 * p.min(1.0 - p)).min(1.0)).filter(|p| p.is_finite()),
        }
    }
}

/// What was said of a row, and what came true.
fn pair(predictions: &Predictions<'_>, labels: &Values<'_>, row: usize) -> Option<(f64, f64)> {
    let classes = predictions.classes;
    match (labels, &predictions.outputs) {
        (Values::Numbers(labels), Values::Numbers(outputs)) => Some((*outputs.get(row)?, *labels.get(row)?)),
        (Values::Text(labels), Values::Text(outputs)) => {
            let label = labels.get(row)?.as_deref()?;
            let scores = predictions.scores.chunks_exact(classes.len().max(1)).nth(row)?;
            let hit = |is: bool| f64::from(u8::from(is));
            if let ([_, second], [_, score]) = (classes, scores) {
                return Some((*score, hit(label == second)));
            }
            let confidence = scores.iter().copied().reduce(f64::max)?;
            Some((confidence, hit(outputs.get(row)?.as_deref()? == label)))
        }
        _ => None,
    }
}

fn slope(classes: usize, said: &[f64], came: &[f64]) -> Option<f64> {
    match classes {
        0 => recalibration::line(said, came, false).map(|line| line.scale),
        2 => {
            let both: Vec<f64> = said.iter().flat_map(|p| [1.0 - p, *p]).collect();
            let actual: Vec<Option<usize>> = came.iter().map(|hit| Some(usize::from(*hit > 0.5))).collect();
            recalibration::logits(&both, 2, &actual).map(|logits| logits.scale)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn days(rows: usize) -> Vec<i64> {
        (0..rows).map(|row| (row / 40) as i64).collect()
    }

    /// Rows that are said to be `yes` with 0.2, 0.5 and 0.8 in turn, and are with the probability that `truth` makes of it.
    fn classifier(truth: impl Fn(f64) -> f64) -> Option<Calibrated> {
        let rows = 1_200;
        let classes = ["no".to_owned(), "yes".to_owned()];
        let said: Vec<f64> = (0..rows).map(|row| [0.2, 0.5, 0.8][row % 3]).collect();
        let scores: Vec<f64> = said.iter().flat_map(|p| [1.0 - p, *p]).collect();
        // Evenly spread in 0..1, whatever the row's turn.
        let dice = |row: usize| ((row / 3) as f64 * 0.618_033_988_749_895).fract();
        let class = |is: bool| Some(Arc::from(if is { "yes" } else { "no" }));
        let labels: Vec<Option<Arc<str>>> =
            said.iter().enumerate().map(|(row, p)| class(dice(row) < truth(*p))).collect();
        let outputs: Vec<Option<Arc<str>>> = said.iter().map(|p| class(*p > 0.5)).collect();
        let predictions = Predictions { outputs: Values::Text(&outputs), scores: &scores, classes: &classes };
        Calibrated::measure(&predictions, &Values::Text(&labels), &days(rows), 0..rows)
    }

    #[test]
    fn what_is_said_too_often_and_what_is_said_too_loud_are_told_apart() {
        let right = classifier(|p| p).unwrap();
        assert!((right.predicted - 0.5).abs() < 1e-9 && (right.actual - 0.5).abs() < 0.01, "{right:?}");
        assert!((right.slope.unwrap() - 1.0).abs() < 0.05, "{right:?}");
        let quiet = right.beside(Some(&right));
        assert!(quiet.p.unwrap() > 0.9, "{quiet:?}");
        let rare = classifier(|p| p - 0.15).unwrap().beside(Some(&right));
        assert!((rare.actual - 0.35).abs() < 0.01 && rare.p.unwrap() < 1e-6, "{rare:?}");
        let loud = classifier(|p| 0.5 + (p - 0.5) / 2.0).unwrap().beside(Some(&right));
        assert!(loud.p.unwrap() > 0.5 && loud.slope.unwrap() < 0.6, "{loud:?}");
        assert_eq!(right.beside(None).p, None, "a version from before");
    }

    #[test]
    fn numbers_are_compared_with_their_labels_and_few_rows_say_nothing() {
        let said: Vec<f64> = (0..400).map(|row| f64::from(row % 20)).collect();
        let came: Vec<f64> = said.iter().map(|said| 3.0 + 0.5 * said).collect();
        let predictions = Predictions { outputs: Values::Numbers(&said), scores: &[], classes: &[] };
        let found = Calibrated::measure(&predictions, &Values::Numbers(&came), &days(400), 0..400).unwrap();
        assert!((found.off() - (3.0 - 0.5 * 9.5)).abs() < 1e-9, "{found:?}");
        assert!((found.slope.unwrap() - 0.5).abs() < 0.05, "{found:?}");
        let few = Calibrated::measure(&predictions, &Values::Numbers(&came), &days(400), 0..20);
        assert_eq!(few, None);
        let huge = vec![f64::MAX; 400];
        let huge = Calibrated::measure(&predictions, &Values::Numbers(&huge), &days(400), 0..400);
        assert_eq!(huge, None, "a mean that is no number can be kept by nobody");
        let unlabelled = vec![f64::NAN; 400];
        let none = Calibrated::measure(&predictions, &Values::Numbers(&unlabelled), &days(400), 0..400);
        assert_eq!(none, None);
    }
}

//! Expected metrics of a classifier with several classes.
//!
//! Each class's probability is corrected by itself, class against the rest, and each row brought back to a sum of one (Zadrozny
//! & Elkan 2002). The errors follow: a row's label is one draw among all classes, and since shares of a level sum to one as
//! well, a derivative counts by how far it is from the row's mean derivative, with multinomial variance share/rows.

use serde::{Deserialize, Serialize};

use super::area::{Ranked, area};
use super::{Calibration, Expected, FitError, Skipped, Spread, Undefined, same_length, surprise, weight_of};
use crate::{moments::Moments, performance::InputError};

/// One [`Calibration`] a class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MulticlassCalibration {
    classes: Vec<Calibration>,
}

/// Rows of a window, without labels.
#[derive(Clone, Copy, Debug)]
pub struct MulticlassRows<'a> {
    /// The model's probabilities, row after row, one a class.
    pub probabilities: &'a [f64],
    /// The class that each row was given.
    pub decisions: &'a [usize],
    /// How much each row counts; 1 each without.
    pub weights: Option<&'a [f64]>,
}

/// Metrics as they are expected to come true, each with the reason where there is none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MulticlassEstimates {
    /// Rows taken in.
    pub rows: u64,
    /// Rows left out: a value is no probability, all are 0, or the weight is not finite and above 0.
    pub skipped: Skipped,
    /// Share of right decisions.
    pub accuracy: Result<Expected, Undefined>,
    /// Share of wrong decisions.
    pub error_rate: Result<Expected, Undefined>,
    /// Unweighted mean of the classes' F1; classes neither decided nor expected are left out.
    pub macro_f1: Result<Expected, Undefined>,
    /// Unweighted mean of the classes' areas, each class against the rest, by the model's own probabilities.
    pub macro_auc: Result<Expected, Undefined>,
    /// Mean of −ln(the model's own probability of the label), in nats.
    pub log_loss: Result<Expected, Undefined>,
}

impl MulticlassCalibration {
    /// Probabilities of `classes` classes taken as they are, without any reference.
    #[must_use]
    pub fn trusting(classes: usize) -> Self {
        Self { classes: vec![Calibration::trusting(); classes] }
    }

    /// By reference rows whose class is known. `probabilities` has one value a class, row after row. Rows as in
    /// [`Calibration::of_probabilities`] are left out, class by class. A class that never came true is expected never to.
    ///
    /// # Errors
    /// [`FitError`]: lengths differ, an unknown class, too few rows, or all of one class.
    pub fn fit(
        probabilities: &[f64],
        labels: &[usize],
        classes: usize,
        weights: Option<&[f64]>,
    ) -> Result<Self, FitError> {
        same_length(labels.len() * classes, probabilities.len())?;
        known(labels, classes)?;
        if labels.first().is_some_and(|first| labels.iter().all(|label| label == first)) {
            return Err(FitError::OneClass);
        }
        let of = |class: usize| {
            let scores: Vec<f64> = probabilities.iter().skip(class).step_by(classes).copied().collect();
            let labels: Vec<f64> = labels.iter().map(|label| f64::from(u8::from(*label == class))).collect();
            Calibration::of_shares(&scores, &labels, weights)
        };
        Ok(Self { classes: (0..classes).map(of).collect::<Result<_, _>>()? })
    }

    /// The same, with every correction applied whether it helps or not.
    #[must_use]
    pub fn always(self) -> Self {
        Self { classes: self.classes.into_iter().map(Calibration::always).collect() }
    }

    /// Each class's calibration.
    #[must_use]
    pub fn classes(&self) -> &[Calibration] {
        &self.classes
    }
}

fn known(classes_of_rows: &[usize], classes: usize) -> Result<(), InputError> {
    match classes_of_rows.iter().find(|class| **class >= classes) {
        Some(&found) => Err(InputError::UnknownClass { found, classes }),
        None => Ok(()),
    }
}

/// Expected metrics of a window. O(classes · n log n), for the order of the probabilities.
///
/// # Errors
/// [`InputError`]: lengths differ, or a decision for an unknown class. What the rows leave undefined is a reason in its field
/// instead.
pub fn multiclass(
    calibration: &MulticlassCalibration,
    window: MulticlassRows<'_>,
) -> Result<MulticlassEstimates, InputError> {
    let MulticlassRows { probabilities, decisions, weights } = window;
    let classes = calibration.classes.len();
    same_length(decisions.len() * classes, probabilities.len())?;
    same_length(decisions.len(), weights.map_or(decisions.len(), <[f64]>::len))?;
    known(decisions, classes)?;
    let mut kept =
        Kept { calibration, rows: Vec::new(), scores: Vec::new(), corrected: Vec::new(), levels: Vec::new() };
    for (row, (scores, &decision)) in probabilities.chunks_exact(classes.max(1)).zip(decisions).enumerate() {
        kept.take(scores, decision, weight_of(weights, row));
    }
    Ok(kept.estimates((decisions.len() - kept.rows.len()) as Skipped))
}

/// Usable rows, by row: decision and weight; by row and class: the model's probability, the corrected one, its level.
struct Kept<'a> {
    calibration: &'a MulticlassCalibration,
    rows: Vec<(usize, f64)>,
    scores: Vec<f64>,
    corrected: Vec<f64>,
    levels: Vec<usize>,
}

impl Kept<'_> {
    fn take(&mut self, scores: &[f64], decision: usize, weight: f64) {
        let usable = scores.iter().all(|score| (0.0..=1.0).contains(score)) && weight > 0.0;
        if !usable || scores.iter().sum::<f64>() <= 0.0 {
            return;
        }
        let start = self.corrected.len();
        for (score, calibration) in scores.iter().zip(&self.calibration.classes) {
            let (level, corrected) = calibration.read(score + 0.0);
            self.scores.push(score + 0.0);
            self.corrected.push(corrected);
            self.levels.push(level);
        }
        let Some(corrected) = self.corrected.get_mut(start..) else { return };
        // Where no class is expected any more, the model's word is all there is.
        if corrected.iter().sum::<f64>() <= 0.0 {
            corrected.copy_from_slice(scores);
        }
        let sum: f64 = corrected.iter().sum();
        corrected.iter_mut().for_each(|probability| *probability /= sum);
        self.rows.push((decision, weight));
    }

    fn classes(&self) -> usize {
        self.calibration.classes.len()
    }

    /// Each row's decision, weight and corrected probabilities.
    fn each(&self) -> impl Iterator<Item = (usize, f64, &[f64])> {
        let corrected = self.corrected.chunks_exact(self.classes().max(1));
        self.rows.iter().zip(corrected).map(|((decision, weight), corrected)| (*decision, *weight, corrected))
    }

    fn estimates(&self, skipped: Skipped) -> MulticlassEstimates {
        let accuracy = self.accuracy();
        MulticlassEstimates {
            rows: self.rows.len() as u64,
            skipped,
            accuracy,
            error_rate: accuracy.map(Expected::complement),
            macro_f1: self.macro_f1(),
            macro_auc: self.macro_auc(),
            log_loss: self.log_loss(),
        }
    }

    fn total(&self) -> Result<f64, Undefined> {
        let total: f64 = self.rows.iter().map(|(_, weight)| weight).sum();
        if total > 0.0 { Ok(total) } else { Err(Undefined::NoRows) }
    }

    fn accuracy(&self) -> Result<Expected, Undefined> {
        let total = self.total()?;
        let right = |(decision, weight, corrected): (usize, f64, &[f64])| {
            weight * corrected.get(decision).copied().unwrap_or(0.0)
        };
        let value = self.each().map(right).sum::<f64>() / total;
        let slope = |row: usize, class: usize| {
            self.rows
                .get(row)
                .filter(|(decision, _)| *decision == class)
                .map_or(0.0, |(_, weight)| weight / total)
        };
        Ok(self.expected(value, slope, Some(1.0)))
    }

    fn log_loss(&self) -> Result<Expected, Undefined> {
        let total = self.total()?;
        let losses: Vec<f64> = self.scores.iter().map(|score| surprise(*score)).collect();
        let classes = self.classes();
        let slope = |row: usize, class: usize| {
            let weight = self.rows.get(row).map_or(0.0, |(_, weight)| *weight);
            weight * losses.get(row * classes + class).copied().unwrap_or(0.0) / total
        };
        let value = self.each().enumerate().map(|(row, (_, _, corrected))| {
            corrected.iter().enumerate().map(|(class, p)| p * slope(row, class)).sum::<f64>()
        });
        Ok(self.expected(value.sum(), slope, None))
    }

    fn macro_f1(&self) -> Result<Expected, Undefined> {
        self.total()?;
        // By class: expected hits, and decisions together with expected labels.
        let mut sums = vec![(0.0, 0.0); self.classes()];
        for (decision, weight, corrected) in self.each() {
            for (class, (sums, p)) in sums.iter_mut().zip(corrected).enumerate() {
                let hit = f64::from(u8::from(class == decision));
                sums.0 += weight * p * hit;
                sums.1 += weight * (p + hit);
            }
        }
        let scores: Vec<Option<(f64, f64)>> =
            sums.iter().map(|(hits, sum)| (*sum > 0.0).then(|| (2.0 * hits / sum, *sum))).collect();
        let mean: Moments = scores.iter().flatten().map(|(score, _)| *score).collect();
        let counted = mean.count() as f64;
        let slope = |row: usize, class: usize| {
            let (decision, weight) = self.rows.get(row).copied().unwrap_or((0, 0.0));
            scores.get(class).copied().flatten().map_or(0.0, |(score, sum)| {
                weight * (2.0 * f64::from(u8::from(class == decision)) - score) / (sum * counted)
            })
        };
        Ok(self.expected(mean.mean().ok_or(Undefined::NoRows)?, slope, Some(1.0)))
    }

    fn macro_auc(&self) -> Result<Expected, Undefined> {
        self.total()?;
        let classes = self.classes();
        let area_of = |class: usize| {
            let ranked = self.rows.iter().enumerate().filter_map(|(row, (_, weight))| {
                let at = row * classes + class;
                let (score, probability) = (*self.scores.get(at)?, *self.corrected.get(at)?);
                Some(Ranked { score, probability, weight: *weight, row })
            });
            area(ranked.collect(), self.rows.len()).map_err(|_| Undefined::OneClass { class })
        };
        let areas = (0..classes).map(area_of).collect::<Result<Vec<_>, _>>()?;
        let value = areas.iter().map(|area| area.value).sum::<f64>() / classes as f64;
        let slope = |row: usize, class: usize| {
            areas.get(class).and_then(|area| area.gradient.get(row)).copied().unwrap_or(0.0) / classes as f64
        };
        Ok(self.expected(value, slope, Some(1.0)))
    }

    /// A metric with this derivative by the probability of each row's classes.
    fn expected(&self, value: f64, slope: impl Fn(usize, usize) -> f64, largest: Option<f64>) -> Expected {
        let classes = self.classes();
        let heights = self.heights();
        let zeros = |heights: &Vec<Vec<f64>>| heights.iter().map(|of| vec![0.0; of.len()]).collect();
        let mut by_level: Vec<Vec<f64>> = heights.as_ref().map_or_else(Vec::new, zeros);
        let mut sampling = 0.0;
        let levels = self.levels.chunks_exact(classes.max(1));
        for (row, ((_, _, corrected), levels)) in self.each().zip(levels).enumerate() {
            let mean: f64 = corrected.iter().enumerate().map(|(class, p)| p * slope(row, class)).sum();
            for (class, (p, level)) in corrected.iter().zip(levels).enumerate() {
                let from_mean = slope(row, class) - mean;
                sampling += p * from_mean * from_mean;
                if let Some(sum) = by_level.get_mut(class).and_then(|sums| sums.get_mut(*level)) {
                    *sum += from_mean;
                }
            }
        }
        let of_class = |(sums, heights): (&Vec<f64>, &Vec<f64>)| {
            sums.iter().zip(heights).map(|(sum, variance)| sum * sum * variance).sum::<f64>()
        };
        let calibration = heights.as_ref().map(|heights| by_level.iter().zip(heights).map(of_class).sum());
        Expected::of(value, Spread { sampling, calibration }, largest, self.rows.len() as u64)
    }

    /// Variance of the height of each class's levels, half a success added so that none is certain; `None` without a
    /// reference.
    fn heights(&self) -> Option<Vec<Vec<f64>>> {
        let of = |calibration: &Calibration| {
            let levels = calibration.curve()?.levels().iter();
            Some(levels.map(|l| (l.mean * l.rows + 0.5) / (l.rows + 1.0) / l.rows).collect())
        };
        self.calibration.classes.iter().map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimates(probabilities: &[f64], decisions: &[usize]) -> MulticlassEstimates {
        let rows = MulticlassRows { probabilities, decisions, weights: None };
        multiclass(&MulticlassCalibration::trusting(3), rows).unwrap()
    }

    #[test]
    fn undefined_has_its_reason() {
        let none = estimates(&[f64::NAN, 0.5, 0.5, 0.0, 0.0, 0.0], &[1, 1]);
        assert_eq!((none.rows, none.skipped), (0, 2));
        for metric in [none.accuracy, none.macro_f1, none.macro_auc, none.log_loss] {
            assert_eq!(metric, Err(Undefined::NoRows));
        }
        let two = estimates(&[0.5, 0.5, 0.0, 0.25, 0.75, 0.0], &[0, 1]);
        assert_eq!(two.macro_auc, Err(Undefined::OneClass { class: 2 }));
        assert_eq!(two.accuracy.unwrap().value, 0.625);
        // The class neither decided nor expected is left out: the mean is over two.
        let f1 = (2.0 * 0.5 / (1.0 + 0.75) + 2.0 * 0.75 / (1.0 + 1.25)) / 2.0;
        assert!((two.macro_f1.unwrap().value - f1).abs() < 1e-12);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let calibration = MulticlassCalibration::trusting(2);
        let of = |probabilities, decisions| {
            multiclass(&calibration, MulticlassRows { probabilities, decisions, weights: None })
        };
        assert_eq!(of(&[0.5], &[0]), Err(InputError::Lengths { expected: 2, found: 1 }));
        assert_eq!(of(&[0.5, 0.5], &[2]), Err(InputError::UnknownClass { found: 2, classes: 2 }));
        let none = multiclass(
            &MulticlassCalibration::trusting(0),
            MulticlassRows { probabilities: &[], decisions: &[], weights: None },
        );
        assert_eq!(none.unwrap().macro_auc, Err(Undefined::NoRows));
    }

    #[test]
    fn two_classes_are_a_binary_classifier() {
        let scores: Vec<f64> = (0..200).map(|row| f64::from(row * 37 % 200) / 200.0).collect();
        let labels: Vec<bool> =
            scores.iter().enumerate().map(|(row, s)| (row * 7 % 10) as f64 / 10.0 < s * s).collect();
        let decisions: Vec<bool> = scores.iter().map(|score| *score >= 0.5).collect();
        let of_binary = super::super::binary(
            &Calibration::of_probabilities(&scores, &labels, None).unwrap().always(),
            super::super::BinaryRows { scores: &scores, decisions: &decisions, weights: None },
        )
        .unwrap();
        let both: Vec<f64> = scores.iter().flat_map(|score| [1.0 - score, *score]).collect();
        let of = |truth: &[bool]| truth.iter().map(|truth| usize::from(*truth)).collect::<Vec<_>>();
        let calibration = MulticlassCalibration::fit(&both, &of(&labels), 2, None).unwrap().always();
        let rows = MulticlassRows { probabilities: &both, decisions: &of(&decisions), weights: None };
        let of_classes = multiclass(&calibration, rows).unwrap();
        for (a, b) in [
            (of_binary.accuracy, of_classes.accuracy),
            (of_binary.log_loss, of_classes.log_loss),
            (of_binary.roc_auc, of_classes.macro_auc),
        ] {
            let (a, b) = (a.unwrap(), b.unwrap());
            assert!((a.value - b.value).abs() < 1e-12, "{a:?} {b:?}");
            assert!((a.sampling_error - b.sampling_error).abs() < 1e-12, "{a:?} {b:?}");
            let ratio = a.calibration_error.unwrap() / b.calibration_error.unwrap();
            assert!((0.8..1.25).contains(&ratio), "{a:?} {b:?}");
        }
    }
}

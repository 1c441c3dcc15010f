//! PAPE, performance-adaptive estimation (Białek et al., "Estimating Model Performance Under Covariate Shift Without Labels",
//! arXiv 2401.08348): what scores mean in this window.
//!
//! A score of 0.8 may come true eight times of ten over the whole reference, and six times of ten among the young. When the
//! window is mostly young, a calibration on the whole reference is wrong. So reference rows are weighted by how much they look
//! like the window's (`density`), calibrated with these weights, and the window is estimated with that calibration.
//!
//! It needs reference rows at the time of the estimate, so it keeps some: [`PapeOptions::rows`] of them, evenly spread.
//!
//! It costs: weights make the reference worth fewer rows ([`Likeness::effective_rows`]), and a calibration on few rows is worse
//! than one that is slightly wrong. So the weights count as far as they pay (`blend`), and where they do not the estimate is
//! the plain one. Inputs that the reference has none of, no weight can bring.

use gyre_baseline::Options;
use gyre_runtime::Table;
use gyre_stats::estimate::{
    BinaryEstimates, BinaryRows, Calibration, MulticlassCalibration, MulticlassEstimates, MulticlassRows,
    binary, multiclass,
};
use serde::{Deserialize, Serialize};

use crate::EstimateError;
use crate::blend::blend;
use crate::density::{Likeness, MINIMUM_ROWS, weights};
use crate::rows::{beside, same_length, select, spread, take};

/// How to adapt.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PapeOptions {
    /// Most reference rows to keep, and most window rows to compare them with.
    pub rows: usize,
    /// Boosting rounds of the classifier that tells window from reference.
    pub rounds: usize,
    /// Most leaves of its trees.
    pub leaves: usize,
    /// The largest weight of a reference row, in units of the mean weight.
    pub limit: f64,
}

impl Default for PapeOptions {
    fn default() -> Self {
        Self { rows: 20_000, rounds: 30, leaves: 15, limit: 20.0 }
    }
}

/// What came true on the reference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Truth {
    /// Labels, and the calibration on all reference rows without weights.
    Binary { labels: Vec<bool>, plain: Calibration },
    /// The same for several classes.
    Classes { labels: Vec<usize>, plain: MulticlassCalibration },
}

/// Reference rows, ready to be made to look like a window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pape {
    #[serde(with = "crate::columns")]
    features: Table,
    /// Row after row: the probability of the positive class, or one a class.
    scores: Vec<f64>,
    truth: Truth,
    options: PapeOptions,
}

/// An estimate, and how much the reference had to be bent for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Adapted<T> {
    /// The metrics.
    pub estimates: T,
    /// How alike reference and window are.
    pub likeness: Likeness,
    /// How far the weights count, 0 (not at all: the plain estimate) to 1.
    pub share: f64,
}

impl Pape {
    /// For a binary classifier, by reference rows that it was not trained on: features, probabilities of the positive class,
    /// labels. Rows whose score is no probability are left out.
    ///
    /// # Errors
    /// [`EstimateError`]: lengths differ, or too few usable rows.
    pub fn binary(
        features: &Table,
        scores: &[f64],
        labels: &[bool],
        options: PapeOptions,
    ) -> Result<Self, EstimateError> {
        let rows = usable(features, scores, 1, options.rows, "reference")?;
        same_length(features.rows(), labels.len())?;
        let plain = Calibration::of_probabilities(scores, labels, None)?;
        let truth = Truth::Binary { labels: take(labels, &rows), plain };
        Ok(Self { features: select(features, &rows)?, scores: take(scores, &rows), truth, options })
    }

    /// For a classifier of `classes` classes; probabilities row after row, one a class, and class numbers as labels.
    ///
    /// # Errors
    /// [`EstimateError`]: lengths differ, an unknown class, or too few usable rows.
    pub fn multiclass(
        features: &Table,
        probabilities: &[f64],
        labels: &[usize],
        classes: usize,
        options: PapeOptions,
    ) -> Result<Self, EstimateError> {
        let rows = usable(features, probabilities, classes, options.rows, "reference")?;
        same_length(features.rows(), labels.len())?;
        let plain = MulticlassCalibration::fit(probabilities, labels, classes, None)?;
        let truth = Truth::Classes { labels: take(labels, &rows), plain };
        let scores = take_rows(probabilities, &rows, classes);
        Ok(Self { features: select(features, &rows)?, scores, truth, options })
    }

    /// Expected metrics of a window of a binary classifier; `features` must have the reference's columns.
    ///
    /// # Errors
    /// [`EstimateError`]: lengths or columns differ, too few usable rows, or the estimator is for several classes.
    pub fn estimate_binary(
        &self,
        features: &Table,
        window: BinaryRows<'_>,
    ) -> Result<Adapted<BinaryEstimates>, EstimateError> {
        let Truth::Binary { labels, plain } = &self.truth else {
            return Err(EstimateError::Task { expected: "several classes", found: "a binary classifier" });
        };
        let (weights, likeness) = self.weights(features, window.scores, 1)?;
        let positive: Vec<f64> = labels.iter().map(|label| f64::from(u8::from(*label))).collect();
        let (weights, share) = blend(&[(self.scores.clone(), positive)], &weights)?;
        let estimates = if share > 0.0 {
            binary(&Calibration::of_probabilities(&self.scores, labels, Some(&weights))?, window)?
        } else {
            binary(plain, window)?
        };
        Ok(Adapted { estimates, likeness, share })
    }

    /// Expected metrics of a window of a classifier of several classes; `features` must have the reference's columns.
    ///
    /// # Errors
    /// [`EstimateError`]: lengths or columns differ, too few usable rows, or the estimator is for a binary classifier.
    pub fn estimate_multiclass(
        &self,
        features: &Table,
        window: MulticlassRows<'_>,
    ) -> Result<Adapted<MulticlassEstimates>, EstimateError> {
        let Truth::Classes { labels, plain } = &self.truth else {
            return Err(EstimateError::Task { expected: "a binary classifier", found: "several classes" });
        };
        let classes = plain.classes().len();
        let (weights, likeness) = self.weights(features, window.probabilities, classes)?;
        let of_class = |class: usize| {
            let scores = self.scores.iter().skip(class).step_by(classes).copied().collect();
            (scores, labels.iter().map(|label| f64::from(u8::from(*label == class))).collect())
        };
        let by_class: Vec<(Vec<f64>, Vec<f64>)> = (0..classes).map(of_class).collect();
        let (weights, share) = blend(&by_class, &weights)?;
        let estimates = if share > 0.0 {
            multiclass(&MulticlassCalibration::fit(&self.scores, labels, classes, Some(&weights))?, window)?
        } else {
            multiclass(plain, window)?
        };
        Ok(Adapted { estimates, likeness, share })
    }

    /// Reference rows that are kept.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.features.rows()
    }

    fn weights(
        &self,
        features: &Table,
        scores: &[f64],
        width: usize,
    ) -> Result<(Vec<f64>, Likeness), EstimateError> {
        let rows = usable(features, scores, width, self.options.rows, "window")?;
        let window = with_scores(&select(features, &rows)?, &take_rows(scores, &rows, width), width)?;
        let reference = with_scores(&self.features, &self.scores, width)?;
        let options =
            Options { rounds: self.options.rounds, leaves: self.options.leaves, ..Options::default() };
        weights(&reference, &window, &options, self.options.limit)
    }
}

/// Rows whose scores are all probabilities, at most `most` of them.
fn usable(
    features: &Table,
    scores: &[f64],
    width: usize,
    most: usize,
    place: &'static str,
) -> Result<Vec<usize>, EstimateError> {
    same_length(features.rows() * width, scores.len())?;
    let of_rows = scores.chunks_exact(width.max(1)).enumerate();
    let usable = of_rows.filter(|(_, scores)| scores.iter().all(|score| (0.0..=1.0).contains(score)));
    let usable: Vec<usize> = usable.map(|(row, _)| row).collect();
    let kept = take(&usable, &spread(usable.len(), most));
    if kept.len() < MINIMUM_ROWS {
        return Err(EstimateError::TooFewRows { place, found: kept.len(), needed: MINIMUM_ROWS });
    }
    Ok(kept)
}

/// Scores tell window from reference as well as features do.
fn with_scores(features: &Table, scores: &[f64], width: usize) -> Result<Table, EstimateError> {
    let names: Vec<String> = (0..width).map(|class| format!("(score {class})")).collect();
    let column = |class: usize| scores.iter().skip(class).step_by(width).copied().collect();
    let columns: Vec<(&str, Vec<f64>)> =
        names.iter().enumerate().map(|(class, name)| (name.as_str(), column(class))).collect();
    beside(features, &columns)
}

fn take_rows(values: &[f64], rows: &[usize], width: usize) -> Vec<f64> {
    rows.iter().flat_map(|row| values.iter().skip(row * width).take(width)).copied().collect()
}

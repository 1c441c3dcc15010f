//! The estimator of a model version: the method that fits its task, made from its withheld rows.
//!
//! Whoever serves a model wants one thing, its own metric before the labels come, and keeps one thing beside the version to
//! say it. A regression gets [`DirectLoss`]; a classifier [`Pape`], which falls back to the plain calibration for windows that
//! are too small to compare with the reference.

use std::sync::Arc;

use gyre_runtime::{Column, Table};
use gyre_stats::estimate::{
    BinaryRows, Calibration, Expected, MulticlassCalibration, MulticlassRows, Undefined, binary, multiclass,
};
use serde::{Deserialize, Serialize};

use crate::rows::{select, take};
use crate::{Adapted, DirectLoss, DirectOptions, EstimateError, Pape, PapeOptions};

/// The format's version.
const FORMAT: u32 = 1;

/// Most withheld rows that a regression's errors are learnt from.
const ROWS: usize = 50_000;

/// Rows with what a model answered.
#[derive(Clone, Copy, Debug)]
pub struct Answered<'a> {
    /// Its features; more columns than it was fitted with do no harm.
    pub features: &'a Table,
    /// Numbers of a regression, names of classes of a classifier.
    pub outputs: &'a Column,
    /// Row after row, the probability of each class in the order of `classes`; none of a regression.
    pub scores: &'a [f64],
    /// The classes of a classifier; none of a regression.
    pub classes: &'a [String],
}

/// A metric that can be estimated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EstimatedMetric {
    /// Mean absolute error of a regression.
    Mae,
    /// Root mean squared error of a regression.
    Rmse,
    /// Mean negative log-likelihood of the true class.
    LogLoss,
    /// The share of wrong classes.
    ErrorRate,
}

/// How an estimate was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// By [`DirectLoss`].
    DirectLoss,
    /// By the calibration on all reference rows.
    Calibration,
    /// By [`Pape`].
    Adapted,
}

/// Estimates a version's loss before labels come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimator {
    format: u32,
    /// The features that it reads.
    features: Vec<String>,
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "snake_case")]
enum Kind {
    Regression { losses: DirectLoss },
    Binary { plain: Calibration, adapted: Option<Pape> },
    Classes { plain: MulticlassCalibration, adapted: Option<Pape> },
}

impl Estimator {
    /// Learns from rows that the model was not trained on; `labels` are of the kind of the outputs. Rows without a label, or with
    /// one that is no class of the model, are left out.
    ///
    /// # Errors
    /// [`EstimateError`]: too few usable rows, or columns of different lengths.
    pub fn fit(reference: Answered<'_>, labels: &Column) -> Result<Self, EstimateError> {
        let kind = match (reference.outputs, labels) {
            (Column::Numeric(predictions), Column::Numeric(labels)) => {
                let options = DirectOptions { rows: ROWS, ..DirectOptions::default() };
                let losses = DirectLoss::fit(reference.features, predictions, labels, options)?;
                Kind::Regression { losses }
            }
            (Column::Text(_), Column::Text(labels)) => classifier(reference, labels)?,
            _ => {
                return Err(EstimateError::Task { expected: "a regression", found: "labels that are names" });
            }
        };
        let features = reference.features.columns().iter().map(|(name, _)| name.to_string()).collect();
        Ok(Self { format: FORMAT, features, kind })
    }

    /// What the metric of a window is expected to be.
    ///
    /// # Errors
    /// [`EstimateError`]: the window lacks a feature, or the metric is not one of this task; [`Undefined`] in it when the rows
    /// leave nothing to say.
    pub fn estimate(
        &self,
        metric: EstimatedMetric,
        window: Answered<'_>,
    ) -> Result<(Expected, Method), EstimateError> {
        let features = self.read(window.features)?;
        let probabilities = window.scores;
        match (&self.kind, window.outputs) {
            (Kind::Regression { losses }, Column::Numeric(predictions)) => {
                let expected = losses.estimate(&features, predictions)?;
                let of = match metric {
                    EstimatedMetric::Mae => expected.mae,
                    EstimatedMetric::Rmse => expected.rmse,
                    _ => return Err(NOT_OF_REGRESSION),
                };
                Ok((of?, Method::DirectLoss))
            }
            (Kind::Binary { plain, adapted }, Column::Text(decisions)) => {
                let scores: Vec<f64> = probabilities.iter().skip(1).step_by(2).copied().collect();
                let decisions: Vec<bool> = decisions
                    .iter()
                    .map(|name| name.as_deref() == window.classes.get(1).map(String::as_str))
                    .collect();
                let rows = BinaryRows { scores: &scores, decisions: &decisions, weights: None };
                let adapted = adapted.as_ref().map(|pape| pape.estimate_binary(&features, rows));
                let (estimates, method) = or_plain(adapted, || Ok(binary(plain, rows)?))?;
                let of = match metric {
                    EstimatedMetric::LogLoss => estimates.log_loss,
                    EstimatedMetric::ErrorRate => estimates.error_rate,
                    _ => return Err(NOT_OF_CLASSIFIER),
                };
                Ok((of?, method))
            }
            (Kind::Classes { plain, adapted }, Column::Text(decisions)) => {
                let named = |name: &Option<Arc<str>>| class_of(name, window.classes);
                let decisions: Vec<usize> =
                    decisions.iter().map(|name| named(name).unwrap_or_default()).collect();
                let rows = MulticlassRows { probabilities, decisions: &decisions, weights: None };
                let adapted = adapted.as_ref().map(|pape| pape.estimate_multiclass(&features, rows));
                let (estimates, method) = or_plain(adapted, || Ok(multiclass(plain, rows)?))?;
                let of = match metric {
                    EstimatedMetric::LogLoss => estimates.log_loss,
                    EstimatedMetric::ErrorRate => estimates.error_rate,
                    _ => return Err(NOT_OF_CLASSIFIER),
                };
                Ok((of?, method))
            }
            (Kind::Regression { .. }, Column::Text(_)) => Err(NOT_OF_REGRESSION),
            (_, Column::Numeric(_)) => Err(NOT_OF_CLASSIFIER),
        }
    }

    /// The bytes to keep.
    ///
    /// # Errors
    /// [`EstimateError::Stored`].
    pub fn to_json(&self) -> Result<Vec<u8>, EstimateError> {
        serde_json::to_vec(self).map_err(|error| EstimateError::Stored(error.to_string()))
    }

    /// The estimator in `bytes`.
    ///
    /// # Errors
    /// [`EstimateError::Stored`] when they hold none, or one of another format.
    pub fn from_json(bytes: &[u8]) -> Result<Self, EstimateError> {
        let read: Self =
            serde_json::from_slice(bytes).map_err(|error| EstimateError::Stored(error.to_string()))?;
        if read.format == FORMAT {
            return Ok(read);
        }
        Err(EstimateError::Stored(format!(
            "it is of format {}, this gyre reads format {FORMAT}",
            read.format
        )))
    }

    /// The features that it reads, of what a window has.
    fn read(&self, features: &Table) -> Result<Table, EstimateError> {
        let column = |name: &String| {
            let column = features.column(name).ok_or_else(|| EstimateError::MissingColumn(name.clone()))?;
            Ok((name.clone(), column.clone()))
        };
        let columns: Result<Vec<_>, EstimateError> = self.features.iter().map(column).collect();
        Ok(Table::new(columns?)?)
    }
}

const NOT_OF_REGRESSION: EstimateError =
    EstimateError::Task { expected: "a regression", found: "a classifier or its metric" };
const NOT_OF_CLASSIFIER: EstimateError =
    EstimateError::Task { expected: "a classifier", found: "a regression or its metric" };

/// The adapted estimates, or the plain ones where there is too little to adapt to.
fn or_plain<T>(
    adapted: Option<Result<Adapted<T>, EstimateError>>,
    plain: impl FnOnce() -> Result<T, EstimateError>,
) -> Result<(T, Method), EstimateError> {
    match adapted {
        Some(Ok(adapted)) => Ok((adapted.estimates, Method::Adapted)),
        Some(Err(EstimateError::TooFewRows { .. })) | None => Ok((plain()?, Method::Calibration)),
        Some(Err(error)) => Err(error),
    }
}

fn class_of(name: &Option<Arc<str>>, classes: &[String]) -> Option<usize> {
    let name = name.as_deref()?;
    classes.iter().position(|class| class == name)
}

/// A classifier's calibration, and what adapts it where there is enough to adapt.
fn classifier(reference: Answered<'_>, labels: &[Option<Arc<str>>]) -> Result<Kind, EstimateError> {
    let width = reference.classes.len();
    let labelled: Vec<(usize, usize)> = labels
        .iter()
        .enumerate()
        .filter_map(|(row, label)| Some((row, class_of(label, reference.classes)?)))
        .collect();
    let rows: Vec<usize> = labelled.iter().map(|(row, _)| *row).collect();
    let truth: Vec<usize> = labelled.iter().map(|(_, class)| *class).collect();
    let features = select(reference.features, &rows)?;
    let of_rows: Vec<&[f64]> = reference.scores.chunks_exact(width.max(1)).collect();
    let scores: Vec<f64> = take(&of_rows, &rows).concat();
    // What is too little to adapt may be enough to calibrate.
    let enough = |adapted: Result<Pape, EstimateError>| match adapted {
        Ok(adapted) => Ok(Some(adapted)),
        Err(EstimateError::TooFewRows { .. }) => Ok(None),
        Err(error) => Err(error),
    };
    if width == 2 {
        let positive: Vec<f64> = scores.iter().skip(1).step_by(2).copied().collect();
        let truth: Vec<bool> = truth.iter().map(|class| *class == 1).collect();
        let plain = Calibration::of_probabilities(&positive, &truth, None)?;
        let adapted = enough(Pape::binary(&features, &positive, &truth, PapeOptions::default()))?;
        return Ok(Kind::Binary { plain, adapted });
    }
    let plain = MulticlassCalibration::fit(&scores, &truth, width, None)?;
    let adapted = enough(Pape::multiclass(&features, &scores, &truth, width, PapeOptions::default()))?;
    Ok(Kind::Classes { plain, adapted })
}

impl From<Undefined> for EstimateError {
    fn from(undefined: Undefined) -> Self {
        Self::Undefined(undefined)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A seeded generator of numbers in 0..1 (SplitMix64).
    fn uniform(seed: u64) -> impl FnMut() -> f64 {
        let mut state = seed;
        move || {
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
        }
    }

    fn table(x: Vec<f64>) -> Table {
        Table::new([("x", Column::Numeric(x))]).unwrap()
    }

    fn names(of: impl Iterator<Item = usize>, classes: &[String]) -> Column {
        Column::Text(of.map(|class| Some(Arc::from(classes[class].as_str()))).collect())
    }

    /// Rows of a classifier that says "the first of `classes`" with probability `sure(x)`, and what came true.
    fn classified(
        classes: &[String],
        rows: usize,
        seed: u64,
        from: f64,
    ) -> (Table, Column, Vec<f64>, Column, f64) {
        let mut draw = uniform(seed);
        let (mut x, mut scores, mut said, mut came) = (vec![], vec![], vec![], vec![]);
        for _ in 0..rows {
            let at = from + (1.0 - from) * draw();
            let rest = (1.0 - at) / (classes.len() - 1) as f64;
            scores.push(at);
            scores.extend(std::iter::repeat_n(rest, classes.len() - 1));
            said.push(if at >= rest { 0 } else { 1 });
            came.push(if draw() < at { 0 } else { 1 + (draw() * (classes.len() - 1) as f64) as usize });
            x.push(at);
        }
        let wrong = said.iter().zip(&came).filter(|(said, came)| said != came).count() as f64 / rows as f64;
        (table(x), names(said.into_iter(), classes), scores, names(came.into_iter(), classes), wrong)
    }

    #[test]
    fn the_errors_of_a_classifier_are_foreseen_and_survive_storage() {
        for classes in [vec!["no".to_owned(), "yes".to_owned()], ["a", "b", "c"].map(String::from).to_vec()] {
            let (features, outputs, scores, labels, _) = classified(&classes, 6_000, 1, 0.0);
            let reference =
                Answered { features: &features, outputs: &outputs, scores: &scores, classes: &classes };
            let estimator = Estimator::fit(reference, &labels).unwrap();
            let estimator = Estimator::from_json(&estimator.to_json().unwrap()).unwrap();
            for (rows, method) in [(4_000, Method::Adapted), (40, Method::Calibration)] {
                let (features, outputs, scores, _, wrong) = classified(&classes, rows, 2, 0.5);
                let window =
                    Answered { features: &features, outputs: &outputs, scores: &scores, classes: &classes };
                let (expected, by) = estimator.estimate(EstimatedMetric::ErrorRate, window).unwrap();
                assert_eq!(by, method);
                let off = (expected.value - wrong).abs() / expected.standard_error();
                assert!(off < 4.0, "{} against {wrong}", expected.value);
                assert!(estimator.estimate(EstimatedMetric::LogLoss, window).unwrap().0.value > 0.0);
                assert_eq!(estimator.estimate(EstimatedMetric::Mae, window), Err(NOT_OF_CLASSIFIER));
            }
        }
    }

    #[test]
    fn the_errors_of_a_regression_are_foreseen_where_the_inputs_move() {
        let world = |seed, from: f64| {
            let mut draw = uniform(seed);
            let x: Vec<f64> = (0..4_000).map(|_| from + (1.0 - from) * draw()).collect();
            let predictions = x.clone();
            // Ten times as wrong for large x as for small ones.
            let labels: Vec<f64> = x.iter().map(|x| x + (0.1 + 0.9 * x) * (draw() - 0.5)).collect();
            let mae = predictions.iter().zip(&labels).map(|(p, y)| (p - y).abs()).sum::<f64>() / 4_000.0;
            (table(x), Column::Numeric(predictions), Column::Numeric(labels), mae)
        };
        let answered = |features, outputs| Answered { features, outputs, scores: &[], classes: &[] };
        let (features, outputs, labels, before) = world(1, 0.0);
        let estimator = Estimator::fit(answered(&features, &outputs), &labels).unwrap();
        let (features, outputs, _, after) = world(2, 0.7);
        let window = answered(&features, &outputs);
        let (expected, method) = estimator.estimate(EstimatedMetric::Mae, window).unwrap();
        assert_eq!(method, Method::DirectLoss);
        assert!(after > 1.4 * before);
        assert!((expected.value - after).abs() < 0.1 * after, "{} against {after}", expected.value);
        assert_eq!(estimator.estimate(EstimatedMetric::LogLoss, window), Err(NOT_OF_REGRESSION));
        let other = Table::new([("y", Column::Numeric(vec![0.0; 4_000]))]).unwrap();
        let error = estimator.estimate(EstimatedMetric::Mae, answered(&other, &outputs)).unwrap_err();
        assert_eq!(error, EstimateError::MissingColumn("x".to_owned()));
    }
}

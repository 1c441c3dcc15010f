//! Direct loss estimation: a second model that predicts how wrong the first will be.
//!
//! A regression says what it expects, not how sure it is. But where it was wrong on the reference it will be wrong again: a
//! learner is trained on the reference's errors, from the features and the prediction. For rows without labels it says how large the
//! error will be, and its mean over a window is the expected MAE. (NannyML's documentation has the idea as DLE.)
//!
//! What is learnt is the *logarithm* of the absolute error, for errors are small and large by factors, and a few outliers would
//! rule the trees otherwise. What the learner says is therefore a rank rather than a loss. How large errors *were*, by what was
//! said, is an isotonic curve ([`Calibration`]), fitted on out-of-fold predictions, each row's by a learner without its part:
//! on rows that it was trained on a learner looks better than it is. One curve leads to absolute errors, for MAE, another to
//! squared ones, for MSE and RMSE.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use gyre_baseline::Options;
use gyre_runtime::Table;
use gyre_stats::estimate::{Calibration, Expected, Undefined};
use serde::{Deserialize, Serialize};

use crate::EstimateError;
use crate::learner::Learner;
use crate::rows::{PARTS, beside, part_of, same_length, select, spread, take};

/// The column that the model's prediction becomes.
const PREDICTION: &str = "(prediction)";

/// Added to errors before their logarithm is taken, as a share of the mean error: smaller ones are as good as none.
const FLOOR: f64 = 0.01;

/// Rows needed.
const MINIMUM_ROWS: usize = 100;

/// How to learn losses.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DirectOptions {
    /// Most reference rows to learn from; more are thinned out evenly.
    pub rows: usize,
    /// Boosting rounds.
    pub rounds: usize,
    /// Most leaves of a tree.
    pub leaves: usize,
}

impl Default for DirectOptions {
    fn default() -> Self {
        Self { rows: 200_000, rounds: 100, leaves: 31 }
    }
}

/// What the errors of a regression are expected to be, row by row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DirectLoss {
    learner: Learner,
    /// From what the learner says, a logarithm, to absolute errors.
    absolute: Calibration,
    /// From the same to squared errors.
    squared: Calibration,
}

/// Losses as they are expected to come true, in the unit of the target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExpectedLosses {
    /// Rows taken in.
    pub rows: u64,
    /// Rows left out, whose prediction is not finite.
    pub skipped: u64,
    /// Mean absolute error.
    pub mae: Result<Expected, Undefined>,
    /// Mean squared error.
    pub mse: Result<Expected, Undefined>,
    /// Its root; errors by the delta method, those of the MSE over twice the root.
    pub rmse: Result<Expected, Undefined>,
}

impl DirectLoss {
    /// Learns from reference rows that the model was not trained on: features, predictions, labels. Rows where prediction,
    /// label or the square of their difference is not finite are left out.
    ///
    /// # Errors
    /// [`EstimateError`]: lengths differ, too few usable rows, or a feature is called `(prediction)`.
    pub fn fit(
        features: &Table,
        predictions: &[f64],
        labels: &[f64],
        options: DirectOptions,
    ) -> Result<Self, EstimateError> {
        same_length(features.rows(), predictions.len())?;
        same_length(features.rows(), labels.len())?;
        let errors: Vec<f64> = predictions.iter().zip(labels).map(|(p, label)| (p - label).abs()).collect();
        let usable: Vec<usize> =
            errors.iter().enumerate().filter(|(_, e)| (*e * *e).is_finite()).map(|(row, _)| row).collect();
        let rows = take(&usable, &spread(usable.len(), options.rows));
        if rows.len() < MINIMUM_ROWS {
            let found = rows.len();
            return Err(EstimateError::TooFewRows { place: "reference", found, needed: MINIMUM_ROWS });
        }
        let table = select(&with_predictions(features, predictions)?, &rows)?;
        let errors = take(&errors, &rows);
        let options = Options { rounds: options.rounds, leaves: options.leaves, ..Options::default() };
        let target = logarithms(&errors);
        let (learner, said) = cross_fit(table, target, &options)?;
        let squares: Vec<f64> = errors.iter().map(|error| error * error).collect();
        Ok(Self {
            absolute: Calibration::of_predictions(&said, &errors, None)?.always(),
            squared: Calibration::of_predictions(&said, &squares, None)?.always(),
            learner,
        })
    }

    /// Expected losses of a window; `features` must have the reference's columns.
    ///
    /// # Errors
    /// [`EstimateError`]: lengths or columns differ.
    pub fn estimate(&self, features: &Table, predictions: &[f64]) -> Result<ExpectedLosses, EstimateError> {
        let said = self.said(features, predictions)?;
        let mse = self.squared.mean_of(&said).ok_or(Undefined::NoRows);
        let skipped = said.iter().filter(|said| said.is_nan()).count() as u64;
        Ok(ExpectedLosses {
            rows: said.len() as u64 - skipped,
            skipped,
            mae: self.absolute.mean_of(&said).ok_or(Undefined::NoRows),
            mse,
            rmse: mse.map(root),
        })
    }

    /// The expected absolute error of each row; NaN where the prediction is not finite.
    ///
    /// # Errors
    /// [`EstimateError`]: lengths or columns differ.
    pub fn errors(&self, features: &Table, predictions: &[f64]) -> Result<Vec<f64>, EstimateError> {
        let said = self.said(features, predictions)?;
        Ok(said.into_iter().map(|said| self.absolute.at(said)).collect())
    }

    /// What the learner says of each row; NaN where the prediction is not finite.
    fn said(&self, features: &Table, predictions: &[f64]) -> Result<Vec<f64>, EstimateError> {
        same_length(features.rows(), predictions.len())?;
        let mut said = self.learner.predict(&with_predictions(features, predictions)?)?;
        for (said, prediction) in said.iter_mut().zip(predictions) {
            if !prediction.is_finite() {
                *said = f64::NAN;
            }
        }
        Ok(said)
    }
}

fn root(mse: Expected) -> Expected {
    let value = mse.value.max(0.0).sqrt();
    let error = |error: f64| if value > 0.0 { error / (2.0 * value) } else { 0.0 };
    Expected {
        value,
        sampling_error: error(mse.sampling_error),
        calibration_error: mse.calibration_error.map(error),
        ..mse
    }
}

fn logarithms(errors: &[f64]) -> Vec<f64> {
    let mean = errors.iter().map(|error| error / errors.len() as f64).sum::<f64>();
    // Above 0 also where the model was never wrong.
    let floor = (FLOOR * mean).max(f64::MIN_POSITIVE);
    errors.iter().map(|error| (error + floor).ln()).collect()
}

/// The learner of all rows, and predictions of every row by one that has not seen its part; fitted beside each other as far as
/// there are cores.
fn cross_fit(
    table: Table,
    target: Vec<f64>,
    options: &Options,
) -> Result<(Learner, Vec<f64>), EstimateError> {
    let (next, fitted) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let work = || {
        loop {
            let part = next.fetch_add(1, Relaxed);
            if part >= PARTS {
                return;
            }
            let said = withheld(part, &table, &target, options);
            fitted.lock().unwrap_or_else(PoisonError::into_inner).push(said);
        }
    };
    let helpers = std::thread::available_parallelism().map_or(1, usize::from).min(PARTS as usize) - 1;
    let learner = std::thread::scope(|scope| {
        (0..helpers).for_each(|_| drop(scope.spawn(work)));
        let learner = Learner::regression(table.clone(), target.clone(), options);
        work();
        learner
    })?;
    let mut said = vec![f64::NAN; target.len()];
    for part in fitted.into_inner().unwrap_or_else(PoisonError::into_inner) {
        for (row, value) in part? {
            if let Some(slot) = said.get_mut(row) {
                *slot = value;
            }
        }
    }
    Ok((learner, said))
}

/// What a learner of the other parts says of the rows of this one.
fn withheld(
    part: u64,
    table: &Table,
    target: &[f64],
    options: &Options,
) -> Result<Vec<(usize, f64)>, EstimateError> {
    let (own, others): (Vec<usize>, Vec<usize>) = (0..target.len()).partition(|row| part_of(*row) == part);
    let learner = Learner::regression(select(table, &others)?, take(target, &others), options)?;
    Ok(own.iter().copied().zip(learner.predict(&select(table, &own)?)?).collect())
}

fn with_predictions(features: &Table, predictions: &[f64]) -> Result<Table, EstimateError> {
    beside(features, &[(PREDICTION, predictions.to_vec())])
}

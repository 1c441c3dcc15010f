//! Errors of a regression model, a row at a time.

use serde::{Deserialize, Serialize};

use super::Estimate;
use crate::moments::Moments;

/// Running error metrics of a regression model, in the unit of the target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RegressionStats {
    /// Of prediction − label.
    errors: Moments,
    absolute: Moments,
    squared: Moments,
    labels: Moments,
    skipped: u64,
}

impl RegressionStats {
    /// No rows seen.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in one row. A row where either side is NaN or infinite is counted in [`skipped`](Self::skipped) only.
    pub fn push(&mut self, prediction: f64, label: f64) {
        let error = prediction - label;
        let squared = error * error;
        if !squared.is_finite() {
            self.skipped += 1;
            return;
        }
        self.errors.push(error);
        self.absolute.push(error.abs());
        self.squared.push(squared);
        self.labels.push(label);
    }

    /// Adds the metrics of other rows.
    pub fn merge(&mut self, other: &Self) {
        self.errors.merge(&other.errors);
        self.absolute.merge(&other.absolute);
        self.squared.merge(&other.squared);
        self.labels.merge(&other.labels);
        self.skipped += other.skipped;
    }

    /// Rows taken in.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.errors.count()
    }

    /// Rows that could not be taken in.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Mean absolute error.
    #[must_use]
    pub fn mae(&self) -> Option<Estimate> {
        Estimate::of_mean(&self.absolute)
    }

    /// Mean error, prediction − label: positive when the model predicts too much.
    #[must_use]
    pub fn bias(&self) -> Option<Estimate> {
        Estimate::of_mean(&self.errors)
    }

    /// Root mean squared error; standard error by the delta method, se(MSE) / (2·RMSE).
    #[must_use]
    pub fn rmse(&self) -> Option<Estimate> {
        let mean = Estimate::of_mean(&self.squared)?;
        let value = mean.value.sqrt();
        let standard_error = mean.standard_error.filter(|_| value > 0.0).map(|error| error / (2.0 * value));
        Some(Estimate { value, standard_error, rows: mean.rows })
    }

    /// Coefficient of determination, 1 − Σ(error²)/Σ(label − mean)²; `None` when the labels do not vary.
    #[must_use]
    pub fn r_squared(&self) -> Option<f64> {
        let total = self.labels.squared_deviations();
        (total > 0.0).then(|| self.squared.mean().map(|mean| 1.0 - mean * self.rows() as f64 / total))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_without_numbers_are_skipped_and_counted() {
        let mut stats = RegressionStats::new();
        stats.push(f64::NAN, 1.0);
        stats.push(1.0, f64::INFINITY);
        assert_eq!((stats.rows(), stats.skipped(), stats.mae(), stats.r_squared()), (0, 2, None, None));
        stats.push(3.0, 1.0);
        assert_eq!(stats.bias(), Some(Estimate { value: 2.0, standard_error: None, rows: 1 }));
        assert_eq!(stats.r_squared(), None);
    }

    #[test]
    fn parts_add_up() {
        let rows: Vec<(f64, f64)> = (0..50).map(|i| (f64::from(i), f64::from(i * i % 17))).collect();
        let (mut whole, mut left, mut right) =
            (RegressionStats::new(), RegressionStats::new(), RegressionStats::new());
        for (index, (prediction, label)) in rows.iter().enumerate() {
            whole.push(*prediction, *label);
            if index < 20 { left.push(*prediction, *label) } else { right.push(*prediction, *label) }
        }
        left.merge(&right);
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-9);
        close(left.mae().unwrap().value, whole.mae().unwrap().value);
        close(left.rmse().unwrap().standard_error.unwrap(), whole.rmse().unwrap().standard_error.unwrap());
        close(left.r_squared().unwrap(), whole.r_squared().unwrap());
    }
}

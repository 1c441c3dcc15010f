//! How wrong a prediction was, and how wrong the predictions of a window were.
//!
//! Losses are kept row by row as long as possible, because a mean without its error decides nothing. The error is
//! clustered by day: the flights of one day share its wind, so a thousand of them are nearer to one observation than to a
//! thousand.

use std::collections::BTreeSet;
use std::sync::Arc;

use gyre_core::record::Value;
use gyre_core::spec::Metric;
use gyre_stats::performance::{Outcome, clustered_mean};
use serde::{Deserialize, Serialize};

use crate::columns::{MonitorError, Predictions, Values, expect_rows};

/// The smallest probability that a log loss is taken of, so that one impossible row does not make the sum infinite.
const LEAST_PROBABILITY: f64 = f64::EPSILON;

/// The level of intervals.
pub(crate) const LEVEL: f64 = 0.95;

/// A metric over labelled rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MeasuredLoss {
    /// The metric.
    pub loss: f64,
    /// Its standard error, clustered by day; none when there are too few days or rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standard_error: Option<f64>,
    /// Labelled rows.
    pub rows: u64,
    /// Days that they fall into.
    pub days: u32,
}

/// The loss of each row under `metric`: absolute error (mae), squared error (rmse), −ln p of the true class (log_loss),
/// 1 for a wrong class and 0 for the right one (error_rate). NaN where there is no label.
///
/// # Errors
/// [`MonitorError::Length`] when columns differ in length; [`MonitorError::Kind`] when the metric takes other values.
pub fn losses(
    metric: Metric,
    predictions: &Predictions<'_>,
    labels: &Values<'_>,
) -> Result<Vec<f64>, MonitorError> {
    labels.expect_rows("(label)", predictions.outputs.len())?;
    match metric {
        Metric::Mae => errors(predictions, labels, f64::abs),
        Metric::Rmse => errors(predictions, labels, |error| error * error),
        Metric::ErrorRate => wrong_classes(predictions, labels),
        Metric::LogLoss => surprise(predictions, labels),
    }
}

/// The loss of one row, as [`losses`] takes it; none where the label is not of the kind that was predicted. Labels that are
/// whole numbers or booleans name the class that is written like them.
pub fn row_loss(
    metric: Metric,
    output: &Value,
    scores: &[f64],
    classes: &[String],
    label: &Value,
) -> Option<f64> {
    let loss = match metric {
        Metric::Mae => (output.as_number()? - label.as_number()?).abs(),
        Metric::Rmse => (output.as_number()? - label.as_number()?).powi(2),
        Metric::ErrorRate => f64::from(u8::from(output.as_category()? != label.as_category()?)),
        Metric::LogLoss => {
            let label = label.as_category()?;
            if scores.len() != classes.len() {
                return None;
            }
            let class = classes.iter().position(|class| **class == *label);
            surprise_of(class.and_then(|class| scores.get(class)).copied())
        }
    };
    loss.is_finite().then_some(loss)
}

/// −ln p of the true class; a class that the model does not know has probability 0.
fn surprise_of(probability: Option<f64>) -> f64 {
    -probability.unwrap_or(0.0).clamp(LEAST_PROBABILITY, 1.0).ln()
}

fn errors(
    predictions: &Predictions<'_>,
    labels: &Values<'_>,
    loss: impl Fn(f64) -> f64,
) -> Result<Vec<f64>, MonitorError> {
    let outputs = numbers("(prediction)", &predictions.outputs)?;
    let labels = numbers("(label)", labels)?;
    Ok(outputs.iter().zip(labels).map(|(output, label)| loss(output - label)).collect())
}

fn wrong_classes(predictions: &Predictions<'_>, labels: &Values<'_>) -> Result<Vec<f64>, MonitorError> {
    let outputs = text("(prediction)", &predictions.outputs)?;
    let wrong = |(output, label): (&Option<_>, &Option<_>)| match (output, label) {
        (Some(_), Some(_)) => f64::from(u8::from(output != label)),
        _ => f64::NAN,
    };
    Ok(outputs.iter().zip(text("(label)", labels)?).map(wrong).collect())
}

fn surprise(predictions: &Predictions<'_>, labels: &Values<'_>) -> Result<Vec<f64>, MonitorError> {
    let classes = predictions.classes;
    let labels = text("(label)", labels)?;
    expect_rows("(scores)", predictions.scores.len(), labels.len() * classes.len())?;
    let rows = predictions.scores.chunks(classes.len().max(1));
    let surprise = |(scores, label): (&[f64], &Option<Arc<str>>)| {
        let Some(label) = label else { return f64::NAN };
        let class = classes.iter().position(|class| **class == **label);
        surprise_of(class.and_then(|class| scores.get(class)).copied())
    };
    Ok(rows.zip(labels).map(surprise).collect())
}

fn numbers<'a>(column: &str, values: &Values<'a>) -> Result<&'a [f64], MonitorError> {
    match values {
        Values::Numbers(values) => Ok(values),
        Values::Text(_) => Err(wrong_kind(column, values, "numbers")),
    }
}

fn text<'a>(column: &str, values: &Values<'a>) -> Result<&'a [Option<Arc<str>>], MonitorError> {
    match values {
        Values::Text(values) => Ok(values),
        Values::Numbers(_) => Err(wrong_kind(column, values, "text")),
    }
}

fn wrong_kind(column: &str, values: &Values<'_>, expected: &'static str) -> MonitorError {
    MonitorError::Kind { column: column.to_owned(), found: values.kind(), expected }
}

/// The metric of rows whose mean loss is `mean`: the root of it for rmse, else itself.
pub fn aggregate(metric: Metric, mean: f64) -> f64 {
    if metric == Metric::Rmse { mean.sqrt() } else { mean }
}

/// The metric over rows with these losses, on these days (see [`Timestamp::day`](gyre_core::Timestamp::day)); rows
/// without a finite loss are passed over. `None` without any row. The error of a root is that of the mean divided by
/// twice the root (delta method).
///
/// # Errors
/// [`MonitorError::Length`].
pub fn measure(metric: Metric, losses: &[f64], days: &[i64]) -> Result<Option<MeasuredLoss>, MonitorError> {
    expect_rows("(day)", days.len(), losses.len())?;
    let kept = losses.iter().zip(days).filter(|(loss, _)| loss.is_finite());
    let (losses, days): (Vec<f64>, Vec<i64>) = kept.unzip();
    if losses.is_empty() {
        return Ok(None);
    }
    let rows = losses.len() as u64;
    let mean = losses.iter().sum::<f64>() / losses.len() as f64;
    let loss = aggregate(metric, mean);
    // The sum of losses as large as numbers can be is none, and could not be kept.
    if !loss.is_finite() {
        return Ok(None);
    }
    let measured =
        clustered_mean(&losses, &days, LEVEL).map_err(|error| MonitorError::Input(error.to_string()))?;
    let standard_error = match measured {
        Outcome::Measured(measured) if metric == Metric::Rmse => {
            (loss > 0.0).then(|| measured.standard_error / (2.0 * loss))
        }
        Outcome::Measured(measured) => Some(measured.standard_error),
        Outcome::Insufficient(_) => None,
    };
    Ok(Some(MeasuredLoss {
        loss,
        standard_error: standard_error.filter(|error| error.is_finite()),
        rows,
        days: distinct(&days),
    }))
}

/// How many different days there are.
pub(crate) fn distinct(days: &[i64]) -> u32 {
    let distinct: BTreeSet<&i64> = days.iter().collect();
    u32::try_from(distinct.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn categories(values: &[&str]) -> Vec<Option<Arc<str>>> {
        values.iter().map(|value| (!value.is_empty()).then(|| (*value).into())).collect()
    }

    #[test]
    fn numbers_are_wrong_by_their_distance() {
        let outputs = [10.0, 12.0, 8.0];
        let predictions = Predictions { outputs: Values::Numbers(&outputs), scores: &[], classes: &[] };
        let labels = [13.0, f64::NAN, 7.0];
        let of = |metric| losses(metric, &predictions, &Values::Numbers(&labels)).unwrap();
        let mae = of(Metric::Mae);
        assert_eq!((mae[0], mae[1].is_nan(), mae[2]), (3.0, true, 1.0));
        let measured = measure(Metric::Rmse, &of(Metric::Rmse), &[0, 0, 1]).unwrap().unwrap();
        assert_eq!((measured.loss, measured.rows, measured.days), (5.0_f64.sqrt(), 2, 2));
        assert_eq!(measured.standard_error, None, "two rows are too few for an error");
    }

    #[test]
    fn classes_are_wrong_or_improbable() {
        let outputs = categories(&["yes", "no", "yes", "no"]);
        let labels = categories(&["yes", "yes", "", "maybe"]);
        let classes = ["no".to_owned(), "yes".to_owned()];
        let scores = [0.2, 0.8, 0.75, 0.25, 0.5, 0.5, 1.0, 0.0];
        let predictions = Predictions { outputs: Values::Text(&outputs), scores: &scores, classes: &classes };
        let of = |metric| losses(metric, &predictions, &Values::Text(&labels)).unwrap();
        assert_eq!(of(Metric::ErrorRate)[..2], [0.0, 1.0]);
        let log = of(Metric::LogLoss);
        // scikit-learn: log_loss clips at the machine epsilon, so the largest loss is 36.04.
        for (found, expected) in log.iter().zip([0.223_143_551, 1.386_294_361, f64::NAN, 36.043_653_389]) {
            assert!((found - expected).abs() < 1e-8 || expected.is_nan() && found.is_nan(), "{found}");
        }
    }

    #[test]
    fn one_row_is_as_wrong_alone_as_among_others() {
        let classes = ["0".to_owned(), "1".to_owned()];
        let of =
            |metric, output: Value, label: Value| row_loss(metric, &output, &[0.2, 0.8], &classes, &label);
        let (number, text) = (Value::Number, |text: &str| Value::Text(text.into()));
        assert_eq!(of(Metric::Mae, number(10.0), number(13.0)), Some(3.0));
        assert_eq!(of(Metric::Rmse, number(10.0), number(13.0)), Some(9.0));
        assert_eq!(of(Metric::ErrorRate, text("1"), number(1.0)), Some(0.0));
        assert_eq!(of(Metric::ErrorRate, text("1"), text("0")), Some(1.0));
        let surprise = of(Metric::LogLoss, text("1"), number(0.0)).unwrap();
        assert!((surprise - 1.609_437_912).abs() < 1e-8, "{surprise}");
        assert_eq!(of(Metric::Mae, number(1.0), text("many")), None);
    }

    #[test]
    fn the_error_of_a_root_is_that_of_the_mean_over_twice_the_root() {
        let losses: Vec<f64> = (0..100).map(|row| f64::from(row % 10) + 1.0).collect();
        let days: Vec<i64> = (0..100).map(|row| row / 10 % 7).collect();
        let mean = measure(Metric::Mae, &losses, &days).unwrap().unwrap();
        let root = measure(Metric::Rmse, &losses, &days).unwrap().unwrap();
        let expected = mean.standard_error.unwrap() / (2.0 * root.loss);
        assert!((root.standard_error.unwrap() - expected).abs() < 1e-12);
        assert!((root.loss * root.loss - mean.loss).abs() < 1e-12);
    }

    #[test]
    fn what_does_not_fit_is_refused_by_name() {
        let (outputs, labels) = ([1.0], categories(&["a"]));
        let predictions = Predictions { outputs: Values::Numbers(&outputs), scores: &[], classes: &[] };
        let wrong = losses(Metric::Mae, &predictions, &Values::Text(&labels)).unwrap_err();
        assert_eq!(wrong.to_string(), "column `(label)` holds text, expected numbers");
        let wrong = losses(Metric::Mae, &predictions, &Values::Numbers(&[])).unwrap_err();
        assert_eq!(wrong.to_string(), "column `(label)` has 0 rows, expected 1 as in the others");
        assert_eq!(measure(Metric::Mae, &[f64::NAN], &[0]).unwrap(), None);
    }
}

//! The reference profile: what a model version saw and promised when it was trained.

use std::collections::BTreeMap;

use gyre_core::fact::Numbers;
use gyre_core::spec::{Expected, Metric, Segment};
use gyre_core::time::Period;
use gyre_stats::profile::ColumnReference;
use serde::{Deserialize, Serialize};

use crate::attribution::LossReference;
use crate::calibration::Calibrated;
use crate::columns::{MonitorError, Predictions, Values};
use crate::loss::MeasuredLoss;
use crate::mix::{self, Labelled, Mix};
use crate::quality::learned::{self, Learned, Repeats};
use crate::segments::{self, Division};
use crate::summary::PREDICTION;
use crate::variation::{Variation, of_column, windows as cut};

/// The format's version.
const FORMAT: u32 = 1;

/// What a version is held against while it serves. Kept as a JSON blob beside the model; its size is bounded by the number
/// of features (some KiB each), not of rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReferenceProfile {
    format: u32,
    /// Each feature as it was in the training rows.
    pub columns: BTreeMap<String, ColumnReference>,
    /// The predictions on rows withheld from training: those it had never seen, as in service.
    pub prediction: ColumnReference,
    /// How wrong it was on those rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holdout: Option<Holdout>,
    /// How much each column (the prediction by its name, [`PREDICTION`]) varies from window to window, by statistic; absent
    /// where the rows were too few to say.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variation: BTreeMap<String, BTreeMap<String, Variation>>,
    /// What else the columns showed, for the checks of quality.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub learned: BTreeMap<String, Learned>,
    /// How many rows repeat an earlier one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeats: Option<Repeats>,
    /// What inputs and outcomes explain of a loss; absent where the withheld rows were too few to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mix: Option<Mix>,
    /// What the features of those rows say of its losses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub losses: Option<LossReference>,
    /// What it said of them, and what came true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibrated>,
    /// How wrong it was on them, segment by segment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub segments: Vec<Division>,
    /// What people expect of columns, beside all this: not of the version but of the project file, and so not kept with it.
    #[serde(skip)]
    pub expected: BTreeMap<String, Expected>,
}

/// How wrong a version was on rows withheld from training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Holdout {
    /// What was measured.
    pub metric: Metric,
    /// How much of it.
    #[serde(flatten)]
    pub measured: MeasuredLoss,
    /// Event time of the rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<Period>,
}

impl ReferenceProfile {
    /// The profile of a version with these training columns and these predictions on withheld rows.
    pub fn build<'a>(
        training: impl IntoIterator<Item = (&'a str, Values<'a>)>,
        prediction: Values<'_>,
        holdout: Option<Holdout>,
    ) -> Self {
        let training: Vec<(&str, Values<'a>)> = training.into_iter().collect();
        let columns = training.iter().map(|(name, values)| ((*name).to_owned(), values.reference()));
        let learned = training.iter().map(|(name, values)| ((*name).to_owned(), learned::of_column(values)));
        let values: Vec<Values<'_>> = training.iter().map(|(_, values)| *values).collect();
        let rows = values.iter().map(Values::len).min().unwrap_or(0);
        Self {
            format: FORMAT,
            columns: columns.collect(),
            prediction: prediction.reference(),
            holdout,
            variation: BTreeMap::new(),
            learned: learned.collect(),
            repeats: learned::repeats(&values, rows),
            mix: None,
            losses: None,
            calibration: None,
            segments: Vec::new(),
            expected: BTreeMap::new(),
        }
    }

    /// Learns what led to the loss on the withheld rows: their features, the predictions, what came true, and the loss of
    /// each row as [`losses`](crate::loss::losses) gives it.
    ///
    /// # Errors
    /// [`MonitorError::Length`] when columns differ in length.
    pub fn learn_mix(
        &mut self,
        features: &[(&str, Values<'_>)],
        predictions: &Predictions<'_>,
        labels: Values<'_>,
        losses: &[f64],
    ) -> Result<(), MonitorError> {
        features.iter().try_for_each(|(name, values)| values.expect_rows(name, losses.len()))?;
        predictions.outputs.expect_rows(PREDICTION, losses.len())?;
        labels.expect_rows("(label)", losses.len())?;
        let known: Vec<(&str, Values<'_>)> =
            features.iter().filter(|(name, _)| self.columns.contains_key(*name)).copied().collect();
        let probability = mix::second_of_two(predictions.scores, predictions.classes);
        let columns = mix::with_prediction(&known, predictions.outputs, &probability);
        self.mix = Mix::learn(&Labelled { columns: &columns, labels, losses });
        Ok(())
    }

    /// Learns how the losses of the withheld rows follow from their `features`, and what they were in the `segments`. Rows
    /// without a label have the loss NaN.
    ///
    /// # Errors
    /// [`MonitorError::Length`] when columns differ in length.
    pub fn learn_losses(
        &mut self,
        metric: Metric,
        features: &[(&str, Values<'_>)],
        (losses, days): (&[f64], &[i64]),
        segments: &[Segment],
    ) -> Result<(), MonitorError> {
        self.losses = LossReference::learn(metric, features.iter().copied(), losses, days)?;
        self.segments = segments::learn(metric, features, (losses, days), segments)?;
        Ok(())
    }

    /// Learns how what came true of the withheld rows, which are of these `days`, compares with what was said of them.
    pub fn learn_calibration(&mut self, predictions: &Predictions<'_>, labels: Values<'_>, days: &[i64]) {
        self.calibration = Calibrated::measure(predictions, &labels, days, 0..days.len());
    }

    /// Takes over what `other` knows of inputs, and keeps what it knows itself of answers and losses.
    pub fn take_inputs_of(&mut self, other: Self) {
        let own = self.variation.remove(PREDICTION);
        self.variation = other.variation;
        self.variation.remove(PREDICTION);
        self.variation.extend(own.map(|own| (PREDICTION.to_owned(), own)));
        (self.columns, self.learned, self.repeats) = (other.columns, other.learned, other.repeats);
    }

    /// Learns how much the columns of `training`, and the `prediction`, vary between windows of `rows` rows. `training_order`
    /// and `prediction_order` are the orders of their rows in time.
    ///
    /// # Errors
    /// [`MonitorError::Kind`] when a column is not what the profile was made of.
    pub fn learn_variation<'a>(
        &mut self,
        rows: usize,
        (training, training_order): (impl IntoIterator<Item = (&'a str, Values<'a>)>, &[usize]),
        (prediction, prediction_order): (Values<'_>, &[usize]),
    ) -> Result<(), MonitorError> {
        let mut variation = BTreeMap::new();
        let mut learn = |name: &str, values: &Values<'_>, reference: &ColumnReference, order: &[usize]| {
            let windows = cut(order.len(), rows);
            let found = of_column(values, reference, order, &windows).map_err(|_| MonitorError::Kind {
                column: name.to_owned(),
                found: values.kind(),
                expected: "what the profile was made of",
            })?;
            if !found.is_empty() {
                variation.insert(name.to_owned(), found);
            }
            Ok(())
        };
        let training: Vec<(&str, Values<'a>)> =
            training.into_iter().filter(|(name, _)| self.columns.contains_key(*name)).collect();
        for (name, values) in &training {
            if let Some(reference) = self.columns.get(*name) {
                learn(name, values, reference, training_order)?;
            }
        }
        learn(PREDICTION, &prediction, &self.prediction, prediction_order)?;
        self.variation = variation;
        self.learn_order(rows, &training, training_order);
        Ok(())
    }

    /// What the order of time teaches beside: runs and gaps, and rows that repeat within a window of `rows` rows.
    fn learn_order(&mut self, rows: usize, training: &[(&str, Values<'_>)], order: &[usize]) {
        let windows = cut(order.len(), rows);
        for (name, values) in training {
            if let Some(learned) = self.learned.get_mut(*name) {
                learned.order = Some(learned::in_time(values, order, &windows));
            }
        }
        let values: Vec<Values<'_>> = training.iter().map(|(_, values)| *values).collect();
        if let Some(repeats) = &mut self.repeats {
            repeats.windows = learned::repeats_of_windows(&values, order, &windows);
        }
    }

    /// The bytes to keep.
    ///
    /// # Errors
    /// [`MonitorError::Profile`].
    pub fn to_json(&self) -> Result<Vec<u8>, MonitorError> {
        serde_json::to_vec(self).map_err(|error| MonitorError::Profile(error.to_string()))
    }

    /// The profile in `bytes`.
    ///
    /// # Errors
    /// [`MonitorError::Profile`] when they hold none, or one of another format.
    pub fn from_json(bytes: &[u8]) -> Result<Self, MonitorError> {
        let profile: Self =
            serde_json::from_slice(bytes).map_err(|error| MonitorError::Profile(error.to_string()))?;
        if profile.format == FORMAT {
            return Ok(profile);
        }
        let reason = format!("it is of format {}, this gyre reads format {FORMAT}", profile.format);
        Err(MonitorError::Profile(reason))
    }
}

impl Holdout {
    /// The numbers of a registered version: the metric under its name, `standard_error` where it is known, `rows`.
    pub fn numbers(&self) -> Numbers {
        let MeasuredLoss { loss, standard_error, rows, .. } = self.measured;
        let mut numbers =
            Numbers::from([(self.metric.name().to_owned(), loss), ("rows".to_owned(), rows as f64)]);
        numbers.extend(standard_error.map(|error| ("standard_error".to_owned(), error)));
        numbers
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_profile_comes_back_from_storage_as_it_was() {
        let origin: Vec<Option<Arc<str>>> = vec![Some("JFK".into()), None, Some("EWR".into())];
        let distance = [187.0, 1400.0, f64::NAN];
        let measured = MeasuredLoss { loss: 7.5, standard_error: Some(0.3), rows: 3, days: 1 };
        let profile = ReferenceProfile::build(
            [("origin", Values::Text(&origin)), ("distance", Values::Numbers(&distance))],
            Values::Numbers(&[40.0, 210.0]),
            Some(Holdout { metric: Metric::Mae, measured, period: None }),
        );
        let again = ReferenceProfile::from_json(&profile.to_json().unwrap()).unwrap();
        assert_eq!(again, profile);
        let numbers = again.holdout.unwrap().numbers();
        assert_eq!((numbers["mae"], numbers["standard_error"], numbers["rows"]), (7.5, 0.3, 3.0));
    }

    #[test]
    fn a_profile_of_another_format_is_refused_with_a_remedy() {
        let profile = ReferenceProfile::build([], Values::Numbers(&[]), None);
        let bytes = String::from_utf8(profile.to_json().unwrap()).unwrap();
        let newer = bytes.replace("\"format\":1", "\"format\":9");
        let error = ReferenceProfile::from_json(newer.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("format 9") && error.contains("register the version again"), "{error}");
        assert!(ReferenceProfile::from_json(b"{").is_err());
    }
}

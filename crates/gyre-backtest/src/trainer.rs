//! The reference trainer at work on history: one model as of one decision, scored on everything that it may be asked about.

use gyre_baseline::{Objective, Options, Target, TrainError, TrainTable};
use gyre_core::Timestamp;
use gyre_core::fact::Drift;
use gyre_core::spec::{Metric, Task, Window};
use gyre_core::time::Period;
use gyre_monitor::{Predictions, ReferenceProfile, Values, WindowInput, summarise};
use gyre_runtime::{Column, Model, Scorer, Scores, Table};

use crate::error::BacktestError;
use crate::history::{History, pick, pick_column};
use crate::known::Fitted;
use crate::settings::Settings;
use crate::timeline::Timeline;

/// Rows that are scored at a time: bounds the memory.
const CHUNK: usize = 65_536;

/// A history with what is asked of it.
pub(crate) struct Trainer<'a> {
    pub(crate) history: &'a History,
    pub(crate) settings: &'a Settings,
    pub(crate) timeline: &'a Timeline,
    /// The slice of each row.
    pub(crate) of_rows: &'a [u32],
    /// What each row says of the requests at the decision after it.
    pub(crate) weights: &'a [f32],
}

impl Trainer<'_> {
    /// The rows that a training as of a moment may learn from, as [`gyre_data::mod@cut`] chooses them; the withheld ones too for a
    /// `refit`.
    fn rows(&self, as_of: Timestamp, window: Window, refit: bool) -> Vec<usize> {
        let from =
            window.since(as_of).map_or(0, |since| self.history.times.partition_point(|time| *time < since));
        let to = self.history.times.partition_point(|time| *time < as_of);
        let may_learn = |row: &usize| {
            let known = self.history.known_at.get(*row).copied().flatten();
            let time = self.history.times.get(*row).copied().unwrap_or_default();
            known.is_some_and(|known| known <= as_of)
                && (refit || !self.settings.holdout.withholds(time))
                && window.takes(time, *row as u64, as_of)
        };
        (from..to).filter(may_learn).collect()
    }

    /// Trains as of decision `at` and scores; the trainer's own words when there is nothing to be learnt from the rows.
    pub(crate) fn fit(
        &self,
        at: usize,
        window: Window,
        refit: bool,
    ) -> Result<Result<Fitted, String>, BacktestError> {
        let as_of = self.timeline.moment(at);
        let rows = self.rows(as_of, window, refit);
        let features = pick(&self.history.features, &rows)?;
        let target = match pick_column(&self.history.target, &rows) {
            Column::Numeric(values) => Target::Numeric(values),
            Column::Text(values) => Target::Labels(
                values.into_iter().map(|label| label.unwrap_or_default().to_string()).collect(),
            ),
        };
        let task = match self.settings.task {
            Task::Regression => gyre_baseline::Task::Regression,
            Task::Binary => gyre_baseline::Task::Binary,
            Task::Multiclass => gyre_baseline::Task::Multiclass,
        };
        let objective =
            if self.settings.metric == Metric::Mae { Objective::Absolute } else { Objective::Squared };
        let options = Options { objective, ..Options::default() };
        let trained = match gyre_baseline::train(&TrainTable { features, target }, task, &options, None) {
            Ok(trained) => trained,
            Err(error @ (TrainError::Export(_) | TrainError::Option { .. })) => {
                return Err(BacktestError::Columns(error.to_string()));
            }
            // Too few rows, or a single class in them: there is no such model.
            Err(error) => return Ok(Err(error.to_string())),
        };
        let broken =
            |reason: String| BacktestError::Columns(format!("the trained model does not run: {reason}"));
        let model = Model::load(&trained.onnx).map_err(|error| broken(error.to_string()))?;
        let scorer = Scorer::new(model).map_err(|error| broken(error.to_string()))?;
        let mut fitted = Fitted {
            rows: rows.len() as u64,
            seen: vec![0.0; self.timeline.slices.len()],
            late: vec![0.0; self.timeline.slices.len()],
            expected: Vec::new(),
        };
        let mut expected = vec![(0.0, 0.0); self.timeline.decisions()];
        let asked = self.asked(as_of, window, refit);
        for chunk in asked.chunks(CHUNK) {
            let scores = scorer.score(&pick(&self.history.features, chunk)?);
            let losses = self.losses(chunk, scores.map_err(|error| broken(error.to_string()))?)?;
            for (row, loss) in chunk.iter().zip(losses) {
                self.count(*row, loss, &mut fitted, &mut expected);
            }
        }
        fitted.expected =
            expected.into_iter().map(|(sum, weight)| (weight > 0.0).then(|| sum / weight)).collect();
        Ok(Ok(fitted))
    }

    /// The labelled rows that a model is asked about: all that follow, and those that were withheld from it.
    fn asked(&self, as_of: Timestamp, window: Window, refit: bool) -> Vec<usize> {
        let reach = match window {
            Window::All | Window::Fading(_) => None,
            Window::Last(span) => Some(as_of - span.max(self.settings.holdout.last)),
        };
        let wanted = |row: &usize| {
            let time = self.history.times.get(*row).copied().unwrap_or_default();
            let labelled = self.history.known_at.get(*row).copied().flatten().is_some();
            let past =
                !refit && self.settings.holdout.withholds(time) && reach.is_none_or(|reach| time >= reach);
            labelled && (time >= as_of || past)
        };
        (0..self.history.rows()).filter(wanted).collect()
    }

    fn count(&self, row: usize, loss: f64, fitted: &mut Fitted, expected: &mut [(f64, f64)]) {
        let Some(at) = self.of_rows.get(row).map(|at| *at as usize) else { return };
        let Some(slice) = self.timeline.slices.get(at) else { return };
        let Some(known) = self.history.known_at.get(row).copied().flatten() else { return };
        let seen = self.timeline.is_seen(slice, known);
        let sums = if seen { &mut fitted.seen } else { &mut fitted.late };
        if let Some(sum) = sums.get_mut(at) {
            *sum += loss;
        }
        let weight = f64::from(self.weights.get(row).copied().unwrap_or_default());
        if let Some((sum, weights)) = expected.get_mut(slice.visible).filter(|_| seen) {
            *sum += weight * loss;
            *weights += weight;
        }
    }

    fn losses(&self, rows: &[usize], scores: Scores) -> Result<Vec<f64>, BacktestError> {
        let (outputs, scores, classes) = match scores {
            Scores::Regression(values) => (Column::Numeric(values), Vec::new(), Vec::new()),
            Scores::Classification { labels, classes, probabilities } => (
                Column::Text(labels.into_iter().map(Some).collect()),
                probabilities,
                classes.iter().map(ToString::to_string).collect(),
            ),
        };
        let predictions = Predictions { outputs: values(&outputs), scores: &scores, classes: &classes };
        let labels = pick_column(&self.history.target, rows);
        gyre_monitor::loss::losses(self.settings.metric, &predictions, &values(&labels))
            .map_err(|error| BacktestError::Columns(error.to_string()))
    }

    /// The features that a model was trained on, as production keeps them.
    pub(crate) fn profile(&self, at: usize, window: Window) -> Result<ReferenceProfile, BacktestError> {
        let table = pick(
            &self.history.features,
            &self.rows(self.timeline.moment(at), window, self.settings.policy.refit),
        )?;
        let columns = table.columns().iter().map(|(name, column)| (name.as_ref(), values(column)));
        Ok(ReferenceProfile::build(columns, Values::Numbers(&[]), None))
    }

    /// How the features in `period` differ from `profile`.
    pub(crate) fn drift(
        &self,
        profile: &ReferenceProfile,
        period: Period,
    ) -> Result<Vec<Drift>, BacktestError> {
        let position = |moment| self.history.times.partition_point(|time| *time < moment);
        let rows: Vec<usize> = (position(period.from)..position(period.to)).collect();
        let table: Table = pick(&self.history.features, &rows)?;
        let features: Vec<(&str, Values<'_>)> =
            table.columns().iter().map(|(name, column)| (name.as_ref(), values(column))).collect();
        // What was predicted plays no part: no profile of predictions is kept, and what cannot be tested is not listed.
        let (unknown, versions) = (vec![f64::NAN; rows.len()], vec![1; rows.len()]);
        let routes = vec![gyre_core::record::Route::Champion; rows.len()];
        let times: Vec<Timestamp> =
            rows.iter().filter_map(|row| self.history.times.get(*row).copied()).collect();
        let outputs = Values::Numbers(&unknown);
        let input = WindowInput {
            model: &self.settings.model,
            period,
            champion: 1,
            times: &times,
            versions: &versions,
            routes: &routes,
            predictions: Predictions { outputs, scores: &[], classes: &[] },
            labels: Values::Numbers(&unknown),
            features: &features,
            errors: 0,
            latencies_us: &[],
        };
        let settings = gyre_monitor::Settings {
            metric: Metric::Mae,
            drift_effect: self.settings.drift_effect,
            drift_share: self.settings.drift_share,
            false_discovery_rate: 0.01,
        };
        let summary = summarise(&input, profile, &settings);
        Ok(summary.map_err(|error| BacktestError::Columns(error.to_string()))?.drift)
    }
}

/// A column as the monitor looks at it.
fn values(column: &Column) -> Values<'_> {
    match column {
        Column::Numeric(numbers) => Values::Numbers(numbers),
        Column::Text(texts) => Values::Text(texts),
    }
}

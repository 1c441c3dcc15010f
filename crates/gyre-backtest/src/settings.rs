//! What is backtested: the question, as numbers.

use gyre_control::Policy;
use gyre_core::spec::{Cost, Holdout, Limit, Metric, Model, Retrain, Task, Window};
use gyre_core::{ModelName, Span};

use crate::error::BacktestError;

/// What is predicted, measured, paid, and may be done. [`Settings::of`] takes all of it from `gyre.yaml`.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The model's name.
    pub model: ModelName,
    /// What is predicted.
    pub task: Task,
    /// What is measured.
    pub metric: Metric,
    /// The metric's unit, for people.
    pub unit: String,
    /// How long a window is (`monitor.window`).
    pub window: Span,
    /// How long labels take (`labels.expected_delay`).
    pub delay: Span,
    /// How much history comes before the first training.
    pub warm_up: Span,
    /// Which days are withheld (`train.holdout`).
    pub holdout: Holdout,
    /// The training windows to choose from: the first is the one of policies that do not choose.
    pub candidates: Vec<Window>,
    /// What a training and a day of being wrong cost (`retrain.cost`).
    pub cost: Cost,
    /// How much worse than promised, as a share of it, is a decay (`monitor.tolerance`).
    pub tolerance: f64,
    /// How far numbers must have moved to matter (`monitor.drift_effect`).
    pub drift_effect: f64,
    /// How much a share must have changed to matter (`monitor.drift_share`).
    pub drift_share: f64,
    /// The gates (`gates`).
    pub gates: Vec<String>,
    /// The controller's own settings.
    pub policy: Policy,
}

impl Settings {
    /// The defaults of `gyre.yaml`, for a model that none declares.
    pub fn new(model: ModelName, task: Task, metric: Metric) -> Self {
        let retrain = Retrain::default();
        let monitor = gyre_core::spec::Monitor::default();
        let candidates = vec![Window::Last(Span::days(56)), Window::All];
        let policy = Policy {
            metric: metric.name(),
            on_decay: true,
            recall: true,
            refit: retrain.refit,
            windows: candidates.clone(),
            patience: retrain.cost.retrain / retrain.cost.error,
            significance: retrain.significance,
            tolerance: monitor.tolerance,
            cooldown: retrain.cooldown,
            limit: retrain.limit,
            ..Policy::undeclared()
        };
        Self {
            model,
            task,
            metric,
            unit: String::new(),
            window: monitor.window,
            delay: Span::days(1),
            warm_up: Span::days(56),
            holdout: Holdout::default(),
            candidates,
            cost: retrain.cost,
            tolerance: monitor.tolerance,
            drift_effect: monitor.drift_effect,
            drift_share: monitor.drift_share,
            gates: default_gates(metric),
            policy,
        }
    }

    /// What `gyre.yaml` says of a model.
    pub fn of(name: &ModelName, model: &Model, policy: Policy) -> Self {
        let mut candidates: Vec<Window> = model.windows().collect();
        if candidates.is_empty() {
            candidates.push(model.train.window);
        }
        let warm_up = match model.train.window {
            Window::Last(span) => span,
            Window::All | Window::Fading(_) => Span::days(56),
        };
        Self {
            model: name.clone(),
            task: model.task,
            metric: model.metric,
            unit: model.unit.clone(),
            window: model.monitor.window,
            delay: model.labels.expected_delay,
            warm_up,
            holdout: model.train.holdout,
            candidates,
            cost: model.retrain.cost,
            tolerance: model.monitor.tolerance,
            drift_effect: model.monitor.drift_effect,
            drift_share: model.monitor.drift_share,
            gates: model.gates.iter().map(|gate| gate.value.clone()).collect(),
            policy,
        }
    }

    /// Sets what may be trained on, for all policies alike.
    pub fn with_candidates(mut self, candidates: Vec<Window>) -> Self {
        self.policy.windows.clone_from(&candidates);
        self.candidates = candidates;
        self
    }

    /// Sets how long a window is, and has the gates look at several: four, or as long as they would look anyway.
    pub fn with_window(mut self, window: Span) -> Self {
        self.window = window;
        let several = Span::from_millis(window.as_millis().saturating_mul(4));
        self.holdout.last = self.holdout.last.max(several);
        self
    }

    /// Looks at the numbers.
    ///
    /// # Errors
    /// [`BacktestError::Setting`] for the first that nothing can be computed with.
    pub fn check(&self) -> Result<(), BacktestError> {
        let refuse = |name, found: String, expected| Err(BacktestError::Setting { name, found, expected });
        if self.window.as_millis() <= 0 {
            return refuse("the window", self.window.to_string(), "a length of time such as 7d");
        }
        if self.delay.as_millis() < 0 {
            return refuse(
                "the delay of labels",
                self.delay.to_string(),
                "a length of time such as 1d, or 0d",
            );
        }
        if self.holdout.every < 2 {
            return refuse("holdout.every", self.holdout.every.to_string(), "2 or more");
        }
        if self.candidates.is_empty() {
            return refuse("the list of training windows", "empty".to_owned(), "at least one, such as 56d");
        }
        if !(self.cost.retrain >= 0.0 && self.cost.retrain.is_finite()) {
            return refuse("cost.retrain", self.cost.retrain.to_string(), "0 or more");
        }
        if !(self.cost.error > 0.0 && self.cost.error.is_finite()) {
            return refuse("cost.error", self.cost.error.to_string(), "above 0");
        }
        if !self.metric.fits(self.task) {
            return refuse(
                "the metric",
                self.metric.name().to_owned(),
                "mae or rmse for a regression, log_loss or error_rate for classes",
            );
        }
        Ok(())
    }
}

/// A version that is better on the same withheld rows.
fn default_gates(metric: Metric) -> Vec<String> {
    vec![format!("candidate.{0} < champion.{0}", metric.name())]
}

/// The limit of trainings that leaves the decision to the costs.
pub const UNLIMITED: Limit = Limit { count: u32::MAX, per: Span::days(1) };

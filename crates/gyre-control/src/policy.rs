//! When and how a model is repaired, as numbers: `gyre.yaml` in the controller's terms.

use std::collections::BTreeMap;

use gyre_core::fact::RolloutPlan;
use gyre_core::spec::{
    Breaker, Deploy, Expected, Limit, Model, NewData, Project, QuietHours, Schedule, Trigger, Try, Window,
};
use gyre_core::{ModelName, Span};

/// The policy of each model.
pub type Policies = BTreeMap<ModelName, Policy>;

/// When and how one model is repaired.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// The metric's name, for the words of decisions.
    pub metric: &'static str,
    /// The metric's unit, for the words of decisions.
    pub unit: String,
    /// Whether the realised loss, and what age has been shown to cost, set repairs off, and versions are compared at every close.
    pub on_decay: bool,
    /// Whether drift makes the loop look closer, where the loss does not.
    pub on_drift: bool,
    /// Whether a loss that is expected to be worse than promised, before its labels have come, makes a training due.
    pub on_estimate: bool,
    /// How much that is new asks for a training.
    pub new_data: Vec<NewData>,
    /// Moments of the calendar that ask for a training.
    pub schedules: Vec<Schedule>,
    /// Whether a change of the pipeline's code asks for a training.
    pub on_code: bool,
    /// Whether older versions may be brought back.
    pub recall: bool,
    /// How far back labels put the champion's answers right, before anything is trained; none where that is not tried.
    pub recalibrate: Option<Span>,
    /// Windows to train on: the first, and after a refusal the next.
    pub windows: Vec<Window>,
    /// Whether a decision tries all of them instead.
    pub try_all: bool,
    /// Whether what passed its gates is trained once more, on the withheld rows too, before it takes traffic.
    pub refit: bool,
    /// The regret at which a repair pays: the cost of a retraining in days of the reference loss.
    pub patience: f64,
    /// The p-value below which a difference counts.
    pub significance: f64,
    /// How much worse than its reference, as a share of it, the loss must be to raise an alarm.
    pub tolerance: f64,
    /// What is expected of columns, beside what was learned; the checks that are not to be looked at are passed over.
    pub quality: BTreeMap<String, Expected>,
    /// Whether predictions of the model are said to get labels.
    pub labels_expected: bool,
    /// Whether labels follow from the model's own action, and nothing says which rows were left to chance.
    pub by_own_action: bool,
    /// The share of a window's predictions that must have labels for it to be judged.
    pub min_coverage: f64,
    /// The least time between two repairs.
    pub cooldown: Span,
    /// The most trainings in a time.
    pub limit: Limit,
    /// When nothing begins.
    pub quiet: QuietHours,
    /// After how many setbacks in a row the loop rests, and for how long.
    pub breaker: Breaker,
    /// How a version is rolled out, when nobody says otherwise.
    pub plan: RolloutPlan,
}

impl Policy {
    /// For a model that the project file does not declare: rolled out as always, repaired by nobody.
    pub fn undeclared() -> Self {
        Self {
            metric: "",
            unit: String::new(),
            on_decay: false,
            on_drift: false,
            on_estimate: false,
            new_data: Vec::new(),
            schedules: Vec::new(),
            on_code: false,
            recall: false,
            recalibrate: None,
            windows: Vec::new(),
            try_all: false,
            refit: false,
            patience: f64::INFINITY,
            significance: 0.0,
            tolerance: f64::INFINITY,
            quality: BTreeMap::new(),
            labels_expected: false,
            by_own_action: false,
            min_coverage: 0.0,
            cooldown: Span::default(),
            limit: Limit { count: 0, per: Span::days(1) },
            quiet: QuietHours::default(),
            breaker: Breaker::default(),
            plan: Deploy::default().plan(),
        }
    }
}

/// The policies that a project declares.
pub fn policies(project: &Project) -> Policies {
    project.models.iter().map(|(name, model)| (name.clone(), Policy::of(model))).collect()
}

impl Policy {
    /// The policy that `gyre.yaml` declares for a model.
    pub fn of(model: &Model) -> Self {
        Self {
            metric: model.metric.name(),
            unit: model.unit.clone(),
            on_decay: model.retrain.when.contains(&Trigger::Decay),
            on_drift: model.retrain.when.contains(&Trigger::Drift),
            on_estimate: model.retrain.when.contains(&Trigger::Estimate),
            new_data: model.retrain.when.iter().filter_map(Trigger::new_data).collect(),
            schedules: model.retrain.when.iter().filter_map(Trigger::schedule).cloned().collect(),
            on_code: model.retrain.when.contains(&Trigger::Code),
            // On labels that follow from the champion's action other versions cannot be held against it.
            recall: model.may_recall() && !model.labels.caused_by_action,
            // Nor do such labels tell how far off its answers are.
            recalibrate: model.recalibration().filter(|_| !model.labels.caused_by_action),
            windows: model.windows().collect(),
            try_all: model.retrain.attempt == Try::All,
            refit: model.retrain.refit,
            patience: model.retrain.cost.retrain / model.retrain.cost.error,
            significance: model.retrain.significance,
            tolerance: model.monitor.tolerance,
            quality: model.monitor.quality.clone(),
            labels_expected: model.labels.join.is_some() || model.labels.source.is_some(),
            by_own_action: model.labels.caused_by_action && model.labels.explored.is_none(),
            min_coverage: model.monitor.min_coverage.share(),
            cooldown: model.retrain.cooldown,
            limit: model.retrain.limit,
            quiet: model.retrain.quiet.value.clone(),
            breaker: model.retrain.breaker.value,
            plan: model.deploy.plan(),
        }
    }
}

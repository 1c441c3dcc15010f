//! When and how a model is repaired, as numbers: `gyre.yaml` in the controller's terms.

use std::collections::BTreeMap;

use gyre_core::fact::RolloutPlan;
use gyre_core::spec::{Deploy, Limit, Project, Trigger, Window};
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
    /// Whether older versions may be brought back.
    pub recall: bool,
    /// Windows to train on: the first, and after a refusal the next.
    pub windows: Vec<Window>,
    /// The regret at which a repair pays: the cost of a retraining in days of the reference loss.
    pub patience: f64,
    /// The p-value below which a difference counts.
    pub significance: f64,
    /// How much worse than its reference, as a share of it, the loss must be to raise an alarm.
    pub tolerance: f64,
    /// The least time between two repairs.
    pub cooldown: Span,
    /// The most trainings in a time.
    pub limit: Limit,
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
            recall: false,
            windows: Vec::new(),
            patience: f64::INFINITY,
            significance: 0.0,
            tolerance: f64::INFINITY,
            cooldown: Span::default(),
            limit: Limit { count: 0, per: Span::days(1) },
            plan: Deploy::default().plan(),
        }
    }
}

/// The policies that a project declares.
pub fn policies(project: &Project) -> Policies {
    let policy = |model: &gyre_core::spec::Model| Policy {
        metric: model.metric.name(),
        unit: model.unit.clone(),
        on_decay: model.retrain.when.contains(&Trigger::Decay),
        on_drift: model.retrain.when.contains(&Trigger::Drift),
        on_estimate: model.retrain.when.contains(&Trigger::Estimate),
        recall: model.may_recall(),
        windows: model.windows().collect(),
        patience: model.retrain.cost.retrain / model.retrain.cost.error,
        significance: model.retrain.significance,
        tolerance: model.monitor.tolerance,
        cooldown: model.retrain.cooldown,
        limit: model.retrain.limit,
        plan: model.deploy.plan(),
    };
    project.models.iter().map(|(name, model)| (name.clone(), policy(model))).collect()
}

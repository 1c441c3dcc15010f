//! `gyre.yaml`: what "good" means for each model of a project.
//!
//! The types are the file: every key is a field, every default stands here, unknown keys are errors. Reading is
//! in two steps, shape ([`Project::parse`]) and sense ([`check`]), and both answer with [`Diagnostic`]s that
//! name the line. Nothing is read from disk here; whoever has the text passes it in.

mod check;
mod features;
mod labels;
mod notify;
mod quality;
mod quiet;
mod retrain;
mod schedule;
mod segments;
mod words;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_saphyr::{Location, Spanned};

pub use check::{KNOWN_MEASURES, check};
pub use features::{Feature, Features, Odd, OnOdd, Substitute};
pub use labels::{LABEL_SECRETS, LabelSource, Labels, SINCE};
pub use notify::{LetterFormat, NOTIFY_SECRETS, Receiver, Topic};
pub use quality::{EVERY_COLUMN, Expected};
pub use quiet::{Quiet, QuietHours};
pub use retrain::{Breaker, Candidate, Cost, NewData, Retrain, Trigger, Try};
pub use schedule::Schedule;
pub use segments::Segment;
pub use words::{Limit, Percent, Window};

use crate::expr::Expression;
use crate::fact::{BanditPlan, RolloutPlan, SplitRule, SplitRules};
use crate::record::Value;
use crate::{Diagnostic, ModelName, Span};

/// The file's name, at the root of a project.
pub const FILE: &str = "gyre.yaml";

/// A whole project.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Project {
    /// The format's version: 1.
    pub version: Spanned<u32>,
    /// The project's name.
    pub project: ModelName,
    /// Datasets by name.
    #[serde(default)]
    pub data: BTreeMap<String, Dataset>,
    /// The DVC pipeline that trains the models.
    #[serde(default)]
    pub pipeline: Option<Spanned<String>>,
    /// Models by name.
    #[serde(default)]
    pub models: BTreeMap<ModelName, Model>,
    /// Who is told of what happens to them, by name.
    #[serde(default)]
    pub notify: BTreeMap<String, Receiver>,
}

impl Project {
    /// A project that declares nothing yet: there is no file, and tracking and registry need none.
    pub fn undeclared(name: ModelName) -> Self {
        let (data, models) = (BTreeMap::new(), BTreeMap::new());
        Self {
            version: Spanned::new(1, Location::UNKNOWN, Location::UNKNOWN),
            project: name,
            data,
            pipeline: None,
            models,
            notify: BTreeMap::new(),
        }
    }
}

/// Rows that come again and again.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dataset {
    /// A Parquet or CSV file, relative to the project.
    pub source: Spanned<String>,
    /// The column with a row's event time.
    #[serde(default)]
    pub time: Option<String>,
    /// The column that says when a row's label became known; until then no model may train on it.
    #[serde(default)]
    pub label_time: Option<String>,
    /// The column that identifies a row.
    #[serde(default)]
    pub key: Option<String>,
    /// What must hold before anything trains on it.
    #[serde(default)]
    pub checks: Vec<Spanned<DataCheck>>,
}

/// One condition on a dataset; the parts that are given must all hold.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataCheck {
    /// The column that it is about; without one only `rows` can be given.
    #[serde(default)]
    pub column: Option<String>,
    /// What the column must hold.
    #[serde(default, rename = "type")]
    pub kind: Option<ColumnType>,
    /// Smallest and largest value allowed.
    #[serde(default)]
    pub range: Option<(f64, f64)>,
    /// The largest share of missing values allowed, 0 to 1.
    #[serde(default)]
    pub nulls: Option<f64>,
    /// The values allowed.
    #[serde(default, rename = "in")]
    pub one_of: Option<Vec<Value>>,
    /// Whether every value must differ from every other.
    #[serde(default)]
    pub unique: bool,
    /// Fewest and most rows allowed.
    #[serde(default)]
    pub rows: Option<(u64, u64)>,
}

/// What a column must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ColumnType {
    /// Whole numbers.
    Int,
    /// Numbers.
    Float,
    /// Text.
    Text,
    /// True or false.
    Bool,
    /// Moments.
    Time,
}

/// What "good" means for one model.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// What is predicted.
    pub task: Task,
    /// The column that is predicted.
    pub target: String,
    /// The pipeline's output that is the model, relative to the project.
    pub artifact: Spanned<String>,
    /// What is measured; lower is better.
    pub metric: Metric,
    /// The metric's unit, for people.
    #[serde(default)]
    pub unit: String,
    /// What it is trained on.
    pub train: Train,
    /// How predictions meet their labels.
    #[serde(default)]
    pub labels: Labels,
    /// Columns that bias is measured on.
    #[serde(default)]
    pub protected: Vec<String>,
    /// What a version must show before it takes traffic: CEL over measured facts.
    #[serde(default)]
    pub gates: Vec<Spanned<String>>,
    /// How traffic moves to a new version.
    #[serde(default)]
    pub deploy: Deploy,
    /// How it is served.
    #[serde(default)]
    pub serve: Serve,
    /// What is done about odd values of its features.
    #[serde(default)]
    pub features: Features,
    /// What of its predictions is kept.
    #[serde(default)]
    pub log: Log,
    /// What is watched.
    #[serde(default)]
    pub monitor: Monitor,
    /// When and how it is repaired.
    #[serde(default)]
    pub retrain: Retrain,
}

/// What is predicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// A number.
    Regression,
    /// One of two classes.
    Binary,
    /// One of several classes.
    Multiclass,
}

/// What is measured; lower is better in all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Mean absolute error.
    Mae,
    /// Root mean squared error.
    Rmse,
    /// Mean negative log-likelihood of the true class.
    LogLoss,
    /// The share of wrong classes: 1 − accuracy.
    ErrorRate,
}

impl Metric {
    /// The name in `gyre.yaml` and in gate expressions.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mae => "mae",
            Self::Rmse => "rmse",
            Self::LogLoss => "log_loss",
            Self::ErrorRate => "error_rate",
        }
    }

    /// Whether it measures predictions of `task`.
    pub const fn fits(self, task: Task) -> bool {
        matches!(
            (self, task),
            (Self::Mae | Self::Rmse, Task::Regression)
                | (Self::LogLoss | Self::ErrorRate, Task::Binary | Task::Multiclass)
        )
    }
}

/// What a model is trained on.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Train {
    /// The dataset.
    pub data: Spanned<String>,
    /// Where the cut that is trained on is put for the pipeline, relative to the project.
    #[serde(default = "Train::default_into")]
    pub into: String,
    /// Where the rows withheld for the gate are put.
    #[serde(default = "Train::default_holdout_into")]
    pub holdout_into: String,
    /// How far back the first training reaches.
    #[serde(default)]
    pub window: Window,
    /// Which rows are withheld from training, to hold versions against each other.
    #[serde(default)]
    pub holdout: Holdout,
}

impl Train {
    fn default_into() -> String {
        "data/train.parquet".to_owned()
    }
    fn default_holdout_into() -> String {
        "data/holdout.parquet".to_owned()
    }
}

/// Which rows are withheld from training, to hold versions against each other.
///
/// Every `every`-th day of the calendar (days since 1970-01-01, UTC, whose number is divisible by it) trains no version
/// that is judged (what passed is trained once more with them, see [`Retrain::refit`]). Whole days, because rows of one day are alike; the same days for all, so that no version has seen the rows it is
/// compared on; spread over the time, so that a challenger still learns what is newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Holdout {
    /// Every how manieth day.
    pub every: u32,
    /// How far back from now the gate looks for withheld days.
    pub last: Span,
}

impl Holdout {
    /// Whether the rows of `moment`'s day are withheld.
    pub fn withholds(&self, moment: crate::Timestamp) -> bool {
        moment.day().rem_euclid(i64::from(self.every.max(1))) == 0
    }
}

impl Default for Holdout {
    fn default() -> Self {
        Self { last: Span::days(28), every: 4 }
    }
}

/// How traffic moves to a new version.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Deploy {
    /// By which plan.
    pub strategy: Spanned<Strategy>,
    /// The shares of a canary; a first one of 0% is a shadow.
    pub steps: Vec<Percent>,
    /// How many requests the candidate must have answered before a step is judged.
    pub min_requests: u64,
    /// The chance, over a whole rollout, of sending back a candidate that fails no more often than the champion. The two
    /// are compared after every request.
    pub alpha: Spanned<f64>,
    /// What sends all traffic back besides: CEL over `errors` (share), `latency_p50_ms`, `latency_p99_ms`, `requests`, and
    /// over what the comparison with the champion shows ([`RolloutPlan::rollback_on`]).
    pub rollback_on: Vec<Spanned<String>>,
    /// How long a new version takes all traffic, with the champion kept warm beside it, before it is promoted.
    pub bake: Option<Span>,
    /// Labels that a step's own predictions must have got, of the candidate, before the step may pass.
    pub min_labels: u64,
    /// How long a step waits for them before the candidate goes back.
    pub labels_within: Option<Span>,
    /// How a bandit learns.
    pub bandit: BanditPlan,
    /// Rules that send requests to a version before chance decides.
    pub split: Vec<Spanned<SplitRule>>,
    /// The headers that these rules may ask for.
    pub split_headers: Vec<String>,
}

impl Default for Deploy {
    fn default() -> Self {
        Self {
            strategy: unplaced(Strategy::Canary),
            steps: [5.0, 25.0, 50.0, 100.0].map(Percent::new).to_vec(),
            min_requests: 30,
            alpha: unplaced(0.01),
            rollback_on: Vec::new(),
            bake: None,
            min_labels: 0,
            labels_within: None,
            bandit: BanditPlan::default(),
            split: Vec::new(),
            split_headers: Vec::new(),
        }
    }
}

impl Deploy {
    /// The candidate's shares of traffic, step by step, in hundredths of a percent; at a share of nothing it is asked
    /// beside the champion.
    pub fn shares(&self) -> Vec<u32> {
        match self.strategy.value {
            Strategy::Replace | Strategy::BlueGreen | Strategy::Bandit => vec![10_000],
            Strategy::Canary => self.steps.iter().map(|step| step.basis_points()).collect(),
            Strategy::Shadow => vec![0, 10_000],
        }
    }
}

impl Deploy {
    /// The same as a plan of a rollout.
    pub fn plan(&self) -> RolloutPlan {
        let bake = match self.strategy.value {
            Strategy::BlueGreen => Some(self.bake.unwrap_or(Self::BAKE)),
            _ => self.bake,
        };
        RolloutPlan {
            steps: self.shares(),
            min_requests: self.min_requests,
            alpha: self.alpha.value,
            rollback_on: self.rollback_on.iter().map(|rule| rule.value.clone()).collect(),
            bake,
            min_labels: self.min_labels,
            labels_within: self.labels_within,
            bandit: (self.strategy.value == Strategy::Bandit).then(|| self.bandit.clone()),
        }
    }

    /// The rules that decide before chance does.
    pub fn split_rules(&self) -> SplitRules {
        SplitRules {
            rules: self.split.iter().map(|rule| rule.value.clone()).collect(),
            headers: self.split_headers.clone(),
        }
    }

    /// How long a version bakes in blue/green when nothing else is said.
    pub const BAKE: Span = Span::minutes(15);
}

fn unplaced<T>(value: T) -> Spanned<T> {
    Spanned::new(value, serde_saphyr::Location::UNKNOWN, serde_saphyr::Location::UNKNOWN)
}

/// By which plan traffic moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// All at once.
    Replace,
    /// By the steps.
    Canary,
    /// All at once, with the champion kept warm until the new version has baked.
    BlueGreen,
    /// First asked beside the champion, without an effect on anybody; then all at once.
    Shadow,
    /// By what comes true of it and of the champion.
    Bandit,
}

/// How a model is served.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Serve {
    /// Answers that are kept for rows that come again; none are, when it is left out.
    pub cache: Option<Spanned<Cache>>,
}

/// Answers that are kept for rows that come again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cache {
    /// Most rows, of each version.
    pub rows: u32,
    /// For how long.
    #[serde(rename = "for")]
    pub span: Span,
}

/// What of a model's predictions is kept in the inference log.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// The share of ids whose predictions are kept.
    pub share: Percent,
    /// Features whose values are not.
    pub leave_out: Vec<Spanned<String>>,
}

impl Default for Log {
    fn default() -> Self {
        Self { share: Percent::new(100.0), leave_out: Vec::new() }
    }
}

/// What is watched.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Monitor {
    /// How long a window is.
    pub window: Span,
    /// How far numbers must have moved to matter, in interquartile ranges of the reference.
    pub drift_effect: f64,
    /// How much the share of a name, of missing or of infinite values must have changed to matter; a fifth of it is enough of
    /// rows with names that the reference does not have, for no model has learned anything of them.
    pub drift_share: f64,
    /// How much worse than its reference, as a share of it, the loss must be to matter.
    pub tolerance: f64,
    /// The share of a window's logged predictions that must have labels for the window to be judged; below it nothing is said of
    /// the loss, and nothing is trained.
    pub min_coverage: Percent,
    /// Features by whose values the loss is told apart.
    pub segments: Vec<Spanned<Segment>>,
    /// What is expected of columns, beside what was learned.
    pub quality: BTreeMap<String, Expected>,
}

impl Default for Monitor {
    fn default() -> Self {
        Self {
            window: Span::days(7),
            drift_effect: 0.1,
            drift_share: 0.03,
            tolerance: 0.1,
            min_coverage: Percent::new(50.0),
            segments: Vec::new(),
            quality: BTreeMap::new(),
        }
    }
}

impl Project {
    /// Reads the text of a `gyre.yaml` and checks that it makes sense.
    ///
    /// # Errors
    /// Every [`Diagnostic`] found: the first of the shape, or all of the sense. `file` is named in them.
    pub fn parse(file: &str, text: &str) -> Result<Self, Vec<Diagnostic>> {
        let project: Self =
            serde_saphyr::from_str(text).map_err(|error| vec![words::explain(file, text, &error)])?;
        let wrong = check(file, &project);
        if wrong.is_empty() { Ok(project) } else { Err(wrong) }
    }
}

impl Model {
    /// The compiled gates.
    pub fn compiled_gates(&self) -> Vec<Expression> {
        // Those that do not compile were refused by `check`.
        self.gates.iter().filter_map(|gate| Expression::compile(&gate.value).ok()).collect()
    }

    /// The windows that may be trained on.
    pub fn windows(&self) -> impl Iterator<Item = Window> + '_ {
        self.retrain.candidates.iter().filter_map(|candidate| match candidate {
            Candidate::Train(window) => Some(*window),
            Candidate::Recall | Candidate::Recalibrate(_) => None,
        })
    }

    /// How far back a recalibration looks, where one may be tried.
    pub fn recalibration(&self) -> Option<Span> {
        self.retrain.candidates.iter().find_map(|candidate| match candidate {
            Candidate::Recalibrate(span) => Some(*span),
            Candidate::Recall | Candidate::Train(_) => None,
        })
    }

    /// Whether older versions may be brought back.
    pub fn may_recall(&self) -> bool {
        self.retrain.candidates.contains(&Candidate::Recall)
    }
}

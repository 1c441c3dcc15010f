//! Facts: everything that the journal may hold.
//!
//! A fact is something that happened, in words that an auditor understands years later. It is never changed and
//! never removed; what was wrong is corrected by a later fact. The controller lives on facts, lineage is a
//! projection of them, and the state tables change only together with the fact that says so.

mod access;
mod attribution;
mod bandit;
mod estimate;
mod incident;
mod registry;
mod rollout;
mod split;
mod tracking;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::expr::GateResult;
use crate::record::Signature;
use crate::runtime::Runtime;
use crate::spec::{Odd, Window};
use crate::time::Period;
use crate::{Digest, ModelName, Timestamp, Version};

pub use access::{AccessChange, InvalidRole, LoginWay, Role, UserKind};
pub use attribution::{Attribution, ColumnPart, Part, SegmentLoss};
pub use bandit::{Arm, BanditPlan, MOST_ARMS};
pub use estimate::{EstimateMethod, LossEstimate, LossForecast};
pub use incident::{
    CalibrationShift, Cause, CauseGroup, Check, Evidence, Explained, Finding, Incident, LabelShift, Severity,
};
pub use registry::{RegistryChange, Text};
pub use rollout::RolloutPlan;
pub use split::{LONGEST_RULE, MOST_RULES, SplitRule, SplitRules, Target};
pub use tracking::TrackingChange;

/// A fact with its place in the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Position, counted from 1: the leaf index of the Merkle tree is one less.
    pub seq: u64,
    /// When it happened, in event time.
    pub at: Timestamp,
    /// When it was written, by the system's clock.
    pub recorded: Timestamp,
    /// Who did it: `controller`, `gateway`, `monitor`, `user:NAME`.
    pub actor: String,
    /// The entry that led to this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<u64>,
    /// Unique where present: writing the same key again changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// From where: the client's address, and what it calls itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// What happened.
    pub fact: Fact,
}

/// The numbers that a statement was made on, by name.
pub type Numbers = BTreeMap<String, f64>;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Fact {
    /// The project file was read and is in force.
    ProjectLoaded {
        /// The project's name.
        project: String,
        /// SHA-256 of `gyre.yaml`.
        spec: Digest,
        /// Where the code stood.
        code: CodeVersion,
    },
    /// A data version exists: immutable bytes under a digest.
    DataRecorded(DataVersion),
    /// A batch of data was refused; nothing may be trained on it.
    DataRefused {
        /// The dataset's name.
        dataset: String,
        /// SHA-256 of the refused bytes.
        digest: Digest,
        /// Each check that failed, with what was found.
        reasons: Vec<String>,
    },
    /// A run ended well; its parameters, metrics and surroundings.
    RunFinished(Run),
    /// A run ended badly. The champion keeps serving.
    RunFailed {
        /// The run.
        run: String,
        /// For which model.
        model: ModelName,
        /// The data version it was to train on, when there was one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        data: Option<Digest>,
        /// What went wrong.
        reason: String,
        /// The end of the log.
        log: String,
    },
    /// A model version exists: immutable, under a number never used again.
    VersionRegistered(ModelVersion),
    /// A version was held against its gates.
    GatesJudged {
        /// The model.
        model: ModelName,
        /// The version.
        version: Version,
        /// Whether all held.
        passed: bool,
        /// Each gate with its numbers.
        results: Vec<GateResult>,
        /// What the paired comparison said, when there was a champion.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        comparison: Option<Score>,
    },
    /// A monitoring window closed.
    WindowClosed(WindowSummary),
    /// What the champion's loss in a window will be, said before the window's labels have come.
    LossEstimated(LossEstimate),
    /// Something is wrong with a model that serves.
    AlarmRaised {
        /// The model.
        model: ModelName,
        /// What kind of wrong.
        alarm: Alarm,
        /// In words, with the numbers.
        reason: String,
        /// The numbers.
        numbers: Numbers,
    },
    /// What was wrong is wrong no more.
    AlarmCleared {
        /// The model.
        model: ModelName,
        /// What kind of wrong it was.
        alarm: Alarm,
        /// In words, with the numbers.
        reason: String,
    },
    /// Something is wrong, and it is likely why.
    IncidentOpened(Incident),
    /// An incident is worse or better than it was, or its cause is another; one that was closed a short time ago is open
    /// again.
    IncidentChanged(Incident),
    /// An incident is over.
    IncidentClosed {
        /// The model.
        model: ModelName,
        /// The incident.
        incident: String,
        /// Its cause.
        cause: Cause,
        /// Why it is over, in words.
        reason: String,
        /// Whether somebody asked not to be told of it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        silenced: bool,
    },
    /// A person has taken note of an incident.
    IncidentAcknowledged {
        /// The model.
        model: ModelName,
        /// The incident.
        incident: String,
        /// Until when nothing is to be told of it, or of another one with the same cause; none: only that it is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
        /// Who.
        by: String,
        /// Why.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reason: String,
    },
    /// Versions were scored on the same recent labelled rows.
    VersionsCompared {
        /// The model.
        model: ModelName,
        /// The rows' event time.
        period: Period,
        /// The champion's score first, then the others by loss.
        scores: Vec<Score>,
    },
    /// The controller decided.
    DecisionTaken {
        /// The model.
        model: ModelName,
        /// What.
        decision: Decision,
        /// Why, with the numbers in words.
        reason: String,
        /// The numbers.
        numbers: Numbers,
    },
    /// Something else than losses and age asks for a training: data, the calendar, the code. What is trained is a candidate, and
    /// has to pass its gates as any other.
    TrainingDue {
        /// The model.
        model: ModelName,
        /// What asks: `new_data`, `schedule` or `code`.
        trigger: String,
        /// In words, with the numbers.
        reason: String,
        /// The numbers.
        numbers: Numbers,
    },
    /// What the loop had put off for the model may begin: its quiet hours are over, or whatever else stood in the way.
    WaitEnded {
        /// The model.
        model: ModelName,
        /// What may begin, in words.
        reason: String,
    },
    /// A version began to take traffic.
    RolloutStarted {
        /// The model.
        model: ModelName,
        /// The version that is to become champion.
        candidate: Version,
        /// The champion that it is to follow; none for the first version.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        champion: Option<Version>,
        /// The shares of traffic to walk through, in hundredths of a percent.
        steps: Vec<u32>,
        /// How it is walked and judged; none in entries of before plans were kept.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        plan: Option<RolloutPlan>,
    },
    /// A person asked for a version to be rolled out.
    RolloutAsked {
        /// The model.
        model: ModelName,
        /// The version.
        version: Version,
        /// How; as the model's policy says, when there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        plan: Option<RolloutPlan>,
        /// Why.
        reason: String,
    },
    /// What a rollout's step showed.
    StepObserved {
        /// The model.
        model: ModelName,
        /// The candidate.
        candidate: Version,
        /// The step, counted from 0.
        step: u32,
        /// Whether it may go on.
        verdict: Verdict,
        /// The evidence.
        reason: String,
        /// The numbers of the evidence.
        numbers: Numbers,
    },
    /// Traffic moved.
    TrafficShifted {
        /// The model.
        model: ModelName,
        /// Shares by version, in hundredths of a percent; they add up to 10,000.
        weights: Vec<(Version, u32)>,
        /// Why.
        reason: String,
    },
    /// Rules that decide before chance does are in force; no rule, when there are none.
    SplitRuled {
        /// The model.
        model: ModelName,
        /// The rules.
        split: SplitRules,
        /// Why.
        reason: String,
    },
    /// A bandit looked at what came true of its arms.
    ArmsWeighed {
        /// The model.
        model: ModelName,
        /// The round, counted from 0.
        round: u32,
        /// The arms with what is known of them.
        arms: Vec<Arm>,
        /// The arm that is to be promoted; none while learning goes on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        winner: Option<Version>,
        /// In words.
        reason: String,
    },
    /// A version became champion.
    Promoted {
        /// The model.
        model: ModelName,
        /// The new champion.
        version: Version,
        /// The one before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        previous: Option<Version>,
        /// Why.
        reason: String,
    },
    /// All traffic went back.
    RolledBack {
        /// The model.
        model: ModelName,
        /// From the version that was found wanting.
        from: Version,
        /// To the one that serves again.
        to: Version,
        /// Why.
        reason: String,
    },
    /// A segment of the inference log was closed and will not change.
    SegmentClosed {
        /// The model.
        model: ModelName,
        /// The file's name under the model's log folder.
        name: String,
        /// SHA-256 of the file.
        digest: Digest,
        /// Predictions in it.
        predictions: u64,
        /// Labels in it.
        labels: u64,
        /// Event time of what is in it.
        period: Period,
    },
    /// The inference log could not be written for a while, or could not keep up, and goes on.
    LogTroubled {
        /// The model.
        model: ModelName,
        /// Predictions that were answered and are not in the log, since the last such entry.
        dropped: u64,
        /// Why it could not be written, when the disk refused.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        problem: Option<String>,
    },
    /// An action came to nothing.
    ActionFailed {
        /// The model.
        model: ModelName,
        /// The action's name.
        action: String,
        /// What went wrong.
        reason: String,
    },
    /// The loop stopped trying to repair a model, and says so.
    LoopPaused {
        /// The model.
        model: ModelName,
        /// Why.
        reason: String,
    },
    /// The loop tries again: a person let it, or it has rested.
    LoopResumed {
        /// The model.
        model: ModelName,
    },
    /// The gateway let go of a model because somebody asked for it; its requests are refused.
    ModelUnloaded {
        /// The model.
        model: ModelName,
    },
    /// The gateway serves a model again because somebody asked for it.
    ModelLoaded {
        /// The model.
        model: ModelName,
    },
    /// Something tracked changed.
    Tracking(TrackingChange),
    /// The model registry changed.
    Registry(RegistryChange),
    /// Who may do what changed.
    Access(AccessChange),
}

/// Where the code stood.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CodeVersion {
    /// The Git commit; none outside a repository or before the first commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Whether tracked files differed from the commit.
    pub dirty: bool,
}

/// A data version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataVersion {
    /// The dataset's name in `gyre.yaml`.
    pub dataset: String,
    /// SHA-256 of the bytes.
    pub digest: Digest,
    /// MD5 of the bytes, as DVC files name them.
    pub md5: String,
    /// Size in bytes.
    pub size: u64,
    /// Rows.
    pub rows: u64,
    /// Event time covered, when the dataset has a time column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<Period>,
    /// The data version that it was cut from, when it is a part of another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut_from: Option<Digest>,
}

/// A tracked run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The run's id.
    pub run: String,
    /// For which model.
    pub model: ModelName,
    /// The data version it was trained on.
    pub data: Digest,
    /// Where the code stood.
    pub code: CodeVersion,
    /// Parameters.
    pub params: BTreeMap<String, String>,
    /// Metrics.
    pub metrics: Numbers,
    /// Interpreter, platform, tool versions.
    pub environment: BTreeMap<String, String>,
    /// Each stage: name, whether its result was already there, milliseconds.
    pub stages: Vec<StageResult>,
    /// SHA-256 of the whole log.
    pub log: Digest,
}

/// How a pipeline stage went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageResult {
    /// The stage.
    pub stage: String,
    /// Whether nothing had to be done.
    pub cached: bool,
    /// How long it took, in milliseconds.
    pub millis: u64,
}

/// A registered version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelVersion {
    /// The model.
    pub model: ModelName,
    /// Its number.
    pub version: Version,
    /// The run that made it: the loop's, or a client's of the tracking server; none for a version that was made elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// SHA-256 of the model file, or of the description of where the model runs.
    pub artifact: Digest,
    /// Where it runs.
    #[serde(default, skip_serializing_if = "Runtime::is_native")]
    pub runtime: Runtime,
    /// Where it was taken from, in the words of whoever registered it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The data version it was trained on; none when that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Digest>,
    /// The version that passed its gates and that this one is once more, trained on the withheld rows too. What it promises, and how
    /// it compares on withheld rows, is that version's: this one has seen them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refit_of: Option<Version>,
    /// The version whose answers this one puts right, without a training: its file is that version's with a few numbers before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibrated_from: Option<Version>,
    /// What it takes and gives.
    pub signature: Signature,
    /// SHA-256 of the reference profile; none when there are no rows to make one of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Digest>,
    /// SHA-256 of what estimates its loss before labels come; none when nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimator: Option<Digest>,
    /// The metric on rows withheld from training, by name.
    pub holdout: Numbers,
    /// The window of event time it was trained on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trained_on: Option<Period>,
}

impl ModelVersion {
    /// Whether the loop trained it: its run is one of the loop's then, and the data version is known. A version that was
    /// taken from the tracking server names a run of some client.
    pub fn is_trained_here(&self) -> bool {
        self.run.is_some() && self.data.is_some()
    }

    /// In words, of which other version it is made, when it is made of one.
    pub fn made_of(&self) -> Option<String> {
        let refit = self.refit_of.map(|twin| format!("refit of version {twin}"));
        refit.or_else(|| self.calibrated_from.map(|of| format!("recalibrated from version {of}")))
    }
}

/// What a closed window showed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WindowSummary {
    /// The model.
    pub model: ModelName,
    /// Event time of the predictions.
    pub period: Period,
    /// The champion when it closed.
    pub champion: Version,
    /// Predictions in it.
    pub predictions: u64,
    /// Of those, with a label.
    pub labels: u64,
    /// The realised loss of each version that served, with its uncertainty.
    pub realised: Vec<Realised>,
    /// What the champion's loss was estimated to be before the labels came; none when nothing was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated: Option<LossForecast>,
    /// Drift of each feature, and of the prediction, against the champion's reference profile.
    pub drift: Vec<Drift>,
    /// Predictions that were asked for and failed; of a log that keeps a share of them, the same share.
    pub errors: u64,
    /// Values that callers sent and that are not as the champion's features are expected to be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub odd: Vec<OddValues>,
    /// What is wrong with the data.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quality: Vec<Finding>,
    /// What speaks for one cause or another.
    #[serde(default, skip_serializing_if = "Evidence::is_empty")]
    pub evidence: Evidence,
    /// Where the change of the champion's loss comes from; none without labels, or without the losses of the reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attribution: Option<Attribution>,
    /// The champion's loss in the segments that `monitor.segments` names, the worst first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub segments: Vec<SegmentLoss>,
}

/// How often a feature held something odd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OddValues {
    /// The feature.
    pub feature: String,
    /// What is odd.
    pub odd: Odd,
    /// Predictions with such a value.
    pub rows: u64,
}

/// The loss that came true.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Realised {
    /// Whose.
    pub version: Version,
    /// Labelled predictions.
    pub rows: u64,
    /// The model's metric over them.
    pub loss: f64,
    /// Days with labelled predictions: the clusters of the standard error.
    #[serde(default)]
    pub days: u32,
    /// Its standard error, clustered by day; none when there are too few days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standard_error: Option<f64>,
}

/// How far one column has moved from the reference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    /// The feature's name, or `(prediction)`.
    pub column: String,
    /// The statistic's name, such as `wasserstein_over_iqr`.
    pub statistic: String,
    /// Its value, an effect size: of numbers how many interquartile ranges they moved, of names and of missing values a
    /// change of share, in 0..=1.
    pub effect: f64,
    /// From which value on it matters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<f64>,
    /// The p-value, corrected for the number of columns.
    pub p: f64,
    /// What windows of the reference itself hardly exceed; none where it was too short to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usual: Option<f64>,
    /// Whether it is significant, material, and more than usual.
    pub drifted: bool,
}

/// How one version did on the rows of a comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Who.
    pub version: Version,
    /// Rows scored.
    pub rows: u64,
    /// Days that the rows come from: the clusters of the interval.
    #[serde(default)]
    pub days: u32,
    /// The metric.
    pub loss: f64,
    /// Mean paired difference of losses, champion's minus this one's: positive is better than the champion.
    pub gain: f64,
    /// Lower and upper bound of the gain (95 %, clustered by day); none when there are too few days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<(f64, f64)>,
    /// One-sided p-value of "no better than the champion"; none when there are too few days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p: Option<f64>,
}

/// What can be wrong with a model that serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Alarm {
    /// The realised loss is worse than the reference promised.
    Decay,
    /// The loss is expected to be worse than the reference promised; its labels have not come yet.
    DecayExpected,
    /// The inputs or predictions moved.
    Drift,
}

impl Alarm {
    /// The name in the journal's JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Decay => "decay",
            Self::DecayExpected => "decay_expected",
            Self::Drift => "drift",
        }
    }
}

/// What the controller can decide.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Decision {
    /// Leave everything as it is.
    Keep,
    /// Look closer: score every version on the recent labelled rows.
    Compare,
    /// Bring an older version back.
    Recall {
        /// Which.
        version: Version,
    },
    /// Train anew.
    Retrain {
        /// On which window.
        window: Window,
    },
    /// Put the champion's answers right by recent labels, without a training.
    Recalibrate {
        /// How far back.
        window: Window,
    },
    /// Give a version that passed its gates traffic, step by step.
    RollOut {
        /// Which.
        version: Version,
    },
    /// Train a version that passed its gates once more, on the withheld rows too, before it takes traffic.
    Refit {
        /// Which.
        version: Version,
    },
    /// Do not use a version.
    Refuse {
        /// Which.
        version: Version,
    },
}

/// What a rollout's step says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Go on to the next step.
    Continue,
    /// Go back.
    RollBack,
}

impl Fact {
    /// The model it is about, when it is about one.
    pub fn model(&self) -> Option<&ModelName> {
        match self {
            Self::ProjectLoaded { .. }
            | Self::DataRecorded(_)
            | Self::DataRefused { .. }
            | Self::Tracking(_)
            | Self::Registry(_)
            | Self::Access(_) => None,
            Self::RunFinished(run) => Some(&run.model),
            Self::VersionRegistered(version) => Some(&version.model),
            Self::WindowClosed(window) => Some(&window.model),
            Self::LossEstimated(estimate) => Some(&estimate.model),
            Self::IncidentOpened(incident) | Self::IncidentChanged(incident) => Some(&incident.model),
            Self::RunFailed { model, .. }
            | Self::GatesJudged { model, .. }
            | Self::AlarmRaised { model, .. }
            | Self::AlarmCleared { model, .. }
            | Self::IncidentClosed { model, .. }
            | Self::IncidentAcknowledged { model, .. }
            | Self::VersionsCompared { model, .. }
            | Self::DecisionTaken { model, .. }
            | Self::TrainingDue { model, .. }
            | Self::WaitEnded { model, .. }
            | Self::RolloutStarted { model, .. }
            | Self::RolloutAsked { model, .. }
            | Self::StepObserved { model, .. }
            | Self::TrafficShifted { model, .. }
            | Self::SplitRuled { model, .. }
            | Self::ArmsWeighed { model, .. }
            | Self::Promoted { model, .. }
            | Self::RolledBack { model, .. }
            | Self::SegmentClosed { model, .. }
            | Self::LogTroubled { model, .. }
            | Self::ActionFailed { model, .. }
            | Self::LoopPaused { model, .. }
            | Self::LoopResumed { model }
            | Self::ModelUnloaded { model }
            | Self::ModelLoaded { model } => Some(model),
        }
    }

    /// The name of its kind, as in the journal's JSON.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::ProjectLoaded { .. } => "project_loaded",
            Self::DataRecorded(_) => "data_recorded",
            Self::DataRefused { .. } => "data_refused",
            Self::RunFinished(_) => "run_finished",
            Self::RunFailed { .. } => "run_failed",
            Self::VersionRegistered(_) => "version_registered",
            Self::GatesJudged { .. } => "gates_judged",
            Self::WindowClosed(_) => "window_closed",
            Self::LossEstimated(_) => "loss_estimated",
            Self::AlarmRaised { .. } => "alarm_raised",
            Self::AlarmCleared { .. } => "alarm_cleared",
            Self::IncidentOpened(_) => "incident_opened",
            Self::IncidentChanged(_) => "incident_changed",
            Self::IncidentClosed { .. } => "incident_closed",
            Self::IncidentAcknowledged { .. } => "incident_acknowledged",
            Self::VersionsCompared { .. } => "versions_compared",
            Self::DecisionTaken { .. } => "decision_taken",
            Self::TrainingDue { .. } => "training_due",
            Self::WaitEnded { .. } => "wait_ended",
            Self::RolloutStarted { .. } => "rollout_started",
            Self::RolloutAsked { .. } => "rollout_asked",
            Self::StepObserved { .. } => "step_observed",
            Self::TrafficShifted { .. } => "traffic_shifted",
            Self::SplitRuled { .. } => "split_ruled",
            Self::ArmsWeighed { .. } => "arms_weighed",
            Self::Promoted { .. } => "promoted",
            Self::RolledBack { .. } => "rolled_back",
            Self::SegmentClosed { .. } => "segment_closed",
            Self::LogTroubled { .. } => "log_troubled",
            Self::ActionFailed { .. } => "action_failed",
            Self::LoopPaused { .. } => "loop_paused",
            Self::LoopResumed { .. } => "loop_resumed",
            Self::ModelUnloaded { .. } => "model_unloaded",
            Self::ModelLoaded { .. } => "model_loaded",
            Self::Tracking(_) => "tracking",
            Self::Registry(_) => "registry",
            Self::Access(_) => "access",
        }
    }
}

impl Fact {
    /// In words, what troubled the inference log.
    pub fn log_trouble(dropped: u64, problem: Option<&str>) -> String {
        let lost = match dropped {
            0 => "nothing was lost".to_owned(),
            dropped => format!("{dropped} predictions were answered and are not in the log"),
        };
        match problem {
            Some(problem) => {
                format!("the inference log could not be written ({problem}) and goes on; {lost}")
            }
            None => format!("the inference log could not keep up; {lost}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_is_what_json_says() {
        let facts = [
            Fact::LoopResumed { model: "air-time".parse().unwrap() },
            Fact::Tracking(TrackingChange::RunDeleted { run: "r1".to_owned() }),
            Fact::Access(AccessChange::UserDeleted { user: "ada".to_owned() }),
        ];
        for fact in facts {
            let json = serde_json::to_value(&fact).unwrap();
            assert_eq!(json["kind"], fact.kind());
            assert_eq!(serde_json::from_value::<Fact>(json).unwrap(), fact);
        }
    }
}

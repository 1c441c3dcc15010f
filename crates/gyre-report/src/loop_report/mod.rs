//! The report of a loop: how a managed model did beside one that was never retrained, what was decided, when and why.
//!
//! [`LoopReport`] is the data, [`html`] the document. The report knows no domain: what is measured, in which unit and for
//! which model comes in as text. Figures are shown as they are given; nothing is computed here but differences, ratios
//! and shares of them.

mod charts;
mod view;

use serde::{Deserialize, Serialize};

use crate::Tone;

pub use view::html;

/// Everything that the report shows. All times are UTC milliseconds since 1970; all errors are in the metric's unit and
/// smaller is better; `None` is undefined and shown so.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LoopReport {
    /// Heading of the report.
    pub title: String,
    /// Name of the project.
    pub project: String,
    /// Name of the model.
    pub model: String,
    /// What the error is.
    pub metric: Metric,
    /// First moment of the time that is reported.
    pub from_ms: i64,
    /// Last moment of the time that is reported.
    pub to_ms: i64,
    /// The headline figures.
    pub figures: Figures,
    /// What proves the record.
    pub journal: JournalProof,
    /// The two error curves, a value a window.
    pub windows: Vec<ErrorWindow>,
    /// Which version answered when.
    pub served: Vec<ServedSpan>,
    /// How far the inputs drifted.
    pub drift: Drift,
    /// The table of periods.
    pub periods: Vec<Period>,
    /// All versions of the model.
    pub versions: Vec<Version>,
    /// What happened, in order.
    pub events: Vec<Event>,
}

/// The error that the report is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metric {
    /// Its short name: "MAE", "log loss".
    pub name: String,
    /// Its unit, empty if it has none.
    pub unit: String,
}

/// The figures at the top.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Error of the model that was never retrained, over the whole time.
    pub static_error: Option<f64>,
    /// Error of the managed model, over the same predictions.
    pub managed_error: Option<f64>,
    /// Predictions that were answered.
    pub predictions: u64,
    /// Labels that arrived for them.
    pub labels: u64,
    /// Requests that failed.
    pub failed_requests: u64,
    /// Times that a new version was trained by the loop.
    pub retrains: u64,
    /// Times that an older version was put back because it fits today better.
    pub recalls: u64,
    /// Times that a rollout or a version was taken back.
    pub rollbacks: u64,
}

/// State of the journal that the report was made from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalProof {
    /// Number of entries.
    pub entries: u64,
    /// Merkle root over them (RFC 6962), in hex.
    pub root: String,
    /// Whether the root was recomputed from the entries and agreed; `None` if it was not tried.
    pub verified: Option<bool>,
}

/// Errors within a window of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ErrorWindow {
    /// Start.
    pub from_ms: i64,
    /// End.
    pub to_ms: i64,
    /// Labelled predictions in it.
    pub n: u64,
    /// Error of the model that was never retrained.
    pub static_error: Option<f64>,
    /// Error of the managed model.
    pub managed_error: Option<f64>,
    /// What the managed model's error was expected to be before labels came.
    #[serde(default)]
    pub expected_error: Option<f64>,
}

/// A stretch of time in which one version was the champion.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServedSpan {
    /// Name of the version.
    pub version: String,
    /// Start.
    pub from_ms: i64,
    /// End.
    pub to_ms: i64,
}

/// Drift statistics, columns × windows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    /// Name of the statistic: "PSI", "Jensen-Shannon distance".
    pub statistic: String,
    /// Start and end of each window.
    pub windows: Vec<(i64, i64)>,
    /// One row a column of the data (and one for the prediction, if wanted).
    pub columns: Vec<DriftColumn>,
}

/// Drift of one column.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DriftColumn {
    /// Name of the column.
    pub name: String,
    /// Value from which on it raises an alarm.
    pub limit: f64,
    /// One value a window.
    pub values: Vec<Option<f64>>,
}

/// A row of the table of periods.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Period {
    /// Start.
    pub from_ms: i64,
    /// End.
    pub to_ms: i64,
    /// Labelled predictions.
    pub n: u64,
    /// Error of the model that was never retrained.
    pub static_error: Option<f64>,
    /// Error of the managed model.
    pub managed_error: Option<f64>,
    /// Versions that served, in order.
    pub serving: Vec<String>,
    /// What happened, a few words each, in order.
    pub happened: Vec<String>,
}

/// A version of the model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Version {
    /// Its name.
    pub version: String,
    /// Start and end of the data that it was trained on.
    pub trained_on: Option<(i64, i64)>,
    /// Rows that it was trained on.
    pub rows: Option<u64>,
    /// Digest of the data version.
    pub data_digest: String,
    /// Error on its holdout.
    pub holdout_error: Option<f64>,
    /// Whether it passed its gates; `None` if they were not asked.
    pub gates_passed: Option<bool>,
    /// What the gates said, with numbers.
    pub gate_detail: String,
    /// Where it stands.
    pub status: VersionStatus,
}

/// Where a version stands at the end of the report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VersionStatus {
    /// It serves.
    Champion,
    /// It has served before.
    Retired,
    /// It was refused by a gate, or lost against the champion.
    Refused,
    /// It began to serve and was taken back.
    RolledBack,
    /// It never served, and was not refused either.
    #[default]
    Registered,
}

impl VersionStatus {
    const fn words(self) -> (&'static str, Tone) {
        match self {
            VersionStatus::Champion => ("champion", Tone::Ok),
            VersionStatus::Retired => ("retired", Tone::Neutral),
            VersionStatus::Refused => ("refused", Tone::Bad),
            VersionStatus::RolledBack => ("rolled back", Tone::Bad),
            VersionStatus::Registered => ("registered", Tone::Info),
        }
    }
}

/// Something that happened, with its reason and its place in the journal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When, in event time.
    pub at_ms: i64,
    /// Sequence number of its journal entry.
    pub seq: Option<u64>,
    /// What kind of event.
    pub kind: EventKind,
    /// What happened, in a few words.
    pub title: String,
    /// Why, with the numbers that it was decided on.
    pub reason: String,
    /// The version that it is about, if any. For [`EventKind::Promoted`] and [`EventKind::RolledBack`] the one that serves
    /// afterwards: the chart writes it above the moment.
    pub version: Option<String>,
}

/// The kinds of events that a loop has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// Something was noticed: decay, drift, a service fault.
    Alarm,
    /// The controller weighed what to do, and did nothing (yet).
    Keep,
    /// It decided to train a new version.
    Retrain,
    /// It decided to put an older version back.
    Recall,
    /// Gates were asked and a version passed.
    GatePassed,
    /// A version or a batch of data was refused.
    Refused,
    /// A rollout began or made a step.
    Rollout,
    /// A version became the champion.
    Promoted,
    /// Traffic went back to the version before.
    RolledBack,
    /// A stage or a service failed.
    Failed,
    /// Anything else that is worth a line.
    #[default]
    Note,
}

impl EventKind {
    const fn words(self) -> (&'static str, Tone) {
        match self {
            EventKind::Alarm => ("alarm", Tone::Warn),
            EventKind::Keep => ("keep", Tone::Neutral),
            EventKind::Retrain => ("retrain", Tone::Info),
            EventKind::Recall => ("recall", Tone::Info),
            EventKind::GatePassed => ("gate passed", Tone::Ok),
            EventKind::Refused => ("refused", Tone::Bad),
            EventKind::Rollout => ("rollout", Tone::Neutral),
            EventKind::Promoted => ("promoted", Tone::Ok),
            EventKind::RolledBack => ("rolled back", Tone::Bad),
            EventKind::Failed => ("failed", Tone::Bad),
            EventKind::Note => ("note", Tone::Neutral),
        }
    }
}

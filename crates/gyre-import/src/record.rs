//! What comes from a source, in words that all sources share.

use gyre_traces::bulk::WholeTrace;
use gyre_tracking::bulk::WholeRun;
use gyre_tracking::experiments::Experiment;
use gyre_tracking::logged_models::LoggedModel;

use crate::report::Kind;

/// An experiment as the source has it. Its number is the source's own, or -1 when the source's id is no number.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceExperiment {
    /// The source's id.
    pub id: String,
    /// The rest.
    pub experiment: Experiment,
}

/// Which run it is, before the rest of it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The run's id.
    pub run_id: String,
    /// The source's id of its experiment.
    pub experiment: String,
}

/// A run as the source has it; its experiment's number is not yet the one that it will have here.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceRun {
    /// The source's id of its experiment.
    pub experiment: String,
    /// The run.
    pub run: WholeRun,
}

/// A logged model as the source has it; its experiment's number is not yet the one that it will have here.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceModel {
    /// The source's id of its experiment.
    pub experiment: String,
    /// The model.
    pub model: LoggedModel,
    /// When it was put aside.
    pub deleted: Option<i64>,
}

/// A trace as the source has it; its experiment's number is not yet the one that it will have here.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceTrace {
    /// The source's id of its experiment.
    pub experiment: String,
    /// The trace.
    pub trace: WholeTrace,
}

/// A registered model (or a prompt), with its versions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SourceRegistered {
    /// Its name.
    pub name: String,
    /// When it was made, in milliseconds since 1970.
    pub created: i64,
    /// When it last changed.
    pub updated: i64,
    /// What it is, in words.
    pub description: Option<String>,
    /// Tags.
    pub tags: Vec<(String, String)>,
    /// Aliases, and the number of the version that each points to.
    pub aliases: Vec<(String, i64)>,
    /// Versions, by number.
    pub versions: Vec<SourceVersion>,
}

/// A version of a registered model.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SourceVersion {
    /// Its number.
    pub version: i64,
    /// When it was made, in milliseconds since 1970.
    pub created: i64,
    /// When it last changed.
    pub updated: i64,
    /// What it is, in words.
    pub description: Option<String>,
    /// Who made it.
    pub user: Option<String>,
    /// Its stage: None, Staging, Production, Archived.
    pub stage: String,
    /// Where its artifacts are.
    pub source: String,
    /// Where they are, when `source` only points there.
    pub location: Option<String>,
    /// The run that made it.
    pub run_id: Option<String>,
    /// Where the run can be looked at.
    pub run_link: Option<String>,
    /// The logged model that it was made of.
    pub logged_model: Option<String>,
    /// READY, or why not.
    pub status: String,
    /// Tags.
    pub tags: Vec<(String, String)>,
}

/// A webhook, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SourceWebhook {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it is for, in words.
    pub description: Option<String>,
    /// Where it is told.
    pub url: String,
    /// What it is told of, as `entity.action`.
    pub events: Vec<String>,
    /// When it was made, in milliseconds since 1970.
    pub created: i64,
}

/// Something that does not come, or not as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What kind of thing.
    pub kind: Kind,
    /// Where: a file and line, or an id.
    pub place: String,
    /// What was found, and what was expected.
    pub reason: String,
    /// How many things do not come for that reason; 0 when something came that differs.
    pub lost: u64,
}

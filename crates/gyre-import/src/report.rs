//! What an import found, what came, what did not, and why.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::artifacts::Came;
use crate::plan::Mapping;
use crate::record::Problem;

/// A kind of thing that is imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Experiments.
    Experiments,
    /// Their tags.
    ExperimentTags,
    /// Runs.
    Runs,
    /// Parameters of runs.
    Params,
    /// Tags of runs.
    Tags,
    /// Points of metrics.
    MetricPoints,
    /// Datasets that went into runs.
    DatasetInputs,
    /// Logged models.
    LoggedModels,
    /// Registered models, and prompts.
    RegisteredModels,
    /// Their versions.
    ModelVersions,
    /// Webhooks.
    Webhooks,
    /// Traces.
    Traces,
    /// Files.
    Artifacts,
    /// What MLflow keeps besides: gateway endpoints, scorers, review queues, jobs.
    Others,
}

impl Kind {
    /// The kinds, in the order in which they are told.
    pub const ALL: [Self; 14] = [
        Self::Experiments,
        Self::ExperimentTags,
        Self::Runs,
        Self::Params,
        Self::Tags,
        Self::MetricPoints,
        Self::DatasetInputs,
        Self::LoggedModels,
        Self::RegisteredModels,
        Self::ModelVersions,
        Self::Webhooks,
        Self::Traces,
        Self::Artifacts,
        Self::Others,
    ];

    /// In words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Experiments => "experiments",
            Self::ExperimentTags => "experiment tags",
            Self::Runs => "runs",
            Self::Params => "params",
            Self::Tags => "tags",
            Self::MetricPoints => "metric points",
            Self::DatasetInputs => "dataset inputs",
            Self::LoggedModels => "logged models",
            Self::RegisteredModels => "registered models",
            Self::ModelVersions => "model versions",
            Self::Webhooks => "webhooks",
            Self::Traces => "traces",
            Self::Artifacts => "artifacts",
            Self::Others => "others",
        }
    }
}

/// What became of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// How many the source has.
    pub found: u64,
    /// How many this import brought.
    pub imported: u64,
    /// How many were here from an earlier import of the same source.
    pub here: u64,
    /// How many do not come, by reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub skipped: BTreeMap<String, u64>,
}

/// What an import did, or would do.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// From where, without credentials.
    pub source: String,
    /// Whether nothing was written.
    pub dry_run: bool,
    /// Which experiment becomes which.
    pub experiments: Vec<Mapping>,
    /// By kind.
    pub kinds: BTreeMap<Kind, Tally>,
    /// How many bytes of artifacts came.
    pub artifact_bytes: u64,
    /// What is wrong with the source, place by place; the first thousand.
    pub problems: Vec<String>,
    /// How many more there are.
    pub more_problems: u64,
}

/// How many problems are told one by one.
const PROBLEMS: usize = 1000;

impl Report {
    /// What became of `kind`.
    pub fn tally(&mut self, kind: Kind) -> &mut Tally {
        self.kinds.entry(kind).or_default()
    }

    /// So many of `kind` do not come, for `reason`.
    pub fn skip(&mut self, kind: Kind, reason: &str, count: u64) {
        if count > 0 {
            *self.tally(kind).skipped.entry(reason.to_owned()).or_default() += count;
        }
    }

    /// So many of `kind` were found and written.
    pub(crate) fn wrote(&mut self, kind: Kind, count: u64) {
        let tally = self.tally(kind);
        tally.found += count;
        tally.imported += count;
    }

    /// Files came.
    pub(crate) fn came(&mut self, files: Came) {
        if files.files > 0 {
            let tally = self.tally(Kind::Artifacts);
            tally.found += files.files;
            tally.imported += files.files;
            self.artifact_bytes += files.bytes;
        }
    }

    /// Sources that could not count before know now.
    pub(crate) fn settle(&mut self) {
        for tally in self.kinds.values_mut() {
            let dealt_with = tally.imported + tally.here + tally.skipped.values().sum::<u64>();
            tally.found = tally.found.max(dealt_with);
        }
    }

    /// Something is wrong with the source.
    pub fn problem(&mut self, problem: &Problem) {
        if problem.lost > 0 {
            self.skip(problem.kind, "cannot be read", problem.lost);
        }
        if self.problems.len() < PROBLEMS {
            self.problems.push(format!("{}: {}", problem.place, problem.reason));
        } else {
            self.more_problems += 1;
        }
    }

    /// How many things this import brought, of all kinds.
    pub fn imported(&self) -> u64 {
        self.kinds.values().map(|tally| tally.imported).sum()
    }
}

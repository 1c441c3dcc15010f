//! What the queries answer with, as `--json` shows it.

use std::collections::BTreeMap;

use gyre_core::expr::GateResult;
use gyre_core::fact::{CodeVersion, ModelVersion, Numbers, Score, StageResult};
use gyre_core::{Digest, ModelName, Timestamp, Version};
use serde::{Deserialize, Serialize};

/// The alias of the version that serves.
pub const CHAMPION: &str = "champion";

/// The alias of the version that is to serve, if it proves better.
pub const CHALLENGER: &str = "challenger";

/// A place in the journal and its event time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// The journal entry.
    pub entry: u64,
    /// When, in event time.
    pub at: Timestamp,
}

/// A registered model at a glance.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelRecord {
    /// Its name.
    pub name: ModelName,
    /// How many versions were registered.
    pub versions: u64,
    /// Which version each alias points to.
    pub aliases: BTreeMap<String, Version>,
    /// Shares of traffic by version, in hundredths of a percent.
    pub traffic: Vec<(Version, u32)>,
    /// How many runs were tracked, failed ones included.
    pub runs: u64,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RunStatus {
    /// Well.
    Finished,
    /// Badly.
    Failed,
}

/// A tracked run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunRecord {
    /// The run's id.
    pub run_id: String,
    /// For which model.
    pub model: ModelName,
    /// How it ended.
    pub status: RunStatus,
    /// When it ended.
    pub ended: Moment,
    /// The data version it was trained on; a run may fail before there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Digest>,
    /// Where the code stood; not told of failed runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<CodeVersion>,
    /// Parameters.
    pub params: BTreeMap<String, String>,
    /// Metrics.
    pub metrics: Numbers,
    /// Interpreter, platform, tool versions: what MLflow keeps as tags.
    pub tags: BTreeMap<String, String>,
    /// Each stage of the pipeline.
    pub stages: Vec<StageResult>,
    /// SHA-256 of the whole log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<Digest>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// Where a version stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VersionStatus {
    /// It exists; its gates have not been asked.
    Registered,
    /// It passed its gates.
    Gated,
    /// It failed its gates, or the controller decided against it.
    Refused,
    /// It takes a share of the traffic, to become champion.
    RollingOut,
    /// It serves.
    Champion,
    /// It was champion, and another was promoted after it.
    Retired,
    /// It was found wanting in service, and the traffic went back.
    RolledBack,
}

impl VersionStatus {
    /// The name, as in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::Gated => "gated",
            Self::Refused => "refused",
            Self::RollingOut => "rolling_out",
            Self::Champion => "champion",
            Self::Retired => "retired",
            Self::RolledBack => "rolled_back",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        let all = [
            Self::Registered,
            Self::Gated,
            Self::Refused,
            Self::RollingOut,
            Self::Champion,
            Self::Retired,
            Self::RolledBack,
        ];
        all.into_iter().find(|status| status.name() == name)
    }
}

/// What the gates last said of a version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// Whether all held.
    pub passed: bool,
    /// Each gate with its numbers.
    pub results: Vec<GateResult>,
    /// The paired comparison with the champion, when there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comparison: Option<Score>,
    /// When it was judged.
    pub judged: Moment,
}

/// A model version: what was registered, and what has become of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VersionRecord {
    /// What was registered.
    #[serde(flatten)]
    pub registered: ModelVersion,
    /// Where it stands.
    pub status: VersionStatus,
    /// The aliases that point to it.
    pub aliases: Vec<String>,
    /// Its share of traffic, in hundredths of a percent.
    pub traffic: u32,
    /// What its gates last said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gates: Option<Judgement>,
    /// When it was registered.
    pub created: Moment,
    /// When its status last changed.
    pub updated: Moment,
    /// When it last became champion, by promotion or by a rollback to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promoted: Option<Moment>,
}

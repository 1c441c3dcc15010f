//! What happened to experiments and runs, as far as an auditor may ask.
//!
//! Metrics, parameters and tags come at a high rate and live in their own tables. The journal tells when a run ended,
//! with a digest of all that it had logged by then, and whatever took something away.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Digest;

/// A change of what was tracked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum TrackingChange {
    /// An experiment exists.
    ExperimentCreated {
        /// Its number.
        experiment: i64,
        /// Its name.
        name: String,
    },
    /// An experiment has another name.
    ExperimentRenamed {
        /// Its number.
        experiment: i64,
        /// The new name.
        name: String,
    },
    /// An experiment was put aside; it can be restored.
    ExperimentDeleted {
        /// Its number.
        experiment: i64,
    },
    /// An experiment came back.
    ExperimentRestored {
        /// Its number.
        experiment: i64,
    },
    /// A run ended.
    RunEnded {
        /// The run.
        run: String,
        /// Its experiment's number.
        experiment: i64,
        /// How: FINISHED, FAILED, KILLED.
        status: String,
        /// SHA-256 over all that it had logged, as `gyre-tracking::seal` defines it.
        digest: Digest,
        /// Where code, data and environment stood: the tags that say so, shortened.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        provenance: BTreeMap<String, String>,
    },
    /// Where a run came from became known after it had ended.
    ProvenanceRecorded {
        /// The run.
        run: String,
        /// SHA-256 of the record.
        digest: Digest,
    },
    /// A run was put aside; it can be restored.
    RunDeleted {
        /// The run.
        run: String,
    },
    /// A run came back.
    RunRestored {
        /// The run.
        run: String,
    },
    /// What was put aside is gone for good.
    Purged {
        /// Experiments that are gone, by number.
        experiments: Vec<i64>,
        /// How many runs are gone.
        runs: u64,
        /// How many logged models are gone.
        #[serde(default, skip_serializing_if = "is_none")]
        models: u64,
        /// SHA-256 over the ids of those runs, sorted, one a line, and then those of the logged models.
        digest: Digest,
    },
    /// Traces are gone for good, with their spans and assessments.
    TracesDeleted {
        /// Their experiment's number.
        experiment: i64,
        /// How many.
        traces: u64,
        /// SHA-256 over their ids, sorted, one a line.
        digest: Digest,
    },
    /// An evaluation dataset is gone for good.
    EvaluationDatasetDeleted {
        /// Its id.
        dataset: String,
        /// Its name.
        name: String,
        /// How many records it had.
        records: u64,
    },
    /// Another tracking server's contents were taken over.
    Imported {
        /// From where, without credentials.
        source: String,
        /// How much of each kind.
        counts: BTreeMap<String, u64>,
        /// SHA-256 over the seals of its runs, 32 bytes each, in the order of the runs' ids.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        digest: Option<Digest>,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_none(count: &u64) -> bool {
    *count == 0
}

impl TrackingChange {
    /// In a few words.
    pub fn summary(&self) -> String {
        match self {
            Self::ExperimentCreated { experiment, name } => {
                format!("experiment {experiment} `{name}` created")
            }
            Self::ExperimentRenamed { experiment, name } => {
                format!("experiment {experiment} is called `{name}` now")
            }
            Self::ExperimentDeleted { experiment } => format!("experiment {experiment} deleted"),
            Self::ExperimentRestored { experiment } => format!("experiment {experiment} restored"),
            Self::RunEnded { run, status, digest, .. } => {
                format!("run {run} ended {status}, SHA-256 of all it logged {}", digest.short())
            }
            Self::ProvenanceRecorded { run, digest } => {
                format!("where run {run} came from is known: record {}", digest.short())
            }
            Self::RunDeleted { run } => format!("run {run} deleted"),
            Self::RunRestored { run } => format!("run {run} restored"),
            Self::Purged { experiments, runs, models, .. } => {
                let experiments = experiments.len();
                format!("{runs} runs, {models} logged models and {experiments} experiments removed for good")
            }
            Self::TracesDeleted { experiment, traces, .. } => {
                format!("{traces} traces of experiment {experiment} removed for good")
            }
            Self::EvaluationDatasetDeleted { dataset, name, records } => {
                format!("evaluation dataset {dataset} `{name}` with {records} records removed for good")
            }
            Self::Imported { source, counts, digest } => {
                let counts: Vec<String> = counts.iter().map(|(what, n)| format!("{n} {what}")).collect();
                let seals = digest.map(|digest| format!(", SHA-256 of all seals {}", digest.short()));
                format!("imported from {source}: {}{}", counts.join(", "), seals.unwrap_or_default())
            }
        }
    }
}

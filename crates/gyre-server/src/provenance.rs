//! Where runs came from, found out without any help of the client.
//!
//! | module | what lives there |
//! | --- | --- |
//! | `watch` | looking into the processes of clients, aside, and telling their runs |
//!
//! This module itself answers what is known of a run, for the API and for the command line.

pub(crate) mod watch;

use std::collections::BTreeMap;

use gyre_core::Digest;
use gyre_provenance::Record;
use gyre_provenance::record::Package;
use gyre_store::{Store, StoreError};
use gyre_tracking::data::{self, Run};
use gyre_tracking::{limits, provenance};
use serde::{Deserialize, Serialize};

/// Where a run came from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// The run.
    pub run_id: String,
    /// SHA-256 of the record's JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// The record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<Record>,
    /// The packages of the record's environment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<Package>,
    /// What the client itself says: its tags `mlflow.user` and `mlflow.source.*`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub claimed: BTreeMap<String, String>,
    /// Why there is no record, as far as it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The run `run_id`, and where it came from.
///
/// # Errors
/// [`StoreError::NotFound`] when there is no such run; [`StoreError::Corrupt`].
pub fn of(store: &Store, run_id: &str) -> Result<(Run, Provenance), StoreError> {
    limits::run_id(run_id)?;
    let (run, kept) = store.read(|tx| Ok((data::run(tx, run_id)?, provenance::find(tx, run_id)?)))?;
    let claims = |key: &str| key == "mlflow.user" || key.starts_with("mlflow.source.");
    let mut found = Provenance {
        run_id: run_id.to_owned(),
        claimed: run.tags.iter().filter(|(key, _)| claims(key)).cloned().collect(),
        ..Provenance::default()
    };
    if let Some(kept) = kept {
        let record: Record = serde_json::from_str(&kept.record).map_err(|error| unreadable(&error))?;
        if let Some(packages) =
            record.environment.as_ref().and_then(|environment| environment.packages.as_ref())
        {
            let json = store.blobs().get(&packages.digest)?;
            found.packages = serde_json::from_slice(&json).map_err(|error| unreadable(&error))?;
        }
        (found.digest, found.record) = (Some(kept.digest), Some(record));
    }
    Ok((run, found))
}

/// The diff of `record`, as it was kept.
///
/// # Errors
/// What the disk said.
pub fn diff(store: &Store, record: &Record) -> Result<Option<Vec<u8>>, StoreError> {
    let diff = record.code.as_ref().and_then(|code| code.diff.as_ref());
    diff.map(|diff| store.blobs().get(&diff.digest)).transpose()
}

fn unreadable(error: &serde_json::Error) -> StoreError {
    StoreError::Corrupt { table: "tracking_provenance", reason: format!("a record cannot be read: {error}") }
}

/// `record` as tracking keeps it.
pub(crate) fn origin(record: &Record) -> provenance::Origin {
    let json = record.to_json();
    provenance::Origin {
        digest: Digest::of(json.as_bytes()),
        record: json,
        source: match record.source {
            gyre_provenance::record::Source::Observed => provenance::Source::Observed,
            gyre_provenance::record::Source::Reported => provenance::Source::Reported,
        },
        commit: record.code.as_ref().and_then(|code| code.commit.clone()),
        dirty: record.code.as_ref().is_some_and(|code| code.dirty),
    }
}

//! Where runs came from: records of it, kept once, and the tags by which runs refer to them.
//!
//! A record is text that this room does not read; `gyre-provenance` says what is in it. The server writes it, and the tags that
//! refer to it: clients can neither set nor remove those. What becomes known only after a run ended is told to the
//! journal by an entry of its own; before that, the entry of the run's end has it.

use gyre_core::Digest;
use gyre_core::fact::TrackingChange;
use gyre_store::{StoreError, Tx};

use crate::{By, limits, runs};

/// The tag that names a run's record by its digest.
pub const RECORD: &str = "gyre.provenance";
/// The tag that names the commit, for runs whose client named none.
pub const COMMIT: &str = "gyre.git.commit";
/// The tag that says that tracked files differed from the commit.
pub const DIRTY: &str = "gyre.git.dirty";
/// The tags that the server itself writes.
pub const TAGS: [&str; 3] = [RECORD, COMMIT, DIRTY];
/// The tag by which MLflow's clients name the commit.
pub(crate) const CLIENT_COMMIT: &str = "mlflow.source.git.commit";

/// Who says where a run came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The server saw it.
    Observed,
    /// A client said so.
    Reported,
}

impl Source {
    const fn name(self) -> &'static str {
        match self {
            Self::Observed => "observed",
            Self::Reported => "reported",
        }
    }
}

/// A record, with what tags tell of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// SHA-256 of the record.
    pub digest: Digest,
    /// The record.
    pub record: String,
    /// Who says it.
    pub source: Source,
    /// The commit.
    pub commit: Option<String>,
    /// Whether tracked files differed from it.
    pub dirty: bool,
}

impl Origin {
    /// The tags of a run, whose client named the commit itself or did not.
    pub(crate) fn tags(&self, client_named_commit: bool) -> Vec<(&'static str, String)> {
        let commit = self.commit.as_ref().filter(|_| !client_named_commit);
        let commit = commit.map(|commit| (COMMIT, commit.clone()));
        let dirty = self.dirty.then(|| (DIRTY, "true".to_owned()));
        [(RECORD, self.digest.to_hex())].into_iter().chain(commit).chain(dirty).collect()
    }
}

/// Checks that a client does not set, or remove, a tag that the server itself writes: what it says of a run's origin is
/// worth something because nobody else can say it.
///
/// # Errors
/// [`StoreError::Invalid`].
pub(crate) fn check_client_tag(key: &str) -> Result<(), StoreError> {
    if !TAGS.contains(&key) {
        return Ok(());
    }
    Err(StoreError::Invalid(format!(
        "the tag `{key}` is written by the server and cannot be changed; to say where a run came from, send a record to \
         /v1/runs/RUN_ID/provenance"
    )))
}

/// Keeps a record.
///
/// # Errors
/// What the store said.
pub fn keep(tx: &mut Tx<'_>, origin: &Origin) -> Result<(), StoreError> {
    let sql = "INSERT INTO tracking_provenance (digest, source, record) VALUES (?1, ?2, ?3)
               ON CONFLICT (digest) DO NOTHING";
    let digest = origin.digest.to_hex();
    let cells = [digest.as_str().into(), origin.source.name().into(), origin.record.as_str().into()];
    tx.execute(sql, &cells).map(drop)
}

/// Says where the run `run_id` came from.
///
/// # Errors
/// [`StoreError::NotFound`]; [`StoreError::Conflict`] when a client says it of a run of which the server saw it.
pub fn attach(tx: &mut Tx<'_>, run_id: &str, origin: &Origin, by: &By) -> Result<(), StoreError> {
    let run = runs::get(tx, run_id)?;
    if origin.source == Source::Reported
        && let Some(present) = find(tx, run_id)?
        && present.source == Source::Observed
    {
        return Err(StoreError::Conflict(format!(
            "run {run_id} has a record of where it came from that was observed here, which what a client says does not replace"
        )));
    }
    // What was said before of commit and changes belongs to the record that is replaced.
    let sql = "DELETE FROM tracking_tags WHERE run = ?1 AND key IN ('gyre.git.commit', 'gyre.git.dirty')";
    tx.execute(sql, &[run.run.into()])?;
    let sql = "SELECT 1 FROM tracking_tags WHERE run = ?1 AND key = ?2";
    let named = !tx.query(sql, &[run.run.into(), CLIENT_COMMIT.into()])?.is_empty();
    keep(tx, origin)?;
    origin.tags(named).iter().try_for_each(|(key, value)| crate::tags::put(tx, &run, key, value))?;
    if run.status.ended() {
        by.tell(tx, TrackingChange::ProvenanceRecorded { run: run.run_id, digest: origin.digest })?;
    }
    Ok(())
}

/// Removes the records that no run refers to any more, and says how many there were.
///
/// # Errors
/// What the store said.
pub fn remove_unused(tx: &mut Tx<'_>) -> Result<u64, StoreError> {
    let sql = "DELETE FROM tracking_provenance
               WHERE digest NOT IN (SELECT value FROM tracking_tags WHERE key = 'gyre.provenance')";
    tx.execute(sql, &[]).map(|removed| removed as u64)
}

/// A record as it was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// SHA-256 of the record.
    pub digest: Digest,
    /// Who says it.
    pub source: Source,
    /// The record.
    pub record: String,
}

/// The record of where the run `run_id` came from, if there is one.
///
/// # Errors
/// [`StoreError::NotFound`] when there is no such run.
pub fn find(tx: &mut Tx<'_>, run_id: &str) -> Result<Option<Kept>, StoreError> {
    let run = runs::get(tx, run_id)?;
    let sql = "SELECT p.digest, p.source, p.record FROM tracking_tags t JOIN tracking_provenance p ON p.digest = t.value
               WHERE t.run = ?1 AND t.key = 'gyre.provenance'";
    let rows = tx.query(sql, &[run.run.into()])?;
    let Some(row) = rows.first() else { return Ok(None) };
    let corrupt = |reason: String| StoreError::Corrupt { table: "tracking_provenance", reason };
    let (digest, source): (String, String) = (row.get(0)?, row.get(1)?);
    let record: String = row.get(2)?;
    if Digest::of(record.as_bytes()).to_hex() != digest {
        return Err(corrupt(format!("record {} is not what its digest says", limits::cut(digest, 12))));
    }
    let source = if source == Source::Observed.name() { Source::Observed } else { Source::Reported };
    Ok(Some(Kept { digest: Digest::of(record.as_bytes()), source, record }))
}

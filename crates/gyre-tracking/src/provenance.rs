//! Where runs came from: records of it, kept once, and the tags by which runs refer to them.
//!
//! A record is text that this room does not read; `gyre-provenance` says what is in it. The server writes it, so a digest that
//! somebody sets as a tag by hand leads to nothing but a record. What becomes known only after a run ended is told to the
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
const CLIENT_COMMIT: &str = "mlflow.source.git.commit";

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
    /// The tags of a run whose client set `tags`.
    pub fn tags(&self, tags: &[(String, String)]) -> Vec<(String, String)> {
        let has = |wanted: &str| tags.iter().any(|(key, _)| key == wanted);
        let mut own = vec![(RECORD.to_owned(), self.digest.to_hex())];
        let told = has(CLIENT_COMMIT);
        let commit = self.commit.as_ref().filter(|_| !told).map(|commit| (COMMIT, commit.clone()));
        let dirty = self.dirty.then(|| (DIRTY, "true".to_owned()));
        let more = commit.into_iter().chain(dirty).filter(|(key, _)| !has(key));
        own.extend(more.map(|(key, value)| (key.to_owned(), value)));
        own
    }
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
    keep(tx, origin)?;
    let present = tx.query("SELECT key, value FROM tracking_tags WHERE run = ?1", &[run.run.into()])?;
    let present =
        present.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect::<Result<Vec<_>, StoreError>>()?;
    for (key, value) in origin.tags(&present) {
        crate::tags::put(tx, &run, &key, &value)?;
    }
    if run.status.ended() {
        by.tell(tx, TrackingChange::ProvenanceRecorded { run: run.run_id, digest: origin.digest })?;
    }
    Ok(())
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

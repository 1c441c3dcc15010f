//! How far an import has come, in tables that change in the very transactions that bring something.
//!
//! A source is known by its name and the prefix that it was imported under. For each there stands what its experiments
//! became, which runs came with which seal, and how many of each kind came so far.

use std::collections::BTreeMap;

use gyre_core::{Digest, Entry, Timestamp};
use gyre_store::{Room, StoreError, Tx};
use sha2::{Digest as _, Sha256};

use crate::plan::{Here, Mapping};

/// Imports' share of the store.
pub const ROOM: Room = Room { name: "import", migrations: &[TABLES], project };

const TABLES: &str = "
CREATE TABLE import_sources (
    import INTEGER PRIMARY KEY,
    source TEXT NOT NULL,
    prefix TEXT NOT NULL,
    began INTEGER NOT NULL,
    finished INTEGER,
    UNIQUE (source, prefix)
) STRICT;
CREATE TABLE import_experiments (
    import INTEGER NOT NULL,
    source_id TEXT NOT NULL,
    experiment INTEGER NOT NULL,
    PRIMARY KEY (import, source_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE import_runs (
    run_id TEXT NOT NULL PRIMARY KEY,
    import INTEGER NOT NULL,
    seal BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE import_models (
    import INTEGER NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (import, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE import_progress (
    import INTEGER NOT NULL,
    kind TEXT NOT NULL,
    done INTEGER NOT NULL,
    PRIMARY KEY (import, kind)
) STRICT, WITHOUT ROWID;
";

fn project(_: &mut Tx<'_>, _: &Entry) -> Result<(), StoreError> {
    // The journal is told when an import is done; these tables only help it get there.
    Ok(())
}

/// An import's number; none when the source has never been imported under this prefix.
pub(crate) fn find(tx: &mut Tx<'_>, source: &str, prefix: &str) -> Result<Option<i64>, StoreError> {
    let sql = "SELECT import FROM import_sources WHERE source = ?1 AND prefix = ?2";
    tx.query(sql, &[source.into(), prefix.into()])?.first().map(|row| row.get(0)).transpose()
}

/// An import's number, made when there is none.
pub(crate) fn begin(tx: &mut Tx<'_>, source: &str, prefix: &str, now: Timestamp) -> Result<i64, StoreError> {
    if let Some(import) = find(tx, source, prefix)? {
        return Ok(import);
    }
    let sql = "INSERT INTO import_sources (source, prefix, began) VALUES (?1, ?2, ?3) RETURNING import";
    let rows = tx.query(sql, &[source.into(), prefix.into(), now.as_millis().into()])?;
    rows.first().ok_or(StoreError::Closed)?.get(0)
}

/// What is here, as far as an import under `prefix` must know.
pub(crate) fn here(tx: &mut Tx<'_>, source: &str, prefix: &str) -> Result<Here, StoreError> {
    let mut here = Here::default();
    for row in tx.query("SELECT id, name FROM tracking_experiments", &[])? {
        here.experiments.insert(row.get(0)?, row.get(1)?);
    }
    if let Some(import) = find(tx, source, prefix)? {
        let sql = "SELECT source_id, experiment FROM import_experiments WHERE import = ?1";
        for row in tx.query(sql, &[import.into()])? {
            here.before.insert(row.get(0)?, row.get(1)?);
        }
    }
    Ok(here)
}

/// The same as [`find`], of a store that may have been made before this room was.
pub(crate) fn find_if_any(tx: &mut Tx<'_>, source: &str, prefix: &str) -> Result<Option<i64>, StoreError> {
    let sql = "SELECT room FROM schema_version WHERE room = 'import'";
    if tx.query(sql, &[])?.is_empty() { Ok(None) } else { find(tx, source, prefix) }
}

/// The same as [`here`], of a store that may have been made before this room was.
pub(crate) fn here_if_any(tx: &mut Tx<'_>, source: &str, prefix: &str) -> Result<Option<Here>, StoreError> {
    let sql = "SELECT room FROM schema_version WHERE room IN ('tracking', 'import')";
    if tx.query(sql, &[])?.len() < 2 {
        return Ok(None);
    }
    here(tx, source, prefix).map(Some)
}

pub(crate) fn map(tx: &mut Tx<'_>, import: i64, mapping: &Mapping) -> Result<(), StoreError> {
    let sql = "INSERT INTO import_experiments (import, source_id, experiment) VALUES (?1, ?2, ?3)
               ON CONFLICT (import, source_id) DO UPDATE SET experiment = excluded.experiment";
    tx.execute(sql, &[import.into(), mapping.source_id.as_str().into(), mapping.experiment.into()]).map(drop)
}

/// A run came, with its seal.
pub(crate) fn came(tx: &mut Tx<'_>, import: i64, run_id: &str, seal: Digest) -> Result<(), StoreError> {
    let sql = "INSERT INTO import_runs (run_id, import, seal) VALUES (?1, ?2, ?3)
               ON CONFLICT (run_id) DO UPDATE SET import = excluded.import, seal = excluded.seal";
    tx.execute(sql, &[run_id.into(), import.into(), seal.as_bytes().as_slice().into()]).map(drop)
}

/// Whether a registered model came with this import.
pub(crate) fn brought_model(tx: &mut Tx<'_>, import: i64, name: &str) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM import_models WHERE import = ?1 AND name = ?2";
    Ok(!tx.query(sql, &[import.into(), name.into()])?.is_empty())
}

/// A registered model came.
pub(crate) fn model_came(tx: &mut Tx<'_>, import: i64, name: &str) -> Result<(), StoreError> {
    let sql = "INSERT INTO import_models (import, name) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    tx.execute(sql, &[import.into(), name.into()]).map(drop)
}

/// So many more of a kind came.
pub(crate) fn count(tx: &mut Tx<'_>, import: i64, kind: &str, more: u64) -> Result<(), StoreError> {
    let sql = "INSERT INTO import_progress (import, kind, done) VALUES (?1, ?2, ?3)
               ON CONFLICT (import, kind) DO UPDATE SET done = import_progress.done + excluded.done";
    tx.execute(sql, &[import.into(), kind.into(), more.into()]).map(drop)
}

/// How many of each kind came so far.
pub(crate) fn counts(tx: &mut Tx<'_>, import: i64) -> Result<BTreeMap<String, u64>, StoreError> {
    let sql = "SELECT kind, done FROM import_progress WHERE import = ?1 AND done > 0";
    tx.query(sql, &[import.into()])?.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect()
}

/// SHA-256 over the seals of all runs that came, 32 bytes each, in the order of their ids' bytes.
pub(crate) fn digest(tx: &mut Tx<'_>, import: i64) -> Result<Digest, StoreError> {
    let mut runs: Vec<(String, Vec<u8>)> = Vec::new();
    let sql = "SELECT run_id, seal FROM import_runs WHERE import = ?1";
    tx.query_each(sql, &[import.into()], |row| {
        runs.push((row.get(0)?, row.get(1)?));
        Ok(())
    })?;
    runs.sort();
    let mut hash = Sha256::new();
    runs.iter().for_each(|(_, seal)| hash.update(seal));
    Ok(Digest::from_bytes(hash.finalize().into()))
}

/// The import is done; returns whether it had not been done before.
pub(crate) fn finish(tx: &mut Tx<'_>, import: i64, now: Timestamp) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM import_sources WHERE import = ?1 AND finished IS NULL";
    let unfinished = !tx.query(sql, &[import.into()])?.is_empty();
    let sql = "UPDATE import_sources SET finished = ?2 WHERE import = ?1";
    tx.execute(sql, &[import.into(), now.as_millis().into()])?;
    Ok(unfinished)
}

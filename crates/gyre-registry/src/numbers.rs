//! The numbers of versions: one sequence a name, for the loop and for clients, and no number twice.
//!
//! A number stays used when its version, or the whole model, is gone: `air-time/3` in the journal, in a log or in a
//! consumer's configuration means one artifact for ever. The loop learns a version's number when it has trained it and
//! registers it a moment later; so it claims the number for its run, and nobody gets it in between.

use gyre_core::{ModelName, Version};
use gyre_store::{StoreError, Tx};

/// The number that the next version of `name` will bear.
pub(crate) fn next(tx: &mut Tx<'_>, name: &str) -> Result<Version, StoreError> {
    last(tx, name)?.checked_add(1).ok_or_else(|| {
        StoreError::Conflict(format!("`{name}` has no version number left: register a model of another name"))
    })
}

/// Claims the next number of `model` for the version that `run` made. Asked again for the same run, it is the same number.
///
/// # Errors
/// What the store said.
pub fn claim_version(tx: &mut Tx<'_>, model: &ModelName, run: &str) -> Result<Version, StoreError> {
    if let Some(claimed) = claimed(tx, model.as_str(), run)? {
        return Ok(claimed);
    }
    let version = next(tx, model.as_str())?;
    let sql = "INSERT INTO registry_claims (run_id, name, version) VALUES (?1, ?2, ?3)
               ON CONFLICT (run_id) DO UPDATE SET name = excluded.name, version = excluded.version";
    tx.execute(sql, &[run.into(), model.as_str().into(), version.into()])?;
    raise(tx, model.as_str(), version)?;
    Ok(version)
}

/// Uses a number: it must be beyond all that were used, or claimed by `run`.
pub(crate) fn take(
    tx: &mut Tx<'_>,
    name: &str,
    version: Version,
    run: Option<&str>,
) -> Result<(), StoreError> {
    let run = run.filter(|_| version > 0);
    let claimed = match run {
        Some(run) => claimed(tx, name, run)? == Some(version),
        None => false,
    };
    let last = last(tx, name)?;
    if version > last || claimed {
        return raise(tx, name, version.max(last));
    }
    Err(StoreError::Conflict(format!(
        "version {version} of `{name}` is registered already, or was, and versions never change: register the next one"
    )))
}

/// The numbers of `name` go on where those of `from` ended.
pub(crate) fn follow(tx: &mut Tx<'_>, name: &str, from: &str) -> Result<(), StoreError> {
    let highest = last(tx, from)?.max(last(tx, name)?);
    raise(tx, name, highest)
}

fn last(tx: &mut Tx<'_>, name: &str) -> Result<Version, StoreError> {
    let rows = tx.query("SELECT last FROM registry_numbers WHERE name = ?1", &[name.into()])?;
    rows.first().map_or(Ok(0), |row| row.get(0))
}

fn claimed(tx: &mut Tx<'_>, name: &str, run: &str) -> Result<Option<Version>, StoreError> {
    let sql = "SELECT version FROM registry_claims WHERE run_id = ?1 AND name = ?2";
    tx.query(sql, &[run.into(), name.into()])?.first().map(|row| row.get(0)).transpose()
}

fn raise(tx: &mut Tx<'_>, name: &str, last: Version) -> Result<(), StoreError> {
    let sql = "INSERT INTO registry_numbers (name, last) VALUES (?1, ?2)
               ON CONFLICT (name) DO UPDATE SET last = excluded.last";
    tx.execute(sql, &[name.into(), last.into()]).map(drop)
}

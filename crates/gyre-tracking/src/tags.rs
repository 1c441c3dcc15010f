//! Tags of runs.

use std::collections::BTreeMap;

use gyre_store::{Cell, StoreError, Tx};

use crate::RunInfo;
use crate::limits;

/// The tag that holds a run's name.
pub const RUN_NAME: &str = "mlflow.runName";

/// Tags as they are kept: checked, too long values cut off, the last of equal keys.
///
/// # Errors
/// [`StoreError::Invalid`].
pub fn checked(tags: Vec<(String, String)>) -> Result<BTreeMap<String, String>, StoreError> {
    let check = |(key, value): (String, String)| {
        limits::key("a tag", &key)?;
        Ok((key, limits::cut(value, limits::RUN_TAG_VALUE)))
    };
    tags.into_iter().map(check).collect()
}

pub(crate) fn put(tx: &mut Tx<'_>, run: &RunInfo, key: &str, value: &str) -> Result<(), StoreError> {
    let sql = "INSERT INTO tracking_tags (run, key, value, experiment) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT (run, key) DO UPDATE SET value = excluded.value";
    tx.execute(sql, &[run.run.into(), key.into(), value.into(), run.experiment.into()]).map(drop)
}

pub(crate) fn put_all(
    tx: &mut Tx<'_>,
    run: &RunInfo,
    tags: &BTreeMap<String, String>,
) -> Result<(), StoreError> {
    let cells = tags.iter().flat_map(|(key, value)| {
        [run.run.into(), key.as_str().into(), value.as_str().into(), run.experiment.into()]
    });
    let cells: Vec<Cell> = cells.collect();
    let head = "INSERT INTO tracking_tags (run, key, value, experiment)";
    let tail = "ON CONFLICT (run, key) DO UPDATE SET value = excluded.value";
    tx.insert_rows(head, 4, &cells, tail).map(drop)
}

/// Lets the run's name follow its tag.
pub(crate) fn name_run(
    tx: &mut Tx<'_>,
    run: &RunInfo,
    tags: &BTreeMap<String, String>,
) -> Result<(), StoreError> {
    let Some(name) = tags.get(RUN_NAME) else { return Ok(()) };
    let sql = "UPDATE tracking_runs SET name = ?2 WHERE run = ?1";
    tx.execute(sql, &[run.run.into(), name.as_str().into()]).map(drop)
}

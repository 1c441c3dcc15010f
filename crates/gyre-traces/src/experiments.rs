//! The seam to the room of experiments: whether one is there and takes traces, and what goes when it goes.

use gyre_store::{StoreError, Tx};
use gyre_tracking::experiments::Experiment;

/// The number that `id` names.
///
/// # Errors
/// [`StoreError::Invalid`] when it is no number.
pub fn number(id: &str) -> Result<i64, StoreError> {
    id.parse().map_err(|_| {
        StoreError::Invalid(format!(
            "the experiment id {} is not one: expected a whole number",
            crate::limits::shown(id)
        ))
    })
}

/// How many traces an experiment has.
///
/// # Errors
/// What the database said.
pub fn traces(tx: &mut Tx<'_>, experiment: i64) -> Result<u64, StoreError> {
    let rows = tx.query("SELECT count(*) FROM traces_infos WHERE experiment = ?1", &[experiment.into()])?;
    rows.first().map_or(Ok(0), |row| row.get(0))
}

/// Removes what belongs to an experiment that is gone for good, but for its traces, which [`crate::infos::delete`] removes:
/// its scorers, and its place in evaluation datasets.
///
/// # Errors
/// What the database said.
pub fn forget(tx: &mut Tx<'_>, experiment: i64) -> Result<(), StoreError> {
    for sql in [
        "DELETE FROM traces_scorer_versions WHERE scorer_id IN
         (SELECT scorer_id FROM traces_scorers WHERE experiment = ?1)",
        "DELETE FROM traces_scorers WHERE experiment = ?1",
        "DELETE FROM traces_dataset_experiments WHERE experiment = ?1",
    ] {
        tx.execute(sql, &[experiment.into()])?;
    }
    Ok(())
}

/// The experiment of that number, when it is there and takes traces.
///
/// # Errors
/// [`StoreError::NotFound`]; [`StoreError::Invalid`] when it was put aside.
pub(crate) fn active(tx: &mut Tx<'_>, experiment: i64) -> Result<Experiment, StoreError> {
    gyre_tracking::experiments::active(tx, experiment)
}

//! The seam to the room of experiments: whether one is there and takes traces.

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

/// The experiment of that number, when it is there and takes traces.
///
/// # Errors
/// [`StoreError::NotFound`]; [`StoreError::Invalid`] when it was put aside.
pub(crate) fn active(tx: &mut Tx<'_>, experiment: i64) -> Result<Experiment, StoreError> {
    gyre_tracking::experiments::active(tx, experiment)
}

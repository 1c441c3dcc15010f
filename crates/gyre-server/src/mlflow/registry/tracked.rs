//! What tracking knows of runs and logged models, as far as the registry asks.

use gyre_artifacts::{Folder, index};
use gyre_core::Digest;
use gyre_registry::source::{LoggedModel, Tracked};
use gyre_store::{StoreError, Tx};
use gyre_tracking::{logged_models, runs};

/// The runs and logged models of this server.
pub(super) struct Here;

impl Tracked for Here {
    fn run_root(&self, tx: &mut Tx<'_>, run: &str) -> Result<Option<String>, StoreError> {
        Ok(runs::find(tx, run)?.map(|run| run.artifact_uri))
    }

    fn logged_model(&self, tx: &mut Tx<'_>, model: &str) -> Result<Option<LoggedModel>, StoreError> {
        match logged_models::get(tx, model) {
            Ok(model) => Ok(Some(LoggedModel { root: model.artifact_uri, run: model.source_run_id })),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(other) => Err(other),
        }
    }
}

/// The digest of the tree of artifacts at `location`, when it is kept here and there are any.
pub(super) fn digest(tx: &mut Tx<'_>, location: &str) -> Result<Option<Digest>, StoreError> {
    let Ok(folder) = Folder::from_uri(location) else { return Ok(None) };
    let tree = index::tree_digest(tx, &folder)?;
    Ok(Some(tree.digest).filter(|_| tree.files > 0))
}

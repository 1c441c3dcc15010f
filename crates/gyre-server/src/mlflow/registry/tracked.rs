//! What tracking knows of runs and logged models, as far as the registry asks.

use gyre_core::Digest;
use gyre_registry::source::{LoggedModel, Tracked};
use gyre_store::{StoreError, Tx};

/// The runs and logged models of this server.
pub(super) struct Here;

impl Tracked for Here {
    fn run_root(&self, _: &mut Tx<'_>, _: &str) -> Result<Option<String>, StoreError> {
        Ok(None)
    }

    fn logged_model(&self, _: &mut Tx<'_>, _: &str) -> Result<Option<LoggedModel>, StoreError> {
        Ok(None)
    }
}

/// The digest of the tree of artifacts at `location`, when it is kept here.
pub(super) fn digest(_: &mut Tx<'_>, _: &str) -> Result<Option<Digest>, StoreError> {
    Ok(None)
}

//! What tracking and artifacts know of runs and logged models, as far as the registry asks.

use gyre_core::{Digest, Version};
use gyre_registry::Author;
use gyre_registry::source::{LoggedModel, Tracked};
use gyre_store::{StoreError, Tx};
use gyre_tracking::{By, logged_models, runs};
use serde_json::{Value, json};

use crate::mlflow::artifact_root;

/// The tag of a logged model that names the versions made of it.
const VERSIONS: &str = "mlflow.modelVersions";
/// The longest value of that tag, in bytes.
const LONGEST: usize = 8_000;

/// The runs and logged models of this server.
pub(super) struct Here;

impl Tracked for Here {
    fn run_root(&self, tx: &mut Tx<'_>, run: &str) -> Result<Option<String>, StoreError> {
        Ok(runs::find(tx, run)?.map(|run| run.artifact_uri))
    }

    fn logged_model(&self, tx: &mut Tx<'_>, model: &str) -> Result<Option<LoggedModel>, StoreError> {
        let found = found(logged_models::get(tx, model))?;
        Ok(found.map(|model| LoggedModel { root: model.artifact_uri, run: model.source_run_id }))
    }
}

/// The digest of the tree of artifacts at `location`, when it is kept here and is not empty.
pub(super) fn digest(tx: &mut Tx<'_>, location: &str) -> Result<Option<Digest>, StoreError> {
    let folder = match artifact_root::of_source(tx, location) {
        Ok((_, folder)) => folder,
        // Kept elsewhere, or not there.
        Err(StoreError::Invalid(_) | StoreError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let tree = gyre_artifacts::index::tree_digest(tx, &folder)?;
    Ok((tree.files > 0).then_some(tree.digest))
}

/// Has a logged model name the version that was made of it.
pub(super) fn note_version(
    tx: &mut Tx<'_>,
    author: &Author,
    model: &str,
    name: &str,
    version: Version,
) -> Result<(), StoreError> {
    let Some(logged) = found(logged_models::get(tx, model))? else { return Ok(()) };
    let known = logged.tags.iter().find(|(key, _)| key == VERSIONS).map(|(_, value)| value.as_str());
    let mut versions: Vec<Value> = known.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let version = json!({"name": name, "version": version});
    if versions.contains(&version) {
        return Ok(());
    }
    versions.push(version);
    let mut text = Value::from(versions.clone()).to_string();
    while text.len() > LONGEST && versions.len() > 1 {
        versions.remove(0);
        text = Value::from(versions.clone()).to_string();
    }
    let by = By { at: author.at, actor: author.actor.clone(), origin: author.origin.clone() };
    logged_models::set_tags(tx, model, &[(VERSIONS.to_owned(), text)], &by).map(drop)
}

fn found<T>(result: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

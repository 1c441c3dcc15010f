//! What may be done to the versions of registered models.

use gyre_core::fact::RegistryChange as Change;
use gyre_core::{Digest, Version};
use gyre_store::{StoreError, Tx};

use crate::catalog::{RegisteredVersion, is_of_the_loop, registered_version};
use crate::edit::{Author, described, known};
use crate::numbers;
use crate::rules::{self, Stage};

/// A version to be registered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewVersion {
    /// The model.
    pub name: String,
    /// Its number, when it comes from another registry; the next one otherwise.
    pub number: Option<Version>,
    /// Where its artifacts are, as the client said; checked by [`crate::source::check`].
    pub source: String,
    /// Where its artifacts are, when `source` only points there.
    pub location: Option<String>,
    /// The run that made it.
    pub run_id: Option<String>,
    /// Where the run can be looked at.
    pub run_link: Option<String>,
    /// The logged model that it was made of.
    pub logged_model: Option<String>,
    /// What it is, in words.
    pub description: Option<String>,
    /// Its tags.
    pub tags: Vec<(String, String)>,
    /// SHA-256 over the tree of its artifacts, when they are kept here.
    pub digest: Option<Digest>,
}

/// Registers a version, under the next number.
///
/// # Errors
/// [`StoreError::NotFound`] without such a model; [`StoreError::Invalid`]; [`StoreError::Conflict`] for a number that was
/// used before.
pub fn create_version(
    tx: &mut Tx<'_>,
    author: &Author,
    new: NewVersion,
) -> Result<RegisteredVersion, StoreError> {
    let NewVersion { name, number, source, location, run_id: run, run_link, logged_model, .. } = new;
    rules::model_name("name", &name)?;
    let tags = rules::tags(new.tags)?;
    let references = [
        ("source", Some(&source)),
        ("storage_location", location.as_ref()),
        ("run_id", run.as_ref()),
        ("run_link", run_link.as_ref()),
        ("model_id", logged_model.as_ref()),
    ];
    for (field, text) in references {
        text.map(|text| rules::reference(field, text)).transpose()?;
    }
    known(tx, &name)?;
    let version = match number {
        Some(number) => number,
        None => numbers::next(tx, &name)?,
    };
    let description = described(tx, new.description.as_deref())?;
    let (digest, named) = (new.digest, name.clone());
    let more = |tags| Change::VersionTagsSet { name: named.clone(), version, tags };
    let first = |tags| Change::VersionCreated {
        name: named.clone(),
        version,
        source,
        location,
        run,
        run_link,
        logged_model,
        description,
        tags,
        digest,
    };
    author.tell_with_tags(tx, tags, first, more)?;
    registered_version(tx, &name, version)
}

/// Describes a version in other words, or in none.
///
/// # Errors
/// [`StoreError::NotFound`]; [`StoreError::Invalid`] when it is too long.
pub fn describe_version(
    tx: &mut Tx<'_>,
    author: &Author,
    name: &str,
    version: Version,
    description: Option<&str>,
) -> Result<RegisteredVersion, StoreError> {
    registered_version(tx, name, version)?;
    let description = described(tx, description)?;
    author.tell(tx, Change::VersionDescribed { name: name.to_owned(), version, description })?;
    registered_version(tx, name, version)
}

/// Puts a version into a stage; with `archive`, the others that are in it go to Archived.
///
/// # Errors
/// [`StoreError::NotFound`]; [`StoreError::Invalid`] when a stage that nothing serves from is to be emptied.
pub fn stage_version(
    tx: &mut Tx<'_>,
    author: &Author,
    name: &str,
    version: Version,
    stage: Stage,
    archive: bool,
) -> Result<RegisteredVersion, StoreError> {
    if archive && !stage.is_active() {
        return Err(rules::invalid(format!(
            "`archive_existing_versions` goes with the stages Staging and Production, and the stage is {}",
            stage.name()
        )));
    }
    registered_version(tx, name, version)?;
    let archived = if archive {
        let sql = "SELECT version FROM registry_model_versions
                   WHERE name = ?1 AND version <> ?2 AND stage = ?3 ORDER BY version";
        let rows = tx.query(sql, &[name.into(), version.into(), stage.name().into()])?;
        rows.iter().map(|row| row.get(0)).collect::<Result<Vec<Version>, _>>()?
    } else {
        Vec::new()
    };
    let (name, stage) = (name.to_owned(), stage.name().to_owned());
    author.tell(tx, Change::VersionStaged { name: name.clone(), version, stage, archived })?;
    registered_version(tx, &name, version)
}

/// Takes a version away, with its tags and the aliases that point to it. Its number is not used again.
///
/// # Errors
/// [`StoreError::NotFound`]; [`StoreError::Conflict`] for a version that the loop registered: it may serve again.
pub fn delete_version(
    tx: &mut Tx<'_>,
    author: &Author,
    name: &str,
    version: Version,
) -> Result<(), StoreError> {
    registered_version(tx, name, version)?;
    if is_of_the_loop(tx, name, Some(version))? {
        return Err(StoreError::Conflict(format!(
            "version {version} of `{name}` cannot be deleted: the loop trained it, and may bring it back when it fits best"
        )));
    }
    author.tell(tx, Change::VersionDeleted { name: name.to_owned(), version }).map(drop)
}

/// Sets a tag of a version.
///
/// # Errors
/// [`StoreError::NotFound`]; [`StoreError::Invalid`].
pub fn set_version_tag(
    tx: &mut Tx<'_>,
    author: &Author,
    name: &str,
    version: Version,
    key: String,
    value: String,
) -> Result<(), StoreError> {
    rules::model_name("name", name)?;
    let tags = rules::tags(vec![(key, value)])?;
    registered_version(tx, name, version)?;
    let set = |tags| Change::VersionTagsSet { name: name.to_owned(), version, tags };
    author.tell_with_tags(tx, tags, set, set)
}

/// Takes a tag of a version away; one that is not there is gone already.
///
/// # Errors
/// [`StoreError::NotFound`] without such a version; [`StoreError::Invalid`].
pub fn delete_version_tag(
    tx: &mut Tx<'_>,
    author: &Author,
    name: &str,
    version: Version,
    key: &str,
) -> Result<(), StoreError> {
    rules::model_name("name", name)?;
    rules::tag_key(key)?;
    let found = registered_version(tx, name, version)?;
    if !found.tags.contains_key(key) {
        return Ok(());
    }
    author
        .tell(tx, Change::VersionTagDeleted { name: name.to_owned(), version, key: key.to_owned() })
        .map(drop)
}

//! The catalogue as MLflow's clients see it: registered models and their versions, whoever registered them.

use std::collections::{BTreeMap, BTreeSet};

use gyre_core::{Digest, ModelName, Timestamp, Version};
use gyre_store::{Row, StoreError, Tx};
use serde::Serialize;

use crate::columns::parse;
use crate::rules::{self, IS_PROMPT, Stage, no_model, no_version};

/// A registered model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredModel {
    /// Its name.
    pub name: String,
    /// When it was created.
    pub created: Timestamp,
    /// When it last changed.
    pub updated: Timestamp,
    /// What it is, in words.
    pub description: Option<String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Which version each alias points to.
    pub aliases: BTreeMap<String, Version>,
    /// The newest version in each stage, newest first; their own aliases are left out, as MLflow does.
    pub latest: Vec<RegisteredVersion>,
}

/// A version of a registered model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RegisteredVersion {
    /// The model.
    pub name: String,
    /// Its number.
    pub version: Version,
    /// When it was created.
    pub created: Timestamp,
    /// When it last changed.
    pub updated: Timestamp,
    /// Its legacy stage.
    pub stage: String,
    /// Where its artifacts are, as the client said.
    pub source: String,
    /// Where its artifacts are, when the source only points there.
    pub location: Option<String>,
    /// The run that made it.
    pub run_id: Option<String>,
    /// Where the run can be looked at.
    pub run_link: Option<String>,
    /// The logged model that it was made of.
    pub logged_model: Option<String>,
    /// `READY`, always: there is nothing to wait for.
    pub status: String,
    /// What it is, in words.
    pub description: Option<String>,
    /// Who registered it, when that is known.
    pub user_id: Option<String>,
    /// SHA-256 over the tree of its artifacts, when they are kept here.
    pub digest: Option<Digest>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// The aliases that point to it, where they were asked for.
    pub aliases: Vec<String>,
}

impl RegisteredModel {
    /// Whether it is a prompt.
    pub fn is_prompt(&self) -> bool {
        self.tags.get(IS_PROMPT).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }
}

impl RegisteredVersion {
    /// Where its artifacts are to be fetched from.
    pub fn download_uri(&self) -> &str {
        self.location.as_deref().unwrap_or(&self.source)
    }
}

/// The registered model `name`.
///
/// # Errors
/// [`StoreError::NotFound`]; [`StoreError::Invalid`] for a name that none can have.
pub fn registered_model(tx: &mut Tx<'_>, name: &str) -> Result<RegisteredModel, StoreError> {
    rules::model_name("name", name)?;
    let sql = "SELECT name, created, updated, description FROM registry_models WHERE name = ?1";
    let rows = tx.query(sql, &[name.into()])?;
    let row = rows.first().ok_or_else(|| no_model(name))?;
    let mut model = bare_model(row)?;
    model.tags = model_tags(tx, name)?;
    model.aliases = crate::query::aliases(tx, name)?;
    model.latest = latest(tx, name)?;
    Ok(model)
}

/// Whether a model of that name is registered, by a client or by the loop.
///
/// # Errors
/// What the store said.
pub fn is_registered(tx: &mut Tx<'_>, name: &str) -> Result<bool, StoreError> {
    Ok(!tx.query("SELECT 1 FROM registry_models WHERE name = ?1", &[name.into()])?.is_empty())
}

/// Whether the registered model `name` is a prompt.
///
/// # Errors
/// What the store said.
pub fn is_prompt(tx: &mut Tx<'_>, name: &str) -> Result<bool, StoreError> {
    let sql = "SELECT value FROM registry_model_tags WHERE name = ?1 AND key = ?2";
    let rows = tx.query(sql, &[name.into(), IS_PROMPT.into()])?;
    let value: Option<String> = rows.first().map(|row| row.get(0)).transpose()?;
    Ok(value.is_some_and(|value| value.eq_ignore_ascii_case("true")))
}

/// The version of `name` with that number.
///
/// # Errors
/// [`StoreError::NotFound`]; [`StoreError::Invalid`] for a name that none can have.
pub fn registered_version(
    tx: &mut Tx<'_>,
    name: &str,
    version: Version,
) -> Result<RegisteredVersion, StoreError> {
    rules::model_name("name", name)?;
    let sql = format!("SELECT {VERSION} FROM registry_model_versions v WHERE v.name = ?1 AND v.version = ?2");
    let rows = tx.query(&sql, &[name.into(), version.into()])?;
    let row = rows.first().ok_or_else(|| no_version(name, version))?;
    let mut found = bare_version(row)?;
    found.tags = version_tags(tx, name, version)?;
    found.aliases = aliases_of(tx, name, version)?;
    Ok(found)
}

/// The version of `name` that `alias` points to; `latest` is the newest one.
///
/// # Errors
/// [`StoreError::NotFound`] without such a model; [`StoreError::Invalid`] without such an alias, as MLflow says it.
pub fn version_by_alias(tx: &mut Tx<'_>, name: &str, alias: &str) -> Result<RegisteredVersion, StoreError> {
    rules::model_name("name", name)?;
    rules::alias(alias)?;
    if !is_registered(tx, name)? {
        return Err(no_model(name));
    }
    let number = if rules::is_latest(alias) {
        newest(tx, name)?.ok_or_else(|| no_version(name, alias))?
    } else {
        let aliases = crate::query::aliases(tx, name)?;
        *aliases
            .get(alias)
            .ok_or_else(|| rules::invalid(format!("Registered model alias {alias} not found.")))?
    };
    registered_version(tx, name, number)
}

/// The newest version of `name` in each of `stages`, or in every stage when none is given.
///
/// # Errors
/// [`StoreError::NotFound`]; [`StoreError::Invalid`] for an unknown stage.
pub fn latest_versions(
    tx: &mut Tx<'_>,
    name: &str,
    stages: &[Stage],
) -> Result<Vec<RegisteredVersion>, StoreError> {
    let model = registered_model(tx, name)?;
    let wanted =
        |version: &RegisteredVersion| stages.is_empty() || stages.iter().any(|s| s.name() == version.stage);
    let mut versions: Vec<_> = model.latest.into_iter().filter(wanted).collect();
    for version in &mut versions {
        let points = model.aliases.iter().filter(|(_, number)| **number == version.version);
        version.aliases = points.map(|(alias, _)| alias.clone()).collect();
    }
    Ok(versions)
}

/// All versions of `name`, oldest first, with their aliases and without their tags.
///
/// # Errors
/// What the store said.
pub fn registered_versions(tx: &mut Tx<'_>, name: &str) -> Result<Vec<RegisteredVersion>, StoreError> {
    let sql = format!("SELECT {VERSION} FROM registry_model_versions v WHERE v.name = ?1 ORDER BY v.version");
    let rows = tx.query(&sql, &[name.into()])?;
    let aliases = crate::query::aliases(tx, name)?;
    let with_aliases = |row: &Row| {
        let mut version = bare_version(row)?;
        let points = aliases.iter().filter(|(_, number)| **number == version.version);
        version.aliases = points.map(|(alias, _)| alias.clone()).collect();
        Ok(version)
    };
    rows.iter().map(with_aliases).collect()
}

/// What the registered versions need, as URIs: their sources and where their artifacts are, the runs (`runs:/ID`) and the
/// logged models (`models:/ID`) that they came from.
///
/// # Errors
/// What the store said.
pub fn needed_by_versions(tx: &mut Tx<'_>) -> Result<BTreeSet<String>, StoreError> {
    let mut needed = BTreeSet::new();
    let sql = "SELECT source, location, run_id, logged_model FROM registry_model_versions";
    tx.query_each(sql, &[], |row| {
        // One, two or three slashes mean the same place.
        let plain = |uri: String| match uri.strip_prefix("mlflow-artifacts:") {
            Some(path) => format!("mlflow-artifacts:/{}", path.trim_start_matches('/')),
            None => uri,
        };
        needed.insert(plain(row.get(0)?));
        needed.extend(row.get::<Option<String>>(1)?.map(plain));
        needed.extend(row.get::<Option<String>>(2)?.map(|run| format!("runs:/{run}")));
        needed.extend(row.get::<Option<String>>(3)?.map(|model| format!("models:/{model}")));
        Ok(())
    })?;
    Ok(needed)
}

/// The folder of artifacts in which the versions of the loop are: `gyre/MODEL/VERSION`.
pub const LOOP_FOLDER: &str = "gyre";

/// Whether the loop registered this version: then the loop decides what becomes of it.
///
/// # Errors
/// What the store said.
pub fn is_of_the_loop(tx: &mut Tx<'_>, name: &str, version: Option<Version>) -> Result<bool, StoreError> {
    let Ok(name) = name.parse::<ModelName>() else { return Ok(false) };
    let sql = "SELECT 1 FROM registry_versions
               WHERE model = ?1 AND (CAST(?2 AS INTEGER) IS NULL OR version = ?2) LIMIT 1";
    Ok(!tx.query(sql, &[name.as_str().into(), version.into()])?.is_empty())
}

/// A registered model at a glance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Glance {
    /// Its name.
    pub name: String,
    /// How many versions it has.
    pub versions: u64,
    /// The number of the newest one.
    pub newest: Option<Version>,
    /// SHA-256 over the tree of the newest one's artifacts, when they are kept here.
    pub digest: Option<Digest>,
    /// Which version each alias points to.
    pub aliases: BTreeMap<String, Version>,
    /// Whether it is a prompt.
    pub prompt: bool,
}

/// Up to `limit` registered models by name, whoever registered them.
///
/// # Errors
/// What the store said.
pub fn glances(tx: &mut Tx<'_>, limit: u64) -> Result<Vec<Glance>, StoreError> {
    let sql = "SELECT m.name, count(v.version), max(v.version)
               FROM registry_models m LEFT JOIN registry_model_versions v ON v.name = m.name
               GROUP BY m.name ORDER BY m.name LIMIT ?1";
    let mut glances = Vec::new();
    for row in tx.query(sql, &[limit.into()])? {
        let (name, newest): (String, Option<Version>) = (row.get(0)?, row.get(2)?);
        let newest_one = newest.map(|newest| registered_version(tx, &name, newest)).transpose()?;
        glances.push(Glance {
            versions: row.get(1)?,
            newest,
            digest: newest_one.and_then(|version| version.digest),
            aliases: crate::query::aliases(tx, &name)?,
            prompt: is_prompt(tx, &name)?,
            name,
        });
    }
    Ok(glances)
}

/// The columns of a version, as [`bare_version`] reads them.
pub(crate) const VERSION: &str = "v.name, v.version, v.created, v.updated, v.stage, v.source, v.location, v.run_id, \
     v.run_link, v.logged_model, v.status, v.description, v.user_id, v.digest";

/// A version without tags and aliases.
pub(crate) fn bare_version(row: &Row) -> Result<RegisteredVersion, StoreError> {
    let digest: Option<String> = row.get(13)?;
    Ok(RegisteredVersion {
        name: row.get(0)?,
        version: row.get(1)?,
        created: Timestamp::from_millis(row.get(2)?),
        updated: Timestamp::from_millis(row.get(3)?),
        stage: row.get(4)?,
        source: row.get(5)?,
        location: row.get(6)?,
        run_id: row.get(7)?,
        run_link: row.get(8)?,
        logged_model: row.get(9)?,
        status: row.get(10)?,
        description: row.get(11)?,
        user_id: row.get(12)?,
        digest: digest.map(|text| parse("registry_model_versions", &text)).transpose()?,
        tags: BTreeMap::new(),
        aliases: Vec::new(),
    })
}

/// A model without tags, aliases and versions, from name, created, updated, description.
pub(crate) fn bare_model(row: &Row) -> Result<RegisteredModel, StoreError> {
    Ok(RegisteredModel {
        name: row.get(0)?,
        created: Timestamp::from_millis(row.get(1)?),
        updated: Timestamp::from_millis(row.get(2)?),
        description: row.get(3)?,
        tags: BTreeMap::new(),
        aliases: BTreeMap::new(),
        latest: Vec::new(),
    })
}

pub(crate) fn model_tags(tx: &mut Tx<'_>, name: &str) -> Result<BTreeMap<String, String>, StoreError> {
    pairs(tx, "SELECT key, value FROM registry_model_tags WHERE name = ?1", &[name.into()])
}

pub(crate) fn version_tags(
    tx: &mut Tx<'_>,
    name: &str,
    version: Version,
) -> Result<BTreeMap<String, String>, StoreError> {
    let sql = "SELECT key, value FROM registry_version_tags WHERE name = ?1 AND version = ?2";
    pairs(tx, sql, &[name.into(), version.into()])
}

fn pairs(
    tx: &mut Tx<'_>,
    sql: &str,
    cells: &[gyre_store::Cell],
) -> Result<BTreeMap<String, String>, StoreError> {
    tx.query(sql, cells)?.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect()
}

fn aliases_of(tx: &mut Tx<'_>, name: &str, version: Version) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT alias FROM registry_aliases WHERE model = ?1 AND version = ?2 ORDER BY alias";
    tx.query(sql, &[name.into(), version.into()])?.iter().map(|row| row.get(0)).collect()
}

/// The newest version of each stage, newest first, with tags.
pub(crate) fn latest(tx: &mut Tx<'_>, name: &str) -> Result<Vec<RegisteredVersion>, StoreError> {
    let sql = format!(
        "SELECT {VERSION} FROM registry_model_versions v WHERE v.name = ?1 AND v.version IN
           (SELECT max(version) FROM registry_model_versions WHERE name = ?1 GROUP BY stage)
         ORDER BY v.version DESC"
    );
    let rows = tx.query(&sql, &[name.into()])?;
    let mut versions = rows.iter().map(bare_version).collect::<Result<Vec<_>, _>>()?;
    for version in &mut versions {
        version.tags = version_tags(tx, name, version.version)?;
    }
    Ok(versions)
}

/// The highest number among the versions of `name` that there are.
fn newest(tx: &mut Tx<'_>, name: &str) -> Result<Option<Version>, StoreError> {
    let rows =
        tx.query("SELECT max(version) FROM registry_model_versions WHERE name = ?1", &[name.into()])?;
    rows.first().map_or(Ok(None), |row| row.get(0))
}

//! How each change of the registry changes the catalogue.
//!
//! Moments follow MLflow: a new version, a stage or a lost version counts as a change of the model, a description as one of
//! what it describes; tags and aliases count for nothing.

use std::collections::BTreeMap;

use gyre_core::fact::{ModelVersion, RegistryChange as Change, Text};
use gyre_core::{Digest, Entry, Version};
use gyre_store::{Cell, StoreError, Tx};

use crate::catalog::{LOOP_FOLDER, is_of_the_loop, is_registered};
use crate::rules::{Stage, no_model, no_version};
use crate::{numbers, texts};

/// A new row of `registry_model_versions`.
struct Row<'a> {
    name: &'a str,
    version: Version,
    source: &'a str,
    location: Option<&'a str>,
    run: Option<&'a str>,
    run_link: Option<&'a str>,
    logged_model: Option<&'a str>,
    description: Option<String>,
    user: Option<&'a str>,
    digest: Option<&'a Digest>,
}

pub(crate) fn apply(tx: &mut Tx<'_>, change: &Change, entry: &Entry) -> Result<(), StoreError> {
    let at: Cell = entry.at.as_millis().into();
    match change {
        Change::ModelCreated { name, description, tags } => {
            let description = read(tx, description.as_ref())?;
            if !insert_model(tx, name, description, &at)? {
                return Err(StoreError::Exists { what: "registered model", name: name.clone() });
            }
            put_model_tags(tx, name, tags)
        }
        Change::ModelDescribed { name, description } => {
            let sql = "UPDATE registry_models SET description = ?2, updated = ?3 WHERE name = ?1";
            let description = read(tx, description.as_ref())?;
            model_changed(tx.execute(sql, &[name.as_str().into(), description.into(), at])?, name)
        }
        Change::ModelRenamed { name, to } => renamed(tx, name, to, &at),
        Change::ModelDeleted { name } => {
            let gone = tx.execute("DELETE FROM registry_models WHERE name = ?1", &[name.as_str().into()])?;
            model_changed(gone, name)?;
            for sql in [
                "DELETE FROM registry_model_tags WHERE name = ?1",
                "DELETE FROM registry_model_versions WHERE name = ?1",
                "DELETE FROM registry_version_tags WHERE name = ?1",
                "DELETE FROM registry_aliases WHERE model = ?1",
            ] {
                tx.execute(sql, &[name.as_str().into()])?;
            }
            Ok(())
        }
        Change::ModelTagsSet { name, tags } => put_model_tags(tx, name, tags),
        Change::ModelTagDeleted { name, key } => {
            let sql = "DELETE FROM registry_model_tags WHERE name = ?1 AND key = ?2";
            tx.execute(sql, &[name.as_str().into(), key.as_str().into()]).map(drop)
        }
        Change::VersionCreated { name, version, description, tags, .. } => {
            let row = version_row(change, entry, read(tx, description.as_ref())?);
            let Some(row) = row else { return Ok(()) };
            numbers::take(tx, name, *version, None)?;
            insert_version(tx, &row, &at)?;
            put_version_tags(tx, name, *version, tags)
        }
        Change::VersionDescribed { name, version, description } => {
            let sql = "UPDATE registry_model_versions SET description = ?3, updated = ?4
                       WHERE name = ?1 AND version = ?2";
            let description = read(tx, description.as_ref())?;
            let cells = [name.as_str().into(), (*version).into(), description.into(), at];
            version_changed(tx.execute(sql, &cells)?, name, *version)
        }
        Change::VersionStaged { name, version, stage, archived } => {
            for other in archived {
                set_stage(tx, name, *other, Stage::Archived.name(), &at)?;
            }
            set_stage(tx, name, *version, stage, &at)?;
            touch(tx, name, &at)
        }
        Change::VersionDeleted { name, version } => version_deleted(tx, name, *version, &at),
        Change::VersionTagsSet { name, version, tags } => put_version_tags(tx, name, *version, tags),
        Change::VersionTagDeleted { name, version, key } => {
            let sql = "DELETE FROM registry_version_tags WHERE name = ?1 AND version = ?2 AND key = ?3";
            tx.execute(sql, &[name.as_str().into(), (*version).into(), key.as_str().into()]).map(drop)
        }
        Change::AliasSet { name, alias, version } => {
            exists(tx, name, *version)?;
            put_alias(tx, name, alias, *version)
        }
        Change::AliasDeleted { name, alias } => {
            let sql = "DELETE FROM registry_aliases WHERE model = ?1 AND alias = ?2";
            tx.execute(sql, &[name.as_str().into(), alias.as_str().into()]).map(drop)
        }
        // Their table holds a secret and is written beside the fact, not from it.
        Change::WebhookCreated { .. }
        | Change::WebhookChanged { .. }
        | Change::WebhookDeleted { .. }
        | Change::WebhookGaveUp { .. } => Ok(()),
    }
}

/// A version that the loop registered is in the catalogue too; the first one brings its model.
pub(crate) fn registered_by_the_loop(
    tx: &mut Tx<'_>,
    version: &ModelVersion,
    entry: &Entry,
) -> Result<(), StoreError> {
    let (name, number, at) = (version.model.as_str(), version.version, entry.at.as_millis().into());
    numbers::take(tx, name, number, version.run.as_deref())?;
    insert_model(tx, name, None, &at)?;
    let source = format!("mlflow-artifacts:/{LOOP_FOLDER}/{name}/{number}");
    let row = Row {
        name,
        version: number,
        source: &source,
        location: None,
        run: version.run.as_deref(),
        run_link: None,
        logged_model: None,
        description: None,
        user: None,
        digest: None,
    };
    insert_version(tx, &row, &at)
}

/// Has an alias point to a version.
pub(crate) fn put_alias(
    tx: &mut Tx<'_>,
    name: &str,
    alias: &str,
    version: Version,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO registry_aliases (model, alias, version) VALUES (?1, ?2, ?3)
               ON CONFLICT (model, alias) DO UPDATE SET version = excluded.version";
    tx.execute(sql, &[name.into(), alias.into(), version.into()]).map(drop)
}

fn version_row<'a>(change: &'a Change, entry: &'a Entry, description: Option<String>) -> Option<Row<'a>> {
    let Change::VersionCreated {
        name, version, source, location, run, run_link, logged_model, digest, ..
    } = change
    else {
        return None;
    };
    Some(Row {
        name,
        version: *version,
        source,
        location: location.as_deref(),
        run: run.as_deref(),
        run_link: run_link.as_deref(),
        logged_model: logged_model.as_deref(),
        description,
        user: user(&entry.actor),
        digest: digest.as_ref(),
    })
}

/// The user behind an actor (`user:ada`, `token:t1(user:ada)`); somebody without a name is nobody to name.
fn user(actor: &str) -> Option<&str> {
    let (_, user) = actor.split_once("user:")?;
    Some(user.trim_end_matches(')')).filter(|user| *user != "local")
}

fn insert_model(
    tx: &mut Tx<'_>,
    name: &str,
    description: Option<String>,
    at: &Cell,
) -> Result<bool, StoreError> {
    let sql = "INSERT INTO registry_models (name, created, updated, description) VALUES (?1, ?2, ?2, ?3)
               ON CONFLICT DO NOTHING";
    Ok(tx.execute(sql, &[name.into(), at.clone(), description.into()])? > 0)
}

fn insert_version(tx: &mut Tx<'_>, row: &Row<'_>, at: &Cell) -> Result<(), StoreError> {
    let sql = "INSERT INTO registry_model_versions
               (name, version, source, location, run_id, run_link, logged_model, stage, status, description, user_id,
                digest, created, updated)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'None', 'READY', ?8, ?9, ?10, ?11, ?11)";
    let cells = [
        row.name.into(),
        row.version.into(),
        row.source.into(),
        row.location.into(),
        row.run.into(),
        row.run_link.into(),
        row.logged_model.into(),
        row.description.clone().into(),
        row.user.into(),
        row.digest.map_or(Cell::Null, Cell::from),
        at.clone(),
    ];
    tx.execute(sql, &cells)?;
    touch(tx, row.name, at)
}

fn renamed(tx: &mut Tx<'_>, name: &str, to: &str, at: &Cell) -> Result<(), StoreError> {
    if name != to && is_registered(tx, to)? {
        return Err(StoreError::Exists { what: "registered model", name: to.to_owned() });
    }
    let sql = "UPDATE registry_models SET name = ?2, updated = ?3 WHERE name = ?1";
    model_changed(tx.execute(sql, &[name.into(), to.into(), at.clone()])?, name)?;
    let sql = "UPDATE registry_model_versions SET name = ?2, updated = ?3 WHERE name = ?1";
    tx.execute(sql, &[name.into(), to.into(), at.clone()])?;
    for sql in [
        "UPDATE registry_model_tags SET name = ?2 WHERE name = ?1",
        "UPDATE registry_version_tags SET name = ?2 WHERE name = ?1",
        "UPDATE registry_aliases SET model = ?2 WHERE model = ?1",
    ] {
        tx.execute(sql, &[name.into(), to.into()])?;
    }
    numbers::follow(tx, to, name)
}

fn version_deleted(tx: &mut Tx<'_>, name: &str, version: Version, at: &Cell) -> Result<(), StoreError> {
    if is_of_the_loop(tx, name, Some(version))? {
        return Err(StoreError::Conflict(format!("version {version} of `{name}` belongs to the loop")));
    }
    let sql = "DELETE FROM registry_model_versions WHERE name = ?1 AND version = ?2";
    version_changed(tx.execute(sql, &[name.into(), version.into()])?, name, version)?;
    for sql in [
        "DELETE FROM registry_version_tags WHERE name = ?1 AND version = ?2",
        "DELETE FROM registry_aliases WHERE model = ?1 AND version = ?2",
    ] {
        tx.execute(sql, &[name.into(), version.into()])?;
    }
    touch(tx, name, at)
}

fn set_stage(
    tx: &mut Tx<'_>,
    name: &str,
    version: Version,
    stage: &str,
    at: &Cell,
) -> Result<(), StoreError> {
    let sql = "UPDATE registry_model_versions SET stage = ?3, updated = ?4 WHERE name = ?1 AND version = ?2";
    let changed = tx.execute(sql, &[name.into(), version.into(), stage.into(), at.clone()])?;
    version_changed(changed, name, version)
}

/// The model changed.
fn touch(tx: &mut Tx<'_>, name: &str, at: &Cell) -> Result<(), StoreError> {
    let sql = "UPDATE registry_models SET updated = ?2 WHERE name = ?1";
    model_changed(tx.execute(sql, &[name.into(), at.clone()])?, name)
}

fn put_model_tags(tx: &mut Tx<'_>, name: &str, tags: &BTreeMap<String, Text>) -> Result<(), StoreError> {
    if !is_registered(tx, name)? {
        return Err(no_model(name));
    }
    let sql = "INSERT INTO registry_model_tags (name, key, value) VALUES (?1, ?2, ?3)
               ON CONFLICT (name, key) DO UPDATE SET value = excluded.value";
    for (key, value) in tags {
        let value = texts::read(tx, value)?;
        tx.execute(sql, &[name.into(), key.as_str().into(), value.into()])?;
    }
    Ok(())
}

fn put_version_tags(
    tx: &mut Tx<'_>,
    name: &str,
    version: Version,
    tags: &BTreeMap<String, Text>,
) -> Result<(), StoreError> {
    exists(tx, name, version)?;
    let sql = "INSERT INTO registry_version_tags (name, version, key, value) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT (name, version, key) DO UPDATE SET value = excluded.value";
    for (key, value) in tags {
        let value = texts::read(tx, value)?;
        tx.execute(sql, &[name.into(), version.into(), key.as_str().into(), value.into()])?;
    }
    Ok(())
}

fn exists(tx: &mut Tx<'_>, name: &str, version: Version) -> Result<(), StoreError> {
    let sql = "SELECT 1 FROM registry_model_versions WHERE name = ?1 AND version = ?2";
    version_changed(tx.query(sql, &[name.into(), version.into()])?.len(), name, version)
}

fn read(tx: &mut Tx<'_>, text: Option<&Text>) -> Result<Option<String>, StoreError> {
    text.map(|text| texts::read(tx, text)).transpose()
}

fn model_changed(changed: usize, name: &str) -> Result<(), StoreError> {
    if changed > 0 { Ok(()) } else { Err(no_model(name)) }
}

fn version_changed(changed: usize, name: &str, version: Version) -> Result<(), StoreError> {
    if changed > 0 { Ok(()) } else { Err(no_version(name, version)) }
}

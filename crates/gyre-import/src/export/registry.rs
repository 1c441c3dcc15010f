//! Registered models and their versions.

use gyre_core::Version;
use gyre_registry::{RegisteredModel, RegisteredVersion};
use gyre_store::{Store, StoreError, Tx};
use rusqlite::types::Value;

use super::Database;
use crate::ImportError;
use crate::report::{Kind, Report};

struct Whole {
    model: RegisteredModel,
    versions: Vec<RegisteredVersion>,
    /// The highest number that was ever used.
    last: Version,
}

pub(super) fn models(store: &Store, database: &Database<'_>, report: &mut Report) -> Result<(), ImportError> {
    let names: Vec<String> = store.read(|tx| {
        let rows = tx.query("SELECT name FROM registry_models ORDER BY created, name", &[])?;
        rows.iter().map(|row| row.get(0)).collect()
    })?;
    for name in names {
        let whole = store.read(|tx| read(tx, &name))?;
        write(database, &whole, report)?;
    }
    Ok(())
}

fn read(tx: &mut Tx<'_>, name: &str) -> Result<Whole, StoreError> {
    let rows = tx.query("SELECT last FROM registry_numbers WHERE name = ?1", &[name.into()])?;
    let last = rows.first().map_or(Ok(0), |row| row.get(0))?;
    let model = gyre_registry::registered_model(tx, name)?;
    // The list leaves out the tags.
    let numbers: Vec<Version> =
        gyre_registry::registered_versions(tx, name)?.iter().map(|version| version.version).collect();
    let versions = numbers.iter().map(|number| gyre_registry::registered_version(tx, name, *number));
    Ok(Whole { model, versions: versions.collect::<Result<_, _>>()?, last })
}

fn write(database: &Database<'_>, whole: &Whole, report: &mut Report) -> Result<(), ImportError> {
    let model = &whole.model;
    let name = || ("name", Value::from(model.name.clone()));
    database.insert(
        "registered_models",
        vec![
            name(),
            ("creation_time", model.created.as_millis().into()),
            ("last_updated_time", model.updated.as_millis().into()),
            ("description", model.description.clone().into()),
        ],
    )?;
    report.wrote(Kind::RegisteredModels, 1);
    for (key, value) in &model.tags {
        let row = vec![name(), ("key", key.clone().into()), ("value", value.clone().into())];
        database.insert("registered_model_tags", row)?;
    }
    for version in &whole.versions {
        let number = || ("version", Value::from(i64::from(version.version)));
        database.insert(
            "model_versions",
            vec![
                name(),
                number(),
                ("creation_time", version.created.as_millis().into()),
                ("last_updated_time", version.updated.as_millis().into()),
                ("description", version.description.clone().into()),
                ("user_id", version.user_id.clone().into()),
                ("current_stage", version.stage.clone().into()),
                ("source", version.source.clone().into()),
                ("storage_location", version.location.clone().into()),
                ("run_id", version.run_id.clone().into()),
                ("run_link", version.run_link.clone().into()),
                ("status", version.status.clone().into()),
            ],
        )?;
        report.wrote(Kind::ModelVersions, 1);
        for (key, value) in &version.tags {
            let row = vec![name(), number(), ("key", key.clone().into()), ("value", value.clone().into())];
            database.insert("model_version_tags", row)?;
        }
    }
    let highest = whole.versions.iter().map(|version| version.version).max().unwrap_or(0);
    if whole.last > highest {
        // As MLflow keeps a deleted version, so that its number is not used again.
        let row = vec![
            name(),
            ("version", i64::from(whole.last).into()),
            ("creation_time", model.updated.as_millis().into()),
            ("last_updated_time", model.updated.as_millis().into()),
            ("current_stage", "Deleted_Internal".to_owned().into()),
            ("source", "REDACTED-SOURCE-PATH".to_owned().into()),
            ("status", "READY".to_owned().into()),
        ];
        database.insert("model_versions", row)?;
    }
    for (alias, version) in &model.aliases {
        let row = vec![name(), ("alias", alias.clone().into()), ("version", i64::from(*version).into())];
        database.insert("registered_model_aliases", row)?;
    }
    Ok(())
}

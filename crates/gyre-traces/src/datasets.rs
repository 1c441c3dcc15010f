//! Evaluation datasets: inputs with what should come of them, collected from traces and by people.

mod filter;
mod records;

use std::collections::BTreeMap;

use gyre_core::fact::TrackingChange;
use gyre_core::{Digest, Fact};
use gyre_store::{Cell, NewFact, Row, StoreError, Tx};
use gyre_tracking::By;
use serde_json::Value;
use uuid::Uuid;

use crate::experiments;
use crate::limits::{self, cut, invalid};

pub use filter::{Found, Search, search};
pub use records::{Record, RecordPage, Upserted, delete_records, records, upsert};

/// The longest name, in characters.
const NAME: usize = 500;
/// The longest value of a tag, in characters.
const TAG: usize = 5_000;
/// The tag that says who made or changed a dataset.
const USER: &str = "mlflow.user";

/// An evaluation dataset, without its records.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Dataset {
    /// Its id: `d-` and 32 hexadecimal digits.
    pub dataset_id: String,
    /// Its name; not unique.
    pub name: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// JSON with the type of each field of its records; nothing before there are some.
    pub schema: Option<String>,
    /// JSON with the number of records; nothing before there are some.
    pub profile: Option<String>,
    /// Eight hexadecimal digits that change with each change.
    pub digest: String,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: i64,
    /// When it was changed last.
    pub updated_ms: i64,
    /// Who made it.
    pub created_by: Option<String>,
    /// Who changed it last.
    pub updated_by: Option<String>,
}

const COLUMNS: &str =
    "dataset_id, name, schema, profile, digest, created_ms, updated_ms, created_by, updated_by";

/// Makes a dataset.
///
/// # Errors
/// [`StoreError::Invalid`]; [`StoreError::NotFound`] for an experiment.
pub fn create(
    tx: &mut Tx<'_>,
    name: &str,
    tags: &BTreeMap<String, String>,
    experiments: &[i64],
    now_ms: i64,
) -> Result<Dataset, StoreError> {
    if name.trim().is_empty() || name.chars().count() > NAME {
        return Err(invalid(format!(
            "the dataset's name has {} characters, expected 1 to {NAME} that are not all spaces",
            name.chars().count()
        )));
    }
    let id = format!("d-{}", Uuid::new_v4().simple());
    let by: Cell = tags.get(USER).map(String::as_str).into();
    tx.execute(
        "INSERT INTO traces_datasets (dataset_id, name, digest, created_ms, updated_ms, created_by, updated_by)
         VALUES (?1, ?2, ?3, ?4, ?4, ?5, ?5)",
        &[id.as_str().into(), name.into(), digest(name, now_ms).into(), now_ms.into(), by],
    )?;
    for (key, value) in tags {
        put_tag(tx, &id, key, value)?;
    }
    link(tx, &id, experiments)?;
    get(tx, &id)
}

fn digest(name: &str, now_ms: i64) -> String {
    Digest::of(format!("{name}:{now_ms}").as_bytes()).to_hex().chars().take(8).collect()
}

/// The dataset of that id.
///
/// # Errors
/// [`StoreError::NotFound`].
pub fn get(tx: &mut Tx<'_>, id: &str) -> Result<Dataset, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM traces_datasets WHERE dataset_id = ?1");
    let rows = tx.query(&sql, &[id.into()])?;
    let row = rows.first().ok_or_else(|| StoreError::not_found("evaluation dataset", cut(id, 200)))?;
    let mut dataset = read(row)?;
    dataset.tags = tags(tx, id)?;
    Ok(dataset)
}

fn tags(tx: &mut Tx<'_>, id: &str) -> Result<BTreeMap<String, String>, StoreError> {
    tx.query("SELECT key, value FROM traces_dataset_tags WHERE dataset_id = ?1", &[id.into()])?
        .iter()
        .map(|row| Ok((row.get(0)?, row.get(1)?)))
        .collect()
}

fn read(row: &Row) -> Result<Dataset, StoreError> {
    Ok(Dataset {
        dataset_id: row.get(0)?,
        name: row.get(1)?,
        schema: row.get(2)?,
        profile: row.get(3)?,
        digest: row.get(4)?,
        created_ms: row.get(5)?,
        updated_ms: row.get(6)?,
        created_by: row.get(7)?,
        updated_by: row.get(8)?,
        ..Dataset::default()
    })
}

/// Deletes a dataset with its records, and tells the journal. One that is not there is no error.
///
/// # Errors
/// What the database said.
pub fn delete(tx: &mut Tx<'_>, id: &str, by: &By) -> Result<(), StoreError> {
    let dataset = match get(tx, id) {
        Err(StoreError::NotFound { .. }) => return Ok(()),
        other => other?,
    };
    let records =
        tx.execute("DELETE FROM traces_dataset_records WHERE dataset_id = ?1", &[id.into()])? as u64;
    for table in ["traces_dataset_tags", "traces_dataset_experiments", "traces_datasets"] {
        tx.execute(&format!("DELETE FROM {table} WHERE dataset_id = ?1"), &[id.into()])?;
    }
    let change =
        TrackingChange::EvaluationDatasetDeleted { dataset: id.to_owned(), name: dataset.name, records };
    tx.append(NewFact::new(by.at, by.actor.clone(), Fact::Tracking(change)).from_where(by.origin.clone()))?;
    Ok(())
}

/// Sets tags of a dataset.
///
/// # Errors
/// [`StoreError::NotFound`], [`StoreError::Invalid`].
pub fn set_tags(tx: &mut Tx<'_>, id: &str, tags: &BTreeMap<String, String>) -> Result<(), StoreError> {
    get(tx, id)?;
    tags.iter().try_for_each(|(key, value)| put_tag(tx, id, key, value))
}

fn put_tag(tx: &mut Tx<'_>, id: &str, key: &str, value: &str) -> Result<(), StoreError> {
    limits::key("dataset's tag", key)?;
    if value.chars().count() > TAG {
        return Err(invalid(format!("the value of the tag `{key}` has more than {TAG} characters")));
    }
    tx.execute(
        "INSERT INTO traces_dataset_tags (dataset_id, key, value) VALUES (?1, ?2, ?3)
         ON CONFLICT (dataset_id, key) DO UPDATE SET value = excluded.value",
        &[id.into(), key.into(), value.into()],
    )?;
    Ok(())
}

/// Takes a tag of a dataset away. One that is not there is no error.
///
/// # Errors
/// What the database said.
pub fn delete_tag(tx: &mut Tx<'_>, id: &str, key: &str) -> Result<(), StoreError> {
    tx.execute(
        "DELETE FROM traces_dataset_tags WHERE dataset_id = ?1 AND key = ?2",
        &[id.into(), key.into()],
    )?;
    Ok(())
}

/// The numbers of the experiments that a dataset belongs to.
///
/// # Errors
/// What the database said.
pub fn experiments_of(tx: &mut Tx<'_>, id: &str) -> Result<Vec<i64>, StoreError> {
    tx.query(
        "SELECT experiment FROM traces_dataset_experiments WHERE dataset_id = ?1 ORDER BY experiment",
        &[id.into()],
    )?
    .iter()
    .map(|row| row.get(0))
    .collect()
}

/// Adds a dataset to experiments.
///
/// # Errors
/// [`StoreError::NotFound`] for the dataset or an experiment.
pub fn add_to(tx: &mut Tx<'_>, id: &str, experiments: &[i64], now_ms: i64) -> Result<Dataset, StoreError> {
    get(tx, id)?;
    link(tx, id, experiments)?;
    touch(tx, id, now_ms)?;
    get(tx, id)
}

fn link(tx: &mut Tx<'_>, id: &str, experiments: &[i64]) -> Result<(), StoreError> {
    for experiment in experiments {
        experiments::active(tx, *experiment)?;
        tx.execute(
            "INSERT INTO traces_dataset_experiments (dataset_id, experiment) VALUES (?1, ?2)
             ON CONFLICT (dataset_id, experiment) DO NOTHING",
            &[id.into(), (*experiment).into()],
        )?;
    }
    Ok(())
}

/// Removes a dataset from experiments; from those that it does not belong to, too.
///
/// # Errors
/// [`StoreError::NotFound`] for the dataset.
pub fn remove_from(
    tx: &mut Tx<'_>,
    id: &str,
    experiments: &[i64],
    now_ms: i64,
) -> Result<Dataset, StoreError> {
    get(tx, id)?;
    for experiment in experiments {
        tx.execute(
            "DELETE FROM traces_dataset_experiments WHERE dataset_id = ?1 AND experiment = ?2",
            &[id.into(), (*experiment).into()],
        )?;
    }
    touch(tx, id, now_ms)?;
    get(tx, id)
}

fn touch(tx: &mut Tx<'_>, id: &str, now_ms: i64) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE traces_datasets SET updated_ms = ?2 WHERE dataset_id = ?1",
        &[id.into(), now_ms.into()],
    )?;
    Ok(())
}

/// Tags from the JSON that requests carry: text as it is, other values as JSON, null for none.
///
/// # Errors
/// [`StoreError::Invalid`].
pub fn tags_of(json: &str) -> Result<BTreeMap<String, String>, StoreError> {
    let tags: BTreeMap<String, Value> = serde_json::from_str(json)
        .map_err(|error| invalid(format!("tags is not the JSON of an object: {error}")))?;
    Ok(tags
        .into_iter()
        .filter_map(|(key, value)| match value {
            Value::Null => None,
            Value::String(text) => Some((key, text)),
            other => Some((key, other.to_string())),
        })
        .collect())
}

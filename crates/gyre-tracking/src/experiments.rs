//! Experiments: names under which runs are kept together.
//!
//! A deleted experiment is put aside with its runs, and keeps its name until it is removed for good.

use gyre_core::fact::TrackingChange;
use gyre_store::{Row, StoreError, Tx};

use crate::By;
use crate::limits::{self, shown};

/// Whether something is there or was put aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// There.
    Active,
    /// Put aside; it can be restored.
    Deleted,
}

impl Stage {
    /// The name, as MLflow writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Deleted => "deleted",
        }
    }

    pub(crate) fn from_name(name: &str) -> Result<Self, StoreError> {
        match name {
            "active" => Ok(Self::Active),
            "deleted" => Ok(Self::Deleted),
            other => {
                Err(StoreError::Corrupt { table: "tracking", reason: format!("stage `{}`", shown(other)) })
            }
        }
    }
}

/// An experiment.
#[derive(Debug, Clone, PartialEq)]
pub struct Experiment {
    /// Its number.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Where its runs keep their artifacts.
    pub artifact_location: String,
    /// Whether it is there.
    pub stage: Stage,
    /// When it was made, in milliseconds since 1970.
    pub created: i64,
    /// When it last changed.
    pub updated: i64,
    /// Its tags, by key.
    pub tags: Vec<(String, String)>,
}

pub(crate) const COLUMNS: &str = "e.id, e.name, e.artifact_location, e.stage, e.created, e.updated";

pub(crate) fn from_row(row: &Row) -> Result<Experiment, StoreError> {
    Ok(Experiment {
        id: row.get(0)?,
        name: row.get(1)?,
        artifact_location: row.get(2)?,
        stage: Stage::from_name(&row.get::<String>(3)?)?,
        created: row.get(4)?,
        updated: row.get(5)?,
        tags: Vec::new(),
    })
}

/// An experiment to be made.
#[derive(Debug, Clone, Default)]
pub struct NewExperiment {
    /// Its name.
    pub name: String,
    /// Where its runs keep their artifacts; here, when none is given.
    pub artifact_location: Option<String>,
    /// Its tags.
    pub tags: Vec<(String, String)>,
}

impl NewExperiment {
    /// Checks what can be checked without looking.
    ///
    /// # Errors
    /// [`StoreError::Invalid`].
    pub fn check(&self) -> Result<(), StoreError> {
        check_name(&self.name)?;
        if let Some(location) = &self.artifact_location {
            check_location(location)?;
        }
        self.tags.iter().try_for_each(|(key, value)| check_tag(key, value))
    }
}

fn check_name(name: &str) -> Result<(), StoreError> {
    if name.trim().is_empty() {
        return Err(StoreError::Invalid("the experiment's name is empty".to_owned()));
    }
    limits::at_most("the experiment's name", name, limits::EXPERIMENT_NAME)
}

fn check_location(location: &str) -> Result<(), StoreError> {
    limits::at_most("the artifact location", location, 2048)?;
    let wrong =
        |what: &str| StoreError::Invalid(format!("the artifact location `{}` {what}", shown(location)));
    if location.contains(['?', '#', ';', '\\']) || location.chars().any(char::is_control) {
        return Err(wrong("has a query, a fragment or a control character, expected a plain location"));
    }
    if location.split('/').any(|part| part == ".." || part.eq_ignore_ascii_case("%2e%2e")) {
        return Err(wrong("has a part `..`, expected a plain location"));
    }
    Ok(())
}

fn check_tag(key: &str, value: &str) -> Result<(), StoreError> {
    limits::key("the experiment's tag", key)?;
    limits::at_most(&format!("the value of tag `{key}`"), value, limits::EXPERIMENT_TAG_VALUE)
}

/// Makes an experiment and returns its number.
///
/// # Errors
/// [`StoreError::Exists`], also when one that was put aside has the name.
pub fn create(tx: &mut Tx<'_>, new: NewExperiment, by: &By) -> Result<i64, StoreError> {
    new.check()?;
    if let Some(there) = by_name(tx, &new.name)? {
        return Err(name_taken(&there));
    }
    let now = by.millis();
    let sql = "INSERT INTO tracking_experiments (name, artifact_location, stage, created, updated)
               VALUES (?1, ?2, 'active', ?3, ?3) RETURNING id";
    let location = new.artifact_location.clone().unwrap_or_default();
    let rows = tx.query(sql, &[new.name.as_str().into(), location.into(), now.into()])?;
    let id: i64 = rows.first().ok_or(StoreError::Closed)?.get(0)?;
    if new.artifact_location.is_none() {
        let sql = "UPDATE tracking_experiments SET artifact_location = ?2 WHERE id = ?1";
        tx.execute(sql, &[id.into(), format!("mlflow-artifacts:/{id}").into()])?;
    }
    for (key, value) in &new.tags {
        put_tag(tx, id, key, value)?;
    }
    by.tell(tx, TrackingChange::ExperimentCreated { experiment: id, name: new.name })?;
    Ok(id)
}

fn name_taken(there: &Experiment) -> StoreError {
    let name = match there.stage {
        Stage::Active => there.name.clone(),
        Stage::Deleted => {
            format!("{} (deleted; restore it, or remove it for good, to use the name)", there.name)
        }
    };
    StoreError::Exists { what: "experiment", name }
}

fn put_tag(tx: &mut Tx<'_>, id: i64, key: &str, value: &str) -> Result<(), StoreError> {
    let sql = "INSERT INTO tracking_experiment_tags (experiment, key, value) VALUES (?1, ?2, ?3)
               ON CONFLICT (experiment, key) DO UPDATE SET value = excluded.value";
    tx.execute(sql, &[id.into(), key.into(), value.into()]).map(drop)
}

/// The experiment `id`, put aside or not.
///
/// # Errors
/// [`StoreError::NotFound`].
pub fn get(tx: &mut Tx<'_>, id: i64) -> Result<Experiment, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM tracking_experiments e WHERE e.id = ?1");
    let rows = tx.query(&sql, &[id.into()])?;
    let found = rows.first().map(from_row).transpose()?;
    let mut experiment = found.ok_or_else(|| StoreError::not_found("experiment", id.to_string()))?;
    experiment.tags = tags(tx, id)?;
    Ok(experiment)
}

/// The experiment called `name`, put aside or not.
///
/// # Errors
/// What the store said.
pub fn by_name(tx: &mut Tx<'_>, name: &str) -> Result<Option<Experiment>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM tracking_experiments e WHERE e.name = ?1");
    let rows = tx.query(&sql, &[name.into()])?;
    let Some(mut experiment) = rows.first().map(from_row).transpose()? else { return Ok(None) };
    experiment.tags = tags(tx, experiment.id)?;
    Ok(Some(experiment))
}

pub(crate) fn tags(tx: &mut Tx<'_>, id: i64) -> Result<Vec<(String, String)>, StoreError> {
    let sql = "SELECT key, value FROM tracking_experiment_tags WHERE experiment = ?1 ORDER BY key";
    tx.query(sql, &[id.into()])?.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect()
}

/// The experiment `id`, when it is there and not put aside.
///
/// # Errors
/// [`StoreError::NotFound`]; [`StoreError::Invalid`] when it was put aside.
pub fn active(tx: &mut Tx<'_>, id: i64) -> Result<Experiment, StoreError> {
    let experiment = get(tx, id)?;
    match experiment.stage {
        Stage::Active => Ok(experiment),
        Stage::Deleted => Err(StoreError::Invalid(format!(
            "experiment {id} is deleted, expected an active one: restore it first"
        ))),
    }
}

/// Gives an experiment another name.
///
/// # Errors
/// [`StoreError::NotFound`], [`StoreError::Exists`], [`StoreError::Invalid`].
pub fn rename(tx: &mut Tx<'_>, id: i64, name: &str, by: &By) -> Result<(), StoreError> {
    check_name(name)?;
    active(tx, id)?;
    match by_name(tx, name)? {
        Some(there) if there.id == id => return Ok(()),
        Some(there) => return Err(name_taken(&there)),
        None => {}
    }
    let sql = "UPDATE tracking_experiments SET name = ?2, updated = ?3 WHERE id = ?1";
    tx.execute(sql, &[id.into(), name.into(), by.millis().into()])?;
    by.tell(tx, TrackingChange::ExperimentRenamed { experiment: id, name: name.to_owned() })
}

/// Puts an experiment and its runs aside.
///
/// # Errors
/// [`StoreError::NotFound`] also when it is put aside already.
pub fn delete(tx: &mut Tx<'_>, id: i64, by: &By) -> Result<(), StoreError> {
    if get(tx, id)?.stage == Stage::Deleted {
        return Err(StoreError::not_found("active experiment", id.to_string()));
    }
    set_stage(tx, id, Stage::Deleted, by)?;
    let sql =
        "UPDATE tracking_runs SET stage = 'deleted', deleted = ?2 WHERE experiment = ?1 AND stage = 'active'";
    tx.execute(sql, &[id.into(), by.millis().into()])?;
    by.tell(tx, TrackingChange::ExperimentDeleted { experiment: id })
}

/// Brings an experiment and the runs that were put aside with it back.
///
/// # Errors
/// [`StoreError::NotFound`] also when it is not put aside.
pub fn restore(tx: &mut Tx<'_>, id: i64, by: &By) -> Result<(), StoreError> {
    if get(tx, id)?.stage == Stage::Active {
        return Err(StoreError::not_found("deleted experiment", id.to_string()));
    }
    set_stage(tx, id, Stage::Active, by)?;
    let sql = "UPDATE tracking_runs SET stage = 'active', deleted = NULL WHERE experiment = ?1 AND stage = 'deleted'";
    tx.execute(sql, &[id.into()])?;
    by.tell(tx, TrackingChange::ExperimentRestored { experiment: id })
}

fn set_stage(tx: &mut Tx<'_>, id: i64, stage: Stage, by: &By) -> Result<(), StoreError> {
    let sql = "UPDATE tracking_experiments SET stage = ?2, updated = ?3 WHERE id = ?1";
    tx.execute(sql, &[id.into(), stage.name().into(), by.millis().into()]).map(drop)
}

/// Sets a tag of an experiment.
///
/// # Errors
/// [`StoreError::NotFound`], [`StoreError::Invalid`].
pub fn set_tag(tx: &mut Tx<'_>, id: i64, key: &str, value: &str) -> Result<(), StoreError> {
    check_tag(key, value)?;
    active(tx, id)?;
    put_tag(tx, id, key, value)
}

/// Removes a tag of an experiment.
///
/// # Errors
/// [`StoreError::NotFound`] when there is no such experiment or tag.
pub fn delete_tag(tx: &mut Tx<'_>, id: i64, key: &str) -> Result<(), StoreError> {
    active(tx, id)?;
    let sql = "DELETE FROM tracking_experiment_tags WHERE experiment = ?1 AND key = ?2";
    if tx.execute(sql, &[id.into(), key.into()])? == 0 {
        return Err(StoreError::not_found("experiment tag", shown(key)));
    }
    Ok(())
}

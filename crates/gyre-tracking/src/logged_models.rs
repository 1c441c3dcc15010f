//! Logged models (MLflow 3): what a run saved as a model, before and whether or not it is registered.

use std::collections::BTreeMap;

use gyre_store::{Row, StoreError, Tx};

use crate::batch::{About, Metric, value_cells};
use crate::data::Latest;
use crate::experiments;
use crate::limits::{self, shown};
use crate::names::random_name;
use crate::{By, RunInfo};

/// How a logged model stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelStatus {
    /// Its files are on their way.
    Pending,
    /// It is whole.
    Ready,
    /// It never became whole.
    Failed,
}

impl ModelStatus {
    const ALL: [Self; 3] = [Self::Pending, Self::Ready, Self::Failed];

    /// The name, as MLflow's protocol writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "LOGGED_MODEL_PENDING",
            Self::Ready => "LOGGED_MODEL_READY",
            Self::Failed => "LOGGED_MODEL_UPLOAD_FAILED",
        }
    }

    /// The short name, as filters write it.
    pub const fn short(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Ready => "READY",
            Self::Failed => "FAILED",
        }
    }

    /// The status of that name, or of that number in MLflow's protocol.
    pub fn from_name(name: &str) -> Option<Self> {
        let numbered = name.parse::<usize>().ok().and_then(|number| Self::ALL.get(number.wrapping_sub(1)));
        numbered.copied().or_else(|| Self::ALL.into_iter().find(|s| s.name() == name || s.short() == name))
    }

    pub(crate) const fn number(self) -> i64 {
        match self {
            Self::Pending => 1,
            Self::Ready => 2,
            Self::Failed => 3,
        }
    }

    pub(crate) fn from_number(number: i64) -> Result<Self, StoreError> {
        let place = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
        place.and_then(|place| Self::ALL.get(place)).copied().ok_or_else(|| StoreError::Corrupt {
            table: "tracking_logged_models",
            reason: format!("status {number}"),
        })
    }
}

/// A metric of a logged model.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelMetric {
    /// Key, value, step and time.
    pub metric: Latest,
    /// The run that measured it.
    pub run_id: String,
    /// The dataset that it was measured on; both empty for none.
    pub dataset: (String, String),
}

/// A logged model.
#[derive(Debug, Clone, PartialEq)]
pub struct LoggedModel {
    /// Its number within the store.
    pub model: i64,
    /// Its id, `m-` and 32 hexadecimal digits.
    pub model_id: String,
    /// Its experiment's number.
    pub experiment: i64,
    /// Its name.
    pub name: String,
    /// Where its files are.
    pub artifact_uri: String,
    /// When it was made, in milliseconds since 1970.
    pub created: i64,
    /// When it last changed.
    pub updated: i64,
    /// How it stands.
    pub status: ModelStatus,
    /// Why it stands so.
    pub status_message: Option<String>,
    /// What kind of model it is.
    pub model_type: Option<String>,
    /// The run that made it.
    pub source_run_id: Option<String>,
    /// Parameters, by key.
    pub params: Vec<(String, String)>,
    /// Tags, by key.
    pub tags: Vec<(String, String)>,
    /// Metrics, by key.
    pub metrics: Vec<ModelMetric>,
}

pub(crate) const COLUMNS: &str = "m.model, m.model_id, m.experiment, m.name, m.artifact_uri, m.created, m.updated, \
                                  m.status, m.status_message, m.model_type, m.source_run_id";
/// How many columns those are.
pub(crate) const WIDTH: usize = 11;

pub(crate) fn from_row(row: &Row) -> Result<LoggedModel, StoreError> {
    Ok(LoggedModel {
        model: row.get(0)?,
        model_id: row.get(1)?,
        experiment: row.get(2)?,
        name: row.get(3)?,
        artifact_uri: row.get(4)?,
        created: row.get(5)?,
        updated: row.get(6)?,
        status: ModelStatus::from_number(row.get(7)?)?,
        status_message: row.get(8)?,
        model_type: row.get(9)?,
        source_run_id: row.get(10)?,
        params: Vec::new(),
        tags: Vec::new(),
        metrics: Vec::new(),
    })
}

/// A logged model to be made.
#[derive(Debug, Clone, Default)]
pub struct NewModel {
    /// Its experiment's number.
    pub experiment: i64,
    /// Its id; a random one, when none is given.
    pub model_id: Option<String>,
    /// Its name; a random one, when none is given.
    pub name: Option<String>,
    /// What kind of model it is.
    pub model_type: Option<String>,
    /// The run that makes it.
    pub source_run_id: Option<String>,
    /// Parameters.
    pub params: Vec<(String, String)>,
    /// Tags.
    pub tags: Vec<(String, String)>,
}

/// Makes a logged model, whose files are on their way from then on.
///
/// # Errors
/// [`StoreError::NotFound`], [`StoreError::Invalid`].
pub fn create(tx: &mut Tx<'_>, new: NewModel, by: &By) -> Result<LoggedModel, StoreError> {
    let name = new.name.filter(|name| !name.is_empty()).unwrap_or_else(random_name);
    if name.contains(['/', ':', '.', '%', '"', '\'']) || name.trim().is_empty() {
        return Err(StoreError::Invalid(format!(
            "the logged model's name `{}` is blank or contains one of / : . % \" ', expected none of these",
            shown(&name)
        )));
    }
    limits::at_most("the logged model's name", &name, limits::EXPERIMENT_NAME)?;
    let experiment = experiments::active(tx, new.experiment)?;
    let model_id = new.model_id.unwrap_or_else(|| format!("m-{}", uuid::Uuid::new_v4().simple()));
    limits::run_id(&model_id)?;
    let location = experiment.artifact_location.trim_end_matches('/');
    let artifact_uri = format!("{location}/models/{model_id}/artifacts");
    let sql = "INSERT INTO tracking_logged_models
               (model_id, experiment, name, artifact_uri, created, updated, status, model_type, source_run_id)
               VALUES (?1, ?2, ?3, ?4, ?5, ?5, 1, ?6, ?7) ON CONFLICT (model_id) DO NOTHING RETURNING model";
    let cells = [
        model_id.as_str().into(),
        new.experiment.into(),
        name.into(),
        artifact_uri.into(),
        by.millis().into(),
        new.model_type.into(),
        new.source_run_id.filter(|run| !run.is_empty()).into(),
    ];
    let rows = tx.query(sql, &cells)?;
    let Some(row) = rows.first() else {
        return Err(StoreError::Exists { what: "logged model", name: model_id });
    };
    let model: i64 = row.get(0)?;
    put_params(tx, model, &new.params)?;
    put_tags(tx, model, &new.tags)?;
    get(tx, &model_id)
}

fn put_params(tx: &mut Tx<'_>, model: i64, params: &[(String, String)]) -> Result<(), StoreError> {
    for (key, value) in params {
        limits::key("a parameter", key)?;
        let sql = "INSERT INTO tracking_model_params (model, key, value) VALUES (?1, ?2, ?3)
                   ON CONFLICT (model, key) DO NOTHING";
        let value = limits::cut(value.clone(), limits::PARAM_VALUE);
        if tx.execute(sql, &[model.into(), key.as_str().into(), value.as_str().into()])? > 0 {
            continue;
        }
        let sql = "SELECT value FROM tracking_model_params WHERE model = ?1 AND key = ?2";
        let before: Option<String> =
            tx.query(sql, &[model.into(), key.as_str().into()])?.first().map(|row| row.get(0)).transpose()?;
        if before.as_deref() != Some(value.as_str()) {
            return Err(StoreError::Invalid(format!(
                "parameter `{}` of the logged model is `{}` already: parameters never change",
                shown(key),
                shown(&before.unwrap_or_default())
            )));
        }
    }
    Ok(())
}

fn put_tags(tx: &mut Tx<'_>, model: i64, tags: &[(String, String)]) -> Result<(), StoreError> {
    for (key, value) in tags {
        limits::key("a tag", key)?;
        let value = limits::cut(value.clone(), limits::RUN_TAG_VALUE);
        let sql = "INSERT INTO tracking_model_tags (model, key, value) VALUES (?1, ?2, ?3)
                   ON CONFLICT (model, key) DO UPDATE SET value = excluded.value";
        tx.execute(sql, &[model.into(), key.as_str().into(), value.into()])?;
    }
    Ok(())
}

/// The logged model `model_id`, with what is known of it.
///
/// # Errors
/// [`StoreError::NotFound`], also when it was deleted.
pub fn get(tx: &mut Tx<'_>, model_id: &str) -> Result<LoggedModel, StoreError> {
    let sql =
        format!("SELECT {COLUMNS} FROM tracking_logged_models m WHERE m.model_id = ?1 AND m.deleted IS NULL");
    let rows = tx.query(&sql, &[model_id.into()])?;
    let found = rows.first().map(from_row).transpose()?;
    let mut model = found.ok_or_else(|| StoreError::not_found("logged model", shown(model_id)))?;
    fill(tx, &mut model)?;
    Ok(model)
}

/// Adds parameters, tags and metrics.
pub(crate) fn fill(tx: &mut Tx<'_>, model: &mut LoggedModel) -> Result<(), StoreError> {
    let pairs = |tx: &mut Tx<'_>, table: &str| -> Result<Vec<(String, String)>, StoreError> {
        let sql = format!("SELECT key, value FROM {table} WHERE model = ?1 ORDER BY key");
        tx.query(&sql, &[model.model.into()])?.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect()
    };
    model.params = pairs(tx, "tracking_model_params")?;
    model.tags = pairs(tx, "tracking_model_tags")?;
    let sql = "SELECT x.key, x.value, x.nan, x.timestamp, x.step, r.run_id, x.dataset, x.dataset_digest
               FROM tracking_model_metrics x JOIN tracking_runs r ON r.run = x.run
               WHERE x.model = ?1 ORDER BY x.key, x.timestamp, x.step LIMIT 10000";
    let metric = |row: &Row| {
        Ok(ModelMetric {
            metric: crate::data::latest_from_row(row, 0)?,
            run_id: row.get(5)?,
            dataset: (row.get(6)?, row.get(7)?),
        })
    };
    model.metrics =
        tx.query(sql, &[model.model.into()])?.iter().map(metric).collect::<Result<_, StoreError>>()?;
    Ok(())
}

fn touch(tx: &mut Tx<'_>, model: &LoggedModel, by: &By) -> Result<(), StoreError> {
    let sql = "UPDATE tracking_logged_models SET updated = ?2 WHERE model = ?1";
    tx.execute(sql, &[model.model.into(), by.millis().into()]).map(drop)
}

/// Says how a logged model stands now.
///
/// # Errors
/// [`StoreError::NotFound`].
pub fn finalize(
    tx: &mut Tx<'_>,
    model_id: &str,
    status: ModelStatus,
    by: &By,
) -> Result<LoggedModel, StoreError> {
    let model = get(tx, model_id)?;
    let sql = "UPDATE tracking_logged_models SET status = ?2, updated = ?3 WHERE model = ?1";
    tx.execute(sql, &[model.model.into(), status.number().into(), by.millis().into()])?;
    get(tx, model_id)
}

/// Sets tags of a logged model.
///
/// # Errors
/// [`StoreError::NotFound`], [`StoreError::Invalid`].
pub fn set_tags(
    tx: &mut Tx<'_>,
    model_id: &str,
    tags: &[(String, String)],
    by: &By,
) -> Result<LoggedModel, StoreError> {
    let model = get(tx, model_id)?;
    put_tags(tx, model.model, tags)?;
    touch(tx, &model, by)?;
    get(tx, model_id)
}

/// Removes a tag of a logged model.
///
/// # Errors
/// [`StoreError::NotFound`].
pub fn delete_tag(tx: &mut Tx<'_>, model_id: &str, key: &str) -> Result<(), StoreError> {
    let model = get(tx, model_id)?;
    let sql = "DELETE FROM tracking_model_tags WHERE model = ?1 AND key = ?2";
    if tx.execute(sql, &[model.model.into(), key.into()])? == 0 {
        return Err(StoreError::not_found("logged model tag", shown(key)));
    }
    Ok(())
}

/// Adds parameters to a logged model.
///
/// # Errors
/// [`StoreError::NotFound`], [`StoreError::Invalid`].
pub fn log_params(tx: &mut Tx<'_>, model_id: &str, params: &[(String, String)]) -> Result<(), StoreError> {
    let model = get(tx, model_id)?;
    put_params(tx, model.model, params)
}

/// Puts a logged model aside.
///
/// # Errors
/// [`StoreError::NotFound`].
pub fn delete(tx: &mut Tx<'_>, model_id: &str, by: &By) -> Result<(), StoreError> {
    let model = get(tx, model_id)?;
    let sql = "UPDATE tracking_logged_models SET deleted = ?2 WHERE model = ?1";
    tx.execute(sql, &[model.model.into(), by.millis().into()]).map(drop)
}

pub(crate) fn put_metric(
    tx: &mut Tx<'_>,
    run: &RunInfo,
    metric: &Metric,
    about: &About,
) -> Result<(), StoreError> {
    let sql = "SELECT model FROM tracking_logged_models WHERE model_id = ?1";
    let rows = tx.query(sql, &[about.model_id.as_str().into()])?;
    let found = rows.first().map(|row| row.get::<i64>(0)).transpose()?;
    let model = found.ok_or_else(|| StoreError::not_found("logged model", shown(&about.model_id)))?;
    let (value, nan) = value_cells(metric.point.value);
    let sql = "INSERT INTO tracking_model_metrics
               (model, run, key, dataset, dataset_digest, value, nan, timestamp, step)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
               ON CONFLICT (model, key, dataset, dataset_digest, run, timestamp, step)
               DO UPDATE SET value = excluded.value, nan = excluded.nan";
    let cells = [
        model.into(),
        run.run.into(),
        metric.key.as_str().into(),
        about.dataset.as_str().into(),
        about.dataset_digest.as_str().into(),
        value,
        nan,
        metric.point.timestamp.into(),
        metric.point.step.into(),
    ];
    tx.execute(sql, &cells).map(drop)
}

/// The logged models whose ids are given, by id, with what is known of them.
///
/// # Errors
/// What the store said.
pub fn by_ids(tx: &mut Tx<'_>, ids: &[String]) -> Result<BTreeMap<String, LoggedModel>, StoreError> {
    let mut found = BTreeMap::new();
    for id in ids {
        match get(tx, id) {
            Ok(model) => drop(found.insert(id.clone(), model)),
            Err(StoreError::NotFound { .. }) => {}
            Err(other) => return Err(other),
        }
    }
    Ok(found)
}

//! What went into a run and what came out: datasets, and logged models.

use std::collections::BTreeMap;

use gyre_store::{Row, StoreError, Tx};

use crate::limits::{self, shown};
use crate::runs;

/// A dataset that was an input.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dataset {
    /// Its name.
    pub name: String,
    /// Its digest, as the client computes it.
    pub digest: String,
    /// What kind of source it came from.
    pub source_type: String,
    /// The source, as that kind describes it.
    pub source: String,
    /// Its schema, as JSON.
    pub schema: Option<String>,
    /// Its profile, as JSON.
    pub profile: Option<String>,
}

/// A dataset with what the run used it for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DatasetInput {
    /// The dataset.
    pub dataset: Dataset,
    /// Tags, such as the context.
    pub tags: Vec<(String, String)>,
}

/// A logged model that a run made, at a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelOutput {
    /// The model.
    pub model_id: String,
    /// The step.
    pub step: i64,
}

/// Everything that went in and came out of a run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Links {
    /// Datasets.
    pub datasets: Vec<DatasetInput>,
    /// Logged models that went in.
    pub model_inputs: Vec<String>,
    /// Logged models that came out.
    pub model_outputs: Vec<ModelOutput>,
}

impl DatasetInput {
    fn check(&self) -> Result<(), StoreError> {
        let dataset = &self.dataset;
        for (what, text) in
            [("name", &dataset.name), ("digest", &dataset.digest), ("source", &dataset.source)]
        {
            if text.is_empty() {
                return Err(StoreError::Invalid(format!("a dataset without {what}, expected one")));
            }
        }
        if dataset.source_type.is_empty() {
            return Err(StoreError::Invalid("a dataset without source_type, expected one".to_owned()));
        }
        let texts = [
            &dataset.name,
            &dataset.digest,
            &dataset.source,
            dataset.schema.as_ref().unwrap_or(&String::new()),
            dataset.profile.as_ref().unwrap_or(&String::new()),
        ]
        .map(String::as_str)
        .map(str::to_owned);
        for ((what, limit), text) in limits::DATASET.iter().zip(&texts) {
            limits::at_most(&format!("the dataset's {what}"), text, *limit)?;
        }
        for (key, value) in &self.tags {
            if key.is_empty() {
                return Err(StoreError::Invalid("an input's tag without a key, expected one".to_owned()));
            }
            limits::at_most("the key of an input's tag", key, 255)?;
            limits::at_most("the value of an input's tag", value, 500)?;
        }
        Ok(())
    }
}

/// Adds inputs to a run; those that it has already stay.
///
/// # Errors
/// [`StoreError::NotFound`], [`StoreError::Invalid`].
pub fn log_inputs(
    tx: &mut Tx<'_>,
    run_id: &str,
    datasets: &[DatasetInput],
    models: &[String],
) -> Result<(), StoreError> {
    if datasets.len() + models.len() > limits::INPUTS {
        return Err(StoreError::Invalid(format!(
            "{} inputs at once, expected at most {}",
            datasets.len() + models.len(),
            limits::INPUTS
        )));
    }
    datasets.iter().try_for_each(DatasetInput::check)?;
    let run = runs::active(tx, run_id)?;
    let sql = "SELECT coalesce(max(position), -1) FROM tracking_inputs WHERE run = ?1";
    let mut position: i64 = tx.query(sql, &[run.run.into()])?.first().map_or(Ok(-1), |row| row.get(0))?;
    for input in datasets {
        position += 1;
        put_dataset(tx, run.run, run.experiment, input, position)?;
    }
    models.iter().try_for_each(|model| put_model(tx, run.run, "input", model, 0))
}

fn put_dataset(
    tx: &mut Tx<'_>,
    run: i64,
    experiment: i64,
    input: &DatasetInput,
    position: i64,
) -> Result<(), StoreError> {
    let dataset = dataset_number(tx, experiment, &input.dataset)?;
    let sql = "INSERT INTO tracking_inputs (run, dataset, position) VALUES (?1, ?2, ?3)
               ON CONFLICT (run, dataset) DO NOTHING";
    tx.execute(sql, &[run.into(), dataset.into(), position.into()])?;
    for (key, value) in &input.tags {
        let sql = "INSERT INTO tracking_input_tags (run, dataset, key, value) VALUES (?1, ?2, ?3, ?4)
                   ON CONFLICT (run, dataset, key) DO UPDATE SET value = excluded.value";
        tx.execute(sql, &[run.into(), dataset.into(), key.as_str().into(), value.as_str().into()])?;
    }
    Ok(())
}

/// Links a run that has just been written whole with what went in and came out.
pub(crate) fn link(tx: &mut Tx<'_>, run: i64, experiment: i64, links: &Links) -> Result<(), StoreError> {
    for (position, input) in links.datasets.iter().enumerate() {
        put_dataset(tx, run, experiment, input, position as i64)?;
    }
    links.model_inputs.iter().try_for_each(|model| put_model(tx, run, "input", model, 0))?;
    links.model_outputs.iter().try_for_each(|made| put_model(tx, run, "output", &made.model_id, made.step))
}

/// Adds logged models that a run made.
///
/// # Errors
/// [`StoreError::NotFound`], [`StoreError::Invalid`].
pub fn log_outputs(tx: &mut Tx<'_>, run_id: &str, models: &[ModelOutput]) -> Result<(), StoreError> {
    if models.len() > limits::INPUTS {
        return Err(StoreError::Invalid(format!(
            "{} outputs at once, expected at most {}",
            models.len(),
            limits::INPUTS
        )));
    }
    let run = runs::active(tx, run_id)?;
    models.iter().try_for_each(|output| put_model(tx, run.run, "output", &output.model_id, output.step))
}

fn put_model(tx: &mut Tx<'_>, run: i64, way: &str, model_id: &str, step: i64) -> Result<(), StoreError> {
    if model_id.is_empty() || model_id.len() > 256 {
        return Err(StoreError::Invalid(format!("`{}` is no model id", shown(model_id))));
    }
    let sql = "INSERT INTO tracking_run_models (run, way, model_id, step) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT (run, way, model_id) DO UPDATE SET step = excluded.step";
    tx.execute(sql, &[run.into(), way.into(), model_id.into(), step.into()]).map(drop)
}

fn dataset_number(tx: &mut Tx<'_>, experiment: i64, dataset: &Dataset) -> Result<i64, StoreError> {
    // An update that changes nothing, so that the number comes back whether the dataset was there or not.
    let sql = "INSERT INTO tracking_datasets (experiment, name, digest, source_type, source, schema, profile)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
               ON CONFLICT (experiment, name, digest) DO UPDATE SET name = excluded.name RETURNING dataset";
    let cells = [
        experiment.into(),
        dataset.name.as_str().into(),
        dataset.digest.as_str().into(),
        dataset.source_type.as_str().into(),
        dataset.source.as_str().into(),
        dataset.schema.as_deref().into(),
        dataset.profile.as_deref().into(),
    ];
    let rows = tx.query(sql, &cells)?;
    rows.first().ok_or(StoreError::Closed)?.get(0)
}

pub(crate) const DATASET: &str = "d.name, d.digest, d.source_type, d.source, d.schema, d.profile";

pub(crate) fn dataset_from_row(row: &Row, from: usize) -> Result<Dataset, StoreError> {
    Ok(Dataset {
        name: row.get(from)?,
        digest: row.get(from + 1)?,
        source_type: row.get(from + 2)?,
        source: row.get(from + 3)?,
        schema: row.get(from + 4)?,
        profile: row.get(from + 5)?,
    })
}

/// A dataset of an experiment, as the list of all of them shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatasetSummary {
    /// The experiment's number.
    pub experiment: i64,
    /// The dataset's name.
    pub name: String,
    /// Its digest.
    pub digest: String,
    /// What it was used for.
    pub context: Option<String>,
}

/// The datasets that runs of `experiment` used, at most `limit`.
///
/// # Errors
/// What the store said.
pub fn datasets_of(tx: &mut Tx<'_>, experiment: i64, limit: u64) -> Result<Vec<DatasetSummary>, StoreError> {
    let sql = "SELECT DISTINCT d.name, d.digest, t.value
               FROM tracking_datasets d JOIN tracking_inputs i ON i.dataset = d.dataset
               LEFT JOIN tracking_input_tags t
                 ON t.run = i.run AND t.dataset = i.dataset AND t.key = 'mlflow.data.context'
               WHERE d.experiment = ?1 ORDER BY 1, 2, 3 LIMIT ?2";
    let rows = tx.query(sql, &[experiment.into(), limit.into()])?;
    let summary = |row: &Row| {
        Ok(DatasetSummary { experiment, name: row.get(0)?, digest: row.get(1)?, context: row.get(2)? })
    };
    rows.iter().map(summary).collect()
}

/// What went into and came out of the run with the number `run`.
///
/// # Errors
/// What the store said.
pub fn links(tx: &mut Tx<'_>, run: i64) -> Result<Links, StoreError> {
    let mut links = Links::default();
    let sql = format!(
        "SELECT i.dataset, {DATASET} FROM tracking_inputs i JOIN tracking_datasets d ON d.dataset = i.dataset
         WHERE i.run = ?1 ORDER BY i.position, i.dataset"
    );
    let rows = tx.query(&sql, &[run.into()])?;
    if !rows.is_empty() {
        let sql = "SELECT dataset, key, value FROM tracking_input_tags WHERE run = ?1 ORDER BY dataset, key";
        let mut tags: BTreeMap<i64, Vec<(String, String)>> = BTreeMap::new();
        for row in tx.query(sql, &[run.into()])? {
            tags.entry(row.get(0)?).or_default().push((row.get(1)?, row.get(2)?));
        }
        for row in &rows {
            let tags = tags.remove(&row.get(0)?).unwrap_or_default();
            links.datasets.push(DatasetInput { dataset: dataset_from_row(row, 1)?, tags });
        }
    }
    let sql =
        "SELECT way, model_id, step FROM tracking_run_models WHERE run = ?1 ORDER BY way, step, model_id";
    for row in tx.query(sql, &[run.into()])? {
        let model_id: String = row.get(1)?;
        match row.get::<String>(0)?.as_str() {
            "input" => links.model_inputs.push(model_id),
            _ => links.model_outputs.push(ModelOutput { model_id, step: row.get(2)? }),
        }
    }
    Ok(links)
}

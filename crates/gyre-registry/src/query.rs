//! The questions that other rooms ask of the registry.

use std::collections::BTreeMap;

use gyre_core::fact::{ModelVersion, Run};
use gyre_core::{Digest, ModelName, Timestamp, Version};
use gyre_store::{Row, StoreError, Tx};

use crate::columns::{from_json, parse, unreadable};
use crate::numbers;
use crate::record::{ModelRecord, Moment, RunRecord, RunStatus, VersionRecord, VersionStatus};

/// All models that have a run or a version, by name.
///
/// # Errors
/// What the store said.
pub fn models(tx: &mut Tx<'_>) -> Result<Vec<ModelRecord>, StoreError> {
    let sql = "SELECT name,
                 (SELECT count(*) FROM registry_versions WHERE model = name),
                 (SELECT count(*) FROM registry_runs WHERE model = name)
               FROM (SELECT model AS name FROM registry_runs UNION SELECT model FROM registry_versions) named
               ORDER BY name";
    let rows = tx.query(sql, &[])?;
    let record = |row: &Row| {
        let name: ModelName = parse("registry_versions", &row.get::<String>(0)?)?;
        let (aliases, traffic) = (aliases(tx, name.as_str())?, traffic(tx, &name)?);
        Ok(ModelRecord { name, versions: row.get(1)?, runs: row.get(2)?, aliases, traffic })
    };
    rows.iter().map(record).collect()
}

const VERSION: &str = "
    SELECT v.registered, v.status, v.gates, v.created, v.updated, v.promoted,
      coalesce((SELECT weight FROM registry_traffic t WHERE t.model = v.model AND t.version = v.version), 0)
    FROM registry_versions v WHERE v.model = ?1 AND (CAST(?2 AS INTEGER) IS NULL OR v.version = ?2) ORDER BY v.version";

/// All versions of `model`, oldest first.
///
/// # Errors
/// What the store said.
pub fn versions(tx: &mut Tx<'_>, model: &ModelName) -> Result<Vec<VersionRecord>, StoreError> {
    let rows = tx.query(VERSION, &[model.as_str().into(), None::<u32>.into()])?;
    let aliases = aliases(tx, model.as_str())?;
    rows.iter().map(|row| version_record(row, &aliases)).collect()
}

/// One version of `model`.
///
/// # Errors
/// [`StoreError::NotFound`], naming the versions there are.
pub fn version(tx: &mut Tx<'_>, model: &ModelName, version: Version) -> Result<VersionRecord, StoreError> {
    let rows = tx.query(VERSION, &[model.as_str().into(), version.into()])?;
    if let Some(row) = rows.first() {
        return version_record(row, &aliases(tx, model.as_str())?);
    }
    let newest = "SELECT max(version) FROM registry_versions WHERE model = ?1";
    let newest: Option<Version> =
        tx.query(newest, &[model.as_str().into()])?.first().map_or(Ok(None), |row| row.get(0))?;
    let hint = match newest {
        None => format!(": `{model}` has no version yet"),
        Some(newest) => format!(": the newest version of `{model}` is {newest}"),
    };
    Err(StoreError::NotFound { what: "model version", name: format!("{model}@{version}"), hint })
}

fn version_record(row: &Row, aliases: &BTreeMap<String, Version>) -> Result<VersionRecord, StoreError> {
    let table = "registry_versions";
    let json = |column| row.get::<Option<String>>(column);
    let status: String = row.get(1)?;
    let registered: ModelVersion = from_json(table, &row.get::<String>(0)?)?;
    let points = aliases.iter().filter(|(_, version)| **version == registered.version);
    Ok(VersionRecord {
        aliases: points.map(|(alias, _)| alias.clone()).collect(),
        registered,
        status: VersionStatus::from_name(&status).ok_or_else(|| unreadable(table, &status))?,
        gates: json(2)?.map(|text| from_json(table, &text)).transpose()?,
        created: from_json(table, &row.get::<String>(3)?)?,
        updated: from_json(table, &row.get::<String>(4)?)?,
        promoted: json(5)?.map(|text| from_json(table, &text)).transpose()?,
        traffic: row.get(6)?,
    })
}

/// The version that serves `model`.
///
/// # Errors
/// What the store said.
pub fn champion(tx: &mut Tx<'_>, model: &ModelName) -> Result<Option<Version>, StoreError> {
    // Not the alias of that name: a client may have set it before the loop took the model over.
    let sql = "SELECT version FROM registry_champions WHERE model = ?1 ORDER BY position DESC LIMIT 1";
    tx.query(sql, &[model.as_str().into()])?.first().map(|row| row.get(0)).transpose()
}

/// The champion before the present one: where a rollback goes. After a rollback it is the next one back, not the version
/// that was found wanting.
///
/// # Errors
/// What the store said.
pub fn previous_champion(tx: &mut Tx<'_>, model: &ModelName) -> Result<Option<Version>, StoreError> {
    let sql =
        "SELECT version FROM registry_champions WHERE model = ?1 ORDER BY position DESC LIMIT 1 OFFSET 1";
    tx.query(sql, &[model.as_str().into()])?.first().map(|row| row.get(0)).transpose()
}

/// The number that the next version of `model` will bear, whoever registers it.
///
/// # Errors
/// What the store said.
pub fn next_version(tx: &mut Tx<'_>, model: &ModelName) -> Result<Version, StoreError> {
    numbers::next(tx, model.as_str())
}

/// The version that `alias` of `model` points to.
///
/// # Errors
/// What the store said.
pub fn alias(tx: &mut Tx<'_>, model: &ModelName, alias: &str) -> Result<Option<Version>, StoreError> {
    let sql = "SELECT version FROM registry_aliases WHERE model = ?1 AND alias = ?2";
    tx.query(sql, &[model.as_str().into(), alias.into()])?.first().map(|row| row.get(0)).transpose()
}

pub(crate) fn aliases(tx: &mut Tx<'_>, model: &str) -> Result<BTreeMap<String, Version>, StoreError> {
    let sql = "SELECT alias, version FROM registry_aliases WHERE model = ?1";
    tx.query(sql, &[model.into()])?.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect()
}

/// Shares of the traffic of `model` by version, in hundredths of a percent; empty before the first version serves.
///
/// # Errors
/// What the store said.
pub fn traffic(tx: &mut Tx<'_>, model: &ModelName) -> Result<Vec<(Version, u32)>, StoreError> {
    let sql = "SELECT version, weight FROM registry_traffic WHERE model = ?1 ORDER BY version";
    tx.query(sql, &[model.as_str().into()])?.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect()
}

const RUN: &str = "SELECT run_id, model, entry, at, data, finished, failure FROM registry_runs";

/// Up to `limit` runs, of all models or of one, newest first.
///
/// # Errors
/// What the store said.
pub fn runs(tx: &mut Tx<'_>, model: Option<&ModelName>, limit: u64) -> Result<Vec<RunRecord>, StoreError> {
    let sql = format!("{RUN} WHERE CAST(?1 AS TEXT) IS NULL OR model = ?1 ORDER BY entry DESC LIMIT ?2");
    let rows = tx.query(&sql, &[model.map(ModelName::as_str).into(), limit.into()])?;
    rows.iter().map(run_record).collect()
}

/// The run `id`.
///
/// # Errors
/// [`StoreError::NotFound`].
pub fn run(tx: &mut Tx<'_>, id: &str) -> Result<RunRecord, StoreError> {
    let rows = tx.query(&format!("{RUN} WHERE run_id = ?1"), &[id.into()])?;
    rows.first().map(run_record).transpose()?.ok_or_else(|| StoreError::not_found("run", id))
}

fn run_record(row: &Row) -> Result<RunRecord, StoreError> {
    let table = "registry_runs";
    let finished: Option<String> = row.get(5)?;
    let finished: Option<Run> = finished.map(|text| from_json(table, &text)).transpose()?;
    let data: Option<String> = row.get(4)?;
    let data: Option<Digest> = data.map(|text| parse(table, &text)).transpose()?;
    let mut record = RunRecord {
        run_id: row.get(0)?,
        model: parse(table, &row.get::<String>(1)?)?,
        status: RunStatus::Failed,
        ended: Moment { entry: row.get(2)?, at: Timestamp::from_millis(row.get(3)?) },
        data,
        code: None,
        params: BTreeMap::new(),
        metrics: BTreeMap::new(),
        tags: BTreeMap::new(),
        stages: Vec::new(),
        log: None,
        failure: row.get(6)?,
    };
    if let Some(run) = finished {
        record.status = RunStatus::Finished;
        record.code = Some(run.code);
        record.params = run.params;
        record.metrics = run.metrics;
        record.tags = run.environment;
        record.stages = run.stages;
        record.log = Some(run.log);
    }
    Ok(record)
}

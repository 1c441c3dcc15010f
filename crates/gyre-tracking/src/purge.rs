//! Removing for good what was put aside.

use gyre_core::Digest;
use gyre_core::fact::TrackingChange;
use gyre_store::{StoreError, Tx};

use crate::By;

/// What is to be removed for good.
#[derive(Debug, Clone, Default)]
pub struct Purge {
    /// Only what was put aside before this moment, in milliseconds since 1970.
    pub before: i64,
    /// Only these runs, when any are given.
    pub run_ids: Vec<String>,
    /// Only these experiments and their runs, when any are given.
    pub experiments: Vec<i64>,
}

/// What was, or would be, removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Purged {
    /// Ids of runs.
    pub runs: Vec<String>,
    /// Numbers of experiments.
    pub experiments: Vec<i64>,
    /// Ids of logged models.
    pub models: Vec<String>,
    /// Where the artifacts were, which nobody needs any more.
    pub artifact_uris: Vec<String>,
}

/// Runs of a job, so that no job holds the writing thread for long.
const PAGE: u64 = 500;

/// What [`carry_out`] would remove next: at most a few hundred runs at a time, experiments once they have no runs.
///
/// # Errors
/// What the store said.
pub fn next(tx: &mut Tx<'_>, purge: &Purge) -> Result<Purged, StoreError> {
    let mut found = Purged::default();
    let only_some = !purge.run_ids.is_empty() || !purge.experiments.is_empty();
    let wanted = |run_id: &String, experiment: &i64| {
        !only_some || purge.run_ids.contains(run_id) || purge.experiments.contains(experiment)
    };
    let sql = "SELECT run_id, experiment, artifact_uri FROM tracking_runs
               WHERE stage = 'deleted' AND coalesce(deleted, 0) < ?1 ORDER BY run";
    let mut runs = Vec::new();
    tx.query_each(sql, &[purge.before.into()], |row| {
        let (run_id, experiment): (String, i64) = (row.get(0)?, row.get(1)?);
        if runs.len() < PAGE as usize && wanted(&run_id, &experiment) {
            runs.push((run_id, row.get::<String>(2)?));
        }
        Ok(())
    })?;
    let sql = "SELECT m.model_id, m.artifact_uri, m.experiment FROM tracking_logged_models m
               WHERE m.deleted IS NOT NULL AND m.deleted < ?1 ORDER BY m.model LIMIT ?2";
    for row in tx.query(sql, &[purge.before.into(), PAGE.into()])? {
        if !only_some || purge.experiments.contains(&row.get(2)?) {
            found.models.push(row.get(0)?);
            found.artifact_uris.push(row.get(1)?);
        }
    }
    if runs.is_empty() {
        let sql = "SELECT e.id, e.artifact_location FROM tracking_experiments e
                   WHERE e.stage = 'deleted' AND e.updated < ?1
                     AND NOT EXISTS (SELECT 1 FROM tracking_runs r WHERE r.experiment = e.id) ORDER BY e.id";
        for row in tx.query(sql, &[purge.before.into()])? {
            let id: i64 = row.get(0)?;
            if !only_some || purge.experiments.contains(&id) {
                found.experiments.push(id);
                found.artifact_uris.push(row.get(1)?);
            }
        }
    }
    for (run_id, uri) in runs {
        found.runs.push(run_id);
        found.artifact_uris.push(uri);
    }
    Ok(found)
}

/// Removes what [`next`] says, and tells the journal.
///
/// # Errors
/// What the store said; then nothing was removed.
pub fn carry_out(tx: &mut Tx<'_>, purge: &Purge, by: &By) -> Result<Purged, StoreError> {
    let found = next(tx, purge)?;
    for run_id in &found.runs {
        let sql = "DELETE FROM tracking_runs WHERE run_id = ?1 RETURNING run";
        for row in tx.query(sql, &[run_id.as_str().into()])? {
            let run: i64 = row.get(0)?;
            for table in [
                "tracking_params",
                "tracking_tags",
                "tracking_latest",
                "tracking_points",
                "tracking_inputs",
                "tracking_input_tags",
                "tracking_run_models",
                "tracking_model_metrics",
            ] {
                tx.execute(&format!("DELETE FROM {table} WHERE run = ?1"), &[run.into()])?;
            }
        }
    }
    for model_id in &found.models {
        let sql = "DELETE FROM tracking_logged_models WHERE model_id = ?1 RETURNING model";
        for row in tx.query(sql, &[model_id.as_str().into()])? {
            let model: i64 = row.get(0)?;
            for table in ["tracking_model_params", "tracking_model_tags", "tracking_model_metrics"] {
                tx.execute(&format!("DELETE FROM {table} WHERE model = ?1"), &[model.into()])?;
            }
        }
    }
    for experiment in &found.experiments {
        for sql in [
            "DELETE FROM tracking_experiment_tags WHERE experiment = ?1",
            "DELETE FROM tracking_datasets WHERE experiment = ?1",
            "DELETE FROM tracking_experiments WHERE id = ?1",
        ] {
            tx.execute(sql, &[(*experiment).into()])?;
        }
    }
    if found == Purged::default() {
        return Ok(found);
    }
    let mut ids = found.runs.clone();
    ids.sort();
    let lines: String = ids.iter().map(|id| format!("{id}\n")).collect();
    let change = TrackingChange::Purged {
        experiments: found.experiments.clone(),
        runs: found.runs.len() as u64,
        digest: Digest::of(lines.as_bytes()),
    };
    by.tell(tx, change)?;
    Ok(found)
}

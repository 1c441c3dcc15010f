//! Removing for good what was put aside.
//!
//! [`survey`] says what there is to remove; [`Purged::parts`] cuts it into transactions that hold up nobody, and [`remove`]
//! carries one of them out and tells the journal. What was restored meanwhile stays. What a registered model version came
//! from is held back: whoever wants that gone deletes the version first.

use std::collections::{BTreeMap, BTreeSet};

use gyre_core::Digest;
use gyre_core::fact::TrackingChange;
use gyre_store::{Row, StoreError, Tx};

use crate::By;

/// What is to be removed for good.
#[derive(Debug, Clone, Default)]
pub struct Purge {
    /// Only what was put aside before this moment, in milliseconds since 1970.
    pub before: i64,
    /// Only these runs, when any are given.
    pub run_ids: BTreeSet<String>,
    /// Only these experiments and what is in them, when any are given.
    pub experiments: BTreeSet<i64>,
    /// What somebody needs, as URIs (`runs:/ID`, `models:/ID`, places of artifacts): runs and logged models that one of
    /// these names, or leads into, are held back.
    pub needed: BTreeSet<String>,
}

/// A run or a logged model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gone {
    /// Its id.
    pub id: String,
    /// Where its artifacts were, which nobody needs any more.
    pub artifact_uri: String,
}

/// An experiment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoneExperiment {
    /// Its number.
    pub id: i64,
    /// The folder of its artifacts, when it is of its own and holds nothing of anybody else.
    pub folder: Option<String>,
}

/// What was, or would be, removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Purged {
    /// Runs.
    pub runs: Vec<Gone>,
    /// Logged models.
    pub models: Vec<Gone>,
    /// Experiments.
    pub experiments: Vec<GoneExperiment>,
    /// Ids of runs and logged models that stay because somebody needs them.
    pub held: Vec<String>,
}

/// Runs, or logged models, of a transaction.
const PART: usize = 500;

/// The experiment that requests without one are about. It stays: with its number gone, such requests would fail.
const DEFAULT: i64 = 0;

impl Purged {
    /// Whether there is nothing to be removed.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty() && self.experiments.is_empty() && self.models.is_empty()
    }

    /// The places of artifacts that nobody needs any more.
    pub fn artifact_uris(&self) -> impl Iterator<Item = &str> {
        let of_things = self.runs.iter().chain(&self.models).map(|gone| gone.artifact_uri.as_str());
        of_things.chain(self.experiments.iter().filter_map(|gone| gone.folder.as_deref()))
    }

    /// The same in parts for [`remove`], experiments after what is in them.
    pub fn parts(&self) -> impl Iterator<Item = Self> {
        let runs = self.runs.chunks(PART).map(|runs| Self { runs: runs.to_vec(), ..Self::default() });
        let models =
            self.models.chunks(PART).map(|models| Self { models: models.to_vec(), ..Self::default() });
        let experiments = self.experiments.chunks(PART);
        let experiments =
            experiments.map(|experiments| Self { experiments: experiments.to_vec(), ..Self::default() });
        runs.chain(models).chain(experiments)
    }
}

/// How many of an experiment's runs and logged models are there, and how many of those go.
#[derive(Debug, Default, Clone, Copy)]
struct Contents {
    there: u64,
    going: u64,
}

/// All that a purge would remove.
///
/// # Errors
/// What the store said.
pub fn survey(tx: &mut Tx<'_>, purge: &Purge) -> Result<Purged, StoreError> {
    let (mut found, mut contents) = (Purged::default(), BTreeMap::<i64, Contents>::new());
    // The columns: id, experiment, place of the artifacts, when it was put aside.
    let mut look = |row: &Row, scheme: &str, by_id: bool, held: &mut Vec<String>| {
        let (id, experiment): (String, i64) = (row.get(0)?, row.get(1)?);
        let gone = Gone { id, artifact_uri: row.get(2)? };
        let aside = row.get::<Option<i64>>(3)?.is_some_and(|aside| aside < purge.before);
        let count = contents.entry(experiment).or_default();
        count.there += 1;
        if !aside || !(purge.wants(experiment) || (by_id && purge.run_ids.contains(&gone.id))) {
            return Ok(None);
        }
        if purge.needs(&gone.artifact_uri, &format!("{scheme}:/{}", gone.id)) {
            held.push(gone.id);
            return Ok(None);
        }
        count.going += 1;
        Ok::<_, StoreError>(Some(gone))
    };
    let sql =
        "SELECT run_id, experiment, artifact_uri, CASE WHEN stage = 'deleted' THEN coalesce(deleted, 0) END
               FROM tracking_runs ORDER BY run";
    tx.query_each(sql, &[], |row| {
        found.runs.extend(look(&row, "runs", true, &mut found.held)?);
        Ok(())
    })?;
    let sql = "SELECT m.model_id, m.experiment, m.artifact_uri,
                      coalesce(m.deleted, CASE WHEN e.stage = 'deleted' THEN e.updated END)
               FROM tracking_logged_models m LEFT JOIN tracking_experiments e ON e.id = m.experiment ORDER BY m.model";
    tx.query_each(sql, &[], |row| {
        found.models.extend(look(&row, "models", false, &mut found.held)?);
        Ok(())
    })?;
    let sql = "SELECT id, artifact_location FROM tracking_experiments WHERE stage = 'deleted' AND updated < ?1 ORDER BY id";
    let mut own = BTreeSet::new();
    for row in tx.query(sql, &[purge.before.into()])? {
        let (id, location): (i64, String) = (row.get(0)?, row.get(1)?);
        let empty = contents.get(&id).is_none_or(|count| count.there == count.going);
        if id != DEFAULT && empty && purge.wants(id) {
            let folder = format!("mlflow-artifacts:/{id}");
            if location == folder {
                own.insert(id);
            }
            found.experiments.push(GoneExperiment { id, folder: Some(folder) });
        }
    }
    let own = alone(tx, own, &purge.needed)?;
    found.experiments.iter_mut().filter(|gone| !own.contains(&gone.id)).for_each(|gone| gone.folder = None);
    Ok(found)
}

impl Purge {
    /// Whether what was put aside in that experiment is meant.
    fn wants(&self, experiment: i64) -> bool {
        let everything = self.run_ids.is_empty() && self.experiments.is_empty();
        everything || self.experiments.contains(&experiment)
    }

    /// Whether somebody needs what is called `name`, or something in the artifacts at `uri`.
    fn needs(&self, uri: &str, name: &str) -> bool {
        [uri.trim_end_matches('/'), name].into_iter().any(|root| {
            let inside = format!("{root}/");
            let first = self.needed.range(inside.clone()..).next();
            self.needed.contains(root) || first.is_some_and(|first| first.starts_with(&inside))
        })
    }
}

/// Those of the experiments whose folder holds nothing of anybody else: another experiment may have been given a place in
/// it, and what was imported may bear the number that it had elsewhere.
fn alone(
    tx: &mut Tx<'_>,
    mut own: BTreeSet<i64>,
    needed: &BTreeSet<String>,
) -> Result<BTreeSet<i64>, StoreError> {
    if own.is_empty() {
        return Ok(own);
    }
    for sql in [
        "SELECT id, artifact_location FROM tracking_experiments",
        "SELECT experiment, artifact_uri FROM tracking_runs",
        "SELECT experiment, artifact_uri FROM tracking_logged_models",
    ] {
        tx.query_each(sql, &[], |row| {
            let (of, uri): (i64, String) = (row.get(0)?, row.get(1)?);
            if let Some(number) = folder(&uri).filter(|number| *number != of) {
                own.remove(&number);
            }
            Ok(())
        })?;
    }
    let shared: BTreeSet<i64> = needed.iter().filter_map(|uri| folder(uri)).collect();
    own.retain(|number| !shared.contains(number));
    Ok(own)
}

/// The number of the folder at the top that `uri` is in.
fn folder(uri: &str) -> Option<i64> {
    let path = uri.strip_prefix("mlflow-artifacts:")?.trim_start_matches('/');
    path.split('/').next()?.parse().ok()
}

/// Removes `part`, as far as it is still put aside, and tells the journal; returns what was removed.
///
/// # Errors
/// What the store said; then nothing was removed.
pub fn remove(tx: &mut Tx<'_>, purge: &Purge, part: &Purged, by: &By) -> Result<Purged, StoreError> {
    let before = purge.before;
    let mut removed = Purged::default();
    for gone in &part.runs {
        let sql =
            "DELETE FROM tracking_runs WHERE run_id = ?1 AND stage = 'deleted' AND coalesce(deleted, 0) < ?2
                   RETURNING run";
        let Some(run) = number(tx, sql, &gone.id, before)? else { continue };
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
        removed.runs.push(gone.clone());
    }
    for gone in &part.models {
        let sql = "DELETE FROM tracking_logged_models WHERE model_id = ?1
                   AND (deleted < ?2 OR experiment IN
                        (SELECT id FROM tracking_experiments WHERE stage = 'deleted' AND updated < ?2))
                   RETURNING model";
        let Some(model) = number(tx, sql, &gone.id, before)? else { continue };
        for table in ["tracking_model_params", "tracking_model_tags", "tracking_model_metrics"] {
            tx.execute(&format!("DELETE FROM {table} WHERE model = ?1"), &[model.into()])?;
        }
        removed.models.push(gone.clone());
    }
    for gone in &part.experiments {
        let sql = "DELETE FROM tracking_experiments WHERE id = ?1 AND stage = 'deleted' AND updated < ?2
                   AND NOT EXISTS (SELECT 1 FROM tracking_runs WHERE experiment = ?1)
                   AND NOT EXISTS (SELECT 1 FROM tracking_logged_models WHERE experiment = ?1)";
        if tx.execute(sql, &[gone.id.into(), before.into()])? == 0 {
            continue;
        }
        for table in ["tracking_experiment_tags", "tracking_datasets"] {
            tx.execute(&format!("DELETE FROM {table} WHERE experiment = ?1"), &[gone.id.into()])?;
        }
        removed.experiments.push(gone.clone());
    }
    if removed.is_empty() {
        return Ok(removed);
    }
    let sorted = |gone: &[Gone]| gone.iter().map(|gone| format!("{}\n", gone.id)).collect::<BTreeSet<_>>();
    let lines: String = sorted(&removed.runs).into_iter().chain(sorted(&removed.models)).collect();
    let change = TrackingChange::Purged {
        experiments: removed.experiments.iter().map(|gone| gone.id).collect(),
        runs: removed.runs.len() as u64,
        models: removed.models.len() as u64,
        digest: Digest::of(lines.as_bytes()),
    };
    by.tell(tx, change)?;
    Ok(removed)
}

/// The number that `sql` returns for `id`, when it was put aside before `before`.
fn number(tx: &mut Tx<'_>, sql: &str, id: &str, before: i64) -> Result<Option<i64>, StoreError> {
    tx.query(sql, &[id.into(), before.into()])?.first().map(|row| row.get(0)).transpose()
}

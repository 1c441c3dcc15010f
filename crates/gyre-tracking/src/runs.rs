//! Runs: their life from creation to the end, and what describes them.

use std::collections::BTreeMap;
use std::sync::Arc;

use gyre_core::Digest;
use gyre_core::fact::TrackingChange;
use gyre_store::{Row, StoreError, Tx};

use crate::data::Run;
use crate::experiments::{self, Stage};
use crate::inputs::Links;
use crate::limits::{self, shown};
use crate::names::random_name;
use crate::provenance::{self, Origin};
use crate::{By, tags};

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RunStatus {
    /// It runs.
    Running,
    /// It waits for its turn.
    Scheduled,
    /// It ended well.
    Finished,
    /// It ended badly.
    Failed,
    /// It was stopped.
    Killed,
}

impl RunStatus {
    /// All of them, in the order of their numbers in MLflow's protocol, counted from 1.
    pub const ALL: [Self; 5] = [Self::Running, Self::Scheduled, Self::Finished, Self::Failed, Self::Killed];

    /// The name, as MLflow writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Scheduled => "SCHEDULED",
            Self::Finished => "FINISHED",
            Self::Failed => "FAILED",
            Self::Killed => "KILLED",
        }
    }

    /// The status of that name, or of that number in MLflow's protocol.
    pub fn from_name(name: &str) -> Option<Self> {
        let numbered = name.parse::<usize>().ok().and_then(|number| Self::ALL.get(number.wrapping_sub(1)));
        numbered.copied().or_else(|| Self::ALL.into_iter().find(|status| status.name() == name))
    }

    /// Whether it is an end.
    pub const fn ended(self) -> bool {
        matches!(self, Self::Finished | Self::Failed | Self::Killed)
    }
}

/// A run, without what it logged.
#[derive(Debug, Clone, PartialEq)]
pub struct RunInfo {
    /// Its number within the store.
    pub run: i64,
    /// Its id.
    pub run_id: String,
    /// Its experiment's number.
    pub experiment: i64,
    /// Its name.
    pub name: String,
    /// Who started it, as the client says.
    pub user_id: String,
    /// How it stands.
    pub status: RunStatus,
    /// Whether it is there.
    pub stage: Stage,
    /// When it started, in milliseconds since 1970.
    pub started: i64,
    /// When it ended.
    pub ended: Option<i64>,
    /// Where its artifacts are.
    pub artifact_uri: String,
}

pub(crate) const COLUMNS: &str =
    "r.run, r.run_id, r.experiment, r.name, r.user_id, r.status, r.stage, r.started, r.ended, r.artifact_uri";

/// How many columns those are.
pub(crate) const WIDTH: usize = 10;

pub(crate) fn from_row(row: &Row) -> Result<RunInfo, StoreError> {
    let status: String = row.get(5)?;
    Ok(RunInfo {
        run: row.get(0)?,
        run_id: row.get(1)?,
        experiment: row.get(2)?,
        name: row.get(3)?,
        user_id: row.get(4)?,
        status: RunStatus::from_name(&status).ok_or_else(|| StoreError::Corrupt {
            table: "tracking_runs",
            reason: format!("status `{}`", shown(&status)),
        })?,
        stage: Stage::from_name(&row.get::<String>(6)?)?,
        started: row.get(7)?,
        ended: row.get(8)?,
        artifact_uri: row.get(9)?,
    })
}

/// A run to be made.
#[derive(Debug, Clone, Default)]
pub struct NewRun {
    /// Its experiment's number.
    pub experiment: i64,
    /// Its id; a random one, when none is given.
    pub run_id: Option<String>,
    /// Its name; a random one, when none is given.
    pub name: Option<String>,
    /// Who starts it.
    pub user_id: String,
    /// When it started, in milliseconds since 1970.
    pub started: i64,
    /// Its tags, as the client says. Those that the server writes are left out: whoever makes a run after the pattern of
    /// another sends all tags of that one, and the new run has an origin of its own.
    pub tags: Vec<(String, String)>,
    /// Where it comes from, when that is known already.
    pub origin: Option<Arc<Origin>>,
}

/// Makes a run, which is running from then on, and returns it with its tags.
///
/// # Errors
/// [`StoreError::NotFound`] for an unknown experiment; [`StoreError::Invalid`] for one that was put aside, and for names
/// that contradict each other.
pub fn create(tx: &mut Tx<'_>, new: NewRun) -> Result<Run, StoreError> {
    let location = artifact_location(tx, new.experiment)?;
    let run_id = match new.run_id {
        Some(id) => {
            limits::run_id(&id)?;
            id
        }
        None => uuid::Uuid::new_v4().simple().to_string(),
    };
    let mut tags = tags::checked(new.tags)?;
    tags.retain(|key, _| !provenance::TAGS.contains(&key.as_str()));
    let tagged = tags.get(tags::RUN_NAME).filter(|name| !name.is_empty()).cloned();
    let given = new.name.filter(|name| !name.is_empty());
    let name = match (given, tagged) {
        (Some(given), Some(tagged)) if given != tagged => {
            return Err(StoreError::Invalid(format!(
                "the run's name is `{}`, and its tag {} says `{}`, expected the same, or one of them only",
                shown(&given),
                tags::RUN_NAME,
                shown(&tagged)
            )));
        }
        (Some(name), _) | (None, Some(name)) => name,
        (None, None) => random_name(),
    };
    let name = limits::cut(name, limits::RUN_TAG_VALUE);
    tags.insert(tags::RUN_NAME.to_owned(), name.clone());
    let artifact_uri = format!("{}/{run_id}/artifacts", location.trim_end_matches('/'));
    let sql = "INSERT INTO tracking_runs (run_id, experiment, name, user_id, status, stage, started, artifact_uri)
               VALUES (?1, ?2, ?3, ?4, 'RUNNING', 'active', ?5, ?6) ON CONFLICT (run_id) DO NOTHING RETURNING run";
    let cells = [
        run_id.as_str().into(),
        new.experiment.into(),
        name.as_str().into(),
        new.user_id.as_str().into(),
        new.started.into(),
        artifact_uri.as_str().into(),
    ];
    let rows = tx.query(sql, &cells)?;
    let Some(row) = rows.first() else { return Err(StoreError::Exists { what: "run", name: run_id }) };
    let info = RunInfo {
        run: row.get(0)?,
        run_id,
        experiment: new.experiment,
        name,
        user_id: new.user_id,
        status: RunStatus::Running,
        stage: Stage::Active,
        started: new.started,
        ended: None,
        artifact_uri,
    };
    if let Some(origin) = &new.origin {
        // Kept again: it may have been removed since it was made.
        provenance::keep(tx, origin)?;
        let own = origin.tags(tags.contains_key(provenance::CLIENT_COMMIT));
        tags.extend(own.into_iter().map(|(key, value)| (key.to_owned(), value)));
    }
    tags::put_all(tx, &info, &tags)?;
    Ok(Run {
        info,
        metrics: Vec::new(),
        params: Vec::new(),
        tags: tags.into_iter().collect(),
        links: Links::default(),
    })
}

/// Where the runs of an active experiment keep their artifacts.
fn artifact_location(tx: &mut Tx<'_>, experiment: i64) -> Result<String, StoreError> {
    let sql = "SELECT artifact_location, stage FROM tracking_experiments WHERE id = ?1";
    let rows = tx.query(sql, &[experiment.into()])?;
    let row = rows.first().ok_or_else(|| StoreError::not_found("experiment", experiment.to_string()))?;
    if row.get::<String>(1)? != Stage::Active.name() {
        return Err(StoreError::Invalid(format!(
            "experiment {experiment} is deleted, expected an active one: restore it first"
        )));
    }
    row.get(0)
}

/// The run `run_id`, put aside or not.
///
/// # Errors
/// [`StoreError::NotFound`].
pub fn get(tx: &mut Tx<'_>, run_id: &str) -> Result<RunInfo, StoreError> {
    find(tx, run_id)?.ok_or_else(|| StoreError::not_found("run", shown(run_id)))
}

/// The run `run_id`, if there is one.
///
/// # Errors
/// What the store said.
pub fn find(tx: &mut Tx<'_>, run_id: &str) -> Result<Option<RunInfo>, StoreError> {
    let sql = const {
        "SELECT r.run, r.run_id, r.experiment, r.name, r.user_id, r.status, r.stage, r.started, r.ended, \
                       r.artifact_uri FROM tracking_runs r WHERE r.run_id = ?1"
    };
    tx.query(sql, &[run_id.into()])?.first().map(from_row).transpose()
}

/// The run `run_id`, when it may be written to.
///
/// # Errors
/// [`StoreError::NotFound`]; [`StoreError::Invalid`] when it was put aside.
pub fn active(tx: &mut Tx<'_>, run_id: &str) -> Result<RunInfo, StoreError> {
    let run = get(tx, run_id)?;
    match run.stage {
        Stage::Active => Ok(run),
        Stage::Deleted => Err(StoreError::Invalid(format!(
            "run {run_id} is deleted, expected an active one: restore it first"
        ))),
    }
}

/// What changes of a run; what is none stays.
#[derive(Debug, Clone, Default)]
pub struct RunUpdate {
    /// How it stands now.
    pub status: Option<RunStatus>,
    /// When it ended, in milliseconds since 1970.
    pub ended: Option<i64>,
    /// Its name.
    pub name: Option<String>,
    /// SHA-256 of all that it logged, for a run that ends: [`crate::seal`].
    pub seal: Option<Digest>,
}

/// Changes a run; its end is told to the journal.
///
/// # Errors
/// [`StoreError::NotFound`], [`StoreError::Invalid`].
pub fn update(tx: &mut Tx<'_>, run_id: &str, update: RunUpdate, by: &By) -> Result<RunInfo, StoreError> {
    let mut run = active(tx, run_id)?;
    let before = run.status;
    if let Some(name) = update.name.filter(|name| !name.is_empty()) {
        run.name = limits::cut(name, limits::RUN_TAG_VALUE);
        tags::put(tx, &run, tags::RUN_NAME, &run.name)?;
    }
    run.status = update.status.unwrap_or(run.status);
    run.ended = update.ended.or(run.ended);
    let sql = "UPDATE tracking_runs SET status = ?2, ended = ?3, name = ?4 WHERE run = ?1";
    let cells = [run.run.into(), run.status.name().into(), run.ended.into(), run.name.as_str().into()];
    tx.execute(sql, &cells)?;
    if run.status.ended()
        && run.status != before
        && let Some(digest) = update.seal
    {
        let provenance = origin_tags(tx, run.run)?;
        let change = TrackingChange::RunEnded {
            run: run.run_id.clone(),
            experiment: run.experiment,
            status: run.status.name().to_owned(),
            digest,
            provenance,
        };
        by.tell(tx, change)?;
    }
    Ok(run)
}

/// The tags that say where code, data and environment stood, each shortened to what a journal entry holds.
fn origin_tags(tx: &mut Tx<'_>, run: i64) -> Result<BTreeMap<String, String>, StoreError> {
    const LONGEST: usize = 1000;
    let sql = "SELECT key, value FROM tracking_tags WHERE run = ?1
               AND (key IN ('mlflow.user', 'mlflow.source.name', 'mlflow.source.type', 'mlflow.source.git.commit',
                            'mlflow.source.git.repoURL', 'mlflow.source.git.branch', 'mlflow.parentRunId')
                    OR (key >= 'gyre.' AND key < 'gyre/'))
               ORDER BY key LIMIT 40";
    let rows = tx.query(sql, &[run.into()])?;
    rows.iter().map(|row| Ok((row.get(0)?, limits::cut(row.get(1)?, LONGEST)))).collect()
}

/// Puts a run aside; one that is put aside already stays so.
///
/// # Errors
/// [`StoreError::NotFound`].
pub fn delete(tx: &mut Tx<'_>, run_id: &str, by: &By) -> Result<(), StoreError> {
    let run = get(tx, run_id)?;
    if run.stage == Stage::Deleted {
        return Ok(());
    }
    let sql = "UPDATE tracking_runs SET stage = 'deleted', deleted = ?2 WHERE run = ?1";
    tx.execute(sql, &[run.run.into(), by.millis().into()])?;
    by.tell(tx, TrackingChange::RunDeleted { run: run.run_id })
}

/// Brings a run back.
///
/// # Errors
/// [`StoreError::NotFound`].
pub fn restore(tx: &mut Tx<'_>, run_id: &str, by: &By) -> Result<(), StoreError> {
    let run = get(tx, run_id)?;
    if run.stage == Stage::Active {
        return Ok(());
    }
    tx.execute(
        "UPDATE tracking_runs SET stage = 'active', deleted = NULL WHERE run = ?1",
        &[run.run.into()],
    )?;
    by.tell(tx, TrackingChange::RunRestored { run: run.run_id })
}

/// Sets a tag of a run.
///
/// # Errors
/// [`StoreError::NotFound`], [`StoreError::Invalid`].
pub fn set_tag(tx: &mut Tx<'_>, run_id: &str, key: String, value: String) -> Result<(), StoreError> {
    provenance::check_client_tag(&key)?;
    let tags = tags::checked(vec![(key, value)])?;
    let run = active(tx, run_id)?;
    tags::put_all(tx, &run, &tags)?;
    tags::name_run(tx, &run, &tags)
}

/// Removes a tag of a run.
///
/// # Errors
/// [`StoreError::NotFound`] when there is no such run or tag; [`StoreError::Invalid`] for one that the server writes.
pub fn delete_tag(tx: &mut Tx<'_>, run_id: &str, key: &str) -> Result<(), StoreError> {
    provenance::check_client_tag(key)?;
    let run = active(tx, run_id)?;
    let sql = "DELETE FROM tracking_tags WHERE run = ?1 AND key = ?2";
    if tx.execute(sql, &[run.run.into(), key.into()])? == 0 {
        return Err(StoreError::not_found("run tag", shown(key)));
    }
    Ok(())
}

/// The experiment's artifact location and more, for callers that have only the run.
///
/// # Errors
/// [`StoreError::NotFound`].
pub fn experiment_of(tx: &mut Tx<'_>, run_id: &str) -> Result<experiments::Experiment, StoreError> {
    let run = get(tx, run_id)?;
    experiments::get(tx, run.experiment)
}

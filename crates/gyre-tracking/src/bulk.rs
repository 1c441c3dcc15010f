//! Whole runs at once, as an importer brings them.
//!
//! A client logs a run in a hundred small steps, each of which looks before it writes. An importer has the run before it:
//! [`PackedRun::new`] checks it, packs its histories into chunks and seals it, on the importer's threads; [`insert_runs`]
//! then writes a few hundred runs in statements of many rows each. Limits that MLflow's clients rely on are not applied:
//! what another store holds already is kept as it is.

use std::collections::BTreeMap;

use gyre_core::Digest;
use gyre_store::{Cell, StoreError, Tx};

use crate::batch::{CHUNK, value_cells};
use crate::experiments::{Experiment, Stage};
use crate::inputs::{self, Links};
use crate::limits;
use crate::logged_models::LoggedModel;
use crate::points::{Point, arrange, encode};
use crate::{RunInfo, data, logged_models, runs, seal};

/// A run with everything that belongs to it.
#[derive(Debug, Clone, PartialEq)]
pub struct WholeRun {
    /// The run; its number is given when it is written.
    pub info: RunInfo,
    /// When it was put aside, in milliseconds since 1970.
    pub deleted: Option<i64>,
    /// Parameters.
    pub params: Vec<(String, String)>,
    /// Tags.
    pub tags: Vec<(String, String)>,
    /// Histories.
    pub metrics: Vec<(String, Vec<Point>)>,
    /// What went in and came out.
    pub links: Links,
}

/// A run that is ready to be written.
#[derive(Debug)]
pub struct PackedRun {
    info: RunInfo,
    deleted: Option<i64>,
    params: BTreeMap<String, String>,
    tags: BTreeMap<String, String>,
    series: Vec<Series>,
    links: Links,
    seal: Digest,
    points: u64,
}

#[derive(Debug)]
struct Series {
    key: String,
    latest: Point,
    chunks: Vec<(i64, Vec<u8>)>,
}

/// So many points make a chunk of about [`CHUNK`] bytes.
const CHUNK_POINTS: usize = CHUNK / 11;

impl PackedRun {
    /// Checks, packs and seals a run.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for an id that no run can have.
    pub fn new(run: WholeRun) -> Result<Self, StoreError> {
        limits::run_id(&run.info.run_id)?;
        let mut histories: BTreeMap<String, Vec<Point>> = BTreeMap::new();
        for (key, points) in run.metrics {
            histories.entry(key).or_default().extend(points);
        }
        histories.values_mut().for_each(arrange);
        let mut links = run.links;
        links.model_inputs.sort();
        links.model_outputs.sort_by(|a, b| (a.step, &a.model_id).cmp(&(b.step, &b.model_id)));
        let (params, tags): (BTreeMap<_, _>, BTreeMap<_, _>) =
            (run.params.into_iter().collect(), run.tags.into_iter().collect());
        let mut sealed = seal::Sealing::begin(&run.info.run_id);
        params.iter().for_each(|(key, value)| sealed.param(key, value));
        tags.iter().for_each(|(key, value)| sealed.tag(key, value));
        histories.iter().for_each(|(key, points)| sealed.metric(key, points));
        sealed.links(&links);
        let seal = sealed.end(None);
        let points = histories.values().map(|points| points.len() as u64).sum();
        let series = histories.into_iter().filter_map(|(key, points)| Series::new(key, &points)).collect();
        Ok(Self { info: run.info, deleted: run.deleted, params, tags, series, links, seal, points })
    }

    /// Its id.
    pub fn run_id(&self) -> &str {
        &self.info.run_id
    }

    /// SHA-256 of all that it logged: [`crate::seal`].
    pub fn seal(&self) -> Digest {
        self.seal
    }

    /// How many parameters, tags, points of metrics, and datasets it has.
    pub fn sizes(&self) -> [u64; 4] {
        [self.params.len() as u64, self.tags.len() as u64, self.points, self.links.datasets.len() as u64]
    }
}

impl Series {
    fn new(key: String, points: &[Point]) -> Option<Self> {
        let latest = points.iter().copied().max_by_key(Point::rank)?;
        let chunks = points.chunks(CHUNK_POINTS).map(|part| (part.len() as i64, encode(part))).collect();
        Some(Self { key, latest, chunks })
    }
}

/// Writes runs that are not there yet, and returns which of them, by their place, were written. A run whose id is taken
/// is left out.
///
/// # Errors
/// What the store said.
pub fn insert_runs(tx: &mut Tx<'_>, runs: &[PackedRun]) -> Result<Vec<bool>, StoreError> {
    let mut numbers = vec![None; runs.len()];
    let places: BTreeMap<&str, usize> =
        runs.iter().enumerate().map(|(place, run)| (run.run_id(), place)).collect();
    for part in runs.chunks(RUNS) {
        let cells: Vec<Cell> = part.iter().flat_map(run_cells).collect();
        let sql = format!(
            "INSERT INTO tracking_runs (run_id, experiment, name, user_id, status, stage, started, ended, deleted, \
             artifact_uri) VALUES {} ON CONFLICT (run_id) DO NOTHING RETURNING run, run_id",
            marks(part.len(), 10)
        );
        for row in tx.query(&sql, &cells)? {
            let run_id: String = row.get(1)?;
            if let Some(number) = places.get(run_id.as_str()).and_then(|place| numbers.get_mut(*place)) {
                *number = Some(row.get::<i64>(0)?);
            }
        }
    }
    let (mut params, mut tags, mut latest, mut points) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (number, run) in numbers.iter().zip(runs) {
        let Some(number) = *number else { continue };
        let experiment = run.info.experiment;
        for (rows, pairs) in [(&mut params, &run.params), (&mut tags, &run.tags)] {
            for (key, value) in pairs {
                let cells: [Cell; 4] =
                    [number.into(), key.as_str().into(), value.as_str().into(), experiment.into()];
                rows.extend(cells);
            }
        }
        for series in &run.series {
            latest.extend(series.latest_cells(number, experiment));
            for (chunk, (count, bytes)) in series.chunks.iter().enumerate() {
                let key: Cell = series.key.as_str().into();
                let bytes = bytes.as_slice().into();
                points.extend([number.into(), key, (chunk as i64).into(), (*count).into(), bytes]);
            }
        }
        inputs::link(tx, number, experiment, &run.links)?;
    }
    for (head, columns, rows) in [
        ("INSERT INTO tracking_params (run, key, value, experiment)", 4, &params),
        ("INSERT INTO tracking_tags (run, key, value, experiment)", 4, &tags),
        (
            "INSERT INTO tracking_latest (run, key, experiment, value, nan, timestamp, step, chunk, bytes)",
            9,
            &latest,
        ),
        ("INSERT INTO tracking_points (run, key, chunk, count, points)", 5, &points),
    ] {
        tx.insert_rows(head, columns, rows, "")?;
    }
    Ok(numbers.iter().map(Option::is_some).collect())
}

/// Which of the runs `ids` are there, with the number of the experiment that each is in.
///
/// # Errors
/// What the store said.
pub fn known_runs(tx: &mut Tx<'_>, ids: &[String]) -> Result<BTreeMap<String, i64>, StoreError> {
    let mut known = BTreeMap::new();
    for part in ids.chunks(KNOWN) {
        // Statements are the same for every page: what is left over is filled with an id that no run has.
        let nobody = std::iter::repeat(Cell::from(""));
        let cells: Vec<Cell> =
            part.iter().map(|id| Cell::from(id.as_str())).chain(nobody).take(KNOWN).collect();
        let sql = format!("SELECT run_id, experiment FROM tracking_runs WHERE run_id IN {}", marks(1, KNOWN));
        for row in tx.query(&sql, &cells)? {
            known.insert(row.get(0)?, row.get(1)?);
        }
    }
    Ok(known)
}

/// Writes an experiment under its own number, with its tags. One that is there under that number takes over what is new
/// in the tags, and otherwise stays.
///
/// # Errors
/// [`StoreError::Exists`] when another experiment bears the name.
pub fn insert_experiment(tx: &mut Tx<'_>, new: &Experiment) -> Result<(), StoreError> {
    let sql = "INSERT INTO tracking_experiments (id, name, artifact_location, stage, created, updated)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING";
    let cells = [
        new.id.into(),
        new.name.as_str().into(),
        new.artifact_location.as_str().into(),
        new.stage.name().into(),
        new.created.into(),
        new.updated.into(),
    ];
    if tx.execute(sql, &cells)? == 0 {
        let sql = "SELECT 1 FROM tracking_experiments WHERE id = ?1";
        if tx.query(sql, &[new.id.into()])?.is_empty() {
            return Err(StoreError::Exists { what: "experiment", name: new.name.clone() });
        }
    }
    for (key, value) in &new.tags {
        let sql = "INSERT INTO tracking_experiment_tags (experiment, key, value) VALUES (?1, ?2, ?3)
                   ON CONFLICT (experiment, key) DO NOTHING";
        tx.execute(sql, &[new.id.into(), key.as_str().into(), value.as_str().into()])?;
    }
    Ok(())
}

/// Writes a logged model with all that is known of it, once the runs are there; `false` when its id is taken. Metrics of
/// runs that are not there are left out.
///
/// # Errors
/// [`StoreError::Invalid`] for an id that no model can have.
pub fn insert_logged_model(
    tx: &mut Tx<'_>,
    model: &LoggedModel,
    deleted: Option<i64>,
) -> Result<bool, StoreError> {
    limits::run_id(&model.model_id)?;
    let sql = "INSERT INTO tracking_logged_models (model_id, experiment, name, artifact_uri, created, updated, status,
               status_message, model_type, source_run_id, deleted)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT (model_id) DO NOTHING RETURNING model";
    let cells = [
        model.model_id.as_str().into(),
        model.experiment.into(),
        model.name.as_str().into(),
        model.artifact_uri.as_str().into(),
        model.created.into(),
        model.updated.into(),
        model.status.number().into(),
        model.status_message.as_deref().into(),
        model.model_type.as_deref().into(),
        model.source_run_id.as_deref().into(),
        deleted.into(),
    ];
    let rows = tx.query(sql, &cells)?;
    let Some(row) = rows.first() else { return Ok(false) };
    let number: i64 = row.get(0)?;
    for (table, pairs) in [("tracking_model_params", &model.params), ("tracking_model_tags", &model.tags)] {
        let sql =
            format!("INSERT INTO {table} (model, key, value) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING");
        for (key, value) in pairs {
            tx.execute(&sql, &[number.into(), key.as_str().into(), value.as_str().into()])?;
        }
    }
    for found in &model.metrics {
        let Some(run) = runs::find(tx, &found.run_id)? else { continue };
        let (value, nan) = value_cells(found.metric.value);
        let sql = "INSERT INTO tracking_model_metrics
                   (model, run, key, dataset, dataset_digest, value, nan, timestamp, step)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO NOTHING";
        let cells = [
            number.into(),
            run.run.into(),
            found.metric.key.as_str().into(),
            found.dataset.0.as_str().into(),
            found.dataset.1.as_str().into(),
            value,
            nan,
            found.metric.timestamp.into(),
            found.metric.step.into(),
        ];
        tx.execute(sql, &cells)?;
    }
    Ok(true)
}

/// Whether a logged model of that id is there, put aside or not.
///
/// # Errors
/// What the store said.
pub fn has_logged_model(tx: &mut Tx<'_>, model_id: &str) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM tracking_logged_models WHERE model_id = ?1";
    Ok(!tx.query(sql, &[model_id.into()])?.is_empty())
}

/// How many runs one statement writes, and how many ids one asks about.
const RUNS: usize = 100;
const KNOWN: usize = 500;

fn run_cells(run: &PackedRun) -> [Cell; 10] {
    let info = &run.info;
    let deleted = run.deleted.filter(|_| info.stage == Stage::Deleted);
    [
        info.run_id.as_str().into(),
        info.experiment.into(),
        info.name.as_str().into(),
        info.user_id.as_str().into(),
        info.status.name().into(),
        info.stage.name().into(),
        info.started.into(),
        info.ended.into(),
        deleted.into(),
        info.artifact_uri.as_str().into(),
    ]
}

impl Series {
    fn latest_cells(&self, run: i64, experiment: i64) -> [Cell; 9] {
        let (value, nan) = value_cells(self.latest.value);
        let last = self.chunks.len().saturating_sub(1) as i64;
        let bytes = self.chunks.last().map_or(0, |(_, bytes)| bytes.len() as i64);
        [
            run.into(),
            self.key.as_str().into(),
            experiment.into(),
            value,
            nan,
            self.latest.timestamp.into(),
            self.latest.step.into(),
            last.into(),
            bytes.into(),
        ]
    }
}

/// `(?1, ?2), (?3, ?4)` for two rows of two.
fn marks(rows: usize, width: usize) -> String {
    let row = |row: usize| {
        let marks: Vec<String> = (1..=width).map(|column| format!("?{}", row * width + column)).collect();
        format!("({})", marks.join(", "))
    };
    (0..rows).map(row).collect::<Vec<_>>().join(", ")
}

/// The runs after the one with the number `after`, with when each was put aside: put aside or not, by number, at most
/// `limit`.
///
/// # Errors
/// What the store said.
pub fn runs_after(
    tx: &mut Tx<'_>,
    after: i64,
    limit: u64,
) -> Result<Vec<(data::Run, Option<i64>)>, StoreError> {
    let sql = format!(
        "SELECT {}, r.deleted FROM tracking_runs r WHERE r.run > ?1 ORDER BY r.run LIMIT ?2",
        runs::COLUMNS
    );
    let (mut infos, mut deleted) = (Vec::new(), Vec::new());
    for row in tx.query(&sql, &[after.into(), limit.into()])? {
        infos.push(runs::from_row(&row)?);
        deleted.push(row.get(runs::WIDTH)?);
    }
    Ok(data::fill(tx, infos)?.into_iter().zip(deleted).collect())
}

/// The same of logged models.
///
/// # Errors
/// What the store said.
pub fn logged_models_after(
    tx: &mut Tx<'_>,
    after: i64,
    limit: u64,
) -> Result<Vec<(LoggedModel, Option<i64>)>, StoreError> {
    let sql = format!(
        "SELECT {}, m.deleted FROM tracking_logged_models m WHERE m.model > ?1 ORDER BY m.model LIMIT ?2",
        logged_models::COLUMNS
    );
    let mut found = Vec::new();
    for row in tx.query(&sql, &[after.into(), limit.into()])? {
        let mut model = logged_models::from_row(&row)?;
        logged_models::fill(tx, &mut model)?;
        found.push((model, row.get(logged_models::WIDTH)?));
    }
    Ok(found)
}

/// All experiments, put aside or not, by number.
///
/// # Errors
/// What the store said.
pub fn experiments(tx: &mut Tx<'_>) -> Result<Vec<Experiment>, StoreError> {
    let rows = tx.query("SELECT id FROM tracking_experiments ORDER BY id", &[])?;
    rows.iter().map(|row| crate::experiments::get(tx, row.get(0)?)).collect()
}

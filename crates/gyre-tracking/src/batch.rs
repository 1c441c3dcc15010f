//! Logging: metrics, parameters and tags of a run, one or a thousand at a time, all of them or none.
//!
//! [`Batch::new`] checks and packs without looking at the store, on the caller's thread; [`Batch::write`] is what the one
//! writing thread has left to do. Sending the same batch again changes nothing, so a client may retry.

use std::collections::BTreeMap;

use gyre_store::{Cell, StoreError, Tx};

use crate::limits::{self, shown};
use crate::points::{Point, encode};
use crate::{RunInfo, provenance, runs, tags};

/// A metric's value on its way in.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// The key.
    pub key: String,
    /// The value, its step and time.
    pub point: Point,
    /// The logged model that it is about, and the dataset that it was measured on.
    pub about: Option<About>,
}

/// What a metric is about, beside its run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct About {
    /// A logged model.
    pub model_id: String,
    /// The dataset's name; empty for none.
    pub dataset: String,
    /// The dataset's digest; empty for none.
    pub dataset_digest: String,
}

/// The points of one key, packed.
#[derive(Debug)]
struct Series {
    count: i64,
    block: Vec<u8>,
    latest: Point,
}

/// Things to be logged, checked and packed.
#[derive(Debug, Default)]
pub struct Batch {
    series: Vec<(String, Series)>,
    params: Vec<(String, String)>,
    tags: BTreeMap<String, String>,
    about: Vec<(Metric, About)>,
}

/// A chunk takes more points until it has about this many bytes: one page of the database.
pub(crate) const CHUNK: usize = 3_500;

impl Batch {
    /// Checks and packs.
    ///
    /// # Errors
    /// [`StoreError::Invalid`]: too many, a bad key, a negative timestamp, a parameter that contradicts itself, a tag that
    /// the server writes.
    pub fn new(
        metrics: Vec<Metric>,
        params: Vec<(String, String)>,
        tags: Vec<(String, String)>,
    ) -> Result<Self, StoreError> {
        let all = metrics.len() + params.len() + tags.len();
        for (what, count, limit) in [
            ("metrics", metrics.len(), limits::BATCH_METRICS),
            ("params", params.len(), limits::BATCH_PARAMS),
            ("tags", tags.len(), limits::BATCH_TAGS),
            ("metrics, params and tags", all, limits::BATCH),
        ] {
            if count > limit {
                return Err(StoreError::Invalid(format!(
                    "a batch of {count} {what}, expected at most {limit}: send several"
                )));
            }
        }
        tags.iter().try_for_each(|(key, _)| provenance::check_client_tag(key))?;
        let (series, about) = pack(metrics)?;
        Ok(Self { series, params: checked_params(params)?, tags: tags::checked(tags)?, about })
    }

    /// Writes it all to the run.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Invalid`] when the run was put aside or a parameter has another value.
    pub fn write(&self, tx: &mut Tx<'_>, run_id: &str) -> Result<(), StoreError> {
        let run = runs::active(tx, run_id)?;
        for (key, value) in &self.params {
            put_param(tx, &run, key, value)?;
        }
        for (key, series) in &self.series {
            put_series(tx, &run, key, series)?;
        }
        for (metric, about) in &self.about {
            crate::logged_models::put_metric(tx, &run, metric, about)?;
        }
        if self.tags.is_empty() {
            return Ok(());
        }
        tags::put_all(tx, &run, &self.tags)?;
        tags::name_run(tx, &run, &self.tags)
    }
}

type Packed = (Vec<(String, Series)>, Vec<(Metric, About)>);

fn pack(metrics: Vec<Metric>) -> Result<Packed, StoreError> {
    let mut about = Vec::new();
    // Few keys in many metrics is the rule, so a list in order of first appearance serves better than a map of vectors.
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut groups: Vec<(String, Vec<Point>)> = Vec::new();
    for metric in metrics {
        if metric.point.timestamp < 0 {
            return Err(StoreError::Invalid(format!(
                "the timestamp of metric `{}` is {}, expected milliseconds since 1970",
                shown(&metric.key),
                metric.point.timestamp
            )));
        }
        match places.get(metric.key.as_str()).and_then(|place| groups.get_mut(*place)) {
            Some((_, points)) => points.push(metric.point),
            None => {
                limits::key("a metric", &metric.key)?;
                places.insert(metric.key.clone(), groups.len());
                groups.push((metric.key.clone(), vec![metric.point]));
            }
        }
        if let Some(of) = metric.about.clone() {
            about.push((metric, of));
        }
    }
    let series = groups.into_iter().filter_map(|(key, points)| {
        let latest = points.iter().copied().max_by_key(Point::rank)?;
        Some((key, Series { count: points.len() as i64, block: encode(&points), latest }))
    });
    Ok((series.collect(), about))
}

fn checked_params(params: Vec<(String, String)>) -> Result<Vec<(String, String)>, StoreError> {
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    for (key, value) in params {
        limits::key("a parameter", &key)?;
        let value = limits::cut(value, limits::PARAM_VALUE);
        if seen.contains_key(&key) {
            return Err(StoreError::Invalid(format!(
                "the parameter `{}` stands twice in one batch, expected each key once",
                shown(&key)
            )));
        }
        seen.insert(key, value);
    }
    Ok(seen.into_iter().collect())
}

fn put_param(tx: &mut Tx<'_>, run: &RunInfo, key: &str, value: &str) -> Result<(), StoreError> {
    let sql = "INSERT INTO tracking_params (run, key, value, experiment) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT (run, key) DO NOTHING";
    if tx.execute(sql, &[run.run.into(), key.into(), value.into(), run.experiment.into()])? > 0 {
        return Ok(());
    }
    let sql = "SELECT value FROM tracking_params WHERE run = ?1 AND key = ?2";
    let rows = tx.query(sql, &[run.run.into(), key.into()])?;
    let before: String = rows.first().map(|row| row.get(0)).transpose()?.unwrap_or_default();
    if before == value {
        return Ok(());
    }
    Err(StoreError::Invalid(format!(
        "parameter `{}` of run {} is `{}` already and cannot become `{}`: parameters never change; log it under another \
         key, or in a new run",
        shown(key),
        run.run_id,
        shown(&before),
        shown(value)
    )))
}

fn put_series(tx: &mut Tx<'_>, run: &RunInfo, key: &str, series: &Series) -> Result<(), StoreError> {
    let sql =
        "SELECT value, nan, timestamp, step, chunk, bytes FROM tracking_latest WHERE run = ?1 AND key = ?2";
    let rows = tx.query(sql, &[run.run.into(), key.into()])?;
    let added = series.block.len() as i64;
    let chunk = match rows.first() {
        None => {
            insert_latest(tx, run, key, &series.latest, added)?;
            0
        }
        Some(row) => {
            let (chunk, bytes): (i64, i64) = (row.get(4)?, row.get(5)?);
            let place =
                if bytes + added > CHUNK as i64 { (chunk + 1, added) } else { (chunk, bytes + added) };
            let value: f64 = row.get(0)?;
            let before = Point { timestamp: row.get(2)?, step: row.get(3)?, value };
            if series.latest.rank() > before.rank() {
                update_latest(tx, run, key, &series.latest, place)?;
            } else {
                let sql = "UPDATE tracking_latest SET chunk = ?3, bytes = ?4 WHERE run = ?1 AND key = ?2";
                tx.execute(sql, &[run.run.into(), key.into(), place.0.into(), place.1.into()])?;
            }
            place.0
        }
    };
    let sql = "INSERT INTO tracking_points (run, key, chunk, count, points) VALUES (?1, ?2, ?3, ?4, ?5)
               ON CONFLICT (run, key, chunk) DO UPDATE
               SET count = tracking_points.count + excluded.count,
                   points = CAST(tracking_points.points || excluded.points AS BLOB)";
    let cells: [Cell; 5] =
        [run.run.into(), key.into(), chunk.into(), series.count.into(), series.block.as_slice().into()];
    tx.execute(sql, &cells).map(drop)
}

/// A value as two cells: the number, and whether it stands for NaN.
pub(crate) fn value_cells(value: f64) -> (Cell, Cell) {
    if value.is_nan() { (0.0.into(), 1_i64.into()) } else { (value.into(), 0_i64.into()) }
}

fn insert_latest(
    tx: &mut Tx<'_>,
    run: &RunInfo,
    key: &str,
    latest: &Point,
    bytes: i64,
) -> Result<(), StoreError> {
    let (value, nan) = value_cells(latest.value);
    let sql = "INSERT INTO tracking_latest (run, key, experiment, value, nan, timestamp, step, chunk, bytes)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, ?8) ON CONFLICT (run, key) DO NOTHING";
    let cells: [Cell; 8] = [
        run.run.into(),
        key.into(),
        run.experiment.into(),
        value,
        nan,
        latest.timestamp.into(),
        latest.step.into(),
        bytes.into(),
    ];
    if tx.execute(sql, &cells)? > 0 {
        return Ok(());
    }
    // Another process was quicker.
    update_latest(tx, run, key, latest, (0, bytes))
}

fn update_latest(
    tx: &mut Tx<'_>,
    run: &RunInfo,
    key: &str,
    latest: &Point,
    (chunk, bytes): (i64, i64),
) -> Result<(), StoreError> {
    let (value, nan) = value_cells(latest.value);
    let sql =
        "UPDATE tracking_latest SET value = ?3, nan = ?4, timestamp = ?5, step = ?6, chunk = ?7, bytes = ?8
               WHERE run = ?1 AND key = ?2
                 AND (step < ?6 OR (step = ?6 AND (timestamp < ?5 OR (timestamp = ?5 AND value <= ?3))))";
    let cells: [Cell; 8] = [
        run.run.into(),
        key.into(),
        value,
        nan,
        latest.timestamp.into(),
        latest.step.into(),
        chunk.into(),
        bytes.into(),
    ];
    tx.execute(sql, &cells).map(drop)
}

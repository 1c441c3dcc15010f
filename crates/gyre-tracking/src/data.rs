//! What runs logged, for one run or for a page of them.

use std::collections::BTreeMap;

use gyre_store::{Cell, Row, StoreError, Tx};

use crate::inputs::{self, Links};
use crate::{RunInfo, runs};

/// A metric's latest value.
#[derive(Debug, Clone, PartialEq)]
pub struct Latest {
    /// The key.
    pub key: String,
    /// The value; may be NaN.
    pub value: f64,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// The step.
    pub step: i64,
}

/// A run with what it logged.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// The run.
    pub info: RunInfo,
    /// Latest values, by key.
    pub metrics: Vec<Latest>,
    /// Parameters, by key.
    pub params: Vec<(String, String)>,
    /// Tags, by key.
    pub tags: Vec<(String, String)>,
    /// What went in and came out.
    pub links: Links,
}

/// The run `run_id` with what it logged.
///
/// # Errors
/// [`StoreError::NotFound`].
pub fn run(tx: &mut Tx<'_>, run_id: &str) -> Result<Run, StoreError> {
    let info = runs::get(tx, run_id)?;
    let filled = fill(tx, vec![info])?;
    filled.into_iter().next().ok_or(StoreError::Closed)
}

/// How many runs are asked about at once. Statements are the same for every page: what is left over is filled with a
/// number that no run has.
const PAGE: usize = 64;
const NOBODY: i64 = -1;

/// The runs with what they logged, in their order.
///
/// # Errors
/// What the store said.
pub fn fill(tx: &mut Tx<'_>, infos: Vec<RunInfo>) -> Result<Vec<Run>, StoreError> {
    let mut filled = Vec::with_capacity(infos.len());
    let mut infos = infos.into_iter().peekable();
    while infos.peek().is_some() {
        let page: Vec<RunInfo> = infos.by_ref().take(PAGE).collect();
        filled.extend(fill_page(tx, page)?);
    }
    Ok(filled)
}

fn fill_page(tx: &mut Tx<'_>, infos: Vec<RunInfo>) -> Result<Vec<Run>, StoreError> {
    let width = if infos.len() == 1 { 1 } else { PAGE };
    let numbers: Vec<Cell> = infos
        .iter()
        .map(|info| info.run)
        .chain(std::iter::repeat(NOBODY))
        .take(width)
        .map(Cell::from)
        .collect();
    let places: BTreeMap<i64, usize> =
        infos.iter().enumerate().map(|(place, info)| (info.run, place)).collect();
    let mut page: Vec<Run> = infos
        .into_iter()
        .map(|info| Run {
            info,
            metrics: Vec::new(),
            params: Vec::new(),
            tags: Vec::new(),
            links: Links::default(),
        })
        .collect();
    let list = if width == 1 {
        "(?1)".to_owned()
    } else {
        let marks: Vec<String> = (1..=width).map(|n| format!("?{n}")).collect();
        format!("({})", marks.join(", "))
    };
    let mut each = |tx: &mut Tx<'_>, sql: String, put: &dyn Fn(&mut Run, &Row) -> Result<(), StoreError>| {
        tx.query_each(&sql, &numbers, |row| match places.get(&row.get(0)?).and_then(|at| page.get_mut(*at)) {
            Some(run) => put(run, &row),
            None => Ok(()),
        })
    };
    let sql = format!(
        "SELECT run, key, value, nan, timestamp, step FROM tracking_latest WHERE run IN {list} ORDER BY run, key"
    );
    each(tx, sql, &|run, row| {
        run.metrics.push(latest_from_row(row, 1)?);
        Ok(())
    })?;
    let sql = format!("SELECT run, key, value FROM tracking_params WHERE run IN {list} ORDER BY run, key");
    each(tx, sql, &|run, row| {
        run.params.push((row.get(1)?, row.get(2)?));
        Ok(())
    })?;
    let sql = format!("SELECT run, key, value FROM tracking_tags WHERE run IN {list} ORDER BY run, key");
    each(tx, sql, &|run, row| {
        run.tags.push((row.get(1)?, row.get(2)?));
        Ok(())
    })?;
    let sql = format!(
        "SELECT run FROM tracking_inputs WHERE run IN {list} UNION SELECT run FROM tracking_run_models WHERE run IN {list}"
    );
    let linked: Vec<i64> =
        tx.query(&sql, &numbers)?.iter().map(|row| row.get(0)).collect::<Result<_, _>>()?;
    for number in linked {
        if let Some(run) = places.get(&number).and_then(|at| page.get_mut(*at)) {
            run.links = inputs::links(tx, number)?;
        }
    }
    Ok(page)
}

pub(crate) fn latest_from_row(row: &Row, from: usize) -> Result<Latest, StoreError> {
    let nan: i64 = row.get(from + 2)?;
    Ok(Latest {
        key: row.get(from)?,
        value: if nan == 0 { row.get(from + 1)? } else { f64::NAN },
        timestamp: row.get(from + 3)?,
        step: row.get(from + 4)?,
    })
}

//! History: labelled rows in the order of their event time, read once and held by column.
//!
//! A row is known from its event time on, its label only later: by a column that says when, or after the usual delay. A row
//! whose label is missing altogether was predicted all the same; it counts for drift and for nothing else.

use std::path::Path;

use gyre_core::spec::{ColumnType, Task};
use gyre_core::{Digest, Span, Timestamp, Value};
use gyre_data::hash::hash_file;
use gyre_data::table::{Batch, Table as File, TableError};
use gyre_runtime::{Column, Name, Table};

use crate::error::BacktestError;

/// The most rows that are held.
const MOST_ROWS: usize = 20_000_000;

/// What puts the rows into time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// A column with each row's event time.
    Column(String),
    /// None has it, but the file is in time's order: so many rows make a day, the first of which is 1970-01-01.
    RowsPerDay(u32),
}

/// Which columns of a file are what.
#[derive(Debug, Clone)]
pub struct Columns {
    /// What puts the rows into time.
    pub order: Order,
    /// The column that says when a row's label became known.
    pub label_time: Option<String>,
    /// The column that is predicted.
    pub target: String,
    /// What is predicted.
    pub task: Task,
    /// The columns that are predicted from; when there are none, all that are left but moments and those of `without`.
    pub features: Vec<String>,
    /// Columns that are never features: keys, and what is known only afterwards.
    pub without: Vec<String>,
    /// How long after a row its label is known, where no column says so.
    pub delay: Span,
}

/// Rows sorted by event time.
#[derive(Debug)]
pub struct History {
    /// When each row happened.
    pub times: Vec<Timestamp>,
    /// When each row's label became known; none where it never did.
    pub known_at: Vec<Option<Timestamp>>,
    /// What is predicted from.
    pub features: Table,
    /// What is predicted: numbers for a regression, else classes.
    pub target: Column,
    /// SHA-256 of the file.
    pub digest: Digest,
}

impl History {
    /// Reads the file at `path`, Parquet or CSV; rows without an event time are passed over.
    ///
    /// # Errors
    /// [`BacktestError`] when the file cannot be read, a column is missing or of another type, or nothing is left to learn from.
    pub fn read(path: &Path, columns: &Columns) -> Result<Self, BacktestError> {
        let digest = hash_file(path).map_err(TableError::from)?.sha256;
        let features = features(path, columns)?;
        let mut names: Vec<&str> = features.iter().map(|(name, _)| name.as_str()).collect();
        names.push(&columns.target);
        names.extend(columns.label_time.as_deref());
        if let Order::Column(time) = &columns.order {
            names.push(time);
        }
        let mut read: Vec<Column> = features.iter().map(|(_, text)| empty(*text)).collect();
        let mut target = empty(columns.task != Task::Regression);
        let (mut times, mut known_at, mut row) = (Vec::new(), Vec::new(), 0);
        for batch in File::open_projected(path, &names)? {
            let batch = batch?;
            let moments = moments(&batch, &columns.order, row)?;
            row += batch.rows();
            let kept: Vec<bool> = moments.iter().map(Option::is_some).collect();
            for ((name, _), column) in features.iter().zip(&mut read) {
                extend(column, batch.values(name)?, &kept);
            }
            let labels = batch.values(&columns.target)?;
            let known = label_times(&batch, columns, &moments)?;
            let known = known.into_iter().zip(&labels).zip(&kept).filter(|(_, kept)| **kept);
            known_at.extend(known.map(|((known, label), _)| known.filter(|_| is_label(label, columns.task))));
            extend(&mut target, labels, &kept);
            times.extend(moments.into_iter().flatten());
            if times.len() > MOST_ROWS {
                return Err(BacktestError::TooLong { rows: MOST_ROWS });
            }
        }
        let names = features.into_iter().map(|(name, _)| name);
        Self { times, known_at, features: table(names.zip(read))?, target, digest }.sorted()
    }

    /// From columns in memory, in any order of time. All must have as many rows as there are `times`.
    ///
    /// # Errors
    /// [`BacktestError::Columns`] when they do not fit together.
    pub fn of(
        times: Vec<Timestamp>,
        known_at: Vec<Option<Timestamp>>,
        features: Table,
        target: Column,
        digest: Digest,
    ) -> Result<Self, BacktestError> {
        let lengths = [known_at.len(), features.rows(), target.len()];
        if lengths.iter().any(|length| *length != times.len()) {
            return Err(BacktestError::Columns("columns differ in length".to_owned()));
        }
        Self { times, known_at, features, target, digest }.sorted()
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.times.len()
    }

    fn sorted(self) -> Result<Self, BacktestError> {
        if self.times.is_sorted() {
            return Ok(self);
        }
        let mut order: Vec<usize> = (0..self.times.len()).collect();
        order.sort_by_key(|row| self.times.get(*row).copied());
        Ok(Self {
            times: order.iter().filter_map(|row| self.times.get(*row).copied()).collect(),
            known_at: order.iter().map(|row| self.known_at.get(*row).copied().flatten()).collect(),
            features: pick(&self.features, &order)?,
            target: pick_column(&self.target, &order),
            digest: self.digest,
        })
    }
}

/// The rows `rows` of a table, in that order.
pub(crate) fn pick(from: &Table, rows: &[usize]) -> Result<Table, BacktestError> {
    table(from.columns().iter().map(|(name, column)| (name.clone(), pick_column(column, rows))))
}

/// The rows `rows` of a column, in that order.
pub(crate) fn pick_column(column: &Column, rows: &[usize]) -> Column {
    match column {
        Column::Numeric(values) => {
            Column::Numeric(rows.iter().map(|row| values.get(*row).copied().unwrap_or(f64::NAN)).collect())
        }
        Column::Text(values) => {
            Column::Text(rows.iter().map(|row| values.get(*row).cloned().flatten()).collect())
        }
    }
}

fn table<N: Into<Name>>(columns: impl Iterator<Item = (N, Column)>) -> Result<Table, BacktestError> {
    Table::new(columns).map_err(|error| BacktestError::Columns(error.to_string()))
}

/// The features' names, and whether each is text.
fn features(path: &Path, columns: &Columns) -> Result<Vec<(String, bool)>, BacktestError> {
    let file = File::open(path)?;
    let is_text = |kind: Option<ColumnType>| matches!(kind, Some(ColumnType::Text | ColumnType::Bool));
    if !columns.features.is_empty() {
        // A name that does not exist is an error of the file's reader, with the nearest one.
        let names: Vec<&str> = columns.features.iter().map(String::as_str).collect();
        let all = File::open_projected(path, &names)?.columns();
        let kind = |name: &str| all.iter().find(|column| column.name == name).and_then(|column| column.kind);
        return Ok(columns.features.iter().map(|name| (name.clone(), is_text(kind(name)))).collect());
    }
    let known = |name: &str| {
        let time = matches!(&columns.order, Order::Column(time) if time == name);
        time || columns.target == name
            || columns.label_time.as_deref() == Some(name)
            || columns.without.iter().any(|left| left == name)
    };
    let left = file.columns().into_iter().filter(|column| !known(&column.name));
    let left = left.filter(|column| !matches!(column.kind, Some(ColumnType::Time) | None));
    let left: Vec<(String, bool)> = left.map(|column| (column.name, is_text(column.kind))).collect();
    if left.is_empty() {
        return Err(BacktestError::Columns(format!("{}: no column is left to predict from", path.display())));
    }
    Ok(left)
}

fn moments(batch: &Batch, order: &Order, before: usize) -> Result<Vec<Option<Timestamp>>, TableError> {
    match order {
        Order::Column(time) => batch.timestamps(time),
        Order::RowsPerDay(rows) => {
            let day = Span::days(1).as_millis() as f64 / f64::from((*rows).max(1));
            let moment = |row: usize| Timestamp::from_millis(((before + row) as f64 * day) as i64);
            Ok((0..batch.rows()).map(|row| Some(moment(row))).collect())
        }
    }
}

fn label_times(
    batch: &Batch,
    columns: &Columns,
    moments: &[Option<Timestamp>],
) -> Result<Vec<Option<Timestamp>>, TableError> {
    match &columns.label_time {
        Some(column) => batch.timestamps(column),
        None => Ok(moments.iter().map(|moment| moment.map(|moment| moment + columns.delay)).collect()),
    }
}

fn is_label(value: &Value, task: Task) -> bool {
    match task {
        Task::Regression => value.as_number().is_some_and(f64::is_finite),
        Task::Binary | Task::Multiclass => value.as_category().is_some(),
    }
}

fn empty(text: bool) -> Column {
    if text { Column::Text(Vec::new()) } else { Column::Numeric(Vec::new()) }
}

fn extend(column: &mut Column, values: Vec<Value>, kept: &[bool]) {
    let values = values.into_iter().zip(kept).filter(|(_, kept)| **kept).map(|(value, _)| value);
    match column {
        Column::Numeric(numbers) => numbers.extend(values.map(|value| value.as_number().unwrap_or(f64::NAN))),
        Column::Text(texts) => texts.extend(values.map(|value| value.as_category())),
    }
}

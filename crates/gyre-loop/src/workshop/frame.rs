//! Rows in memory, by column: what a model is scored on.

use std::path::Path;
use std::sync::Arc;

use gyre_core::record::{Field, Kind};
use gyre_core::spec::Task;
use gyre_core::{Timestamp, Value};
use gyre_data::table::Table as File;
use gyre_monitor::Values;
use gyre_runtime::{Column, Table};

use crate::engine::Failure;

/// The most rows that are held at once: about a gigabyte of twenty features.
const MAX_ROWS: usize = 5_000_000;

/// Labelled rows.
pub(super) struct Frame {
    pub(super) features: Table,
    pub(super) target: Column,
    pub(super) times: Vec<Timestamp>,
}

impl Frame {
    /// Reads the features `inputs`, the label and the event time from the file at `path`, of the rows for which `keep`
    /// says so.
    pub(super) fn read(
        path: &Path,
        inputs: &[Field],
        (target, task): (&str, Task),
        time: Option<&str>,
        keep: impl Fn(Timestamp) -> bool,
    ) -> Result<Self, Failure> {
        let mut names: Vec<&str> = inputs.iter().map(|field| field.name.as_str()).collect();
        names.push(target);
        names.extend(time);
        let mut columns: Vec<Column> = inputs.iter().map(|field| empty(field.kind)).collect();
        let mut labels = empty(if task == Task::Regression { Kind::Number } else { Kind::Text });
        let mut times = Vec::new();
        for batch in File::open_projected(path, &names)? {
            let batch = batch?;
            let moments = match time {
                Some(time) => batch.timestamps(time)?,
                None => vec![Some(Timestamp::default()); batch.rows()],
            };
            let kept: Vec<bool> = moments.iter().map(|moment| moment.is_some_and(&keep)).collect();
            for (field, column) in inputs.iter().zip(&mut columns) {
                extend(column, batch.values(&field.name)?, &kept);
            }
            extend(&mut labels, batch.values(target)?, &kept);
            times.extend(moments.into_iter().flatten().filter(|moment| keep(*moment)));
            if times.len() > MAX_ROWS {
                return Err(Failure::because(format!(
                    "{} has more than {MAX_ROWS} rows to score; shorten train.holdout.last or the window",
                    path.display()
                )));
            }
        }
        let named = inputs.iter().zip(columns).map(|(field, column)| (field.name.as_str(), column));
        Ok(Self { features: Table::new(named)?, target: labels, times })
    }

    /// The day of each row: the cluster of its errors.
    pub(super) fn days(&self) -> Vec<i64> {
        self.times.iter().map(|time| time.day()).collect()
    }
}

fn empty(kind: Kind) -> Column {
    match kind {
        Kind::Number => Column::Numeric(Vec::new()),
        Kind::Text => Column::Text(Vec::new()),
    }
}

fn extend(column: &mut Column, values: Vec<Value>, kept: &[bool]) {
    let values = values.into_iter().zip(kept).filter(|(_, kept)| **kept).map(|(value, _)| value);
    match column {
        Column::Numeric(numbers) => numbers.extend(values.map(|value| value.as_number().unwrap_or(f64::NAN))),
        Column::Text(texts) => texts.extend(values.map(|value| value.as_category())),
    }
}

/// A column as the monitor looks at it.
pub(super) fn values(column: &Column) -> Values<'_> {
    match column {
        Column::Numeric(numbers) => Values::Numbers(numbers),
        Column::Text(texts) => Values::Text(texts),
    }
}

/// Labels as a column of the kind that `task` predicts; a label that is missing, or of another kind, is missing.
pub(super) fn labels(task: Task, labels: impl Iterator<Item = Option<Value>>) -> Column {
    match task {
        Task::Regression => Column::Numeric(
            labels.map(|label| label.and_then(|l| l.as_number()).unwrap_or(f64::NAN)).collect(),
        ),
        Task::Binary | Task::Multiclass => Column::Text(
            labels.map(|label| label.and_then(|l| l.as_category())).collect::<Vec<Option<Arc<str>>>>(),
        ),
    }
}

//! A random sample of rows out of a file, whole rows, in bounded memory.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{ArrayRef, UInt32Array};
use arrow_cast::cast;
use arrow_schema::{ArrowError, DataType};
use arrow_select::take::take;
use gyre_core::spec::ColumnType;
use gyre_data::table::{Table, TableError};

use super::hash;

/// Values of a column, row by row.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cells {
    /// NaN is missing.
    Numbers(Vec<f64>),
    Names(Vec<Option<Arc<str>>>),
}

/// Rows of a table.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sampled {
    pub(super) columns: Vec<(String, Cells)>,
}

impl Sampled {
    pub(super) fn rows(&self) -> usize {
        self.columns.first().map_or(0, |(_, cells)| cells.len())
    }
}

impl Cells {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Numbers(numbers) => numbers.len(),
            Self::Names(names) => names.len(),
        }
    }

    /// The values of these rows.
    pub(super) fn take(&self, rows: &[usize]) -> Self {
        match self {
            Self::Numbers(numbers) => {
                Self::Numbers(rows.iter().map(|row| numbers.get(*row).copied().unwrap_or(f64::NAN)).collect())
            }
            Self::Names(names) => Self::Names(rows.iter().map(|row| names.get(*row)?.clone()).collect()),
        }
    }

    fn retain(&mut self, kept: &[bool]) {
        let mut at = kept.iter().copied();
        let mut next = || at.next().unwrap_or(false);
        match self {
            Self::Numbers(numbers) => numbers.retain(|_| next()),
            Self::Names(names) => names.retain(|_| next()),
        }
    }

    fn add(&mut self, array: &ArrayRef) -> Result<(), ArrowError> {
        match self {
            Self::Numbers(numbers) => {
                let floats = cast(array, &DataType::Float64)?;
                let floats = floats.as_primitive::<Float64Type>();
                numbers.extend(floats.iter().map(|value| value.unwrap_or(f64::NAN)));
            }
            Self::Names(names) => {
                let texts = cast(array, &DataType::Utf8)?;
                names.extend(texts.as_string::<i32>().iter().map(|name| name.map(Arc::from)));
            }
        }
        Ok(())
    }
}

/// The columns of numbers and of names that both tables have, of those `wanted`.
pub(super) fn common(
    reference: &Path,
    current: &Path,
    wanted: Option<&[String]>,
) -> Result<Vec<(String, bool)>, TableError> {
    let is_name = |kind: ColumnType| match kind {
        ColumnType::Int | ColumnType::Float => Some(false),
        ColumnType::Text | ColumnType::Bool => Some(true),
        ColumnType::Time => None,
    };
    let kinds = |path: &Path| -> Result<BTreeMap<String, bool>, TableError> {
        let columns = Table::open(path)?.columns().into_iter();
        Ok(columns.filter_map(|column| Some((column.name, is_name(column.kind?)?))).collect())
    };
    let (before, after) = (kinds(reference)?, kinds(current)?);
    let is_wanted = |name: &String| wanted.is_none_or(|wanted| wanted.contains(name));
    let both = before.into_iter().filter(|(name, kind)| is_wanted(name) && after.get(name) == Some(kind));
    Ok(both.collect())
}

/// A simple random sample of at most `most` rows, in the order of the file: the rows whose hashes are the smallest.
pub(super) fn sample(
    path: &Path,
    columns: &[(String, bool)],
    most: usize,
    seed: u64,
) -> Result<Sampled, TableError> {
    let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
    let empty = |is_name: bool| if is_name { Cells::Names(Vec::new()) } else { Cells::Numbers(Vec::new()) };
    let mut cells: Vec<Cells> = columns.iter().map(|(_, is_name)| empty(*is_name)).collect();
    let (mut hashes, mut limit, mut row): (Vec<u64>, u64, u64) = (Vec::new(), u64::MAX, 0);
    for batch in Table::open_projected(path, &names)? {
        let batch = batch?;
        let mut chosen = Vec::new();
        for at in 0..batch.rows() as u32 {
            let of_row = hash(seed, row);
            row += 1;
            if of_row <= limit {
                hashes.push(of_row);
                chosen.push(at);
            }
        }
        let chosen = UInt32Array::from(chosen);
        for (name, cells) in names.iter().zip(&mut cells) {
            let Some(column) = batch.record().column_by_name(name) else { continue };
            let added = take(column, &chosen, None).and_then(|column| cells.add(&column));
            added.map_err(|error| TableError::NotATable {
                file: path.display().to_string(),
                format: "table",
                message: format!("column {name}: {error}"),
            })?;
        }
        if hashes.len() > 2 * most {
            limit = shrink(&mut hashes, &mut cells, most);
        }
    }
    shrink(&mut hashes, &mut cells, most);
    Ok(Sampled { columns: columns.iter().map(|(name, _)| name.clone()).zip(cells).collect() })
}

/// Keeps the rows with the `most` smallest hashes, and says what the greatest of them is.
fn shrink(hashes: &mut Vec<u64>, cells: &mut [Cells], most: usize) -> u64 {
    if hashes.len() <= most || most == 0 {
        return u64::MAX;
    }
    let limit = *hashes.clone().select_nth_unstable(most - 1).1;
    let kept: Vec<bool> = hashes.iter().map(|hash| *hash <= limit).collect();
    cells.iter_mut().for_each(|cells| cells.retain(&kept));
    hashes.retain(|hash| *hash <= limit);
    limit
}

/// Both samples with texts that name no categories replaced by their lengths: where most rows of the reference have a name of
/// their own, a name says nothing of another row.
pub(super) fn alike(mut before: Sampled, mut after: Sampled) -> (Sampled, Sampled) {
    for ((_, old), (_, new)) in before.columns.iter_mut().zip(&mut after.columns) {
        let Cells::Names(names) = &*old else { continue };
        let present = names.iter().flatten();
        let distinct: HashSet<&Arc<str>> = present.clone().collect();
        if distinct.len() >= 50 && distinct.len() * 2 > present.count() {
            *old = lengths(old);
            *new = lengths(new);
        }
    }
    (before, after)
}

fn lengths(cells: &Cells) -> Cells {
    match cells {
        Cells::Numbers(_) => cells.clone(),
        Cells::Names(names) => {
            let length =
                |name: &Option<Arc<str>>| name.as_ref().map_or(f64::NAN, |name| name.chars().count() as f64);
            Cells::Numbers(names.iter().map(length).collect())
        }
    }
}

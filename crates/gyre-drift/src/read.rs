//! Columns out of files.
//!
//! A Parquet or Arrow file is read a column at a time, so that no more of it is in memory than the columns under comparison; names
//! are counted by their codes, as the file has them. A CSV file has no columns that could be read alone: it is read once,
//! and what is kept of it are numbers and counts.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_cast::cast;
use arrow_schema::{ArrowError, DataType, Field, SchemaRef, TimeUnit};
use gyre_core::spec::ColumnType;
use gyre_data::parts::Layout;
use gyre_data::parts::arrow::Arrow;
use gyre_data::parts::parquet::Parquet;
use gyre_data::table::{Table, TableError, column_type};

use crate::sample::{Names, Sample, Values};
use crate::vectors::{self, Vectors, holds_vectors};

/// Rows that are taken from a file at a time.
const BATCH_ROWS: usize = 65_536;

/// A table whose columns can be taken.
#[derive(Debug)]
pub struct Source {
    path: PathBuf,
    columns: Vec<Known>,
    left_out: Vec<String>,
    kept: Kept,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub holds: Holds,
    /// The same in words.
    pub words: String,
}

/// What a column holds, as far as comparing it is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// Numbers, names or times; durations and times of day are numbers of seconds.
    Values(ColumnType),
    /// Lists of numbers.
    Vectors,
    /// No value in any row, so that nobody knows what it would hold.
    Nothing,
    /// What is not compared: other lists, structures, bytes.
    Other,
}

impl Holds {
    fn of(kind: &DataType) -> (Self, String) {
        match kind {
            DataType::Null => (Self::Nothing, "nothing".to_owned()),
            DataType::Duration(_) => (Self::Values(ColumnType::Float), "durations".to_owned()),
            DataType::Time32(_) | DataType::Time64(_) => {
                (Self::Values(ColumnType::Float), "times of day".to_owned())
            }
            kind if holds_vectors(kind) => (Self::Vectors, "vectors".to_owned()),
            DataType::Struct(_) => (Self::Other, "structures".to_owned()),
            kind if kind.is_list() => (Self::Other, "lists of other things than numbers".to_owned()),
            kind if kind.is_binary() => (Self::Other, "bytes".to_owned()),
            kind => match column_type(kind) {
                Some(known) => (Self::Values(known), words(known).to_owned()),
                None => (Self::Other, kind.to_string()),
            },
        }
    }
}

const fn words(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::Int | ColumnType::Float => "numbers",
        ColumnType::Text => "text",
        ColumnType::Bool => "true or false",
        ColumnType::Time => "times",
    }
}

#[derive(Debug)]
enum Kept {
    /// Where it is read from when it is asked for.
    Parquet(Parquet),
    /// Likewise.
    Arrow(Arrow),
    /// What was read already, and how many rows there were.
    Read(HashMap<String, Sample>, u64),
}

impl Source {
    /// Opens a Parquet or an Arrow file, or reads a CSV file with a header line.
    ///
    /// # Errors
    /// When it cannot be read or is no table.
    pub fn open(path: &Path) -> Result<Self, TableError> {
        let table = Table::open(path)?;
        let known = |field: &Arc<Field>| {
            let (holds, words) = Holds::of(field.data_type());
            Known { name: field.name().clone(), holds, words }
        };
        let columns: Vec<Known> = table.schema().fields().iter().map(known).collect();
        let left_out = table.left_out().to_vec();
        let kept = match Layout::of(path)? {
            Layout::Parquet => Kept::Parquet(Parquet::open(path)?.with_texts_as_codes()?),
            Layout::Arrow => Kept::Arrow(Arrow::open(path)?),
            Layout::Csv | Layout::Json => read_whole(table, &columns)?,
        };
        Ok(Self { path: path.to_owned(), columns, left_out, kept })
    }

    /// The columns, in the order of the file.
    #[must_use]
    pub fn columns(&self) -> &[Known] {
        &self.columns
    }

    /// A column by its name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Known> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The columns that were left out because they only number the rows ([`Table::left_out`]).
    #[must_use]
    pub fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A column's rows; one without a value in any row is taken for one that holds what is asked for. None when there is no such
    /// column, or it cannot be compared.
    ///
    /// # Errors
    /// When the file cannot be read any more, or is broken.
    pub fn column(&self, name: &str, like: Holds) -> Result<Option<Sample>, TableError> {
        let Some(known) = self.find(name) else { return Ok(None) };
        let is_empty = known.holds == Holds::Nothing;
        let Some(mut building) = Building::new(if is_empty { like } else { known.holds }) else {
            return Ok(None);
        };
        if is_empty {
            building.sample.missing = self.rows();
            return Ok(Some(building.finish()));
        }
        let broken = |message: String| not_a_table(&self.path, message);
        let place = |schema: &SchemaRef| schema.index_of(name).map_err(|error| broken(error.to_string()));
        match &self.kept {
            Kept::Read(samples, _) => return Ok(samples.get(name).cloned()),
            Kept::Parquet(file) => {
                let at = place(&file.schema())?;
                for part in file.parts(u64::MAX) {
                    let batches = file.read(&part, Some(&[at]), BATCH_ROWS)?;
                    building.add_all(batches).map_err(broken)?;
                }
            }
            Kept::Arrow(file) => {
                let at = place(file.schema())?;
                building.add_all(file.read(Some(&[at]))?).map_err(broken)?;
            }
        }
        Ok(Some(building.finish()))
    }

    fn rows(&self) -> u64 {
        match &self.kept {
            Kept::Parquet(file) => file.rows(),
            Kept::Arrow(file) => file.rows(),
            Kept::Read(_, rows) => *rows,
        }
    }
}

fn not_a_table(path: &Path, message: String) -> TableError {
    TableError::NotATable { file: path.display().to_string(), format: "table", message }
}

fn read_whole(table: Table, columns: &[Known]) -> Result<Kept, TableError> {
    let path = PathBuf::from(table.file());
    let building = |column: &Known| Some((column.name.clone(), Building::new(column.holds)?));
    let mut building: Vec<(String, Building)> = columns.iter().filter_map(building).collect();
    let mut rows = 0;
    for batch in table {
        let batch = batch?;
        rows += batch.rows() as u64;
        for (name, building) in &mut building {
            if let Some(array) = batch.record().column_by_name(name) {
                building.add(array).map_err(|message| not_a_table(&path, message))?;
            }
        }
    }
    let samples = building.into_iter().map(|(name, building)| (name, building.finish()));
    Ok(Kept::Read(samples.collect(), rows))
}

/// A sample that grows by batches.
struct Building {
    sample: Sample,
}

impl Building {
    /// Of what is compared; what nobody knows counts as names.
    fn new(holds: Holds) -> Option<Self> {
        let (kind, values) = match holds {
            Holds::Values(kind @ (ColumnType::Int | ColumnType::Float | ColumnType::Time)) => {
                (kind, Values::Numbers(Vec::new()))
            }
            Holds::Values(kind) => (kind, Values::Names(Names::default())),
            Holds::Vectors => (ColumnType::Float, Values::Vectors(Vectors::default())),
            Holds::Nothing => (ColumnType::Text, Values::Names(Names::default())),
            Holds::Other => return None,
        };
        Some(Self { sample: Sample { kind, missing: 0, values } })
    }

    /// Adds the first column of each batch.
    fn add_all(
        &mut self,
        batches: impl Iterator<Item = Result<RecordBatch, ArrowError>>,
    ) -> Result<(), String> {
        for batch in batches {
            self.add(batch.map_err(|error| error.to_string())?.column(0))?;
        }
        Ok(())
    }

    fn add(&mut self, array: &ArrayRef) -> Result<(), String> {
        let row = self.sample.rows();
        let Sample { kind, missing, values } = &mut self.sample;
        match values {
            Values::Numbers(numbers) if *kind == ColumnType::Time => add_times(array, numbers, missing),
            Values::Numbers(numbers) => add_numbers(array, numbers, missing),
            Values::Names(names) => add_names(array, names, missing),
            Values::Vectors(vectors) => vectors::add(array, row, vectors, missing),
        }
        .map_err(|error| error.to_string())
    }

    fn finish(mut self) -> Sample {
        if let Values::Vectors(vectors) = &mut self.sample.values {
            *vectors = std::mem::take(vectors).finish();
        }
        self.sample
    }
}

type Outcome = Result<(), ArrowError>;

fn add_numbers(array: &ArrayRef, numbers: &mut Vec<f64>, missing: &mut u64) -> Outcome {
    // Files measure durations and times of day in different units.
    let per_second = match array.data_type() {
        DataType::Duration(unit) | DataType::Time32(unit) | DataType::Time64(unit) => Some(match unit {
            TimeUnit::Second => 1.0,
            TimeUnit::Millisecond => 1e3,
            TimeUnit::Microsecond => 1e6,
            TimeUnit::Nanosecond => 1e9,
        }),
        _ => None,
    };
    let floats = match array.data_type() {
        DataType::Float64 => Arc::clone(array),
        _ if per_second.is_some() => cast(&cast(array, &DataType::Int64)?, &DataType::Float64)?,
        _ => cast(array, &DataType::Float64)?,
    };
    let floats = floats.as_primitive::<Float64Type>();
    let before = numbers.len();
    if floats.null_count() == 0 {
        numbers.extend(floats.values().iter().copied().filter(|value| !value.is_nan()));
    } else {
        numbers.extend(floats.iter().flatten().filter(|value| !value.is_nan()));
    }
    *missing += (floats.len() - (numbers.len() - before)) as u64;
    if let Some(per_second) = per_second {
        numbers.iter_mut().skip(before).for_each(|number| *number /= per_second);
    }
    Ok(())
}

fn add_times(array: &ArrayRef, numbers: &mut Vec<f64>, missing: &mut u64) -> Outcome {
    let millis = match array.data_type() {
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Millisecond, zone.clone()),
        _ => DataType::Date64,
    };
    let millis = cast(&cast(array, &millis)?, &DataType::Int64)?;
    let millis = millis.as_primitive::<Int64Type>();
    *missing += millis.null_count() as u64;
    numbers.extend(millis.iter().flatten().map(|millis| millis as f64 / 1e3));
    Ok(())
}

fn add_names(array: &ArrayRef, names: &mut Names, missing: &mut u64) -> Outcome {
    let codes = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let coded = match array.data_type() {
        DataType::Boolean => cast(&cast(array, &DataType::Utf8)?, &codes)?,
        kind if *kind == codes => Arc::clone(array),
        _ => cast(array, &codes)?,
    };
    let coded = coded.as_dictionary::<Int32Type>();
    let texts = coded.values().as_string::<i32>();
    let mut counts = vec![0_u64; texts.len()];
    for code in coded.keys().iter() {
        match code.and_then(|code| usize::try_from(code).ok()) {
            Some(code) if texts.is_valid(code) => counts[code] += 1,
            _ => *missing += 1,
        }
    }
    for (code, count) in counts.into_iter().enumerate().filter(|(_, count)| *count > 0) {
        names.add(texts.value(code), count);
    }
    Ok(())
}

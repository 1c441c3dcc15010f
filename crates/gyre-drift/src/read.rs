//! Columns out of files.
//!
//! A Parquet file is read a column at a time, so that no more of it is in memory than the columns under comparison; names
//! are counted by their codes, as the file has them. A CSV file has no columns that could be read alone: it is read once,
//! and what is kept of it are numbers and counts.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef};
use arrow_cast::cast;
use arrow_schema::{DataType, TimeUnit};
use gyre_core::spec::ColumnType;
use gyre_data::parts::is_parquet;
use gyre_data::parts::parquet::Parquet;
use gyre_data::table::{Table, TableError};

use crate::sample::{Names, Sample, Values};
use crate::vectors::{self, Vectors, holds_vectors};

/// Rows that are taken from a file at a time.
const BATCH_ROWS: usize = 65_536;

/// A table whose columns can be taken.
#[derive(Debug)]
pub struct Source {
    path: PathBuf,
    columns: Vec<(String, ColumnType)>,
    /// Columns of vectors.
    vectors: Vec<String>,
    /// Columns that hold what cannot be compared: other lists, structures, bytes.
    passed_over: Vec<String>,
    kept: Kept,
}

#[derive(Debug)]
enum Kept {
    /// Where it is read from when it is asked for.
    Parquet(Parquet),
    /// What was read already.
    Read(HashMap<String, Sample>),
}

impl Source {
    /// Opens a Parquet file, or reads a CSV file with a header line.
    ///
    /// # Errors
    /// When it cannot be read or is no table.
    pub fn open(path: &Path) -> Result<Self, TableError> {
        let table = Table::open(path)?;
        let known = table.columns();
        let passed_over =
            known.iter().filter(|column| column.kind.is_none()).map(|column| column.name.clone());
        let passed_over: Vec<String> = passed_over.collect();
        let columns: Vec<(String, ColumnType)> =
            known.into_iter().filter_map(|column| Some((column.name, column.kind?))).collect();
        let (kept, vectors) = if is_parquet(path)? {
            let file = Parquet::open(path)?.with_texts_as_codes()?;
            let schema = file.schema();
            let vectors = schema.fields().iter().filter(|field| holds_vectors(field.data_type()));
            let vectors: Vec<String> = vectors.map(|field| field.name().clone()).collect();
            (Kept::Parquet(file), vectors)
        } else {
            (Kept::Read(read_whole(table, &columns)?), Vec::new())
        };
        let passed_over = passed_over.into_iter().filter(|name| !vectors.contains(name)).collect();
        Ok(Self { path: path.to_owned(), columns, vectors, passed_over, kept })
    }

    /// The columns that can be compared, in the order of the file.
    #[must_use]
    pub fn columns(&self) -> &[(String, ColumnType)] {
        &self.columns
    }

    /// The columns of vectors.
    #[must_use]
    pub fn vectors(&self) -> &[String] {
        &self.vectors
    }

    /// The columns that hold what is not compared.
    #[must_use]
    pub fn passed_over(&self) -> &[String] {
        &self.passed_over
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A column's rows; none when there is no such column.
    ///
    /// # Errors
    /// When the file cannot be read any more, or is broken.
    pub fn column(&self, name: &str) -> Result<Option<Sample>, TableError> {
        let kind = self.columns.iter().find(|(column, _)| column == name).map(|(_, kind)| *kind);
        let building = match kind {
            Some(kind) => Building::new(kind),
            None if self.vectors.iter().any(|column| column == name) => Building::of_vectors(),
            None => return Ok(None),
        };
        match &self.kept {
            Kept::Read(samples) => Ok(samples.get(name).cloned()),
            Kept::Parquet(file) => self.read_column(file, name, building).map(Some),
        }
    }

    fn read_column(&self, file: &Parquet, name: &str, mut building: Building) -> Result<Sample, TableError> {
        let broken = |message: String| not_a_table(&self.path, message);
        let at = file.schema().index_of(name).map_err(|error| broken(error.to_string()))?;
        for part in file.parts(u64::MAX) {
            for record in file.read(&part, Some(&[at]), BATCH_ROWS)? {
                let record = record.map_err(|error| broken(error.to_string()))?;
                building.add(record.column(0)).map_err(broken)?;
            }
        }
        Ok(building.finish())
    }
}

fn not_a_table(path: &Path, message: String) -> TableError {
    TableError::NotATable { file: path.display().to_string(), format: "table", message }
}

fn read_whole(table: Table, columns: &[(String, ColumnType)]) -> Result<HashMap<String, Sample>, TableError> {
    let path = PathBuf::from(table.file());
    let mut building: Vec<Building> = columns.iter().map(|(_, kind)| Building::new(*kind)).collect();
    for batch in table {
        let batch = batch?;
        for ((name, _), building) in columns.iter().zip(&mut building) {
            if let Some(array) = batch.record().column_by_name(name) {
                building.add(array).map_err(|message| not_a_table(&path, message))?;
            }
        }
    }
    let samples = building.into_iter().map(Building::finish);
    Ok(columns.iter().map(|(name, _)| name.clone()).zip(samples).collect())
}

/// A sample that grows by batches.
struct Building {
    sample: Sample,
}

impl Building {
    fn new(kind: ColumnType) -> Self {
        let values = match kind {
            ColumnType::Int | ColumnType::Float | ColumnType::Time => Values::Numbers(Vec::new()),
            ColumnType::Text | ColumnType::Bool => Values::Names(Names::default()),
        };
        Self { sample: Sample { kind, missing: 0, values } }
    }

    fn of_vectors() -> Self {
        let values = Values::Vectors(Vectors::default());
        Self { sample: Sample { kind: ColumnType::Float, missing: 0, values } }
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

type Outcome = Result<(), arrow_schema::ArrowError>;

fn add_numbers(array: &ArrayRef, numbers: &mut Vec<f64>, missing: &mut u64) -> Outcome {
    let floats = match array.data_type() {
        DataType::Float64 => Arc::clone(array),
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

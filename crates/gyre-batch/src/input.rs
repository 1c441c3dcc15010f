//! An input cut into parts, and a part read in chunks.
//!
//! Where the cuts are follows from the file alone: a job that goes on after it was killed must find the same parts, and so
//! must one with more threads.

use std::path::{Path, PathBuf};

use arrow_array::ArrayRef;
use arrow_schema::{Field, SchemaRef};
use gyre_core::Diagnostic;
use gyre_data::parts::Part;
use gyre_data::table::TableError;
use gyre_runtime::{Feature, FeatureKind, Table};

use crate::cells::Categories;
use crate::columns::{Columns, Kept};
use crate::csv_in::Csv;
use crate::error::BatchError;
use crate::parquet_in::Parquet;
use crate::sources::Layout;

/// Rows that are scored at once: few enough that their columns stay in the second-level cache, many enough to hide what
/// a call of the model costs.
pub(crate) const CHUNK_ROWS: usize = 8_192;

/// Some rows, as they were read.
pub(crate) struct Chunk {
    pub(crate) features: Table,
    pub(crate) kept: Vec<ArrayRef>,
    pub(crate) place: Place,
}

/// Where the rows of a chunk are.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    Parquet {
        /// The first row, from zero.
        first_row: u64,
        /// The first row of each group of rows.
        groups: std::sync::Arc<[u64]>,
    },
    Csv {
        path: PathBuf,
        part: Part,
        /// The first row within the part, from zero.
        first_record: u64,
    },
}

impl Place {
    /// A row's place in words: `row 8193 (row group 2)`, `line 17`.
    pub(crate) fn of(&self, row: usize) -> String {
        match self {
            Self::Parquet { first_row, groups } => {
                let row = first_row + row as u64;
                let group = groups.partition_point(|first| *first <= row);
                format!("row {} (row group {group})", row + 1)
            }
            // Lines are counted only when one must be named: records need not be lines.
            Self::Csv { path, part, first_record } => {
                let record = first_record + row as u64;
                match gyre_data::parts::csv::line_of(path, part, record) {
                    Some(line) => format!("line {line}"),
                    None => format!("row {}", part.first_row + record + 1),
                }
            }
        }
    }
}

/// An open input.
pub(crate) struct Input {
    pub(crate) path: PathBuf,
    pub(crate) columns: Columns,
    pub(crate) parts: Vec<Part>,
    pub(crate) rows: u64,
    schema: SchemaRef,
    source: Source,
}

enum Source {
    Parquet(Parquet),
    Csv(Csv),
}

impl Input {
    /// Opens a file, finds the columns, and cuts it into parts. A CSV file is gone through once for that.
    pub(crate) fn open(
        path: &Path,
        features: &[Feature],
        kept: &Kept,
        part_rows: u64,
    ) -> Result<Self, BatchError> {
        let file = path.display().to_string();
        let source = match Layout::of(path)? {
            Layout::Parquet => Source::Parquet(Parquet::open(path)?),
            Layout::Csv => Source::Csv(Csv::open(path)?),
        };
        let schema = match &source {
            Source::Parquet(parquet) => parquet.schema(),
            Source::Csv(csv) => csv.schema(features),
        };
        let columns = Columns::find(&file, &schema, features, kept).map_err(BatchError::Wrong)?;
        let parts = match &source {
            Source::Parquet(parquet) => parquet.parts(part_rows),
            Source::Csv(csv) => csv.parts(part_rows)?,
        };
        let rows = parts.iter().map(|part| part.rows).sum();
        Ok(Self { path: path.to_path_buf(), columns, parts, rows, schema, source })
    }

    /// The fields of the kept columns. Those of a CSV file are text, as they stand there: it says no types, and to guess
    /// them would make `007` a 7.
    pub(crate) fn kept_fields(&self) -> Vec<Field> {
        let field = |place: &usize| {
            let field = self.schema.fields().get(*place)?;
            let kind = match &self.source {
                Source::Parquet(_) => field.data_type().clone(),
                Source::Csv(_) => arrow_schema::DataType::Utf8,
            };
            Some(Field::new(field.name().clone(), kind, true))
        };
        self.columns.kept.iter().filter_map(field).collect()
    }

    /// Reads a part, and gives its chunks to `each` in order.
    pub(crate) fn read(
        &self,
        part: &Part,
        features: &[Feature],
        seen: &mut Categories,
        each: &mut dyn FnMut(Chunk) -> Result<(), BatchError>,
    ) -> Result<(), BatchError> {
        match &self.source {
            Source::Parquet(parquet) => parquet.read(part, &self.columns, features, seen, each),
            Source::Csv(csv) => csv.read(part, &self.columns, features, seen, each),
        }
    }
}

/// What a feature's cells should hold, for messages.
pub(crate) fn expected(kind: FeatureKind) -> &'static str {
    match kind {
        FeatureKind::Numeric => "a number, or nothing",
        FeatureKind::Integer => "a whole number",
        FeatureKind::Text => "text",
    }
}

/// A file that is no table.
pub(crate) fn no_table(path: &Path, kind: &str, reason: impl ToString) -> BatchError {
    let wrong = format!("not a readable {kind} file: {}", reason.to_string());
    BatchError::wrong(Diagnostic::new(path.display().to_string(), wrong))
}

/// Why a file is no table, in our words.
pub(crate) fn unreadable(path: &Path, kind: &str, error: TableError) -> BatchError {
    match error {
        TableError::File(error) => BatchError::File(error),
        TableError::NotATable { message, .. } => no_table(path, kind, message),
        error => no_table(path, kind, error),
    }
}

/// A table of features; their columns are made by us, of one length and with names of their own.
pub(crate) fn table(
    path: &Path,
    features: &[Feature],
    columns: Vec<gyre_runtime::Column>,
) -> Result<Table, BatchError> {
    let named = features.iter().map(|feature| std::sync::Arc::clone(&feature.name)).zip(columns);
    Table::new(named).map_err(|error| no_table(path, "table", error))
}

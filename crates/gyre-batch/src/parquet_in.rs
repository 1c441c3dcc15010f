//! Parquet files as inputs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_schema::SchemaRef;
use gyre_core::Diagnostic;
use gyre_data::parts::{self, Part};
use gyre_runtime::{Column, Feature, FeatureKind};

use crate::cells::{self, Categories};
use crate::columns::Columns;
use crate::error::BatchError;
use crate::input::{CHUNK_ROWS, Chunk, Place, no_table, table, unreadable};

/// An open Parquet file.
pub(crate) struct Parquet {
    path: PathBuf,
    file: parts::parquet::Parquet,
}

impl Parquet {
    pub(crate) fn open(path: &Path) -> Result<Self, BatchError> {
        let file = parts::parquet::Parquet::open(path).map_err(|error| unreadable(path, "Parquet", error))?;
        Ok(Self { path: path.to_path_buf(), file })
    }

    pub(crate) fn schema(&self) -> SchemaRef {
        self.file.schema()
    }

    /// Stretches of `part_rows`, whatever the groups of rows: a file may have one group, or a hundred thousand.
    pub(crate) fn parts(&self, part_rows: u64) -> Vec<Part> {
        self.file.parts(part_rows)
    }

    pub(crate) fn read(
        &self,
        part: &Part,
        columns: &Columns,
        features: &[Feature],
        seen: &mut Categories,
        each: &mut dyn FnMut(Chunk) -> Result<(), BatchError>,
    ) -> Result<(), BatchError> {
        if part.rows == 0 {
            return Ok(());
        }
        let (read, end) = (columns.read(), part.first_row + part.rows);
        let reader = self.file.read(part, Some(&read), CHUNK_ROWS);
        let reader = reader.map_err(|error| unreadable(&self.path, "Parquet", error))?;
        let place_of = |column: &usize| read.binary_search(column).unwrap_or_default();
        let mut first_row = part.first_row;
        for batch in reader {
            let place = Place::Parquet { first_row, groups: Arc::clone(self.file.groups()) };
            let batch = batch.map_err(|error| self.broken(&place, error))?;
            let mut cells = Vec::with_capacity(features.len());
            for (feature, column) in features.iter().zip(&columns.features) {
                let array = batch.column(place_of(column));
                let made = match feature.kind {
                    FeatureKind::Numeric | FeatureKind::Integer => cells::numbers(array).map(Column::Numeric),
                    FeatureKind::Text => cells::texts(array, seen).map(Column::Text),
                };
                cells.push(
                    made.map_err(|error| self.broken(&place, format!("column `{}`: {error}", feature.name)))?,
                );
            }
            let kept = columns.kept.iter().map(|column| Arc::clone(batch.column(place_of(column)))).collect();
            first_row += batch.num_rows() as u64;
            drop(batch);
            each(Chunk { features: table(&self.path, features, cells)?, kept, place })?;
        }
        if first_row == end {
            return Ok(());
        }
        Err(no_table(
            &self.path,
            "Parquet",
            format!("it ends after row {first_row}, its footer says {}", self.file.rows()),
        ))
    }

    fn broken(&self, place: &Place, reason: impl ToString) -> BatchError {
        let wrong = format!("cannot be read from {} on: {}", place.of(0), reason.to_string());
        let wrong = Diagnostic::new(self.path.display().to_string(), wrong);
        BatchError::wrong(
            wrong.help("write the file again; what was scored so far is kept unless the file changes"),
        )
    }
}

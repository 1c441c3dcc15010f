//! Parquet files as inputs.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_schema::SchemaRef;
use gyre_core::Diagnostic;
use gyre_data::files::FileError;
use gyre_runtime::{Column, Feature, FeatureKind};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};

use crate::cells::{self, Categories};
use crate::columns::Columns;
use crate::error::BatchError;
use crate::input::{CHUNK_ROWS, Chunk, Part, Place, no_table, table};

/// An open Parquet file. Each part opens it anew, since threads cannot share one position; the footer is read once.
pub(crate) struct Parquet {
    path: PathBuf,
    metadata: ArrowReaderMetadata,
    /// The first row of each group of rows.
    groups: Arc<[u64]>,
    rows: u64,
}

impl Parquet {
    pub(crate) fn open(path: &Path) -> Result<Self, BatchError> {
        let file = File::open(path).map_err(FileError::on("read", path))?;
        let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new());
        let metadata = metadata.map_err(|error| no_table(path, "Parquet", error))?;
        let mut rows = 0;
        let mut groups = Vec::new();
        for group in metadata.metadata().row_groups() {
            groups.push(rows);
            rows += u64::try_from(group.num_rows()).unwrap_or_default();
        }
        Ok(Self { path: path.to_path_buf(), metadata, groups: groups.into(), rows })
    }

    pub(crate) fn schema(&self) -> SchemaRef {
        Arc::clone(self.metadata.schema())
    }

    /// Stretches of `part_rows`, whatever the groups of rows: a file may have one group, or a hundred thousand.
    pub(crate) fn parts(&self, part_rows: u64) -> Vec<Part> {
        let part = |first_row: u64| Part {
            first_row,
            rows: part_rows.min(self.rows - first_row),
            bytes: (0, 0),
            first_line: 0,
        };
        (0..self.rows.div_ceil(part_rows).max(1)).map(|number| part(number * part_rows)).collect()
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
        let file = File::open(&self.path).map_err(FileError::on("read", &self.path))?;
        let end = part.first_row + part.rows;
        let first = self.groups.partition_point(|row| *row <= part.first_row).saturating_sub(1);
        let last = self.groups.partition_point(|row| *row < end);
        let before = self.groups.get(first).copied().unwrap_or_default();
        let read = columns.read();
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone());
        let mask = ProjectionMask::roots(builder.parquet_schema(), read.iter().copied());
        let reader = builder
            .with_projection(mask)
            .with_row_groups((first..last).collect())
            .with_offset(index(part.first_row - before))
            .with_limit(index(part.rows))
            .with_batch_size(CHUNK_ROWS)
            .build()
            .map_err(|error| no_table(&self.path, "Parquet", error))?;
        let place_of = |column: &usize| read.binary_search(column).unwrap_or_default();
        let mut first_row = part.first_row;
        for batch in reader {
            let place = Place::Parquet { first_row, groups: Arc::clone(&self.groups) };
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
            format!("it ends after row {first_row}, its footer says {}", self.rows),
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

/// A number of rows, of which a file in memory's reach has no more than fit.
fn index(rows: u64) -> usize {
    usize::try_from(rows).unwrap_or(usize::MAX)
}

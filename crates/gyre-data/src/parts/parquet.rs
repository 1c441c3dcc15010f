//! Parquet files in parts: stretches of rows, whatever the groups of rows.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};

use super::Part;
use crate::files::FileError;
use crate::table::TableError;

/// An open Parquet file. Each part opens it anew, since threads cannot share one position; the footer is read once.
#[derive(Debug, Clone)]
pub struct Parquet {
    path: PathBuf,
    metadata: ArrowReaderMetadata,
    declared: SchemaRef,
    /// The first row of each group of rows.
    groups: Arc<[u64]>,
    rows: u64,
}

impl Parquet {
    /// Reads what a file says of itself.
    ///
    /// # Errors
    /// When it cannot be read or is no Parquet file.
    pub fn open(path: &Path) -> Result<Self, TableError> {
        let file = File::open(path).map_err(FileError::on("read", path))?;
        let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new());
        let metadata = metadata.map_err(|error| no_parquet(path, error))?;
        let mut rows = 0;
        let mut groups = Vec::new();
        for group in metadata.metadata().row_groups() {
            groups.push(rows);
            rows += u64::try_from(group.num_rows()).unwrap_or_default();
        }
        let declared = Arc::clone(metadata.schema());
        Ok(Self { path: path.to_path_buf(), metadata, declared, groups: groups.into(), rows })
    }

    /// The same, with columns of text read as codes and the texts that they stand for: a name is then met once a batch
    /// rather than once a row.
    ///
    /// # Errors
    /// When the file's schema does not allow it.
    pub fn with_texts_as_codes(mut self) -> Result<Self, TableError> {
        let coded = |field: &Arc<Field>| match field.data_type() {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
                let codes = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
                Arc::new(field.as_ref().clone().with_data_type(codes))
            }
            _ => Arc::clone(field),
        };
        let schema = Schema::new(self.schema().fields().iter().map(coded).collect::<Vec<_>>());
        let options = ArrowReaderOptions::new().with_schema(Arc::new(schema));
        let metadata = ArrowReaderMetadata::try_new(Arc::clone(self.metadata.metadata()), options);
        self.metadata = metadata.map_err(|error| no_parquet(&self.path, error))?;
        Ok(self)
    }

    /// The columns as Arrow has them.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(self.metadata.schema())
    }

    /// The first row of each group of rows.
    #[must_use]
    pub fn groups(&self) -> &Arc<[u64]> {
        &self.groups
    }

    /// The columns' names with their types as the file declares them, whatever they are read as.
    #[must_use]
    pub fn declared(&self) -> Vec<(String, String)> {
        let fields = self.declared.fields().iter();
        fields.map(|field| (field.name().clone(), field.data_type().to_string())).collect()
    }

    /// Bytes of all values once they are decompressed, by the footer.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let groups = self.metadata.metadata().row_groups().iter();
        groups
            .map(|group| u64::try_from(group.total_byte_size()).unwrap_or_default())
            .fold(0, u64::saturating_add)
    }

    /// Rows, by the footer.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Stretches of `part_rows`, the last one shorter; one without rows when the file has none.
    #[must_use]
    pub fn parts(&self, part_rows: u64) -> Vec<Part> {
        let part_rows = part_rows.max(1);
        let part = |first_row: u64| Part {
            first_row,
            rows: part_rows.min(self.rows - first_row),
            bytes: (0, 0),
            first_line: 0,
        };
        (0..self.rows.div_ceil(part_rows).max(1)).map(|number| part(number * part_rows)).collect()
    }

    /// Reads a part's rows in batches of `batch_rows`: all columns, or those at the places `columns`, in the file's order.
    ///
    /// # Errors
    /// When the file cannot be read or is broken.
    pub fn read(
        &self,
        part: &Part,
        columns: Option<&[usize]>,
        batch_rows: usize,
    ) -> Result<ParquetRecordBatchReader, TableError> {
        let file = File::open(&self.path).map_err(FileError::on("read", &self.path))?;
        let end = part.first_row + part.rows;
        let first = self.groups.partition_point(|row| *row <= part.first_row).saturating_sub(1);
        let last = self.groups.partition_point(|row| *row < end).max(first);
        let before = self.groups.get(first).copied().unwrap_or_default();
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone());
        let mask = match columns {
            None => ProjectionMask::all(),
            Some(columns) => ProjectionMask::roots(builder.parquet_schema(), columns.iter().copied()),
        };
        let reader = builder
            .with_projection(mask)
            .with_row_groups((first..last).collect())
            .with_offset(index(part.first_row - before))
            .with_limit(index(part.rows))
            .with_batch_size(batch_rows)
            .build();
        reader.map_err(|error| no_parquet(&self.path, error))
    }
}

/// A number of rows, of which a file in memory's reach has no more than fit.
fn index(rows: u64) -> usize {
    usize::try_from(rows).unwrap_or(usize::MAX)
}

fn no_parquet(path: &Path, error: impl ToString) -> TableError {
    TableError::NotATable { file: path.display().to_string(), format: "Parquet", message: error.to_string() }
}

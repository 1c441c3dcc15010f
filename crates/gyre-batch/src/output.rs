//! Outputs: parts in files of their own, and the whole made of them without encoding anything again.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use gyre_data::files::FileError;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::basic::{Compression, ZstdLevel};
use parquet::column::writer::ColumnCloseResult;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesPtr};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::ColumnPath;

use crate::error::BatchError;
use crate::sources::Layout;

/// zstd's fastest level: predictions are written at the rate that they are made at.
const ZSTD_LEVEL: i32 = 1;
const BUFFER: usize = 1 << 17;

/// A part that is being written.
pub(crate) enum PartWriter<'a> {
    Parquet(&'a Path, Box<ArrowWriter<BufWriter<File>>>),
    Csv(&'a Path, Box<arrow_csv::Writer<BufWriter<File>>>),
}

impl<'a> PartWriter<'a> {
    pub(crate) fn create(path: &'a Path, kind: Layout, schema: &SchemaRef) -> Result<Self, BatchError> {
        let file = BufWriter::with_capacity(BUFFER, create(path)?);
        Ok(match kind {
            Layout::Parquet => {
                let writer = ArrowWriter::try_new(file, SchemaRef::clone(schema), Some(properties(schema)?));
                Self::Parquet(path, Box::new(writer.map_err(|error| BatchError::encode(path, error))?))
            }
            Layout::Csv => {
                Self::Csv(path, Box::new(arrow_csv::WriterBuilder::new().with_header(false).build(file)))
            }
        })
    }

    pub(crate) fn write(&mut self, rows: &RecordBatch) -> Result<(), BatchError> {
        match self {
            Self::Parquet(path, writer) => {
                writer.write(rows).map_err(|error| BatchError::encode(path, error))
            }
            Self::Csv(path, writer) => writer.write(rows).map_err(|error| BatchError::encode(path, error)),
        }
    }

    /// Ends the part, and brings it to the disk.
    pub(crate) fn close(self) -> Result<(), BatchError> {
        let (path, buffered) = match self {
            Self::Parquet(path, writer) => {
                (path, writer.into_inner().map_err(|error| BatchError::encode(path, error))?)
            }
            Self::Csv(path, writer) => (path, writer.into_inner()),
        };
        let file = buffered.into_inner().map_err(|error| FileError::on("write", path)(error.into_error()))?;
        Ok(file.sync_data().map_err(FileError::on("write", path))?)
    }
}

/// Puts the parts of an output together at `path`, and brings it to the disk.
pub(crate) fn join(
    path: &Path,
    kind: Layout,
    schema: &SchemaRef,
    parts: &[impl AsRef<Path>],
) -> Result<(), BatchError> {
    match kind {
        Layout::Parquet => join_parquet(path, parts),
        Layout::Csv => join_csv(path, schema, parts),
    }
}

fn join_csv(path: &Path, schema: &SchemaRef, parts: &[impl AsRef<Path>]) -> Result<(), BatchError> {
    let mut file = BufWriter::with_capacity(BUFFER, create(path)?);
    {
        let mut head = csv::Writer::from_writer(&mut file);
        let names = schema.fields().iter().map(|field| field.name().as_str());
        head.write_record(names).map_err(|error| BatchError::encode(path, error))?;
        head.flush().map_err(FileError::on("write", path))?;
    }
    for part in parts {
        let mut part = open(part.as_ref())?;
        std::io::copy(&mut part, &mut file).map_err(FileError::on("write", path))?;
    }
    file.flush().map_err(FileError::on("write", path))?;
    Ok(file.get_ref().sync_data().map_err(FileError::on("write", path))?)
}

/// Takes the groups of rows over as they are.
fn join_parquet(path: &Path, parts: &[impl AsRef<Path>]) -> Result<(), BatchError> {
    let failed = |error: parquet::errors::ParquetError| BatchError::encode(path, error);
    let mut writer: Option<SerializedFileWriter<BufWriter<File>>> = None;
    for part in parts {
        let part = open(part.as_ref())?;
        let metadata = ArrowReaderMetadata::load(&part, ArrowReaderOptions::new()).map_err(failed)?;
        let metadata = metadata.metadata();
        let whole = match &mut writer {
            Some(writer) => writer,
            None => {
                let file = BufWriter::with_capacity(BUFFER, create(path)?);
                let schema = metadata.file_metadata().schema_descr().root_schema_ptr();
                // With the note of Arrow's own types that the part has.
                let notes = metadata.file_metadata().key_value_metadata().cloned();
                let properties = WriterProperties::builder()
                    .set_created_by("gyre".to_owned())
                    .set_key_value_metadata(notes)
                    .build();
                let properties = WriterPropertiesPtr::new(properties);
                writer.insert(SerializedFileWriter::new(file, schema, properties).map_err(failed)?)
            }
        };
        for group in metadata.row_groups() {
            let mut out = whole.next_row_group().map_err(failed)?;
            for column in group.columns() {
                let closed = ColumnCloseResult {
                    bytes_written: u64::try_from(column.compressed_size()).unwrap_or_default(),
                    rows_written: u64::try_from(group.num_rows()).unwrap_or_default(),
                    metadata: column.clone(),
                    bloom_filter: None,
                    column_index: None,
                    offset_index: None,
                };
                out.append_column(&part, closed).map_err(failed)?;
            }
            out.close().map_err(failed)?;
        }
    }
    let Some(writer) = writer else { return Err(BatchError::encode(path, "it has no part")) };
    let buffered = writer.into_inner().map_err(failed)?;
    let file = buffered.into_inner().map_err(|error| FileError::on("write", path)(error.into_error()))?;
    Ok(file.sync_data().map_err(FileError::on("write", path))?)
}

fn properties(schema: &SchemaRef) -> Result<WriterProperties, BatchError> {
    let level =
        ZstdLevel::try_new(ZSTD_LEVEL).map_err(|error| BatchError::encode(Path::new("output"), error))?;
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_created_by("gyre".to_owned())
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true);
    for field in schema.fields().iter().filter(|field| field.data_type().is_floating()) {
        // Hardly two of them are the same: to look for that costs more than to write them.
        let column = ColumnPath::new(vec![field.name().clone()]);
        properties = properties.set_column_dictionary_enabled(column, false);
    }
    Ok(properties.build())
}

fn create(path: &Path) -> Result<File, BatchError> {
    Ok(File::create(path).map_err(FileError::on("write", path))?)
}

fn open(path: &Path) -> Result<File, BatchError> {
    Ok(File::open(path).map_err(FileError::on("read", path))?)
}

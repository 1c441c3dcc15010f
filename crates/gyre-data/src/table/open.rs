//! The readers behind a table, one a layout, and what they have in common.

use std::fs::File;
use std::io::{BufReader, Seek};
use std::path::Path;
use std::sync::Arc;

use arrow_csv::reader::Format;
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;

use super::{BATCH_ROWS, Record, TableError};
use crate::files::FileError;
use crate::parts::arrow::Arrow;
use crate::parts::{Layout, csv as parts};

/// What a CSV cell holds when nothing is known: nothing, or what pandas and R write.
const CSV_MISSING: &str = "^(|NA|N/A|NaN|nan|NULL|null)$";

/// An open file.
pub(super) struct Opened {
    pub(super) schema: SchemaRef,
    pub(super) batches: Box<dyn Iterator<Item = Record> + Send>,
    /// Columns that were not read although nobody chose.
    pub(super) left_out: Vec<String>,
}

/// The columns of a file that are read.
struct Chosen {
    /// Their places, in the file's order; none when they are all.
    places: Option<Vec<usize>>,
    left_out: Vec<String>,
}

impl Chosen {
    /// Those in `wanted`, or else all but pandas' numbers of the rows.
    fn of(file: &str, schema: &Schema, wanted: Option<&[&str]>) -> Result<Self, TableError> {
        let mut names: Vec<&String> = schema.fields().iter().map(|field| field.name()).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            let message = format!("there are two columns `{}`; give each a name of its own", twice[0]);
            return Err(TableError::NotATable { file: file.to_owned(), format: "table", message });
        }
        if let Some(wanted) = wanted {
            return Ok(Self { places: Some(projection(file, schema, wanted)?), left_out: Vec::new() });
        }
        let left_out = row_numbers(schema);
        if left_out.is_empty() {
            return Ok(Self { places: None, left_out });
        }
        let kept = schema.fields().iter().enumerate().filter(|(_, field)| !left_out.contains(field.name()));
        Ok(Self { places: Some(kept.map(|(place, _)| place).collect()), left_out })
    }
}

/// The columns that hold an index without a name, as pandas says in the schema's metadata
/// (<https://pandas.pydata.org/docs/development/developer.html>). An index that somebody named is a column like any other.
fn row_numbers(schema: &Schema) -> Vec<String> {
    let said = schema.metadata().get("pandas").and_then(|text| serde_json::from_str(text).ok());
    let said: serde_json::Value = said.unwrap_or_default();
    let indexes = said.get("index_columns").and_then(serde_json::Value::as_array);
    let names = indexes.into_iter().flatten().filter_map(serde_json::Value::as_str);
    let unnamed = names.filter(|name| name.starts_with("__index_level_") && name.ends_with("__"));
    unnamed.filter(|name| schema.index_of(name).is_ok()).map(str::to_owned).collect()
}

/// Opens a file: all columns or those in `columns`, of a CSV file those in `texts` as they stand there.
pub(super) fn open(path: &Path, columns: Option<&[&str]>, texts: &[&str]) -> Result<Opened, TableError> {
    match Layout::of(path)? {
        Layout::Parquet => parquet(path, columns),
        Layout::Arrow => arrow(path, columns),
        Layout::Csv => csv(path, columns, texts),
        Layout::Json => Err(TableError::NotATable {
            file: path.display().to_string(),
            format: "table",
            message: "it is JSON; expected Parquet, Arrow, or CSV with a header line (a stored profile has no rows any more: name \
                      the file that was profiled)"
                .to_owned(),
        }),
    }
}

fn parquet(path: &Path, columns: Option<&[&str]>) -> Result<Opened, TableError> {
    let name = path.display().to_string();
    let unreadable = |error: ParquetError| TableError::NotATable {
        file: name.clone(),
        format: "Parquet",
        message: error.to_string(),
    };
    let file = File::open(path).map_err(FileError::on("read", path))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(unreadable)?;
    let Chosen { places, left_out } = Chosen::of(&name, builder.schema(), columns)?;
    let mask = match places {
        None => ProjectionMask::all(),
        Some(places) => ProjectionMask::roots(builder.parquet_schema(), places),
    };
    let reader = builder.with_projection(mask).with_batch_size(BATCH_ROWS).build().map_err(unreadable)?;
    let schema = arrow_array::RecordBatchReader::schema(&reader);
    Ok(Opened { schema, batches: Box::new(reader), left_out })
}

fn arrow(path: &Path, columns: Option<&[&str]>) -> Result<Opened, TableError> {
    let file = Arrow::open(path)?;
    let name = path.display().to_string();
    let Chosen { places, left_out } = Chosen::of(&name, file.schema(), columns)?;
    let schema =
        match &places {
            None => Arc::clone(file.schema()),
            Some(places) => Arc::new(file.schema().project(places).map_err(|error| {
                TableError::NotATable { file: name, format: "Arrow", message: error.to_string() }
            })?),
        };
    let batches = file.read(places.as_deref())?.flat_map(|batch| match batch {
        // Whoever wrote the file may have written it as one batch.
        Ok(batch) => {
            let starts = (0..batch.num_rows()).step_by(BATCH_ROWS);
            let slice = |from: usize| Ok(batch.slice(from, BATCH_ROWS.min(batch.num_rows() - from)));
            starts.map(slice).collect::<Vec<_>>()
        }
        Err(error) => vec![Err(error)],
    });
    Ok(Opened { schema, batches: Box::new(batches), left_out })
}

fn csv(path: &Path, columns: Option<&[&str]>, texts: &[&str]) -> Result<Opened, TableError> {
    let name = path.display().to_string();
    let unreadable = |message: String| TableError::NotATable { file: name.clone(), format: "CSV", message };
    let explained = |error: ArrowError| {
        let said = parts::first_ragged(path).unwrap_or_else(|| match error {
            ArrowError::CsvError(message) => message,
            error => error.to_string(),
        });
        unreadable(said)
    };
    let missing = regex::Regex::new(CSV_MISSING).map_err(|error| unreadable(error.to_string()))?;
    let format = Format::default().with_header(true).with_null_regex(missing);
    let file = File::open(path).map_err(FileError::on("read", path))?;
    let mut reader = BufReader::new(file);
    let (schema, _) = format.infer_schema(&mut reader, None).map_err(explained)?;
    let as_text = |field: &Arc<Field>| {
        let field = field.as_ref().clone();
        if texts.contains(&field.name().as_str()) { field.with_data_type(DataType::Utf8) } else { field }
    };
    let schema = Schema::new(schema.fields().iter().map(as_text).collect::<Vec<_>>());
    if schema.fields().is_empty() {
        return Err(unreadable("there is no header line".to_owned()));
    }
    let names: Vec<&String> = schema.fields().iter().map(|field| field.name()).collect();
    if let Some(wrong) = parts::otherwise_separated(&names) {
        return Err(unreadable(wrong));
    }
    let Chosen { places, left_out } = Chosen::of(&name, &schema, columns)?;
    reader.rewind().map_err(FileError::on("read", path))?;
    let mut builder =
        arrow_csv::ReaderBuilder::new(Arc::new(schema)).with_format(format).with_batch_size(BATCH_ROWS);
    if let Some(places) = places {
        builder = builder.with_projection(places);
    }
    let reader = builder.build_buffered(reader).map_err(explained)?;
    Ok(Opened { schema: reader.schema(), batches: Box::new(reader), left_out })
}

/// The positions of `columns`, in the file's order, each once.
fn projection(file: &str, schema: &Schema, columns: &[&str]) -> Result<Vec<usize>, TableError> {
    let mut indices = Vec::with_capacity(columns.len());
    for column in columns {
        let index = schema.index_of(column).map_err(|_| TableError::no_column(file, column, schema))?;
        indices.push(index);
    }
    indices.sort_unstable();
    indices.dedup();
    Ok(indices)
}

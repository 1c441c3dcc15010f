//! The predictions with their labels as a file.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use arrow_array::builder::{Float64Builder, StringBuilder, TimestampMillisecondBuilder, UInt32Builder};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use gyre_core::{Timestamp, Value};
use gyre_data::files::{FileError, Pending};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::book::{Book, FIXED, quoted};
use crate::error::BookError;

/// Rows that are encoded at a time.
const BATCH: usize = 8_192;

/// What an export looks like, told by the file's extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `.parquet`
    Parquet,
    /// `.csv`
    Csv,
    /// `.jsonl`: an object a line.
    JsonLines,
}

impl Form {
    /// The form that a path's extension names, if any.
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_lowercase().as_str() {
            "parquet" | "pq" => Some(Self::Parquet),
            "csv" => Some(Self::Csv),
            "jsonl" | "ndjson" => Some(Self::JsonLines),
            _ => None,
        }
    }
}

impl Book {
    /// Writes every prediction with its label (columns `label`, `label_time`), by time and then by id, to `path`, whole or
    /// not at all; how many there are.
    ///
    /// # Errors
    /// [`BookError`]: the disk is full, the file cannot be written.
    pub fn export(&self, path: &Path, form: Form) -> Result<u64, BookError> {
        let mut pending = Pending::create(path)?;
        let file = pending.file().try_clone().map_err(FileError::on("write", path))?;
        let mut sink = match form {
            Form::Parquet => Sink::parquet(path, file, self)?,
            Form::Csv => Sink::Csv(path, Box::new(csv::Writer::from_writer(BufWriter::new(file)))),
            Form::JsonLines => Sink::JsonLines(path, BufWriter::new(file), Vec::new()),
        };
        let mut names: Vec<String> = self.columns.iter().map(|column| column.name.clone()).collect();
        let columns: Vec<String> = names.iter().map(|name| format!("p.{}", quoted(name))).collect();
        // A feature may be called so, too.
        let extra = |name: &str| {
            let taken = names.iter().any(|known| known.eq_ignore_ascii_case(name));
            if taken { format!("log:{name}") } else { name.to_owned() }
        };
        let (label, label_time) = (extra("label"), extra("label_time"));
        names.extend([label, label_time]);
        let sql = format!(
            "SELECT {}, l.label, l.time FROM predictions p LEFT JOIN labels l ON l.id = p.id ORDER BY p.time, p.id",
            columns.join(", ")
        );
        let mut rows = 0;
        sink.head(&names)?;
        self.query(&sql, |_, row| {
            rows += 1;
            sink.row(&row)
        })?;
        sink.close()?;
        pending.publish()?;
        Ok(rows)
    }
}

enum Sink<'a> {
    Parquet(&'a Path, Box<Columns>),
    Csv(&'a Path, Box<csv::Writer<BufWriter<File>>>),
    JsonLines(&'a Path, BufWriter<File>, Vec<String>),
}

impl<'a> Sink<'a> {
    fn parquet(path: &'a Path, file: File, book: &Book) -> Result<Self, BookError> {
        let text = book.columns.iter().map(|column| column.text).chain([book.label_is_text, true]);
        let kinds = text.enumerate().map(|(at, text)| kind(at, text, book.columns.len())).collect();
        Ok(Self::Parquet(path, Box::new(Columns { file: Some(file), kinds, ..Columns::default() })))
    }

    fn head(&mut self, names: &[String]) -> Result<(), BookError> {
        match self {
            Self::Parquet(path, columns) => columns.open(names).map_err(|error| encode(path, error)),
            Self::Csv(path, writer) => writer.write_record(names).map_err(|error| encode(path, error)),
            Self::JsonLines(_, _, known) => {
                *known = names.to_vec();
                Ok(())
            }
        }
    }

    fn row(&mut self, row: &[Value]) -> Result<(), BookError> {
        match self {
            Self::Parquet(path, columns) => columns.push(row).map_err(|error| encode(path, error)),
            Self::Csv(path, writer) => {
                let field = |value: &Value| match value {
                    Value::Missing => String::new(),
                    other => other.to_string(),
                };
                writer.write_record(row.iter().map(field)).map_err(|error| encode(path, error))
            }
            Self::JsonLines(path, writer, names) => {
                let object = object(names.iter().map(String::as_str), row);
                writeln!(writer, "{object}").map_err(|error| FileError::on("write", path)(error).into())
            }
        }
    }

    fn close(self) -> Result<(), BookError> {
        match self {
            Self::Parquet(path, columns) => columns.close().map_err(|error| encode(path, error)),
            Self::Csv(path, mut writer) => Ok(writer.flush().map_err(FileError::on("write", path))?),
            Self::JsonLines(path, mut writer, _) => {
                Ok(writer.flush().map_err(FileError::on("write", path))?)
            }
        }
    }
}

/// A row as a JSON object; what is missing is null.
pub fn object<'a>(names: impl Iterator<Item = &'a str>, row: &[Value]) -> serde_json::Value {
    let json = |value: &Value| match value {
        Value::Missing => serde_json::Value::Null,
        Value::Bool(truth) => (*truth).into(),
        // Counts, versions and microseconds as whole numbers.
        Value::Number(number) if number.fract() == 0.0 && number.abs() < 9e15 => (*number as i64).into(),
        Value::Number(number) => (*number).into(),
        Value::Text(text) => (**text).into(),
    };
    serde_json::Value::Object(names.map(str::to_owned).zip(row.iter().map(json)).collect())
}

fn encode(path: &Path, error: impl ToString) -> BookError {
    BookError::Encode { path: path.to_path_buf(), reason: error.to_string() }
}

/// What a column of an export holds, by its place.
fn kind(at: usize, text: bool, columns: usize) -> DataType {
    let moment = || DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    match FIXED.get(at).copied() {
        Some("time") => moment(),
        Some("version" | "latency_us") => DataType::UInt32,
        Some("id" | "route") => DataType::Utf8,
        _ if at == columns + 1 => moment(),
        _ if text => DataType::Utf8,
        _ => DataType::Float64,
    }
}

type ArrowResult<T> = Result<T, Box<dyn std::error::Error>>;

/// A batch of a Parquet file as it grows.
#[derive(Default)]
struct Columns {
    file: Option<File>,
    kinds: Vec<DataType>,
    schema: Option<SchemaRef>,
    writer: Option<ArrowWriter<File>>,
    rows: Vec<Vec<Value>>,
}

impl Columns {
    fn open(&mut self, names: &[String]) -> ArrowResult<()> {
        let fields = names.iter().zip(&self.kinds).map(|(name, kind)| Field::new(name, kind.clone(), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by("gyre".to_owned())
            .build();
        let file = self.file.take().ok_or("it is open already")?;
        self.writer = Some(ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties))?);
        self.schema = Some(schema);
        Ok(())
    }

    fn push(&mut self, row: &[Value]) -> ArrowResult<()> {
        self.rows.push(row.to_vec());
        if self.rows.len() >= BATCH { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> ArrowResult<()> {
        let (Some(schema), Some(writer)) = (&self.schema, &mut self.writer) else { return Ok(()) };
        let rows = std::mem::take(&mut self.rows);
        let cells = |at: usize| rows.iter().map(move |row| row.get(at).unwrap_or(&Value::Missing));
        let arrays = self.kinds.iter().enumerate().map(|(at, kind)| array(kind, cells(at)));
        writer.write(&RecordBatch::try_new(Arc::clone(schema), arrays.collect())?)?;
        Ok(())
    }

    fn close(mut self) -> ArrowResult<()> {
        if !self.rows.is_empty() {
            self.write()?;
        }
        if let Some(writer) = self.writer {
            writer.close()?;
        }
        Ok(())
    }
}

fn array<'a>(kind: &DataType, values: impl Iterator<Item = &'a Value>) -> ArrayRef {
    match kind {
        DataType::Float64 => {
            let mut array = Float64Builder::new();
            values.for_each(|value| array.append_option(value.as_number()));
            Arc::new(array.finish())
        }
        DataType::UInt32 => {
            let mut array = UInt32Builder::new();
            // Both were 32 bits wide when they were logged.
            values.for_each(|value| array.append_option(value.as_number().map(|number| number as u32)));
            Arc::new(array.finish())
        }
        DataType::Timestamp(..) => {
            let mut array = TimestampMillisecondBuilder::new().with_timezone("UTC");
            let moment = |value: &Value| match value {
                Value::Text(text) => text.parse::<Timestamp>().ok(),
                _ => None,
            };
            values.for_each(|value| array.append_option(moment(value).map(Timestamp::as_millis)));
            Arc::new(array.finish())
        }
        _ => {
            let mut array = StringBuilder::new();
            values.for_each(|value| array.append_option(value.as_category()));
            Arc::new(array.finish())
        }
    }
}

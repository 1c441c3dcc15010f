//! Tables as streams of batches: Parquet and CSV, never whole in memory.
//!
//! Everything that looks at data (checks, cuts, replays, profiles) reads it through here, so that a column that
//! is missing or of the wrong type is reported in one way: with the file, the column, what it holds, what was
//! expected, and the nearest name that exists.

mod batch;
mod error;

use std::fs::File;
use std::io::{BufReader, Seek};
use std::path::Path;
use std::sync::Arc;

use arrow_csv::reader::Format;
use arrow_schema::{DataType, Schema, SchemaRef};
use gyre_core::spec::ColumnType;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

pub use batch::Batch;
pub use error::TableError;
pub(crate) use error::kind_name;

use crate::files::FileError;

/// Rows in a batch: few enough to stay small with wide rows, many enough to hide the cost of a batch.
pub const BATCH_ROWS: usize = 8_192;

/// What a CSV cell holds when nothing is known: nothing, or what pandas and R write.
const CSV_MISSING: &str = "^(|NA|N/A|NaN|nan|NULL|null)$";

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What it holds; none for what gyre has no word for (lists, structures, binary).
    pub kind: Option<ColumnType>,
}

type Record = Result<arrow_array::RecordBatch, arrow_schema::ArrowError>;

/// An open table: an iterator over its batches, in the order of the file.
pub struct Table {
    file: Arc<str>,
    schema: SchemaRef,
    batches: Box<dyn Iterator<Item = Record> + Send>,
    next_row: u64,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table")
            .field("file", &self.file)
            .field("schema", &self.schema)
            .finish_non_exhaustive()
    }
}

impl Table {
    /// Opens a Parquet file (by its magic bytes `PAR1`) or else a CSV file with a header line.
    ///
    /// Column types of a CSV file are inferred from all of its rows, in a pass of their own. Batches have at
    /// most [`BATCH_ROWS`] rows.
    ///
    /// # Errors
    /// When the file cannot be read or is no table.
    pub fn open(path: &Path) -> Result<Self, TableError> {
        Self::open_columns(path, None, &[])
    }

    /// The same, reading only `columns`; they come in the file's order.
    ///
    /// # Errors
    /// As [`Table::open`], and [`TableError::NoColumn`] when one does not exist.
    pub fn open_projected(path: &Path, columns: &[&str]) -> Result<Self, TableError> {
        Self::open_columns(path, Some(columns), &[])
    }

    /// The same, with the columns `texts` of a CSV file read as they stand there: `007` stays `007`.
    ///
    /// # Errors
    /// As [`Table::open_projected`].
    pub fn open_with_texts(path: &Path, columns: &[&str], texts: &[&str]) -> Result<Self, TableError> {
        Self::open_columns(path, Some(columns), texts)
    }

    fn open_columns(path: &Path, columns: Option<&[&str]>, texts: &[&str]) -> Result<Self, TableError> {
        let name: Arc<str> = path.display().to_string().into();
        let mut file = File::open(path).map_err(FileError::on("read", path))?;
        let mut magic = Vec::new();
        std::io::Read::read_to_end(&mut std::io::Read::take(&mut file, 4), &mut magic)
            .and_then(|_| file.rewind())
            .map_err(FileError::on("read", path))?;
        let (schema, batches) =
            if magic == b"PAR1" { parquet(&name, file, columns)? } else { csv(&name, file, columns, texts)? };
        Ok(Self { file: name, schema, batches, next_row: 1 })
    }

    /// The columns that are read.
    pub fn columns(&self) -> Vec<Column> {
        let column = |field: &Arc<arrow_schema::Field>| Column {
            name: field.name().clone(),
            kind: column_type(field.data_type()),
        };
        self.schema.fields().iter().map(column).collect()
    }

    /// The Arrow schema of the batches.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The file's name, as it was opened.
    pub fn file(&self) -> &str {
        &self.file
    }
}

impl Iterator for Table {
    type Item = Result<Batch, TableError>;

    fn next(&mut self) -> Option<Self::Item> {
        let record = match self.batches.next()? {
            Ok(record) => record,
            Err(source) => {
                let message = source.to_string();
                return Some(Err(TableError::Broken {
                    file: self.file.to_string(),
                    row: self.next_row,
                    message,
                }));
            }
        };
        let batch = Batch::new(Arc::clone(&self.file), self.next_row, record);
        self.next_row += batch.rows() as u64;
        Some(Ok(batch))
    }
}

type Opened = (SchemaRef, Box<dyn Iterator<Item = Record> + Send>);

fn parquet(name: &str, file: File, columns: Option<&[&str]>) -> Result<Opened, TableError> {
    let unreadable = |error: parquet::errors::ParquetError| TableError::NotATable {
        file: name.to_owned(),
        format: "Parquet",
        message: error.to_string(),
    };
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(unreadable)?;
    let mask = match columns {
        None => ProjectionMask::all(),
        Some(columns) => {
            let indices = projection(name, builder.schema(), columns)?;
            ProjectionMask::roots(builder.parquet_schema(), indices)
        }
    };
    let reader = builder.with_projection(mask).with_batch_size(BATCH_ROWS).build().map_err(unreadable)?;
    let schema = arrow_array::RecordBatchReader::schema(&reader);
    Ok((schema, Box::new(reader)))
}

fn csv(name: &str, file: File, columns: Option<&[&str]>, texts: &[&str]) -> Result<Opened, TableError> {
    let unreadable =
        |message: String| TableError::NotATable { file: name.to_owned(), format: "CSV", message };
    let missing = regex::Regex::new(CSV_MISSING).map_err(|error| unreadable(error.to_string()))?;
    let format = Format::default().with_header(true).with_null_regex(missing);
    let mut reader = BufReader::new(file);
    let (schema, _) =
        format.infer_schema(&mut reader, None).map_err(|error| unreadable(error.to_string()))?;
    let as_text = |field: &Arc<arrow_schema::Field>| {
        let field = field.as_ref().clone();
        if texts.contains(&field.name().as_str()) { field.with_data_type(DataType::Utf8) } else { field }
    };
    let schema = Schema::new(schema.fields().iter().map(as_text).collect::<Vec<_>>());
    if schema.fields().is_empty() {
        return Err(unreadable("there is no header line".to_owned()));
    }
    reader.rewind().map_err(|error| unreadable(error.to_string()))?;
    let mut builder = arrow_csv::ReaderBuilder::new(Arc::new(schema.clone()))
        .with_format(format)
        .with_batch_size(BATCH_ROWS);
    if let Some(columns) = columns {
        builder = builder.with_projection(projection(name, &schema, columns)?);
    }
    let reader = builder.build_buffered(reader).map_err(|error| unreadable(error.to_string()))?;
    Ok((reader.schema(), Box::new(reader)))
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

/// What a column of an Arrow type holds, in the words of `gyre.yaml`.
pub fn column_type(kind: &DataType) -> Option<ColumnType> {
    match kind {
        DataType::Dictionary(_, values) => column_type(values),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Some(ColumnType::Text),
        DataType::Boolean => Some(ColumnType::Bool),
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => Some(ColumnType::Time),
        kind if kind.is_integer() => Some(ColumnType::Int),
        kind if kind.is_floating() => Some(ColumnType::Float),
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) => {
            Some(ColumnType::Float)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn csv_file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::Builder::new().suffix(".csv").tempfile().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn csv_types_are_inferred_from_all_rows() {
        let mut text = "id,x,when,who\n".to_owned();
        for row in 0..20_000 {
            text += &format!("{row},1,2013-01-01T00:00:00,a\n");
        }
        text += "20000,1.5,2013-01-02T00:00:00,NA\n";
        let file = csv_file(&text);
        let table = Table::open(file.path()).unwrap();
        let kinds: Vec<_> = table.columns().into_iter().map(|column| column.kind.unwrap()).collect();
        assert_eq!(kinds, [ColumnType::Int, ColumnType::Float, ColumnType::Time, ColumnType::Text]);
        let batches: Vec<Batch> = table.collect::<Result<_, _>>().unwrap();
        assert_eq!(batches.iter().map(Batch::rows).sum::<usize>(), 20_001);
        let last = batches.last().unwrap();
        assert_eq!(last.numbers("x").unwrap().last().unwrap(), &Some(1.5));
        assert_eq!(last.categories("who").unwrap().last().unwrap(), &None);
        assert_eq!(last.timestamps("when").unwrap().last().unwrap().unwrap().date(), "2013-01-02");
        assert_eq!(last.first_row() + last.rows() as u64, 20_002);
    }

    #[test]
    fn a_missing_column_is_answered_with_the_nearest_name() {
        let file = csv_file("distance,carrier\n1,AA\n");
        let error = Table::open_projected(file.path(), &["distnace"]).unwrap_err().to_string();
        assert!(error.contains(&file.path().display().to_string()), "{error}");
        assert!(
            error.contains("no column `distnace`") && error.contains("did you mean `distance`?"),
            "{error}"
        );
    }

    #[test]
    fn projection_reads_only_what_is_asked_for() {
        let file = csv_file("a,b,c\n1,2,3\n");
        let mut table = Table::open_projected(file.path(), &["c", "a"]).unwrap();
        assert_eq!(table.columns().iter().map(|column| column.name.as_str()).collect::<Vec<_>>(), ["a", "c"]);
        let batch = table.next().unwrap().unwrap();
        assert_eq!(batch.numbers("c").unwrap(), [Some(3.0)]);
        assert!(batch.numbers("b").is_err());
    }

    #[test]
    fn a_column_can_be_read_as_it_stands_there() {
        let file = csv_file("id,y\n007,1\n08,2\n");
        let mut table = Table::open_with_texts(file.path(), &["id", "y"], &["id"]).unwrap();
        let batch = table.next().unwrap().unwrap();
        let ids = batch.categories("id").unwrap();
        assert_eq!(ids.iter().flatten().map(|id| &**id).collect::<Vec<_>>(), ["007", "08"]);
        assert_eq!(batch.numbers("y").unwrap(), [Some(1.0), Some(2.0)]);
    }

    #[test]
    fn what_is_no_table_is_an_error_not_a_panic() {
        for text in ["", "PAR1", "PAR1xxxxPAR1", "a,b\n1\n"] {
            let file = csv_file(text);
            let outcome = Table::open(file.path()).and_then(|table| table.collect::<Result<Vec<_>, _>>());
            assert!(outcome.is_err(), "{text:?}");
        }
        let error = Table::open(Path::new("/nowhere/x.parquet")).unwrap_err().to_string();
        assert!(error.starts_with("/nowhere/x.parquet: cannot read"), "{error}");
    }
}

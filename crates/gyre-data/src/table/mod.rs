//! Tables as streams of batches: Parquet, Arrow and CSV, never whole in memory.
//!
//! Everything that looks at data (checks, cuts, replays, profiles) reads it through here, so that a column that
//! is missing or of the wrong type is reported in one way: with the file, the column, what it holds, what was
//! expected, and the nearest name that exists.

mod batch;
mod error;
mod open;

use std::path::Path;
use std::sync::Arc;

use arrow_schema::{DataType, SchemaRef};
use gyre_core::spec::ColumnType;

pub use batch::Batch;
pub use error::TableError;
pub(crate) use error::kind_name;
use open::Opened;

/// Rows in a batch: few enough to stay small with wide rows, many enough to hide the cost of a batch.
pub const BATCH_ROWS: usize = 8_192;

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
    left_out: Vec<String>,
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
    /// Opens a Parquet file, an Arrow file or stream (all three by their first bytes), or else a CSV file with a header line.
    ///
    /// Column types of a CSV file are inferred from all of its rows, in a pass of their own. Batches have at
    /// most [`BATCH_ROWS`] rows.
    ///
    /// # Errors
    /// When the file cannot be read, is no table, or names a column twice.
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
        let Opened { schema, batches, left_out } = open::open(path, columns, texts)?;
        Ok(Self { file: path.display().to_string().into(), schema, batches, left_out, next_row: 1 })
    }

    /// The columns that are read.
    pub fn columns(&self) -> Vec<Column> {
        let column = |field: &Arc<arrow_schema::Field>| Column {
            name: field.name().clone(),
            kind: column_type(field.data_type()),
        };
        self.schema.fields().iter().map(column).collect()
    }

    /// The columns that were left out because they hold no data but pandas' numbers of the rows, by which it names an index that has
    /// no name; they are read only when they are asked for.
    pub fn left_out(&self) -> &[String] {
        &self.left_out
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
    use std::collections::HashMap;

    use arrow_array::{ArrayRef, Int64Array, RecordBatch};
    use arrow_ipc::writer::FileWriter;
    use arrow_schema::{Field, Schema};
    use parquet::arrow::ArrowWriter;

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
        for text in ["", "PAR1", "PAR1xxxxPAR1", "ARROW1", "ARROW1xxxxxxxxxxARROW1", "a,b\n1\n"] {
            let file = csv_file(text);
            let outcome = Table::open(file.path()).and_then(|table| table.collect::<Result<Vec<_>, _>>());
            assert!(outcome.is_err(), "{text:?}");
        }
        let error = Table::open(Path::new("/nowhere/x.parquet")).unwrap_err().to_string();
        assert!(error.starts_with("/nowhere/x.parquet: cannot read"), "{error}");
    }

    #[test]
    fn what_would_be_read_wrongly_is_refused_with_a_remedy() {
        for (text, words) in [
            ("a,b,a\n1,2,3\n", "there are two columns `a`; give each a name of its own"),
            ("a,b\n1,2\n3,4,5\n", "line 3: 3 fields, and the first line names 2 columns"),
            ("a;b\n1;2\n", "save it with commas between the fields"),
            ("{\"format\":1,\"rows\":3}", "it is JSON"),
            ("[\n {\"a\": 1}]", "it is JSON"),
        ] {
            let error = Table::open(csv_file(text).path()).unwrap_err().to_string();
            assert!(error.contains(words) && !error.contains("Csv error"), "{error}");
        }
        assert_eq!(Table::open(csv_file("[a],b\n1,2\n").path()).unwrap().columns().len(), 2);
    }

    #[test]
    fn the_row_numbers_of_pandas_are_no_column_and_named_indexes_are() {
        let schema = |indexes: &str| {
            let fields =
                ["x", "day", "__index_level_0__"].map(|name| Field::new(name, DataType::Int64, true));
            let pandas = HashMap::from([("pandas".to_owned(), format!("{{\"index_columns\": {indexes}}}"))]);
            Arc::new(Schema::new_with_metadata(fields.to_vec(), pandas))
        };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t");
        let names = |table: &Table| table.columns().into_iter().map(|column| column.name).collect::<Vec<_>>();
        let numbers = |from: i64| Arc::new(Int64Array::from_iter_values(from..from + 5)) as ArrayRef;
        for (indexes, left_out) in
            [(r#"["day", "__index_level_0__"]"#, 1), (r#"[{"kind": "range", "start": 0}]"#, 0), ("7", 0)]
        {
            let schema = schema(indexes);
            let columns = vec![numbers(0), numbers(10), numbers(20)];
            let batch = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
            let mut parquet = ArrowWriter::try_new(Vec::new(), Arc::clone(&schema), None).unwrap();
            parquet.write(&batch).unwrap();
            let mut arrow = FileWriter::try_new(Vec::new(), &schema).unwrap();
            arrow.write(&batch).unwrap();
            for bytes in [parquet.into_inner().unwrap(), arrow.into_inner().unwrap()] {
                std::fs::write(&path, bytes).unwrap();
                let mut table = Table::open(&path).unwrap();
                assert_eq!(
                    (table.left_out().len(), names(&table).len()),
                    (left_out, 3 - left_out),
                    "{indexes}"
                );
                assert_eq!(table.next().unwrap().unwrap().numbers("day").unwrap()[4], Some(14.0));
                let mut asked = Table::open_projected(&path, &["__index_level_0__"]).unwrap();
                assert_eq!(
                    (names(&asked), asked.left_out().len()),
                    (vec!["__index_level_0__".to_owned()], 0)
                );
                assert_eq!(
                    asked.next().unwrap().unwrap().numbers("__index_level_0__").unwrap()[0],
                    Some(20.0)
                );
            }
        }
    }
}

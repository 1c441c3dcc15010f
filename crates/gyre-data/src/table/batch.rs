//! A batch of rows, and its columns as numbers, categories, moments or cells.

use std::collections::HashSet;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{DataType, TimeUnit};
use gyre_core::spec::ColumnType;
use gyre_core::{Timestamp, Value};

use super::column_type;
use super::error::{TableError, kind_name};

/// Some rows of a table.
#[derive(Debug, Clone)]
pub struct Batch {
    file: Arc<str>,
    first_row: u64,
    record: RecordBatch,
}

impl Batch {
    pub(super) fn new(file: Arc<str>, first_row: u64, record: RecordBatch) -> Self {
        Self { file, first_row, record }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.record.num_rows()
    }

    /// The first row's number in the file, counted from 1 (a CSV file's header is not a row).
    pub fn first_row(&self) -> u64 {
        self.first_row
    }

    /// The rows as Arrow has them.
    pub fn record(&self) -> &RecordBatch {
        &self.record
    }

    /// A column of numbers; booleans count as 0 and 1, NaN as missing. One element a row.
    ///
    /// # Errors
    /// [`TableError::NoColumn`]; [`TableError::WrongType`] for text and times.
    pub fn numbers(&self, column: &str) -> Result<Vec<Option<f64>>, TableError> {
        let array = self.column(column)?;
        match kind_of(array) {
            Some(ColumnType::Int | ColumnType::Float | ColumnType::Bool) => {}
            None if array.data_type().is_null() => {}
            _ => return Err(self.wrong_type(column, array, "numbers")),
        }
        Ok(self.floats(column, array)?.iter().map(|x| x.filter(|x| !x.is_nan())).collect())
    }

    /// A column of categories: text as it is, whole numbers and booleans written out. One element a row;
    /// equal categories of a batch share their text.
    ///
    /// # Errors
    /// [`TableError::NoColumn`]; [`TableError::WrongType`] for fractions and times.
    pub fn categories(&self, column: &str) -> Result<Vec<Option<Arc<str>>>, TableError> {
        let array = self.column(column)?;
        match kind_of(array) {
            Some(ColumnType::Int | ColumnType::Text | ColumnType::Bool) => {}
            None if array.data_type().is_null() => {}
            _ => return Err(self.wrong_type(column, array, "categories (text, whole numbers or booleans)")),
        }
        let strings = self.strings(column, array)?;
        let mut seen: HashSet<Arc<str>> = HashSet::new();
        let shared = |text: &str| match seen.get(text) {
            Some(known) => Arc::clone(known),
            None => {
                let new: Arc<str> = text.into();
                seen.insert(Arc::clone(&new));
                new
            }
        };
        let mut shared = shared;
        Ok(strings.iter().map(|text| text.map(&mut shared)).collect())
    }

    /// A column of moments: times of any unit, dates, milliseconds since the epoch, or text in RFC 3339; without
    /// a time zone, UTC. One element a row.
    ///
    /// # Errors
    /// [`TableError::NoColumn`]; [`TableError::WrongType`]; [`TableError::WrongValue`] for text that is no time.
    pub fn timestamps(&self, column: &str) -> Result<Vec<Option<Timestamp>>, TableError> {
        const EXPECTED: &str = "times";
        let array = self.column(column)?;
        if kind_of(array) == Some(ColumnType::Text) {
            let strings = self.strings(column, array)?;
            let moment = |(row, text): (usize, Option<&str>)| match text {
                None => Ok(None),
                Some(text) => text.parse().map(Some).map_err(|_| TableError::WrongValue {
                    file: self.file.to_string(),
                    column: column.to_owned(),
                    row: self.first_row + row as u64,
                    found: text.chars().take(80).collect(),
                    expected: "a time in RFC 3339",
                }),
            };
            return strings.iter().enumerate().map(moment).collect();
        }
        let in_millis = match array.data_type() {
            // The zone stays, so that the moment does.
            DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Millisecond, zone.clone()),
            DataType::Date32 | DataType::Date64 => DataType::Date64,
            kind if kind.is_integer() || kind.is_null() => DataType::Int64,
            _ => return Err(self.wrong_type(column, array, EXPECTED)),
        };
        let millis = self.cast(column, array, &in_millis, EXPECTED)?;
        let millis = self.cast(column, &millis, &DataType::Int64, EXPECTED)?;
        let millis: &Int64Array = millis.as_primitive::<Int64Type>();
        Ok(millis.iter().map(|millis| millis.map(Timestamp::from_millis)).collect())
    }

    /// A column of cells as the inference log has them: numbers, text, booleans; times as milliseconds since
    /// the epoch. One element a row.
    ///
    /// # Errors
    /// [`TableError::NoColumn`]; [`TableError::WrongType`] for lists, structures and the like.
    pub fn values(&self, column: &str) -> Result<Vec<Value>, TableError> {
        let array = self.column(column)?;
        let or_missing = |value: Option<Value>| value.unwrap_or(Value::Missing);
        Ok(match kind_of(array) {
            Some(ColumnType::Int | ColumnType::Float) => {
                self.numbers(column)?.into_iter().map(|x| or_missing(x.map(Value::Number))).collect()
            }
            Some(ColumnType::Text) => {
                self.categories(column)?.into_iter().map(|text| or_missing(text.map(Value::Text))).collect()
            }
            Some(ColumnType::Bool) => {
                let truths: &BooleanArray = array.as_boolean();
                truths.iter().map(|truth| or_missing(truth.map(Value::Bool))).collect()
            }
            Some(ColumnType::Time) => {
                let number = |moment: Timestamp| Value::Number(moment.as_millis() as f64);
                self.timestamps(column)?.into_iter().map(|moment| or_missing(moment.map(number))).collect()
            }
            None if array.data_type().is_null() => vec![Value::Missing; self.rows()],
            None => return Err(self.wrong_type(column, array, "numbers, text, booleans or times")),
        })
    }

    /// Which rows have no value in a column. One element a row.
    ///
    /// # Errors
    /// [`TableError::NoColumn`].
    pub fn missing(&self, column: &str) -> Result<Vec<bool>, TableError> {
        let array = self.column(column)?;
        if kind_of(array) == Some(ColumnType::Float) {
            return Ok(self.numbers(column)?.iter().map(Option::is_none).collect());
        }
        Ok(match array.logical_nulls() {
            Some(nulls) => nulls.iter().map(|valid| !valid).collect(),
            None => vec![false; self.rows()],
        })
    }

    /// The column's type in the words of `gyre.yaml`, when there is one.
    ///
    /// # Errors
    /// [`TableError::NoColumn`].
    pub fn kind(&self, column: &str) -> Result<Option<ColumnType>, TableError> {
        Ok(kind_of(self.column(column)?))
    }

    fn column(&self, column: &str) -> Result<&ArrayRef, TableError> {
        self.record
            .column_by_name(column)
            .ok_or_else(|| TableError::no_column(&self.file, column, self.record.schema_ref()))
    }

    fn floats(&self, column: &str, array: &ArrayRef) -> Result<Float64Array, TableError> {
        let cast = self.cast(column, array, &DataType::Float64, "numbers")?;
        Ok(cast.as_primitive::<Float64Type>().clone())
    }

    fn strings(&self, column: &str, array: &ArrayRef) -> Result<StringArray, TableError> {
        Ok(self.cast(column, array, &DataType::Utf8, "text")?.as_string::<i32>().clone())
    }

    fn cast(
        &self,
        column: &str,
        array: &ArrayRef,
        to: &DataType,
        expected: &'static str,
    ) -> Result<ArrayRef, TableError> {
        // `safe: false`: a value that does not fit is an error, not a silent null.
        let options = CastOptions { safe: false, ..CastOptions::default() };
        cast_with_options(array, to, &options).map_err(|_| self.wrong_type(column, array, expected))
    }

    fn wrong_type(&self, column: &str, array: &ArrayRef, expected: &'static str) -> TableError {
        let found = match kind_of(array) {
            Some(kind) => format!("{} ({})", kind_name(kind), array.data_type()),
            None => array.data_type().to_string(),
        };
        TableError::WrongType { file: self.file.to_string(), column: column.to_owned(), found, expected }
    }
}

fn kind_of(array: &ArrayRef) -> Option<ColumnType> {
    column_type(array.data_type())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{
        Date32Array, DictionaryArray, Float32Array, Int32Array, LargeStringArray, TimestampMicrosecondArray,
        TimestampSecondArray,
    };

    fn batch(columns: Vec<(&str, ArrayRef)>) -> Batch {
        Batch::new(
            "t.parquet".into(),
            101,
            RecordBatch::try_from_iter_with_nullable(
                columns.into_iter().map(|(name, array)| (name, array, true)),
            )
            .unwrap(),
        )
    }

    #[test]
    fn moments_are_the_same_in_every_dress() {
        let moment: Timestamp = "2013-03-01T00:00:00Z".parse().unwrap();
        let seconds = moment.as_millis() / 1000;
        let dresses: Vec<ArrayRef> = vec![
            Arc::new(TimestampSecondArray::from(vec![seconds])),
            Arc::new(TimestampMicrosecondArray::from(vec![seconds * 1_000_000]).with_timezone("+05:00")),
            Arc::new(Date32Array::from(vec![moment.day() as i32])),
            Arc::new(Int64Array::from(vec![moment.as_millis()])),
            Arc::new(LargeStringArray::from(vec!["2013-03-01T00:00:00"])),
        ];
        for array in dresses {
            let kind = array.data_type().clone();
            assert_eq!(batch(vec![("t", array)]).timestamps("t").unwrap(), [Some(moment)], "{kind}");
        }
    }

    #[test]
    fn errors_name_file_column_row_found_and_expected() {
        let batch = batch(vec![
            ("who", Arc::new(StringArray::from(vec![Some("a"), Some("soon")])) as ArrayRef),
            ("x", Arc::new(Float32Array::from(vec![1.5, f32::NAN]))),
        ]);
        let say = |error: TableError| error.to_string();
        assert_eq!(
            say(batch.numbers("who").unwrap_err()),
            "t.parquet: column `who` holds text (Utf8), expected numbers"
        );
        assert_eq!(
            say(batch.timestamps("who").unwrap_err()),
            "t.parquet: column `who`, row 101: found `a`, expected a time in RFC 3339"
        );
        assert!(say(batch.categories("x").unwrap_err()).contains("holds numbers"));
        assert_eq!(batch.numbers("x").unwrap(), [Some(1.5), None], "NaN is missing");
        assert_eq!(batch.missing("x").unwrap(), [false, true]);
    }

    #[test]
    fn cells_keep_their_kind() {
        let dictionary: DictionaryArray<arrow_array::types::Int32Type> =
            vec![Some("JFK"), None].into_iter().collect();
        let batch = batch(vec![
            ("d", Arc::new(dictionary) as ArrayRef),
            ("i", Arc::new(Int32Array::from(vec![7, 8]))),
            ("b", Arc::new(BooleanArray::from(vec![Some(true), None]))),
        ]);
        assert_eq!(batch.values("d").unwrap(), [Value::Text("JFK".into()), Value::Missing]);
        assert_eq!(batch.values("i").unwrap(), [Value::Number(7.0), Value::Number(8.0)]);
        assert_eq!(batch.values("b").unwrap(), [Value::Bool(true), Value::Missing]);
        assert_eq!(batch.categories("i").unwrap()[0].as_deref(), Some("7"));
    }
}

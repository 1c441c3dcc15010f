//! Values out of tables into columns: Arrow's arrays, and fields of text that say no type.

use std::str::FromStr;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, UInt64Type};
use arrow_array::{Array, ArrayRef, Float64Array};
use arrow_cast::cast;
use arrow_schema::{ArrowError, DataType, TimeUnit};
use gyre_core::Timestamp;
use gyre_core::spec::ColumnType;
use gyre_data::parts::csv::is_missing;
use gyre_data::table::column_type;

use crate::column::Column;

impl Column {
    /// Takes in rows as Arrow has them.
    ///
    /// # Errors
    /// When Arrow cannot bring them into the form of their kind.
    pub(crate) fn add_array(&mut self, array: &ArrayRef) -> Result<(), ArrowError> {
        if let DataType::Dictionary(_, of) = array.data_type()
            && column_type(of) != Some(ColumnType::Text)
        {
            return self.add_array(&cast(array, of)?);
        }
        self.rows += array.len() as u64;
        match column_type(array.data_type()) {
            Some(ColumnType::Int) => self.add_whole_numbers(array),
            Some(ColumnType::Float) => self.add_numbers(array),
            Some(ColumnType::Bool) => {
                self.add_truths(array);
                Ok(())
            }
            Some(ColumnType::Text) => self.add_texts(array),
            Some(ColumnType::Time) => self.add_times(array),
            None if holds_vectors(array.data_type()) => self.add_vectors(array),
            None => {
                let missing = array.logical_null_count() as u64;
                self.missing += missing;
                self.other += array.len() as u64 - missing;
                Ok(())
            }
        }
    }

    fn add_whole_numbers(&mut self, array: &ArrayRef) -> Result<(), ArrowError> {
        let numbers: Vec<i128> = if *array.data_type() == DataType::UInt64 {
            array.as_primitive::<UInt64Type>().iter().flatten().map(i128::from).collect()
        } else {
            let wide = cast(array, &DataType::Int64)?;
            wide.as_primitive::<Int64Type>().iter().flatten().map(i128::from).collect()
        };
        self.missing += (array.len() - numbers.len()) as u64;
        if !numbers.is_empty() {
            self.numbers.get_or_insert_default().add_whole(&numbers);
        }
        Ok(())
    }

    fn add_numbers(&mut self, array: &ArrayRef) -> Result<(), ArrowError> {
        let floats = match array.data_type() {
            DataType::Float64 => Arc::clone(array),
            _ => cast(array, &DataType::Float64)?,
        };
        let floats = floats.as_primitive::<Float64Type>();
        if floats.null_count() == 0 && !floats.values().iter().any(|number| number.is_nan()) {
            self.add_floats(floats.values());
        } else {
            let known: Vec<f64> = floats.iter().flatten().filter(|number| !number.is_nan()).collect();
            self.missing += (floats.len() - known.len()) as u64;
            self.add_floats(&known);
        }
        Ok(())
    }

    fn add_floats(&mut self, numbers: &[f64]) {
        if !numbers.is_empty() {
            self.numbers.get_or_insert_default().add(numbers);
        }
    }

    fn add_truths(&mut self, array: &ArrayRef) {
        let truths = array.as_boolean();
        self.missing += truths.null_count() as u64;
        if truths.null_count() < truths.len() {
            let ours = self.booleans.get_or_insert_default();
            ours.yes += truths.true_count() as u64;
            ours.no += truths.false_count() as u64;
        }
    }

    fn add_texts(&mut self, array: &ArrayRef) -> Result<(), ArrowError> {
        let codes = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        let coded = if *array.data_type() == codes { Arc::clone(array) } else { cast(array, &codes)? };
        let coded = coded.as_dictionary::<Int32Type>();
        let texts = coded.values().as_string::<i32>();
        let mut counts = vec![0_u64; texts.len()];
        for code in coded.keys() {
            match code.and_then(|code| usize::try_from(code).ok()) {
                Some(code) if texts.is_valid(code) => counts[code] += 1,
                _ => self.missing += 1,
            }
        }
        for (code, rows) in counts.into_iter().enumerate().filter(|(_, rows)| *rows > 0) {
            self.texts.get_or_insert_default().add(texts.value(code), rows);
        }
        Ok(())
    }

    fn add_times(&mut self, array: &ArrayRef) -> Result<(), ArrowError> {
        let millis = match array.data_type() {
            DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Millisecond, zone.clone()),
            _ => DataType::Date64,
        };
        let millis = cast(&cast(array, &millis)?, &DataType::Int64)?;
        let millis = millis.as_primitive::<Int64Type>();
        let missing = array.logical_null_count();
        self.missing += missing as u64;
        // What does not fit into milliseconds is a value, though not one that can be told.
        self.other += (millis.null_count() - missing) as u64;
        if millis.null_count() < millis.len() {
            self.times.get_or_insert_default().add(millis.iter().flatten());
        }
        Ok(())
    }

    fn add_vectors(&mut self, array: &ArrayRef) -> Result<(), ArrowError> {
        let wide = |field: &arrow_schema::FieldRef| {
            Arc::new(field.as_ref().clone().with_data_type(DataType::Float64))
        };
        let kind = match array.data_type() {
            DataType::List(field) => DataType::List(wide(field)),
            DataType::LargeList(field) => DataType::LargeList(wide(field)),
            DataType::FixedSizeList(field, length) => DataType::FixedSizeList(wide(field), *length),
            other => other.clone(),
        };
        let lists = cast(array, &kind)?;
        let vector = |row: usize| match lists.data_type() {
            DataType::List(_) => lists.as_list::<i32>().value(row),
            DataType::LargeList(_) => lists.as_list::<i64>().value(row),
            _ => lists.as_fixed_size_list().value(row),
        };
        for row in 0..lists.len() {
            if lists.is_null(row) {
                self.missing += 1;
                continue;
            }
            let vector = vector(row);
            let numbers: &Float64Array = vector.as_primitive();
            let vectors = self.vectors.get_or_insert_default();
            if numbers.null_count() > 0 {
                vectors.broken += 1;
            } else {
                vectors.add(numbers.values().iter().copied());
            }
        }
        Ok(())
    }
}

fn holds_vectors(kind: &DataType) -> bool {
    match kind {
        DataType::List(of) | DataType::LargeList(of) | DataType::FixedSizeList(of, _) => {
            of.data_type().is_floating()
        }
        _ => false,
    }
}

/// A column of a CSV file that is read field by field: numbers gather until they are worth a batch.
#[derive(Debug)]
pub(crate) struct Fields {
    column: Column,
    whole: Vec<i128>,
    numbers: Vec<f64>,
}

/// Numbers that are taken in at once.
const BATCH: usize = 4_096;

impl Fields {
    pub(crate) fn new(column: Column) -> Self {
        Self { column, whole: Vec::new(), numbers: Vec::new() }
    }

    /// Takes in one field.
    pub(crate) fn add(&mut self, field: &str) {
        self.column.rows += 1;
        match read(field) {
            Field::Missing => self.column.missing += 1,
            Field::Whole(number) => self.whole.push(number),
            Field::Number(number) => self.numbers.push(number),
            Field::Truth(true) => self.column.booleans.get_or_insert_default().yes += 1,
            Field::Truth(false) => self.column.booleans.get_or_insert_default().no += 1,
            Field::Time(millis) => self.column.times.get_or_insert_default().add([millis]),
            Field::Text => self.column.texts.get_or_insert_default().add(field, 1),
        }
        if self.whole.len() + self.numbers.len() >= BATCH {
            self.take_numbers();
        }
    }

    fn take_numbers(&mut self) {
        self.column.add_floats(&self.numbers);
        if !self.whole.is_empty() {
            self.column.numbers.get_or_insert_default().add_whole(&self.whole);
        }
        self.whole.clear();
        self.numbers.clear();
    }

    pub(crate) fn finish(mut self) -> Column {
        self.take_numbers();
        self.column
    }
}

/// What a field of text holds.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Field {
    Missing,
    Whole(i128),
    Number(f64),
    Truth(bool),
    Time(i64),
    Text,
}

fn read(field: &str) -> Field {
    if is_missing(field) {
        return Field::Missing;
    }
    let begins = field.trim_start_matches(['+', '-']).as_bytes().first().copied();
    if begins.is_some_and(|byte| byte.is_ascii_digit() || byte == b'.' || byte.eq_ignore_ascii_case(&b'i')) {
        // As many digits as fit into 128 bits, and by far.
        if field.len() <= 30
            && let Ok(number) = i128::from_str(field)
        {
            return Field::Whole(number);
        }
        if let Ok(number) = f64::from_str(field) {
            return Field::Number(number);
        }
    }
    if field.eq_ignore_ascii_case("true") || field.eq_ignore_ascii_case("false") {
        return Field::Truth(field.len() == 4);
    }
    if is_like_a_date(field.as_bytes())
        && let Ok(moment) = Timestamp::from_str(field)
    {
        return Field::Time(moment.as_millis());
    }
    Field::Text
}

/// `2013-03-01`, and whatever follows.
fn is_like_a_date(field: &[u8]) -> bool {
    field.len() >= 10
        && field.iter().take(10).enumerate().all(|(at, byte)| match at {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_as_what_they_look_like() {
        let day = 1_362_096_000_000;
        for (field, expected) in [
            ("", Field::Missing),
            ("NA", Field::Missing),
            ("nan", Field::Missing),
            ("7", Field::Whole(7)),
            ("-12", Field::Whole(-12)),
            ("9223372036854775808", Field::Whole(1 << 63)),
            ("1.0", Field::Number(1.0)),
            ("-.5e3", Field::Number(-500.0)),
            ("-inf", Field::Number(f64::NEG_INFINITY)),
            ("Infinity", Field::Number(f64::INFINITY)),
            ("TRUE", Field::Truth(true)),
            ("false", Field::Truth(false)),
            ("2013-03-01", Field::Time(day)),
            ("2013-03-01 00:00:01", Field::Time(day + 1_000)),
            ("2013-03-01T01:00:00+01:00", Field::Time(day)),
            ("2013-99-01", Field::Text),
            ("1,5", Field::Text),
            ("i", Field::Text),
            (" 7", Field::Text),
            ("日本", Field::Text),
        ] {
            assert_eq!(read(field), expected, "{field}");
        }
    }
}

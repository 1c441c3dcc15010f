//! Columns as a model takes them, made of Arrow's arrays or of the fields of a CSV file.

use std::collections::HashSet;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, Float32Type, Float64Type, Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef, PrimitiveArray};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{ArrowError, DataType};
use gyre_data::parts::csv::is_missing;

/// How many different categories are remembered; more share their text within a chunk only.
const REMEMBERED: usize = 65_536;

/// Categories met so far, so that equal ones share their text: few texts, many rows.
#[derive(Default)]
pub(crate) struct Categories(HashSet<Arc<str>>);

impl Categories {
    /// The shared text of a category.
    pub(crate) fn shared(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.0.get(text) {
            return Arc::clone(known);
        }
        if self.0.len() >= REMEMBERED {
            self.0.clear();
        }
        let new: Arc<str> = text.into();
        self.0.insert(Arc::clone(&new));
        new
    }
}

/// Numbers; NaN is missing, booleans are 0 and 1.
///
/// # Errors
/// When a value is no double: a decimal that is too large.
pub(crate) fn numbers(array: &ArrayRef) -> Result<Vec<f64>, ArrowError> {
    // The usual types without a detour over another array.
    Ok(match array.data_type() {
        DataType::Float64 => doubles(array.as_primitive::<Float64Type>(), |x| x),
        DataType::Float32 => doubles(array.as_primitive::<Float32Type>(), f64::from),
        DataType::Int32 => doubles(array.as_primitive::<Int32Type>(), f64::from),
        // Whole numbers are exact up to 2^53, as everywhere in gyre.
        DataType::Int64 => doubles(array.as_primitive::<Int64Type>(), |x| x as f64),
        _ => {
            let cast = strictly(array, &DataType::Float64)?;
            doubles(cast.as_primitive::<Float64Type>(), |x| x)
        }
    })
}

fn doubles<T: ArrowPrimitiveType>(array: &PrimitiveArray<T>, double: impl Fn(T::Native) -> f64) -> Vec<f64> {
    let mut values: Vec<f64> = array.values().iter().map(|value| double(*value)).collect();
    if let Some(nulls) = array.nulls().filter(|nulls| nulls.null_count() > 0) {
        for (value, valid) in values.iter_mut().zip(nulls) {
            if !valid {
                *value = f64::NAN;
            }
        }
    }
    values
}

/// Categories: text as it is, whole numbers and booleans written out.
///
/// # Errors
/// When a value cannot be written as text.
pub(crate) fn texts(array: &ArrayRef, seen: &mut Categories) -> Result<Vec<Option<Arc<str>>>, ArrowError> {
    let strings = strictly(array, &DataType::Utf8)?;
    Ok(strings.as_string::<i32>().iter().map(|text| text.map(|text| seen.shared(text))).collect())
}

fn strictly(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    // A value that does not fit is an error, not a silent null.
    cast_with_options(array, to, &CastOptions { safe: false, ..CastOptions::default() })
}

/// A CSV field as a number; none when it is not one.
pub(crate) fn number(field: &str) -> Option<f64> {
    let field = field.trim_matches(' ');
    if is_missing(field) {
        return Some(f64::NAN);
    }
    match field.parse() {
        Ok(number) => Some(number),
        Err(_) if field.eq_ignore_ascii_case("true") => Some(1.0),
        Err(_) if field.eq_ignore_ascii_case("false") => Some(0.0),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{BooleanArray, DictionaryArray, Float32Array, Int64Array, UInt8Array};

    #[test]
    fn numbers_of_every_type_come_out_the_same() {
        let same: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![Some(1), None, Some(0)])),
            Arc::new(UInt8Array::from(vec![Some(1), None, Some(0)])),
            Arc::new(Float32Array::from(vec![Some(1.0), Some(f32::NAN), Some(0.0)])),
            Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])),
        ];
        for array in same {
            let found = numbers(&array).unwrap();
            assert!(found[0] == 1.0 && found[1].is_nan() && found[2] == 0.0, "{array:?} {found:?}");
        }
    }

    #[test]
    fn categories_share_their_text() {
        let array: DictionaryArray<Int32Type> = vec![Some("JFK"), None, Some("JFK")].into_iter().collect();
        let mut seen = Categories::default();
        let found = texts(&(Arc::new(array) as ArrayRef), &mut seen).unwrap();
        assert_eq!(found[1], None);
        assert!(Arc::ptr_eq(found[0].as_ref().unwrap(), found[2].as_ref().unwrap()));
        let whole = texts(&(Arc::new(Int64Array::from(vec![7])) as ArrayRef), &mut seen).unwrap();
        assert_eq!(whole[0].as_deref(), Some("7"));
    }

    #[test]
    fn a_field_is_a_number_a_gap_or_neither() {
        assert_eq!(number(" 1.5e3"), Some(1500.0));
        assert_eq!(number("True"), Some(1.0));
        assert!(number("NA").unwrap().is_nan() && number("").unwrap().is_nan());
        assert_eq!(number("soon"), None);
    }
}

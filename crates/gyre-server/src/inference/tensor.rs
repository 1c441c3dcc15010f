//! The data of an input tensor, from JSON into a column without a detour.
//!
//! The datatype may stand before or after the data, so the data is read by what it holds, in one pass, and held against
//! datatype and shape afterwards. Rows may be nested (`[[1], [2]]`) or flat (`[1, 2]`); `null` is a missing value.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use gyre_core::ids::nearest;
use gyre_gateway::{Column, Input};
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};

/// Datatypes that are understood, as the protocol names them.
const DATATYPES: [&str; 13] = [
    "BOOL", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64", "FP16", "FP32", "FP64",
    "BYTES",
];

/// The largest whole number that a double holds exactly, with all below it: 2^53.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// An input tensor as it is written.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tensor<'a> {
    #[serde(borrow)]
    pub(super) name: Cow<'a, str>,
    pub(super) shape: Vec<u64>,
    #[serde(borrow)]
    pub(super) datatype: Cow<'a, str>,
    pub(super) data: Data,
    #[serde(borrow, default)]
    pub(super) parameters: TensorParameters<'a>,
}

/// What is understood of a tensor's parameters; others are the client's own affair.
#[derive(Debug, Default, serde::Deserialize)]
pub(super) struct TensorParameters<'a> {
    /// `id`: not a feature, but the prediction ids of the rows.
    #[serde(borrow, default)]
    pub(super) role: Option<Cow<'a, str>>,
}

/// Values read, of one kind.
#[derive(Debug, Default)]
pub(super) struct Data {
    found: Found,
    numbers: Vec<f64>,
    texts: Vec<Option<Arc<str>>>,
    nulls: Vec<usize>,
    len: usize,
    nested: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Found {
    #[default]
    Nothing,
    Bools,
    Numbers,
    Texts,
}

impl Found {
    const fn words(self) -> &'static str {
        match self {
            Self::Nothing => "only nulls",
            Self::Bools => "true or false",
            Self::Numbers => "numbers",
            Self::Texts => "text",
        }
    }
}

/// What is wrong with a tensor.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(super) enum TensorError {
    #[error("input `{name}`: datatype `{found}` is not known{}; expected one of {}", hint(.found), DATATYPES.join(", "))]
    Datatype { name: String, found: String },
    #[error("input `{name}`: the data is {found}, its datatype {datatype} expects {expected}")]
    Kind { name: String, datatype: String, found: &'static str, expected: &'static str },
    #[error("input `{name}`, row {row}: {value} is not a {datatype}")]
    Range { name: String, row: usize, value: f64, datatype: String },
    #[error(
        "input `{name}`: shape {shape:?} does not fit; expected [{found}] or [{found}, 1] for its {found} values"
    )]
    Shape { name: String, shape: Vec<u64>, found: usize },
}

fn hint(found: &str) -> String {
    let upper = found.to_uppercase();
    nearest(&upper, DATATYPES).map_or(String::new(), |name| format!(", did you mean `{name}`?"))
}

impl Tensor<'_> {
    /// Rows that the shape states; 0 when it has no dimension.
    pub(super) fn rows(&self) -> usize {
        self.data.len
    }

    /// The feature that the tensor holds, once it is what it says.
    pub(super) fn into_input(self) -> Result<Input, TensorError> {
        self.check_shape()?;
        let Self { name, datatype, mut data, .. } = self;
        let kind = |data: &Data, expected| TensorError::Kind {
            name: name.to_string(),
            datatype: datatype.to_string(),
            found: data.found.words(),
            expected,
        };
        let wanted = match &*datatype {
            "BOOL" => Found::Bools,
            "BYTES" => Found::Texts,
            known if DATATYPES.contains(&known) => Found::Numbers,
            _ => {
                return Err(TensorError::Datatype {
                    name: name.into_owned(),
                    found: datatype.chars().take(40).collect(),
                });
            }
        };
        data.settle(wanted);
        if data.found != wanted {
            return Err(kind(&data, wanted.words()));
        }
        if let Some((least, most)) = whole_range(&datatype) {
            let fits = |value: &f64| value.is_nan() || value.fract() == 0.0 && (least..=most).contains(value);
            if let Some(row) = data.numbers.iter().position(|value| !fits(value)) {
                let (value, datatype) = (data.numbers[row], datatype.into_owned());
                return Err(TensorError::Range { name: name.into_owned(), row, value, datatype });
            }
        }
        let name: Arc<str> = name.into();
        Ok(match wanted {
            Found::Texts => Input::texts(name, data.texts),
            _ => Input { name, values: Column::Numeric(data.numbers), nulls: data.nulls },
        })
    }

    /// The prediction ids that the tensor holds, one a row.
    pub(super) fn into_ids(self) -> Result<Vec<Arc<str>>, TensorError> {
        let (name, datatype) = (self.name.to_string(), self.datatype.to_string());
        let kind = |found| TensorError::Kind {
            name: name.clone(),
            datatype: datatype.clone(),
            found,
            expected: "text",
        };
        match self.into_input()?.values {
            Column::Text(ids) => {
                ids.into_iter().collect::<Option<_>>().ok_or_else(|| kind("missing in a row"))
            }
            Column::Numeric(_) => Err(kind(Found::Numbers.words())),
        }
    }

    fn check_shape(&self) -> Result<(), TensorError> {
        let len = self.data.len as u64;
        let fits = match &self.shape[..] {
            [rows] => *rows == len && !self.data.nested,
            [rows, 1] => *rows == len,
            _ => false,
        };
        if fits {
            return Ok(());
        }
        let shape = self.shape.iter().copied().take(8).collect();
        Err(TensorError::Shape { name: self.name.to_string(), shape, found: self.data.len })
    }
}

/// What a whole-number datatype can hold, as far as a double holds it exactly.
fn whole_range(datatype: &str) -> Option<(f64, f64)> {
    Some(match datatype {
        "INT8" => (-128.0, 127.0),
        "INT16" => (-32_768.0, 32_767.0),
        "INT32" => (-2_147_483_648.0, 2_147_483_647.0),
        "INT64" => (-EXACT, EXACT),
        "UINT8" => (0.0, 255.0),
        "UINT16" => (0.0, 65_535.0),
        "UINT32" => (0.0, 4_294_967_295.0),
        "UINT64" => (0.0, EXACT),
        _ => return None,
    })
}

impl Data {
    /// Nulls alone become whatever is wanted.
    fn settle(&mut self, wanted: Found) {
        if self.found == Found::Nothing {
            self.begin(wanted);
        }
    }

    fn begin(&mut self, found: Found) {
        self.found = found;
        match found {
            Found::Texts => self.texts.resize(self.len, None),
            _ => self.numbers.resize(self.len, f64::NAN),
        }
    }

    fn take<E: Error>(&mut self, found: Found) -> Result<(), E> {
        if self.found == Found::Nothing {
            self.begin(found);
        }
        if self.found != found {
            return Err(E::custom(format_args!(
                "value {} is {}, those before it are {}",
                self.len,
                found.words(),
                self.found.words()
            )));
        }
        self.len += 1;
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Data;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of values")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Data, A::Error> {
                let mut data = Data::default();
                while seq.next_element_seed(Cell { data: &mut data, inner: false })?.is_some() {}
                Ok(data)
            }
        }
        deserializer.deserialize_seq(All)
    }
}

/// Reads one value, or a row of one value.
struct Cell<'d> {
    data: &'d mut Data,
    inner: bool,
}

impl<'de> DeserializeSeed<'de> for Cell<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Cell<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.inner { "one value a row" } else { "a number, text, true, false or null" })
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        match self.data.found {
            Found::Nothing => {}
            Found::Texts => self.data.texts.push(None),
            Found::Bools | Found::Numbers => self.data.numbers.push(f64::NAN),
        }
        self.data.nulls.push(self.data.len);
        self.data.len += 1;
        Ok(())
    }

    fn visit_bool<E: Error>(self, truth: bool) -> Result<(), E> {
        self.data.take(Found::Bools)?;
        self.data.numbers.push(f64::from(u8::from(truth)));
        Ok(())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<(), E> {
        self.data.take(Found::Numbers)?;
        self.data.numbers.push(number);
        Ok(())
    }

    // Beyond 2^53 the number is rounded here and refused when it is held against its datatype.
    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        self.visit_f64(number as f64)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        self.visit_f64(number as f64)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.data.take(Found::Texts)?;
        self.data.texts.push(Some(text.into()));
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut row: A) -> Result<(), A::Error> {
        if self.inner {
            return Err(A::Error::custom("values are nested more than once; expected [v, v] or [[v], [v]]"));
        }
        if !self.data.nested && self.data.len > 0 {
            return Err(A::Error::custom("some rows are nested and some are not"));
        }
        self.data.nested = true;
        let before = self.data.len;
        while row.next_element_seed(Cell { data: &mut *self.data, inner: true })?.is_some() {}
        match self.data.len - before {
            1 => Ok(()),
            found => Err(A::Error::custom(format_args!(
                "row {before} holds {found} values, expected 1: send one input tensor for each feature"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(json: &str) -> Result<Input, String> {
        let tensor: Tensor<'_> = serde_json::from_str(json).map_err(|error| error.to_string())?;
        tensor.into_input().map_err(|error| error.to_string())
    }

    fn tensor(datatype: &str, shape: &str, data: &str) -> Result<Input, String> {
        input(&format!(r#"{{"name": "x", "shape": {shape}, "datatype": "{datatype}", "data": {data}}}"#))
    }

    #[test]
    fn data_is_flat_or_nested_and_may_be_missing() {
        let expected = Input::optional_numbers("x", &[None, Some(1.5), None]);
        for (shape, data) in [
            ("[3]", "[null, 1.5, null]"),
            ("[3, 1]", "[[null], [1.5], [null]]"),
            ("[3,1]", "[null,1.5,null]"),
        ] {
            // NaN is not equal to itself: compare how it prints.
            assert_eq!(
                format!("{:?}", tensor("FP64", shape, data)),
                format!("{:?}", Ok::<_, String>(expected.clone()))
            );
        }
        assert_eq!(
            tensor("BYTES", "[2]", r#"[null, "a\"b"]"#),
            Ok(Input::texts("x", vec![None, Some("a\"b".into())]))
        );
        assert_eq!(tensor("BOOL", "[2]", "[true, false]"), Ok(Input::numbers("x", vec![1.0, 0.0])));
        assert_eq!(tensor("UINT8", "[1]", "[255]"), Ok(Input::numbers("x", vec![255.0])));
        assert_eq!(tensor("BYTES", "[2]", "[null, null]"), Ok(Input::texts("x", vec![None, None])));
        assert_eq!(
            input(
                r#"{"data": ["late"], "datatype": "BYTES", "name": "x", "shape": [1], "parameters": {"a": [1]}}"#
            ),
            Ok(Input::texts("x", vec![Some("late".into())]))
        );
    }

    #[test]
    fn each_mistake_is_told() {
        let cases = [
            ("FP63", "[1]", "[1]", "did you mean `FP64`?"),
            ("FP64", "[1]", r#"["1"]"#, "the data is text, its datatype FP64 expects numbers"),
            ("BYTES", "[1]", "[1]", "the data is numbers, its datatype BYTES expects text"),
            ("INT8", "[2]", "[1, 128]", "row 1: 128 is not a INT8"),
            ("INT64", "[1]", "[1.5]", "row 0: 1.5 is not a INT64"),
            ("INT64", "[1]", "[9007199254740993000]", "is not a INT64"),
            ("FP64", "[2]", "[1]", "shape [2] does not fit; expected [1] or [1, 1] for its 1 values"),
            ("FP64", "[1, 2]", "[1, 2]", "shape [1, 2] does not fit"),
            ("FP64", "[]", "[1]", "shape [] does not fit"),
            ("FP64", "[-1]", "[1]", "invalid value: integer `-1`"),
            ("FP64", "[1]", "[[[1]]]", "nested more than once"),
            ("FP64", "[1]", "[[1, 2]]", "row 0 holds 2 values, expected 1"),
            ("FP64", "[2]", "[1, [2]]", "some rows are nested and some are not"),
            ("FP64", "[2]", r#"[1, "a"]"#, "value 1 is text, those before it are numbers"),
            ("FP64", "[1]", "[NaN]", "expected value at line 1"),
            ("FP64", "[1]", "[1e999]", "number out of range at line 1"),
            ("FP64", "[1]", "[{}]", "invalid type: map, expected a number, text, true, false or null"),
            ("FP64", "[1]", "7", "expected an array of values"),
        ];
        for (datatype, shape, data, expected) in cases {
            let told = tensor(datatype, shape, data).unwrap_err();
            assert!(told.contains(expected), "{datatype} {shape} {data}: {told}");
        }
    }
}

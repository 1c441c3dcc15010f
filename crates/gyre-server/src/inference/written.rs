//! The data of an input tensor, from JSON into a column without a detour.
//!
//! The datatype may stand before or after the data, so the data is read by what it holds, in one pass, and held against
//! datatype and shape afterwards. Rows may be nested (`[[1, 2], [3, 4]]`) or flat (`[1, 2, 3, 4]`); `null` is a missing
//! value. Instead of data a tensor may say how many bytes after the JSON are its own ([`gyre_wire`]).

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use gyre_wire::Datatype;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};

use super::tensor::{Tensor, TensorError, Values};

/// How deep arrays may be nested: a table has rows and columns.
const DEPTH: usize = 2;

/// An input tensor as it is written.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written<'a> {
    #[serde(borrow)]
    pub(super) name: Cow<'a, str>,
    pub(super) shape: Vec<u64>,
    #[serde(borrow)]
    pub(super) datatype: Cow<'a, str>,
    #[serde(default)]
    data: Option<Data>,
    #[serde(borrow, default)]
    pub(super) parameters: TensorParameters<'a>,
}

/// What is understood of a tensor's parameters; others are the client's own affair.
#[derive(Debug, Default, serde::Deserialize)]
pub(super) struct TensorParameters<'a> {
    /// `id`: not a feature, but the prediction ids of the rows.
    #[serde(borrow, default)]
    pub(super) role: Option<Cow<'a, str>>,
    /// How many bytes after the JSON are the tensor's data.
    #[serde(default)]
    pub(super) binary_data_size: Option<u64>,
}

impl<'a> Written<'a> {
    /// The tensor. `take` gives the next bytes after the JSON.
    pub(super) fn into_tensor<'b>(
        self,
        take: impl FnOnce(u64) -> Option<&'b [u8]>,
    ) -> Result<Tensor<'a>, TensorError> {
        let Self { name, shape, datatype, data, parameters } = self;
        let datatype = Datatype::named(&datatype)
            .map_err(|unknown| TensorError::Datatype { name: name.to_string(), unknown })?;
        let raw = |problem: String| TensorError::Raw { name: name.to_string(), problem };
        let values = match (data, parameters.binary_data_size) {
            (Some(data), None) => data.into_values(&name, datatype)?,
            (None, Some(size)) => {
                let bytes = take(size).ok_or_else(|| {
                    raw(format!("binary_data_size is {size}, and fewer bytes are left in the body"))
                })?;
                Values::of(gyre_wire::read(datatype, bytes).map_err(raw)?)
            }
            (None, None) => {
                return Err(raw("it has neither `data` nor `parameters.binary_data_size`".to_owned()));
            }
            (Some(_), Some(_)) => {
                return Err(raw("it has both `data` and `parameters.binary_data_size`".to_owned()));
            }
        };
        let mut tensor = Tensor::new(name, datatype, shape, values)?;
        tensor.role = parameters.role;
        Ok(tensor)
    }
}

/// Values read, of one kind.
#[derive(Debug, Default)]
pub(super) struct Data {
    found: Found,
    numbers: Vec<f64>,
    texts: Vec<Option<Arc<str>>>,
    nulls: Vec<usize>,
    len: usize,
    /// The length of the first row, once one has been read.
    width: Option<usize>,
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

impl Data {
    fn into_values(mut self, name: &str, datatype: Datatype) -> Result<Values, TensorError> {
        let wanted = match datatype {
            Datatype::Bool => Found::Bools,
            Datatype::Bytes => Found::Texts,
            _ => Found::Numbers,
        };
        // Nulls alone become whatever is wanted.
        if self.found == Found::Nothing {
            self.begin(wanted);
        }
        if self.found != wanted {
            let (found, expected) = (self.found.words(), wanted.words());
            return Err(TensorError::Kind {
                name: name.to_owned(),
                datatype: datatype.name(),
                found,
                expected,
            });
        }
        Ok(match wanted {
            Found::Texts => Values::Texts(self.texts),
            _ => Values::Numbers(self.numbers, self.nulls),
        })
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
                while seq.next_element_seed(Cell { data: &mut data, depth: 1 })?.is_some() {}
                Ok(data)
            }
        }
        deserializer.deserialize_seq(All)
    }
}

/// Reads one value, or a row of values.
struct Cell<'d> {
    data: &'d mut Data,
    depth: usize,
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
        f.write_str("a number, text, true, false or null")
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
        if self.depth >= DEPTH {
            return Err(A::Error::custom(
                "values are nested more than once in a row; expected [v, v] or [[v, v], [v, v]]",
            ));
        }
        if self.data.width.is_none() && self.data.len > 0 {
            return Err(A::Error::custom("some rows are nested and some are not"));
        }
        let before = self.data.len;
        while row.next_element_seed(Cell { data: &mut *self.data, depth: self.depth + 1 })?.is_some() {}
        let found = self.data.len - before;
        match *self.data.width.get_or_insert(found) {
            width if width == found && width > 0 => Ok(()),
            width => Err(A::Error::custom(format_args!("a row holds {found} values, the first one {width}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gyre_gateway::Input;

    fn input(json: &str) -> Result<Input, String> {
        let written: Written<'_> = serde_json::from_str(json).map_err(|error| error.to_string())?;
        let tensor = written.into_tensor(|_| None).map_err(|error| error.to_string())?;
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
            ("INT8", "[2]", "[1, 128]", "element 1: 128 is not a INT8"),
            ("INT64", "[1]", "[1.5]", "element 0: 1.5 is not a INT64"),
            ("INT64", "[1]", "[9007199254740993000]", "is not a INT64"),
            (
                "FP64",
                "[2]",
                "[1]",
                "shape [2] does not fit its 1 values; expected [n], [n, 1] or [n, features]",
            ),
            ("FP64", "[]", "[1]", "shape [] does not fit"),
            ("FP64", "[-1]", "[1]", "invalid value: integer `-1`"),
            ("FP64", "[1, 1, 1]", "[1]", "shape [1, 1, 1] does not fit"),
            ("FP64", "[1]", "[[[1]]]", "nested more than once"),
            ("FP64", "[3]", "[[1, 2], [1]]", "a row holds 1 values, the first one 2"),
            ("FP64", "[1, 0]", "[[]]", "a row holds 0 values"),
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
        let none = input(r#"{"name": "x", "shape": [1], "datatype": "FP64"}"#).unwrap_err();
        assert!(none.contains("neither `data` nor"), "{none}");
    }
}

//! Values that a model server sends, read from JSON without building a tree of them.
//!
//! Both protocols send arrays that may be nested or flat; what is wanted is the values in their order. And Python writes
//! `NaN` and `Infinity` into JSON, which knows neither: since one such value must not make the answers about other rows
//! unreadable, [`nulled`] makes them `null`, and `null` is read as NaN.

use std::fmt;

use gyre_wire::{Elements, NOT_FINITE, nulled};
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};

/// Adds a number; whole ones before it become numbers too.
fn push_number(elements: &mut Elements, value: f64) -> Result<(), &'static str> {
    if let Elements::Integers(values) = elements {
        *elements = Elements::Numbers(values.iter().map(|&value| value as f64).collect());
    }
    match elements {
        Elements::Numbers(values) => values.push(value),
        _ => return Err("numbers among other values"),
    }
    Ok(())
}

/// A tensor: a named output.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tensor {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) cells: Elements,
}

/// Arrays, nested or flat, of values of one type, with the lengths of each level. `null` is NaN.
#[derive(Debug, PartialEq)]
pub(crate) struct Flat {
    pub(crate) shape: Vec<usize>,
    pub(crate) cells: Elements,
}

impl<'de> Deserialize<'de> for Flat {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut building = Building { shape: Vec::new(), cells: None };
        Level { building: &mut building, depth: 0 }.deserialize(deserializer)?;
        Ok(Flat {
            shape: building.shape.into_iter().map(Option::unwrap_or_default).collect(),
            cells: building.cells.unwrap_or(Elements::Numbers(Vec::new())),
        })
    }
}

struct Building {
    /// The length of each level, once an array of it has ended.
    shape: Vec<Option<usize>>,
    cells: Option<Elements>,
}

/// The value at a depth: an array of the next one, or a cell.
struct Level<'a> {
    building: &'a mut Building,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Level<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Level<'_> {
    fn cell<E: Error>(
        self,
        empty: fn() -> Elements,
        push: impl FnOnce(&mut Elements) -> Result<(), &'static str>,
    ) -> Result<(), E> {
        if self.depth == 0 || self.depth != self.building.shape.len() {
            return Err(E::custom("arrays of different depth"));
        }
        push(self.building.cells.get_or_insert_with(empty)).map_err(E::custom)
    }
}

impl<'de> Visitor<'de> for Level<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("arrays of numbers, texts or booleans")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<(), A::Error> {
        let Self { building, depth } = self;
        if building.shape.len() <= depth {
            if building.cells.is_some() {
                return Err(A::Error::custom("arrays of different depth"));
            }
            building.shape.push(None);
        }
        let mut length = 0;
        while array.next_element_seed(Level { building: &mut *building, depth: depth + 1 })?.is_some() {
            length += 1;
        }
        match building.shape.get_mut(depth) {
            Some(known) if known.is_none_or(|known| known == length) => *known = Some(length),
            _ => return Err(A::Error::custom("arrays of different lengths side by side")),
        }
        Ok(())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.cell(|| Elements::Numbers(Vec::new()), |cells| push_number(cells, value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.cell(
            || Elements::Integers(Vec::new()),
            |cells| match cells {
                Elements::Integers(values) => {
                    values.push(value);
                    Ok(())
                }
                other => push_number(other, value as f64),
            },
        )
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        match i64::try_from(value) {
            Ok(value) => self.visit_i64(value),
            Err(_) => self.visit_f64(value as f64),
        }
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.visit_f64(f64::NAN)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.cell(
            || Elements::Truths(Vec::new()),
            |cells| match cells {
                Elements::Truths(values) => {
                    values.push(value);
                    Ok(())
                }
                _ => Err("booleans among other values"),
            },
        )
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.cell(
            || Elements::Texts(Vec::new()),
            |cells| match cells {
                Elements::Texts(values) => {
                    values.push(value.into());
                    Ok(())
                }
                _ => Err("texts among other values"),
            },
        )
    }
}

/// Reads JSON; where that fails because of `NaN` or `Infinity`, reads it with `null` in their place.
pub(crate) fn read<'de, T: Deserialize<'de>>(
    bytes: &'de [u8],
    repaired: &'de mut Vec<u8>,
) -> Result<T, serde_json::Error> {
    // Structs could come as arrays of their fields too, which no protocol means.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(serde_json::Error::custom("expected a JSON object"));
    }
    match serde_json::from_slice(bytes) {
        Err(error) if error.is_syntax() => {
            let Some(without) = nulled(bytes, NOT_FINITE) else { return Err(error) };
            *repaired = without;
            serde_json::from_slice(repaired)
        }
        read => read,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn flat(json: &str) -> Result<Flat, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn nested_and_flat_arrays_give_the_same_values() {
        let nested = flat("[[1, 2], [3, 4]]").unwrap();
        assert_eq!(nested, Flat { shape: vec![2, 2], cells: Elements::Integers(vec![1, 2, 3, 4]) });
        let mixed = flat("[1, 2.5, null]").unwrap();
        assert!(matches!(mixed.cells, Elements::Numbers(v) if v[..2] == [1.0, 2.5] && v[2].is_nan()));
        assert_eq!(flat(r#"["a"]"#).unwrap().cells, Elements::Texts(vec!["a".into()]));
        assert_eq!(flat("[[], []]").unwrap().shape, [2, 0]);
        assert_eq!(
            flat("[18446744073709551615]").unwrap().cells,
            Elements::Numbers(vec![18446744073709551615.0])
        );
    }

    #[test]
    fn what_is_no_tensor_is_refused() {
        for json in [
            "[1, [2]]",
            "[[1], 2]",
            "[[1, 2], [3]]",
            r#"[1, "a"]"#,
            "[true, 1]",
            r#"[{"a": 1}]"#,
            "[[[1]], [2]]",
        ] {
            assert!(flat(json).is_err(), "{json}");
        }
    }

    #[test]
    fn nan_in_texts_stays() {
        let mut repaired = Vec::new();
        let json = br#"{"a\"NaN": "NaN \\", "b": [NaN, -Infinity, Infinity]}"#;
        let value: serde_json::Value = read(json, &mut repaired).unwrap();
        assert_eq!(value, serde_json::json!({"a\"NaN": "NaN \\", "b": [null, null, null]}));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let mut repaired = Vec::new();
            let _ = read::<Flat>(&bytes, &mut repaired);
        }
    }
}

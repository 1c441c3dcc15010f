//! Universal Binary JSON (<https://ubjson.org>, draft 12) as a deserialiser of serde, so that XGBoost's binary form is read
//! into the same types as its JSON.
//!
//! Lengths are not believed: nothing is allocated for them, every element takes bytes from the input, and types without
//! bytes of their own are not accepted as the type of a list.

use serde::de::value::Error;
use serde::de::{self, DeserializeOwned, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

/// Deepest nesting; XGBoost's documents have about eight levels.
const DEEPEST: usize = 64;

/// Reads one value, which must be all there is.
pub(super) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    let mut input = Input { bytes, at: 0, depth: 0 };
    let marker = input.marker()?;
    let value = T::deserialize(Value { input: &mut input, marker })?;
    if input.at < bytes.len() {
        return Err(input.error("there is something behind the document"));
    }
    Ok(value)
}

struct Input<'de> {
    bytes: &'de [u8],
    at: usize,
    depth: usize,
}

impl<'de> Input<'de> {
    fn error(&self, problem: &str) -> Error {
        de::Error::custom(format_args!("byte {}: {problem}", self.at))
    }

    fn take(&mut self, n: usize) -> Result<&'de [u8], Error> {
        let end = self.at.checked_add(n).filter(|end| *end <= self.bytes.len());
        let Some(end) = end else { return Err(self.error("the file ends here, in the middle of a value")) };
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let taken = self.take(N)?;
        taken.try_into().map_err(|_| self.error("the file ends here"))
    }

    /// The next marker that is no filler.
    fn marker(&mut self) -> Result<u8, Error> {
        loop {
            match self.array::<1>()? {
                [b'N'] => {}
                [marker] => return Ok(marker),
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn integer(&mut self, marker: u8) -> Result<i64, Error> {
        Ok(match marker {
            b'i' => i8::from_be_bytes(self.array()?).into(),
            b'U' => u8::from_be_bytes(self.array()?).into(),
            b'I' => i16::from_be_bytes(self.array()?).into(),
            b'l' => i32::from_be_bytes(self.array()?).into(),
            b'L' => i64::from_be_bytes(self.array()?),
            _ => return Err(self.error("expected a whole number")),
        })
    }

    fn length(&mut self) -> Result<usize, Error> {
        let marker = self.marker()?;
        let length = self.integer(marker)?;
        usize::try_from(length).map_err(|_| self.error("a length is negative"))
    }

    fn text(&mut self) -> Result<&'de str, Error> {
        let length = self.length()?;
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes).map_err(|_| self.error("a text is not UTF-8"))
    }

    /// What stands between the bracket of a list or an object and its first element.
    fn extent(&mut self) -> Result<Extent, Error> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.error("nested too deeply"));
        }
        let mut kind = None;
        if self.peek() == Some(b'$') {
            self.at += 1;
            let [marker] = self.array::<1>()?;
            if !matches!(marker, b'i' | b'U' | b'I' | b'l' | b'L' | b'd' | b'D' | b'C' | b'S' | b'[' | b'{') {
                return Err(self.error("a list is of a type that is unknown, or takes no bytes"));
            }
            kind = Some(marker);
        }
        if self.peek() == Some(b'#') {
            self.at += 1;
            return Ok(Extent { kind, left: Some(self.length()?) });
        }
        if kind.is_some() {
            return Err(self.error("a type without a length"));
        }
        Ok(Extent { kind: None, left: None })
    }
}

/// How many elements are left, if that was told, and their type, if they share one.
struct Extent {
    kind: Option<u8>,
    left: Option<usize>,
}

impl Extent {
    /// Whether another element comes; takes the closing bracket.
    fn goes_on(&mut self, input: &mut Input<'_>, close: u8) -> bool {
        let more = match &mut self.left {
            Some(left) => {
                let more = *left > 0;
                *left = left.saturating_sub(1);
                more
            }
            None if input.peek() == Some(close) => {
                input.at += 1;
                false
            }
            None => true,
        };
        if !more {
            input.depth -= 1;
        }
        more
    }
}

/// A value whose marker has been read.
struct Value<'a, 'de> {
    input: &'a mut Input<'de>,
    marker: u8,
}

impl<'de> de::Deserializer<'de> for Value<'_, 'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let Value { input, marker } = self;
        match marker {
            b'Z' => visitor.visit_unit(),
            b'T' => visitor.visit_bool(true),
            b'F' => visitor.visit_bool(false),
            b'd' => visitor.visit_f32(f32::from_be_bytes(input.array()?)),
            b'D' => visitor.visit_f64(f64::from_be_bytes(input.array()?)),
            b'C' => visitor.visit_u8(input.array::<1>()?[0]),
            b'S' | b'H' => visitor.visit_borrowed_str(input.text()?),
            b'[' => {
                let extent = input.extent()?;
                visitor.visit_seq(List { input, extent })
            }
            b'{' => {
                let extent = input.extent()?;
                visitor.visit_map(List { input, extent })
            }
            _ => visitor.visit_i64(input.integer(marker)?),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.marker == b'Z' { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// The elements of a list or an object.
struct List<'a, 'de> {
    input: &'a mut Input<'de>,
    extent: Extent,
}

impl<'de> List<'_, 'de> {
    fn value<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        let marker = match self.extent.kind {
            Some(kind) => kind,
            None => self.input.marker()?,
        };
        seed.deserialize(Value { input: &mut *self.input, marker })
    }
}

impl<'de> SeqAccess<'de> for List<'_, 'de> {
    type Error = Error;
    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        if self.extent.goes_on(self.input, b']') { self.value(seed).map(Some) } else { Ok(None) }
    }
}

impl<'de> MapAccess<'de> for List<'_, 'de> {
    type Error = Error;
    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        if !self.extent.goes_on(self.input, b'}') {
            return Ok(None);
        }
        let key = self.input.text()?;
        seed.deserialize(de::value::BorrowedStrDeserializer::new(key)).map(Some)
    }
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        self.value(seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn lists_with_and_without_type_and_length() {
        for bytes in [&b"[$i#i\x03\x01\x02\x03"[..], b"[#U\x03i\x01I\0\x02l\0\0\0\x03", b"[Ni\x01U\x02i\x03]"]
        {
            assert_eq!(read::<Vec<i32>>(bytes).unwrap(), [1, 2, 3]);
        }
        assert_eq!(read::<Vec<f32>>(b"[$d#i\x01\x3f\x80\0\0").unwrap(), [1.0]);
        let object: BTreeMap<String, Vec<i32>> = read(b"{i\x01a[]i\x01b[$L#i\x00}").unwrap();
        assert_eq!(
            object.into_iter().map(|(k, v)| (k, v.len())).collect::<Vec<_>>(),
            [("a".into(), 0), ("b".into(), 0)]
        );
    }

    #[test]
    fn lengths_are_not_believed() {
        for bytes in [
            &b"[$i#L\x7f\xff\xff\xff\xff\xff\xff\xff"[..],
            b"[$T#L\x7f\xff\xff\xff\xff\xff\xff\xff",
            b"[#L\x7f\xff\xff\xff\xff\xff\xff\xff",
            b"[$i#i\xff",
            b"[$i",
            b"[",
            b"",
        ] {
            assert!(read::<Vec<i32>>(bytes).is_err(), "{bytes:?}");
        }
        assert!(read::<Vec<de::IgnoredAny>>(&[b'['; 100_000]).unwrap_err().to_string().contains("deeply"));
    }
}

//! Tensors in binary, an extension of the Open Inference Protocol: elements as they lie in memory.
//!
//! Numbers are little-endian and row-major; a text is its length (4 bytes) and its bytes. Over HTTP the tensors follow the
//! JSON, whose length the header [`HEADER_LENGTH`] tells; over gRPC they are fields of the message.

use std::sync::Arc;

use half::{bf16, f16};

use crate::Datatype;

/// The header that tells how long the JSON in front of the tensors is.
pub const HEADER_LENGTH: &str = "inference-header-content-length";

/// The elements of a tensor, of one kind, row-major.
#[derive(Debug, Clone, PartialEq)]
pub enum Elements {
    /// With fractions, or beyond 64 signed bits.
    Numbers(Vec<f64>),
    /// Whole.
    Integers(Vec<i64>),
    /// True or false.
    Truths(Vec<bool>),
    /// Texts.
    Texts(Vec<Arc<str>>),
}

impl Elements {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Numbers(values) => values.len(),
            Self::Integers(values) => values.len(),
            Self::Truths(values) => values.len(),
            Self::Texts(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What they are, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Numbers(_) => "numbers",
            Self::Integers(_) => "integers",
            Self::Truths(_) => "booleans",
            Self::Texts(_) => "texts",
        }
    }

    /// As numbers; none for texts.
    pub fn numbers(&self) -> Option<Vec<f64>> {
        match self {
            Self::Numbers(values) => Some(values.clone()),
            Self::Integers(values) => Some(values.iter().map(|&value| value as f64).collect()),
            Self::Truths(values) => Some(values.iter().map(|&value| f64::from(u8::from(value))).collect()),
            Self::Texts(_) => None,
        }
    }

    /// As names of classes; whole numbers without a fraction.
    pub fn classes(&self) -> Vec<Arc<str>> {
        match self {
            Self::Numbers(values) => values.iter().map(|value| value.to_string().into()).collect(),
            Self::Integers(values) => values.iter().map(|value| value.to_string().into()).collect(),
            Self::Truths(values) => values.iter().map(|value| value.to_string().into()).collect(),
            Self::Texts(values) => values.clone(),
        }
    }
}

/// The elements that `raw` holds.
///
/// # Errors
/// What is wrong with it, in words.
pub fn read(datatype: Datatype, raw: &[u8]) -> Result<Elements, String> {
    fn each<const N: usize, T>(raw: &[u8], value: fn([u8; N]) -> T) -> Vec<T> {
        raw.as_chunks::<N>().0.iter().map(|chunk| value(*chunk)).collect()
    }
    if let Some(size) = datatype.size().filter(|size| !raw.len().is_multiple_of(*size)) {
        let name = datatype.name();
        return Err(format!("{} bytes are no whole number of {name}, which takes {size}", raw.len()));
    }
    Ok(match datatype {
        Datatype::Bool => Elements::Truths(raw.iter().map(|&byte| byte != 0).collect()),
        Datatype::Uint8 => Elements::Integers(each::<1, _>(raw, |b| u8::from_le_bytes(b).into())),
        Datatype::Int8 => Elements::Integers(each::<1, _>(raw, |b| i8::from_le_bytes(b).into())),
        Datatype::Uint16 => Elements::Integers(each::<2, _>(raw, |b| u16::from_le_bytes(b).into())),
        Datatype::Int16 => Elements::Integers(each::<2, _>(raw, |b| i16::from_le_bytes(b).into())),
        Datatype::Uint32 => Elements::Integers(each::<4, _>(raw, |b| u32::from_le_bytes(b).into())),
        Datatype::Int32 => Elements::Integers(each::<4, _>(raw, |b| i32::from_le_bytes(b).into())),
        Datatype::Int64 => Elements::Integers(each::<8, _>(raw, i64::from_le_bytes)),
        Datatype::Uint64 => {
            let values = each::<8, _>(raw, u64::from_le_bytes);
            match values.iter().map(|&value| i64::try_from(value)).collect() {
                Ok(values) => Elements::Integers(values),
                Err(_) => Elements::Numbers(values.into_iter().map(|value| value as f64).collect()),
            }
        }
        Datatype::Fp16 => Elements::Numbers(each::<2, _>(raw, |b| f16::from_le_bytes(b).to_f64())),
        Datatype::Bf16 => Elements::Numbers(each::<2, _>(raw, |b| bf16::from_le_bytes(b).to_f64())),
        Datatype::Fp32 => Elements::Numbers(each::<4, _>(raw, |b| f32::from_le_bytes(b).into())),
        Datatype::Fp64 => Elements::Numbers(each::<8, _>(raw, f64::from_le_bytes)),
        Datatype::Bytes => Elements::Texts(texts(raw)?),
    })
}

fn texts(mut raw: &[u8]) -> Result<Vec<Arc<str>>, String> {
    let mut texts = Vec::new();
    while !raw.is_empty() {
        let text = raw.split_first_chunk::<4>().and_then(|(length, rest)| {
            rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)
        });
        let at = texts.len();
        let (text, rest) =
            text.ok_or_else(|| format!("element {at} is longer than the bytes that are left"))?;
        texts.push(str::from_utf8(text).map_err(|_| format!("element {at} is not UTF-8 text"))?.into());
        raw = rest;
    }
    Ok(texts)
}

/// Appends a text; says whether it is short enough to have a length.
#[must_use]
pub fn write_text(text: &str, raw: &mut Vec<u8>) -> bool {
    let Ok(length) = u32::try_from(text.len()) else { return false };
    raw.extend_from_slice(&length.to_le_bytes());
    raw.extend_from_slice(text.as_bytes());
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn elements_are_read_as_they_lie_in_memory() {
        let integers = |value| Elements::Integers(vec![value]);
        let number = |value| Elements::Numbers(vec![value]);
        let cases: [(Datatype, &[u8], Elements); 14] = [
            (Datatype::Bool, &[1], Elements::Truths(vec![true])),
            (Datatype::Int8, &[0xff], integers(-1)),
            (Datatype::Uint8, &[0xff], integers(255)),
            (Datatype::Int16, &[0xfe, 0xff], integers(-2)),
            (Datatype::Uint16, &[1, 1], integers(257)),
            (Datatype::Int32, &[0, 0, 0, 0x80], integers(-2_147_483_648)),
            (Datatype::Uint32, &[0, 0, 0, 0x80], integers(2_147_483_648)),
            (Datatype::Int64, &[0xff; 8], integers(-1)),
            (Datatype::Uint64, &[1, 0, 0, 0, 0, 0, 0, 0], integers(1)),
            (Datatype::Uint64, &[0xff; 8], number(18_446_744_073_709_551_615.0)),
            (Datatype::Fp16, &[0x00, 0x3e], number(1.5)),
            (Datatype::Bf16, &[0xc0, 0x3f], number(1.5)),
            (Datatype::Fp32, &[0, 0, 0xc0, 0x3f], number(1.5)),
            (Datatype::Fp64, &[0, 0, 0, 0, 0, 0, 0xf8, 0x3f], number(1.5)),
        ];
        for (datatype, raw, expected) in cases {
            assert_eq!(read(datatype, raw), Ok(expected), "{datatype:?}");
            assert_eq!(datatype.size(), Some(raw.len()), "{datatype:?}");
            assert!(raw.len() == 1 || read(datatype, &raw[1..]).is_err(), "{datatype:?}");
        }
    }

    #[test]
    fn texts_come_with_their_lengths() {
        let raw = b"\x02\0\0\0UA\0\0\0\0\x03\0\0\0\xe2\x82\xac";
        let texts = ["UA", "", "€"];
        assert_eq!(read(Datatype::Bytes, raw), Ok(Elements::Texts(texts.map(Arc::from).to_vec())));
        let mut written = Vec::new();
        assert!(texts.iter().all(|text| write_text(text, &mut written)));
        assert_eq!(written, raw);
        let told = |raw: &[u8]| read(Datatype::Bytes, raw).unwrap_err();
        assert!(told(b"\x01\0\0").contains("element 0 is longer"));
        assert!(told(b"\xff\xff\xff\xffa").contains("element 0 is longer"));
        assert!(told(b"\x01\0\0\0\xff").contains("element 0 is not UTF-8"));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            for datatype in [Datatype::Fp16, Datatype::Bytes, Datatype::Uint64, Datatype::Bool, Datatype::Int32] {
                let _ = read(datatype, &bytes);
            }
        }
    }
}

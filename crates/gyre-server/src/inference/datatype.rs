//! The datatypes of tensors, by the names that the protocol gives them.
//!
//! Inside, a number is a double and a category is text. What a datatype says is checked on the way in (is this an INT8?)
//! and honoured on the way out; whole numbers are exact up to 2^53.

use gyre_core::ids::nearest;
use half::{bf16, f16};

/// The largest whole number that a double holds exactly, with all below it: 2^53.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// What one element of a tensor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Datatype {
    Bool,
    Int8,
    Int16,
    Int32,
    Int64,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Fp16,
    /// Triton's addition.
    Bf16,
    Fp32,
    Fp64,
    /// Text.
    Bytes,
}

use Datatype::{
    Bf16, Bool, Bytes, Fp16, Fp32, Fp64, Int8, Int16, Int32, Int64, Uint8, Uint16, Uint32, Uint64,
};

const ALL: [(&str, Datatype); 14] = [
    ("BOOL", Bool),
    ("INT8", Int8),
    ("INT16", Int16),
    ("INT32", Int32),
    ("INT64", Int64),
    ("UINT8", Uint8),
    ("UINT16", Uint16),
    ("UINT32", Uint32),
    ("UINT64", Uint64),
    ("FP16", Fp16),
    ("BF16", Bf16),
    ("FP32", Fp32),
    ("FP64", Fp64),
    ("BYTES", Bytes),
];

/// A datatype that is not known.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("datatype `{found}` is not known{}; expected one of {}", hint(.found), ALL.map(|(name, _)| name).join(", "))]
pub(super) struct UnknownDatatype {
    found: String,
}

fn hint(found: &str) -> String {
    let upper = found.to_uppercase();
    nearest(&upper, ALL.map(|(name, _)| name))
        .map_or(String::new(), |name| format!(", did you mean `{name}`?"))
}

impl Datatype {
    /// By its name.
    pub(super) fn named(name: &str) -> Result<Self, UnknownDatatype> {
        let found = ALL.iter().find(|(known, _)| *known == name);
        found
            .map(|(_, datatype)| *datatype)
            .ok_or_else(|| UnknownDatatype { found: name.chars().take(40).collect() })
    }

    pub(super) fn name(self) -> &'static str {
        ALL.iter().find(|(_, datatype)| *datatype == self).map_or("", |(name, _)| name)
    }

    /// Bytes of one element as it lies in memory; none for text, whose elements have a length each.
    pub(super) fn size(self) -> Option<usize> {
        match self {
            Bool | Int8 | Uint8 => Some(1),
            Int16 | Uint16 | Fp16 | Bf16 => Some(2),
            Int32 | Uint32 | Fp32 => Some(4),
            Int64 | Uint64 | Fp64 => Some(8),
            Bytes => None,
        }
    }

    /// What a whole-number datatype can hold, as far as a double holds it exactly.
    pub(super) fn whole_range(self) -> Option<(f64, f64)> {
        Some(match self {
            Int8 => (-128.0, 127.0),
            Int16 => (-32_768.0, 32_767.0),
            Int32 => (-2_147_483_648.0, 2_147_483_647.0),
            Int64 => (-EXACT, EXACT),
            Uint8 => (0.0, 255.0),
            Uint16 => (0.0, 65_535.0),
            Uint32 => (0.0, 4_294_967_295.0),
            Uint64 => (0.0, EXACT),
            _ => return None,
        })
    }

    /// The number that the first bytes of `raw` are, in little-endian order; none for text and when there are too few.
    pub(super) fn read(self, raw: &[u8]) -> Option<f64> {
        let number = match self {
            Bool | Uint8 => f64::from(*raw.first()?),
            Int8 => f64::from(raw.first()?.cast_signed()),
            Int16 => f64::from(i16::from_le_bytes(*raw.first_chunk()?)),
            Uint16 => f64::from(u16::from_le_bytes(*raw.first_chunk()?)),
            Int32 => f64::from(i32::from_le_bytes(*raw.first_chunk()?)),
            Uint32 => f64::from(u32::from_le_bytes(*raw.first_chunk()?)),
            // Beyond 2^53 it is rounded here, and refused when it is held against the range.
            Int64 => i64::from_le_bytes(*raw.first_chunk()?) as f64,
            Uint64 => u64::from_le_bytes(*raw.first_chunk()?) as f64,
            Fp16 => f16::from_le_bytes(*raw.first_chunk()?).to_f64(),
            Bf16 => bf16::from_le_bytes(*raw.first_chunk()?).to_f64(),
            Fp32 => f64::from(f32::from_le_bytes(*raw.first_chunk()?)),
            Fp64 => f64::from_le_bytes(*raw.first_chunk()?),
            Bytes => return None,
        };
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_lie_in_memory() {
        let cases: [(Datatype, &[u8], f64); 13] = [
            (Bool, &[1], 1.0),
            (Int8, &[0xff], -1.0),
            (Uint8, &[0xff], 255.0),
            (Int16, &[0xfe, 0xff], -2.0),
            (Uint16, &[1, 1], 257.0),
            (Int32, &[0, 0, 0, 0x80], -2_147_483_648.0),
            (Uint32, &[0, 0, 0, 0x80], 2_147_483_648.0),
            (Int64, &[0xff; 8], -1.0),
            (Uint64, &[1, 0, 0, 0, 0, 0, 0, 0], 1.0),
            (Fp16, &[0x00, 0x3e], 1.5),
            (Bf16, &[0xc0, 0x3f], 1.5),
            (Fp32, &[0, 0, 0xc0, 0x3f], 1.5),
            (Fp64, &[0, 0, 0, 0, 0, 0, 0xf8, 0x3f], 1.5),
        ];
        for (datatype, raw, expected) in cases {
            assert_eq!(datatype.read(raw), Some(expected), "{datatype:?}");
            assert_eq!(datatype.size(), Some(raw.len()), "{datatype:?}");
            assert_eq!(datatype.read(&raw[1..]), None, "{datatype:?}");
            assert_eq!(Datatype::named(datatype.name()), Ok(datatype));
        }
    }
}

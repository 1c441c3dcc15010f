//! The datatypes of tensors, by the names that the Open Inference Protocol (version 2) gives them.

use gyre_core::ids::nearest;

/// The largest whole number of which a double holds it and all below it, and no other number is rounded to it: 2^53 − 1.
const EXACT: f64 = 9_007_199_254_740_991.0;

/// What one element of a tensor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Datatype {
    /// True or false, a byte.
    Bool,
    /// Signed, 8 bits.
    Int8,
    /// Signed, 16 bits.
    Int16,
    /// Signed, 32 bits.
    Int32,
    /// Signed, 64 bits.
    Int64,
    /// Unsigned, 8 bits.
    Uint8,
    /// Unsigned, 16 bits.
    Uint16,
    /// Unsigned, 32 bits.
    Uint32,
    /// Unsigned, 64 bits.
    Uint64,
    /// Half precision.
    Fp16,
    /// The upper half of single precision. Not in the specification; Triton's.
    Bf16,
    /// Single precision.
    Fp32,
    /// Double precision.
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
pub struct UnknownDatatype {
    found: String,
}

fn hint(found: &str) -> String {
    let upper = found.to_uppercase();
    nearest(&upper, ALL.map(|(name, _)| name))
        .map_or(String::new(), |name| format!(", did you mean `{name}`?"))
}

impl Datatype {
    /// By its name.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn named(name: &str) -> Result<Self, UnknownDatatype> {
        let found = ALL.iter().find(|(known, _)| *known == name);
        found
            .map(|(_, datatype)| *datatype)
            .ok_or_else(|| UnknownDatatype { found: name.chars().take(40).collect() })
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        ALL.iter().find(|(_, datatype)| *datatype == self).map_or("", |(name, _)| name)
    }

    /// Bytes of one element as it lies in memory; none for text, whose elements have a length each.
    pub fn size(self) -> Option<usize> {
        match self {
            Bool | Int8 | Uint8 => Some(1),
            Int16 | Uint16 | Fp16 | Bf16 => Some(2),
            Int32 | Uint32 | Fp32 => Some(4),
            Int64 | Uint64 | Fp64 => Some(8),
            Bytes => None,
        }
    }

    /// Whether its elements have fractions.
    pub fn is_float(self) -> bool {
        matches!(self, Fp16 | Bf16 | Fp32 | Fp64)
    }

    /// Whether its elements are whole numbers.
    pub fn is_integer(self) -> bool {
        self.whole_range().is_some()
    }

    /// The least and the greatest that a datatype of whole numbers holds, as far as a double holds it exactly.
    pub fn whole_range(self) -> Option<(f64, f64)> {
        Some(match self {
            Int8 => (i8::MIN.into(), i8::MAX.into()),
            Int16 => (i16::MIN.into(), i16::MAX.into()),
            Int32 => (i32::MIN.into(), i32::MAX.into()),
            Int64 => (-EXACT, EXACT),
            Uint8 => (0.0, u8::MAX.into()),
            Uint16 => (0.0, u16::MAX.into()),
            Uint32 => (0.0, u32::MAX.into()),
            Uint64 => (0.0, EXACT),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_both_ways() {
        for (name, datatype) in ALL {
            assert_eq!((Datatype::named(name), datatype.name()), (Ok(datatype), name));
        }
        let told = Datatype::named("fp63").unwrap_err().to_string();
        assert!(told.contains("did you mean `FP64`?") || told.contains("did you mean `FP32`?"), "{told}");
    }

    #[test]
    fn whole_numbers_are_those_that_a_double_tells_apart() {
        let (_, most) = Int64.whole_range().unwrap();
        assert!(
            most + 1.0 > most && (1_i64 << 53 | 1) as f64 > most,
            "2^53 + 1 is rounded to beyond the range"
        );
        assert!(Uint8.is_integer() && !Bool.is_integer() && !Bytes.is_integer() && Bf16.is_float());
    }
}

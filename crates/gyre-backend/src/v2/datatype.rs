//! The element types of V2.

use super::Place;
use crate::error::BackendError;

/// An element type, by its name in the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Datatype {
    Bool,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Int8,
    Int16,
    Int32,
    Int64,
    Fp16,
    /// Not in the specification; Triton's.
    Bf16,
    Fp32,
    Fp64,
    Bytes,
}

const NAMES: [(Datatype, &str); 14] = [
    (Datatype::Bool, "BOOL"),
    (Datatype::Uint8, "UINT8"),
    (Datatype::Uint16, "UINT16"),
    (Datatype::Uint32, "UINT32"),
    (Datatype::Uint64, "UINT64"),
    (Datatype::Int8, "INT8"),
    (Datatype::Int16, "INT16"),
    (Datatype::Int32, "INT32"),
    (Datatype::Int64, "INT64"),
    (Datatype::Fp16, "FP16"),
    (Datatype::Bf16, "BF16"),
    (Datatype::Fp32, "FP32"),
    (Datatype::Fp64, "FP64"),
    (Datatype::Bytes, "BYTES"),
];

impl Datatype {
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        NAMES.iter().find(|(_, known)| *known == name).map(|(datatype, _)| *datatype)
    }

    pub(crate) fn name(self) -> &'static str {
        NAMES.iter().find(|(datatype, _)| *datatype == self).map_or("", |(_, name)| name)
    }

    pub(crate) fn is_float(self) -> bool {
        matches!(self, Self::Fp16 | Self::Bf16 | Self::Fp32 | Self::Fp64)
    }

    pub(crate) fn is_integer(self) -> bool {
        !self.is_float() && !matches!(self, Self::Bool | Self::Bytes)
    }

    /// The least and the greatest whole number that it holds; for 64 bits what a double holds exactly.
    fn range(self) -> (i64, i64) {
        const EXACT: i64 = 1 << 53;
        match self {
            Self::Bool => (0, 1),
            Self::Uint8 => (0, u8::MAX.into()),
            Self::Uint16 => (0, u16::MAX.into()),
            Self::Uint32 => (0, u32::MAX.into()),
            Self::Uint64 => (0, EXACT),
            Self::Int8 => (i8::MIN.into(), i8::MAX.into()),
            Self::Int16 => (i16::MIN.into(), i16::MAX.into()),
            Self::Int32 => (i32::MIN.into(), i32::MAX.into()),
            _ => (-EXACT, EXACT),
        }
    }
}

/// A number that is to travel as one of the integers.
pub(super) fn whole(value: f64, datatype: Datatype, place: Place<'_>) -> Result<i64, BackendError> {
    let (least, greatest) = datatype.range();
    let fits = value.fract() == 0.0 && value >= least as f64 && value <= greatest as f64;
    if fits {
        return Ok(value as i64);
    }
    let Place { column, row } = place;
    Err(BackendError::Input(if value.is_nan() {
        format!("feature {column:?}, row {row}: is missing, and the model takes {} here", datatype.name())
    } else {
        format!("feature {column:?}, row {row}: {value} is no {}", datatype.name())
    }))
}

/// A number that is to travel in single precision.
pub(super) fn single(value: f64, place: Place<'_>) -> Result<f32, BackendError> {
    let single = value as f32;
    if value.is_finite() && single.is_infinite() {
        let Place { column, row } = place;
        return Err(BackendError::Input(format!(
            "feature {column:?}, row {row}: {value} is too large for FP32"
        )));
    }
    Ok(single)
}

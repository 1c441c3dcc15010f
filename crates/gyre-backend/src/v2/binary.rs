//! Tensors in binary, the protocol's extension: the JSON says how many bytes each tensor has, and they follow in order,
//! little-endian, row-major; a text is four bytes of length and its bytes.

use std::sync::Arc;

use super::datatype::{single, whole};
use super::{Cell, Datatype, Place};
use crate::cells::Cells;
use crate::error::BackendError;

/// The header that tells how long the JSON is.
pub(crate) const HEADER_LENGTH: &str = "inference-header-content-length";

/// Appends one value.
pub(super) fn write(
    out: &mut Vec<u8>,
    datatype: Datatype,
    cell: Cell<'_>,
    place: Place<'_>,
) -> Result<(), BackendError> {
    let value = match cell {
        Cell::Text(text) => {
            let length = u32::try_from(text.len()).map_err(|_| {
                BackendError::Input(format!(
                    "feature {:?}, row {}: longer than 4 GiB",
                    place.column, place.row
                ))
            })?;
            out.extend_from_slice(&length.to_le_bytes());
            out.extend_from_slice(text.as_bytes());
            return Ok(());
        }
        Cell::Number(value) => value,
    };
    match datatype {
        Datatype::Fp64 => out.extend_from_slice(&value.to_le_bytes()),
        Datatype::Fp32 => out.extend_from_slice(&single(value, place)?.to_le_bytes()),
        _ => {
            let whole = whole(value, datatype, place)?;
            // In range, so that the low bytes are the whole of it, signed or not.
            let bytes = whole.to_le_bytes();
            out.extend_from_slice(bytes.get(..size(datatype)).unwrap_or(&bytes));
        }
    }
    Ok(())
}

fn size(datatype: Datatype) -> usize {
    match datatype {
        Datatype::Bool | Datatype::Uint8 | Datatype::Int8 => 1,
        Datatype::Uint16 | Datatype::Int16 | Datatype::Fp16 | Datatype::Bf16 => 2,
        Datatype::Uint32 | Datatype::Int32 | Datatype::Fp32 => 4,
        Datatype::Uint64 | Datatype::Int64 | Datatype::Fp64 => 8,
        Datatype::Bytes => 0,
    }
}

/// The values of a tensor.
pub(super) fn read(bytes: &[u8], datatype: Datatype) -> Result<Cells, String> {
    fn each<const N: usize, T>(bytes: &[u8], value: fn([u8; N]) -> T) -> Vec<T> {
        bytes.as_chunks::<N>().0.iter().map(|chunk| value(*chunk)).collect()
    }
    let width = size(datatype).max(1);
    if !bytes.len().is_multiple_of(width) {
        return Err(format!("{} bytes are no whole number of values", bytes.len()));
    }
    Ok(match datatype {
        Datatype::Bool => Cells::Truths(bytes.iter().map(|&byte| byte != 0).collect()),
        Datatype::Uint8 => Cells::Integers(each::<1, _>(bytes, |b| u8::from_le_bytes(b).into())),
        Datatype::Int8 => Cells::Integers(each::<1, _>(bytes, |b| i8::from_le_bytes(b).into())),
        Datatype::Uint16 => Cells::Integers(each::<2, _>(bytes, |b| u16::from_le_bytes(b).into())),
        Datatype::Int16 => Cells::Integers(each::<2, _>(bytes, |b| i16::from_le_bytes(b).into())),
        Datatype::Uint32 => Cells::Integers(each::<4, _>(bytes, |b| u32::from_le_bytes(b).into())),
        Datatype::Int32 => Cells::Integers(each::<4, _>(bytes, |b| i32::from_le_bytes(b).into())),
        Datatype::Int64 => Cells::Integers(each::<8, _>(bytes, i64::from_le_bytes)),
        Datatype::Uint64 => {
            let values = each::<8, _>(bytes, u64::from_le_bytes);
            match values.iter().map(|&value| i64::try_from(value)).collect() {
                Ok(values) => Cells::Integers(values),
                Err(_) => Cells::Numbers(values.into_iter().map(|value| value as f64).collect()),
            }
        }
        Datatype::Fp16 => Cells::Numbers(each::<2, _>(bytes, |b| half(u16::from_le_bytes(b)))),
        Datatype::Bf16 => Cells::Numbers(each::<2, _>(bytes, |b| {
            f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16).into()
        })),
        Datatype::Fp32 => Cells::Numbers(each::<4, _>(bytes, |b| f32::from_le_bytes(b).into())),
        Datatype::Fp64 => Cells::Numbers(each::<8, _>(bytes, f64::from_le_bytes)),
        Datatype::Bytes => Cells::Texts(texts(bytes)?),
    })
}

fn texts(mut bytes: &[u8]) -> Result<Vec<Arc<str>>, String> {
    let mut texts = Vec::new();
    while !bytes.is_empty() {
        let text = bytes.split_first_chunk::<4>().and_then(|(length, rest)| {
            let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
            rest.split_at_checked(length)
        });
        let (text, rest) = text.ok_or("a text is longer than what came")?;
        texts.push(std::str::from_utf8(text).map_err(|_| "a text is not UTF-8")?.into());
        bytes = rest;
    }
    Ok(texts)
}

/// IEEE 754 half precision: a sign, 5 bits of exponent, 10 of fraction.
fn half(bits: u16) -> f64 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let exponent = i32::from(bits >> 10 & 0x1f);
    let fraction = f64::from(bits & 0x3ff) / 1_024.0;
    sign * match exponent {
        0 => fraction * 2.0_f64.powi(-14),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1.0 + fraction) * 2.0_f64.powi(exponent - 15),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn half_precision_is_read() {
        for (bits, value) in [
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x3555, 0.333251953125),
            (0x0001, 5.960464477539063e-8),
            (0x7bff, 65504.0),
        ] {
            assert_eq!(half(bits), value);
        }
        assert!(half(0x7e00).is_nan() && half(0xfc00) == f64::NEG_INFINITY);
    }

    #[test]
    fn texts_that_lie_about_their_length_are_refused() {
        assert_eq!(texts(b"\x02\0\0\0ab\0\0\0\0").unwrap(), ["ab".into(), Arc::from("")]);
        assert!(texts(b"\xff\xff\xff\xffab").is_err());
        assert!(texts(b"\x01\0\0").is_err());
        assert!(read(b"123", Datatype::Fp32).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, header: Option<u8>) {
            let _ = super::super::outputs(&bytes, header.map(usize::from));
            for datatype in [Datatype::Fp16, Datatype::Bytes, Datatype::Uint64, Datatype::Bool] {
                let _ = read(&bytes, datatype);
            }
        }

        #[test]
        fn integers_survive(value: i32) {
            let mut out = Vec::new();
            let column = Arc::from("x");
            let place = Place { column: &column, row: 0 };
            write(&mut out, Datatype::Int32, Cell::Number(value.into()), place).unwrap();
            prop_assert_eq!(read(&out, Datatype::Int32).unwrap(), Cells::Integers(vec![value.into()]));
        }
    }
}

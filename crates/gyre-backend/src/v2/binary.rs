//! Columns as tensors in binary ([`gyre_wire`] reads them).

use gyre_wire::{Datatype, write_text};

use super::whole::{single, whole};
use super::{Cell, Place};
use crate::error::BackendError;

/// Appends one value.
pub(super) fn write(
    out: &mut Vec<u8>,
    datatype: Datatype,
    cell: Cell<'_>,
    place: Place<'_>,
) -> Result<(), BackendError> {
    let value = match cell {
        Cell::Text(text) if write_text(text, out) => return Ok(()),
        Cell::Text(_) => {
            let Place { column, row } = place;
            return Err(BackendError::Input(format!("feature {column:?}, row {row}: longer than 4 GiB")));
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
            out.extend_from_slice(bytes.get(..datatype.size().unwrap_or(0)).unwrap_or(&bytes));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use gyre_runtime::Name;
    use gyre_wire::{Elements, read};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_answer_panics(bytes: Vec<u8>, header: Option<u8>) {
            let _ = super::super::outputs(&bytes, header.map(usize::from));
        }

        #[test]
        fn integers_survive(value: i32) {
            let mut out = Vec::new();
            let column = Name::from("x");
            let place = Place { column: &column, row: 0 };
            write(&mut out, Datatype::Int32, Cell::Number(value.into()), place).unwrap();
            prop_assert_eq!(read(Datatype::Int32, &out).unwrap(), Elements::Integers(vec![value.into()]));
        }
    }
}

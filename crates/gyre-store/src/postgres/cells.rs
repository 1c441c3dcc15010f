//! Cells in PostgreSQL's binary format (<https://www.postgresql.org/docs/15/protocol-overview.html#PROTOCOL-FORMAT-CODES>).

use std::error::Error;

use bytes::BytesMut;
use postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use crate::cell::Cell;

/// Why a cell does not go into a column, or comes out of none.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unfit {
    #[error("text must not hold a NUL character: PostgreSQL cannot store it")]
    Nul,
    #[error("{found} where PostgreSQL expects {expected}")]
    Other { found: &'static str, expected: String },
    #[error("a value of PostgreSQL's type {0} cannot be read")]
    Type(String),
    #[error("a malformed number")]
    Malformed,
}

impl ToSql for Cell {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        let unfit = |found| Err(Unfit::Other { found, expected: ty.name().to_owned() }.into());
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Int(number) => match *ty {
                Type::INT8 => number.to_sql(ty, out),
                Type::INT4 => i32::try_from(*number)?.to_sql(ty, out),
                Type::INT2 => i16::try_from(*number)?.to_sql(ty, out),
                Type::BOOL => (*number != 0).to_sql(ty, out),
                Type::FLOAT8 => (*number as f64).to_sql(ty, out),
                Type::FLOAT4 => (*number as f32).to_sql(ty, out),
                _ => unfit("a whole number"),
            },
            // SQLite stores NaN as NULL; so that both databases hold the same, this does too.
            Self::Real(number) if number.is_nan() => Ok(IsNull::Yes),
            Self::Real(number) => match *ty {
                Type::FLOAT8 => number.to_sql(ty, out),
                Type::FLOAT4 => (*number as f32).to_sql(ty, out),
                _ => unfit("a number"),
            },
            Self::Text(text) => match *ty {
                Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN => {
                    if text.contains('\0') {
                        return Err(Unfit::Nul.into());
                    }
                    text.as_str().to_sql(ty, out)
                }
                _ => unfit("text"),
            },
            Self::Blob(bytes) if *ty == Type::BYTEA => bytes.as_slice().to_sql(ty, out),
            Self::Blob(_) => unfit("bytes"),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Cell {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(match *ty {
            Type::INT8 => Self::Int(i64::from_sql(ty, raw)?),
            Type::INT4 => Self::Int(i32::from_sql(ty, raw)?.into()),
            Type::INT2 => Self::Int(i16::from_sql(ty, raw)?.into()),
            Type::BOOL => Self::Int(bool::from_sql(ty, raw)?.into()),
            Type::FLOAT8 => Self::Real(f64::from_sql(ty, raw)?),
            Type::FLOAT4 => Self::Real(f32::from_sql(ty, raw)?.into()),
            Type::NUMERIC => numeric(raw)?,
            Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN => {
                Self::Text(String::from_sql(ty, raw)?)
            }
            Type::BYTEA => Self::Blob(raw.to_vec()),
            _ => return Err(Unfit::Type(ty.name().to_owned()).into()),
        })
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self::Null)
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// A `NUMERIC`, which is what PostgreSQL makes of the sum or the average of whole numbers: counts of digits, the weight of
/// the first, sign, scale, then digits to the base 10,000 (PostgreSQL's `numeric_send`).
fn numeric(raw: &[u8]) -> Result<Cell, Unfit> {
    let words: Vec<u16> = raw.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
    let [count, weight, sign, scale, digits @ ..] = words.as_slice() else { return Err(Unfit::Malformed) };
    if digits.len() != usize::from(*count) {
        return Err(Unfit::Malformed);
    }
    let negative = match sign {
        0x0000 => false,
        0x4000 => true,
        0xc000 => return Ok(Cell::Null),
        0xd000 => return Ok(Cell::Real(f64::INFINITY)),
        0xf000 => return Ok(Cell::Real(f64::NEG_INFINITY)),
        _ => return Err(Unfit::Malformed),
    };
    // Written out and read again: the nearest double, without arithmetic of our own.
    let weight = weight.cast_signed();
    let mut text = String::from(if negative { "-" } else { "" });
    digits.iter().for_each(|digit| text.push_str(&format!("{digit:04}")));
    let exponent = 4 * (i32::from(weight) + 1 - i32::from(count.cast_signed()));
    if *scale == 0 && (0..24).contains(&exponent) {
        let zeros = "0".repeat(exponent.unsigned_abs() as usize);
        let whole = if digits.is_empty() { "0".to_owned() } else { format!("{text}{zeros}") };
        if let Ok(number) = whole.parse() {
            return Ok(Cell::Int(number));
        }
    }
    let text = if digits.is_empty() { "0".to_owned() } else { format!("{text}e{exponent}") };
    text.parse().map(Cell::Real).map_err(|_| Unfit::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[u16]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn numerics_become_whole_numbers_or_doubles() {
        let read = |of: &[u16]| numeric(&words(of)).unwrap();
        assert_eq!(read(&[0, 0, 0, 0]), Cell::Int(0));
        assert_eq!(read(&[2, 1, 0, 0, 12, 345]), Cell::Int(120_345));
        assert_eq!(read(&[1, 1, 0x4000, 0, 7]), Cell::Int(-70_000));
        assert_eq!(read(&[2, 0, 0, 2, 3, 2500]), Cell::Real(3.25));
        assert_eq!(read(&[1, 0xffff, 0, 4, 2500]), Cell::Real(0.25));
        assert_eq!(read(&[1, 5, 0, 0, 1]), Cell::Real(1e20));
        assert!(numeric(&words(&[2, 0, 0, 0, 1])).is_err());
        assert!(numeric(&[0, 1]).is_err());
    }
}

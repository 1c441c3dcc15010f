//! A number as it is told from others.

use datasketches::codec::{SketchBytes, SketchSlice};
use datasketches::error::{Error, ErrorKind};
use datasketches::frequencies::FrequentItemValue;

/// A finite number, exactly: a double, or a whole number of at most 30 digits that no double is, as the nearest double and
/// what is left. Equal numbers are equal however they came (7, 7.0; 0, −0).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Number {
    bits: u64,
    rest: i64,
}

impl Number {
    /// The number that a double is.
    #[must_use]
    pub fn double(value: f64) -> Self {
        // −0 + 0 is 0.
        Self { bits: (value + 0.0).to_bits(), rest: 0 }
    }

    /// A whole number.
    #[must_use]
    pub fn whole(value: i128) -> Self {
        let nearest = value as f64;
        let rest = i64::try_from(value.saturating_sub(nearest as i128)).unwrap_or(0);
        Self { rest, ..Self::double(nearest) }
    }

    /// The nearest double.
    #[must_use]
    pub fn to_double(self) -> f64 {
        f64::from_bits(self.bits)
    }

    /// The whole number that it is, if it is one that an `i128` holds.
    #[must_use]
    pub fn to_whole(self) -> Option<i128> {
        let double = self.to_double();
        (double.fract() == 0.0 && double.abs() < 1e36).then(|| double as i128 + i128::from(self.rest))
    }
}

impl FrequentItemValue for Number {
    fn serialize_size(_: &Self) -> usize {
        16
    }

    fn serialize_value(&self, bytes: &mut SketchBytes) {
        bytes.write_u64_le(self.bits);
        bytes.write_i64_le(self.rest);
    }

    fn deserialize_value(cursor: &mut SketchSlice<'_>) -> Result<Self, Error> {
        let ended = |_| Error::new(ErrorKind::InvalidData, "a number ends early");
        let (bits, rest) = (cursor.read_u64_le().map_err(ended)?, cursor.read_i64_le().map_err(ended)?);
        Ok(Self { bits, rest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_numbers_are_equal_and_neighbours_are_not() {
        assert_eq!(Number::whole(7), Number::double(7.0));
        assert_eq!(Number::double(-0.0), Number::double(0.0));
        for near in [1_i128 << 60, u64::MAX.into(), -(1 << 62), 10_i128.pow(30) - 5] {
            assert_ne!(Number::whole(near), Number::whole(near + 1));
            assert_eq!(Number::whole(near).to_whole(), Some(near));
        }
        assert_eq!((Number::double(0.5).to_whole(), Number::double(1e300).to_whole()), (None, None));
    }
}

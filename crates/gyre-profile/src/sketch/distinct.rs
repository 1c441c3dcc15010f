//! How many different values there are.

use std::fmt;
use std::hash::Hash;

use datasketches::common::NumStdDev;
use datasketches::hll::{HllSketch, HllType, HllUnion};

use super::Stored;

/// The logarithm of the number of registers.
const LG_K: u8 = 12;

/// An estimate of the number of different values (HyperLogLog: Flajolet et al. 2007; Heule et al. 2013; while values come
/// one by one with the estimator of Ting 2014).
///
/// The standard error is [`Distinct::ERROR`] of the number; up to some hundred values it is exact but for luck.
#[derive(Clone, PartialEq)]
pub struct Distinct(HllSketch);

impl Distinct {
    /// The relative standard error after merging: 1.04 / √4096.
    pub const ERROR: f64 = 0.01625;

    /// The most bytes that it takes: a register a byte, and what estimates need beside them.
    pub const MOST_BYTES: usize = (1 << LG_K) + 256;

    /// Takes in a value.
    pub(crate) fn push(&mut self, value: impl Hash) {
        self.0.update(value);
    }

    /// Adds the values of another.
    pub(crate) fn merge(&mut self, other: &Self) {
        if let Ok(mut union) = HllUnion::new(LG_K) {
            union.update(&self.0);
            union.update(&other.0);
            self.0 = union.to_sketch(HllType::Hll8);
        }
    }

    /// Whether there were none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are, and between which numbers that is with 95 % confidence.
    #[must_use]
    pub fn estimate(&self) -> (f64, f64, f64) {
        (self.0.estimate(), self.0.lower_bound(NumStdDev::Two), self.0.upper_bound(NumStdDev::Two))
    }
}

impl Default for Distinct {
    fn default() -> Self {
        Self(HllSketch::new(LG_K, HllType::Hll8).expect("4 to 21 are allowed"))
    }
}

impl fmt::Debug for Distinct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Distinct").field(&self.0.estimate()).finish()
    }
}

impl Stored for Distinct {
    fn bytes(&self) -> Vec<u8> {
        self.0.serialize()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        if bytes.get(3) != Some(&LG_K) || bytes.len() > 2 * Self::MOST_BYTES {
            return Err(format!("no HyperLogLog sketch of 2^{LG_K} registers"));
        }
        let sketch = HllSketch::deserialize(bytes);
        let sketch = sketch.map_err(|error| format!("no HyperLogLog sketch: {}", error.message()))?;
        if bytes.get(7).is_some_and(|mode| mode & 3 == REGISTERS) && !agree(bytes) {
            return Err("a HyperLogLog sketch that does not add up".to_owned());
        }
        if sketch.target_type() != HllType::Hll8 {
            return Err("a HyperLogLog sketch of another layout than a byte a register".to_owned());
        }
        Ok(Self(sketch))
    }
}

/// The mode in which the stored form has registers; before that it lists values.
const REGISTERS: u8 = 2;
/// Where they begin.
const FIRST_REGISTER: usize = 40;
/// The largest that one can be.
const LARGEST: u8 = 63;

/// Whether what is stored of the registers for estimates (their inverse powers of two, how many are zero) follows from
/// them: estimates rely on it.
fn agree(bytes: &[u8]) -> bool {
    let double =
        |at: usize| bytes.get(at..at + 8).and_then(|eight| eight.try_into().ok()).map(f64::from_le_bytes);
    let zeros = bytes.get(32..36).and_then(|four| four.try_into().ok()).map(u32::from_le_bytes);
    let registers = bytes.get(FIRST_REGISTER..).unwrap_or_default();
    let inverse = |small: bool| {
        let these = registers.iter().filter(|register| (**register < 32) == small);
        these.map(|register| 0.5_f64.powi(i32::from(*register))).sum::<f64>()
    };
    let near = |stored: Option<f64>, sum: f64| stored.is_some_and(|stored| (stored - sum).abs() <= 1e-6);
    registers.iter().all(|register| *register <= LARGEST)
        && zeros == Some(registers.iter().filter(|register| **register == 0).count() as u32)
        && double(8).is_some_and(|history| history.is_finite() && history >= 0.0)
        && near(double(16), inverse(true))
        && near(double(24), inverse(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_values_in_two_parts_count_once() {
        for different in [0_u32, 1, 100, 50_000] {
            let (mut one, mut other, mut whole) = <(Distinct, Distinct, Distinct)>::default();
            (0..different).for_each(|at| one.push(at));
            (different / 2..different).for_each(|at| other.push(at));
            (0..different).for_each(|at| whole.push(at));
            one.merge(&other);
            for sketch in [&one, &whole, &Distinct::from_bytes(&one.bytes()).unwrap()] {
                let (estimate, low, high) = sketch.estimate();
                let truth = f64::from(different);
                assert!(
                    (estimate - truth).abs() <= 4.0 * Distinct::ERROR * truth + 1e-3,
                    "{different}: {estimate}"
                );
                assert!(low <= estimate && estimate <= high);
            }
            assert!(whole.bytes().len() <= Distinct::MOST_BYTES);
        }
    }

    #[test]
    fn bytes_that_are_none_are_refused() {
        let mut sketch = Distinct::default();
        (0..9_000).for_each(|at| sketch.push(at));
        let bytes = sketch.bytes();
        let other = HllSketch::new(10, HllType::Hll8).unwrap().serialize();
        let changed = |at: usize, to: u8| [&bytes[..at], &[to], &bytes[at + 1..]].concat();
        for wrong in [changed(100, 200), changed(100, 64), changed(32, bytes[32] ^ 1), changed(15, 0xc0)] {
            assert!(Distinct::from_bytes(&wrong).is_err());
        }
        for wrong in [&b""[..], b"PAR1PAR1", &bytes[..100], &other[..]] {
            assert!(Distinct::from_bytes(wrong).is_err());
        }
    }
}

//! Where a value belongs among ascending cut points, in a few nanoseconds.
//!
//! A gateway asks this for every feature of every request. Bisection waits for one comparison after the other; here
//! cut points lie in blocks, and as many as a block has are compared at once: first the last ones of all blocks, then those of
//! the block that was found. Processors do that without a jump.
//!
//! Stored as decimal strings: a cut point of an atom is the atom's value to the last bit. One unit in the last place off, and
//! the atom's whole mass moves to the next bin. JSON readers may round numbers by that much; strings parse back exactly
//! (Rust prints the shortest decimal that does).

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// Cut points that are compared at once.
const BLOCK: usize = 16;

/// Ascending finite cut points.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bins {
    /// How many cut points there are.
    len: usize,
    /// They, filled up with infinities.
    blocks: Vec<[f64; BLOCK]>,
    /// The last one of each block, filled up with infinities.
    ends: Vec<[f64; BLOCK]>,
}

impl Bins {
    pub(super) fn new(cuts: &[f64]) -> Self {
        let blocks = in_blocks(cuts.iter().copied());
        // The last block ends with infinity, whether or not it is full: beyond all others there is only that one.
        let ends = blocks.iter().rev().skip(1).rev().map(|block| block[BLOCK - 1]);
        let ends = in_blocks(ends);
        Self { len: cuts.len(), blocks, ends }
    }

    /// The cut points.
    pub(super) fn cuts(&self) -> &[f64] {
        &self.blocks.as_flattened()[..self.len]
    }

    /// How many cut points are below a number: its bin.
    #[inline]
    pub(super) fn of(&self, value: f64) -> usize {
        let block: usize = self.ends.iter().map(|ends| below(ends, value)).sum();
        let Some(cuts) = self.blocks.get(block) else { return self.len };
        block * BLOCK + below(cuts, value)
    }
}

/// How many are below a number.
#[inline]
fn below(cuts: &[f64; BLOCK], value: f64) -> usize {
    cuts.iter().map(|cut| u64::from(*cut < value)).sum::<u64>() as usize
}

fn in_blocks(values: impl Iterator<Item = f64>) -> Vec<[f64; BLOCK]> {
    let mut blocks = Vec::new();
    for (at, value) in values.enumerate() {
        if at % BLOCK == 0 {
            blocks.push([f64::INFINITY; BLOCK]);
        }
        if let Some(block) = blocks.last_mut() {
            block[at % BLOCK] = value;
        }
    }
    blocks
}

impl Serialize for Bins {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.cuts().iter().map(|value| format!("{value:?}")))
    }
}

impl<'de> Deserialize<'de> for Bins {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        let mut values: Vec<f64> = Vec::with_capacity(texts.len());
        for text in texts {
            let value: f64 = text.parse().map_err(|_| {
                Error::custom(format!("cut point `{text}` is not a number; expected a decimal"))
            })?;
            if !value.is_finite() || values.last().is_some_and(|last| *last >= value) {
                return Err(Error::custom(format!(
                    "cut point `{text}` is out of order; expected finite, ascending numbers"
                )));
            }
            values.push(value);
        }
        Ok(Self::new(&values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_the_bin_that_bisection_finds() {
        for len in (0..70).chain([255, 256, 257, 600]) {
            let cuts: Vec<f64> = (0..len).map(|at| f64::from(at) * 1.5 - 40.0).collect();
            let bins = Bins::new(&cuts);
            assert_eq!(bins.cuts(), cuts);
            let near = cuts.iter().flat_map(|cut| [cut.next_down(), *cut, cut.next_up()]);
            for value in near.chain([f64::MIN, -0.0, 0.0, f64::MAX]) {
                assert_eq!(bins.of(value), cuts.partition_point(|cut| *cut < value), "{len} cuts, {value}");
            }
        }
    }
}

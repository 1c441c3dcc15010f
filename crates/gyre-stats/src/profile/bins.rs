//! Where a value belongs among ascending cut points, in a few nanoseconds.
//!
//! A gateway asks this for every feature of every request. Bisection waits for one comparison after the other; here the range
//! of the cut points is divided into equal cells, a multiplication tells a value's cell, and of the few cut points in it all are compared at
//! once. The cell of a number never falls when the number rises, whatever rounding does, so cut points in cells before are below and
//! those in cells after are above. Where many cut points crowd into one cell, bisection it is.
//!
//! Stored as decimal strings: a cut point of an atom is the atom's value to the last bit. One unit in the last place off, and
//! the atom's whole mass moves to the next bin. JSON readers may round numbers by that much; strings parse back exactly
//! (Rust prints the shortest decimal that does).

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// Into how many cells the range is divided.
const CELLS: usize = 512;
/// Cut points of a cell that are compared at once.
const AT_ONCE: usize = 4;

/// Ascending finite cut points.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bins {
    /// How many cut points there are.
    len: usize,
    /// They, and infinities after them.
    cuts: Vec<f64>,
    /// The first cut point.
    low: f64,
    /// Cells in a unit.
    per_unit: f64,
    /// By cell, how many cut points lie in cells before it; and all of them at the end.
    before: Vec<u32>,
}

impl Bins {
    pub(super) fn new(cuts: &[f64]) -> Self {
        let (low, high) = (cuts.first().copied().unwrap_or(0.0), cuts.last().copied().unwrap_or(0.0));
        let per_unit = CELLS as f64 / (high - low);
        let before = |cell: usize| cuts.partition_point(|cut| cell_of(*cut, low, per_unit) < cell) as u32;
        Self {
            len: cuts.len(),
            cuts: cuts.iter().copied().chain([f64::INFINITY; AT_ONCE]).collect(),
            low,
            per_unit,
            before: (0..=CELLS).map(before).collect(),
        }
    }

    /// The cut points.
    pub(super) fn cuts(&self) -> &[f64] {
        &self.cuts[..self.len]
    }

    /// How many cut points are below a number: its bin.
    #[inline]
    pub(super) fn of(&self, value: f64) -> usize {
        let cell = cell_of(value, self.low, self.per_unit);
        let Some([from, to]) = self.before.get(cell..cell + 2) else { return self.len };
        let (from, to) = (*from as usize, *to as usize);
        if to - from > AT_ONCE {
            return from + self.cuts[from..to].partition_point(|cut| *cut < value);
        }
        let Some(few) = self.cuts.get(from..).and_then(|cuts| cuts.first_chunk::<AT_ONCE>()) else {
            return self.len;
        };
        from + few.iter().map(|cut| usize::from(*cut < value)).sum::<usize>()
    }
}

/// The cell of a number; what is beyond the range is in the first or the last. Where the range is so small or so large that
/// there is nothing to multiply with, numbers are in these two only, which is in order too.
#[inline]
fn cell_of(value: f64, low: f64, per_unit: f64) -> usize {
    // A cast of NaN is 0, and of what is too large the largest.
    let cell = ((value - low) * per_unit) as i32;
    cell.clamp(0, CELLS as i32 - 1) as usize
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

    fn agrees(cuts: &[f64]) {
        let bins = Bins::new(cuts);
        assert_eq!(bins.cuts(), cuts);
        let near = cuts.iter().flat_map(|cut| [cut.next_down(), *cut, cut.next_up()]);
        for value in near.chain([f64::MIN, -0.0, 0.0, f64::MAX]).filter(|value| value.is_finite()) {
            assert_eq!(bins.of(value), cuts.partition_point(|cut| *cut < value), "{cuts:?}, {value}");
        }
    }

    #[test]
    fn every_value_has_the_bin_that_bisection_finds() {
        for len in (0..70).chain([255, 256, 257, 600, 3_000]) {
            agrees(&(0..len).map(|at| f64::from(at) * 1.5 - 40.0).collect::<Vec<_>>());
            // Most of them crowd into the first cell.
            agrees(&(0..len.min(700)).map(|at| f64::from(at).exp()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_smallest_and_the_largest_ranges_are_no_exception() {
        let tiny = f64::from_bits(1);
        agrees(&[1.0]);
        agrees(&[0.0, tiny, 2.0 * tiny]);
        agrees(&[1.0, 1.0_f64.next_up(), 1.0_f64.next_up().next_up()]);
        agrees(&[f64::MIN, -1.0, 0.0, 1e300, f64::MAX]);
        agrees(&[-f64::MAX / 2.0, 0.0, f64::MAX / 2.0]);
        agrees(&[1e15, 1e15 + 0.125, 1e15 + 0.25, 1e15 + 1.0]);
    }
}

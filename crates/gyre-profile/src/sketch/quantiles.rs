//! Quantiles of numbers.

use std::fmt;

use datasketches::common::SearchCriteria::Inclusive;
use datasketches::kll::{KllFloat, KllSketch, SortedView};

use super::Stored;

/// How fine the sketch is; its size and the inverse of its error grow with it.
const K: u16 = 1024;

/// Quantiles of finite numbers (KLL: Karnin, Lang & Liberty 2016).
///
/// The rank of what is told as a quantile differs from the one asked for by at most [`Quantiles::RANK_ERROR`], with 99 %
/// confidence for each. Which of two neighbours is kept is decided by coins, so two sketches of the same values may
/// differ by so much.
#[derive(Clone, PartialEq)]
pub struct Quantiles(KllSketch<KllFloat<f64>>);

impl Quantiles {
    /// The error of a rank, as a share of the values (2.296 / k^0.9723, as measured by the authors of DataSketches).
    pub const RANK_ERROR: f64 = 0.0027;

    /// The most bytes that it takes: capacities of levels fall by a third each from `K` down to 8, of at most 61 levels,
    /// and a level may have room for twice its values.
    pub const MOST_BYTES: usize = (3 * K as usize + 8 * 61) * 8 * 2;

    /// Takes in a value; what is not finite is left out.
    pub(crate) fn push(&mut self, value: f64) {
        if value.is_finite()
            && let Ok(value) = KllFloat::<f64>::new(value)
        {
            self.0.update(value);
        }
    }

    /// Adds other values. The caller sees to it that there are not more than 2^64.
    pub(crate) fn merge(&mut self, other: &Self) {
        // Both have the same K, so that nothing but too many values could be refused.
        let merged = self.0.merge(&other.0);
        debug_assert!(merged.is_ok(), "{merged:?}");
    }

    /// How many values there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.n()
    }

    /// About how many bytes it takes now.
    #[must_use]
    pub fn bytes_held(&self) -> usize {
        self.0.num_retained() * 8
    }

    /// Sorts what is kept, for questions.
    #[must_use]
    pub fn sorted(&self) -> Sorted {
        Sorted(self.0.sorted_view())
    }
}

impl Default for Quantiles {
    fn default() -> Self {
        // K is within what is allowed; the default is a coarser sketch.
        Self(KllSketch::new(K).unwrap_or_default())
    }
}

impl fmt::Debug for Quantiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Quantiles").field("count", &self.count()).finish_non_exhaustive()
    }
}

impl Stored for Quantiles {
    fn bytes(&self) -> Vec<u8> {
        self.0.serialize()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        if bytes.get(4..6) != Some(&K.to_le_bytes()) || bytes.len() > Self::MOST_BYTES {
            return Err(format!("no KLL sketch with k = {K}"));
        }
        let sketch =
            KllSketch::deserialize(bytes).map_err(|error| format!("no KLL sketch: {}", error.message()))?;
        let is_finite = |end: Option<&KllFloat<f64>>| end.is_none_or(|value| value.is_finite());
        if sketch.min_k() != K || !is_finite(sketch.min_item()) || !is_finite(sketch.max_item()) {
            return Err(format!("no KLL sketch of finite numbers with k = {K}"));
        }
        Ok(Self(sketch))
    }
}

/// Quantiles that can be asked for.
#[derive(Debug)]
pub struct Sorted(SortedView<KllFloat<f64>>);

impl Sorted {
    /// The value of a rank between 0 (the least) and 1 (the greatest); none without values or outside of that.
    #[must_use]
    pub fn quantile(&self, rank: f64) -> Option<f64> {
        self.0.quantile(rank, Inclusive).ok().flatten().map(KllFloat::into_inner)
    }

    /// The share of values that are not above `value`; none without values.
    #[must_use]
    pub fn share_up_to(&self, value: f64) -> Option<f64> {
        self.0.rank(&KllFloat::<f64>::new(value).ok()?, Inclusive)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_parts_are_those_of_the_whole_within_the_bound() {
        let mut parts = [Quantiles::default(), Quantiles::default(), Quantiles::default()];
        // Every part has other values: low, middle, high.
        (0..300_000_u32).for_each(|at| parts[(at / 100_000) as usize].push(f64::from(at)));
        let [mut all, second, third] = parts;
        all.merge(&third);
        all.merge(&second);
        assert_eq!(all.count(), 300_000);
        let sorted = all.sorted();
        assert_eq!((sorted.quantile(0.0), sorted.quantile(1.0)), (Some(0.0), Some(299_999.0)));
        for percent in 1..100 {
            let rank = f64::from(percent) / 100.0;
            // Three times the bound of 99 %, for a hundred ranks.
            let off = sorted.quantile(rank).unwrap() / 300_000.0 - rank;
            assert!(off.abs() < 3.0 * Quantiles::RANK_ERROR, "{percent} %: off by {off}");
        }
        assert!(all.bytes_held() <= Quantiles::MOST_BYTES / 2 && all.bytes().len() <= Quantiles::MOST_BYTES);
        assert!((all.0.normalized_rank_error() - Quantiles::RANK_ERROR).abs() < 1e-4);
    }

    #[test]
    fn what_was_stored_is_the_same_and_what_was_not_is_refused() {
        let mut sketch = Quantiles::default();
        assert_eq!(Quantiles::from_bytes(&sketch.bytes()).unwrap(), sketch);
        assert_eq!(sketch.sorted().quantile(0.5), None);
        (0..5_000).for_each(|at| sketch.push(f64::from(at)));
        let bytes = sketch.bytes();
        assert_eq!(Quantiles::from_bytes(&bytes).unwrap(), sketch);
        let coarse = KllSketch::<KllFloat<f64>>::new(200).unwrap().serialize();
        let mut infinite = Quantiles::default();
        infinite.0.update(KllFloat::<f64>::new(f64::INFINITY).unwrap());
        for wrong in [&b""[..], b"PAR1PAR1", &bytes[..bytes.len() - 3], &coarse[..], &infinite.bytes()[..]] {
            assert!(Quantiles::from_bytes(wrong).is_err());
        }
    }
}

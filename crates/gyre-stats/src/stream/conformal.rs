//! The rank of each value among those before it, as a number that is uniform while nothing changes.
//!
//! If values are exchangeable (independent and alike, say), the rank of the newest among all so far is uniform,
//! whatever their distribution, and independent of the ranks before it (Vovk, Gammerman & Shafer, "Algorithmic Learning
//! in a Random World", 2005); ties are broken at random. Testing values of an unknown distribution thus becomes testing
//! numbers of a known one, and how well the reference is known is accounted for exactly: a short reference makes coarse
//! ranks, not false alarms.

use serde::{Deserialize, Serialize};

/// SplitMix64 (Steele, Lea & Flood 2014): a seeded source of tie-breaks that is stored with the detector.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Ties(u64);

impl Ties {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Uniform in (0, 1].
    pub(super) fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (((z ^ (z >> 31)) >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }
}

/// How often values fell into each of a fixed number of ordered classes.
///
/// Classes in place of values keep the memory fixed; they must be fixed without looking at the values that are counted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Ranks {
    counts: Vec<u64>,
}

impl Ranks {
    pub(super) fn new(classes: usize) -> Self {
        Self { counts: vec![0; classes.max(1)] }
    }

    pub(super) fn add(&mut self, class: usize, times: u64) {
        let last = self.counts.len().saturating_sub(1);
        if let Some(count) = self.counts.get_mut(class.min(last)) {
            *count = count.saturating_add(times);
        }
    }

    /// Counts a value of `class` and gives the share of all values, itself among them, that are larger; ties, itself
    /// again among them, count for a random part. Uniform in (0, 1] while values are exchangeable; small for large
    /// values.
    pub(super) fn upper_rank(&mut self, class: usize, ties: &mut Ties) -> f64 {
        let class = class.min(self.counts.len().saturating_sub(1));
        self.add(class, 1);
        let equal = self.counts.get(class).copied().unwrap_or(1) as f64;
        let larger: f64 = self.counts.iter().skip(class + 1).map(|count| *count as f64).sum();
        let all: f64 = self.counts.iter().map(|count| *count as f64).sum();
        (larger + ties.next() * equal) / all.max(1.0)
    }
}

//! A column's vectors: embeddings.

use gyre_stats::shape::Shape;
use serde::{Deserialize, Serialize};

use crate::sketch::{self, Quantiles};

/// Vectors of more numbers have no mean vector.
pub const MOST_DIMENSIONS: usize = 4_096;

/// What is kept of vectors.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vectors {
    /// Those with a number that is missing, NaN or infinite; nothing else is told of them.
    pub broken: u64,
    /// The fewest and the most numbers that one has; none while all are broken.
    pub dimensions: Option<(u64, u64)>,
    /// Mean, spread and range of their lengths (the Euclidean norm).
    pub norms: Shape,
    /// Quantiles of their lengths.
    #[serde(with = "sketch")]
    pub norm_quantiles: Quantiles,
    /// The sums of all first numbers, of all second ones, and so on: empty when vectors differ in how many they have, or
    /// have more than 4,096.
    pub sums: Vec<f64>,
}

impl Vectors {
    /// The most bytes that they take.
    pub const MOST_BYTES: usize = Quantiles::MOST_BYTES + 8 * MOST_DIMENSIONS + size_of::<Self>();

    /// Takes in a vector; none of its numbers is missing.
    pub(crate) fn add(&mut self, vector: impl ExactSizeIterator<Item = f64> + Clone) {
        // From 0, since an empty sum is -0.
        let norm = vector.clone().fold(0.0, |sum: f64, number| sum + number * number).sqrt();
        if !norm.is_finite() {
            self.broken += 1;
            return;
        }
        let length = vector.len();
        let is_first = self.dimensions.is_none();
        if !self.takes(length as u64, length as u64) {
            self.sums = Vec::new();
        } else if is_first && length <= MOST_DIMENSIONS {
            self.sums = vector.collect();
        } else {
            self.sums.iter_mut().zip(vector).for_each(|(sum, number)| *sum += number);
        }
        self.norms.merge(&Shape::of(&[norm]));
        self.norm_quantiles.push(norm);
    }

    /// Widens the range of dimensions; whether it is still one number.
    fn takes(&mut self, least: u64, most: u64) -> bool {
        let (least, most) = self.dimensions.map_or((least, most), |(a, b)| (a.min(least), b.max(most)));
        self.dimensions = Some((least, most));
        least == most
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.broken += other.broken;
        let Some((least, most)) = other.dimensions else { return };
        let is_first = self.dimensions.is_none();
        if !self.takes(least, most) {
            self.sums = Vec::new();
        } else if is_first {
            self.sums.clone_from(&other.sums);
        } else {
            self.sums.iter_mut().zip(&other.sums).for_each(|(ours, theirs)| *ours += theirs);
        }
        self.norms.merge(&other.norms);
        self.norm_quantiles.merge(&other.norm_quantiles);
    }

    /// The mean vector; none when vectors differ in how many numbers they have, or have more than 4,096.
    #[must_use]
    pub fn mean(&self) -> Option<Vec<f64>> {
        let mean: Vec<f64> = self.sums.iter().map(|sum| sum / self.norms.count() as f64).collect();
        (!mean.is_empty() && mean.iter().all(|number| number.is_finite())).then_some(mean)
    }

    pub(crate) fn rows(&self) -> Option<u64> {
        self.norms.count().checked_add(self.broken)
    }

    /// Whether all that is kept is of the same vectors.
    pub(crate) fn adds_up(&self) -> bool {
        let whole = self.norms.count();
        let of_one_length = match self.dimensions {
            Some((least, most)) if least == most && least <= MOST_DIMENSIONS as u64 => least as usize,
            _ => 0,
        };
        self.norm_quantiles.count() == whole
            && self.dimensions.is_some() == (whole > 0)
            && self.dimensions.is_none_or(|(least, most)| least <= most)
            && self.sums.len() == of_one_length
    }
}

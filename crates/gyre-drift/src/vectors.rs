//! Vectors out of a file: a bounded random sample of them, and the length of every one.
//!
//! An embedding is a list of numbers, one a row, all of one length. Their numbers together say something, one by one nothing, so a
//! sample of whole vectors is kept, of which a learner can be asked whether it tells the tables apart; and of each vector its
//! Euclidean norm, which is a number like any other.

use arrow_array::cast::AsArray;
use arrow_array::types::Float32Type;
use arrow_array::{Array, ArrayRef};
use arrow_cast::cast;
use arrow_schema::{ArrowError, DataType, FieldRef};

/// Vectors that are kept of a column, when they are short enough.
const MOST_VECTORS: usize = 20_000;
/// Numbers that are kept of a column: 32 MB; of 1,536 numbers a vector there are 5,461 vectors.
const MOST_NUMBERS: usize = 1 << 23;

/// A column's vectors.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Vectors {
    /// How many numbers each has: those of the first one.
    dimensions: usize,
    /// The kept ones, one after another.
    numbers: Vec<f32>,
    /// The hash of each of them: the smallest of all.
    hashes: Vec<u64>,
    limit: Option<u64>,
    norms: Vec<f64>,
    /// Rows whose vector has another length than the first, or holds what is no finite number.
    broken: u64,
}

impl Vectors {
    /// How many numbers each vector has; 0 without any.
    #[must_use]
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// The Euclidean norm of every vector that is not broken.
    #[must_use]
    pub fn norms(&self) -> &[f64] {
        &self.norms
    }

    /// Rows with a vector that cannot be used: of another length than the first, or with a number that is none.
    #[must_use]
    pub fn broken(&self) -> u64 {
        self.broken
    }

    /// The sample: each vector with whether it belongs to the half that is learned from.
    pub fn sample(&self) -> impl Iterator<Item = (&[f32], bool)> {
        let vectors = self.numbers.chunks_exact(self.dimensions.max(1));
        vectors.zip(self.hashes.iter().map(|hash| hash & 1 == 0))
    }

    /// Takes in a vector, the `row`th of the table.
    pub fn add(&mut self, row: u64, vector: &[f32]) {
        if self.dimensions == 0 {
            self.dimensions = vector.len();
        }
        let is_broken = vector.is_empty()
            || vector.len() != self.dimensions
            || !vector.iter().all(|number| number.is_finite());
        if is_broken {
            self.broken += 1;
            return;
        }
        let squares = vector.iter().map(|number| f64::from(*number) * f64::from(*number));
        self.norms.push(squares.sum::<f64>().sqrt());
        let hash = hash(row);
        if self.limit.is_some_and(|limit| hash > limit) {
            return;
        }
        self.hashes.push(hash);
        self.numbers.extend_from_slice(vector);
        if self.hashes.len() > 2 * self.most() {
            self.shrink();
        }
    }

    /// Keeps no more than it may.
    pub(crate) fn finish(mut self) -> Self {
        self.shrink();
        self
    }

    fn most(&self) -> usize {
        MOST_VECTORS.min(MOST_NUMBERS / self.dimensions.max(1)).max(1)
    }

    /// Keeps those with the smallest hashes: a simple random sample, whatever the order of the file.
    fn shrink(&mut self) {
        let most = self.most();
        if self.hashes.len() <= most {
            return;
        }
        let limit = *self.hashes.clone().select_nth_unstable(most - 1).1;
        let kept = self.numbers.chunks_exact(self.dimensions).zip(&self.hashes);
        let kept = kept.filter(|(_, hash)| **hash <= limit);
        self.numbers = kept.flat_map(|(vector, _)| vector).copied().collect();
        self.hashes.retain(|hash| *hash <= limit);
        self.limit = Some(limit);
    }
}

/// SplitMix64 (Steele, Lea & Flood 2014) of a row's number.
fn hash(row: u64) -> u64 {
    let z = row.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Whether a column of this type holds vectors.
#[must_use]
pub fn holds_vectors(kind: &DataType) -> bool {
    match kind {
        DataType::List(of) | DataType::LargeList(of) | DataType::FixedSizeList(of, _) => {
            // Whole numbers are those of quantised embeddings.
            of.data_type().is_floating() || of.data_type().is_integer()
        }
        _ => false,
    }
}

/// Adds the vectors of `array`, whose first is the `row`th of the table, and counts those that are missing.
pub(crate) fn add(
    array: &ArrayRef,
    row: u64,
    vectors: &mut Vectors,
    missing: &mut u64,
) -> Result<(), ArrowError> {
    let narrow = |field: &FieldRef| {
        std::sync::Arc::new(field.as_ref().clone().with_data_type(DataType::Float32).with_nullable(true))
    };
    // One kind for all three.
    let kind = match array.data_type() {
        DataType::List(field) | DataType::LargeList(field) | DataType::FixedSizeList(field, _) => {
            DataType::LargeList(narrow(field))
        }
        other => other.clone(),
    };
    let lists = cast(array, &kind)?;
    let lists = lists.as_list::<i64>();
    for at in 0..lists.len() {
        if lists.is_null(at) {
            *missing += 1;
            continue;
        }
        let vector = lists.value(at);
        let numbers = vector.as_primitive::<Float32Type>();
        if numbers.null_count() > 0 {
            vectors.broken += 1;
        } else {
            vectors.add(row + at as u64, numbers.values());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_is_bounded_and_random_and_what_is_broken_is_counted() {
        let mut vectors = Vectors::default();
        for row in 0..60_000_u64 {
            vectors.add(row, &[row as f32, 1.0]);
        }
        vectors.add(0, &[1.0]);
        vectors.add(0, &[1.0, f32::NAN]);
        vectors.add(0, &[]);
        let vectors = vectors.finish();
        assert_eq!((vectors.dimensions(), vectors.broken(), vectors.norms().len()), (2, 3, 60_000));
        let rows: Vec<f32> = vectors.sample().map(|(vector, _)| vector[0]).collect();
        assert_eq!(rows.len(), MOST_VECTORS);
        let mean = rows.iter().sum::<f32>() / rows.len() as f32;
        assert!((29_500.0..30_500.0).contains(&mean), "{mean}");
        let learned_from = vectors.sample().filter(|(_, learns)| *learns).count();
        assert!((9_700..10_300).contains(&learned_from), "{learned_from}");
        let mut long = Vectors::default();
        (0..3_000_u64).for_each(|row| long.add(row, &vec![0.5; 1 << 13]));
        let long = long.finish();
        assert_eq!((long.sample().count(), long.norms().len()), (1 << 10, 3_000));
    }
}

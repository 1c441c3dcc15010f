//! The values that occur most.

use std::fmt;
use std::hash::Hash;

use datasketches::frequencies::{ErrorType, FrequentItemValue, FrequentItemsSketch};
use twox_hash::XxHash3_64;

use super::{Number, Stored};

/// Slots of the table; three quarters of them are used.
const SLOTS: usize = 1 << LG_SLOTS;
const LG_SLOTS: u8 = 10;

/// Texts up to this length in bytes are kept as they are, longer ones as their beginning and a hash.
const LONGEST_NAME: usize = 96;
const BEGINNING: usize = 72;

/// What can be counted: a number, or a text of bounded length (see [`name_key`]).
pub trait Key: FrequentItemValue + Clone + Ord + Hash {
    /// The most bytes that one takes beside its place in the table.
    const MOST_BYTES: usize;

    /// Whether it is one that a profile would count.
    fn is_proper(&self) -> bool;
}

impl Key for Number {
    const MOST_BYTES: usize = 0;

    fn is_proper(&self) -> bool {
        self.to_double().is_finite()
    }
}

impl Key for String {
    const MOST_BYTES: usize = LONGEST_NAME;

    fn is_proper(&self) -> bool {
        self.len() <= LONGEST_NAME
    }
}

/// A text as it is counted: itself, or its beginning and a hash when it is longer than 96 bytes.
#[must_use]
pub fn name_key(text: &str) -> std::borrow::Cow<'_, str> {
    if text.len() <= LONGEST_NAME {
        return text.into();
    }
    let beginning = &text[..text.floor_char_boundary(BEGINNING)];
    format!("{beginning}… #{:016x}", XxHash3_64::oneshot(text.as_bytes())).into()
}

/// A value that occurs often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item<K> {
    /// The value.
    pub key: K,
    /// In no fewer rows than this.
    pub at_least: u64,
    /// In no more rows than this.
    pub at_most: u64,
}

/// The values that occur most (Misra & Gries 1982, as amended by Anderson et al. 2017).
///
/// Up to [`Frequent::MOST_KEPT`] different values all are counted exactly. Beyond, counts are told with bounds that hold
/// for certain, apart by at most 3.5 / 1,024 of the rows, and every value above that share is found.
#[derive(Clone)]
pub struct Frequent<K>(FrequentItemsSketch<K>);

impl<K: Key> Frequent<K> {
    /// Different values that are counted exactly.
    pub const MOST_KEPT: usize = SLOTS / 4 * 3;

    /// The most bytes that it takes.
    pub const MOST_BYTES: usize = SLOTS * (size_of::<Option<K>>() + size_of::<u64>() + size_of::<u16>())
        + (Self::MOST_KEPT + 1) * K::MOST_BYTES;

    /// Counts `rows` rows with this value.
    pub(crate) fn push<Q>(&mut self, key: &Q, rows: u64)
    where
        K: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        self.0.update_with_count_ref(key, rows);
    }

    /// Adds the counts of another. The caller sees to it that there are not more than 2^64 rows.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.0.merge(&other.0);
    }

    /// How many rows were counted.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.0.total_weight()
    }

    /// By how much a count may be off; 0 while all are exact.
    #[must_use]
    pub fn error(&self) -> u64 {
        self.0.maximum_error()
    }

    /// How many different values there are, while that is known exactly.
    #[must_use]
    pub fn exact_distinct(&self) -> Option<usize> {
        (self.error() == 0).then(|| self.0.num_active_items())
    }

    /// The most frequent values, the first one most often; at most `most`. A value that others which are not known might
    /// exceed is left out, so there may be none.
    #[must_use]
    pub fn top(&self, most: usize) -> Vec<Item<K>> {
        let rows = self.0.frequent_items(ErrorType::NoFalsePositives);
        let item = |row: &datasketches::frequencies::Row<K>| Item {
            key: row.item().clone(),
            at_least: row.lower_bound(),
            at_most: row.upper_bound(),
        };
        let mut items: Vec<Item<K>> = rows.iter().map(item).collect();
        items.sort_by(|a, b| b.at_least.cmp(&a.at_least).then_with(|| a.key.cmp(&b.key)));
        items.truncate(most);
        items
    }
}

impl<K: Key> Default for Frequent<K> {
    fn default() -> Self {
        Self(FrequentItemsSketch::new(SLOTS).expect("a power of two from 8 on is allowed"))
    }
}

impl<K: Key> PartialEq for Frequent<K> {
    /// Whether both tell the same.
    fn eq(&self, other: &Self) -> bool {
        (self.rows(), self.error()) == (other.rows(), other.error())
            && self.top(Self::MOST_KEPT) == other.top(Self::MOST_KEPT)
    }
}

impl<K: Key> fmt::Debug for Frequent<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frequent")
            .field("rows", &self.rows())
            .field("error", &self.error())
            .finish_non_exhaustive()
    }
}

impl<K: Key> Stored for Frequent<K> {
    fn bytes(&self) -> Vec<u8> {
        self.0.serialize()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        // The sizes come before what they allocate.
        if bytes.get(3) != Some(&LG_SLOTS) || bytes.get(4).is_none_or(|size| *size > LG_SLOTS) {
            return Err(format!("no sketch of frequent items with {SLOTS} slots"));
        }
        let sketch = FrequentItemsSketch::<K>::deserialize(bytes);
        let sketch =
            Self(sketch.map_err(|error| format!("no sketch of frequent items: {}", error.message()))?);
        let counted = sketch.0.frequent_items(ErrorType::NoFalseNegatives);
        let is_whole = sketch.bytes().len() == bytes.len() && sketch.error() <= sketch.rows();
        if !is_whole || !counted.iter().all(|row| row.item().is_proper()) {
            return Err("a sketch of frequent items that does not add up".to_owned());
        }
        Ok(sketch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `rows` rows, every third of them "often", the others all different.
    fn names(first: u32, rows: u32) -> Frequent<String> {
        let mut sketch = Frequent::default();
        for row in first..first + rows {
            let name = if row % 3 == 0 { "often".to_owned() } else { format!("once {row}") };
            sketch.push(name.as_str(), 1);
        }
        sketch
    }

    #[test]
    fn few_values_are_exact_and_of_many_the_frequent_are_found() {
        let few = names(0, 300);
        assert_eq!((few.error(), few.exact_distinct()), (0, Some(201)));
        assert_eq!(few.top(1), [Item { key: "often".to_owned(), at_least: 100, at_most: 100 }]);
        let (mut one, other) = (names(0, 60_000), names(60_000, 40_000));
        one.merge(&other);
        let top = one.top(10);
        assert_eq!((top.len(), top[0].key.as_str(), one.rows()), (1, "often", 100_000));
        assert!(top[0].at_least <= 33_334 && top[0].at_most >= 33_334, "{top:?}");
        assert!(top[0].at_most - top[0].at_least <= 100_000 * 7 / 2 / 1_024);
        assert!(one.bytes().len() <= Frequent::<String>::MOST_BYTES && one.exact_distinct().is_none());
    }

    #[test]
    fn long_texts_are_told_apart_by_more_than_their_beginning() {
        let (one, other) = ("é".repeat(1_000), format!("{}x", "é".repeat(1_000)));
        assert_ne!(name_key(&one), name_key(&other));
        assert!(name_key(&one).starts_with("éé") && String::from(name_key(&one)).is_proper());
        assert_eq!(name_key("short"), "short");
    }

    #[test]
    fn bytes_that_are_none_are_refused() {
        let bytes = names(0, 5_000).bytes();
        assert_eq!(Frequent::<String>::from_bytes(&bytes).unwrap(), names(0, 5_000));
        // A table of 2^30 slots is not made to find that it is nearly empty.
        let huge = [&bytes[..3], &[30, 30], &bytes[5..]].concat();
        for wrong in [&b""[..], b"PAR1PAR1", &bytes[..60], &huge[..]] {
            assert!(Frequent::<String>::from_bytes(wrong).is_err());
        }
        assert!(Frequent::<Number>::from_bytes(&bytes).is_err());
    }
}

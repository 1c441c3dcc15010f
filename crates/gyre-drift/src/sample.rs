//! What was read of one column: all that its comparison needs, and nothing of how it lay in a file.
//!
//! Numbers are kept one by one, since the tests of them are exact. Of everything else only counts are kept, and of names
//! no more than [`MOST_NAMES`]: a column of a million different texts is no set of categories, and is compared by what its
//! values have in common (how long they are, how many are missing).

use std::collections::HashMap;

use gyre_core::spec::ColumnType;

use crate::vectors::Vectors;

/// Different names that are counted one by one; a column with more holds texts or identifiers, not categories.
pub const MOST_NAMES: usize = 10_000;

/// A column's rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// What it holds; of vectors, what their numbers are.
    pub kind: ColumnType,
    /// Rows without a value; NaN is none.
    pub missing: u64,
    /// The rows with one.
    pub values: Values,
}

/// The values of a column.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Numbers, infinities among them, in the order of the rows; times as seconds since 1970.
    Numbers(Vec<f64>),
    /// How often each name occurs.
    Names(Names),
    /// Lists of numbers.
    Vectors(Vectors),
}

/// Counts of names.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Names {
    counts: HashMap<Box<str>, u64>,
    /// Rows whose name was not kept, for too many were known.
    other: u64,
    /// Lengths of texts in characters, by length.
    lengths: HashMap<u32, u64>,
}

impl Names {
    /// Counts `rows` rows that hold `name`.
    pub fn add(&mut self, name: &str, rows: u64) {
        let length = u32::try_from(name.chars().count()).unwrap_or(u32::MAX);
        *self.lengths.entry(length).or_default() += rows;
        if let Some(count) = self.counts.get_mut(name) {
            *count += rows;
        } else if self.counts.len() < MOST_NAMES {
            self.counts.insert(name.into(), rows);
        } else {
            self.other += rows;
        }
    }

    /// Rows with the name `name`.
    #[must_use]
    pub fn count(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or(0)
    }

    /// Names and their rows, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.counts.iter().map(|(name, count)| (&**name, *count))
    }

    /// How many names were kept.
    #[must_use]
    pub fn distinct(&self) -> usize {
        self.counts.len()
    }

    /// Rows with a name.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.other + self.counts.values().sum::<u64>()
    }

    /// Whether the values are so many that they name no categories: more than are kept, or nearly all different.
    #[must_use]
    pub fn are_texts(&self) -> bool {
        self.other > 0 || (self.rows() >= 100 && self.distinct() as u64 * 2 > self.rows())
    }

    /// The length of each text in characters, ascending.
    #[must_use]
    pub fn lengths(&self) -> Vec<f64> {
        let mut lengths: Vec<(u32, u64)> =
            self.lengths.iter().map(|(length, rows)| (*length, *rows)).collect();
        lengths.sort_unstable();
        let repeat = |(length, rows): (u32, u64)| std::iter::repeat_n(f64::from(length), rows as usize);
        lengths.into_iter().flat_map(repeat).collect()
    }
}

impl Sample {
    /// Rows, with and without a value.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.missing + self.present()
    }

    /// Rows with a value.
    #[must_use]
    pub fn present(&self) -> u64 {
        match &self.values {
            Values::Numbers(values) => values.len() as u64,
            Values::Names(names) => names.rows(),
            Values::Vectors(vectors) => vectors.broken() + vectors.norms().len() as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_and_texts_are_told_from_categories() {
        let mut names = Names::default();
        (0..MOST_NAMES + 500).for_each(|at| names.add(&format!("n{at}"), 2));
        assert_eq!((names.distinct(), names.rows()), (MOST_NAMES, 2 * (MOST_NAMES as u64 + 500)));
        assert!(names.are_texts());
        let mut few = Names::default();
        ["a", "bb", "a", "日本"].iter().for_each(|name| few.add(name, 50));
        assert_eq!((few.count("a"), few.count("c"), few.are_texts()), (100, 0, false));
        assert_eq!(few.lengths()[99..101], [1.0, 2.0]);
    }
}

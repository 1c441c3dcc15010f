//! One column: what was found in it, kind by kind.
//!
//! A column is not assumed to hold one kind of value. Whatever is met (numbers, texts, times, vectors) is counted under
//! its own kind, so that twelve texts in a million numbers neither spoil the numbers nor get lost, and any two columns can
//! be merged.

mod numbers;
mod texts;
mod times;
mod vectors;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

pub use numbers::Numbers;
pub use texts::{Lengths, Texts};
pub use times::Times;
pub use vectors::{MOST_DIMENSIONS, Vectors};

/// Types by which files declare a column, of which so many are kept.
const MOST_DECLARED: usize = 4;
/// How much of a declared type is kept, in bytes: structures may be nested deeply.
const LONGEST_DECLARED: usize = 64;

/// Truths.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Booleans {
    /// Rows that hold true.
    pub yes: u64,
    /// Rows that hold false.
    pub no: u64,
}

/// A column's profile.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Rows of tables that have this column.
    pub rows: u64,
    /// Rows without a value; NaN is none.
    pub missing: u64,
    /// Rows with a value of which nothing more is told: structures, bytes, lists of other things than floats.
    #[serde(default)]
    pub other: u64,
    /// The types by which files declare it, the alphabetically first four.
    #[serde(default)]
    pub declared: BTreeSet<String>,
    /// Its truths, when there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub booleans: Option<Booleans>,
    /// Its numbers, when there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numbers: Option<Box<Numbers>>,
    /// Its texts, when there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub texts: Option<Box<Texts>>,
    /// Its times, when there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<Box<Times>>,
    /// Its vectors, when there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vectors: Option<Box<Vectors>>,
}

impl Column {
    /// The most bytes that a column takes that has every kind of value, whatever the number of rows; one that has one kind
    /// takes that kind's ([`Numbers::MOST_BYTES`] and so on).
    pub const MOST_BYTES: usize = Numbers::MOST_BYTES
        + Texts::MOST_BYTES
        + Times::MOST_BYTES
        + Vectors::MOST_BYTES
        + MOST_DECLARED * LONGEST_DECLARED
        + size_of::<Self>();

    /// A column without rows.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// Notes the type by which a file declares it.
    pub(crate) fn declare(&mut self, kind: &str) {
        self.declared.insert(kind[..kind.floor_char_boundary(LONGEST_DECLARED)].to_owned());
        self.keep_few();
    }

    fn keep_few(&mut self) {
        while self.declared.len() > MOST_DECLARED {
            self.declared.pop_last();
        }
    }

    /// Adds the rows of another table's column; none of the counts exceeds the rows, and those add up.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.rows += other.rows;
        self.missing += other.missing;
        self.other += other.other;
        self.declared.extend(other.declared.iter().cloned());
        self.keep_few();
        if let Some(theirs) = other.booleans {
            let ours = self.booleans.get_or_insert_default();
            ours.yes += theirs.yes;
            ours.no += theirs.no;
        }
        merge(&mut self.numbers, &other.numbers, Numbers::merge);
        merge(&mut self.texts, &other.texts, Texts::merge);
        merge(&mut self.times, &other.times, Times::merge);
        merge(&mut self.vectors, &other.vectors, Vectors::merge);
    }

    /// What a stored column holds that cannot be; none when all adds up.
    pub(crate) fn contradiction(&self) -> Option<&'static str> {
        let parts = [
            Some(self.missing),
            Some(self.other),
            self.booleans.map_or(Some(0), |truths| truths.yes.checked_add(truths.no)),
            self.numbers.as_ref().map_or(Some(0), |numbers| numbers.rows()),
            self.texts.as_ref().map_or(Some(0), |texts| texts.rows()),
            self.times.as_ref().map_or(Some(0), |times| times.rows()),
            self.vectors.as_ref().map_or(Some(0), |vectors| vectors.rows()),
        ];
        let sum = parts.into_iter().try_fold(0_u64, |sum, part| sum.checked_add(part?));
        if sum != Some(self.rows) {
            return Some("its values and missing ones do not add up to its rows");
        }
        let each = [
            (self.numbers.as_ref().is_none_or(|kept| kept.adds_up()), "its numbers do not add up"),
            (self.texts.as_ref().is_none_or(|kept| kept.adds_up()), "its texts do not add up"),
            (self.times.as_ref().is_none_or(|kept| kept.adds_up()), "its times do not add up"),
            (self.vectors.as_ref().is_none_or(|kept| kept.adds_up()), "its vectors do not add up"),
        ];
        each.into_iter().find(|(adds_up, _)| !adds_up).map(|(_, wrong)| wrong)
    }
}

/// Adds a kind of value that may be in either column.
fn merge<T: Clone>(ours: &mut Option<Box<T>>, theirs: &Option<Box<T>>, add: impl Fn(&mut T, &T)) {
    match (ours.as_mut(), theirs) {
        (_, None) => {}
        (None, Some(theirs)) => *ours = Some(theirs.clone()),
        (Some(ours), Some(theirs)) => add(ours, theirs),
    }
}

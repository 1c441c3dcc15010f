//! Categorical columns: the most frequent names of the reference, and all others together.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::Incompatible;
use crate::proportion::Proportion;

/// Most names that a reference keeps by default.
pub const TOP_CATEGORIES: usize = 256;

/// Names outside the reference that a window keeps as examples, so that an alarm can show some.
pub const UNSEEN_EXAMPLES: usize = 16;

/// Characters of an example that are kept.
const EXAMPLE_LENGTH: usize = 64;

/// What a categorical column looked like at training time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CategoricalReference {
    histogram: CategoricalWindow,
    novelty: Proportion,
}

impl CategoricalReference {
    /// Summarises the values of a column, keeping the [`TOP_CATEGORIES`] most frequent names.
    #[must_use]
    pub fn from_values<'a>(values: impl IntoIterator<Item = Option<&'a str>>) -> Self {
        Self::with_categories(values, TOP_CATEGORIES)
    }

    /// The same with at most `limit` names: those with more rows than the first that would be one too many.
    #[must_use]
    pub fn with_categories<'a>(values: impl IntoIterator<Item = Option<&'a str>>, limit: usize) -> Self {
        let mut missing = 0;
        let mut counts: HashMap<&str, u64> = HashMap::new();
        for value in values {
            match value {
                Some(name) => *counts.entry(name).or_default() += 1,
                None => missing += 1,
            }
        }
        // Equally frequent names are kept all or none, so that luck does not choose among them.
        let mut frequencies: Vec<u64> = counts.values().copied().collect();
        frequencies.sort_unstable_by_key(|count| std::cmp::Reverse(*count));
        let bar = frequencies.get(limit).copied().unwrap_or(0);
        let novelty = novelty(&frequencies, bar);
        let other = frequencies.iter().filter(|count| **count <= bar).sum();
        let mut kept: Vec<(&str, u64)> = counts.into_iter().filter(|(_, count)| *count > bar).collect();
        kept.sort_unstable_by_key(|(name, _)| *name);
        let categories: Vec<String> = kept.iter().map(|(name, _)| (*name).to_owned()).collect();
        let histogram = CategoricalWindow {
            categories: categories.into(),
            counts: kept.iter().map(|(_, count)| *count).collect(),
            other,
            missing,
            examples: BTreeSet::new(),
        };
        Self { histogram, novelty }
    }

    /// The same names and the same novelty with the counts of `window`.
    ///
    /// # Errors
    /// [`Incompatible::Bins`] when the window was made from another reference.
    pub fn with_counts(&self, window: CategoricalWindow) -> Result<Self, Incompatible> {
        if !self.histogram.same_bins(&window) {
            return Err(Incompatible::Bins);
        }
        Ok(Self { histogram: window, novelty: self.novelty })
    }

    /// The reference's own counts.
    #[must_use]
    pub fn histogram(&self) -> &CategoricalWindow {
        &self.histogram
    }

    /// The share of rows outside the kept names that is to be expected of new rows from the same source.
    ///
    /// A column with a long tail always shows names that its training data lacks. By leaving one out (Good & Turing,
    /// Good 1953): a row is novel when its name would not be kept without it, as that of a name seen once. Scaled to the
    /// number of independent trials that has the variance of that estimate.
    #[must_use]
    pub fn novelty(&self) -> Proportion {
        self.novelty
    }

    /// Whether every name of the training data is kept. Then, and only then, "other" in a window means *unseen*.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.histogram.other == 0
    }
}

/// Novelty when names with more than `bar` rows are kept; see [`CategoricalReference::novelty`].
fn novelty(counts: &[u64], bar: u64) -> Proportion {
    let rows = |wanted: &dyn Fn(u64) -> bool| -> u64 { counts.iter().filter(|count| wanted(**count)).sum() };
    // Without one of its rows, a name with `bar` + 1 of them would not be kept.
    let last = bar + 1;
    let (novel, next, all) =
        (rows(&|count| count <= last), rows(&|count| count == last + 1), rows(&|_| true));
    if novel == 0 {
        return Proportion::new(0, all);
    }
    // The variance of the share is (novel + last·next)/all², which for names seen once and twice is the known
    // (n₁ + 2·n₂)/n² (Robbins 1968), rather than the novel/all² of independent trials.
    let scale = novel as f64 / (novel as f64 + last as f64 * next as f64);
    Proportion::new((novel as f64 * scale).round() as u64, (all as f64 * scale).round() as u64)
}

/// Counts of a categorical column in the categories of a reference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub struct CategoricalWindow {
    /// Ascending, so that a name is found by bisection.
    categories: Arc<[String]>,
    counts: Vec<u64>,
    other: u64,
    missing: u64,
    /// The alphabetically first names outside `categories`: bounded, and the same in whatever order windows merge.
    examples: BTreeSet<String>,
}

impl CategoricalWindow {
    /// An empty window with the categories of `reference`.
    #[must_use]
    pub fn new(reference: &CategoricalReference) -> Self {
        let categories = Arc::clone(&reference.histogram.categories);
        let counts = vec![0; categories.len()];
        Self { categories, counts, other: 0, missing: 0, examples: BTreeSet::new() }
    }

    /// Counts one value; `None` is a missing value.
    pub fn push(&mut self, value: Option<&str>) {
        let Some(name) = value else {
            self.missing += 1;
            return;
        };
        match self.categories.binary_search_by(|category| category.as_str().cmp(name)) {
            Ok(index) => self.counts[index] += 1,
            Err(_) => {
                self.other += 1;
                self.keep_example(name);
            }
        }
    }

    fn keep_example(&mut self, name: &str) {
        let full = self.examples.len() >= UNSEEN_EXAMPLES;
        let end = name.char_indices().nth(EXAMPLE_LENGTH).map_or(name.len(), |(end, _)| end);
        let name = &name[..end];
        if self.examples.contains(name)
            || (full && self.examples.last().is_some_and(|last| last.as_str() < name))
        {
            return;
        }
        self.examples.insert(name.to_owned());
        if full {
            self.examples.pop_last();
        }
    }

    /// Adds the counts of another window of the same reference.
    ///
    /// # Errors
    /// [`Incompatible::Bins`] when the windows come from different references; `self` is then unchanged.
    pub fn merge(&mut self, other: &Self) -> Result<(), Incompatible> {
        if !self.same_bins(other) {
            return Err(Incompatible::Bins);
        }
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.other += other.other;
        self.missing += other.missing;
        other.examples.iter().for_each(|name| self.keep_example(name));
        Ok(())
    }

    /// Whether both count into the same categories.
    #[must_use]
    pub fn same_bins(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.categories, &other.categories) || self.categories == other.categories
    }

    /// Names kept, ascending.
    #[must_use]
    pub fn categories(&self) -> &[String] {
        &self.categories
    }

    /// Counts of [`categories`](Self::categories).
    #[must_use]
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Counts of all kept names and then of all others together: every row that has a value.
    #[must_use]
    pub fn all_counts(&self) -> Vec<u64> {
        let mut counts = self.counts.clone();
        counts.push(self.other);
        counts
    }

    /// Rows counted, missing ones included.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.present() + self.missing
    }

    /// Rows that have a value.
    #[must_use]
    pub fn present(&self) -> u64 {
        self.counts.iter().sum::<u64>() + self.other
    }

    /// Rows with a name that the reference did not keep.
    #[must_use]
    pub fn other(&self) -> u64 {
        self.other
    }

    /// Missing rows.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.missing
    }

    /// Up to [`UNSEEN_EXAMPLES`] names that the reference did not keep, shortened to 64 characters.
    pub fn examples(&self) -> impl Iterator<Item = &str> {
        self.examples.iter().map(String::as_str)
    }
}

/// [`CategoricalWindow`] as stored, before it is known to be consistent.
#[derive(Deserialize)]
struct Stored {
    categories: Arc<[String]>,
    counts: Vec<u64>,
    other: u64,
    missing: u64,
    examples: BTreeSet<String>,
}

impl TryFrom<Stored> for CategoricalWindow {
    type Error = String;

    fn try_from(stored: Stored) -> Result<Self, String> {
        let Stored { categories, counts, other, missing, examples } = stored;
        if categories.len() != counts.len() {
            return Err(format!(
                "{} categories have {} counts; expected one each",
                categories.len(),
                counts.len()
            ));
        }
        if !categories.is_sorted_by(|a, b| a < b) {
            return Err("categories are out of order; expected ascending names, each once".to_owned());
        }
        Ok(Self { categories, counts, other, missing, examples })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rare_are_counted_together() {
        let values = ["a", "a", "a", "b", "b", "c"].map(Some).into_iter().chain([None]);
        let reference = CategoricalReference::with_categories(values, 2);
        assert_eq!(reference.histogram().categories(), ["a", "b"]);
        assert_eq!(reference.histogram().all_counts(), [3, 2, 1]);
        assert_eq!(reference.histogram().missing(), 1);
        assert!(!reference.is_complete());
    }

    #[test]
    fn unseen_names_are_counted_and_some_are_shown() {
        let reference = CategoricalReference::from_values(["a", "b"].map(Some));
        let mut window = CategoricalWindow::new(&reference);
        for i in (0..100).rev() {
            window.push(Some(&format!("new-{i:02}")));
        }
        window.push(Some("b"));
        assert!(reference.is_complete());
        assert_eq!((window.other(), window.rows()), (100, 101));
        let expected: Vec<String> = (0..16).map(|i| format!("new-{i:02}")).collect();
        assert!(window.examples().eq(expected.iter().map(String::as_str)));
    }

    #[test]
    fn a_long_tail_promises_more_of_itself() {
        // 40 rows of one name, 10 names once, 5 twice: 10 of 60 rows are novel, with the variance of half as many trials.
        let once = (0..10).map(|i| format!("once-{i}"));
        let twice = (0..10).map(|i| format!("twice-{}", i / 2));
        let all: Vec<String> = once.chain(twice).chain(std::iter::repeat_n("often".to_owned(), 40)).collect();
        let reference = CategoricalReference::from_values(all.iter().map(|name| Some(name.as_str())));
        assert_eq!(reference.novelty(), Proportion::new(5, 30));
        // A short list without rare names promises nothing new.
        let reference = CategoricalReference::from_values(["a", "b"].repeat(20).into_iter().map(Some));
        assert_eq!(reference.novelty(), Proportion::new(0, 40));
    }
}

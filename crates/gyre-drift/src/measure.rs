//! One column against its reference: every number that a person or a decision may want of it.
//!
//! Numbers are compared by their ranks (Kolmogorov–Smirnov) and by how far their mass has moved; names by their counts.
//! Numbers that take few values are names as far as the test is concerned: ranks with many ties say too little. Texts that
//! name no categories are compared by their lengths, times by the hours and the days of the week on which they fall, since
//! every later time is greater than every earlier one; vectors by whether a classifier tells them apart. Values that are missing, infinite or unseen are counted, and their
//! shares compared apart.

mod names;
mod numbers;
mod times;
mod vectors;

use gyre_core::spec::ColumnType;
use gyre_stats::drift::counts::{self, Empty};
use gyre_stats::drift::{ShareChange, homogeneity, pool};
use gyre_stats::profile::Quartiles;
use gyre_stats::proportion::{Interval, Proportion, newcombe_difference, two_proportion_p};
use serde::Serialize;

use crate::sample::{Sample, Values};

/// The level of intervals.
pub const LEVEL: f64 = 0.95;

/// What a column is compared as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Numbers by rank and size.
    Numbers,
    /// Names by their counts.
    Categories,
    /// Texts by their length.
    Texts,
    /// Times by hour and weekday.
    Times,
    /// Vectors by a classifier, and by their norms.
    Vectors,
}

/// How a column was compared, and what it gave.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measured {
    /// As what it was compared.
    pub kind: Kind,
    /// The reference.
    pub reference: Side,
    /// What is compared with it.
    pub current: Side,
    /// Tests of the hypothesis that both are of one distribution.
    pub tests: Vec<Test>,
    /// How far apart they are.
    pub distances: Vec<Distance>,
    /// Shares of rows that are compared apart.
    pub shares: Vec<Share>,
    /// Both over the same bins, to be drawn.
    pub bins: Vec<Bin>,
}

/// What one side of a column looks like.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Side {
    /// Rows, with and without a value.
    pub rows: u64,
    /// Rows without a value.
    pub missing: u64,
    /// Mean of the finite numbers (of lengths, for texts).
    pub mean: Option<f64>,
    /// Their standard deviation.
    pub standard_deviation: Option<f64>,
    /// The smallest of them; for times, seconds since 1970.
    pub least: Option<f64>,
    /// The greatest of them.
    pub greatest: Option<f64>,
    /// Their quartiles.
    pub quartiles: Option<Quartiles>,
    /// Different names; none where they were too many to be counted.
    pub distinct: Option<u64>,
}

/// A test, by the field's name for it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Test {
    /// Its name.
    pub name: &'static str,
    /// Its statistic.
    pub statistic: f64,
    /// Its p-value.
    pub p_value: f64,
    /// Whether the verdict rests on it; the others are told beside.
    pub decides: bool,
}

impl Test {
    /// Whether this test says that such a distance is no luck.
    pub(crate) fn is_of(&self, distance: &Distance) -> bool {
        let other = match distance.name {
            "l_infinity_hour" => "chi_square_hour",
            "l_infinity_weekday" => "chi_square_weekday",
            "separation" => "linear_classifier",
            _ => return !matches!(self.name, "chi_square_hour" | "chi_square_weekday" | "linear_classifier"),
        };
        self.name == other
    }
}

/// A distance, by the field's name for it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Distance {
    /// Its name.
    pub name: &'static str,
    /// How far.
    pub value: f64,
    /// Its interval at [`LEVEL`], where there is one.
    pub interval: Option<Interval>,
    /// Whether what is material is judged by it.
    pub decides: bool,
}

/// What share of rows is special, on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Share {
    /// Which rows: `missing`, `plus_infinite`, `minus_infinite`, `unseen`, `broken`.
    pub name: &'static str,
    /// The shares, and the p-value that they are equal; of `unseen` rows, what is to be expected of them and the p-value that there
    /// are no more ([`gyre_stats::drift::unseen`](fn@gyre_stats::drift::unseen)).
    #[serde(flatten)]
    pub change: ShareChange,
    /// Current less reference (Newcombe's interval at [`LEVEL`], for `unseen` with the error of what is expected).
    pub interval: Option<Interval>,
}

/// Rows in a bin.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bin {
    /// Its name: "10 to 20", "JFK".
    pub name: String,
    /// Rows of the reference.
    pub reference: u64,
    /// Rows of the current sample.
    pub current: u64,
}

impl Measured {
    /// The p-values that the verdict rests on, with what each is of.
    pub fn deciding(&self) -> impl Iterator<Item = (&'static str, f64)> {
        let tests = self.tests.iter().filter(|test| test.decides).map(|test| (test.name, test.p_value));
        tests.chain(self.shares.iter().filter_map(|share| Some((share.name, share.change.p_value?))))
    }

    /// Whether all times lie before the first of the reference: a clock that stands at 1970, or tables that were mixed up. No test
    /// looks at it, since later times are no news.
    #[must_use]
    pub fn is_earlier(&self) -> bool {
        let ends = self.current.greatest.zip(self.reference.least);
        self.kind == Kind::Times && ends.is_some_and(|(last, first)| last < first)
    }

    /// One p-value for the column: the smallest of those that decide, times their number (Bonferroni); none when nothing
    /// could be tested.
    #[must_use]
    pub fn p_value(&self) -> Option<f64> {
        let smallest = self.deciding().map(|(_, p)| p).reduce(f64::min)?;
        Some((smallest * self.deciding().count() as f64).min(1.0))
    }
}

/// Compares the samples of a column. None when one holds numbers and the other names, or vectors of another length.
#[must_use]
pub fn measure(reference: Sample, current: Sample) -> Option<Measured> {
    let (missing_before, missing_after) = (reference.missing, current.missing);
    match (reference.values, current.values) {
        (Values::Numbers(before), Values::Numbers(after)) => Some(if reference.kind == ColumnType::Time {
            times::measure((missing_before, &before), (missing_after, &after))
        } else {
            numbers::measure(Kind::Numbers, (missing_before, before), (missing_after, after))
        }),
        (Values::Names(before), Values::Names(after)) if before.are_texts() => {
            let (before, after) = (before.lengths(), after.lengths());
            Some(numbers::measure(Kind::Texts, (missing_before, before), (missing_after, after)))
        }
        (Values::Names(before), Values::Names(after)) => {
            Some(names::measure((missing_before, &before), (missing_after, &after)))
        }
        (Values::Vectors(before), Values::Vectors(after)) => {
            vectors::measure((missing_before, &before), (missing_after, &after))
        }
        _ => None,
    }
}

/// The shares of rows that are special: `(rows that are, all rows)` on each side.
fn share(name: &'static str, before: (u64, u64), after: (u64, u64)) -> Share {
    let (before, after) = (Proportion::new(before.0, before.1), Proportion::new(after.0, after.1));
    let varies = before.successes() + after.successes() > 0 && before.failures() + after.failures() > 0;
    Share {
        name,
        change: ShareChange {
            reference: before.value(),
            current: after.value(),
            p_value: two_proportion_p(before, after).filter(|_| varies),
        },
        interval: newcombe_difference(after, before, LEVEL),
    }
}

/// The interval of how far two shares are apart (Newcombe's of their difference, not below 0).
fn apart_by(before: Proportion, after: Proportion) -> Option<Interval> {
    let (more, less) = if after.value()? >= before.value()? { (after, before) } else { (before, after) };
    let found = newcombe_difference(more, less, LEVEL)?;
    Some(Interval { lower: found.lower.max(0.0), ..found })
}

/// The largest change of a share of the counts, with the interval that this share would have if nobody had looked for the
/// largest: with many names, luck makes some change look large.
fn largest_change(name: &'static str, before: &[u64], after: &[u64]) -> Option<Distance> {
    let (n, m) = (before.iter().sum::<u64>(), after.iter().sum::<u64>());
    let shares = before.iter().zip(after).map(|(a, b)| (Proportion::new(*a, n), Proportion::new(*b, m)));
    let changes = shares.filter_map(|(a, b)| Some(((b.value()? - a.value()?).abs(), a, b)));
    let (value, a, b) = changes.max_by(|one, other| one.0.total_cmp(&other.0))?;
    Some(Distance { name, value, interval: apart_by(a, b), decides: true })
}

/// Distances of counts that are told beside those that decide.
fn beside(name: &'static str, value: Option<f64>) -> Option<Distance> {
    Some(Distance { name, value: value?, interval: None, decides: false })
}

/// The likelihood ratio G (Wilks 1938) of counts, told beside Pearson's statistic and with rare names pooled as for that.
fn likelihood_ratio(before: &[u64], after: &[u64]) -> Option<Test> {
    let pooled = pool(before, after, (0, 0))?;
    let found = homogeneity(&pooled.reference, &pooled.current)?;
    let (statistic, p_value) = (found.likelihood_ratio, found.likelihood_ratio_p());
    Some(Test { name: "likelihood_ratio", statistic, p_value, decides: false })
}

/// The Kullback–Leibler divergence of the reference from the current counts in nats, with half a row more in each bin that either
/// side uses: without that, one name that is gone makes it infinite.
fn kullback_leibler(before: &[u64], after: &[u64]) -> Option<f64> {
    counts::kullback_leibler(before, after, Empty::HalfRowIfUsed)
}

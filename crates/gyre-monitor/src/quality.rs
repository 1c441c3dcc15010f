//! Whether the data of a window can be trusted, held against what the reference profile learned.
//!
//! Drift asks whether a column is distributed as before; quality asks whether its values mean what they did. A column in
//! other units, a sensor that stands still, a field that a caller no longer sends: each is drift too, but the world has not
//! changed, so no model trained on such rows is any better. Nothing is configured: the reference says what was usual, and
//! each check needs a difference beyond luck *and* one that a person would call broken.
//!
//! | check | a finding when |
//! | --- | --- |
//! | schema | 1 % of the values are of another kind; or (nearly) none has a value, from some row on at least; or half of the names are new |
//! | units, scale | the quantiles are those of the reference in other units ([`units`]), far away or near |
//! | stuck | one value in 95 % of the rows, or in a run that luck does not make, or in 20 points more rows than before ([`stuck`]) |
//! | missing, infinite | a share up by 5 points, by half a point |
//! | range, new names | 1 % of the rows beyond what training had |
//! | repeats | 10 points more rows that repeat an earlier one, where in training no more than a tenth did |
//!
//! What a person expects of a column (`monitor.quality`) stands above what was learned ([`expected`]).
//!
//! Shares are tested with [`two_proportion_p`] at [`LEVEL`], far below 0.05: a window has many columns, a model many
//! windows, and what is broken is broken in many rows. What needs earlier windows (volume, freshness, labels, errors,
//! latency, skew) is in [`before`].

pub mod before;
mod cells;
pub mod expected;
pub mod learned;
mod stuck;
mod units;

use gyre_core::fact::{Check, Finding};
use gyre_core::record::Route;
use gyre_core::spec::Expected;
use gyre_stats::profile::{CategoricalReference, ColumnReference, NumericReference};
use gyre_stats::proportion::{Proportion, two_proportion_p};

use crate::columns::Values;
use crate::profile::ReferenceProfile;
use crate::summary::WindowInput;
use cells::Cells;

/// The p-value below which a share is larger than before.
pub const LEVEL: f64 = 1e-6;

/// Rows below which nothing is said.
pub const FEWEST_ROWS: usize = 30;

/// How much larger the share of missing values must be: a fifth of what makes a column useless, and more than a new
/// caller with a gap adds.
const MISSING: f64 = 0.05;
/// The same where training had too few windows to say how much that varies: gaps come in clumps.
const MISSING_UNKNOWN: f64 = 0.15;
/// The same of infinite values, which no caller means.
const INFINITE: f64 = 0.005;
/// The share of values beyond the range, and of new names.
const BEYOND: f64 = 0.01;
/// Where more of the rows of training than that repeat an earlier one, repeated rows are no sign of anything.
const ALIKE_BY_NATURE: f64 = 0.1;
/// The share of repeated rows above what is usual.
const REPEATS: f64 = 0.1;
/// The share of values of another kind.
const OTHER_KIND: f64 = 0.01;
/// From which share on new names are another way of naming, not new things.
const RENAMED: f64 = 0.5;
/// The share of missing values at which a column is gone, and above which it was never there.
const GONE: (f64, f64) = (0.995, 0.5);
/// The least share of the window's rows, at its end, whose values must be gone, and how many times longer than the longest
/// gap of training that must be (half of the rows where its order is not known).
const GONE_AT_END: f64 = 0.1;
const GAP: usize = 3;

/// The most findings of a window.
pub const MOST: usize = 24;
/// The most bytes that the names of their columns may take, so that the fact fits into the journal.
const MOST_NAME_BYTES: usize = 4_000;
/// The most values that are sorted: so many, evenly spread over the window, show a share or a quantile as well.
const SAMPLE: usize = 10_000;
/// The most bytes of a column's name in a finding's words.
const LONGEST_NAME: usize = 60;

/// What is wrong with the data of a window, what makes its rows unfit first, at most [`MOST`]. Columns that the input does not have are not watched (a log may leave features out).
#[must_use]
pub fn findings(input: &WindowInput<'_>, reference: &ReferenceProfile) -> Vec<Finding> {
    let mut rows: Vec<usize> = (0..input.times.len())
        .filter(|row| input.routes.get(*row).is_some_and(|route| *route != Route::Pinned))
        .collect();
    if rows.len() < FEWEST_ROWS {
        return Vec::new();
    }
    rows.sort_by_key(|row| input.times.get(*row).copied());
    let mut found = Vec::new();
    for (name, reference_column) in &reference.columns {
        let Some((_, values)) = input.features.iter().find(|(feature, _)| feature == name) else { continue };
        let usual = Usual { reference, name };
        found.extend(column(&usual, reference_column, values, &rows));
    }
    found.extend(repeats(input, reference, &rows));
    found.retain(|finding| !expected::ignores(&reference.expected, finding));
    // What makes rows unfit comes first, and is not lost to the bounds.
    found.sort_by_key(|finding| finding.check);
    let mut bytes = 0;
    found.retain(|finding| {
        bytes += finding.column.as_ref().map_or(0, String::len);
        bytes <= MOST_NAME_BYTES
    });
    found.truncate(MOST);
    found
}

/// What is known of a column beside its distribution.
struct Usual<'a> {
    reference: &'a ReferenceProfile,
    name: &'a str,
}

impl Usual<'_> {
    fn learned(&self) -> learned::Learned {
        self.reference.learned.get(self.name).copied().unwrap_or_default()
    }

    /// What a person expects of it.
    fn expected(&self) -> Option<&Expected> {
        self.reference.expected.get(self.name)
    }

    /// What windows of training hardly exceed; none where there were too few to say.
    fn bound(&self, statistic: &str) -> Option<f64> {
        let of_column = self.reference.variation.get(self.name)?;
        // Of a share that was the same in all windows there is no test, and no variation.
        Some(of_column.get(statistic).map_or(0.0, |usual| usual.bound()))
    }

    /// How much larger than in training the share of missing values may be.
    fn most_missing(&self) -> f64 {
        self.bound("missing_share").map_or(MISSING_UNKNOWN, |bound| bound.max(MISSING))
    }

    fn finding(&self, check: Check, numbers: (Option<f64>, Option<f64>), rows: u64, words: &str) -> Finding {
        Finding {
            check,
            column: Some(self.name.to_owned()),
            found: numbers.0.filter(|number| number.is_finite()),
            expected: numbers.1.filter(|number| number.is_finite()),
            rows,
            words: format!("`{}` {words}", shortened(self.name)),
        }
    }
}

/// The beginning of a name that is too long to be told.
fn shortened(name: &str) -> &str {
    name.get(..name.floor_char_boundary(LONGEST_NAME.min(name.len()))).unwrap_or(name)
}

fn column(
    usual: &Usual<'_>,
    reference: &ColumnReference,
    values: &Values<'_>,
    rows: &[usize],
) -> Vec<Finding> {
    let cells = match Cells::of(reference, values, rows) {
        Ok(cells) => cells,
        Err(other) => {
            let share = other.rows as f64 / rows.len() as f64;
            let words =
                format!("holds {}, not {}, in {} of the rows", other.found, other.expected, percent(share));
            return vec![usual.finding(Check::Schema, (Some(share), Some(0.0)), other.rows, &words)];
        }
    };
    let mut found: Vec<Finding> = Vec::new();
    match usual.expected().and_then(|expected| expected.missing) {
        Some(most) if !expected::is_more(absent(&cells), most) => {}
        wanted => {
            if let Some(gone) = gone(usual, reference, &cells) {
                return vec![gone];
            }
            let missing = match wanted {
                Some(most) => Some(expected::missing(usual, most, absent(&cells))),
                None => missing(usual, reference, &cells),
            };
            found.extend(missing);
        }
    }
    match (reference, &cells) {
        (ColumnReference::Numeric(reference), Cells::Numbers(values)) => {
            found.extend(numeric(usual, reference, values));
        }
        (ColumnReference::Categorical(reference), Cells::Names(names)) => {
            found.extend(match usual.expected().and_then(|expected| expected.names.as_ref()) {
                Some(known) => expected::names(usual, known, names),
                None => new_names(usual, reference, names),
            });
        }
        _ => {}
    }
    found
}

fn numeric(usual: &Usual<'_>, reference: &NumericReference, values: &[f64]) -> Vec<Finding> {
    let mut found: Vec<Finding> = infinite(usual, reference, values).into_iter().collect();
    let broken = stuck::stuck(reference, &usual.learned(), values)
        .map(|stuck| {
            let words = stuck.words();
            usual.finding(Check::Stuck, (Some(stuck.share), Some(stuck.expected)), stuck.rows, &words)
        })
        .or_else(|| {
            let scaled = units::changed(reference, values)?;
            let words = scaled.words();
            let check = if scaled.is_far { Check::Units } else { Check::Scale };
            Some(usual.finding(check, (Some(scaled.factor), Some(1.0)), scaled.rows, &words))
        })
        .or_else(|| match usual.expected().and_then(|expected| expected.range) {
            Some(range) => expected::range(usual, range, values),
            None => range(usual, reference, values),
        });
    found.extend(broken);
    found
}

fn gone(usual: &Usual<'_>, reference: &ColumnReference, cells: &Cells<'_>) -> Option<Finding> {
    let (missing_before, rows_before) = missing_of(reference);
    let before = Proportion::new(missing_before, rows_before).value()?;
    if before >= GONE.1 {
        return None;
    }
    let missing = cells.missing();
    let rows = missing.len();
    let absent = missing.iter().filter(|missing| **missing).count();
    let at_end = missing.iter().rev().take_while(|missing| **missing).count();
    let share = absent as f64 / rows as f64;
    if share >= GONE.0 {
        let words =
            format!("has no value in {} of the rows ({} in training)", percent(share), percent(before));
        return Some(usual.finding(Check::Schema, (Some(share), Some(before)), absent as u64, &words));
    }
    // So many in a row without a value are no luck: each is missing with the share that was usual, at least one row's.
    let by_luck = at_end as f64 * before.max(1.0 / rows_before.max(1) as f64).ln();
    let by_order = usual.learned().order.map_or(rows / 2, |order| GAP * order.gap as usize);
    let least = FEWEST_ROWS.max((GONE_AT_END * rows as f64) as usize).max(by_order);
    let enough = at_end > least && by_luck < LEVEL.ln();
    // Where values were missing all along, more of them are missing, and the column is not gone.
    let elsewhere = (absent - at_end) as f64 / (rows - at_end).max(1) as f64;
    (enough && elsewhere < before + MISSING).then(|| {
        let share = at_end as f64 / rows as f64;
        let words = format!("has had no value since the last {} of the rows", percent(share));
        usual.finding(Check::Schema, (Some(share), Some(before)), at_end as u64, &words)
    })
}

/// The rows without a value.
fn absent(cells: &Cells<'_>) -> Proportion {
    let missing = cells.missing();
    Proportion::new(missing.iter().filter(|missing| **missing).count() as u64, missing.len() as u64)
}

fn missing_of(reference: &ColumnReference) -> (u64, u64) {
    match reference {
        ColumnReference::Numeric(numeric) => (numeric.histogram().missing(), numeric.histogram().rows()),
        ColumnReference::Categorical(names) => (names.histogram().missing(), names.histogram().rows()),
    }
}

fn missing(usual: &Usual<'_>, reference: &ColumnReference, cells: &Cells<'_>) -> Option<Finding> {
    let (missing_before, rows_before) = missing_of(reference);
    let missing = cells.missing();
    let absent = missing.iter().filter(|missing| **missing).count() as u64;
    let (before, now) =
        (Proportion::new(missing_before, rows_before), Proportion::new(absent, missing.len() as u64));
    let (share, was) = larger(before, now, usual.most_missing())?;
    let words = format!("is missing in {} of the rows ({} in training)", percent(share), percent(was));
    Some(usual.finding(Check::Missing, (Some(share), Some(was)), absent, &words))
}

fn infinite(usual: &Usual<'_>, reference: &NumericReference, values: &[f64]) -> Option<Finding> {
    let present = values.iter().filter(|value| !value.is_nan()).count() as u64;
    let infinite = values.iter().filter(|value| value.is_infinite()).count() as u64;
    let histogram = reference.histogram();
    let before = Proportion::new(histogram.infinite(), histogram.present());
    let (share, was) = larger(before, Proportion::new(infinite, present), INFINITE)?;
    let words = format!("is infinite in {} of the rows ({} in training)", percent(share), percent(was));
    Some(usual.finding(Check::Infinite, (Some(share), Some(was)), infinite, &words))
}

fn range(usual: &Usual<'_>, reference: &NumericReference, values: &[f64]) -> Option<Finding> {
    let moments = reference.histogram().moments();
    let (least, most) = (moments.min()?, moments.max()?);
    let finite = || values.iter().copied().filter(|value| value.is_finite());
    let outside = finite().filter(|value| *value < least || *value > most).count() as u64;
    // Of a new row from the same source, each end is exceeded with probability 1/(n + 1).
    let before = Proportion::new(2, moments.count() + 1);
    let (share, was) = larger(before, Proportion::new(outside, finite().count() as u64), BEYOND)?;
    let (lowest, highest) =
        finite().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), value| (a.min(value), b.max(value)));
    let words = format!(
        "is outside of {least} to {most}, the range of training, in {} of the rows ({lowest} to {highest})",
        percent(share)
    );
    Some(usual.finding(Check::Range, (Some(share), Some(was)), outside, &words))
}

fn new_names(usual: &Usual<'_>, reference: &CategoricalReference, names: &[Option<&str>]) -> Option<Finding> {
    let mut window = gyre_stats::profile::CategoricalWindow::new(reference);
    names.iter().for_each(|name| window.push(*name));
    let novelty = reference.novelty();
    let now = Proportion::new(window.other(), window.present());
    let renewed = usual.learned().order.and_then(|order| order.renewed);
    let usually = usual.bound("unseen_share").unwrap_or(0.0).max(2.0 * renewed.unwrap_or(0.0));
    let floor = BEYOND.max(usually);
    let (share, was) = larger(novelty, now, floor)?;
    let examples: Vec<&str> = window.examples().take(3).map(shortened).collect();
    let words = format!(
        "has names that training did not have in {} of the rows ({} to be expected), such as {}",
        percent(share),
        percent(was),
        examples.join(", ")
    );
    // Where the order of training is not known, names may be dates, and new ones no news.
    let is_renamed = share >= RENAMED && was < RENAMED / 2.0 && renewed.is_some();
    let check = if is_renamed { Check::Schema } else { Check::NewNames };
    Some(usual.finding(check, (Some(share), Some(was)), window.other(), &words))
}

fn repeats(input: &WindowInput<'_>, reference: &ReferenceProfile, rows: &[usize]) -> Option<Finding> {
    let known = reference.repeats?;
    let usual = known.bound();
    // Of more rows more are alike by chance, so no more are looked at than training had; and where rows are alike by
    // nature, another mix of them makes other shares.
    let most = usize::try_from(known.rows).unwrap_or(usize::MAX);
    if usual > ALIKE_BY_NATURE || most == 0 {
        return None;
    }
    let step = rows.len().div_ceil(most);
    let rows: Vec<usize> = rows.iter().step_by(step).copied().collect();
    let repeated = learned::repeated(&watched(input, reference), &rows);
    let share = repeated as f64 / rows.len() as f64;
    let before = Proportion::new((usual.min(1.0) * rows.len() as f64).ceil() as u64, rows.len() as u64);
    let (share, was) =
        larger(before, Proportion::new((share * rows.len() as f64) as u64, rows.len() as u64), REPEATS)?;
    Some(Finding {
        check: Check::Repeats,
        column: None,
        found: Some(share),
        expected: Some(was),
        rows: repeated,
        words: format!("{} of the rows repeat an earlier one ({} are usual)", percent(share), percent(was)),
    })
}

/// The columns that rows are told apart by: those of the reference.
fn watched<'a>(input: &WindowInput<'a>, reference: &ReferenceProfile) -> Vec<Values<'a>> {
    let of = |(name, values): &(&str, Values<'a>)| reference.columns.contains_key(*name).then_some(*values);
    input.features.iter().filter_map(of).collect()
}

/// Both shares when the second is larger by at least `floor`, beyond luck.
fn larger(before: Proportion, now: Proportion, floor: f64) -> Option<(f64, f64)> {
    let (share, was) = (now.value()?, before.value().unwrap_or(0.0));
    let is_larger = share - was >= floor && two_proportion_p(before, now).is_some_and(|p| p < LEVEL);
    is_larger.then_some((share, was))
}

/// Some of the finite values, sorted.
fn sample(values: &[f64]) -> Vec<f64> {
    let finite = || values.iter().copied().filter(|value| value.is_finite());
    let step = finite().count().div_ceil(SAMPLE).max(1);
    let mut sample: Vec<f64> = finite().step_by(step).collect();
    sample.sort_unstable_by(f64::total_cmp);
    sample
}

/// A share for people.
pub(crate) fn percent(share: f64) -> String {
    let points = 100.0 * share;
    if points >= 10.0 || points == 0.0 { format!("{points:.0} %") } else { format!("{points:.2} %") }
}

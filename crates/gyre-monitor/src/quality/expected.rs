//! What a person expects of a column (`monitor.quality` in `gyre.yaml`), held against a window.
//!
//! The word of whoever knows the column replaces what was learned of it, check by check: how many values may be missing, in which
//! range numbers lie, which names there are, and what is not to be looked at. How sure, and how large, a difference must be stays
//! as it is for what was learned, but for missing values, whose bound is a person's own.

use std::collections::{BTreeMap, HashSet};

use gyre_core::fact::{Check, Finding};
use gyre_core::spec::{EVERY_COLUMN, Expected, Percent};
use gyre_stats::profile::ColumnReference;
use gyre_stats::proportion::Proportion;

use super::{BEYOND, LEVEL, Usual, missing_of, percent, shortened};
use crate::profile::ReferenceProfile;

/// What training taught of each column, in the words in which people expect something: what a window may show without a finding.
/// Columns of which only part of the names was kept list none.
#[must_use]
pub fn learned(reference: &ReferenceProfile) -> BTreeMap<String, Expected> {
    let of = |(name, column): (&String, &ColumnReference)| {
        let usual = Usual { reference, name };
        let (range, names) = match column {
            ColumnReference::Numeric(numbers) => {
                let moments = numbers.histogram().moments();
                let range = moments.min().zip(moments.max()).filter(|(least, most)| least < most);
                (range, None)
            }
            ColumnReference::Categorical(names) => {
                let all = names.histogram().categories().to_vec();
                (None, (names.is_complete() && !all.is_empty()).then_some(all))
            }
        };
        let (missing, rows) = missing_of(column);
        let before = Proportion::new(missing, rows).value().unwrap_or_default();
        // To a tenth of a percent, upwards.
        let most = (1_000.0 * (before + usual.most_missing())).ceil() / 10.0;
        let missing = Some(Percent::new(most.min(100.0)));
        (name.clone(), Expected { missing, range, names, ignore: Vec::new() })
    };
    reference.columns.iter().map(of).collect()
}

/// Whether somebody said that such findings are none.
#[must_use]
pub fn ignores(all: &BTreeMap<String, Expected>, finding: &Finding) -> bool {
    let ignored = |column: &str| all.get(column).is_some_and(|it| it.ignore.contains(&finding.check));
    ignored(EVERY_COLUMN) || finding.column.as_deref().is_some_and(ignored)
}

/// Whether more rows than allowed are without a value, beyond luck.
pub(super) fn is_more(absent: Proportion, most: Percent) -> bool {
    let surely = absent.wilson(1.0 - 2.0 * LEVEL);
    surely.is_some_and(|surely| surely.lower > most.share()) && absent.successes() > 0
}

pub(super) fn missing(usual: &Usual<'_>, most: Percent, absent: Proportion) -> Finding {
    let share = absent.value().unwrap_or_default();
    let words = format!("is missing in {} of the rows ({most} at most expected)", percent(share));
    usual.finding(Check::Missing, (Some(share), Some(most.share())), absent.successes(), &words)
}

pub(super) fn range(usual: &Usual<'_>, (least, most): (f64, f64), values: &[f64]) -> Option<Finding> {
    let finite = || values.iter().copied().filter(|value| value.is_finite());
    let outside: Vec<f64> = finite().filter(|value| *value < least || *value > most).collect();
    let share = beyond(outside.len(), finite().count())?;
    let lowest = outside.iter().copied().fold(f64::INFINITY, f64::min);
    let highest = outside.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let words = format!(
        "is outside of {least} to {most}, the range expected, in {} of the rows ({lowest} to {highest})",
        percent(share)
    );
    Some(usual.finding(Check::Range, (Some(share), Some(0.0)), outside.len() as u64, &words))
}

pub(super) fn names(usual: &Usual<'_>, known: &[String], names: &[Option<&str>]) -> Option<Finding> {
    let known: HashSet<&str> = known.iter().map(String::as_str).collect();
    let present = || names.iter().flatten().copied();
    let others: Vec<&str> = present().filter(|name| !known.contains(name)).collect();
    let share = beyond(others.len(), present().count())?;
    let mut examples: Vec<&str> = Vec::new();
    for other in &others {
        if examples.len() < 3 && !examples.contains(other) {
            examples.push(other);
        }
    }
    let examples: Vec<&str> = examples.into_iter().map(shortened).collect();
    let words = format!(
        "has other names than expected in {} of the rows, such as {}",
        percent(share),
        examples.join(", ")
    );
    Some(usual.finding(Check::NewNames, (Some(share), Some(0.0)), others.len() as u64, &words))
}

/// The share, when it is as large as one that was learned must be.
fn beyond(outside: usize, all: usize) -> Option<f64> {
    let share = Proportion::new(outside as u64, all as u64).value()?;
    (share >= BEYOND).then_some(share)
}

//! Two tables, column by column.
//!
//! Columns are read, measured and forgotten one after another on as many threads as there are cores: what is in memory at a
//! time are the columns at hand. The verdicts need all of them, and come last.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use gyre_core::spec::ColumnType;
use gyre_data::table::TableError;
use serde::Serialize;

use crate::error::DriftError;
use crate::measure::{Measured, measure};
use crate::multivariate::Multivariate;
use crate::read::{Holds, Known, Source};
use crate::sample::{Sample, Values};
use crate::verdict::{Judged, Settings, Verdict, judge};

/// A column that is in both tables.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// How it compares.
    #[serde(flatten)]
    pub measured: Measured,
    /// What to think of it.
    #[serde(flatten)]
    pub judged: Judged,
}

/// A column that cannot be compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unmatched {
    /// Its name.
    pub name: String,
    /// Why not.
    pub why: Why,
    /// What it holds in the reference, in words; none when it is not there.
    pub reference: Option<String>,
    /// What it holds in the current table.
    pub current: Option<String>,
}

/// Why a column cannot be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// It holds numbers in one and names in the other, or vectors of another length.
    Retyped,
    /// Only the reference has it.
    Vanished,
    /// Only the current table has it.
    Appeared,
    /// It holds lists of other things than numbers, structures or bytes.
    NotComparable,
}

/// What two tables compare to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The reference.
    pub reference: String,
    /// What is compared with it.
    pub current: String,
    /// By what.
    pub settings: Settings,
    /// The columns of both, in the order of the reference.
    pub columns: Vec<Column>,
    /// The columns of which nothing can be said, what is worst first.
    pub unmatched: Vec<Unmatched>,
    /// Columns of either table that only number its rows, as pandas writes them, and were left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    /// What the columns show together, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multivariate: Option<Multivariate>,
}

impl Comparison {
    /// How many columns have a verdict.
    #[must_use]
    pub fn count(&self, verdict: Verdict) -> usize {
        self.columns.iter().filter(|column| column.judged.verdict == verdict).count()
    }

    /// Whether something has changed that matters: a column drifts, vanished, or holds something else, or the columns drift
    /// together.
    #[must_use]
    pub fn has_drift(&self) -> bool {
        let broken = self.unmatched(Why::Retyped) + self.unmatched(Why::Vanished);
        let together = self.multivariate.as_ref().is_some_and(|found| found.verdict == Verdict::Drift);
        together || self.count(Verdict::Drift) + broken > 0
    }

    /// How many columns cannot be compared for this reason.
    #[must_use]
    pub fn unmatched(&self, why: Why) -> usize {
        self.unmatched.iter().filter(|column| column.why == why).count()
    }

    /// Whether anything can be said: of a column at least, or of all together.
    #[must_use]
    pub fn is_judged(&self) -> bool {
        let together = self.multivariate.as_ref().is_some_and(|found| found.verdict != Verdict::Insufficient);
        together || self.count(Verdict::Insufficient) < self.columns.len()
    }
}

/// Compares the tables in two files: all columns that they have in common, or those named. `progress` hears how many of
/// how many columns are done.
///
/// # Errors
/// [`DriftError`].
pub fn compare(
    reference: &Path,
    current: &Path,
    wanted: Option<&[String]>,
    settings: &Settings,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<Comparison, DriftError> {
    let (before, after) = (Source::open(reference)?, Source::open(current)?);
    let named = |source: &Source| source.path().display().to_string();
    let (pairs, mut unmatched) = matched(&before, &after, wanted)?;
    let mut columns = Vec::new();
    for (name, found) in pairs.iter().zip(measured(&before, &after, &pairs, progress)?) {
        match found {
            Found::Measured(measured) => columns.push((name.clone(), *measured)),
            Found::Retyped(reference, current) => unmatched.push(Unmatched {
                name: name.clone(),
                why: Why::Retyped,
                reference: Some(reference),
                current: Some(current),
            }),
        }
    }
    unmatched.sort_by_key(|column| column.why);
    let judged = judge(&columns.iter().map(|(_, measured)| measured).collect::<Vec<_>>(), settings);
    let column = |((name, measured), judged)| Column { name, measured, judged };
    let mut left_out = [before.left_out(), after.left_out()].concat();
    left_out.sort_unstable();
    left_out.dedup();
    Ok(Comparison {
        reference: named(&before),
        current: named(&after),
        settings: *settings,
        columns: columns.into_iter().zip(judged).map(column).collect(),
        unmatched,
        left_out,
        multivariate: None,
    })
}

/// The names of columns that can be compared, in the order of the reference, and those that cannot.
fn matched(
    before: &Source,
    after: &Source,
    wanted: Option<&[String]>,
) -> Result<(Vec<String>, Vec<Unmatched>), DriftError> {
    let is_wanted = |column: &&Known| wanted.is_none_or(|wanted| wanted.contains(&column.name));
    let path = |source: &Source| source.path().display().to_string();
    let names = |source: &Source| {
        source.columns().iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ")
    };
    let (mut pairs, mut unmatched) = (Vec::new(), Vec::new());
    let mut pass = |why, ours: Option<&Known>, theirs: Option<&Known>| {
        let words = |column: Option<&Known>| column.map(|column| column.words.clone());
        let name = ours.or(theirs).map_or_else(String::new, |column| column.name.clone());
        unmatched.push(Unmatched { name, why, reference: words(ours), current: words(theirs) });
    };
    for ours in before.columns().iter().filter(is_wanted) {
        match after.find(&ours.name) {
            None => pass(Why::Vanished, Some(ours), None),
            Some(theirs) => match (ours.holds, theirs.holds) {
                (Holds::Other, Holds::Other | Holds::Nothing) | (Holds::Nothing, Holds::Other) => {
                    pass(Why::NotComparable, Some(ours), Some(theirs));
                }
                (one, other) if are_alike(one, other) => pairs.push(ours.name.clone()),
                _ => pass(Why::Retyped, Some(ours), Some(theirs)),
            },
        }
    }
    for theirs in after.columns().iter().filter(is_wanted) {
        if before.find(&theirs.name).is_none() {
            pass(Why::Appeared, None, Some(theirs));
        }
    }
    let known = |name: &String| pairs.contains(name) || unmatched.iter().any(|column| column.name == *name);
    if let Some(stranger) = wanted.unwrap_or_default().iter().find(|name| !known(name)) {
        return Err(DriftError::NoColumn {
            column: stranger.clone(),
            reference: path(before),
            current: path(after),
            known: names(before),
        });
    }
    let is_of_one = |column: &Unmatched| matches!(column.why, Why::Vanished | Why::Appeared);
    if wanted.is_none() && pairs.is_empty() && unmatched.iter().all(is_of_one) {
        return Err(DriftError::NothingInCommon {
            reference: path(before),
            current: path(after),
            before: names(before),
            after: names(after),
        });
    }
    Ok((pairs, unmatched))
}

/// Whether both are numbers, both names, or the same; what holds nothing is like anything.
fn are_alike(ours: Holds, theirs: Holds) -> bool {
    let is_number = |kind| matches!(kind, Holds::Values(ColumnType::Int | ColumnType::Float));
    let is_name = |kind| matches!(kind, Holds::Values(ColumnType::Text | ColumnType::Bool));
    (is_number(ours) && is_number(theirs))
        || (is_name(ours) && is_name(theirs))
        || ours == theirs
        || [ours, theirs].contains(&Holds::Nothing)
}

/// What came of a column that both tables have.
enum Found {
    Measured(Box<Measured>),
    /// It holds something else after all: what in the reference, and what in the current table.
    Retyped(String, String),
}

/// Measures the columns on all cores; in the order of `names`.
fn measured(
    before: &Source,
    after: &Source,
    names: &[String],
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<Vec<Found>, TableError> {
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let found: Mutex<Vec<(usize, Result<Found, TableError>)>> = Mutex::default();
    let work = || {
        loop {
            let at = next.fetch_add(1, Relaxed);
            let Some(name) = names.get(at) else { return };
            let one = one(before, after, name);
            found.lock().unwrap_or_else(PoisonError::into_inner).push((at, one));
            progress(done.fetch_add(1, Relaxed) + 1, names.len());
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(names.len());
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort_unstable_by_key(|(at, _)| *at);
    found.into_iter().map(|(_, found)| found).collect()
}

fn one(before: &Source, after: &Source, name: &str) -> Result<Found, TableError> {
    let holds = |source: &Source| source.find(name).map_or(Holds::Nothing, |column| column.holds);
    let retyped = |reference: &str, current: &str| Found::Retyped(reference.to_owned(), current.to_owned());
    let (reference, current) = (before.column(name, holds(after))?, after.column(name, holds(before))?);
    let (Some(reference), Some(current)) = (reference, current) else {
        return Ok(retyped("something", "something else"));
    };
    let words = |sample: &Sample| match &sample.values {
        Values::Vectors(vectors) => format!("vectors of {} numbers", vectors.dimensions()),
        Values::Numbers(_) => "numbers".to_owned(),
        Values::Names(_) => "names".to_owned(),
    };
    let (ours, theirs) = (words(&reference), words(&current));
    Ok(measure(reference, current)
        .map_or_else(|| retyped(&ours, &theirs), |measured| Found::Measured(Box::new(measured))))
}

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
use crate::read::Source;
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
}

/// Why a column cannot be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Only the reference has it.
    Vanished,
    /// Only the current table has it.
    Appeared,
    /// It holds numbers in one and names in the other, or vectors of another length.
    Retyped,
    /// It holds lists of other things than floats, structures or bytes.
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
    /// The columns of which nothing can be said.
    pub unmatched: Vec<Unmatched>,
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
        let broken = |unmatched: &Unmatched| matches!(unmatched.why, Why::Vanished | Why::Retyped);
        let together = self.multivariate.as_ref().is_some_and(|found| found.verdict == Verdict::Drift);
        together || self.count(Verdict::Drift) > 0 || self.unmatched.iter().any(broken)
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
    if pairs.is_empty() && unmatched.is_empty() {
        return Err(DriftError::NothingInCommon { reference: named(&before), current: named(&after) });
    }
    let mut columns = Vec::new();
    for (name, found) in pairs.iter().zip(measured(&before, &after, &pairs, progress)?) {
        match found {
            Some(measured) => columns.push((name.clone(), measured)),
            None => unmatched.push(Unmatched { name: name.clone(), why: Why::Retyped }),
        }
    }
    let judged = judge(&columns.iter().map(|(_, measured)| measured).collect::<Vec<_>>(), settings);
    let column = |((name, measured), judged)| Column { name, measured, judged };
    Ok(Comparison {
        reference: named(&before),
        current: named(&after),
        settings: *settings,
        columns: columns.into_iter().zip(judged).map(column).collect(),
        unmatched,
        multivariate: None,
    })
}

/// The names of columns that can be compared, and those that cannot.
fn matched(
    before: &Source,
    after: &Source,
    wanted: Option<&[String]>,
) -> Result<(Vec<String>, Vec<Unmatched>), DriftError> {
    let kind = |source: &Source, name: &str| {
        source.columns().iter().find(|(column, _)| column == name).map(|(_, kind)| *kind)
    };
    let is_wanted = |name: &str| wanted.is_none_or(|wanted| wanted.iter().any(|wanted| wanted == name));
    let (mut pairs, mut unmatched) = (Vec::new(), Vec::new());
    let mut pass = |name: &str, why| unmatched.push(Unmatched { name: name.to_owned(), why });
    for (name, ours) in before.columns().iter().filter(|(name, _)| is_wanted(name)) {
        match kind(after, name) {
            None if after.passed_over().contains(name) || after.vectors().contains(name) => {
                pass(name, Why::Retyped);
            }
            None => pass(name, Why::Vanished),
            Some(theirs) if are_alike(*ours, theirs) => pairs.push(name.clone()),
            Some(_) => pass(name, Why::Retyped),
        }
    }
    for (name, _) in after.columns().iter().filter(|(name, _)| is_wanted(name)) {
        if kind(before, name).is_none() {
            let is_known = before.passed_over().contains(name) || before.vectors().contains(name);
            // What were vectors is told with them.
            if !before.vectors().contains(name) {
                pass(name, if is_known { Why::Retyped } else { Why::Appeared });
            }
        }
    }
    for name in before.passed_over().iter().filter(|name| is_wanted(name)) {
        if after.passed_over().contains(name) {
            pass(name, Why::NotComparable);
        }
    }
    for name in before.vectors().iter().filter(|name| is_wanted(name)) {
        match kind(after, name) {
            _ if after.vectors().contains(name) => pairs.push(name.clone()),
            None if !after.passed_over().contains(name) => {
                unmatched.push(Unmatched { name: name.clone(), why: Why::Vanished });
            }
            _ => unmatched.push(Unmatched { name: name.clone(), why: Why::Retyped }),
        }
    }
    let new = after.vectors().iter().filter(|name| is_wanted(name) && !before.vectors().contains(name));
    // What held something else is told with the columns of numbers and names.
    let new = new.filter(|name| kind(before, name).is_none()).map(|name| {
        let why = if before.passed_over().contains(name) { Why::Retyped } else { Why::Appeared };
        Unmatched { name: name.clone(), why }
    });
    unmatched.extend(new);
    let known = |name: &String| pairs.contains(name) || unmatched.iter().any(|column| column.name == *name);
    if let Some(stranger) = wanted.unwrap_or_default().iter().find(|name| !known(name)) {
        return Err(DriftError::NoColumn {
            column: stranger.clone(),
            reference: before.path().display().to_string(),
            current: after.path().display().to_string(),
            known: before.columns().iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", "),
        });
    }
    Ok((pairs, unmatched))
}

/// Whether both are numbers, both names, or both times.
fn are_alike(ours: ColumnType, theirs: ColumnType) -> bool {
    let is_number = |kind| matches!(kind, ColumnType::Int | ColumnType::Float);
    let is_name = |kind| matches!(kind, ColumnType::Text | ColumnType::Bool);
    (is_number(ours) && is_number(theirs)) || (is_name(ours) && is_name(theirs)) || ours == theirs
}

/// Measures the columns on all cores; in the order of `names`.
fn measured(
    before: &Source,
    after: &Source,
    names: &[String],
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<Vec<Option<Measured>>, TableError> {
    type Found = Result<Option<Measured>, TableError>;
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let found: Mutex<Vec<(usize, Found)>> = Mutex::default();
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

/// None when the column is not there after all, or holds what it did not say.
fn one(before: &Source, after: &Source, name: &str) -> Result<Option<Measured>, TableError> {
    let (Some(reference), Some(current)) = (before.column(name)?, after.column(name)?) else {
        return Ok(None);
    };
    Ok(measure(reference, current))
}

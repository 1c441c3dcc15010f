//! What labels are to what is known: of a prediction or of none, the first of their id, the same again, another one, late.
//!
//! Whoever brings labels again, because a file was read twice or a database was asked about an hour that it was asked about
//! before, brings mostly what is there. So labels can be weighed against the log before they are written: what is there
//! already is not written again, and the rest is told apart. The ids of a batch are looked for in one pass over the log,
//! without the segments in whose range of ids none of them lies.

use std::collections::{HashMap, HashSet};
use std::ops::AddAssign;
use std::sync::Arc;

use gyre_core::record::{Label, Value};
use gyre_core::{Span, Timestamp};
use serde::{Deserialize, Serialize};

use super::columns::LabelColumns;
use super::scan::Snapshot;
use super::segment::Content;
use super::{ModelLog, columns};
use crate::error::LogError;

/// A label on its way into the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Brought {
    /// What came true.
    pub label: Label,
    /// Whether whoever brings it knows when; otherwise its time is that of bringing, and says nothing.
    pub timed: bool,
}

/// What became of labels. Each is taken, repeated or outdated; it may besides be unknown or late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Intake {
    /// Labels that were brought.
    pub labels: u64,
    /// Of those, written: the first of their id, and corrections.
    pub taken: u64,
    /// Labels that the log has already, with the same value: not written again.
    pub repeated: u64,
    /// Labels of ids of which a later one is known: not written. A source that is read again brings what it has corrected
    /// itself, in whatever order.
    pub outdated: u64,
    /// Labels taken of ids that had another one, which they replace.
    pub corrected: u64,
    /// Labels of ids without a prediction; they are kept, and count from when it comes.
    pub unknown: u64,
    /// Labels that became known later after their prediction than is expected.
    pub late: u64,
}

impl AddAssign for Intake {
    fn add_assign(&mut self, other: Self) {
        self.labels += other.labels;
        self.taken += other.taken;
        self.repeated += other.repeated;
        self.outdated += other.outdated;
        self.corrected += other.corrected;
        self.unknown += other.unknown;
        self.late += other.late;
    }
}

/// What is known of ids.
#[derive(Default)]
struct Known {
    /// When they were first predicted.
    predicted: HashMap<Arc<str>, Timestamp>,
    /// What was said of them last.
    labelled: HashMap<Arc<str>, (Value, Timestamp)>,
}

/// Weighs labels against the log: which are to be written, in their order, and what they are.
pub(super) fn weigh(
    log: &ModelLog,
    brought: Vec<Brought>,
    expected: Span,
) -> Result<(Vec<Label>, Intake), LogError> {
    let ids: HashSet<&str> = brought.iter().map(|one| &*one.label.id).collect();
    let mut known = known(log, &ids)?;
    let mut intake = Intake { labels: brought.len() as u64, ..Intake::default() };
    let mut written = Vec::new();
    for Brought { label, timed } in brought {
        let predicted = known.predicted.get(&label.id);
        intake.unknown += u64::from(predicted.is_none());
        intake.late += u64::from(predicted.is_some_and(|at| label.time.since(*at) > expected));
        let before = known.labelled.get(&label.id);
        let same = |(value, time): &(Value, Timestamp)| {
            says_the_same(value, &label.value) && (!timed || *time == label.time)
        };
        if before.is_some_and(same) {
            intake.repeated += 1;
            continue;
        }
        if before.is_some_and(|(_, time)| timed && *time > label.time) {
            intake.outdated += 1;
            continue;
        }
        intake.corrected += u64::from(before.is_some());
        intake.taken += 1;
        known.labelled.insert(Arc::clone(&label.id), (label.value.clone(), label.time));
        written.push(label);
    }
    Ok((written, intake))
}

/// A segment in which kinds are mixed holds all labels as text.
fn says_the_same(there: &Value, brought: &Value) -> bool {
    there == brought || there.as_category() == brought.as_category()
}

fn known(log: &ModelLog, ids: &HashSet<&str>) -> Result<Known, LogError> {
    let (Some(smallest), Some(largest)) = (ids.iter().min(), ids.iter().max()) else {
        return Ok(Known::default());
    };
    let snapshot = Snapshot::take(log, |_, id| ids.contains(id))?;
    let mut known = Known::default();
    for segment in snapshot.of(Content::Predictions).filter(|segment| segment.may_hold(smallest, largest)) {
        for batch in segment.read_columns(&["id", "time"])? {
            let batch = batch?;
            let found = columns::keys(&batch).ok_or_else(|| segment.not_a_segment())?;
            found.filter(|(id, _)| ids.contains(id)).for_each(|(id, time)| known.predicted(id, time));
        }
    }
    let waiting = columns::keys(&snapshot.predictions).into_iter().flatten();
    waiting.for_each(|(id, time)| known.predicted(id, time));
    for segment in snapshot.of(Content::Labels).filter(|segment| segment.may_hold(smallest, largest)) {
        for batch in segment.read(None)? {
            let batch = batch?;
            let columns = LabelColumns::of(&batch).ok_or_else(|| segment.not_a_segment())?;
            for row in (0..batch.num_rows()).filter(|row| ids.contains(columns.ids.value(*row))) {
                let label = columns.label(row);
                known.labelled.insert(label.id, (label.value, label.time));
            }
        }
    }
    for label in snapshot.labels {
        if ids.contains(&*label.id) {
            known.labelled.insert(label.id, (label.value, label.time));
        }
    }
    Ok(known)
}

impl Known {
    fn predicted(&mut self, id: &str, time: Timestamp) {
        if !self.predicted.contains_key(id) {
            self.predicted.insert(id.into(), time);
        }
    }
}

//! Predictions that were asked for and not given, by minute of event time: the log holds answers, and a window is to know both.
//!
//! Kept in memory, for the latest minutes that had any: a server that starts anew does not know of failures before.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use gyre_core::Timestamp;
use gyre_core::time::Period;

const MINUTE: i64 = 60_000;

/// The most minutes that are kept: some two months in which every minute had a failure.
const MOST: usize = 90_000;

/// How many predictions of a model failed, and when.
#[derive(Debug, Default)]
pub(super) struct Failures(Mutex<BTreeMap<i64, u64>>);

impl Failures {
    /// So many rows of a request at `time` were not answered.
    pub(super) fn add(&self, time: Timestamp, rows: u64) {
        let mut minutes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let minute = minutes.entry(time.as_millis().div_euclid(MINUTE)).or_default();
        *minute = minute.saturating_add(rows);
        if minutes.len() > MOST {
            minutes.pop_first();
        }
    }

    /// How many there were in the minutes that begin in `period`.
    pub(super) fn within(&self, period: Period) -> u64 {
        let [from, to] = [period.from, period.to]
            .map(|time| time.as_millis().saturating_add(MINUTE - 1).div_euclid(MINUTE));
        let minutes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if from < to { minutes.range(from..to).map(|(_, rows)| rows).sum() } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    fn period(from: i64, to: i64) -> Period {
        Period { from: at(from), to: at(to) }
    }

    #[test]
    fn each_failure_is_in_one_of_windows_that_follow_one_another() {
        let failures = Failures::default();
        for (second, rows) in [(-61, 1), (0, 2), (59, 4), (60, 8), (3_600, 16)] {
            failures.add(at(second), rows);
        }
        assert_eq!(failures.within(period(0, 60)), 6);
        let windows = [(-200, -30), (-30, 30), (30, 90), (90, 3_600), (3_600, 3_661)];
        let counted: u64 = windows.iter().map(|(from, to)| failures.within(period(*from, *to))).sum();
        assert_eq!(counted, 31);
        assert_eq!(failures.within(period(60, 0)), 0);
    }

    #[test]
    fn a_model_that_always_fails_fills_no_memory() {
        let failures = Failures::default();
        for minute in 0..MOST as i64 + 10 {
            failures.add(at(minute * 60), 1);
        }
        assert_eq!(failures.within(period(0, i64::MAX / 1_000_000)), MOST as u64);
    }
}

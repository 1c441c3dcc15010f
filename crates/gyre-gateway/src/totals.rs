//! What a version has done since it was loaded: counters that only grow, as scrapers of metrics want them.
//!
//! [`Evidence`](crate::Evidence) judges the step of a rollout and begins anew with each; these never do.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use gyre_backend::Waited;
use gyre_core::Timestamp;

use crate::stream::StreamTotals;

/// Upper edges of the buckets of calls by their time in the model, in seconds; calls beyond the last are counted in none.
pub const EDGES: [f64; 14] =
    [1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 5e-2, 0.25, 1.0, 5.0];

/// What a version has done since it was loaded.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Totals {
    /// Calls that were answered.
    pub succeeded: u64,
    /// Calls on which the model failed.
    pub failed: u64,
    /// Rows that were predicted.
    pub rows: u64,
    /// Time in the model of the calls that were answered.
    pub succeeded_time: Duration,
    /// Time in the model of those that were not.
    pub failed_time: Duration,
    /// The latest event time for which it was asked; none when never.
    pub last: Option<Timestamp>,
    /// Calls, by the bucket of [`EDGES`] that their time falls into.
    pub buckets: [u64; EDGES.len()],
    /// Rows that were answered by what is kept, and rows that were looked up in vain; both 0 where nothing is kept.
    pub cached: (u64, u64),
    /// Requests that waited in front of its process or URL until earlier ones were answered: part of the times above.
    pub waited: Waited,
    /// What has become of the requests that were passed on to it, which are counted in nothing else here.
    pub streams: StreamTotals,
}

impl Totals {
    /// Calls on which it was asked.
    pub fn calls(&self) -> u64 {
        self.succeeded + self.failed
    }

    /// Time in the model of all calls, without what they waited for it.
    pub fn worked(&self) -> Duration {
        (self.succeeded_time + self.failed_time).saturating_sub(self.waited.time)
    }
}

/// The counters behind [`Totals`].
pub(crate) struct Tally {
    succeeded: AtomicU64,
    failed: AtomicU64,
    rows: AtomicU64,
    succeeded_nanos: AtomicU64,
    failed_nanos: AtomicU64,
    last: AtomicI64,
    buckets: [AtomicU64; EDGES.len()],
    hits: AtomicU64,
    misses: AtomicU64,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            succeeded: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            rows: AtomicU64::new(0),
            succeeded_nanos: AtomicU64::new(0),
            failed_nanos: AtomicU64::new(0),
            last: AtomicI64::new(i64::MIN),
            buckets: std::array::from_fn(|_| AtomicU64::new(0)),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }
}

impl Tally {
    /// Takes in a call for `rows` predictions.
    pub(crate) fn observe(&self, rows: u64, answered: bool, took: Duration, at: Timestamp) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let (calls, time) = if answered {
            self.rows.fetch_add(rows, Relaxed);
            (&self.succeeded, &self.succeeded_nanos)
        } else {
            (&self.failed, &self.failed_nanos)
        };
        calls.fetch_add(1, Relaxed);
        time.fetch_add(nanos, Relaxed);
        let seconds = took.as_secs_f64();
        if let Some(bucket) =
            EDGES.iter().position(|edge| seconds <= *edge).and_then(|at| self.buckets.get(at))
        {
            bucket.fetch_add(1, Relaxed);
        }
        self.last.fetch_max(at.as_millis(), Relaxed);
    }

    /// Takes in a look-up of rows in what is kept.
    pub(crate) fn looked_up(&self, hits: usize, misses: usize) {
        self.hits.fetch_add(hits as u64, Relaxed);
        self.misses.fetch_add(misses as u64, Relaxed);
    }

    pub(crate) fn totals(&self) -> Totals {
        let last = self.last.load(Relaxed);
        Totals {
            succeeded: self.succeeded.load(Relaxed),
            failed: self.failed.load(Relaxed),
            rows: self.rows.load(Relaxed),
            succeeded_time: Duration::from_nanos(self.succeeded_nanos.load(Relaxed)),
            failed_time: Duration::from_nanos(self.failed_nanos.load(Relaxed)),
            last: (last > i64::MIN).then(|| Timestamp::from_millis(last)),
            buckets: std::array::from_fn(|at| self.buckets[at].load(Relaxed)),
            cached: (self.hits.load(Relaxed), self.misses.load(Relaxed)),
            waited: Waited::default(),
            streams: StreamTotals::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_add_up() {
        let tally = Tally::default();
        assert_eq!(tally.totals(), Totals::default());
        let at = Timestamp::from_millis;
        tally.observe(3, true, Duration::from_micros(7), at(5));
        tally.observe(1, false, Duration::from_millis(3), at(9));
        tally.observe(2, true, Duration::from_secs(9), at(7));
        let totals = tally.totals();
        assert_eq!((totals.succeeded, totals.failed, totals.calls(), totals.rows), (2, 1, 3, 5));
        assert_eq!(totals.succeeded_time, Duration::from_micros(9_000_007));
        assert_eq!((totals.buckets[0], totals.buckets[8], totals.buckets.iter().sum::<u64>()), (1, 1, 2));
        assert_eq!(totals.last, Some(at(9)));
    }
}

//! Requests, errors and latencies of a version, counted on the way of every prediction without a lock.
//!
//! Latencies go to a histogram of fixed size with eight buckets an octave (the idea of HdrHistogram), so that a
//! quantile is known to within 1/8 however long a rollout lasts.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use gyre_core::fact::Numbers;
use serde::Serialize;

/// Buckets an octave, as a power of two.
const PRECISION: u32 = 3;
/// One bucket for each of the low values, then eight for each octave of nanoseconds up to 2^40 (18 minutes).
const BUCKETS: usize = 38 << PRECISION;

/// What a version has shown since its evidence was last reset.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Evidence {
    /// Predictions asked for, answered or not.
    pub requests: u64,
    /// Of those, not answered because the model failed.
    pub errors: u64,
    /// Median time in the model, in milliseconds; none before the first request.
    pub latency_p50_ms: Option<f64>,
    /// 99th percentile of the time in the model, in milliseconds; none before the first request.
    pub latency_p99_ms: Option<f64>,
}

impl Evidence {
    /// The share of requests that failed; 0 when there were none.
    pub fn error_share(&self) -> f64 {
        if self.requests == 0 { 0.0 } else { self.errors as f64 / self.requests as f64 }
    }

    /// By the names that `rollback_on` uses; what was not measured is left out.
    pub fn numbers(&self) -> Numbers {
        let named = [
            ("requests", Some(self.requests as f64)),
            ("errors", (self.requests > 0).then(|| self.error_share())),
            ("latency_p50_ms", self.latency_p50_ms),
            ("latency_p99_ms", self.latency_p99_ms),
        ];
        named.into_iter().filter_map(|(name, number)| Some((name.to_owned(), number?))).collect()
    }
}

/// The counters of one version.
pub(crate) struct Counters {
    requests: AtomicU64,
    errors: AtomicU64,
    latencies: [AtomicU64; BUCKETS],
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            requests: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            latencies: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

impl Counters {
    /// Takes in a call that asked for `rows` predictions, `failed` of which were not answered.
    pub(crate) fn observe(&self, rows: u64, failed: u64, latency: Duration) {
        self.requests.fetch_add(rows, Relaxed);
        if failed > 0 {
            self.errors.fetch_add(failed, Relaxed);
        }
        if let Some(bucket) = self.latencies.get(bucket_of(latency)) {
            bucket.fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn evidence(&self) -> Evidence {
        let counts: Vec<u64> = self.latencies.iter().map(|bucket| bucket.load(Relaxed)).collect();
        Evidence {
            requests: self.requests.load(Relaxed),
            errors: self.errors.load(Relaxed),
            latency_p50_ms: quantile_ms(&counts, 0.50),
            latency_p99_ms: quantile_ms(&counts, 0.99),
        }
    }
}

/// The bucket of a latency: its leading bit and the three bits after it.
fn bucket_of(latency: Duration) -> usize {
    let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
    if nanos < 1 << PRECISION {
        return nanos as usize;
    }
    let octave = nanos.ilog2();
    let within = (nanos >> (octave - PRECISION)) & ((1 << PRECISION) - 1);
    let bucket = (u64::from(octave - PRECISION + 1) << PRECISION) + within;
    (bucket as usize).min(BUCKETS - 1)
}

/// The largest latency of a bucket, in nanoseconds: quantiles err to the cautious side.
fn upper_edge(bucket: usize) -> u64 {
    let (octave, within) = (bucket >> PRECISION, (bucket & ((1 << PRECISION) - 1)) as u64);
    if octave == 0 { within } else { ((within + (1 << PRECISION) + 1) << (octave - 1)) - 1 }
}

fn quantile_ms(counts: &[u64], quantile: f64) -> Option<f64> {
    let total: u64 = counts.iter().sum();
    let rank = ((total as f64 * quantile).ceil() as u64).max(1);
    let mut seen = 0;
    counts.iter().enumerate().find_map(|(bucket, count)| {
        seen += count;
        (total > 0 && seen >= rank).then(|| upper_edge(bucket) as f64 / 1e6)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_latency_lies_in_its_bucket_and_quantiles_are_near() {
        for nanos in (0..50).chain([999, 1_000, 123_456, 5_000_000, 1 << 38]) {
            let bucket = bucket_of(Duration::from_nanos(nanos));
            assert!(upper_edge(bucket) >= nanos, "{nanos}");
            assert!(bucket == 0 || upper_edge(bucket - 1) < nanos, "{nanos}");
            assert!(upper_edge(bucket) as f64 <= nanos as f64 * 1.125, "{nanos}");
        }
        assert_eq!(bucket_of(Duration::MAX), BUCKETS - 1);
    }

    #[test]
    fn evidence_adds_up() {
        let counters = Counters::default();
        assert_eq!(counters.evidence(), Evidence::default());
        (1..=100).for_each(|ms| counters.observe(1, u64::from(ms % 50 == 0), Duration::from_millis(ms)));
        let evidence = counters.evidence();
        assert_eq!((evidence.requests, evidence.errors, evidence.error_share()), (100, 2, 0.02));
        let (p50, p99) = (evidence.latency_p50_ms.unwrap(), evidence.latency_p99_ms.unwrap());
        assert!((50.0..57.0).contains(&p50) && (99.0..112.0).contains(&p99), "{evidence:?}");
        assert_eq!(evidence.numbers()["errors"], 0.02);
    }
}

//! How long to wait before a process is started again.

use std::time::Duration;

/// Doubling delays with jitter, so that many models that failed for one reason do not all come back at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// After the first failure.
    pub first: Duration,
    /// Never longer than this.
    pub longest: Duration,
    /// Failures in a row that make a crash loop: requests are then refused at once rather than kept waiting.
    pub crash_loop: u32,
    /// A process that was ready for this long has started well: its next failure counts as the first again.
    pub stable: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(100),
            longest: Duration::from_secs(30),
            crash_loop: 5,
            stable: Duration::from_secs(60),
        }
    }
}

impl Backoff {
    /// The delay after `failures` in a row (from 1), between three quarters and the whole of the doubled time. `chance` is
    /// random over its whole range.
    pub(crate) fn delay(&self, failures: u32, chance: u32) -> Duration {
        let doubled = 2_u32.checked_pow(failures.saturating_sub(1)).and_then(|by| self.first.checked_mul(by));
        let whole = doubled.unwrap_or(self.longest).min(self.longest);
        whole.mul_f64(1.0 - 0.25 * f64::from(chance) / f64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest() {
        let backoff = Backoff::default();
        let millis: Vec<_> = (1..=12).map(|failures| backoff.delay(failures, 0).as_millis()).collect();
        assert_eq!(millis, [100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000, 30_000]);
        assert_eq!(backoff.delay(u32::MAX, 0), Duration::from_secs(30));
    }

    #[test]
    fn jitter_takes_up_to_a_quarter_off() {
        let backoff = Backoff::default();
        assert_eq!(backoff.delay(1, u32::MAX), Duration::from_millis(75));
        assert!((87..=88).contains(&backoff.delay(1, u32::MAX / 2).as_millis()));
    }
}

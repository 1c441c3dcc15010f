//! How long a model takes, so that a request knows whether to ask it where it stands or on a thread that may wait.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

/// Up to here a model is asked on the thread that read the request: handing a request to another thread and back takes
/// about 20 µs, and other requests of that thread wait meanwhile.
const QUICK_MICROS: u32 = 300;
/// Numbers of rows are told apart by powers of two.
const SIZES: usize = 20;
/// Of a longer time than the last this much is kept in mind, in eighths: one slow run is soon forgotten.
const KEPT: u32 = 6;

/// The time that recent runs took, by number of rows, in microseconds.
#[derive(Debug)]
pub(crate) struct Pace([AtomicU32; SIZES]);

impl Pace {
    /// Nothing is known yet.
    pub(crate) fn new() -> Self {
        Self([const { AtomicU32::new(u32::MAX) }; SIZES])
    }

    fn of(&self, rows: usize) -> Option<&AtomicU32> {
        self.0.get(usize::try_from(rows.max(1).ilog2()).ok()?)
    }

    /// Whether as many rows were answered quickly of late.
    pub(crate) fn is_quick(&self, rows: usize) -> bool {
        self.of(rows).is_some_and(|micros| micros.load(Relaxed) <= QUICK_MICROS)
    }

    /// A run of as many rows took so long. Runs at the same time may overwrite each other's, which does no harm.
    pub(crate) fn took(&self, rows: usize, time: Duration) {
        let Some(known) = self.of(rows) else { return };
        let micros = u32::try_from(time.as_micros()).unwrap_or(u32::MAX - 1);
        let before = known.load(Relaxed);
        let kept = if before == u32::MAX { 0 } else { before / 8 * KEPT };
        known.store(micros.max(kept), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_or_slow_is_not_quick() {
        let pace = Pace::new();
        assert!(!pace.is_quick(1) && !pace.is_quick(0) && !pace.is_quick(usize::MAX));
        pace.took(1, Duration::from_micros(20));
        pace.took(256, Duration::from_millis(2));
        pace.took(usize::MAX, Duration::ZERO);
        assert!(pace.is_quick(1));
        assert!(!pace.is_quick(2) && !pace.is_quick(300), "each size has its own time");
        // One hiccup is forgotten.
        pace.took(1, Duration::from_millis(3));
        assert!(!pace.is_quick(1));
        (0..10).for_each(|_| pace.took(1, Duration::from_micros(20)));
        assert!(pace.is_quick(1));
    }
}

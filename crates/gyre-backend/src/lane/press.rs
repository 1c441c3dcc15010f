//! Whether more comes, for longer, than can be answered.
//!
//! A line is no overload: a burst makes one, and so do sixty clients that each wait for their answer before they ask again.
//! Both are answered in the order in which they came. When a fifth more comes than is answered in two spans of time in a
//! row, waiting helps nobody: answered in order, each would come too late. Then the newest are answered first, and who has
//! waited for as long as two calls take is turned away (the "adaptive LIFO" and "controlled delay" of B. Maurer, "Fail at
//! Scale", ACM Queue 13(8), 2015). It is over with the first span in which what comes is answered.

use std::time::Duration;

use tokio::time::Instant;

/// The shortest span over which what comes and what is answered are compared.
const SPAN: Duration = Duration::from_millis(100);
/// How many calls a span has room for at least.
const CALLS: u32 = 16;
/// A difference that few requests make by chance.
const FEW: u64 = 4;
/// Nobody is turned away for having waited less.
const SHORT: Duration = Duration::from_millis(5);

/// What comes to a model and what of it is answered.
#[derive(Debug, Default)]
pub(super) struct Press {
    since: Option<Instant>,
    came: u64,
    answered: u64,
    /// More came than was answered in the span before.
    grew: bool,
    is_on: bool,
}

impl Press {
    /// A request comes; a call takes `call`.
    pub(super) fn came(&mut self, now: Instant, call: Duration) {
        let since = *self.since.get_or_insert(now);
        let (span, lasted) = (SPAN.max(call.saturating_mul(CALLS)), now.saturating_duration_since(since));
        if lasted >= span.saturating_mul(2) {
            // For a whole span nothing came: whatever there was is over.
            *self = Self { since: Some(now), ..Self::default() };
        } else if lasted >= span {
            let more_by = |tenths: u64| self.came * 10 > self.answered * (10 + tenths) + 10 * FEW;
            let grows = more_by(2);
            let is_on = if self.is_on { more_by(0) } else { grows && self.grew };
            *self = Self { since: Some(now), came: 0, answered: 0, grew: grows, is_on };
        }
        self.came += 1;
    }

    /// So many requests are being answered.
    pub(super) fn answered(&mut self, requests: usize) {
        self.answered += requests as u64;
    }

    /// Whether there is an overload.
    pub(super) const fn is_on(&self) -> bool {
        self.is_on
    }

    /// How long somebody may wait where a call takes `call`; as long as wanted while there is no overload.
    pub(super) fn most(&self, call: Duration) -> Option<Duration> {
        self.is_on.then(|| SHORT.max(call.saturating_mul(2)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_overload_is_over_when_nothing_has_come_for_a_while() {
        let call = Duration::from_millis(1);
        let mut press = Press::default();
        for _ in 0..350 {
            press.came(Instant::now(), call);
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        assert_eq!((press.is_on(), press.most(call)), (true, Some(SHORT)));
        tokio::time::advance(Duration::from_secs(60)).await;
        // A burst after a pause is one, and no overload.
        (0..100).for_each(|_| press.came(Instant::now(), call));
        assert!(!press.is_on());
    }
}

//! Whether more comes, for longer, than can be answered.
//!
//! A line is no overload: a burst makes one, and so do sixty clients that each wait for their answer before they ask again.
//! Both are answered in the order in which they came. When a fifth more comes than is answered in two spans of time in a
//! row, or twice as much in two halves of one, waiting helps nobody: answered in order, each would come too late. Then the
//! newest are answered first, and who has waited for as long as two calls take is turned away (the "adaptive LIFO" and
//! "controlled delay" of B. Maurer, "Fail at Scale", ACM Queue 13(8), 2015). It is over with the first span in which what
//! comes is answered.

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

/// What came to a model and what of it was answered.
#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    came: u64,
    answered: u64,
}

impl Tally {
    /// Whether more came than was answered, by so many tenths and a few.
    fn is_more_by(self, tenths: u64) -> bool {
        self.came * 10 > self.answered * (10 + tenths) + 10 * FEW
    }
}

/// What comes to a model and what of it is answered.
#[derive(Debug, Default)]
pub(super) struct Press {
    since: Option<Instant>,
    /// Of the half of the span that is under way.
    half: Tally,
    /// The half before it, when it is of the same span.
    first: Option<Tally>,
    /// A fifth more came than was answered in the span before.
    grew: bool,
    /// Twice as much came as was answered in the half before.
    surged: bool,
    is_on: bool,
}

impl Press {
    /// A request comes; a call takes `call`.
    pub(super) fn came(&mut self, now: Instant, call: Duration) {
        let since = *self.since.get_or_insert(now);
        let half = SPAN.max(call.saturating_mul(CALLS)) / 2;
        let lasted = now.saturating_duration_since(since);
        if lasted >= half.saturating_mul(4) {
            // For a while nothing came: whatever there was is over.
            *self = Self { since: Some(now), ..Self::default() };
        } else if lasted >= half {
            self.turn();
            self.since = Some(now);
        }
        self.half.came += 1;
    }

    /// A half of a span is over.
    fn turn(&mut self) {
        let half = std::mem::take(&mut self.half);
        let surges = half.is_more_by(10);
        self.is_on |= surges && self.surged;
        self.surged = surges;
        let Some(first) = self.first.take() else {
            self.first = Some(half);
            return;
        };
        let span = Tally { came: first.came + half.came, answered: first.answered + half.answered };
        let grows = span.is_more_by(2);
        self.is_on = if self.is_on { span.is_more_by(0) } else { grows && self.grew };
        self.grew = grows;
    }

    /// So many requests are being answered.
    pub(super) fn answered(&mut self, requests: usize) {
        self.half.answered += requests as u64;
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

    #[tokio::test(start_paused = true)]
    async fn what_is_five_times_too_much_is_known_in_one_span_and_a_crowd_that_waits_is_none() {
        let call = Duration::from_millis(1);
        let mut press = Press::default();
        let mut until_on = 0;
        while !press.is_on() {
            (0..5).for_each(|_| press.came(Instant::now(), call));
            press.answered(1);
            tokio::time::advance(call).await;
            until_on += 1;
        }
        assert!((95..=105).contains(&until_on), "{until_on} ms");
        // Sixty come at once, and each comes again when it was answered.
        let mut press = Press::default();
        (0..60).for_each(|_| press.came(Instant::now(), call));
        for _ in 0..1_000 {
            press.answered(1);
            tokio::time::advance(call).await;
            press.came(Instant::now(), call);
            assert!(!press.is_on());
        }
    }
}

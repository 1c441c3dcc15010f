//! When windows begin, and when they may be closed.
//!
//! Windows tumble: each begins where the one before ended, and all are aligned to the day (UTC) of the first event, so
//! that days are never split between windows of whole days. A window closes once event time has come past its end *and*
//! past the delay with which labels arrive; what comes later still is counted by later readings of the log, never by a
//! second closing.

use gyre_core::time::Period;
use gyre_core::{Span, Timestamp};

/// The most windows that one call lists: event time may jump by years.
const MOST_DUE: usize = 1_000;

/// The windows of one model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Calendar {
    origin: Timestamp,
    length: i64,
}

impl Calendar {
    /// Windows of `length`, the first one beginning with the day of `first_event`. A length below a millisecond counts as
    /// one.
    pub fn new(first_event: Timestamp, length: Span) -> Self {
        let day = Span::days(1).as_millis();
        let origin = Timestamp::from_millis(first_event.as_millis().div_euclid(day).saturating_mul(day));
        Self { origin, length: length.as_millis().max(1) }
    }

    /// The window that `moment` falls into; before the first event there are windows too.
    pub fn containing(&self, moment: Timestamp) -> Period {
        let index = moment.since(self.origin).as_millis().div_euclid(self.length);
        let from = self.origin + Span::from_millis(index.saturating_mul(self.length));
        Period { from, to: from + Span::from_millis(self.length) }
    }

    /// The windows that may be closed, oldest first: those after `last_closed` (the end of the last one closed; `None`
    /// before the first) whose end is at least `expected_delay` before `watermark`. At most 1,000; call again for more.
    pub fn due(
        &self,
        last_closed: Option<Timestamp>,
        watermark: Timestamp,
        expected_delay: Span,
    ) -> Vec<Period> {
        let first = self.containing(last_closed.unwrap_or(self.origin));
        std::iter::successors(Some(first), |window| Some(self.containing(window.to)))
            // At the end of representable time a window is cut short, and would follow itself for ever.
            .take_while(|window| window.to.since(window.from).as_millis() == self.length)
            .take_while(|window| window.to + expected_delay <= watermark)
            .take(MOST_DUE)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn dates(windows: &[Period]) -> Vec<String> {
        windows.iter().map(|window| format!("{}..{}", window.from.date(), window.to.date())).collect()
    }

    #[test]
    fn a_window_closes_when_its_labels_have_had_time() {
        let calendar = Calendar::new(at("2013-03-01T05:15:00Z"), Span::days(7));
        let due = |last: Option<&str>, watermark| calendar.due(last.map(at), at(watermark), Span::days(1));
        assert!(due(None, "2013-03-08T23:59:59Z").is_empty());
        assert_eq!(dates(&due(None, "2013-03-09T00:00:00Z")), ["2013-03-01..2013-03-08"]);
        assert!(due(Some("2013-03-08T00:00:00Z"), "2013-03-09T00:00:00Z").is_empty());
        assert_eq!(
            dates(&due(Some("2013-03-08T00:00:00Z"), "2013-03-24T12:00:00Z")),
            ["2013-03-08..2013-03-15", "2013-03-15..2013-03-22"]
        );
    }

    #[test]
    fn windows_meet_without_gap_or_overlap() {
        let calendar = Calendar::new(at("2013-01-01T10:00:00Z"), Span::hours(5));
        let windows = calendar.due(None, at("2013-01-03T00:00:00Z"), Span::default());
        assert!(windows.windows(2).all(|pair| pair[0].to == pair[1].from));
        assert_eq!(windows[0].from, at("2013-01-01T00:00:00Z"));
        let early = calendar.containing(at("2012-12-31T23:59:59Z"));
        assert_eq!(early.to, at("2013-01-01T00:00:00Z"));
    }

    #[test]
    fn a_jump_of_the_clock_is_taken_in_bounded_steps() {
        let calendar = Calendar::new(at("2013-01-01T00:00:00Z"), Span::hours(1));
        let far = at("2113-01-01T00:00:00Z");
        let first = calendar.due(None, far, Span::default());
        assert_eq!(first.len(), 1_000);
        let next = calendar.due(Some(first[999].to), far, Span::default());
        assert_eq!(next[0].from, first[999].to);
        let end = Timestamp::from_millis(i64::MAX);
        assert!(calendar.due(Some(end), end, Span::default()).is_empty());
    }
}

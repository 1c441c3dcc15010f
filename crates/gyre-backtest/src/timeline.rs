//! The timeline: windows, the moments at which something may be decided, and the slices between all of these.
//!
//! A backtest needs no rows once each model has been scored: the loss of a *slice*, a stretch of one day between two moments,
//! is all that costs, windows and paired comparisons are made of, for they are clustered by day (see [`crate::measure`]).
//! Slices carry from when on their labels are known, so that a policy can be shown exactly what it may know.

use gyre_core::spec::Holdout;
use gyre_core::time::Period;
use gyre_core::{Span, Timestamp};

use crate::error::BacktestError;
use crate::history::History;

/// A stretch of time in one calendar day, in one window, between two moments of decision.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slice {
    /// First moment inside.
    pub from: Timestamp,
    /// The calendar day (UTC), the cluster of its losses.
    pub day: i64,
    /// The window that it lies in; none before the first.
    pub window: Option<usize>,
    /// The last decision before it: whoever was made to serve there serves in it. None before the first.
    pub era: Option<usize>,
    /// The decision from which on its labels are known: the one at which its window closes.
    pub visible: usize,
    /// Whether its day trains no version that is judged.
    pub withheld: bool,
    /// Labelled rows whose label was there by then.
    pub seen: u64,
    /// Labelled rows whose label came later: they cost, and no policy looks at them.
    pub late: u64,
}

impl Slice {
    /// All labelled rows.
    pub fn rows(&self) -> u64 {
        self.seen + self.late
    }
}

/// When windows and decisions are.
#[derive(Debug, Clone, PartialEq)]
pub struct Timeline {
    /// Slices by time.
    pub slices: Vec<Slice>,
    /// Windows, the last of them possibly cut short by the history's end.
    pub windows: Vec<Period>,
    /// Moments of decision: the first training, then the close of each window, when its labels have had their time.
    pub moments: Vec<Timestamp>,
}

/// How the time is divided.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Division {
    /// How long a window is.
    pub window: Span,
    /// How long after a window it closes.
    pub delay: Span,
    /// How much history comes before the first training.
    pub warm_up: Span,
    /// Which days are withheld from training.
    pub holdout: Holdout,
}

impl Timeline {
    /// Divides a history's time, and says of each of its rows in which slice it lies.
    ///
    /// # Errors
    /// [`BacktestError::TooShort`] when no window closes before the history ends.
    pub fn divide(history: &History, division: &Division) -> Result<(Self, Vec<u32>), BacktestError> {
        let (Some(first), Some(last)) = (history.times.first(), history.times.last()) else {
            return Err(BacktestError::Columns("the history has no rows with an event time".to_owned()));
        };
        let day = Span::days(1).as_millis();
        let floor = |moment: Timestamp| Timestamp::from_millis(moment.day().saturating_mul(day));
        let start = floor(floor(*first) + division.warm_up);
        let end = *last + Span::from_millis(1);
        let length = Span::from_millis(division.window.as_millis().max(1));
        let mut windows = Vec::new();
        let mut from = start;
        while from < end {
            let to = from + length;
            windows.push(Period { from, to: to.min(end) });
            from = to;
        }
        let closings = windows.iter().map(|window| window.from + length + division.delay);
        let moments: Vec<Timestamp> =
            std::iter::once(start).chain(closings.take_while(|closing| *closing < end)).collect();
        if moments.len() < 2 {
            let needed = Span::from_millis(
                division.warm_up.as_millis() + length.as_millis() + division.delay.as_millis(),
            );
            return Err(BacktestError::TooShort {
                days: end.since(*first).as_days(),
                warm_up: division.warm_up,
                window: length,
                needed: needed.as_days(),
                remedy: "give a longer history, or a shorter --window or --warm-up",
            });
        }
        let mut timeline = Self { slices: Vec::new(), windows, moments };
        timeline.cut(floor(*first), end, &division.holdout);
        let of_rows = timeline.assign(history);
        Ok((timeline, of_rows))
    }

    fn cut(&mut self, from: Timestamp, end: Timestamp, holdout: &Holdout) {
        let day = Span::days(1);
        let days = std::iter::successors(Some(from), |moment| Some(*moment + day)).take_while(|at| *at < end);
        let mut cuts: Vec<Timestamp> = days.collect();
        cuts.extend(self.windows.iter().map(|window| window.from));
        cuts.extend(self.moments.iter().copied());
        cuts.sort_unstable();
        cuts.dedup();
        let (windows, moments) = (&self.windows, &self.moments);
        let slice = |from: Timestamp| {
            let window = windows.partition_point(|window| window.from <= from).checked_sub(1);
            Slice {
                from,
                day: from.day(),
                window,
                era: moments.partition_point(|moment| *moment <= from).checked_sub(1),
                visible: window.map_or(0, |window| window + 1),
                withheld: holdout.withholds(from),
                seen: 0,
                late: 0,
            }
        };
        self.slices = cuts.into_iter().map(slice).collect();
    }

    fn assign(&mut self, history: &History) -> Vec<u32> {
        let mut of_rows = Vec::with_capacity(history.rows());
        let mut at = 0;
        for (time, known) in history.times.iter().zip(&history.known_at) {
            while self.slices.get(at + 1).is_some_and(|next| next.from <= *time) {
                at += 1;
            }
            of_rows.push(at as u32);
            let Some(slice) = self.slices.get_mut(at) else { continue };
            let Some(known) = known else { continue };
            // A window that closes after the end is never looked at.
            let closed = self.moments.get(slice.visible).copied();
            if closed.is_none_or(|closed| *known <= closed) {
                slice.seen += 1;
            } else {
                slice.late += 1;
            }
        }
        of_rows
    }

    /// The number of decisions, the first training among them.
    pub fn decisions(&self) -> usize {
        self.moments.len()
    }

    /// The moment of decision `index`; the last one for an index beyond.
    pub fn moment(&self, index: usize) -> Timestamp {
        self.moments.get(index).or(self.moments.last()).copied().unwrap_or_default()
    }

    /// Whether the label of a row was there when its slice's window closed.
    pub(crate) fn is_seen(&self, slice: &Slice, known: Timestamp) -> bool {
        self.moments.get(slice.visible).is_none_or(|closed| known <= *closed)
    }
}

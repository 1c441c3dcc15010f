//! How long a call takes, learned from those that were made.
//!
//! A call costs something once and something for each row, `time = base + slope · rows`. Both are fitted by least squares
//! with weights that fall off with age, so that the estimate follows a model that becomes slower. From it follow how many
//! rows fit before a deadline, and whether a request that would have to wait has a chance at all.

use std::time::Duration;

/// What one call weighs less than the next.
const FADE: f64 = 0.95;
/// Weight from which on the estimate is trusted; four calls have it.
const ENOUGH: f64 = 3.5;

/// Sums of the weighted least squares; times in seconds.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Pace {
    weight: f64,
    rows: f64,
    time: f64,
    rows_rows: f64,
    rows_time: f64,
    time_time: f64,
}

impl Pace {
    /// Takes note of a call.
    pub(crate) fn note(&mut self, rows: usize, took: Duration) {
        let (rows, time) = (rows as f64, took.as_secs_f64());
        let added = [
            (&mut self.weight, 1.0),
            (&mut self.rows, rows),
            (&mut self.time, time),
            (&mut self.rows_rows, rows * rows),
            (&mut self.rows_time, rows * time),
            (&mut self.time_time, time * time),
        ];
        for (sum, value) in added {
            *sum = *sum * FADE + value;
        }
    }

    /// How long a call with so many rows takes; none before enough calls were seen.
    pub(crate) fn expect(&self, rows: usize) -> Option<Duration> {
        self.fit(rows).map(|(time, _)| seconds(time))
    }

    /// How long a call of the size that calls have takes; none before enough calls were seen.
    pub(crate) fn typical(&self) -> Option<Duration> {
        (self.weight >= ENOUGH).then(|| seconds(self.time / self.weight))
    }

    /// What [`expect`](Self::expect) says and two standard deviations more: what few calls exceed.
    pub(crate) fn expect_at_most(&self, rows: usize) -> Option<Duration> {
        self.fit(rows).map(|(time, deviation)| seconds(time + 2.0 * deviation))
    }

    /// Time of a call with so many rows, and how much calls deviate from the fit.
    fn fit(&self, rows: usize) -> Option<(f64, f64)> {
        if self.weight < ENOUGH {
            return None;
        }
        let (mean_rows, mean_time) = (self.rows / self.weight, self.time / self.weight);
        let spread = self.rows_rows / self.weight - mean_rows * mean_rows;
        let together = self.rows_time / self.weight - mean_rows * mean_time;
        // When all calls were of one size, nothing is known of what a row costs. More rows never take less time, and the
        // first row never less than nothing.
        let slope = if spread > 1e-9 * mean_rows * mean_rows { (together / spread).max(0.0) } else { 0.0 };
        let slope = slope.min(mean_time / mean_rows.max(1.0));
        let time = mean_time + slope * (rows as f64 - mean_rows);
        let variance = self.time_time / self.weight - mean_time * mean_time;
        let left = variance - 2.0 * slope * together + slope * slope * spread;
        Some((time.max(0.0), left.max(0.0).sqrt()))
    }
}

fn seconds(time: f64) -> Duration {
    Duration::try_from_secs_f64(time).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(pace: &Pace, rows: usize) -> u128 {
        (pace.expect(rows).unwrap() + Duration::from_micros(500)).as_millis()
    }

    #[test]
    fn the_cost_of_a_call_and_of_a_row_are_told_apart() {
        let mut pace = Pace::default();
        for rows in [1, 10, 3, 50, 7] {
            pace.note(rows, Duration::from_millis(20 + 2 * rows as u64));
        }
        assert_eq!((millis(&pace, 1), millis(&pace, 100)), (22, 220));
    }

    #[test]
    fn nothing_is_said_before_enough_was_seen_and_calls_of_one_size_say_nothing_of_others() {
        let mut pace = Pace::default();
        for _ in 0..3 {
            pace.note(1, Duration::from_millis(10));
            assert_eq!(pace.expect(1), None);
        }
        pace.note(1, Duration::from_millis(10));
        assert_eq!((millis(&pace, 1), millis(&pace, 100)), (10, 10));
    }

    #[test]
    fn what_few_calls_exceed_is_beyond_the_noise() {
        let mut pace = Pace::default();
        for at in 0..40 {
            pace.note(1 + at % 7, Duration::from_millis(if at % 2 == 0 { 8 } else { 12 }));
        }
        let most = pace.expect_at_most(1).unwrap().as_millis();
        assert!((13..=15).contains(&most), "{most}");
        let mut even = Pace::default();
        (1..20).for_each(|rows| even.note(rows, Duration::from_millis(5 + rows as u64)));
        assert_eq!(even.expect_at_most(4).unwrap().as_micros().div_ceil(100), 90);
    }

    #[test]
    fn it_follows_a_model_that_becomes_slower() {
        let mut pace = Pace::default();
        for at in 0..200 {
            pace.note(1 + at % 5, Duration::from_millis(if at < 100 { 1 } else { 100 }));
        }
        assert!((95..=100).contains(&millis(&pace, 3)), "{}", millis(&pace, 3));
    }

    #[test]
    fn noise_makes_no_estimate_negative() {
        let mut pace = Pace::default();
        for at in 0..20 {
            pace.note(1 + at % 2, Duration::from_millis(if at % 2 == 0 { 50 } else { 1 }));
        }
        assert!(pace.expect(1).unwrap() > Duration::ZERO);
        assert!(pace.expect(100_000).unwrap() < Duration::from_secs(1));
    }
}

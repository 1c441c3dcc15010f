//! What is seen while the year goes by: a bar, and the last decision.

use std::time::Duration;

use gyre_core::Timestamp;
use indicatif::{ProgressBar, ProgressStyle};

/// A bar on a terminal, nothing elsewhere.
pub(super) struct Progress(ProgressBar);

impl Progress {
    pub(super) fn new(silent: bool) -> Self {
        let bar = if silent { ProgressBar::hidden() } else { ProgressBar::no_length() };
        let style =
            ProgressStyle::with_template("{prefix:10} {wide_bar:.cyan/blue} {percent:>3}% {elapsed}\n{msg}");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        Self(bar)
    }

    pub(super) fn length(&self, flights: usize) {
        self.0.set_length(flights as u64);
    }

    pub(super) fn day(&self, day: Timestamp, flights: usize) {
        self.0.set_prefix(day.date());
        self.0.set_position(flights as u64);
    }

    pub(super) fn say(&self, news: String) {
        self.0.set_message(news);
    }

    pub(super) fn finish(&self) {
        self.0.finish_and_clear();
    }
}

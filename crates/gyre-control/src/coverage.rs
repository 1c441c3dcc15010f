//! Windows whose labels are mostly missing: nothing is made of them.
//!
//! Labels that come are seldom a fair sample of those that do not: the easy cases are labelled first, or those that somebody
//! complained about. A loss over a tenth of a window may be off in either direction, whatever its standard error says. So a window
//! of which less than the least share is labelled is neither judged nor trained for, and says so with its numbers. Where labels are
//! sampled on purpose the least share is set below the sampled one (`monitor.min_coverage`); of predictions that are not logged
//! (`log.share`) there is nothing to count, and they do not lower the share.

use gyre_core::fact::{Numbers, WindowSummary};

use crate::controller::Turn;

/// The share of the window's predictions that have a label; none when it says nothing, because there were no predictions, or no
/// labels are expected of the model and none came.
pub fn coverage(window: &WindowSummary, labels_expected: bool) -> Option<f64> {
    let counts = window.predictions > 0 && (labels_expected || window.labels > 0);
    counts.then(|| window.labels as f64 / window.predictions as f64)
}

impl Turn<'_> {
    /// Whether the window's labels are mostly missing; then it is said, and remembered until a window is better.
    pub(crate) fn is_mostly_unlabelled(&mut self, window: &WindowSummary) -> bool {
        self.model.new_rows = self.model.new_rows.saturating_add(window.labels);
        let Some(share) = coverage(window, self.policy.labels_expected) else { return false };
        let least = self.policy.min_coverage;
        self.model.unlabelled = share < least;
        if self.model.unlabelled {
            let told = format!(
                "labels are mostly missing: {} of {} predictions have one ({:.1}%), and a window is judged from {:.0}% on; \
                 nothing is said of the loss, and nothing is trained",
                window.labels,
                window.predictions,
                100.0 * share,
                100.0 * least
            );
            let numbers = [
                ("coverage", share),
                ("min_coverage", least),
                ("labels", window.labels as f64),
                ("predictions", window.predictions as f64),
            ];
            self.keep(told, Numbers::from(numbers.map(|(name, value)| (name.to_owned(), value))));
        }
        self.model.unlabelled
    }
}

//! The running mean in the form in which the detectors' published implementations compute it.

use serde::{Deserialize, Serialize};

/// Count and mean. [`Moments`](crate::moments::Moments) divides where this multiplies by `1/n`: the last bit differs, and
/// with it, now and then, the value at which a detector fires.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Mean {
    pub(super) count: f64,
    pub(super) mean: f64,
}

impl Mean {
    pub(super) fn push(&mut self, value: f64) {
        self.count += 1.0;
        self.mean += (1.0 / self.count) * (value - self.mean);
    }
}

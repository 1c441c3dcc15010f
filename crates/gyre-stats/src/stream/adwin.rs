//! The longest window of the recent past that still looks like one distribution.

use serde::{Deserialize, Serialize};

use super::{BadSetting, Signal, Unusable, require, usable};

/// Parameters of [`Adwin`]; the defaults are River's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AdwinSettings {
    /// Confidence δ of each cut, in (0, 1).
    pub delta: f64,
    /// Cuts are looked for after every so many values, from 1.
    pub clock: u32,
    /// Buckets of each size that are kept before the two oldest are merged, from 1.
    pub max_buckets: u32,
    /// Values on either side of a cut at least, from 1.
    pub min_window_length: u32,
    /// Nothing is said before more values than this.
    pub grace_period: u32,
}

impl Default for AdwinSettings {
    fn default() -> Self {
        Self { delta: 0.002, clock: 32, max_buckets: 5, min_window_length: 5, grace_period: 10 }
    }
}

/// Neighbouring values, of which only the sum and the squared deviations from their mean are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Bucket {
    sum: f64,
    spread: f64,
}

/// Adaptive windowing (Bifet & Gavaldà, "Learning from time-changing data with adaptive windowing", SDM 2007).
///
/// The window grows with every value. It is cut in two at every bucket's edge, and where the means of the two parts, of
/// `n₀` and `n₁` values, are further apart than
///
/// ```text
/// ε = √(2·m·σ²·ln(2·ln n / δ)) + ⅔·m·ln(2·ln n / δ),   m = 1/(n₀ − l + 1) + 1/(n₁ − l + 1)
/// ```
///
/// (`n` and σ² are those of the window, `l` the least length of a part), the oldest bucket goes, until no cut is left.
/// The window is an exponential histogram: buckets of 1, 2, 4, … values, a few of each size, so that memory is
/// logarithmic and a value costs O(1) amortised. Spreads of merged buckets follow Babcock, Datar, Motwani & O'Callaghan
/// (2003).
///
/// As in River, whose indices of change these are, the window starts afresh with the value after a change; the paper
/// keeps what is left of it.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct Adwin {
    settings: AdwinSettings,
    /// Buckets of 2^i values at `i`, oldest first.
    rows: Vec<Vec<Bucket>>,
    width: f64,
    total: f64,
    spread: f64,
    ticks: u64,
    changes: u64,
    /// Whether the last value completed a change.
    changed: bool,
}

impl Adwin {
    /// An empty window.
    ///
    /// # Errors
    /// [`BadSetting`] when a parameter is outside its range.
    pub fn new(settings: AdwinSettings) -> Result<Self, BadSetting> {
        let delta = settings.delta;
        require(delta > 0.0 && delta < 1.0, "delta", delta, "above 0 and below 1")?;
        for (name, value) in [
            ("clock", settings.clock),
            ("max_buckets", settings.max_buckets),
            ("min_window_length", settings.min_window_length),
        ] {
            require(value > 0, name, f64::from(value), "1 or more")?;
        }
        Ok(Self { settings, ..Self::default() })
    }

    /// Takes in a value; NaN is passed over.
    ///
    /// # Errors
    /// [`Unusable`] for an infinity or a magnitude above 1e150, whose squares would overflow; the state is then
    /// unchanged.
    pub fn observe(&mut self, value: f64) -> Result<Signal, Unusable> {
        if !usable(value)? {
            return Ok(Signal::Stable);
        }
        if self.changed {
            let Self { settings, changes, .. } = std::mem::take(self);
            *self = Self { settings, changes, ..Self::default() };
        }
        self.insert(value);
        self.ticks += 1;
        let due = self.ticks.is_multiple_of(u64::from(self.settings.clock.max(1)));
        if due && self.width > f64::from(self.settings.grace_period) {
            while self.has_cut() {
                self.changed = true;
                self.drop_oldest();
            }
        }
        self.changes += u64::from(self.changed);
        Ok(if self.changed { Signal::Change } else { Signal::Stable })
    }

    fn insert(&mut self, value: f64) {
        if self.width > 0.0 {
            let apart = value - self.total / self.width;
            self.spread += self.width * apart * apart / (self.width + 1.0);
        }
        self.width += 1.0;
        self.total += value;
        let full = self.settings.max_buckets.max(1) as usize;
        let mut carried = Bucket { sum: value, spread: 0.0 };
        let mut size = 1.0;
        for row in &mut self.rows {
            row.push(carried);
            let &[first, second, ..] = row.as_slice() else { return };
            if row.len() <= full {
                return;
            }
            let apart = first.sum / size - second.sum / size;
            carried = Bucket {
                sum: first.sum + second.sum,
                spread: first.spread + second.spread + size * 0.5 * apart * apart,
            };
            row.drain(..2);
            size *= 2.0;
        }
        let mut row = Vec::with_capacity(full + 1);
        row.push(carried);
        self.rows.push(row);
    }

    /// Whether the window falls apart at some bucket's edge.
    fn has_cut(&self) -> bool {
        let least = f64::from(self.settings.min_window_length);
        let confidence = (2.0 * self.width.ln() / self.settings.delta).ln();
        let variance = self.spread / self.width;
        let (mut older, mut older_sum) = (0.0, 0.0);
        let (mut newer, mut newer_sum) = (self.width, self.total);
        let mut size = 2.0_f64.powi(self.rows.len() as i32);
        for row in self.rows.iter().rev() {
            size *= 0.5;
            for bucket in row {
                older += size;
                newer -= size;
                older_sum += bucket.sum;
                newer_sum -= bucket.sum;
                if older < least {
                    continue;
                }
                if newer < least {
                    return false;
                }
                let m = 1.0 / (older - least + 1.0) + 1.0 / (newer - least + 1.0);
                let bound = (2.0 * m * variance * confidence).sqrt() + 2.0 / 3.0 * confidence * m;
                if (older_sum / older - newer_sum / newer).abs() > bound {
                    return true;
                }
            }
        }
        false
    }

    fn drop_oldest(&mut self) {
        let size = 2.0_f64.powi(self.rows.len() as i32 - 1);
        let Some(row) = self.rows.last_mut().filter(|row| !row.is_empty()) else { return };
        let oldest = row.remove(0);
        if row.is_empty() {
            self.rows.pop();
        }
        self.width -= size;
        self.total -= oldest.sum;
        let apart = oldest.sum / size - self.total / self.width;
        self.spread -= oldest.spread + size * self.width * apart * apart / (size + self.width);
    }

    /// Values in the window; after a change, those that were kept.
    #[must_use]
    pub fn width(&self) -> u64 {
        self.width as u64
    }

    /// Mean of the window; `None` while it is empty.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.width > 0.0).then(|| self.total / self.width)
    }

    /// Population variance of the window; `None` while it is empty. (River's `variance` is this times the width.)
    #[must_use]
    pub fn variance(&self) -> Option<f64> {
        (self.width > 0.0).then(|| (self.spread / self.width).max(0.0))
    }

    /// Changes found so far.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes
    }
}

//! Does some beginning of the stream have another mean than the whole?

use serde::{Deserialize, Serialize};

use super::{BadSetting, Signal, confidences, mean::Mean};

/// Parameters of [`HddmA`]; the defaults are River's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HddmASettings {
    /// Confidence of a change, in (0, 1).
    pub drift_confidence: f64,
    /// Confidence of a warning, in (0, 1).
    pub warning_confidence: f64,
    /// Whether falls of the error rate count as well as rises.
    pub two_sided: bool,
}

impl Default for HddmASettings {
    fn default() -> Self {
        Self { drift_confidence: 0.001, warning_confidence: 0.005, two_sided: false }
    }
}

/// HDDM with the averages test (Frías-Blanco et al., "Online and non-parametric drift detection methods based on
/// Hoeffding's bounds", IEEE TKDE 27(3), 2015).
///
/// It keeps the beginning of the stream whose mean plus its Hoeffding bound `√(ln(1/δ)/(2n))` was lowest, and fires
/// when the mean of everything exceeds the mean of that beginning by `√(m/2·ln(2/δ))`, `m = (n − n₀)/(n₀·n)`. The
/// confidence is that of one comparison: 7 % of unchanged streams of 10,000 labels are alarmed at the defaults.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct HddmA {
    settings: HddmASettings,
    all: Mean,
    lowest: Mean,
    highest: Mean,
    changed: bool,
}

impl HddmA {
    /// Nothing seen.
    ///
    /// # Errors
    /// [`BadSetting`] when a parameter is outside its range.
    pub fn new(settings: HddmASettings) -> Result<Self, BadSetting> {
        confidences(settings.drift_confidence, settings.warning_confidence)?;
        Ok(Self { settings, ..Self::default() })
    }

    /// Takes in whether a prediction was wrong.
    pub fn observe(&mut self, wrong: bool) -> Signal {
        if self.changed {
            *self = Self { settings: self.settings.clone(), ..Self::default() };
        }
        let HddmASettings { drift_confidence, warning_confidence, two_sided } = self.settings;
        self.all.push(f64::from(u8::from(wrong)));
        let bound = |n: f64| (1.0 / (2.0 * n) * (1.0 / drift_confidence).ln()).sqrt();
        let (all, around_all) = (self.all, bound(self.all.count));
        if self.lowest.count == 0.0 || self.lowest.mean + bound(self.lowest.count) >= all.mean + around_all {
            self.lowest = all;
        }
        if self.highest.count == 0.0 || self.highest.mean - bound(self.highest.count) <= all.mean - around_all
        {
            self.highest = all;
        }
        let risen = |confidence| all.mean - self.lowest.mean >= apart(self.lowest, all, confidence);
        let fallen =
            |confidence| two_sided && self.highest.mean - all.mean >= apart(self.highest, all, confidence);
        self.changed = risen(drift_confidence) || fallen(drift_confidence);
        if self.changed {
            Signal::Change
        } else if risen(warning_confidence) || fallen(warning_confidence) {
            Signal::Warning
        } else {
            Signal::Stable
        }
    }
}

/// How far the mean of the whole must be from that of its beginning; infinitely far if they are the same.
fn apart(beginning: Mean, all: Mean, confidence: f64) -> f64 {
    if beginning.count >= all.count {
        return f64::INFINITY;
    }
    let m = (all.count - beginning.count) / beginning.count * (1.0 / all.count);
    (m / 2.0 * (2.0 / confidence).ln()).sqrt()
}

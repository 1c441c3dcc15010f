//! Has the error rate left the lowest level that it ever had?

use serde::{Deserialize, Serialize};

use super::{BadSetting, Signal, mean::Mean, require};

/// Parameters of [`Ddm`]; the defaults are River's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DdmSettings {
    /// Labels before anything is said.
    pub warm_start: u32,
    /// Standard deviations above the lowest level at which to warn, above 0.
    pub warning_threshold: f64,
    /// Standard deviations above the lowest level that are a change, above 0.
    pub drift_threshold: f64,
}

impl Default for DdmSettings {
    fn default() -> Self {
        Self { warm_start: 30, warning_threshold: 2.0, drift_threshold: 3.0 }
    }
}

/// The drift detection method (Gama, Medas, Castillo & Rodrigues, "Learning with drift detection", SBIA 2004).
///
/// With `p` the error rate since the last change and `s = √(p(1 − p)/n)`, it remembers `p` and `s` from when `p + s`
/// was lowest, and fires when `p + s` exceeds that `p` by three times that `s`. The lowest of many noisy levels is too
/// low: a third of unchanged streams of 10,000 labels are alarmed. It finds rises only.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct Ddm {
    settings: DdmSettings,
    rate: Mean,
    /// Rate and its standard deviation when their sum was lowest.
    lowest: Option<(f64, f64)>,
    changed: bool,
}

impl Ddm {
    /// Nothing seen.
    ///
    /// # Errors
    /// [`BadSetting`] when a parameter is outside its range.
    pub fn new(settings: DdmSettings) -> Result<Self, BadSetting> {
        let (warning, drift) = (settings.warning_threshold, settings.drift_threshold);
        for (name, threshold) in [("warning_threshold", warning), ("drift_threshold", drift)] {
            require(threshold > 0.0 && threshold.is_finite(), name, threshold, "above 0 and finite")?;
        }
        Ok(Self { settings, ..Self::default() })
    }

    /// Takes in whether a prediction was wrong.
    pub fn observe(&mut self, wrong: bool) -> Signal {
        if self.changed {
            *self = Self { settings: self.settings.clone(), ..Self::default() };
        }
        self.rate.push(f64::from(u8::from(wrong)));
        let Mean { count, mean: rate } = self.rate;
        if count <= f64::from(self.settings.warm_start) {
            return Signal::Stable;
        }
        let deviation = (rate * (1.0 - rate) / count).max(0.0).sqrt();
        let level = rate + deviation;
        let (low_rate, low_deviation) = match self.lowest {
            Some((rate, deviation)) if level > rate + deviation => (rate, deviation),
            _ => (rate, deviation),
        };
        self.lowest = Some((low_rate, low_deviation));
        self.changed = level > low_rate + self.settings.drift_threshold * low_deviation;
        if self.changed {
            Signal::Change
        } else if level > low_rate + self.settings.warning_threshold * low_deviation {
            Signal::Warning
        } else {
            Signal::Stable
        }
    }
}

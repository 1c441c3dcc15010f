//! Has the weighted average of the newest values left that of the time when it was lowest?

use serde::{Deserialize, Serialize};

use super::{BadSetting, Signal, confidences, require};

/// Parameters of [`HddmW`]; the defaults are River's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HddmWSettings {
    /// Confidence of a change, in (0, 1).
    pub drift_confidence: f64,
    /// Confidence of a warning, in (0, 1).
    pub warning_confidence: f64,
    /// Weight of the newest value in the averages, in (0, 1).
    pub lambda: f64,
    /// Whether falls of the error rate count as well as rises.
    pub two_sided: bool,
}

impl Default for HddmWSettings {
    fn default() -> Self {
        Self { drift_confidence: 0.001, warning_confidence: 0.005, lambda: 0.05, two_sided: false }
    }
}

/// An exponentially weighted average, and the sum of its squared weights, which McDiarmid's bound needs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Average {
    /// `None` before the first value.
    mean: Option<f64>,
    squared_weights: f64,
}

impl Default for Average {
    fn default() -> Self {
        Self { mean: None, squared_weights: 1.0 }
    }
}

impl Average {
    fn push(&mut self, value: f64, lambda: f64) {
        let kept = 1.0 - lambda;
        self.mean = Some(self.mean.map_or(value, |mean| lambda * value + kept * mean));
        self.squared_weights = lambda * lambda + kept * kept * self.squared_weights;
    }

    fn bound(&self, confidence: f64) -> f64 {
        bound(self.squared_weights, confidence)
    }
}

/// McDiarmid's bound on the deviation of a sum of values in [0, 1] with these weights.
fn bound(squared_weights: f64, confidence: f64) -> f64 {
    (squared_weights * (1.0 / confidence).ln() / 2.0).sqrt()
}

/// An average as it was at a cut, and that of what came since.
#[derive(Clone, Copy, Debug, PartialEq, Default, Serialize, Deserialize)]
struct Cut {
    /// The average less, or plus, its bound when the cut was made; `None` before the first.
    level: Option<f64>,
    before: Average,
    since: Average,
}

impl Cut {
    /// How far the average since lies above that before, as a share of what is needed; `None` before there are both.
    fn rise(&self) -> Option<(f64, f64)> {
        let (before, since) = (self.before.mean?, self.since.mean?);
        Some((since - before, self.before.squared_weights + self.since.squared_weights))
    }

    fn has_risen(&self, confidence: f64) -> bool {
        self.rise().is_some_and(|(rise, weights)| rise > bound(weights, confidence))
    }

    fn has_fallen(&self, confidence: f64) -> bool {
        self.rise().is_some_and(|(rise, weights)| -rise > bound(weights, confidence))
    }

    fn move_to(&mut self, level: f64, all: Average) {
        *self = Self { level: Some(level), before: all, since: Average::default() };
    }
}

/// HDDM with the weighted averages test (Frías-Blanco et al., "Online and non-parametric drift detection methods based on
/// Hoeffding's bounds", IEEE TKDE 27(3), 2015).
///
/// As [`HddmA`](super::HddmA), with exponentially weighted averages and McDiarmid's bound `√(Σw²·ln(1/δ)/2)`: quicker,
/// and more often wrong. Half of unchanged streams of 10,000 labels are alarmed at the defaults.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct HddmW {
    settings: HddmWSettings,
    all: Average,
    lowest: Cut,
    highest: Cut,
    changed: bool,
}

impl HddmW {
    /// Nothing seen.
    ///
    /// # Errors
    /// [`BadSetting`] when a parameter is outside its range.
    pub fn new(settings: HddmWSettings) -> Result<Self, BadSetting> {
        confidences(settings.drift_confidence, settings.warning_confidence)?;
        let lambda = settings.lambda;
        require(lambda > 0.0 && lambda < 1.0, "lambda", lambda, "above 0 and below 1")?;
        Ok(Self { settings, ..Self::default() })
    }

    /// Takes in whether a prediction was wrong.
    pub fn observe(&mut self, wrong: bool) -> Signal {
        if self.changed {
            *self = Self { settings: self.settings.clone(), ..Self::default() };
        }
        let HddmWSettings { drift_confidence, warning_confidence, lambda, two_sided } = self.settings;
        let value = f64::from(u8::from(wrong));
        self.all.push(value, lambda);
        let mean = self.all.mean.unwrap_or(value);
        let around = self.all.bound(drift_confidence);
        if self.lowest.level.is_none_or(|level| mean + around < level) {
            self.lowest.move_to(mean + around, self.all);
        } else {
            self.lowest.since.push(value, lambda);
        }
        if self.highest.level.is_none_or(|level| mean - around > level) {
            self.highest.move_to(mean - around, self.all);
        } else {
            self.highest.since.push(value, lambda);
        }
        let found = |confidence| {
            self.lowest.has_risen(confidence) || (two_sided && self.highest.has_fallen(confidence))
        };
        self.changed = found(drift_confidence);
        if self.changed {
            Signal::Change
        } else if found(warning_confidence) {
            Signal::Warning
        } else {
            Signal::Stable
        }
    }
}

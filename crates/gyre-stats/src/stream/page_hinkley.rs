//! How far has the sum of deviations from the mean risen above its lowest point?

use serde::{Deserialize, Serialize};

use super::{BadSetting, Direction, Signal, Unusable, mean::Mean, require, usable};

/// Parameters of [`PageHinkley`]; the defaults are River's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PageHinkleySettings {
    /// Values before anything is said.
    pub min_instances: u32,
    /// Deviation that is tolerated, in the values' own unit, from 0.
    pub delta: f64,
    /// λ: how far the sum must move, in the values' own unit, above 0.
    pub threshold: f64,
    /// What is kept of the sums at each value, in (0, 1].
    pub alpha: f64,
    /// Which changes of the mean count.
    pub direction: Direction,
}

impl Default for PageHinkleySettings {
    fn default() -> Self {
        Self {
            min_instances: 30,
            delta: 0.005,
            threshold: 50.0,
            alpha: 1.0 - 0.0001,
            direction: Direction::Both,
        }
    }
}

/// The Page–Hinkley test (Page, "Continuous inspection schemes", Biometrika 41, 1954) with forgetting.
///
/// `s⁺ ← α·s⁺ + (x − x̄) − δ` rises when the mean does; the test is how far it lies above its lowest value. `s⁻`, with
/// `+ δ`, against its highest value finds falls. Threshold and tolerance are in the values' unit: the defaults suit
/// errors of 0 and 1, and a third of unchanged streams of 10,000 such labels are alarmed all the same.
///
/// Two things are as in River, whose indices of change these are: the highest value of `s⁻` starts at −1, not at −∞, so
/// that a falling mean must move by up to 1 more; and everything starts afresh with the value after a change.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct PageHinkley {
    settings: PageHinkleySettings,
    mean: Mean,
    rise: f64,
    fall: f64,
    /// `None` before the first value.
    lowest_rise: Option<f64>,
    highest_fall: Option<f64>,
    changed: bool,
}

impl PageHinkley {
    /// Nothing seen.
    ///
    /// # Errors
    /// [`BadSetting`] when a parameter is outside its range.
    pub fn new(settings: PageHinkleySettings) -> Result<Self, BadSetting> {
        let PageHinkleySettings { delta, threshold, alpha, .. } = settings;
        require(delta >= 0.0 && delta.is_finite(), "delta", delta, "0 or more, and finite")?;
        let possible = threshold > 0.0 && threshold.is_finite();
        require(possible, "threshold", threshold, "above 0 and finite")?;
        require(alpha > 0.0 && alpha <= 1.0, "alpha", alpha, "above 0, and 1 at most")?;
        Ok(Self { settings, ..Self::default() })
    }

    /// Takes in a value; NaN is passed over.
    ///
    /// # Errors
    /// [`Unusable`] for an infinity or a magnitude above 1e150; the state is then unchanged.
    pub fn observe(&mut self, value: f64) -> Result<Signal, Unusable> {
        if !usable(value)? {
            return Ok(Signal::Stable);
        }
        if self.changed {
            *self = Self { settings: self.settings.clone(), ..Self::default() };
        }
        let PageHinkleySettings { min_instances, delta, threshold, alpha, direction } = self.settings;
        self.mean.push(value);
        let deviation = value - self.mean.mean;
        self.rise = alpha * self.rise + deviation - delta;
        self.fall = alpha * self.fall + deviation + delta;
        let lowest = self.lowest_rise.map_or(self.rise, |lowest| lowest.min(self.rise));
        let highest = self.highest_fall.unwrap_or(-1.0).max(self.fall);
        (self.lowest_rise, self.highest_fall) = (Some(lowest), Some(highest));
        let risen = direction != Direction::Down && self.rise - lowest > threshold;
        let fallen = direction != Direction::Up && highest - self.fall > threshold;
        self.changed = self.mean.count >= f64::from(min_instances) && (risen || fallen);
        Ok(if self.changed { Signal::Change } else { Signal::Stable })
    }
}

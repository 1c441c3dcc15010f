//! Has the mean moved from a known target by about a known amount?

use serde::{Deserialize, Serialize};

use super::{BadSetting, Direction, Signal, Unusable, require, usable};

/// Parameters of [`Cusum`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CusumSettings {
    /// The mean while nothing has changed.
    pub target: f64,
    /// The standard deviation while nothing has changed, above 0: the unit of `k` and `h`.
    pub deviation: f64,
    /// Allowance: half of the shift to be found, in standard deviations, from 0. Usual: 0.5.
    pub k: f64,
    /// Decision interval in standard deviations, above 0. Usual: 4 or 5.
    pub h: f64,
    /// Which changes of the mean count.
    pub direction: Direction,
}

/// The tabular cumulative sum (Page 1954; Montgomery, "Introduction to Statistical Quality Control", §9.1).
///
/// With `z = (x − target)/deviation`: `c⁺ ← max(0, c⁺ + z − k)` and `c⁻ ← max(0, c⁻ − z − k)`; a change is a sum above
/// `h`, after which both start again at 0. For independent normal values and `k` = ½, the two-sided chart alarms
/// falsely every 168 values at `h` = 4 and every 465 at `h` = 5, and finds a shift of one deviation after 8 or 10
/// (there, table 9.3).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cusum {
    settings: CusumSettings,
    above: f64,
    below: f64,
}

impl Cusum {
    /// Both sums at 0.
    ///
    /// # Errors
    /// [`BadSetting`] when a parameter is outside its range.
    pub fn new(settings: CusumSettings) -> Result<Self, BadSetting> {
        let CusumSettings { target, deviation, k, h, .. } = settings;
        require(target.is_finite(), "target", target, "finite")?;
        require(deviation > 0.0 && deviation.is_finite(), "deviation", deviation, "above 0 and finite")?;
        require(k >= 0.0 && k.is_finite(), "k", k, "0 or more, and finite")?;
        require(h > 0.0 && h.is_finite(), "h", h, "above 0 and finite")?;
        Ok(Self { settings, above: 0.0, below: 0.0 })
    }

    /// Takes in a value; NaN is passed over.
    ///
    /// # Errors
    /// [`Unusable`] for an infinity or a magnitude above 1e150; the state is then unchanged.
    pub fn observe(&mut self, value: f64) -> Result<Signal, Unusable> {
        if !usable(value)? {
            return Ok(Signal::Stable);
        }
        let CusumSettings { target, deviation, k, h, direction } = self.settings;
        let z = (value - target) / deviation;
        self.above = (self.above + z - k).clamp(0.0, f64::MAX);
        self.below = (self.below - z - k).clamp(0.0, f64::MAX);
        let risen = direction != Direction::Down && self.above > h;
        let fallen = direction != Direction::Up && self.below > h;
        if risen || fallen {
            (self.above, self.below) = (0.0, 0.0);
            return Ok(Signal::Change);
        }
        Ok(Signal::Stable)
    }

    /// The sums `c⁺` and `c⁻`, in standard deviations.
    #[must_use]
    pub fn sums(&self) -> (f64, f64) {
        (self.above, self.below)
    }
}

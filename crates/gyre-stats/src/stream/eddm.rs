//! Do errors follow one another more closely than they used to?

use serde::{Deserialize, Serialize};

use super::{BadSetting, Signal, mean::Mean, require};

/// Parameters of [`Eddm`]; the defaults are River's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EddmSettings {
    /// Labels, and errors, before anything is said.
    pub warm_start: u32,
    /// Share of the widest distance below which to warn, in (0, 1].
    pub alpha: f64,
    /// Share of the widest distance below which there is a change, in (0, `alpha`].
    pub beta: f64,
}

impl Default for EddmSettings {
    fn default() -> Self {
        Self { warm_start: 30, alpha: 0.95, beta: 0.9 }
    }
}

/// The early drift detection method (Baena-García et al., "Early drift detection method", 2006).
///
/// It follows the distance between errors, in labels: its mean plus twice its standard deviation, against the largest
/// that this sum ever was. Meant for slow changes of low error rates; nine in ten unchanged streams of 10,000 labels with
/// 20 % errors are alarmed.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct Eddm {
    settings: EddmSettings,
    distance: Mean,
    /// Sum of squared deviations of the distances from their mean.
    spread: f64,
    labels: u64,
    last_error: u64,
    widest: Option<f64>,
    warned: bool,
    changed: bool,
}

impl Eddm {
    /// Nothing seen.
    ///
    /// # Errors
    /// [`BadSetting`] when a parameter is outside its range.
    pub fn new(settings: EddmSettings) -> Result<Self, BadSetting> {
        let (alpha, beta) = (settings.alpha, settings.beta);
        require(alpha > 0.0 && alpha <= 1.0, "alpha", alpha, "above 0, and 1 at most")?;
        require(beta > 0.0 && beta <= alpha, "beta", beta, "above 0, and alpha at most")?;
        Ok(Self { settings, ..Self::default() })
    }

    /// Takes in whether a prediction was wrong. A warning stands until an error takes it back.
    pub fn observe(&mut self, wrong: bool) -> Signal {
        if self.changed {
            *self = Self { settings: self.settings.clone(), ..Self::default() };
        }
        self.labels += 1;
        if wrong {
            self.error();
        }
        match (self.changed, self.warned) {
            (true, _) => Signal::Change,
            (false, true) => Signal::Warning,
            (false, false) => Signal::Stable,
        }
    }

    fn error(&mut self) {
        let distance = self.labels.saturating_sub(self.last_error) as f64;
        self.last_error = self.labels;
        let before = self.distance.mean;
        self.distance.push(distance);
        self.spread += (distance - before) * (distance - self.distance.mean);
        let warm = u64::from(self.settings.warm_start);
        if self.labels <= warm {
            return;
        }
        let errors = self.distance.count;
        let variance = if errors > 1.0 { self.spread / (errors - 1.0) } else { 0.0 };
        let width = self.distance.mean + 2.0 * variance.max(0.0).sqrt();
        match self.widest {
            Some(widest) if width <= widest => {
                if errors > warm as f64 {
                    let share = width / widest;
                    self.changed = share < self.settings.beta;
                    self.warned = share < self.settings.alpha;
                }
            }
            _ => self.widest = Some(width),
        }
    }
}

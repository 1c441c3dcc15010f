//! Has the share of right answers in a sliding window fallen from the best that it was?

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{BadSetting, Signal, require};

/// Largest window, which bounds the memory.
const LARGEST_WINDOW: u32 = 1 << 20;

/// Parameters of [`Fhddm`]; the defaults are River's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FhddmSettings {
    /// Labels in the window, 1 to 2²⁰.
    pub sliding_window_size: u32,
    /// Chance of a false alarm when two given windows are compared, in (0, 1).
    pub confidence_level: f64,
    /// Also compare the newest so many labels of the window (stacking windows), 1 to `sliding_window_size`.
    pub short_window_size: Option<u32>,
}

impl Default for FhddmSettings {
    fn default() -> Self {
        Self { sliding_window_size: 100, confidence_level: 1e-6, short_window_size: None }
    }
}

/// The fast Hoeffding drift detection method (Pesaranghader & Viktor, "Fast Hoeffding drift detection method for evolving
/// data streams", ECML PKDD 2016; the short window is FHDDMS of Pesaranghader, Viktor & Paquet 2018).
///
/// It remembers the highest share of ones that the window ever had and fires when the share has fallen from it by more
/// than `√(ln(1/δ)/(2n))`. A one is therefore a *right* answer, as in the paper; River's documentation feeds it errors,
/// with which it finds that a model got better.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct Fhddm {
    settings: FhddmSettings,
    /// The newest labels, oldest first; one fewer than the window's size between two calls.
    window: VecDeque<bool>,
    ones: u64,
    short_ones: u64,
    best: f64,
    best_short: f64,
    changed: bool,
}

impl Fhddm {
    /// An empty window.
    ///
    /// # Errors
    /// [`BadSetting`] when a parameter is outside its range.
    pub fn new(settings: FhddmSettings) -> Result<Self, BadSetting> {
        let (size, level) = (settings.sliding_window_size, settings.confidence_level);
        let sized = (1..=LARGEST_WINDOW).contains(&size);
        require(sized, "sliding_window_size", f64::from(size), "1 to 2^20")?;
        require(level > 0.0 && level < 1.0, "confidence_level", level, "above 0 and below 1")?;
        if let Some(short) = settings.short_window_size {
            let within = (1..=size).contains(&short);
            require(within, "short_window_size", f64::from(short), "1 to sliding_window_size")?;
        }
        Ok(Self { settings, ..Self::default() })
    }

    /// Takes in whether a prediction was right.
    pub fn observe(&mut self, right: bool) -> Signal {
        if self.changed {
            *self = Self { settings: self.settings.clone(), ..Self::default() };
        }
        let size = self.settings.sliding_window_size.max(1) as usize;
        self.window.push_back(right);
        self.ones += u64::from(right);
        if let Some(short) = self.settings.short_window_size {
            self.short_ones += u64::from(right);
            let left = self.window.len().checked_sub(short as usize + 1).and_then(|at| self.window.get(at));
            self.short_ones = self.short_ones.saturating_sub(left.map_or(0, |one| u64::from(*one)));
        }
        if self.window.len() < size {
            return Signal::Stable;
        }
        let log = (1.0 / self.settings.confidence_level).ln();
        let bound = |size: f64| (log / (2.0 * size)).sqrt();
        let share = self.ones as f64 / size as f64;
        self.best = self.best.max(share);
        self.changed = self.best - share > bound(size as f64);
        if let Some(short) = self.settings.short_window_size.map(f64::from) {
            let share = self.short_ones as f64 / short;
            self.best_short = self.best_short.max(share);
            self.changed |= self.best_short - share > bound(short);
        }
        let oldest = self.window.pop_front().map_or(0, u64::from);
        self.ones = self.ones.saturating_sub(oldest);
        if self.settings.short_window_size.is_some_and(|short| short as usize > self.window.len()) {
            self.short_ones = self.short_ones.saturating_sub(oldest);
        }
        if self.changed { Signal::Change } else { Signal::Stable }
    }
}

//! What people do: nothing, or a training now and then, or one at every alarm. None of them looks at what it has trained.

use gyre_core::spec::Window;

use super::{Strategy, Turn, keep, retrain, serving};
use crate::known::{Fit, Known};
use crate::settings::Settings;

/// The first model for ever.
pub struct Never;

impl Strategy for Never {
    fn decide(&mut self, _: &Known<'_>, serves: &[Fit]) -> Turn {
        keep(serves)
    }
}

/// A training after every so many windows.
pub struct Every {
    /// How many.
    pub windows: usize,
}

impl Strategy for Every {
    fn decide(&mut self, known: &Known<'_>, serves: &[Fit]) -> Turn {
        if known.now().is_multiple_of(self.windows.max(1)) { retrain(known, serves) } else { keep(serves) }
    }
}

/// How many windows in a row must have drifted.
const DRIFTED_WINDOWS: u32 = 2;

/// A training when any feature has drifted from what the model was trained on, beyond luck and materially, for two windows in
/// a row: what the drift alarm of production says.
#[derive(Default)]
pub struct OnDrift {
    drifted: u32,
}

impl Strategy for OnDrift {
    fn decide(&mut self, known: &Known<'_>, serves: &[Fit]) -> Turn {
        let drifted = known.drift(serving(serves)).iter().any(|drift| drift.drifted);
        self.drifted = if drifted { self.drifted + 1 } else { 0 };
        if self.drifted < DRIFTED_WINDOWS {
            return keep(serves);
        }
        self.drifted = 0;
        retrain(known, serves)
    }
}

/// A training when a window's loss is worse than promised by more than the tolerance. Luck is not looked at.
pub struct OnDecay {
    tolerance: f64,
    window: Window,
    promised: (Fit, f64),
}

impl OnDecay {
    /// With the tolerance of `settings`; the first model promised a loss of `promised`.
    pub fn new(settings: &Settings, promised: f64) -> Self {
        let first = Fit { at: 0, choice: 0 };
        let window = settings.candidates.first().copied().unwrap_or_default();
        Self { tolerance: settings.tolerance, window, promised: (first, promised) }
    }
}

impl Strategy for OnDecay {
    fn decide(&mut self, known: &Known<'_>, serves: &[Fit]) -> Turn {
        let fit = serving(serves);
        if fit.at > 0 && self.promised.0 != fit {
            let promise = known.promise(fit, Some(self.window));
            self.promised = (fit, promise.map_or(f64::INFINITY, |promise| promise.loss));
        }
        let window = known.window();
        let own = |_: usize, slice: &crate::timeline::Slice| {
            slice.window == window && slice.era.and_then(|era| serves.get(era)) == Some(&fit)
        };
        let realised = known.tally_served(fit, own).measure(known.metric());
        let decayed = realised.is_some_and(|it| it.loss > self.promised.1 * (1.0 + self.tolerance));
        if decayed { retrain(known, serves) } else { keep(serves) }
    }
}

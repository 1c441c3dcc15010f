//! The policies: each a small state machine that is shown, decision by decision, what is known by then.

mod cara;
mod gyre;
mod simple;

use std::fmt;
use std::str::FromStr;

pub use cara::{Cara, Way};
pub use gyre::{Gyre, judgeable};
pub use simple::{Every, Never, OnDecay, OnDrift};

use crate::cost::{Prices, Schedule};
use crate::error::BacktestError;
use crate::known::{Fit, Known, Losses};
use crate::settings::Settings;

/// What a policy does at a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// Who serves from now on.
    pub serve: Fit,
    /// How many models it had trained for that.
    pub trainings: u32,
}

/// A policy under replay.
pub trait Strategy {
    /// Decides on what is known; `serves` says who served after each decision so far.
    fn decide(&mut self, known: &Known<'_>, serves: &[Fit]) -> Turn;
}

/// A policy by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Policy {
    /// The first model for ever.
    Never,
    /// A training after every so many windows, that serves whatever it is worth.
    Every(usize),
    /// A training when features have drifted for two windows in a row.
    Drift,
    /// A training when the loss of a window is worse than promised by more than the tolerance.
    Decay,
    /// Cost-aware retraining (Mahadevan & Mathioudakis 2024).
    Cara(Way),
    /// The controller, as it runs in production.
    Gyre,
    /// The best schedule in hindsight.
    Oracle,
}

impl Policy {
    /// What is compared when nothing else is asked for.
    pub const DEFAULT: [Self; 12] = [
        Self::Never,
        Self::Every(1),
        Self::Every(2),
        Self::Every(4),
        Self::Every(8),
        Self::Drift,
        Self::Decay,
        Self::Cara(Way::Threshold),
        Self::Cara(Way::Cumulative),
        Self::Cara(Way::Periodic),
        Self::Gyre,
        Self::Oracle,
    ];

    /// What it does, in a few words.
    pub const fn what(self) -> &'static str {
        match self {
            Self::Never => "the first model for ever",
            Self::Every(_) => "a training after every so many windows",
            Self::Drift => "a training when features have drifted",
            Self::Decay => "a training when the loss is worse than promised",
            Self::Cara(_) => "cost-aware retraining (Mahadevan & Mathioudakis 2024)",
            Self::Gyre => "the controller, as it runs",
            Self::Oracle => "the best schedule in hindsight",
        }
    }

    /// The policies that `text` names: one, or all three of `cara`.
    ///
    /// # Errors
    /// [`BacktestError::Policy`].
    pub fn named(text: &str) -> Result<Vec<Self>, BacktestError> {
        if text == "cara" {
            return Ok([Way::Threshold, Way::Cumulative, Way::Periodic].map(Self::Cara).to_vec());
        }
        text.parse().map(|policy| vec![policy])
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.write_str("never"),
            Self::Every(windows) => write!(f, "every:{windows}"),
            Self::Drift => f.write_str("drift"),
            Self::Decay => f.write_str("decay"),
            Self::Cara(way) => write!(f, "cara:{way}"),
            Self::Gyre => f.write_str("gyre"),
            Self::Oracle => f.write_str("oracle"),
        }
    }
}

impl FromStr for Policy {
    type Err = BacktestError;

    fn from_str(text: &str) -> Result<Self, BacktestError> {
        let unknown = || BacktestError::Policy { found: text.chars().take(80).collect() };
        Ok(match text {
            "never" => Self::Never,
            "drift" => Self::Drift,
            "decay" => Self::Decay,
            "gyre" => Self::Gyre,
            "oracle" => Self::Oracle,
            "cara:threshold" => Self::Cara(Way::Threshold),
            "cara:cumulative" => Self::Cara(Way::Cumulative),
            "cara:periodic" => Self::Cara(Way::Periodic),
            _ => {
                let windows = text.strip_prefix("every:").and_then(|windows| windows.parse().ok());
                Self::Every(windows.filter(|windows| *windows > 0).ok_or_else(unknown)?)
            }
        })
    }
}

/// Replays `policy`: who serves when, and what was trained for it. `promised` is the first model's loss on withheld rows.
pub fn replay(
    policy: Policy,
    losses: &dyn Losses,
    settings: &Settings,
    prices: &Prices,
    first: Fit,
    promised: f64,
) -> Schedule {
    let mut strategy: Box<dyn Strategy> = match policy {
        Policy::Oracle => return crate::oracle::cheapest(losses, prices, first, settings.candidates.len()),
        Policy::Never => Box::new(Never),
        Policy::Every(windows) => Box::new(Every { windows }),
        Policy::Drift => Box::new(OnDrift::default()),
        Policy::Decay => Box::new(OnDecay::new(settings, promised)),
        Policy::Cara(way) => Box::new(Cara::new(way, settings.cost, promised)),
        Policy::Gyre => Box::new(Gyre::new(settings, &Known::at(losses, 0, settings.metric), first)),
    };
    let mut schedule = Schedule { serves: vec![first], trainings: vec![0] };
    for now in 1..losses.timeline().decisions() {
        let turn = strategy.decide(&Known::at(losses, now, settings.metric), &schedule.serves);
        schedule.serves.push(turn.serve);
        schedule.trainings.push(turn.trainings);
    }
    schedule
}

/// Who serves now.
fn serving(serves: &[Fit]) -> Fit {
    serves.last().copied().unwrap_or(Fit { at: 0, choice: 0 })
}

/// Trains anew on the first of the training windows, and lets it serve; where nothing can be trained everything stays.
fn retrain(known: &Known<'_>, serves: &[Fit]) -> Turn {
    let fit = Fit { at: known.now(), choice: 0 };
    if known.exists(fit) { Turn { serve: fit, trainings: 1 } } else { keep(serves) }
}

fn keep(serves: &[Fit]) -> Turn {
    Turn { serve: serving(serves), trainings: 0 }
}

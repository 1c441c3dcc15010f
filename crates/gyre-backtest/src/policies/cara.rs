//! Cost-aware retraining: Mahadevan & Mathioudakis, "Cost-aware retraining for machine learning", Knowledge-Based Systems, 2024.
//!
//! What a stale model costs on the requests of the moment is estimated from the latest labelled rows, each counted by its likeness
//! to the requests ([`crate::similarity`]); a training has a price of its own. Three rules follow from one parameter each:
//! *threshold* trains when the estimate exceeds it, *cumulative* when the estimates since the last training add up to it,
//! *periodic* after so many windows. The parameter is the one that would have cost least on a first part of the history.
//!
//! What is done otherwise than in the paper, and why: the staleness is a mean times the days of a window, in the currency of the
//! backtest, rather than a sum over queries (the paper's requests come in batches of one size); queries are those of the last
//! window's length before the decision, since those to come are not known; and the parameter is chosen anew at each decision on
//! all that is known by then, instead of once: it never sees the future, and never has less to go by. As in the paper, all models
//! are made for the choice (its costs are not charged), each is trained on the first training window, and none is gated.

use std::fmt;

use gyre_core::spec::Cost;

use super::{Strategy, Turn, keep, retrain};
use crate::known::{Fit, Known};

/// Which rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// When the estimated staleness exceeds a threshold.
    Threshold,
    /// When the estimates since the last training add up to a threshold.
    Cumulative,
    /// After so many windows.
    Periodic,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Threshold => "threshold",
            Self::Cumulative => "cumulative",
            Self::Periodic => "periodic",
        })
    }
}

/// The most values of a threshold that are tried.
const TRIED: usize = 40;

/// One of the three rules under replay.
pub struct Cara {
    way: Way,
    cost: Cost,
    promised: f64,
    last: usize,
    gathered: f64,
}

impl Cara {
    /// With these costs; a day at a loss of `promised` costs `cost.error`.
    pub fn new(way: Way, cost: Cost, promised: f64) -> Self {
        Self { way, cost, promised, last: 0, gathered: 0.0 }
    }

    /// What the model of decision `trained` is estimated to cost over the window that closed at decision `at`.
    fn staleness(&self, known: &Known<'_>, trained: usize, at: usize, days: f64) -> f64 {
        let fit = Fit { at: trained, choice: 0 };
        known.expected(fit, at).map_or(0.0, |loss| loss / self.promised * self.cost.error * days)
    }

    /// The estimates at each decision so far, for each model: `[trained][at − trained]`.
    fn estimates(&self, known: &Known<'_>, days: f64) -> Vec<Vec<f64>> {
        let of_model = |trained: usize| {
            (trained..=known.now()).map(|at| self.staleness(known, trained, at, days)).collect()
        };
        (0..known.now()).map(of_model).collect()
    }

    /// The parameter under which the history so far would have cost least; of several the one with the fewest trainings.
    fn parameter(&self, estimates: &[Vec<f64>], now: usize) -> f64 {
        let mut tried: Vec<f64> = match self.way {
            Way::Periodic => (1..=now).map(|windows| windows as f64).collect(),
            Way::Threshold => estimates.iter().flatten().copied().filter(|value| *value > 0.0).collect(),
            Way::Cumulative => {
                let mut total = 0.0;
                let sums = estimates.first().into_iter().flatten().map(|value| {
                    total += value;
                    total
                });
                sums.collect()
            }
        };
        tried.sort_by(|a, b| b.total_cmp(a));
        let step = tried.len().div_ceil(TRIED).max(1);
        let mut best = (f64::INFINITY, f64::INFINITY);
        for parameter in std::iter::once(f64::INFINITY).chain(tried.into_iter().step_by(step)) {
            let cost = self.strategy_cost(estimates, now, parameter);
            if cost < best.0 {
                best = (cost, parameter);
            }
        }
        best.1
    }

    fn strategy_cost(&self, estimates: &[Vec<f64>], now: usize, parameter: f64) -> f64 {
        let (mut trained, mut gathered, mut total) = (0, 0.0, 0.0);
        for at in 1..=now {
            let staleness = |trained: usize| {
                estimates.get(trained).and_then(|row| row.get(at - trained)).copied().unwrap_or_default()
            };
            let stale = staleness(trained);
            gathered += stale;
            // The window that closes at `at` was served by the model from before.
            total += stale;
            let due = match self.way {
                Way::Threshold => stale > parameter,
                Way::Cumulative => gathered > parameter,
                Way::Periodic => (at - trained) as f64 >= parameter,
            };
            if due && at < now {
                (trained, gathered) = (at, 0.0);
                total += self.cost.retrain;
            }
        }
        total
    }
}

impl Strategy for Cara {
    fn decide(&mut self, known: &Known<'_>, serves: &[Fit]) -> Turn {
        let days = known.window_days();
        let now = known.now();
        let stale = self.staleness(known, self.last, now, days);
        self.gathered += stale;
        let parameter = self.parameter(&self.estimates(known, days), now);
        let due = match self.way {
            Way::Threshold => stale > parameter,
            Way::Cumulative => self.gathered > parameter,
            Way::Periodic => (now - self.last) as f64 >= parameter,
        };
        if !due {
            return keep(serves);
        }
        let turn = retrain(known, serves);
        if turn.trainings > 0 {
            (self.last, self.gathered) = (now, 0.0);
        }
        turn
    }
}

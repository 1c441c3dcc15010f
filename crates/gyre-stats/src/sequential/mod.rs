//! Tests that may be looked at after every request.
//!
//! A rollout is watched while it runs and stopped as soon as something is wrong. Ordinary tests break under that: a z
//! test peeked at every 100 requests calls one healthy canary in six broken. The tests here are *anytime-valid*: the
//! chance that they are *ever* wrong, over the whole rollout and whenever it is stopped, stays below `alpha`.
//!
//! - [`ErrorShare`]: does the candidate fail more often than the champion? Exact.
//! - [`MistakeShare`]: is it wrong more often, once the truth is known? Exact.
//! - [`MeanDifference`]: is the candidate slower, or less accurate, on average? Asymptotic.
//! - [`DistributionShift`]: are its predictions distributed otherwise? Exact.

mod distribution_shift;
mod error_share;
mod mean_difference;
mod mistake_share;

use std::{error::Error, fmt};

use serde::{Deserialize, Serialize};

pub use distribution_shift::DistributionShift;
pub use error_share::ErrorShare;
pub use mean_difference::MeanDifference;
pub use mistake_share::MistakeShare;

/// Which side of a rollout served a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arm {
    /// The version in charge.
    Champion,
    /// The version being tried.
    Candidate,
}

/// An observation that cannot have happened: an arm answered that had no traffic, or a number is not finite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Impossible {
    /// The arm that answered.
    pub arm: Arm,
    /// The traffic share of the candidate that was given with it.
    pub weight: f64,
    /// The value that was given with it (1 for an error).
    pub value: f64,
}

impl fmt::Display for Impossible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the {} answered with value {} while the candidate's share of traffic was {}; expected a finite value and \
             a share that gives this arm traffic: pass the share at which the request was routed",
            match self.arm {
                Arm::Champion => "champion",
                Arm::Candidate => "candidate",
            },
            self.value,
            self.weight
        )
    }
}

impl Error for Impossible {}

/// Refuses what cannot have happened; the share must lie in (0, 1) or be 1 or 0 in favour of the arm.
fn possible(arm: Arm, weight: f64, value: f64) -> Result<(), Impossible> {
    let routed = match arm {
        Arm::Champion => (0.0..1.0).contains(&weight),
        Arm::Candidate => weight > 0.0 && weight <= 1.0,
    };
    if routed && value.is_finite() { Ok(()) } else { Err(Impossible { arm, weight, value }) }
}

/// Logarithm of the mean of the exponentials, without overflow.
fn log_mean_exp(logs: &[f64]) -> f64 {
    let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logs.iter().map(|log| (log - largest).exp()).sum();
    largest + (sum / logs.len() as f64).ln()
}

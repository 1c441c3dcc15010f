//! Estimates of a classifier's performance before its labels arrive.
//!
//! Labels come late: whether a loan is repaid is known in a year. Until then the model's own probabilities say how often it
//! is right, if they are honest: of rows scored 0.8, decided "yes", eight in ten are right. So the way is: correct the
//! probabilities on reference rows whose labels are known ([`Calibration`], by [`Isotonic`] regression), then take each
//! metric's expectation under them ([`binary`], [`multiclass`]). The field calls it CBPE, confidence-based performance
//! estimation. When labels do arrive, [`Hindsight`] keeps how far the estimates were off.
//!
//! **What it cannot see.** The estimate assumes that a score still means what it meant on the reference. It follows changes
//! of the inputs that the score reflects (more hard cases: lower accuracy). It is blind, by construction, to a change of how
//! labels follow from inputs (concept drift): the model stays as sure of itself as before. An estimate that stays flat is
//! therefore no proof of health; realised metrics are, once there are labels.
//!
//! **What the errors mean.** With estimated probability p of a row's label and derivative d of the metric by p, to first
//! order (delta method):
//! - *sampling*: labels of this window are a draw, so the metric that comes true scatters around its expectation with
//!   variance Σ p(1−p)·d²;
//! - *calibration*: the curve rests on finitely many labels. An error of a [`Level`] moves all rows of the window that fall
//!   into it together: variance Σ over levels (Σ d)²·variance/rows.
//!
//! The interval is for the metric *that will come true on these very rows*, and holds as far as the assumption does.
//!
//! Everything takes a weight a row, so that a reference can be made to look like the window first (PAPE, in `gyre-estimate`).

use std::{error::Error, fmt};

use serde::{Deserialize, Serialize};

mod area;
mod binary;
mod calibration;
mod hindsight;
mod isotonic;
mod multiclass;

pub use binary::{BinaryEstimates, BinaryRows, ExpectedConfusion, binary};
pub use calibration::{Calibration, CalibrationCheck, MINIMUM_ROWS, expected_calibration_error};
pub use hindsight::Hindsight;
pub use isotonic::{Isotonic, Level};
pub use multiclass::{MulticlassCalibration, MulticlassEstimates, MulticlassRows, multiclass};

use crate::{performance::InputError, proportion::Interval, special::normal_critical};

/// Number of rows that were left out.
pub type Skipped = u64;

/// A metric as it is expected to come true.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Expected {
    /// The expectation.
    pub value: f64,
    /// Standard deviation of what comes true around it, since labels are a draw.
    pub sampling_error: f64,
    /// Standard error from the finite reference; `None` when scores were taken as they are, without a reference.
    pub calibration_error: Option<f64>,
    /// The largest value that the metric can take; `None` when there is none.
    pub largest: Option<f64>,
    /// Rows that it rests on.
    pub rows: u64,
}

impl Expected {
    /// A metric from its variances.
    fn of(value: f64, spread: Spread, largest: Option<f64>, rows: u64) -> Self {
        let calibration_error = spread.calibration.map(|variance| variance.max(0.0).sqrt());
        Self { value, sampling_error: spread.sampling.max(0.0).sqrt(), calibration_error, largest, rows }
    }

    /// The expectation of a mean of independent losses, from its parts; for estimates that are made elsewhere. The smallest
    /// value is 0.
    #[must_use]
    pub fn of_loss(value: f64, sampling_error: f64, calibration_error: f64, rows: u64) -> Self {
        Self { value, sampling_error, calibration_error: Some(calibration_error), largest: None, rows }
    }

    /// The other side of a share: error rate of accuracy.
    fn complement(self) -> Self {
        Self { value: 1.0 - self.value, ..self }
    }

    /// Both errors together.
    #[must_use]
    pub fn standard_error(&self) -> f64 {
        self.sampling_error.hypot(self.calibration_error.unwrap_or(0.0))
    }

    /// Where the metric will come true with probability `level`, by the normal distribution, cut to possible values.
    #[must_use]
    pub fn interval(&self, level: f64) -> Interval {
        let half = normal_critical(level) * self.standard_error();
        let upper = self.value + half;
        Interval {
            lower: (self.value - half).max(0.0),
            upper: self.largest.map_or(upper, |largest| upper.min(largest)),
            level,
        }
    }
}

/// Why a metric has no estimate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undefined {
    /// No row can be used.
    NoRows,
    /// No positive label is expected.
    NoPositives,
    /// No negative label is expected.
    NoNegatives,
    /// No positive decision was made.
    NoPositiveDecisions,
    /// Of one class among several, all rows or none are expected.
    OneClass {
        /// The class.
        class: usize,
    },
}

impl fmt::Display for Undefined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRows => f.write_str("no row can be used"),
            Self::NoPositives => f.write_str("no positive label is expected"),
            Self::NoNegatives => f.write_str("no negative label is expected"),
            Self::NoPositiveDecisions => f.write_str("no positive decision was made"),
            Self::OneClass { class } => write!(f, "of class {class} all rows or none are expected"),
        }
    }
}

impl Error for Undefined {}

/// Why nothing was fitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FitError {
    /// The slices do not fit together.
    Input(InputError),
    /// No row can be used.
    NoRows,
    /// Too few rows to tell whether scores are honest; [`MINIMUM_ROWS`] are needed.
    TooFewRows {
        /// Usable rows.
        rows: u64,
    },
    /// All labels are the same, so that nothing is learnt of what scores mean.
    OneClass,
}

impl fmt::Display for FitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(error) => error.fmt(f),
            Self::NoRows => f.write_str("no reference row has a score, a label and a weight"),
            Self::TooFewRows { rows } => {
                write!(f, "{rows} usable reference rows; at least {MINIMUM_ROWS} are needed")
            }
            Self::OneClass => {
                f.write_str("all reference labels are the same; rows of both classes are needed")
            }
        }
    }
}

impl Error for FitError {}

impl From<InputError> for FitError {
    fn from(error: InputError) -> Self {
        Self::Input(error)
    }
}

/// Variances of a metric.
#[derive(Clone, Copy, Debug)]
struct Spread {
    sampling: f64,
    calibration: Option<f64>,
}

fn same_length(expected: usize, found: usize) -> Result<(), InputError> {
    if expected == found { Ok(()) } else { Err(InputError::Lengths { expected, found }) }
}

/// The weight of a row: 1 without weights, 0 for what is none.
fn weight_of(weights: Option<&[f64]>, row: usize) -> f64 {
    weights.map_or(1.0, |weights| {
        weights.get(row).copied().filter(|weight| weight.is_finite() && *weight > 0.0).unwrap_or(0.0)
    })
}

/// −ln of a probability, kept as far from 0 and 1 as realised log losses are.
fn surprise(probability: f64) -> f64 {
    -probability.clamp(f64::EPSILON, 1.0 - f64::EPSILON).ln()
}

/// Parts of a cross-fit.
const PARTS: u8 = 5;

/// The part of a cross-fit that a row is withheld from: SplitMix64 of its index (Steele et al. 2014), so that no period in
/// the order of the rows becomes a pattern of the parts.
fn part_of(row: usize) -> u8 {
    let z = (row as u64).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) % u64::from(PARTS)) as u8
}

//! Performance: how wrong is a model, and is one model better than another on the same rows?
//!
//! Accumulators take a row at a time, merge, and give each metric with its standard error. Comparisons are *paired* (both
//! models on the same rows) and *clustered* (rows of one day share its weather; a hundred thousand rows of ten days are
//! nearer to ten observations than to a hundred thousand).

use std::{error::Error, fmt};

use serde::{Deserialize, Serialize};

mod auc;
mod classification;
mod clustered;
mod regression;
mod shortfall;

pub use auc::auc;
pub use classification::{BinaryStats, MulticlassStats};
pub use clustered::{
    ClusteredMean, MINIMUM_CLUSTERS, MINIMUM_ROWS, Outcome, PairedDifference, Shortage, clustered_mean,
    p_above_reference, paired, student_interval,
};
pub use regression::RegressionStats;
pub use shortfall::expected_shortfall;

use crate::moments::Moments;

/// A metric, as estimated from rows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The estimate.
    pub value: f64,
    /// Its standard error if rows are independent; `None` where one row, or none of one class, leaves it unknown.
    pub standard_error: Option<f64>,
    /// Rows that it rests on.
    pub rows: u64,
}

impl Estimate {
    fn of_mean(moments: &Moments) -> Option<Self> {
        Some(Self { value: moments.mean()?, standard_error: moments.standard_error(), rows: moments.count() })
    }

    fn of_share(share: crate::proportion::Proportion) -> Option<Self> {
        let (value, rows) = (share.value()?, share.trials());
        let standard_error = (rows > 1).then(|| (value * (1.0 - value) / rows as f64).sqrt());
        Some(Self { value, standard_error, rows })
    }
}

/// Input that does not fit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputError {
    /// Slices that describe the same rows have different lengths.
    Lengths {
        /// Length of the first.
        expected: usize,
        /// Length of the one that differs.
        found: usize,
    },
    /// A row has NaN or an infinity.
    NotFinite {
        /// Its index.
        row: usize,
    },
    /// A class index at or beyond the number of classes.
    UnknownClass {
        /// The index.
        found: usize,
        /// The number of classes.
        classes: usize,
    },
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lengths { expected, found } => {
                write!(
                    f,
                    "slices of {expected} and {found} rows; expected one entry for each row in all of them"
                )
            }
            Self::NotFinite { row } => {
                write!(
                    f,
                    "row {row} is NaN or infinite; expected a finite number: leave out rows without a value"
                )
            }
            Self::UnknownClass { found, classes } => {
                write!(f, "class {found} of {classes}; expected an index below {classes}")
            }
        }
    }
}

impl Error for InputError {}

fn same_length(expected: usize, found: usize) -> Result<(), InputError> {
    if expected == found { Ok(()) } else { Err(InputError::Lengths { expected, found }) }
}

fn all_finite(values: &[f64]) -> Result<(), InputError> {
    values
        .iter()
        .position(|value| !value.is_finite())
        .map_or(Ok(()), |row| Err(InputError::NotFinite { row }))
}

//! Performance before labels arrive, where that needs a learner.
//!
//! `gyre_stats::estimate` reads a classifier's performance off its own scores. That is not enough twice: a regression has no
//! scores that say how sure it is, and a classifier's scores may mean something else for rows that the reference has few of.
//! This room learns what is missing, with the trees of `gyre-baseline`:
//!
//! - [`DirectLoss`] (DLE, direct loss estimation): a regression's error of each row, learnt from features and prediction.
//! - [`Pape`] (performance-adaptive estimation): what scores mean *in this window*. Reference rows are weighted until they look
//!   like the window, and scores are calibrated on them.
//!
//! [`Estimator`] is what a model version keeps of them: the one that fits its task, behind one question, what its metric
//! will be.
//!
//! Both are fitted on reference rows with labels that the model was not trained on, are stored with the model version
//! (`Serialize`), and give [`Expected`](gyre_stats::estimate::Expected) metrics with the errors that its documentation
//! explains.
//!
//! Both see a change of the *inputs*, and are blind to a change of how labels follow from inputs (concept drift), as every
//! method without labels is.
//!
//! Invariants: no I/O, no clock, no thread; the same rows and options give the same numbers. Memory is bounded by the rows that
//! are passed in, stored state by the options.
#![cfg_attr(test, allow(clippy::unwrap_used))]

use gyre_baseline::TrainError;
use gyre_runtime::{ScoreError, TableError};
use gyre_stats::{
    estimate::{FitError, Undefined},
    performance::InputError,
};

mod blend;
mod columns;
mod density;
mod direct;
mod estimator;
mod learner;
mod pape;
mod rows;

pub use density::Likeness;
pub use direct::{DirectLoss, DirectOptions, ExpectedLosses};
pub use estimator::{Answered, EstimatedMetric, Estimator, Method};
pub use pape::{Adapted, Pape, PapeOptions};

/// Why there is no estimate.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum EstimateError {
    /// Slices that describe the same rows differ in length, or a class is unknown.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The reference cannot be calibrated on.
    #[error(transparent)]
    Fit(#[from] FitError),
    /// Columns do not form a table; a feature may have the name of a column that is added, `(prediction)` or `(score …)`.
    #[error(transparent)]
    Table(#[from] TableError),
    /// Nothing can be learnt from the rows.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// The window's rows do not fit what was learnt.
    #[error(transparent)]
    Score(#[from] ScoreError),
    /// A column of the reference is not in the window.
    #[error("column {0:?} of the reference is missing")]
    MissingColumn(String),
    /// A column of the window has other values than in the reference.
    #[error("column {column:?} is {found}, expected {expected} as in the reference")]
    Kind {
        /// The column.
        column: String,
        /// What it holds.
        found: &'static str,
        /// What it should.
        expected: &'static str,
    },
    /// The window's rows leave nothing to say.
    #[error("nothing can be expected: {0}")]
    Undefined(Undefined),
    /// Too few rows to learn from.
    #[error("{found} usable rows in the {place}; at least {needed} are needed")]
    TooFewRows {
        /// "reference" or "window".
        place: &'static str,
        /// Usable rows.
        found: usize,
        /// Needed rows.
        needed: usize,
    },
    /// What was stored cannot be read.
    #[error("the stored estimator cannot be read: {0}; fit it again")]
    Stored(String),
    /// The estimator was fitted for another kind of model.
    #[error("the estimator is for {expected}; it was asked about {found}")]
    Task {
        /// What it is for.
        expected: &'static str,
        /// What was asked.
        found: &'static str,
    },
}

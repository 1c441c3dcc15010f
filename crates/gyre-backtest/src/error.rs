//! Why a backtest cannot be made.

use gyre_data::files::FileError;
use gyre_data::table::TableError;

/// Why a backtest cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum BacktestError {
    /// The history cannot be read as asked.
    #[error(transparent)]
    Table(#[from] TableError),
    /// What was computed cannot be kept.
    #[error(transparent)]
    File(#[from] FileError),
    /// The columns do not fit together.
    #[error("{0}")]
    Columns(String),
    /// More rows than are held in memory.
    #[error("the history has more than {rows} rows; backtest a sample or a shorter period of it")]
    TooLong {
        /// The most.
        rows: usize,
    },
    /// Too little time for a single decision.
    #[error(
        "the history spans {days:.1} days; with a warm-up of {warm_up} and windows of {window} at least {needed:.1} are needed: {remedy}"
    )]
    TooShort {
        /// Days that it spans.
        days: f64,
        /// What comes before the first window.
        warm_up: gyre_core::Span,
        /// A window's length.
        window: gyre_core::Span,
        /// Days that are needed.
        needed: f64,
        /// What to do.
        remedy: &'static str,
    },
    /// The first model, which all policies begin with, could not be trained or promises nothing.
    #[error("the first model, trained as of {as_of}, {reason}")]
    First {
        /// As of when.
        as_of: gyre_core::Timestamp,
        /// What is wrong.
        reason: String,
    },
    /// No such policy.
    #[error("there is no policy `{found}`; expected never, every:N, drift, decay, cara, gyre or oracle")]
    Policy {
        /// What was found.
        found: String,
    },
    /// A setting that nothing can be computed with.
    #[error("{name} is {found}; expected {expected}")]
    Setting {
        /// Which.
        name: &'static str,
        /// What it is.
        found: String,
        /// What it should be.
        expected: &'static str,
    },
}

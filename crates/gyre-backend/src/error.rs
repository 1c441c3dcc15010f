//! What can go wrong on the way to a model that lives elsewhere, each with its place and what to do.
//!
//! One error may go to all callers that shared a call, so errors are cheap to clone.

use std::time::Duration;

/// Why rows were not predicted, or a request was not passed on.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// The rows are not what the model takes. Asking again would not help.
    #[error("the rows do not fit the model: {0}")]
    Input(String),
    /// Too much is waiting already, or would have to wait past its deadline. Nothing was sent to the model.
    #[error("the model is busy: {why}; try again in {:.1} s", retry_after.as_secs_f64())]
    Overloaded {
        /// What is full.
        why: &'static str,
        /// When there should be room again.
        retry_after: Duration,
    },
    /// The deadline passed.
    #[error("no answer within the deadline, {while_}")]
    Deadline {
        /// What was being waited for.
        while_: &'static str,
    },
    /// The model's process fails again and again, or its URL cannot be reached.
    #[error("the model is not available: {reason}")]
    Unavailable {
        /// Why.
        reason: String,
        /// When it is tried again, where that is known.
        retry_after: Option<Duration>,
    },
    /// The backend is being, or has been, stopped.
    #[error("the model is stopped; it takes no more requests")]
    Stopped,
    /// The connection ended before the answer, also when it was tried again: the server crashed, or closed it.
    #[error("the model's server broke the connection off before its answer was complete: {0}")]
    Lost(String),
    /// The model server answered with an error.
    #[error("the model's server answered {status}: {message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Its message, cut short.
        message: String,
    },
    /// The model server's answer is not what the signature promises.
    #[error("the model's answer cannot be used: {0}")]
    Answer(#[from] AnswerError),
    /// The URL is not among those that this server may reach.
    #[error("{0}")]
    Forbidden(String),
    /// What was specified cannot work.
    #[error("the model's back end is specified wrongly: {0}")]
    Spec(String),
}

impl BackendError {
    /// Whether one row of several may be to blame, so that it is worth asking again without it.
    pub(crate) fn may_be_one_row(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Answer(_) | Self::Input(_))
    }
}

/// What is wrong with an answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// Longer than is read.
    #[error("it is larger than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// Not the protocol's format.
    #[error("it is not in the format of the protocol: {0}")]
    Format(String),
    /// Too few or too many rows.
    #[error("{found} rows came back for {expected}")]
    Rows {
        /// Rows in the answer.
        found: usize,
        /// Rows asked for.
        expected: usize,
    },
    /// None of the outputs can be the prediction.
    #[error("expected {expected}, found {found}")]
    Outputs {
        /// What the signature promises.
        expected: String,
        /// Names and shapes of what came.
        found: String,
    },
    /// NaN or infinity.
    #[error("row {row} is {value}")]
    NonFinite {
        /// The first such row of the caller, from zero.
        row: usize,
        /// Its value.
        value: f64,
    },
    /// A class that the signature does not have.
    #[error("row {row} is of class {found:?}, which the signature does not have (it has {expected})")]
    UnknownClass {
        /// The first such row of the caller, from zero.
        row: usize,
        /// The class.
        found: String,
        /// The signature's classes.
        expected: String,
    },
    /// A probability outside of 0 to 1.
    #[error("row {row} has the probability {value}")]
    Probability {
        /// The first such row of the caller, from zero.
        row: usize,
        /// Its value.
        value: f64,
    },
}

//! How a run can fail.

use std::time::Duration;

use gyre_data::dvc::DvcError;
use gyre_data::files::FileError;

/// A run that failed.
#[derive(Debug)]
pub struct PipelineError {
    /// The stage that failed; none when the run could not begin.
    pub stage: Option<String>,
    /// What went wrong.
    pub failure: Failure,
    /// The end of what the commands printed.
    pub log: String,
}

impl std::fmt::Display for PipelineError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.stage {
            Some(stage) => write!(f, "stage `{stage}`: {}", self.failure),
            None => self.failure.fmt(f),
        }
    }
}

impl std::error::Error for PipelineError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.failure)
    }
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command said so.
    #[error("the command failed with exit code {0}")]
    Exit(i32),
    /// The command was killed by somebody else.
    #[error("the command was killed by signal {0}")]
    Signal(i32),
    /// The run took too long and was stopped.
    #[error("the command was stopped: the run took longer than {} s", .0.as_secs_f64())]
    Timeout(Duration),
    /// The run was stopped on request.
    #[error("the command was stopped on request")]
    Stopped,
    /// The command succeeded but did not make what it was to make.
    #[error("the output `{0}` is missing after the command succeeded")]
    MissingOutput(String),
    /// A frozen stage is not run, so nothing can make its output.
    #[error(
        "the output `{0}` is missing, and the stage is frozen (bring it with `dvc pull`, or unfreeze the stage)"
    )]
    FrozenOutput(String),
    /// Nothing to read.
    #[error("the dependency `{0}` does not exist")]
    MissingDependency(String),
    /// Nowhere to run.
    #[error("the directory `{0}` (`wdir`) does not exist")]
    NoDirectory(String),
    /// A parameter cannot be read.
    #[error("{0}")]
    Params(String),
    /// `dvc.lock` cannot be read or written.
    #[error("{0}")]
    LockFile(String),
    /// A stage that does not exist was asked for.
    #[error("there is no stage `{target}`{}", nearest.as_ref().map_or(String::new(), |name| format!("; did you mean `{name}`?")))]
    UnknownTarget {
        /// What was asked for.
        target: String,
        /// The nearest name that exists.
        nearest: Option<String>,
    },
    /// The command could not be started.
    #[error("the command could not be started: {0}")]
    Start(String),
    /// Repository or cache.
    #[error(transparent)]
    Dvc(#[from] DvcError),
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
}

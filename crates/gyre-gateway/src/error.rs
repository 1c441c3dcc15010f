//! What can go wrong, in words that a caller can act on, and typed so that each protocol finds its own code for it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use gyre_backend::BackendError;
use gyre_core::record::Kind;
use gyre_core::spec::Odd;
use gyre_core::{ModelName, Version};
use gyre_onnxruntime::AskError;
use gyre_runtime::{ScoreError, SignatureError};
use gyre_store::StoreError;

/// Whose fault a failed request is: what a protocol turns into its own status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// There is no such model or version (HTTP 404).
    NotFound,
    /// The request is wrong; sending it again will not help (HTTP 400).
    BadRequest,
    /// The model is there but takes no traffic yet (HTTP 503).
    Unavailable,
    /// The model failed (HTTP 500).
    Failed,
    /// Too much is asked at once; later it will do (HTTP 429).
    Busy,
    /// There was no answer in time (HTTP 504).
    Late,
}

/// Why a request was not answered.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum InferError {
    /// No such model.
    #[error("there is no model `{model}`{}", hint(.nearest))]
    UnknownModel {
        /// The name asked for.
        model: String,
        /// The nearest name that exists.
        nearest: Option<String>,
    },
    /// No such version of the model.
    #[error("version {version} of {model} is not loaded; loaded: {}", list(.loaded))]
    UnknownVersion {
        /// The model.
        model: ModelName,
        /// The version asked for.
        version: Version,
        /// The versions that are.
        loaded: Vec<Version>,
    },
    /// No version takes traffic.
    #[error("{0} has no version that takes traffic yet: promote one, or name a version in the request")]
    NoTraffic(ModelName),
    /// The request does not fit the version that would have answered it.
    #[error("{model} (version {version}): {refusal}")]
    Refused {
        /// The model.
        model: ModelName,
        /// The version whose signature counts.
        version: Version,
        /// What does not fit.
        refusal: Refusal,
    },
    /// The model failed on a request that fits its signature.
    #[error("{model} (version {version}) failed: {error}")]
    Model {
        /// The model.
        model: ModelName,
        /// The version.
        version: Version,
        /// How.
        error: AskError,
    },
    /// The version's predictions cannot be taken apart.
    #[error("{model} (version {version}) cannot be explained: {reason}")]
    Unexplained {
        /// The model.
        model: ModelName,
        /// The version.
        version: Version,
        /// Why not.
        reason: String,
    },
    /// Nothing is passed on there.
    #[error("{model} (version {version}): {reason}")]
    NotPassed {
        /// The model.
        model: ModelName,
        /// The version.
        version: Version,
        /// Why not.
        reason: String,
    },
    /// A model that runs outside our process did not answer.
    #[error("{model} (version {version}): {error}")]
    Elsewhere {
        /// The model.
        model: ModelName,
        /// The version.
        version: Version,
        /// Why not.
        error: BackendError,
    },
}

impl InferError {
    /// Whether it speaks against the version, rather than against the request or its moment.
    pub fn blames_the_model(&self) -> bool {
        match self {
            Self::Model { error, .. } => !matches!(error, AskError::Busy(_)),
            Self::Elsewhere { error, .. } => blames_the_model(error),
            _ => false,
        }
    }

    /// Whether the request was good, and not answered all the same.
    pub fn is_failure(&self) -> bool {
        matches!(self.status(), Status::Unavailable | Status::Failed | Status::Busy | Status::Late)
    }

    /// Whose fault it is.
    pub fn status(&self) -> Status {
        match self {
            Self::UnknownModel { .. } | Self::UnknownVersion { .. } | Self::NotPassed { .. } => {
                Status::NotFound
            }
            Self::NoTraffic(_) => Status::Unavailable,
            Self::Refused { .. } | Self::Unexplained { .. } => Status::BadRequest,
            Self::Model { error, .. } => match error {
                AskError::Busy(_) => Status::Busy,
                AskError::Late(_) => Status::Late,
                AskError::Score(_) | AskError::Failed(_) => Status::Failed,
            },
            Self::Elsewhere { error, .. } => match error {
                BackendError::Input(_) => Status::BadRequest,
                BackendError::Refused { status: 400 | 422, .. } => Status::BadRequest,
                BackendError::Overloaded { .. } => Status::Busy,
                BackendError::Deadline { .. } => Status::Late,
                BackendError::Unavailable { .. } | BackendError::Stopped => Status::Unavailable,
                _ => Status::Failed,
            },
        }
    }
}

/// A model that is too slow, gone or wrong is to blame; rows that it refuses and a queue that is full are not its fault.
pub(crate) fn blames_the_model(error: &BackendError) -> bool {
    !matches!(
        error,
        BackendError::Input(_)
            | BackendError::Refused { status: 400 | 422, .. }
            | BackendError::Overloaded { .. }
            | BackendError::Stopped
    )
}

/// What is wrong with a request.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// No rows.
    #[error("the request has no rows: send at least one id")]
    Empty,
    /// An id that cannot join a label.
    #[error("row {row}: an id of {found} bytes; expected 1 to {limit}")]
    Id {
        /// The row, counted from 0.
        row: usize,
        /// The id's length.
        found: usize,
        /// The longest allowed.
        limit: usize,
    },
    /// A key that cannot assign anybody.
    #[error("a key of {found} bytes; expected 1 to {limit}")]
    Key {
        /// The key's length.
        found: usize,
        /// The longest allowed.
        limit: usize,
    },
    /// A feature of the model was not given.
    #[error("feature `{feature}` is missing{}", .given.as_ref().map_or(String::new(), |given| format!("; is `{given}` it?")))]
    Missing {
        /// The feature.
        feature: String,
        /// A name that was given and is near it.
        given: Option<String>,
    },
    /// Something was given that no loaded version of the model knows.
    #[error("`{feature}` is not a feature{}", hint(.nearest))]
    Unexpected {
        /// The name given.
        feature: String,
        /// The nearest feature.
        nearest: Option<String>,
    },
    /// A feature was given twice.
    #[error("feature `{0}` is given twice")]
    Twice(String),
    /// A feature of the wrong kind.
    #[error("feature `{feature}` is {found}, expected {}", kind(*.expected))]
    Kind {
        /// The feature.
        feature: String,
        /// What was given.
        found: &'static str,
        /// What the signature says.
        expected: Kind,
    },
    /// A feature with too few or too many values.
    #[error("feature `{feature}` has {found} values for {expected} rows")]
    Length {
        /// The feature.
        feature: String,
        /// Values given.
        found: usize,
        /// Rows.
        expected: usize,
    },
    /// NaN or an infinity.
    #[error(
        "feature `{feature}`, row {row}: {value} is not a number that can be used; send null where there is none"
    )]
    NotFinite {
        /// The feature.
        feature: String,
        /// The row, counted from 0.
        row: usize,
        /// What was given.
        value: f64,
    },
    /// A value that the model cannot take, such as a fraction where it takes whole numbers.
    #[error("{0}")]
    Value(ScoreError),
    /// A value that the version's rules reject: see [`FeatureRules`](crate::FeatureRules).
    #[error(transparent)]
    Odd(Box<Rejected>),
}

/// A value that the version's rules reject.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("feature `{feature}`, row {row}: {}; expected {expected}{}{}{}{}", oddly(*.odd, .found),
    if *.declared { "" } else { ", as in training" }, hint(.nearest),
    if *.unknown { "; it is to be imputed, and there is nothing to put in its place: say `impute: VALUE` in gyre.yaml" } else { "" },
    if *.more == 0 { String::new() } else { format!("; {} more are refused too", .more) })]
pub struct Rejected {
    /// The feature.
    pub feature: String,
    /// The first row with such a value, counted from 0.
    pub row: usize,
    /// What is odd about it.
    pub odd: Odd,
    /// The value, cut when it is long.
    pub found: String,
    /// What is expected.
    pub expected: String,
    /// Whether `gyre.yaml` says so; otherwise it was so in training.
    pub declared: bool,
    /// A value that is known and near.
    pub nearest: Option<String>,
    /// Whether it was to be replaced, and nobody said by what.
    pub unknown: bool,
    /// How many more values of the request are refused.
    pub more: usize,
}

/// Why a version could not be loaded. What serves is untouched.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LoadError {
    /// Not a model that can be run in process.
    #[error("version {version} of {model} cannot be loaded: {error}")]
    Model {
        /// The model.
        model: ModelName,
        /// The version.
        version: Version,
        /// Why not.
        error: gyre_onnxruntime::LoadError,
    },
    /// Its inputs or outputs are not understood.
    #[error("version {version} of {model} cannot be served: {error}")]
    Ports {
        /// The model.
        model: ModelName,
        /// The version.
        version: Version,
        /// Why not.
        error: SignatureError,
    },
    /// The model is not what its signature says.
    #[error("version {version} of {model} contradicts its signature: {problem}")]
    Signature {
        /// The model.
        model: ModelName,
        /// The version.
        version: Version,
        /// Where.
        problem: String,
    },
    /// It was loaded, and its first run failed.
    #[error("version {version} of {model} does not run: {error}")]
    Warmup {
        /// The model.
        model: ModelName,
        /// The version.
        version: Version,
        /// How.
        error: AskError,
    },
    /// Its process does not come up, or its URL cannot be reached.
    #[error("version {version} of {model} does not answer: {error}")]
    Elsewhere {
        /// The model.
        model: ModelName,
        /// The version.
        version: Version,
        /// Why not.
        error: BackendError,
    },
    /// The version is loaded already, from other bytes.
    #[error(
        "version {version} of {model} is loaded already with other bytes; versions never change: register a new one"
    )]
    Changed {
        /// The model.
        model: ModelName,
        /// The version.
        version: Version,
    },
    /// Its inference log cannot be opened.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// Why traffic could not be moved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrafficError {
    /// A candidate cannot be asked beside the champion.
    #[error(
        "{model}: no thread can be had to ask the candidate beside the champion: {error}; fewer models may help"
    )]
    Shadow {
        /// The model.
        model: ModelName,
        /// What the system said.
        error: String,
    },
    /// A version that was named is not loaded.
    #[error("version {version} of {model} is not loaded; load it before it takes traffic")]
    NotLoaded {
        /// The model.
        model: ModelName,
        /// The version.
        version: Version,
    },
    /// Shares that are not a whole.
    #[error("the shares of {model} add up to {found} hundredths of a percent, expected 10000")]
    Sum {
        /// The model.
        model: ModelName,
        /// Their sum.
        found: u64,
    },
    /// A version with two shares.
    #[error("version {version} of {model} is given two shares")]
    Twice {
        /// The model.
        model: ModelName,
        /// The version.
        version: Version,
    },
    /// A version that still serves.
    #[error("version {version} of {model} takes traffic: move the traffic away before unloading it")]
    InUse {
        /// The model.
        model: ModelName,
        /// The version.
        version: Version,
    },
}

/// Why the inference log did not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LogError {
    /// The disk has no room left.
    #[error(
        "the disk is full: {} could not be written; what was acknowledged before is safe. Free some space and try again",
        .0.display()
    )]
    Full(PathBuf),
    /// The file system refused.
    #[error("cannot {doing} {}: {error}", .path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// Why not.
        error: Arc<std::io::Error>,
    },
    /// A file is not what was written.
    #[error("{} is damaged: {reason}. Restore it from a backup", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How.
        reason: String,
    },
    /// A segment could not be encoded.
    #[error("cannot encode a segment of {model}: {reason}")]
    Encode {
        /// The model.
        model: ModelName,
        /// Why not.
        reason: String,
    },
    /// The journal refused.
    #[error(transparent)]
    Store(Arc<StoreError>),
    /// No such model.
    #[error("there is no inference log of `{model}`{}", hint(.nearest))]
    UnknownModel {
        /// The name asked for.
        model: String,
        /// The nearest name that exists.
        nearest: Option<String>,
    },
    /// A label that says nothing.
    #[error("the label of `{id}` is {found}; expected a finite number, true or false, or text")]
    Label {
        /// The prediction's id.
        id: String,
        /// What was given.
        found: String,
    },
    /// The writing thread is gone.
    #[error("the inference log is closed")]
    Closed,
}

impl LogError {
    pub(crate) fn io(doing: &'static str, path: &Path, error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::StorageFull {
            return Self::Full(path.to_owned());
        }
        Self::Io { doing, path: path.to_owned(), error: Arc::new(error) }
    }

    pub(crate) fn damaged(path: &Path, reason: impl ToString) -> Self {
        Self::Damaged { path: path.to_owned(), reason: reason.to_string() }
    }
}

impl From<StoreError> for LogError {
    fn from(error: StoreError) -> Self {
        Self::Store(Arc::new(error))
    }
}

fn hint(nearest: &Option<String>) -> String {
    nearest.as_ref().map_or(String::new(), |name| format!("; did you mean `{name}`?"))
}

fn list(versions: &[Version]) -> String {
    if versions.is_empty() {
        return "none".to_owned();
    }
    versions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn oddly(odd: Odd, found: &str) -> String {
    match odd {
        Odd::OutOfRange => format!("{found} is out of range"),
        Odd::Unseen => format!("`{found}` is not known"),
        Odd::Missing => "nothing was given".to_owned(),
    }
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Number => "numeric",
        Kind::Text => "text",
    }
}

//! What can go wrong, each with its place, what was found, what was expected and what to do.

use crate::format::Format;
use crate::tensor::DType;

/// Why a file is not a model that this engine runs.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LoadError {
    /// Larger than the limit.
    #[error("the model has {found} {what}, the limit is {limit}")]
    TooLarge {
        /// What was counted.
        what: &'static str,
        /// How many.
        found: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// A file of a model whose answers are put right ([`crate::Calibration`]) that is broken.
    #[error("the calibrated model: {problem}")]
    Calibrated {
        /// What is wrong.
        problem: String,
    },
    /// Not the wire format of ONNX.
    #[error("not an ONNX file: {0}")]
    Decode(String),
    /// The file parses but holds no graph, or one without outputs.
    #[error("the file holds no {0}; it is empty, truncated, or not an ONNX model")]
    Empty(&'static str),
    /// An operator that the engine does not have.
    #[error(
        "node {node}: operator {operator} is not supported in process; supported: {}. \
         Export the model without it, or serve it as a process",
        supported.join(", ")
    )]
    UnknownOperator {
        /// Name or number of the node.
        node: String,
        /// `domain::operator`.
        operator: String,
        /// All operators that are supported.
        supported: Vec<&'static str>,
    },
    /// An operator set that is newer than the engine.
    #[error("operator set {domain:?} version {found} is newer than {newest}; export for an older one")]
    Opset {
        /// Its domain, empty for `ai.onnx`.
        domain: String,
        /// The version that the file imports.
        found: i64,
        /// The newest that the engine knows.
        newest: i64,
    },
    /// A constant of a type that the engine does not have.
    #[error("tensor {name:?}: element type {number} is not supported")]
    ElementType {
        /// Name of the tensor.
        name: String,
        /// The type's number in ONNX's `TensorProto.DataType`.
        number: i32,
    },
    /// A node whose attributes or wiring are wrong.
    #[error("node {node} ({operator}): {problem}")]
    Node {
        /// Name or number of the node.
        node: String,
        /// Operator.
        operator: String,
        /// What is wrong.
        problem: String,
    },
    /// Something else in the graph is wrong: a value read but never made, a cycle, a name made twice.
    #[error("graph: {0}")]
    Graph(String),
    /// A constant that cannot be read.
    #[error("tensor {name:?}: {problem}")]
    Tensor {
        /// Name of the tensor.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// A file that is known, and that nothing here reads.
    #[error("the model is {found}; {remedy}")]
    Unreadable {
        /// What it is.
        found: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// A library's own file that is broken.
    #[error("{format} model, {place}: {problem}")]
    File {
        /// Format of the file.
        format: Format,
        /// Where in the file.
        place: String,
        /// What is wrong.
        problem: String,
    },
    /// A library's own file that says something that the engine does not do.
    #[error("{format} model: {what} is not supported in process; {remedy}")]
    Unsupported {
        /// Format of the file.
        format: Format,
        /// What is not supported.
        what: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The model is read, but cannot be asked for predictions about rows of a table.
    #[error(transparent)]
    Signature(#[from] SignatureError),
}

impl LoadError {
    /// Whether the file may be right, and only this engine cannot run it: another runtime may be asked.
    ///
    /// What is wrong with a machine-learning operator counts as a broken file, since the engine knows all that those may
    /// say; of the tensor operators it leaves out some attributes and types.
    pub fn is_beyond_the_engine(&self) -> bool {
        match self {
            LoadError::UnknownOperator { .. } | LoadError::Opset { .. } | LoadError::ElementType { .. } => {
                true
            }
            LoadError::Node { operator, .. } => crate::ops::find(crate::ops::STANDARD, operator).is_some(),
            _ => false,
        }
    }
}

/// Why a reader of a library's own file gave up.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Unread {
    /// The file is wrong: where, and what.
    Broken(String, Problem),
    /// The file is right, but says something that the engine does not do: what, and what to do instead.
    Unsupported(String, &'static str),
    TooLarge {
        what: &'static str,
        found: usize,
        limit: usize,
    },
}

impl Unread {
    pub(crate) fn broken(place: impl Into<String>, problem: impl Into<Problem>) -> Unread {
        Unread::Broken(place.into(), problem.into())
    }

    pub(crate) fn unsupported(what: impl Into<String>, remedy: &'static str) -> Unread {
        Unread::Unsupported(what.into(), remedy)
    }

    pub(crate) fn in_file(self, format: Format) -> LoadError {
        match self {
            Unread::Broken(place, problem) => LoadError::File { format, place, problem },
            Unread::Unsupported(what, remedy) => LoadError::Unsupported { format, what, remedy },
            Unread::TooLarge { what, found, limit } => LoadError::TooLarge { what, found, limit },
        }
    }
}

/// Why a loaded model could not answer for these inputs.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RunError {
    /// An input of the model was not given.
    #[error("input {0:?} is missing")]
    MissingInput(String),
    /// An input was given that the model does not have.
    #[error("the model has no input {found:?}; it has {}", expected.join(", "))]
    UnknownInput {
        /// The name that was given.
        found: String,
        /// The names that exist.
        expected: Vec<String>,
    },
    /// An input has the wrong element type.
    #[error("input {name:?} is {found}, expected {expected}")]
    InputType {
        /// Input.
        name: String,
        /// Type given.
        found: DType,
        /// Type declared.
        expected: DType,
    },
    /// An input has the wrong shape.
    #[error("input {name:?} has shape {found:?}, expected {expected}")]
    InputShape {
        /// Input.
        name: String,
        /// Shape given.
        found: Vec<usize>,
        /// Shape declared, unknown dimensions as `?`.
        expected: String,
    },
    /// A node refused its operands.
    #[error("node {node}: {problem}")]
    Node {
        /// Name or number of the node.
        node: String,
        /// What is wrong.
        problem: String,
    },
    /// The run would compute more than the limit.
    #[error("the run computes more than {limit} elements; send fewer rows at a time")]
    TooLarge {
        /// The limit, in elements.
        limit: usize,
    },
}

/// Why a model cannot be asked for predictions about rows of a table.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SignatureError {
    /// The inputs do not map to columns.
    #[error("the model's inputs cannot be bound to columns: {0}")]
    Inputs(String),
    /// The outputs are neither a regression nor a classification.
    #[error("the model's outputs are not understood: {0}")]
    Outputs(String),
    /// A note in `metadata_props` cannot be read.
    #[error("metadata {key:?}: {problem}")]
    Metadata {
        /// Key of the note.
        key: &'static str,
        /// What is wrong.
        problem: String,
    },
}

/// Why rows could not be scored.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ScoreError {
    /// A feature of the model is not a column of the table.
    #[error("feature {0:?} is missing")]
    MissingFeature(String),
    /// A column holds the wrong kind of values.
    #[error("feature {feature:?} is {found}, expected {expected}")]
    FeatureType {
        /// Feature.
        feature: String,
        /// Kind given.
        found: &'static str,
        /// Kind expected.
        expected: &'static str,
    },
    /// A value does not fit the feature's type.
    #[error("feature {feature:?}, row {row}: {problem}")]
    Value {
        /// Feature.
        feature: String,
        /// Row, from zero.
        row: usize,
        /// What is wrong.
        problem: String,
    },
    /// The model answered with NaN or an infinity.
    #[error("the model answered {value} for row {row}; {count} of {rows} rows are not finite")]
    NonFinite {
        /// First such row, from zero.
        row: usize,
        /// Its value.
        value: f64,
        /// How many rows are so.
        count: usize,
        /// Rows asked for.
        rows: usize,
    },
    /// The model answered with the wrong number of rows or columns, or the wrong type.
    #[error("the model's output {output:?} {problem}")]
    Output {
        /// Output.
        output: String,
        /// What is wrong.
        problem: String,
    },
    /// The run failed.
    #[error(transparent)]
    Run(#[from] RunError),
}

/// What an operator says when it refuses its attributes or operands; the plan adds the node's name.
pub(crate) type Problem = String;

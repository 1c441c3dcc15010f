//! What is trained on, how, and what can be wrong with it.

use gyre_runtime::Table;

/// What to predict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// A number.
    Regression,
    /// One of two classes.
    Binary,
    /// One of three or more classes.
    Multiclass,
}

/// The column to predict.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// Numbers; for a classification, whole numbers that name classes.
    Numeric(Vec<f64>),
    /// Names of classes.
    Labels(Vec<String>),
}

impl Target {
    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Target::Numeric(v) => v.len(),
            Target::Labels(v) => v.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Features and the target beside them.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainTable {
    /// Features: numeric columns as they are, text columns as categories. NaN, `None` and the empty string are missing.
    pub features: Table,
    /// What to predict, row by row.
    pub target: Target,
}

/// What a regression minimises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Objective {
    /// Squared error: predicts the mean.
    #[default]
    Squared,
    /// Absolute error: predicts the median.
    Absolute,
}

/// How to train. The defaults are those of common learners and rarely need a change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Seeds the order in which category statistics accumulate.
    pub seed: u64,
    /// Boosting rounds; one tree each, for several classes one a class.
    pub rounds: usize,
    /// Share of each tree's correction that is taken, in (0, 1].
    pub learning_rate: f64,
    /// Most leaves of a tree.
    pub leaves: usize,
    /// Fewest training rows of a leaf; less when there are few rows at all.
    pub leaf_rows: usize,
    /// What a regression minimises.
    pub objective: Objective,
    /// How many rows of the overall mean a category's mean starts from.
    pub smoothing: f64,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            seed: 0,
            rounds: 100,
            learning_rate: 0.1,
            leaves: 31,
            leaf_rows: 20,
            objective: Objective::Squared,
            smoothing: 10.0,
        }
    }
}

/// Most classes that are trained for.
pub(crate) const MAX_CLASSES: usize = 100;

/// Why nothing was trained.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TrainError {
    /// No rows or no columns.
    #[error(
        "the training table has {rows} rows and {columns} feature columns; at least 2 rows and 1 column are needed"
    )]
    Empty {
        /// Rows.
        rows: usize,
        /// Columns.
        columns: usize,
    },
    /// Target and features differ in length.
    #[error("the target has {found} rows, the features have {expected}")]
    TargetLength {
        /// Rows of the target.
        found: usize,
        /// Rows of the features.
        expected: usize,
    },
    /// A target value that nothing can be learnt from.
    #[error(
        "the target is {value} in row {row} ({count} rows in all); drop rows without a label before training"
    )]
    TargetValue {
        /// First such row, from zero.
        row: usize,
        /// Its value.
        value: String,
        /// How many rows are so.
        count: usize,
    },
    /// Text where numbers are needed.
    #[error("a regression needs a numeric target, found text")]
    TargetKind,
    /// Too few or too many classes for the task.
    #[error("the target has {found} classes ({}), the task needs {expected}", examples.join(", "))]
    Classes {
        /// Distinct classes.
        found: usize,
        /// What the task needs.
        expected: &'static str,
        /// Some of them.
        examples: Vec<String>,
    },
    /// An option out of range.
    #[error("option {name} is {found}, expected {expected}")]
    Option {
        /// Option.
        name: &'static str,
        /// Value.
        found: String,
        /// Range.
        expected: &'static str,
    },
    /// The written model does not run: a fault of this crate, reported rather than shipped.
    #[error("the trained model does not run: {0}")]
    Export(String),
}

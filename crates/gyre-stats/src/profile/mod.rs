//! The reference profile: what each column looked like when the model was trained, in fixed memory.
//!
//! A deployed model is compared with its training data for years; the training data itself may be large, elsewhere, or
//! deleted by law. So each model version keeps a small summary of every column (the *reference*), and each window of live
//! traffic is counted into the bins of that reference. Windows are integer histograms: they merge in any order, so
//! gateways may count apart and sliding windows are sums of panes.
//!
//! Invariants
//! - The bins are those of the reference; a window never invents its own. Windows of different references do not merge.
//! - Missing values and infinities are counted apart, never dropped: a rising missing rate is drift too.
//! - At most [`numeric::MAX_BINS`] cut points or [`categorical::TOP_CATEGORIES`] names a column, whatever the data.

use std::{error::Error, fmt};

use serde::{Deserialize, Serialize};

mod bins;
pub mod categorical;
pub mod numeric;

pub use categorical::{CategoricalReference, CategoricalWindow};
pub use numeric::{NumericReference, NumericWindow, Quartiles};

/// Reference of one column of either kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnReference {
    /// Ordered numbers.
    Numeric(NumericReference),
    /// Unordered names.
    Categorical(CategoricalReference),
}

impl ColumnReference {
    /// An empty window with the bins of this reference.
    #[must_use]
    pub fn window(&self) -> ColumnWindow {
        match self {
            Self::Numeric(reference) => ColumnWindow::Numeric(NumericWindow::new(reference)),
            Self::Categorical(reference) => ColumnWindow::Categorical(CategoricalWindow::new(reference)),
        }
    }

    /// The same bins with the counts of `window`: what a part of the reference's rows looks like in them.
    ///
    /// # Errors
    /// [`Incompatible`] when the window was made from another reference.
    pub fn with_counts(&self, window: ColumnWindow) -> Result<Self, Incompatible> {
        match (self, window) {
            (Self::Numeric(reference), ColumnWindow::Numeric(window)) => {
                reference.with_counts(window).map(Self::Numeric)
            }
            (Self::Categorical(reference), ColumnWindow::Categorical(window)) => {
                reference.with_counts(window).map(Self::Categorical)
            }
            _ => Err(Incompatible::Kind),
        }
    }
}

/// Window of one column of either kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnWindow {
    /// Ordered numbers.
    Numeric(NumericWindow),
    /// Unordered names.
    Categorical(CategoricalWindow),
}

impl ColumnWindow {
    /// Adds the counts of another window of the same reference.
    ///
    /// # Errors
    /// [`Incompatible`] when the kinds or the bins differ; `self` is then unchanged.
    pub fn merge(&mut self, other: &Self) -> Result<(), Incompatible> {
        match (self, other) {
            (Self::Numeric(window), Self::Numeric(other)) => window.merge(other),
            (Self::Categorical(window), Self::Categorical(other)) => window.merge(other),
            _ => Err(Incompatible::Kind),
        }
    }

    /// Rows counted, missing ones included.
    #[must_use]
    pub fn rows(&self) -> u64 {
        match self {
            Self::Numeric(window) => window.rows(),
            Self::Categorical(window) => window.rows(),
        }
    }
}

/// Two summaries that cannot be compared or added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incompatible {
    /// One is numeric, the other categorical.
    Kind,
    /// They were counted into the bins of different references.
    Bins,
}

impl fmt::Display for Incompatible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kind => {
                "a numeric column cannot be compared with a categorical one; profile both sides alike"
            }
            Self::Bins => {
                "the two summaries have different bins; count both into windows made from the same reference"
            }
        })
    }
}

impl Error for Incompatible {}

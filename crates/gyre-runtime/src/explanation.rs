//! Predictions taken apart: what each feature added to each row's score.

use std::sync::Arc;

use crate::error::ScoreError;
use crate::native::Scale;

/// What each feature added to the scores of rows. For every row and output: `base` + the sum of the row's contributions
/// is the model's score, in the unit that [`Explanation::scale`] tells.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// What is explained: for a regression one output without a name (the empty string); for two classes told apart by one
    /// score, the second class; otherwise every class, in the order of the probabilities.
    pub outputs: Vec<Arc<str>>,
    /// Names of the features, in the order of [`crate::Scorer::features`].
    pub features: Vec<Arc<str>>,
    /// In which unit base and contributions are.
    pub scale: Scale,
    /// By output: the score that the model gives on average (over its training data, or the background).
    pub base: Vec<f64>,
    /// By row, output and feature, row-major: what the feature adds.
    pub contributions: Vec<f64>,
}

impl Explanation {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.contributions.len().checked_div(self.outputs.len() * self.features.len()).unwrap_or(0)
    }

    /// What each feature adds to an output of a row; empty when there is no such row or output.
    pub fn of(&self, row: usize, output: usize) -> &[f64] {
        let (outputs, features) = (self.outputs.len(), self.features.len());
        if output >= outputs {
            return &[];
        }
        let from = (row * outputs + output) * features;
        self.contributions.get(from..from + features).unwrap_or_default()
    }
}

/// Why predictions were not taken apart.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ExplainError {
    /// The model cannot be explained at all.
    #[error("explanations are not available: {0}")]
    Unavailable(String),
    /// As for predictions.
    #[error(transparent)]
    Score(#[from] ScoreError),
}

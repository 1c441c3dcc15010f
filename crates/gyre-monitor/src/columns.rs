//! Values by column, borrowed from whoever read them.

use std::sync::Arc;

use gyre_stats::profile::{CategoricalReference, NumericReference};
use gyre_stats::profile::{ColumnReference, ColumnWindow, Incompatible};

/// One column's values.
#[derive(Debug, Clone, Copy)]
pub enum Values<'a> {
    /// Numbers; NaN is missing.
    Numbers(&'a [f64]),
    /// Categories, as [`Value::as_category`](gyre_core::Value::as_category) writes them; `None` is missing.
    Text(&'a [Option<Arc<str>>]),
}

/// What a model answered, row by row.
#[derive(Debug, Clone, Copy)]
pub struct Predictions<'a> {
    /// The answers: numbers, or classes.
    pub outputs: Values<'a>,
    /// A classifier's probabilities, one row after another, each in the order of `classes`; empty when there are none.
    pub scores: &'a [f64],
    /// The classes; empty for regression.
    pub classes: &'a [String],
}

/// Rows that do not fit together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MonitorError {
    /// Columns of the same rows differ in length.
    #[error("column `{column}` has {found} rows, expected {expected} as in the others")]
    Length {
        /// The column.
        column: String,
        /// Its rows.
        found: usize,
        /// Those of the others.
        expected: usize,
    },
    /// A column is not what the metric or the reference takes.
    #[error("column `{column}` holds {found}, expected {expected}")]
    Kind {
        /// The column.
        column: String,
        /// What it holds.
        found: &'static str,
        /// What was expected.
        expected: &'static str,
    },
    /// A stored profile cannot be read.
    #[error("the reference profile cannot be read: {0}; register the version again")]
    Profile(String),
    /// A number that cannot be worked with.
    #[error("{0}")]
    Input(String),
}

impl Values<'_> {
    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Numbers(values) => values.len(),
            Self::Text(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether row `row` has a value.
    pub(crate) fn is_present(&self, row: usize) -> bool {
        match self {
            Self::Numbers(values) => values.get(row).is_some_and(|value| !value.is_nan()),
            Self::Text(values) => values.get(row).is_some_and(Option::is_some),
        }
    }

    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Numbers(_) => "numbers",
            Self::Text(_) => "text",
        }
    }

    /// Whether the values are of the reference's kind.
    pub(crate) const fn is_like(&self, reference: &ColumnReference) -> bool {
        matches!(
            (self, reference),
            (Self::Numbers(_), ColumnReference::Numeric(_))
                | (Self::Text(_), ColumnReference::Categorical(_))
        )
    }

    /// A summary of all the rows, to compare later ones with.
    pub(crate) fn reference(&self) -> ColumnReference {
        match self {
            Self::Numbers(values) => ColumnReference::Numeric(NumericReference::from_values(values)),
            Self::Text(values) => ColumnReference::Categorical(CategoricalReference::from_values(
                values.iter().map(Option::as_deref),
            )),
        }
    }

    /// Counts the rows in the bins of `reference`.
    pub(crate) fn window(
        &self,
        reference: &ColumnReference,
        rows: impl Iterator<Item = usize>,
    ) -> Result<ColumnWindow, Incompatible> {
        let mut window = reference.window();
        match (self, &mut window) {
            (Self::Numbers(values), ColumnWindow::Numeric(window)) => {
                window.extend(rows.filter_map(|row| values.get(row).copied()));
            }
            (Self::Text(values), ColumnWindow::Categorical(window)) => {
                rows.filter_map(|row| values.get(row)).for_each(|value| window.push(value.as_deref()));
            }
            _ => return Err(Incompatible::Kind),
        }
        Ok(window)
    }

    pub(crate) fn expect_rows(&self, column: &str, expected: usize) -> Result<(), MonitorError> {
        expect_rows(column, self.len(), expected)
    }
}

pub(crate) fn expect_rows(column: &str, found: usize, expected: usize) -> Result<(), MonitorError> {
    if found == expected {
        return Ok(());
    }
    Err(MonitorError::Length { column: column.to_owned(), found, expected })
}

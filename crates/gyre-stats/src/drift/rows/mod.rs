//! Whole rows of several numeric columns against each other: what no column shows by itself.
//!
//! Two columns may each keep their distribution and yet stop moving together; a model that learned from both is wrong then.
//! The tests here see that, at a price: they need all pairs of rows, or a rotation of the columns, so they are for
//! thousands of rows rather than millions.
//!
//! - [`Distances`] holds the distances of all pairs; [`energy`](Distances::energy) and [`mmd`](Distances::mmd) are means
//!   over them, with p-values by permutation (seeded, so that they repeat).
//! - [`Components`] learns the main directions of the reference and measures how much of each row lies outside of them.
//!
//! Columns weigh by their scale: [`Scaling`] brings them to that of the reference first.

use std::{error::Error, fmt};

mod components;
mod eigen;
mod matrix;
mod pairs;
mod permutation;

pub use components::{Components, USUAL_SHARE};
pub use matrix::{Matrix, Scaling};
pub use pairs::{Distances, MOST_ROWS, Mmd};
pub use permutation::PermutationTest;

/// Rows that cannot be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowsError {
    /// The number of values is not that of whole rows, or there are no columns.
    Shape {
        /// Values given.
        values: usize,
        /// Columns asked for.
        columns: usize,
    },
    /// The two sides have different columns.
    Columns {
        /// Columns of the reference.
        expected: usize,
        /// Columns of the current side.
        found: usize,
    },
    /// A value is missing or infinite: leave such rows out, or fill them in.
    NotFinite {
        /// The row, from 0.
        row: usize,
    },
    /// Too few rows, on either side.
    TooFew {
        /// Rows needed.
        needed: usize,
        /// Rows given.
        found: usize,
    },
    /// Too many rows for all pairs: draw a sample.
    TooMany {
        /// Most rows of both sides together.
        most: usize,
        /// Rows given.
        found: usize,
    },
    /// No column varies, so there are no directions.
    Constant,
}

impl fmt::Display for RowsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shape { values, columns } => {
                write!(f, "{values} values are not whole rows of {columns} columns; give row after row")
            }
            Self::Columns { expected, found } => {
                write!(
                    f,
                    "the reference has {expected} columns, the current rows have {found}; give both alike"
                )
            }
            Self::NotFinite { row } => {
                write!(f, "row {row} has a value that is missing or infinite; leave it out or fill it in")
            }
            Self::TooFew { needed, found } => {
                write!(f, "{found} rows are too few; at least {needed} are needed")
            }
            Self::TooMany { most, found } => {
                write!(f, "{found} rows are too many for all pairs; draw a sample of at most {most}")
            }
            Self::Constant => f.write_str("no column of the reference varies; choose columns that do"),
        }
    }
}

impl Error for RowsError {}

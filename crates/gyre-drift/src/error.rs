//! What can be wrong with two tables that are to be compared.

use gyre_data::table::TableError;

/// Why tables cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum DriftError {
    /// One of them cannot be read.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A column that was asked for is in neither.
    #[error("no column `{column}` in {reference} and {current}; both have {known}")]
    NoColumn {
        /// Its name.
        column: String,
        /// The reference.
        reference: String,
        /// What is compared with it.
        current: String,
        /// Columns that are in both.
        known: String,
    },
    /// They have no column in common.
    #[error(
        "{reference} and {current} have no column in common, so nothing can be compared; the one has {before}, the other {after}"
    )]
    NothingInCommon {
        /// The reference.
        reference: String,
        /// What is compared with it.
        current: String,
        /// The columns of the reference.
        before: String,
        /// Those of the other.
        after: String,
    },
}

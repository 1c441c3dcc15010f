//! What can be wrong with a table or a stored profile.

use std::path::Path;

use gyre_data::files::FileError;
use gyre_data::table::TableError;

/// Why there is no profile.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// A table cannot be read.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A row of a CSV file cannot be taken.
    #[error("{file}: line {line}: {reason}")]
    Row {
        /// The file.
        file: String,
        /// The line on which the row begins.
        line: u64,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// A stored profile is none.
    #[error(
        "{file}: not a stored profile: {reason}; expected Parquet, CSV, or what `gyre profile --output` wrote"
    )]
    NotAProfile {
        /// The file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A stored profile is of a format that this gyre does not know.
    #[error(
        "{file}: a profile of format {found}, this gyre reads format {known}; read it with the gyre that wrote it, or profile \
         the data again"
    )]
    OtherFormat {
        /// The file.
        file: String,
        /// Its format.
        found: u64,
        /// Ours.
        known: u64,
    },
    /// A stored profile contradicts itself.
    #[error("{file}: column `{column}`: {reason}; the file was changed or damaged, profile the data again")]
    Contradiction {
        /// The file.
        file: String,
        /// The column.
        column: String,
        /// What does not add up.
        reason: &'static str,
    },
    /// There are more rows than can be counted.
    #[error("more than 2^64 rows together; profiles of so many do not merge")]
    TooMany,
    /// There is no such column in any of the tables.
    #[error("no column `{column}`; there are {known}")]
    NoColumn {
        /// The name that was asked for.
        column: String,
        /// The columns that there are.
        known: String,
    },
    /// A thread died.
    #[error("a thread that was profiling failed; please report this")]
    Thread,
}

impl ProfileError {
    pub(crate) fn not_a_profile(file: &Path, reason: impl ToString) -> Self {
        Self::NotAProfile { file: file.display().to_string(), reason: reason.to_string() }
    }
}

//! Why a book cannot be made, asked or written.

use std::path::PathBuf;

use gyre_data::files::FileError;
use gyre_gateway::LogError;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The temporary database failed; most likely the disk for temporary files is full.
    #[error("the temporary database of the log failed: {0}; TMPDIR names another place for it")]
    Temporary(rusqlite::Error),
    /// There is no room for the temporary database.
    #[error("no temporary file for the log can be made: {0}; TMPDIR names another place for it")]
    NoFile(std::io::Error),
    /// More features than SQLite has columns for.
    #[error(
        "the versions of this model have {found} features and scores, more than a table's {limit} columns; choose a period with fewer versions"
    )]
    TooWide {
        /// Columns that there would be.
        found: usize,
        /// The most.
        limit: usize,
    },
    /// The statement is not one that reads.
    #[error("{found}; expected one statement that reads: SELECT … or WITH … SELECT …")]
    NotARead {
        /// What it is.
        found: String,
    },
    /// The statement is wrong.
    #[error("the statement is wrong: {0}")]
    Statement(String),
    /// A file cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file cannot be encoded.
    #[error("{}: cannot be written: {reason}", path.display())]
    Encode {
        /// The file.
        path: PathBuf,
        /// What the encoder said.
        reason: String,
    },
    /// Whoever takes the rows has enough.
    #[error("{0}")]
    Taker(String),
}

impl From<rusqlite::Error> for BookError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Temporary(error)
    }
}

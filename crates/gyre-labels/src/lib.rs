//! Labels from files and databases: what came true, brought to the inference log without loss and without repetition.
//!
//! Reading is at least once: a file is read again when it has changed, a database is asked again for the last minutes, and
//! whatever was under way when the process died is begun again. The effect is once: before a label is written it is weighed
//! against the log ([`gyre_gateway::Gateway::bring_labels`]), and what is there is not written again. A place in the source
//! is remembered only after everything before it is on disk.
//!
//! | module | what lives there |
//! | --- | --- |
//! | [`file`] | a Parquet or CSV file as batches of labels |
//! | `database` | the answer of a PostgreSQL as batches of labels |
//! | `place` | how far a source has been read, kept on disk |
//! | [`collector`] | the threads that look, again and again |

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod collector;
mod database;
pub mod file;
mod place;

pub use collector::{Collector, Looked};
pub use file::{Columns, LabelFile, Part};

use gyre_batch::BatchError;
use gyre_data::files::FileError;
use gyre_data::table::TableError;
use gyre_gateway::LogError;
use gyre_store::StoreError;

/// Why labels were not brought. What was brought before is in the log, and is not written again the next time.
#[derive(Debug, thiserror::Error)]
pub enum LabelsError {
    /// A file is no table, or lacks a column.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A row cannot be a label.
    #[error("{place}, row {row}: {found}; expected {expected}")]
    Row {
        /// The file or database.
        place: String,
        /// The row, counted from 1.
        row: u64,
        /// What is there.
        found: String,
        /// What should be.
        expected: &'static str,
    },
    /// Files that are named are not there.
    #[error(transparent)]
    Files(#[from] BatchError),
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The log refused.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The database refused.
    #[error("the database with the labels: {0}")]
    Database(String),
    /// The database cannot be reached.
    #[error("the database with the labels: {0}")]
    Unreached(#[from] StoreError),
    /// The variable with the address is not there.
    #[error(
        "the variable {0} holds no address: give the server's environment {0}=postgres://USER@HOST/DATABASE"
    )]
    NoAddress(String),
    /// What is remembered of a source cannot be read.
    #[error("{path}: {reason}; remove the file to begin anew, which repeats nothing")]
    Place {
        /// The file.
        path: String,
        /// Why not.
        reason: String,
    },
    /// The collector is to end.
    #[error("stopped")]
    Stopped,
}

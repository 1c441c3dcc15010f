//! Files cut into parts that several threads can read at once.
//!
//! One reader of a large table keeps one core busy. Where a file can be cut follows from the file alone (stretches of
//! rows in Parquet, whole records in CSV), so whoever works on parts gets the same ones again: after a crash, and however
//! many threads there are.

pub mod arrow;
pub mod csv;
pub mod parquet;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::files::FileError;

/// A stretch of rows that is read as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Its first row, from zero.
    pub first_row: u64,
    /// How many rows it has.
    pub rows: u64,
    /// Where it begins in a CSV file, in bytes, and how long it is.
    pub bytes: (u64, u64),
    /// The line on which it begins in a CSV file, from one.
    pub first_line: u64,
}

/// How a file lays out a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Apache Parquet.
    Parquet,
    /// Apache Arrow's IPC formats, Feather version 2 among them.
    Arrow,
    /// None that is read as a table: JSON.
    Json,
    /// CSV, as which is read whatever is none of these.
    Csv,
}

impl Layout {
    /// By a file's first bytes; its name says nothing.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of(path: &Path) -> Result<Self, FileError> {
        let file = File::open(path).map_err(FileError::on("read", path))?;
        let mut first = Vec::new();
        file.take(64).read_to_end(&mut first).map_err(FileError::on("read", path))?;
        let mut said = first.iter().filter(|byte| !byte.is_ascii_whitespace());
        Ok(match (said.next(), said.next()) {
            _ if first.starts_with(b"PAR1") => Self::Parquet,
            _ if arrow::begins(&first) => Self::Arrow,
            // A name of a column may well begin with a bracket.
            (Some(b'{'), _) | (Some(b'['), Some(b'{')) => Self::Json,
            _ => Self::Csv,
        })
    }
}

/// Whether a file is Parquet, by its magic bytes.
///
/// # Errors
/// When it cannot be read.
pub fn is_parquet(path: &Path) -> Result<bool, FileError> {
    Ok(Layout::of(path)? == Layout::Parquet)
}

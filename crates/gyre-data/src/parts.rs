//! Files cut into parts that several threads can read at once.
//!
//! One reader of a large table keeps one core busy. Where a file can be cut follows from the file alone (stretches of
//! rows in Parquet, whole records in CSV), so whoever works on parts gets the same ones again: after a crash, and however
//! many threads there are.

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

/// Whether a file is Parquet, by its magic bytes.
///
/// # Errors
/// When it cannot be read.
pub fn is_parquet(path: &Path) -> Result<bool, FileError> {
    let file = File::open(path).map_err(FileError::on("read", path))?;
    let mut magic = Vec::new();
    file.take(4).read_to_end(&mut magic).map_err(FileError::on("read", path))?;
    Ok(magic == b"PAR1")
}

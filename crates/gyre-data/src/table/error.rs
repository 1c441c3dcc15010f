//! What is said about a table that is not what was expected.

use arrow_schema::Schema;
use gyre_core::spec::ColumnType;

use crate::files::FileError;

/// Why a table cannot be read as asked.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file is no table.
    #[error("{file}: not a readable {format} file: {message}")]
    NotATable {
        /// The file.
        file: String,
        /// What it was read as.
        format: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// The table breaks off, or a row does not fit the others.
    #[error("{file}: cannot be read from row {row} on: {message}")]
    Broken {
        /// The file.
        file: String,
        /// The first row, counted from 1, that could not be read with its batch.
        row: u64,
        /// What is wrong.
        message: String,
    },
    /// There is no such column.
    #[error("{file}: there is no column `{column}`{}", hint(nearest, columns))]
    NoColumn {
        /// The file.
        file: String,
        /// The name that was asked for.
        column: String,
        /// The nearest name that exists.
        nearest: Option<String>,
        /// All names that exist.
        columns: Vec<String>,
    },
    /// The column holds something else.
    #[error("{file}: column `{column}` holds {found}, expected {expected}")]
    WrongType {
        /// The file.
        file: String,
        /// The column.
        column: String,
        /// What it holds.
        found: String,
        /// What it should hold.
        expected: &'static str,
    },
    /// One value cannot be read as what the column should hold.
    #[error("{file}: column `{column}`, row {row}: found `{found}`, expected {expected}")]
    WrongValue {
        /// The file.
        file: String,
        /// The column.
        column: String,
        /// The row, counted from 1.
        row: u64,
        /// The value.
        found: String,
        /// What it should be.
        expected: &'static str,
    },
}

impl TableError {
    pub(crate) fn no_column(file: &str, column: &str, schema: &Schema) -> Self {
        let columns: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
        let nearest = gyre_core::ids::nearest(column, columns.iter().map(String::as_str)).map(str::to_owned);
        Self::NoColumn { file: file.to_owned(), column: column.to_owned(), nearest, columns }
    }
}

fn hint(nearest: &Option<String>, columns: &[String]) -> String {
    match nearest {
        Some(name) => format!("; did you mean `{name}`?"),
        None => {
            let shown: Vec<&str> = columns.iter().take(20).map(String::as_str).collect();
            let more = if columns.len() > shown.len() { ", …" } else { "" };
            format!(" (it has {}{more})", shown.join(", "))
        }
    }
}

/// What a column holds, for people.
pub(crate) const fn kind_name(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::Int => "whole numbers",
        ColumnType::Float => "numbers",
        ColumnType::Text => "text",
        ColumnType::Bool => "true or false",
        ColumnType::Time => "times",
    }
}

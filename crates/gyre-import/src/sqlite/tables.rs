//! Which columns a table has, and what its cells say whatever their type.

use std::collections::BTreeSet;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

/// The columns of a table.
pub(super) struct Columns(BTreeSet<String>);

impl Columns {
    /// The columns of `table`; none when there is no such table.
    pub(super) fn of(connection: &Connection, table: &str) -> Result<Self, rusqlite::Error> {
        // A name in MLflow's schema, never from outside.
        let mut statement = connection.prepare_cached("SELECT name FROM pragma_table_info(?1)")?;
        let names = statement.query_map([table], |row| row.get(0))?;
        Ok(Self(names.collect::<Result<_, _>>()?))
    }

    /// Whether there is such a table.
    pub(super) fn exist(&self) -> bool {
        !self.0.is_empty()
    }

    /// The column, or a constant in its place.
    pub(super) fn or<'a>(&self, column: &'a str, constant: &'a str) -> &'a str {
        if self.0.contains(column) { column } else { constant }
    }
}

/// A cell as text; numbers are written out, for SQLite keeps what it was given whatever the column's type.
pub(super) fn text(row: &Row<'_>, column: usize) -> Result<Option<String>, rusqlite::Error> {
    Ok(match row.get_ref(column)? {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(number.to_string()),
        ValueRef::Text(_) | ValueRef::Blob(_) => Some(row.get(column)?),
    })
}

/// A cell as a whole number.
pub(super) fn integer(row: &Row<'_>, column: usize) -> Result<Option<i64>, rusqlite::Error> {
    Ok(match row.get_ref(column)? {
        ValueRef::Real(number) => Some(number as i64),
        _ => row.get(column)?,
    })
}

/// A cell as a number; `None` for NULL.
pub(super) fn real(row: &Row<'_>, column: usize) -> Result<Option<f64>, rusqlite::Error> {
    Ok(match row.get_ref(column)? {
        ValueRef::Integer(number) => Some(number as f64),
        _ => row.get(column)?,
    })
}

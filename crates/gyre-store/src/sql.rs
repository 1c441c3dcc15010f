//! SQL in the few words that rooms need: execute, query, cells in, cells out.
//!
//! The narrow face hides which database answers. Statements use numbered parameters (`?1`) and the common subset
//! of SQL, so that a second database can stand behind the same rooms.

use gyre_core::Entry;
use rusqlite::Connection;
use rusqlite::types::{ToSqlOutput, Value as SqlValue, ValueRef};

use crate::journal::Journal;
use crate::{Appended, NewFact, StoreError};

/// A transaction, for reading or for writing.
pub struct Tx<'a> {
    connection: &'a Connection,
    journal: Option<&'a mut Journal>,
}

/// One value on its way into or out of the store.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// NULL.
    Null,
    /// A whole number.
    Int(i64),
    /// A number.
    Real(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

/// A row of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Row(Vec<Cell>);

/// What a cell can be read as.
pub trait FromCell: Sized {
    /// The value, or the name of what was expected.
    ///
    /// # Errors
    /// The expected type's name, when the cell holds something else.
    fn from_cell(cell: &Cell) -> Result<Self, &'static str>;
}

/// How many prepared statements a connection keeps.
pub(crate) const STATEMENTS: usize = 256;

/// Sets a connection up: WAL, every commit synced to disk before it is acknowledged.
pub(crate) fn prepare(connection: &Connection) -> Result<(), StoreError> {
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "case_sensitive_like", true)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    Ok(())
}

impl<'a> Tx<'a> {
    pub(crate) fn reading(connection: &'a Connection) -> Self {
        Self { connection, journal: None }
    }

    pub(crate) fn writing(connection: &'a Connection, journal: &'a mut Journal) -> Self {
        Self { connection, journal: Some(journal) }
    }

    /// Runs a statement and says how many rows it changed.
    ///
    /// # Errors
    /// What the database said.
    pub fn execute(&mut self, sql: &str, cells: &[Cell]) -> Result<usize, StoreError> {
        let mut statement = self.connection.prepare_cached(sql)?;
        Ok(statement.execute(rusqlite::params_from_iter(cells))?)
    }

    /// Runs a query and returns all its rows. Callers bound the number with `LIMIT` where it could be large.
    ///
    /// # Errors
    /// What the database said.
    pub fn query(&mut self, sql: &str, cells: &[Cell]) -> Result<Vec<Row>, StoreError> {
        let mut found = Vec::new();
        self.query_each(sql, cells, |row| {
            found.push(row);
            Ok(())
        })?;
        Ok(found)
    }

    /// Runs a query and hands its rows to `each`, one at a time, so that an answer of any length takes little memory.
    ///
    /// # Errors
    /// What the database or `each` said.
    pub fn query_each(
        &mut self,
        sql: &str,
        cells: &[Cell],
        mut each: impl FnMut(Row) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let columns = statement.column_count();
        let mut rows = statement.query(rusqlite::params_from_iter(cells))?;
        while let Some(row) = rows.next()? {
            let cells: Result<_, _> =
                (0..columns).map(|column| row.get_ref(column).map(Cell::from)).collect();
            each(Row(cells?))?;
        }
        Ok(())
    }

    /// Appends a fact to the journal, and lets every room bring its tables up to it. A fact whose key is already in
    /// the journal changes nothing: its first entry is returned, marked as not fresh.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`] in a reading transaction; [`StoreError::TooLarge`].
    pub fn append(&mut self, new: NewFact) -> Result<Appended, StoreError> {
        let journal = self.journal.as_deref_mut().ok_or(StoreError::ReadOnly)?;
        let (appended, entry) = journal.append(&mut Tx::reading(self.connection), new)?;
        if let Some(entry) = entry {
            self.project(&entry)?;
        }
        Ok(appended)
    }

    fn project(&mut self, entry: &Entry) -> Result<(), StoreError> {
        let rooms = self.journal.as_ref().map_or(&[][..], |journal| journal.rooms);
        rooms.iter().try_for_each(|room| (room.project)(self, entry))
    }
}

impl Row {
    /// The value of column `column`, counted from 0.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when it holds something else.
    pub fn get<T: FromCell>(&self, column: usize) -> Result<T, StoreError> {
        let cell = self.0.get(column).unwrap_or(&Cell::Null);
        T::from_cell(cell).map_err(|expected| StoreError::Corrupt {
            table: "(query)",
            reason: format!("column {column}: expected {expected}, found {cell:?}"),
        })
    }
}

impl Row {
    /// The cell of column `column`, counted from 0.
    pub fn cell(&self, column: usize) -> Cell {
        self.0.get(column).cloned().unwrap_or(Cell::Null)
    }
}

impl From<ValueRef<'_>> for Cell {
    fn from(value: ValueRef<'_>) -> Self {
        match value {
            ValueRef::Null => Self::Null,
            ValueRef::Integer(number) => Self::Int(number),
            ValueRef::Real(number) => Self::Real(number),
            ValueRef::Text(text) => Self::Text(String::from_utf8_lossy(text).into_owned()),
            ValueRef::Blob(bytes) => Self::Blob(bytes.to_vec()),
        }
    }
}

impl rusqlite::ToSql for Cell {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Null => ToSqlOutput::Owned(SqlValue::Null),
            Self::Int(number) => ToSqlOutput::Owned(SqlValue::Integer(*number)),
            Self::Real(number) => ToSqlOutput::Owned(SqlValue::Real(*number)),
            Self::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            Self::Blob(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
        })
    }
}

impl From<i64> for Cell {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<u64> for Cell {
    fn from(number: u64) -> Self {
        // Sequence numbers and counts: far below 2^63.
        Self::Int(number as i64)
    }
}

impl From<u32> for Cell {
    fn from(number: u32) -> Self {
        Self::Int(number.into())
    }
}

impl From<f64> for Cell {
    fn from(number: f64) -> Self {
        Self::Real(number)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&[u8]> for Cell {
    fn from(bytes: &[u8]) -> Self {
        Self::Blob(bytes.to_vec())
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl FromCell for i64 {
    fn from_cell(cell: &Cell) -> Result<Self, &'static str> {
        if let Cell::Int(number) = cell { Ok(*number) } else { Err("a whole number") }
    }
}

impl FromCell for u64 {
    fn from_cell(cell: &Cell) -> Result<Self, &'static str> {
        i64::from_cell(cell)?.try_into().map_err(|_| "a whole number of at least 0")
    }
}

impl FromCell for u32 {
    fn from_cell(cell: &Cell) -> Result<Self, &'static str> {
        i64::from_cell(cell)?.try_into().map_err(|_| "a whole number from 0 to 2^32")
    }
}

impl FromCell for f64 {
    fn from_cell(cell: &Cell) -> Result<Self, &'static str> {
        if let Cell::Real(number) = cell { Ok(*number) } else { Err("a number") }
    }
}

impl FromCell for String {
    fn from_cell(cell: &Cell) -> Result<Self, &'static str> {
        if let Cell::Text(text) = cell { Ok(text.clone()) } else { Err("text") }
    }
}

impl FromCell for Vec<u8> {
    fn from_cell(cell: &Cell) -> Result<Self, &'static str> {
        if let Cell::Blob(bytes) = cell { Ok(bytes.clone()) } else { Err("bytes") }
    }
}

impl<T: FromCell> FromCell for Option<T> {
    fn from_cell(cell: &Cell) -> Result<Self, &'static str> {
        if *cell == Cell::Null { Ok(None) } else { T::from_cell(cell).map(Some) }
    }
}

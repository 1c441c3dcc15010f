//! SQL in the few words that rooms need: execute, query, insert rows; cells in, cells out.
//!
//! The narrow face hides which database answers. Statements use numbered parameters (`?1`) and the common subset of SQL,
//! so that SQLite and PostgreSQL can stand behind the same rooms. A job in which a statement failed fails as a whole:
//! PostgreSQL takes nothing more from it.

use gyre_core::Entry;
use rusqlite::Connection;

use crate::cell::{Cell, Row};
use crate::journal::Journal;
use crate::postgres::Session;
use crate::{Appended, Head, NewFact, StoreError, sqlite};

/// The most values of one statement: what SQLite takes. PostgreSQL takes twice as many, and its driver breaks the connection
/// at more.
const VALUES: usize = 32_766;

fn check_values(cells: &[Cell]) -> Result<(), StoreError> {
    if cells.len() > VALUES {
        return Err(StoreError::Invalid(format!(
            "the request has {} values, expected at most {VALUES} at a time: ask in parts",
            cells.len()
        )));
    }
    Ok(())
}

/// A transaction, for reading or for writing.
pub struct Tx<'a> {
    link: Link<'a>,
    journal: Option<&'a mut Journal>,
}

/// The connection that a transaction is on.
pub(crate) enum Link<'a> {
    Sqlite(&'a Connection),
    Postgres(&'a mut Session),
}

impl Link<'_> {
    fn again(&mut self) -> Link<'_> {
        match self {
            Self::Sqlite(connection) => Link::Sqlite(connection),
            Self::Postgres(session) => Link::Postgres(session),
        }
    }
}

impl<'a> Tx<'a> {
    pub(crate) fn reading(link: Link<'a>) -> Self {
        Self { link, journal: None }
    }

    pub(crate) fn writing(link: Link<'a>, journal: &'a mut Journal) -> Self {
        Self { link, journal: Some(journal) }
    }

    /// Runs a statement and says how many rows it changed.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for more values than a statement can have; what the database said.
    pub fn execute(&mut self, sql: &str, cells: &[Cell]) -> Result<usize, StoreError> {
        check_values(cells)?;
        match &mut self.link {
            Link::Sqlite(connection) => sqlite::execute(connection, sql, cells),
            Link::Postgres(session) => session.execute(sql, cells),
        }
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
    /// [`StoreError::Invalid`] for more values than a statement can have; what the database or `each` said.
    pub fn query_each(
        &mut self,
        sql: &str,
        cells: &[Cell],
        each: impl FnMut(Row) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        check_values(cells)?;
        match &mut self.link {
            Link::Sqlite(connection) => sqlite::query_each(connection, sql, cells, each),
            Link::Postgres(session) => session.query_each(sql, cells, each),
        }
    }

    /// Inserts rows of `columns` cells each, as many as there are in `rows`, and says how many rows that changed. `head` is
    /// the statement up to the values (`INSERT INTO points (run, step, value)`), `tail` what follows them (`ON CONFLICT DO
    /// NOTHING`, or nothing); neither has parameters. Far faster than a statement a row, on both databases. A tail that
    /// updates must not meet the same row twice within `rows`: PostgreSQL refuses that.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] when `rows` is not a whole number of rows; what the database said.
    pub fn insert_rows(
        &mut self,
        head: &str,
        columns: usize,
        rows: &[Cell],
        tail: &str,
    ) -> Result<usize, StoreError> {
        if columns == 0 || !rows.len().is_multiple_of(columns) {
            let found = rows.len();
            return Err(StoreError::Invalid(format!(
                "{found} cells are no whole number of rows of {columns}"
            )));
        }
        match &mut self.link {
            Link::Sqlite(connection) => sqlite::insert_rows(connection, head, columns, rows, tail),
            Link::Postgres(session) => session.insert_rows(head, columns, rows, tail),
        }
    }

    /// Has `table` number its next rows after the highest number in it. To be called after rows were inserted under numbers
    /// of one's own (an import), for PostgreSQL would otherwise give those numbers out once more.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] when `table` is no table's name; what the database said.
    pub fn renumber(&mut self, table: &str) -> Result<(), StoreError> {
        if table.is_empty() || !table.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err(StoreError::Invalid(format!("`{table}` is not the name of a table")));
        }
        match &mut self.link {
            // SQLite numbers after the highest number by itself.
            Link::Sqlite(_) => Ok(()),
            Link::Postgres(session) => session.renumber(table),
        }
    }

    /// Appends a fact to the journal, and lets every room bring its tables up to it. A fact whose key is already in
    /// the journal changes nothing: its first entry is returned, marked as not fresh.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`] in a reading transaction; [`StoreError::TooLarge`].
    pub fn append(&mut self, new: NewFact) -> Result<Appended, StoreError> {
        let journal = self.journal.as_deref_mut().ok_or(StoreError::ReadOnly)?;
        let (appended, entry) = journal.append(&mut Tx::reading(self.link.again()), new)?;
        if let Some(entry) = entry {
            self.project(&entry)?;
        }
        Ok(appended)
    }

    /// Runs a script of statements without parameters, written for both databases.
    pub(crate) fn run_script(&mut self, sql: &str) -> Result<(), StoreError> {
        match &mut self.link {
            Link::Sqlite(connection) => Ok(connection.execute_batch(sql)?),
            Link::Postgres(session) => session.run_script(sql),
        }
    }

    /// Whether there is a table of that name.
    pub(crate) fn has_table(&mut self, table: &str) -> Result<bool, StoreError> {
        let sql = match &self.link {
            Link::Sqlite(_) => "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1",
            Link::Postgres(_) => "SELECT 1 WHERE to_regclass(CAST(?1 AS TEXT)) IS NOT NULL",
        };
        Ok(!self.query(sql, &[table.into()])?.is_empty())
    }

    /// The journal's head as this transaction sees it: the entries that it appended included.
    pub(crate) fn own_head(&self) -> Option<Head> {
        self.journal.as_ref().map(|journal| journal.head())
    }

    fn project(&mut self, entry: &Entry) -> Result<(), StoreError> {
        let rooms = self.journal.as_ref().map_or(&[][..], |journal| journal.rooms);
        rooms.iter().try_for_each(|room| (room.project)(self, entry))
    }
}

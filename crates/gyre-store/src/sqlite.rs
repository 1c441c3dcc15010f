//! SQLite: how a connection is set up, and how cells go in and out.

use std::path::Path;
use std::time::Duration;

use rusqlite::types::{ToSqlOutput, Value as SqlValue, ValueRef};
use rusqlite::{Connection, OpenFlags};

use crate::StoreError;
use crate::cell::{Cell, Row};

/// The database file's name inside the store's folder.
pub(crate) const DATABASE: &str = "gyre.db";

/// How many prepared statements a connection keeps.
const STATEMENTS: usize = 256;

/// How long a connection waits for another process (a backup, a reader that recovers) to let go.
const PATIENCE: Duration = Duration::from_secs(5);

/// How much of the file readers see through the page cache of the system instead of copying it out page by page, in bytes:
/// the most SQLite allows. A reader's own cache would be void after each commit.
const MAPPED: i64 = 0x7fff_0000;

/// The writer's own cache of pages, in KiB: what it writes to again and again stays at hand.
const WRITER_CACHE: i64 = 8 << 10;

/// Rows of one multi-row `INSERT`. Larger ones win nothing that was measured (`examples/store_bench.rs`).
const CHUNK: usize = 64;

/// The most parameters of a statement (SQLITE_MAX_VARIABLE_NUMBER, <https://sqlite.org/limits.html>).
const MOST_PARAMETERS: usize = 32_766;

/// Opens the database in `dir` for writing: WAL, every commit synced to disk before it is acknowledged.
pub(crate) fn open(dir: &Path) -> Result<Connection, StoreError> {
    let connection = Connection::open(dir.join(DATABASE))?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // Negative: in KiB, not in pages.
    connection.pragma_update(None, "cache_size", -WRITER_CACHE)?;
    // As in PostgreSQL.
    connection.pragma_update(None, "case_sensitive_like", true)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.busy_timeout(PATIENCE)?;
    Ok(connection)
}

/// Opens the database in `dir` for reading.
pub(crate) fn open_reader(dir: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(dir.join(DATABASE), flags)?;
    connection.busy_timeout(PATIENCE)?;
    connection.pragma_update(None, "mmap_size", MAPPED)?;
    connection.pragma_update(None, "case_sensitive_like", true)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

/// Runs a statement without parameters that returns nothing.
pub(crate) fn run(connection: &Connection, sql: &str) -> Result<(), StoreError> {
    connection.prepare_cached(sql)?.execute([])?;
    Ok(())
}

pub(crate) fn execute(connection: &Connection, sql: &str, cells: &[Cell]) -> Result<usize, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.execute(rusqlite::params_from_iter(cells))?)
}

pub(crate) fn query_each(
    connection: &Connection,
    sql: &str,
    cells: &[Cell],
    mut each: impl FnMut(Row) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let columns = statement.column_count();
    let mut rows = statement.query(rusqlite::params_from_iter(cells))?;
    while let Some(row) = rows.next()? {
        let cells: Result<_, _> = (0..columns).map(|column| row.get_ref(column).map(Cell::from)).collect();
        each(Row::new(cells?))?;
    }
    Ok(())
}

/// Inserts in chunks of [`CHUNK`] rows, and the rest in chunks of powers of two, so that few statements serve any number
/// of rows and stay prepared.
pub(crate) fn insert_rows(
    connection: &Connection,
    head: &str,
    columns: usize,
    rows: &[Cell],
    tail: &str,
) -> Result<usize, StoreError> {
    let mut size = CHUNK.min((MOST_PARAMETERS / columns).max(1));
    let (mut left, mut changed) = (rows, 0);
    while !left.is_empty() {
        let count = left.len() / columns;
        while size > count {
            size = size.div_ceil(2).min(size - 1);
        }
        let sql = values(head, columns, size, tail);
        let mut statement = connection.prepare_cached(&sql)?;
        while left.len() >= size * columns {
            let (now, later) = left.split_at(size * columns);
            changed += statement.execute(rusqlite::params_from_iter(now))?;
            left = later;
        }
    }
    Ok(changed)
}

/// `INSERT … VALUES (?,?),(?,?) …`
fn values(head: &str, columns: usize, rows: usize, tail: &str) -> String {
    let mut sql = String::with_capacity(head.len() + tail.len() + 16 + rows * (2 * columns + 2));
    sql.push_str(head);
    sql.push_str(" VALUES ");
    for row in 0..rows {
        sql.push_str(if row == 0 { "(" } else { ",(" });
        for column in 0..columns {
            sql.push_str(if column == 0 { "?" } else { ",?" });
        }
        sql.push(')');
    }
    sql.push(' ');
    sql.push_str(tail);
    sql
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_of_rows_goes_in() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE t (a INTEGER, b TEXT) STRICT").unwrap();
        for rows in [0, 1, 2, 3, 63, 64, 65, 127, 128, 1_000] {
            let cells: Vec<Cell> = (0..rows).flat_map(|n| [Cell::Int(n), Cell::from("x")]).collect();
            let changed = insert_rows(&connection, "INSERT INTO t (a, b)", 2, &cells, "").unwrap();
            assert_eq!(changed as i64, rows);
            let found: (i64, Option<i64>) = connection
                .query_row("SELECT count(*), max(a) FROM t", [], |row| Ok((row.get(0)?, row.get(1)?)))
                .unwrap();
            assert_eq!(found, (rows, (rows > 0).then_some(rows - 1)));
            connection.execute_batch("DELETE FROM t").unwrap();
        }
    }
}

//! PostgreSQL behind the same face as SQLite: one blocking connection, with the statements it has prepared.

mod address;
mod cells;
mod copying;
mod pool;
mod translate;
mod writing;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use postgres::error::SqlState;
use postgres::fallible_iterator::FallibleIterator;
use postgres::types::{ToSql, Type};
use postgres::{Client, SimpleQueryMessage, Statement};

pub(crate) use address::Address;
pub use address::StoreUrl;
pub(crate) use pool::Pool;
pub(crate) use writing::Remote;

use crate::StoreError;
use crate::cell::{Cell, Row};

/// How many prepared statements a connection keeps.
const STATEMENTS: usize = 256;

/// How every connection is set up. A commit is on disk when it returns, whatever the server's default is; compiling
/// queries to machine code takes longer than ours run.
const SETTINGS: &str = "SET jit = off; SET client_min_messages = warning; SET lock_timeout = '30s';
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') IN ('off', 'local')";

/// A connection.
pub(crate) struct Session {
    client: Client,
    place: Arc<str>,
    statements: HashMap<String, Kept>,
    uses: u64,
    /// Whether a statement failed since this was last asked: the transaction takes nothing more.
    failed: bool,
}

struct Kept {
    statement: Statement,
    used: u64,
}

/// A connection to the PostgreSQL at `url` for whoever reads tables that are not gyre's, by the same rules of encryption.
/// Statements there take `patience` at most, and change nothing.
///
/// # Errors
/// When the address cannot be read or the server does not answer; its password is not told.
pub fn reader(url: &StoreUrl, patience: Duration) -> Result<Client, StoreError> {
    let address = Address::parse(url)?;
    let told = |error: postgres::Error| failure(&address.shown, &error);
    let mut client = address.connect().map_err(told)?;
    let settings = format!(
        "SET default_transaction_read_only = on; SET TIME ZONE 'UTC'; SET statement_timeout = {}",
        patience.as_millis()
    );
    client.batch_execute(&settings).map_err(told)?;
    Ok(client)
}

impl Session {
    pub(crate) fn connect(address: &Address) -> Result<Self, StoreError> {
        let place = Arc::clone(&address.shown);
        let client = address.connect().map_err(|error| failure(&place, &error))?;
        let mut session = Self { client, place, statements: HashMap::new(), uses: 0, failed: false };
        session.run(SETTINGS)?;
        Ok(session)
    }

    /// `host:port/database`.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Whether a statement failed since the last call.
    pub(crate) fn take_failed(&mut self) -> bool {
        std::mem::take(&mut self.failed)
    }

    /// Runs a script without parameters.
    pub(crate) fn run(&mut self, sql: &str) -> Result<(), StoreError> {
        let done = self.client.batch_execute(sql);
        self.checked(done)
    }

    /// Runs a script written for both databases.
    pub(crate) fn run_script(&mut self, sql: &str) -> Result<(), StoreError> {
        self.run(&translate::script(sql))
    }

    /// Runs a script and returns the cells of the first row that it answers, as text.
    fn ask(&mut self, sql: &str) -> Result<Vec<Option<String>>, StoreError> {
        let answer = self.client.simple_query(sql);
        let answer = self.checked(answer)?;
        let row = answer.into_iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect())
            }
            _ => None,
        });
        Ok(row.unwrap_or_default())
    }

    pub(crate) fn execute(&mut self, sql: &str, cells: &[Cell]) -> Result<usize, StoreError> {
        let statement = self.prepared(sql)?;
        let parameters: Vec<&(dyn ToSql + Sync)> =
            cells.iter().map(|cell| cell as &(dyn ToSql + Sync)).collect();
        let changed = self.client.execute(&statement, &parameters);
        self.checked(changed).map(|changed| changed as usize)
    }

    pub(crate) fn query_each(
        &mut self,
        sql: &str,
        cells: &[Cell],
        mut each: impl FnMut(Row) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let statement = self.prepared(sql)?;
        let place = Arc::clone(&self.place);
        let outcome = (|| {
            let failed = |error: postgres::Error| (true, failure(&place, &error));
            let mut rows = self.client.query_raw(&statement, cells).map_err(failed)?;
            while let Some(row) = rows.next().map_err(failed)? {
                let cells: Result<_, _> = (0..row.len()).map(|column| row.try_get(column)).collect();
                each(Row::new(cells.map_err(failed)?)).map_err(|error| (false, error))?;
            }
            Ok(())
        })();
        outcome.map_err(|(broken, error)| {
            self.failed |= broken;
            error
        })
    }

    /// One statement for any number of rows: a column is an array, and the arrays are unnested side by side.
    pub(crate) fn insert_rows(
        &mut self,
        head: &str,
        columns: usize,
        rows: &[Cell],
        tail: &str,
    ) -> Result<usize, StoreError> {
        if rows.is_empty() {
            return Ok(0);
        }
        let key = format!("{head} {columns} {tail}");
        let statement = match self.kept(&key) {
            Some(statement) => statement,
            None => self.prepare_rows(head, columns, tail, key)?,
        };
        let arrays: Vec<Vec<&Cell>> =
            (0..columns).map(|column| rows.iter().skip(column).step_by(columns).collect()).collect();
        let parameters: Vec<&(dyn ToSql + Sync)> =
            arrays.iter().map(|array| array as &(dyn ToSql + Sync)).collect();
        let changed = self.client.execute(&statement, &parameters);
        self.checked(changed).map(|changed| changed as usize)
    }

    fn prepare_rows(
        &mut self,
        head: &str,
        columns: usize,
        tail: &str,
        key: String,
    ) -> Result<Statement, StoreError> {
        let list = |each: &dyn Fn(usize) -> String| (0..columns).map(each).collect::<Vec<_>>().join(", ");
        let (head, tail) = (translate::statement(head), translate::statement(tail));
        // A statement of one row says which types the columns have.
        let one = format!("{head} VALUES ({}) {tail}", list(&|column| format!("${}", column + 1)));
        let types = self.client.prepare(&one);
        let types: Vec<Type> = self.checked(types)?.params().to_vec();
        let arrays = list(&|column| format!("${}::{}[]", column + 1, types[column].name()));
        let sql = format!("{head} SELECT * FROM unnest({arrays}) {tail}");
        let statement = self.client.prepare(&sql);
        let statement = self.checked(statement)?;
        self.keep(key, &statement);
        Ok(statement)
    }

    /// Has `table` number its next rows after the highest number in it.
    pub(crate) fn renumber(&mut self, table: &str) -> Result<(), StoreError> {
        let sql = "SELECT CAST(attname AS TEXT) FROM pg_attribute
                   WHERE attrelid = to_regclass($1) AND attidentity <> '' AND NOT attisdropped";
        let columns = self.client.query(sql, &[&table]);
        for row in self.checked(columns)? {
            let column: String = row.get(0);
            let next = format!(
                "SELECT setval(pg_get_serial_sequence('{table}', '{column}'), (SELECT coalesce(max({column}), 0) + 1 FROM {table}), false)"
            );
            self.run(&next)?;
        }
        Ok(())
    }

    fn prepared(&mut self, sql: &str) -> Result<Statement, StoreError> {
        if let Some(statement) = self.kept(sql) {
            return Ok(statement);
        }
        let statement = self.client.prepare(&translate::statement(sql));
        let statement = self.checked(statement)?;
        self.keep(sql.to_owned(), &statement);
        Ok(statement)
    }

    fn kept(&mut self, key: &str) -> Option<Statement> {
        self.uses += 1;
        let kept = self.statements.get_mut(key)?;
        kept.used = self.uses;
        Some(kept.statement.clone())
    }

    fn keep(&mut self, key: String, statement: &Statement) {
        if self.statements.len() >= STATEMENTS {
            let oldest = self.statements.iter().min_by_key(|(_, kept)| kept.used);
            if let Some(key) = oldest.map(|(key, _)| key.clone()) {
                self.statements.remove(&key);
            }
        }
        self.statements.insert(key, Kept { statement: statement.clone(), used: self.uses });
    }

    fn checked<T>(&mut self, outcome: Result<T, postgres::Error>) -> Result<T, StoreError> {
        outcome.map_err(|error| {
            self.failed = true;
            if error.code() == Some(&SqlState::FEATURE_NOT_SUPPORTED) {
                // "cached plan must not change result type": another process has migrated the tables.
                self.statements.clear();
            }
            failure(&self.place, &error)
        })
    }
}

/// What an error of PostgreSQL's means for the caller.
fn failure(place: &str, error: &postgres::Error) -> StoreError {
    let unavailable = |reason: String| StoreError::Unavailable(format!("PostgreSQL at {place}: {reason}"));
    let cause = std::error::Error::source(error);
    if cause.is_some_and(|cause| matches!(cause.downcast_ref(), Some(cells::Unfit::Nul))) {
        return StoreError::Invalid(cells::Unfit::Nul.to_string());
    }
    let Some(told) = error.as_db_error() else {
        let reason = cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"));
        let broken = cause.is_some_and(|cause| cause.is::<std::io::Error>());
        return match error.is_closed() || broken || is_connecting(error) {
            true => unavailable(reason),
            false => StoreError::Postgres(reason),
        };
    };
    let code = told.code();
    match code.code() {
        "53100" => StoreError::Full,
        "22021" => StoreError::Invalid(cells::Unfit::Nul.to_string()),
        "25006" => StoreError::ReadOnly,
        // Shut down, starting up, too many connections, waited too long, deadlock, or a broken connection.
        "57P01" | "57P02" | "57P03" | "57P05" | "53300" | "55P03" | "40001" | "40P01" | "25P03" | "0A000" => {
            unavailable(told.message().to_owned())
        }
        other if other.starts_with("08") => unavailable(told.message().to_owned()),
        other => StoreError::Postgres(format!("{} ({other})", told.message())),
    }
}

/// Whether the error says that no connection came about (the driver has no other word for it).
fn is_connecting(error: &postgres::Error) -> bool {
    let said = error.to_string();
    said.starts_with("error connecting") || said.starts_with("timeout waiting")
}

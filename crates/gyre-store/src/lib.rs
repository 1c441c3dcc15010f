//! Where gyre remembers: one SQL store with the journal in it, and content-addressed blobs beside it.
//!
//! The promise of this room: **a state change and its journal entry commit in the same transaction, and what was
//! acknowledged is on disk.** It is kept by construction. The only way to write is [`Store::write`]; the only way
//! to tell the journal is [`Tx::append`]; and state tables belong to a [`Room`], whose projection the store calls
//! for every entry inside the transaction that appends it. So state cannot move without a fact, and a table that
//! a projection fills can be made anew from the journal.
//!
//! One thread writes, with group commit: writers that come while a commit is on its way to disk share the next
//! one. Readers use connections of their own and are never held up.
//!
//! Two databases can stand behind it: SQLite in the store's folder (WAL; one process), or a PostgreSQL that several
//! processes share. Rooms write one SQL for both; see [`Tx`] and [`Room`] for what it may hold.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod backup;
mod blobs;
mod cell;
mod error;
mod info;
pub mod journal;
mod lock;
mod news;
mod open;
mod postgres;
mod schema;
mod sqlite;
mod transfer;
mod tx;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;

pub use blobs::Blobs;
pub use cell::{Cell, FromCell, Row};
pub use error::StoreError;
pub use info::Info;
pub use journal::{Appended, Head, NewFact, Verification};
pub use postgres::{StoreUrl, reader as postgres_reader};
pub use schema::Room;
pub use transfer::{Step, Transfer, move_to_postgres, plan_move};
pub use tx::Tx;

use lock::StoreLock;
use news::{Follower, News};
use postgres::Pool;
use tx::Link;
use writer::Writer;

/// The store of one project.
pub struct Store {
    dir: PathBuf,
    database: Database,
    writer: Option<Writer>,
    news: Arc<News>,
    blobs: Blobs,
    backup: Option<PathBuf>,
    _follower: Option<Follower>,
    _lock: Option<StoreLock>,
}

/// What readers read from.
enum Database {
    Sqlite(Mutex<Vec<Connection>>),
    Postgres(Arc<Pool>),
}

/// How many readers of SQLite stay open when nobody reads.
const IDLE: usize = 4;

impl Store {
    /// The store's folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The content-addressed files beside the database.
    pub fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    /// Where the backup is that was made when this store was opened, because its tables had to be changed.
    pub fn backup_made(&self) -> Option<&Path> {
        self.backup.as_deref()
    }

    /// Whether the database is a PostgreSQL.
    pub fn on_postgres(&self) -> bool {
        matches!(self.database, Database::Postgres(_))
    }

    /// Runs `job` in a transaction and returns once it is on disk. When `job` fails, nothing of it remains. Jobs run one at a
    /// time, those of other processes on the same PostgreSQL included: what a job reads is still so when it writes.
    ///
    /// # Errors
    /// What `job` returned, or why the commit failed; in both cases nothing was written, but for
    /// [`StoreError::Unavailable`], whose text says when that is not known.
    pub fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.writer.as_ref().ok_or(StoreError::ReadOnly)?.run(job)
    }

    /// The same without waiting: `tell` is called with the outcome, on the writing thread, once it is on disk. It must be
    /// quick.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when too many jobs wait already: then `tell` is not called, and nothing is written.
    pub fn submit<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
        tell: impl FnOnce(Result<T, StoreError>) + Send + 'static,
    ) -> Result<(), StoreError> {
        self.writer.as_ref().ok_or(StoreError::ReadOnly)?.submit(job, tell)
    }

    /// Runs `job` on a consistent snapshot.
    ///
    /// # Errors
    /// What `job` returned, or why there is no connection.
    pub fn read<T>(&self, job: impl FnOnce(&mut Tx<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let readers = match &self.database {
            Database::Sqlite(readers) => readers,
            Database::Postgres(pool) => {
                return pool.read(|session| job(&mut Tx::reading(Link::Postgres(session))));
            }
        };
        let pooled = readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match pooled {
            Some(connection) => connection,
            None => sqlite::open_reader(&self.dir)?,
        };
        let snapshot = connection.unchecked_transaction()?;
        let outcome = job(&mut Tx::reading(Link::Sqlite(&snapshot)));
        snapshot.finish()?;
        let mut readers = readers.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.len() < IDLE {
            readers.push(connection);
        }
        outcome
    }
}

//! Where gyre remembers: one SQL store with the journal in it, and content-addressed blobs beside it.
//!
//! The promise of this room: **a state change and its journal entry commit in the same transaction, and what was
//! acknowledged is on disk.** It is kept by construction. The only way to write is [`Store::write`]; the only way
//! to tell the journal is [`Tx::append`]; and state tables belong to a [`Room`], whose projection the store calls
//! for every entry inside the transaction that appends it. So state cannot move without a fact, and a table that
//! a projection fills can be made anew from the journal.
//!
//! One thread writes, with group commit: writers that come while a commit is on its way to disk share the next
//! one. Readers use connections of their own and are never held up (SQLite in WAL mode).

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod blobs;
mod error;
pub mod journal;
mod lock;
mod schema;
mod sql;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use gyre_core::Clock;
use rusqlite::{Connection, OpenFlags};

pub use blobs::Blobs;
pub use error::StoreError;
pub use journal::{Appended, Head, NewFact, Verification};
pub use schema::Room;
pub use sql::{Cell, FromCell, Row, Tx};

use lock::StoreLock;
use writer::Writer;

/// The database file's name inside the store's folder.
const DATABASE: &str = "gyre.db";

/// The store of one project.
pub struct Store {
    dir: PathBuf,
    readers: Mutex<Vec<Connection>>,
    writer: Option<Writer>,
    news: Arc<News>,
    blobs: Blobs,
    _lock: Option<StoreLock>,
}

/// Tells those who wait that the journal has grown.
#[derive(Default)]
struct News {
    size: Mutex<u64>,
    grown: Condvar,
    listeners: Mutex<Vec<Listener>>,
}

/// Called with the journal's new size after each commit that made it grow.
type Listener = Box<dyn Fn(u64) + Send>;

impl News {
    fn announce(&self, size: u64) {
        let before = std::mem::replace(&mut *self.size.lock().unwrap_or_else(PoisonError::into_inner), size);
        if before == size {
            return;
        }
        self.grown.notify_all();
        self.listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .for_each(|listener| listener(size));
    }
}

impl Store {
    /// Opens the store in `dir`, making it when it is not there, for this process alone.
    ///
    /// # Errors
    /// [`StoreError::Held`] when another process has it open for writing; [`StoreError::Newer`] when a newer gyre
    /// has written it; otherwise what the disk or SQLite said.
    pub fn open(
        dir: &Path,
        rooms: &'static [&'static Room],
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        std::fs::create_dir_all(dir).map_err(|error| StoreError::io("create", dir, error))?;
        let lock = StoreLock::take(dir)?;
        let path = dir.join(DATABASE);
        let mut connection = Connection::open(&path)?;
        sql::prepare(&connection)?;
        schema::migrate(&mut connection, rooms)?;
        let news = Arc::<News>::default();
        let writer = Writer::start(connection, rooms, clock, Arc::clone(&news))?;
        let blobs = Blobs::new(dir.join("blobs"));
        let readers = Mutex::default();
        Ok(Self { dir: dir.to_owned(), readers, writer: Some(writer), news, blobs, _lock: Some(lock) })
    }

    /// Opens the store in `dir` for reading only, also while another process writes it.
    ///
    /// # Errors
    /// [`StoreError::Absent`] when there is none.
    pub fn open_read_only(dir: &Path) -> Result<Self, StoreError> {
        if !dir.join(DATABASE).is_file() {
            return Err(StoreError::Absent(dir.to_owned()));
        }
        let store = Self {
            dir: dir.to_owned(),
            readers: Mutex::default(),
            writer: None,
            news: Arc::default(),
            blobs: Blobs::new(dir.join("blobs")),
            _lock: None,
        };
        store.read(|tx| tx.query("SELECT count(*) FROM journal", &[]).map(drop))?;
        Ok(store)
    }

    /// The store's folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The content-addressed files beside the database.
    pub fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    /// Runs `job` in a transaction and returns once it is on disk. When `job` fails, nothing of it remains.
    ///
    /// # Errors
    /// What `job` returned, or why the commit failed; in both cases nothing was written.
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
        let pooled = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match pooled {
            Some(connection) => connection,
            None => self.reader()?,
        };
        let snapshot = connection.unchecked_transaction()?;
        let outcome = job(&mut Tx::reading(&snapshot));
        snapshot.finish()?;
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.len() < 4 {
            readers.push(connection);
        }
        outcome
    }

    fn reader(&self) -> Result<Connection, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(self.dir.join(DATABASE), flags)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        // As in PostgreSQL.
        connection.pragma_update(None, "case_sensitive_like", true)?;
        connection.set_prepared_statement_cache_capacity(sql::STATEMENTS);
        Ok(connection)
    }

    /// The number of entries that this process knows to be in the journal.
    pub fn journal_size(&self) -> u64 {
        *self.news.size.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has `listener` called with the journal's size after each commit that made it grow, on the writing thread: it must
    /// be quick.
    pub fn listen(&self, listener: impl Fn(u64) + Send + 'static) {
        self.news.listeners.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(listener));
    }

    /// Waits until the journal holds more than `seen` entries or `patience` is over, and says how many it holds.
    pub fn wait_beyond(&self, seen: u64, patience: Duration) -> u64 {
        let size = self.news.size.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.news.grown.wait_timeout_while(size, patience, |size| *size <= seen);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

//! Opening a store: the lock, the tables brought up to date, the writing thread.

use std::path::Path;
use std::sync::{Arc, Mutex};

use gyre_core::Clock;

use crate::blobs::Blobs;
use crate::journal::Journal;
use crate::lock::StoreLock;
use crate::news::{Follower, News, journal_size};
use crate::postgres::{Address, Pool, Remote, Session, StoreUrl};
use crate::schema::{self, Room};
use crate::tx::{Link, Tx};
use crate::writer::{Pen, Writer};
use crate::{Database, Store, StoreError, backup, sqlite};

/// The file in the store's folder that says where the store has moved to.
pub(crate) const MOVED: &str = "moved-to";

/// Held while tables are made, so that two processes that start together do not both make them ("gyre" in ASCII).
const MIGRATION_LOCK: i64 = 0x6779_7265;

impl Store {
    /// Opens the SQLite store in `dir`, making it when it is not there, for this process alone. Tables that are older than
    /// this program are brought up to date, after a backup ([`Store::backup_made`]).
    ///
    /// # Errors
    /// [`StoreError::Held`] when another process has it open for writing; [`StoreError::Newer`] when a newer gyre
    /// has written it; [`StoreError::Altered`]; [`StoreError::Moved`]; otherwise what the disk or SQLite said.
    pub fn open(
        dir: &Path,
        rooms: &'static [&'static Room],
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        std::fs::create_dir_all(dir).map_err(|error| StoreError::io("create", dir, error))?;
        let lock = StoreLock::take(dir)?;
        refuse_moved(dir)?;
        let connection = sqlite::open(dir)?;
        let found = schema::examine(&mut Tx::reading(Link::Sqlite(&connection)), rooms)?;
        let backup = match found.behind && !found.fresh {
            true => Some(backup::before_migration(&connection, dir, &found.versions, clock.now())?),
            false => None,
        };
        // Dropped without a commit, it is rolled back.
        let transaction = connection.unchecked_transaction()?;
        schema::apply(&mut Tx::reading(Link::Sqlite(&transaction)), rooms, &found.versions, clock.now())?;
        transaction.commit()?;
        let mut journal = Journal::new(rooms, clock);
        journal.load(&mut Tx::reading(Link::Sqlite(&connection)))?;
        let news = Arc::<News>::default();
        news.announce(journal.head().size);
        let pen = Pen::Sqlite { connection, dir: dir.to_owned() };
        let writer = Some(Writer::start(pen, journal, Arc::clone(&news))?);
        let database = Database::Sqlite(Mutex::default());
        Ok(Self { writer, news, backup, _lock: Some(lock), ..Self::reading(dir, database) })
    }

    /// Opens the store in the PostgreSQL at `url`, making its tables when they are not there. Blobs and what else is no table
    /// lie in `dir`, which is for this process alone; the database may be shared by many.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a wrong address; [`StoreError::Unavailable`] when nobody answers there; otherwise as
    /// [`Store::open`].
    pub fn open_postgres(
        dir: &Path,
        url: &StoreUrl,
        rooms: &'static [&'static Room],
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let address = Address::parse(url)?;
        std::fs::create_dir_all(dir).map_err(|error| StoreError::io("create", dir, error))?;
        let lock = StoreLock::take(dir)?;
        let mut session = Session::connect(&address)?;
        session.run("BEGIN")?;
        lock_migrations(&mut session)?;
        let mut tx = Tx::reading(Link::Postgres(&mut session));
        let found = schema::examine(&mut tx, rooms)?;
        schema::apply(&mut tx, rooms, &found.versions, clock.now())?;
        let size = journal_size(&mut tx)?;
        session.run("COMMIT")?;
        drop(session);
        let news = Arc::<News>::default();
        news.announce(size);
        let pen = Pen::Postgres(Box::new(Remote::new(address.clone())));
        let writer = Some(Writer::start(pen, Journal::new(rooms, clock), Arc::clone(&news))?);
        let pool = Arc::new(Pool::new(address));
        let looking = Arc::clone(&pool);
        let look = move || looking.read(|session| journal_size(&mut Tx::reading(Link::Postgres(session))));
        let follower = Some(Follower::start(Arc::clone(&news), look)?);
        let database = Database::Postgres(pool);
        Ok(Self { writer, news, _follower: follower, _lock: Some(lock), ..Self::reading(dir, database) })
    }

    /// Opens the SQLite store in `dir` for reading only, also while another process writes it.
    ///
    /// # Errors
    /// [`StoreError::Absent`] when there is none; [`StoreError::Moved`].
    pub fn open_read_only(dir: &Path) -> Result<Self, StoreError> {
        refuse_moved(dir)?;
        if !dir.join(sqlite::DATABASE).is_file() {
            return Err(StoreError::Absent(dir.to_owned()));
        }
        let store = Self::reading(dir, Database::Sqlite(Mutex::default()));
        store.read(|tx| tx.query("SELECT count(*) FROM journal", &[]).map(drop))?;
        Ok(store)
    }

    /// Opens the store in the PostgreSQL at `url` for reading only; blobs lie in `dir`.
    ///
    /// # Errors
    /// [`StoreError::Absent`] when there are no tables of gyre's; otherwise as [`Store::open_postgres`].
    pub fn open_postgres_read_only(dir: &Path, url: &StoreUrl) -> Result<Self, StoreError> {
        let address = Address::parse(url)?;
        let shown = address.shown.to_string();
        let store = Self::reading(dir, Database::Postgres(Arc::new(Pool::new(address))));
        match store.read(|tx| tx.has_table("journal_head"))? {
            true => Ok(store),
            false => Err(StoreError::Absent(shown.into())),
        }
    }

    fn reading(dir: &Path, database: Database) -> Self {
        Self {
            dir: dir.to_owned(),
            database,
            writer: None,
            news: Arc::default(),
            blobs: Blobs::new(dir.join("blobs")),
            backup: None,
            _follower: None,
            _lock: None,
        }
    }
}

/// Waits for other processes that make the same tables. The lock ends with the transaction.
pub(crate) fn lock_migrations(session: &mut Session) -> Result<(), StoreError> {
    session.run(&format!("SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
}

fn refuse_moved(dir: &Path) -> Result<(), StoreError> {
    let path = dir.join(MOVED);
    match std::fs::read_to_string(&path) {
        Ok(to) => Err(StoreError::Moved { dir: dir.to_owned(), to: to.trim().to_owned(), marker: MOVED }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(StoreError::io("read", &path, error)),
    }
}

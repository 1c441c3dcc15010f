//! What can go wrong with the store, in words that say what to do.

use std::path::{Path, PathBuf};

/// Why the store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk has no room left.
    #[error(
        "the disk is full: nothing of this was written; what was acknowledged before is safe. Free some space and try again"
    )]
    Full,
    /// SQLite refused.
    #[error("the store's database: {0}")]
    Sql(rusqlite::Error),
    /// PostgreSQL refused.
    #[error("the store's database: {0}")]
    Postgres(String),
    /// The database does not answer: it restarts, or is cut off. What was acknowledged before is safe; the same request may
    /// succeed in a moment.
    #[error("the store cannot answer for the moment ({0}); try again")]
    Unavailable(String),
    /// The file system refused.
    #[error("cannot {doing} {path}: {error}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// Another process has the store.
    #[error("the store {dir} is in use by process {holder}; stop that one first")]
    Held {
        /// The store.
        dir: PathBuf,
        /// The process.
        holder: String,
    },
    /// There is no store.
    #[error("there is no store in {0}: start one with `gyre up`, or run `gyre demo`")]
    Absent(PathBuf),
    /// The store was opened for reading only.
    #[error("the store was opened for reading only")]
    ReadOnly,
    /// The store is newer than this program.
    #[error(
        "the store was written by a newer gyre (its tables of `{room}` are at version {found}, this gyre knows {known}): use that one"
    )]
    Newer {
        /// Whose tables.
        room: &'static str,
        /// Their version.
        found: usize,
        /// The newest one known here.
        known: usize,
    },
    /// A script that made the store's tables is another one here.
    #[error(
        "the tables of `{room}` were made by another script than this gyre's (version {version}: SHA-256 {found} was applied, {expected} is here): use the gyre that made the store, or restore a backup"
    )]
    Altered {
        /// Whose tables.
        room: String,
        /// Which script, counted from 1.
        version: usize,
        /// The digest of what was applied.
        found: String,
        /// The digest of what would be.
        expected: String,
    },
    /// The store has moved to another database.
    #[error(
        "the store in {dir} was moved to {to}: start with `--store` and its address; to go on with what was left here, remove {dir}/{marker}"
    )]
    Moved {
        /// The store.
        dir: PathBuf,
        /// Where it is now.
        to: String,
        /// The file that says so.
        marker: &'static str,
    },
    /// A row does not hold what it should.
    #[error("the store's table {table} holds something unreadable: {reason}")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// What.
        reason: String,
    },
    /// A fact is too large for the journal.
    #[error("a {kind} fact of {size} bytes is too large for the journal (limit {limit})")]
    TooLarge {
        /// The fact's kind.
        kind: &'static str,
        /// Its size.
        size: usize,
        /// The most that goes.
        limit: usize,
    },
    /// Something that was looked for is not there.
    #[error("there is no {what} `{name}`{hint}")]
    NotFound {
        /// What kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
        /// What to do, beginning with a separator; or nothing.
        hint: String,
    },
    /// Something of that name is there already.
    #[error("{what} `{name}` exists already")]
    Exists {
        /// What kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// The request makes no sense: what was found, and what was expected.
    #[error("{0}")]
    Invalid(String),
    /// The request contradicts the state.
    #[error("{0}")]
    Conflict(String),
    /// The commit failed; nothing of it was written.
    #[error("nothing of this was written: {0}")]
    Commit(String),
    /// More is being written than the disk takes.
    #[error("more is being written than the disk takes: nothing of this was written; try again in a moment")]
    Busy,
    /// The writing thread is gone.
    #[error("the store is closed")]
    Closed,
}

/// How much of a name that is not there an error shows, in characters.
const LONGEST_NAME: usize = 250;

impl StoreError {
    /// An error of the file system.
    pub fn io(doing: &'static str, path: &Path, error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::StorageFull {
            return Self::Full;
        }
        Self::Io { doing, path: path.to_owned(), error }
    }

    /// An error for a missing `what`; of a very long name it shows the beginning.
    pub fn not_found(what: &'static str, name: impl Into<String>) -> Self {
        let mut name = name.into();
        if let Some((end, _)) = name.char_indices().nth(LONGEST_NAME) {
            name.replace_range(end.., "…");
        }
        Self::NotFound { what, name, hint: String::new() }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Self::Full,
            // The file that readers and the writer share could not grow.
            _ if extended(&error) == Some(rusqlite::ffi::SQLITE_IOERR_SHMSIZE) => Self::Full,
            _ => Self::Sql(without_statement(error)),
        }
    }
}

impl StoreError {
    /// The same, when the file system of `dir` has room left; otherwise that it has none. SQLite says of some operations on
    /// its log (syncing, truncating) only that they failed.
    pub(crate) fn or_full(self, dir: &Path) -> Self {
        let Self::Sql(error) = &self else { return self };
        if error.sqlite_error_code() != Some(rusqlite::ErrorCode::SystemIoFailure) {
            return self;
        }
        // Less than a page and its neighbours: whatever is written next fails too.
        let full = rustix::fs::statvfs(dir).is_ok_and(|fs| fs.f_bavail * fs.f_frsize < 16_384);
        if full { Self::Full } else { self }
    }

    /// The same for one of many who share its fate.
    pub(crate) fn shared(&self) -> Self {
        match self {
            Self::Full => Self::Full,
            Self::Unavailable(reason) => Self::Unavailable(reason.clone()),
            other => Self::Commit(other.to_string()),
        }
    }
}

/// The same without the statement: the error goes out to whoever asked, and how the tables are called is not his affair.
fn without_statement(error: rusqlite::Error) -> rusqlite::Error {
    match error {
        rusqlite::Error::SqlInputError { error, msg, .. } => rusqlite::Error::SqliteFailure(error, Some(msg)),
        other => other,
    }
}

fn extended(error: &rusqlite::Error) -> Option<i32> {
    match error {
        rusqlite::Error::SqliteFailure(error, _) => Some(error.extended_code),
        _ => None,
    }
}

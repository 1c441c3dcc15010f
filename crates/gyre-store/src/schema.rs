//! Tables by room, and how they come into being: numbered scripts, applied in order, never backwards.

use gyre_core::Entry;
use rusqlite::Connection;

use crate::{StoreError, Tx};

/// A room's share of the store: its tables, and how each new journal entry changes them.
pub struct Room {
    /// The room's name; its tables begin with it.
    pub name: &'static str,
    /// SQL scripts; the position is the version. A script, once released, never changes.
    pub migrations: &'static [&'static str],
    /// Brings the room's tables up to an entry, inside the transaction that appends it.
    pub project: fn(&mut Tx<'_>, &Entry) -> Result<(), StoreError>,
}

const OWN: &str = "
CREATE TABLE IF NOT EXISTS schema_version (room TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS journal (
    seq INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    model TEXT,
    key TEXT UNIQUE,
    body TEXT NOT NULL,
    leaf BLOB NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS journal_by_model ON journal (model, kind, seq);
CREATE INDEX IF NOT EXISTS journal_by_kind ON journal (kind, seq);
CREATE TABLE IF NOT EXISTS journal_head (one INTEGER PRIMARY KEY CHECK (one = 1), frontier TEXT NOT NULL) STRICT;
";

/// Applies what is missing, all of it or nothing.
pub(crate) fn migrate(connection: &mut Connection, rooms: &[&Room]) -> Result<(), StoreError> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(OWN)?;
    for room in rooms {
        let known = room.migrations.len();
        let found = {
            let mut tx = Tx::reading(&transaction);
            let rows = tx.query("SELECT version FROM schema_version WHERE room = ?1", &[room.name.into()])?;
            rows.first().map(|row| row.get::<i64>(0)).transpose()?.unwrap_or(0) as usize
        };
        if found > known {
            return Err(StoreError::Newer { room: room.name, found, known });
        }
        for script in &room.migrations[found..] {
            transaction.execute_batch(script)?;
        }
        transaction.execute(
            "INSERT INTO schema_version VALUES (?1, ?2) ON CONFLICT (room) DO UPDATE SET version = excluded.version",
            (room.name, known as i64),
        )?;
    }
    transaction.commit()?;
    Ok(())
}

//! Tables by room, and how they come into being: numbered scripts, applied in order, never backwards.
//!
//! What was applied is written down with the SHA-256 of the script, and compared at every start: a script that was changed
//! after its release would leave stores that look alike and are not.

use std::collections::BTreeMap;

use gyre_core::{Digest, Entry, Timestamp};

use crate::{StoreError, Tx, journal};

/// A room's share of the store: its tables, and how each new journal entry changes them.
pub struct Room {
    /// The room's name; its tables begin with it.
    pub name: &'static str,
    /// SQL scripts in the common subset, spelled as for SQLite: types `INTEGER` (64 bits), `REAL` (double), `TEXT` (sorts by
    /// bytes), `BLOB`; `INTEGER PRIMARY KEY` numbers itself; tables end in `STRICT`. The position is the version. A script,
    /// once released, never changes.
    pub migrations: &'static [&'static str],
    /// Brings the room's tables up to an entry, inside the transaction that appends it.
    pub project: fn(&mut Tx<'_>, &Entry) -> Result<(), StoreError>,
}

/// The store's own tables. Stores older than this list have them already.
static OWN: Room = Room {
    name: "store",
    migrations: &["
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
"],
    project: |_, _| Ok(()),
};

/// What says which scripts were applied.
const BOOKS: &str = "
CREATE TABLE IF NOT EXISTS schema_version (room TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS schema_migration (
    room TEXT NOT NULL,
    version INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    applied INTEGER NOT NULL,
    PRIMARY KEY (room, version)
) STRICT;
";

/// The versions of the rooms' tables, by room.
pub(crate) type Versions = BTreeMap<String, usize>;

/// How far a store has come.
pub(crate) struct Found {
    /// Whether there is anything in it.
    pub(crate) fresh: bool,
    pub(crate) versions: Versions,
    /// Whether something is to be applied.
    pub(crate) behind: bool,
}

/// Looks at what was applied, and refuses a store that this program must not touch.
///
/// # Errors
/// [`StoreError::Newer`], [`StoreError::Altered`].
pub(crate) fn examine(tx: &mut Tx<'_>, rooms: &[&'static Room]) -> Result<Found, StoreError> {
    let versions = versions(tx)?;
    let applied = match tx.has_table("schema_migration")? {
        true => tx.query("SELECT room, version, sha256 FROM schema_migration", &[])?,
        false => Vec::new(),
    };
    let mut digests = BTreeMap::new();
    for row in &applied {
        digests.insert((row.get::<String>(0)?, row.get::<u64>(1)? as usize), row.get::<String>(2)?);
    }
    let mut behind = false;
    for room in with_own(rooms) {
        let (found, known) = (versions.get(room.name).copied().unwrap_or(0), room.migrations.len());
        if found > known {
            return Err(StoreError::Newer { room: room.name, found, known });
        }
        behind |= found < known;
        for (version, script) in (1..).zip(room.migrations.iter().take(found)) {
            let expected = Digest::of(script.as_bytes()).to_hex();
            match digests.get(&(room.name.to_owned(), version)) {
                Some(found) if *found != expected => {
                    let (room, found) = (room.name.to_owned(), found.clone());
                    return Err(StoreError::Altered { room, version, found, expected });
                }
                _ => {}
            }
        }
    }
    Ok(Found { fresh: versions.is_empty(), versions, behind })
}

/// Applies what is missing. The caller's transaction makes it all of it or nothing.
pub(crate) fn apply(
    tx: &mut Tx<'_>,
    rooms: &[&'static Room],
    versions: &Versions,
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.run_script(BOOKS)?;
    for room in with_own(rooms) {
        let found = versions.get(room.name).copied().unwrap_or(0);
        for script in room.migrations.iter().skip(found) {
            tx.run_script(script)?;
        }
        // Stores from before the digests were kept get those of the scripts that made them.
        for (version, script) in (1_u64..).zip(room.migrations) {
            let sql = "INSERT INTO schema_migration (room, version, sha256, applied) VALUES (?1, ?2, ?3, ?4)
                       ON CONFLICT DO NOTHING";
            let digest = Digest::of(script.as_bytes()).to_hex();
            tx.execute(sql, &[room.name.into(), version.into(), digest.into(), now.as_millis().into()])?;
        }
        let sql = "INSERT INTO schema_version VALUES (?1, ?2)
                   ON CONFLICT (room) DO UPDATE SET version = excluded.version";
        tx.execute(sql, &[room.name.into(), (room.migrations.len() as u64).into()])?;
    }
    let sql = "INSERT INTO journal_head VALUES (1, ?1) ON CONFLICT DO NOTHING";
    tx.execute(sql, &[journal::empty_frontier()?.into()]).map(drop)
}

/// The versions of the tables that are there.
pub(crate) fn versions(tx: &mut Tx<'_>) -> Result<Versions, StoreError> {
    if !tx.has_table("schema_version")? {
        return Ok(Versions::new());
    }
    let rows = tx.query("SELECT room, version FROM schema_version", &[])?;
    rows.iter().map(|row| Ok((row.get(0)?, row.get::<u64>(1)? as usize))).collect()
}

fn with_own(rooms: &[&'static Room]) -> impl Iterator<Item = &'static Room> {
    std::iter::once(&OWN).chain(rooms.iter().copied())
}

//! Moving a store from SQLite to PostgreSQL.
//!
//! The move holds the store's lock: no server writes meanwhile, and one that runs is named. Copying a snapshot under a
//! running server would be possible, but what it acknowledged after the snapshot would be missing on the other side. All
//! of it is one transaction there: tables, rows, and the proof that the journal's root is the same. Either the whole
//! store is there, or nothing is. In the end the folder says where the store has gone, and is not written again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use gyre_core::Clock;
use serde::Serialize;

use crate::open::{MOVED, lock_migrations};
use crate::postgres::{Address, Session, StoreUrl};
use crate::schema::{self, Room, Versions};
use crate::tx::Link;
use crate::{Head, Store, StoreError, Tx, journal};

/// What a move has brought over, or would.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Transfer {
    /// Where to, without the password.
    pub to: String,
    /// Rows by table.
    pub tables: BTreeMap<String, u64>,
    /// The journal's head, the same on both sides.
    pub head: Head,
}

/// A moment of a move: `done` of `total` rows of `table`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step<'a> {
    /// The table.
    pub table: &'a str,
    /// Rows that are there.
    pub done: u64,
    /// Rows there will be.
    pub total: u64,
}

/// Steps are told after this many rows.
const EVERY: u64 = 10_000;

/// Says what [`move_to_postgres`] would do, after checking all that can be checked without writing.
///
/// # Errors
/// As [`move_to_postgres`]; a server that runs is no hindrance to asking.
pub fn plan_move(dir: &Path, url: &StoreUrl) -> Result<Transfer, StoreError> {
    let source = Store::open_read_only(dir)?;
    let address = Address::parse(url)?;
    refuse_used(&mut Session::connect(&address)?, &address)?;
    source.read(|tx| {
        let mut counts = BTreeMap::new();
        for table in tables(tx)? {
            counts.insert(table.clone(), count(tx, &table)?);
        }
        Ok(Transfer { to: address.shown.to_string(), tables: counts, head: journal::head(tx)? })
    })
}

/// Moves the SQLite store in `dir` to the PostgreSQL at `url`, in which there must be no store yet. Blobs stay in `dir`.
///
/// # Errors
/// [`StoreError::Held`] while a server runs; [`StoreError::Exists`] when there is a store at `url`; [`StoreError::Corrupt`]
/// when the journal does not verify. In all cases nothing has changed on either side.
pub fn move_to_postgres(
    dir: &Path,
    url: &StoreUrl,
    rooms: &'static [&'static Room],
    clock: Arc<dyn Clock>,
    mut told: impl FnMut(Step<'_>),
) -> Result<Transfer, StoreError> {
    if !dir.join(crate::sqlite::DATABASE).is_file() {
        return Err(StoreError::Absent(dir.to_owned()));
    }
    let address = Address::parse(url)?;
    let mut session = Session::connect(&address)?;
    refuse_used(&mut session, &address)?;
    // Both sides must have the tables of this program.
    let source = Store::open(dir, rooms, Arc::clone(&clock))?;
    session.run("BEGIN")?;
    lock_migrations(&mut session)?;
    refuse_used(&mut session, &address)?;
    let mut tx = Tx::reading(Link::Postgres(&mut session));
    schema::apply(&mut tx, rooms, &Versions::new(), clock.now())?;
    let tables = source.read(|from| fill(from, &mut session, &mut told))?;
    let head = prove(&source, &mut Tx::reading(Link::Postgres(&mut session)))?;
    session.run("COMMIT")?;
    let marker = dir.join(MOVED);
    let failed = |error| StoreError::io("write", &marker, error);
    std::fs::write(&marker, format!("{}\n", address.shown)).map_err(failed)?;
    std::fs::File::open(&marker).and_then(|file| file.sync_all()).map_err(failed)?;
    crate::blobs::sync_folder(dir)?;
    Ok(Transfer { to: address.shown.to_string(), tables, head })
}

fn refuse_used(session: &mut Session, address: &Address) -> Result<(), StoreError> {
    let mut tx = Tx::reading(Link::Postgres(session));
    if tx.has_table("schema_version")? || tx.has_table("journal")? {
        return Err(StoreError::Exists { what: "a store at", name: address.shown.to_string() });
    }
    Ok(())
}

/// Copies every table, those that others refer to first.
fn fill(
    from: &mut Tx<'_>,
    session: &mut Session,
    told: &mut dyn FnMut(Step<'_>),
) -> Result<BTreeMap<String, u64>, StoreError> {
    let mut left = tables(from)?;
    for table in &left {
        if !Tx::reading(Link::Postgres(session)).has_table(table)? {
            let reason = "this gyre does not know the table".to_owned();
            return Err(StoreError::Invalid(format!("{table}: {reason}; use the gyre that made the store")));
        }
    }
    // The scripts that made the tables may have put rows there; the store's own are what counts.
    let all = left.iter().map(|table| format!("\"{table}\"")).collect::<Vec<_>>().join(", ");
    session.run(&format!("TRUNCATE {all}"))?;
    let references = references(&mut Tx::reading(Link::Postgres(session)))?;
    let mut counts = BTreeMap::new();
    while !left.is_empty() {
        let waits = |table: &String| {
            references.iter().any(|(of, to)| of == table && to != table && left.contains(to))
        };
        // Tables that refer to each other in a circle: PostgreSQL will say so.
        let next = left.iter().find(|table| !waits(table)).or(left.first()).cloned().unwrap_or_default();
        left.remove(&next);
        let total = count(from, &next)?;
        let copied = copy(from, session, &next, total, told)?;
        if copied != total {
            let reason = format!("{copied} of {total} rows arrived");
            return Err(StoreError::Invalid(format!("{next}: {reason}")));
        }
        Tx::reading(Link::Postgres(session)).renumber(&next)?;
        counts.insert(next, total);
    }
    Ok(counts)
}

fn copy(
    from: &mut Tx<'_>,
    session: &mut Session,
    table: &str,
    total: u64,
    told: &mut dyn FnMut(Step<'_>),
) -> Result<u64, StoreError> {
    let columns = from.query("SELECT name FROM pragma_table_info(?1) ORDER BY cid", &[table.into()])?;
    let columns: Vec<String> = columns.iter().map(|row| row.get(0)).collect::<Result<_, _>>()?;
    let names = columns.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
    told(Step { table, done: 0, total });
    let copied = session.copy(table, &columns, |take| {
        let mut done = 0;
        from.query_each(&format!("SELECT {names} FROM \"{table}\""), &[], |row| {
            take(&row)?;
            done += 1;
            if done % EVERY == 0 {
                told(Step { table, done, total });
            }
            Ok(())
        })
    });
    let copied = copied.map_err(|error| match error {
        StoreError::Invalid(reason) => StoreError::Invalid(format!("a row of {table}: {reason}")),
        other => other,
    })?;
    told(Step { table, done: total, total });
    Ok(copied)
}

/// Verifies both journals, and that they are the same one.
fn prove(source: &Store, tx: &mut Tx<'_>) -> Result<Head, StoreError> {
    let (here, there) = (journal::verify(source)?, journal::verify_in(tx)?);
    let wrong = |reason: String| StoreError::Corrupt { table: "journal", reason };
    for found in [&here, &there] {
        if !found.verified {
            return Err(wrong(found.problems.join("; ")));
        }
    }
    if (here.entries, here.root) != (there.entries, there.root) {
        return Err(wrong(format!("its root is {} here and {} there", here.root, there.root)));
    }
    Ok(Head { size: here.entries, root: here.root })
}

/// All tables of a SQLite store.
fn tables(tx: &mut Tx<'_>) -> Result<BTreeSet<String>, StoreError> {
    let sql = "SELECT name FROM sqlite_master WHERE type = 'table' AND substr(name, 1, 7) <> 'sqlite_'";
    let rows = tx.query(sql, &[])?;
    let names: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect::<Result<_, _>>()?;
    match names.iter().find(|name| name.contains('"')) {
        Some(odd) => Err(StoreError::Invalid(format!("`{odd}` is not the name of a table of gyre's"))),
        None => Ok(names),
    }
}

fn count(tx: &mut Tx<'_>, table: &str) -> Result<u64, StoreError> {
    let rows = tx.query(&format!("SELECT count(*) FROM \"{table}\""), &[])?;
    rows.first().map_or(Ok(0), |row| row.get(0))
}

/// Which table refers to which.
fn references(tx: &mut Tx<'_>) -> Result<Vec<(String, String)>, StoreError> {
    let sql = "SELECT CAST(a.relname AS TEXT), CAST(b.relname AS TEXT) FROM pg_constraint c
               JOIN pg_class a ON a.oid = c.conrelid JOIN pg_class b ON b.oid = c.confrelid
               WHERE c.contype = 'f' AND c.connamespace = CAST(CAST(current_schema() AS TEXT) AS regnamespace)";
    tx.query(sql, &[])?.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect()
}

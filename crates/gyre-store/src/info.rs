//! What a store is, for people: which database, how large, which versions of its tables.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::tx::Link;
use crate::{Database, Head, Store, StoreError, Tx, journal, schema, sqlite};

/// A store at a glance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Info {
    /// `sqlite` or `postgresql`.
    pub database: &'static str,
    /// The file, or `host:port/database`.
    pub place: String,
    /// The version of the database's software.
    pub software: String,
    /// The database's size in bytes, without blobs.
    pub bytes: u64,
    /// The versions of the tables, by room.
    pub tables: BTreeMap<String, usize>,
    /// The journal.
    pub journal: Head,
}

impl Store {
    /// Describes the store.
    ///
    /// # Errors
    /// What the database said.
    pub fn info(&self) -> Result<Info, StoreError> {
        match &self.database {
            Database::Sqlite(_) => self.read(|tx| {
                let sql = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()";
                let bytes = one(tx, sql)?;
                let software = text(tx, "SELECT 'SQLite ' || sqlite_version()")?;
                let place = self.dir.join(sqlite::DATABASE).display().to_string();
                describe(tx, "sqlite", place, software, bytes)
            }),
            Database::Postgres(pool) => pool.read(|session| {
                let place = session.place().to_owned();
                let tx = &mut Tx::reading(Link::Postgres(session));
                let sql = "SELECT sum(pg_total_relation_size(oid)) FROM pg_class
                           WHERE relkind = 'r' AND relnamespace = CAST(CAST(current_schema() AS TEXT) AS regnamespace)";
                let bytes = one(tx, sql)?;
                let software = text(tx, "SELECT 'PostgreSQL ' || current_setting('server_version')")?;
                describe(tx, "postgresql", place, software, bytes)
            }),
        }
    }
}

fn describe(
    tx: &mut Tx<'_>,
    database: &'static str,
    place: String,
    software: String,
    bytes: u64,
) -> Result<Info, StoreError> {
    let (tables, journal) = (schema::versions(tx)?, journal::head(tx)?);
    Ok(Info { database, place, software, bytes, tables, journal })
}

fn one(tx: &mut Tx<'_>, sql: &str) -> Result<u64, StoreError> {
    tx.query(sql, &[])?
        .first()
        .map_or(Ok(None), |row| row.get::<Option<u64>>(0))
        .map(Option::unwrap_or_default)
}

fn text(tx: &mut Tx<'_>, sql: &str) -> Result<String, StoreError> {
    tx.query(sql, &[])?.first().map_or(Ok(String::new()), |row| row.get(0))
}

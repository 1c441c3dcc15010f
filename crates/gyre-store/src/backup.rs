//! Copies of the SQLite database: by itself before a migration, and when asked.
//!
//! `VACUUM INTO` (<https://sqlite.org/lang_vacuum.html>) copies a consistent snapshot, also while others read and write. It
//! does not sync the copy, so that is done here before the copy gets its name: what bears the name of a backup is one.

use std::path::{Path, PathBuf};

use gyre_core::Timestamp;
use rusqlite::Connection;

use crate::schema::Versions;
use crate::{Store, StoreError, sqlite};

/// The folder of backups inside the store's folder.
const FOLDER: &str = "backup";

/// How many backups before migrations are kept.
const KEPT: usize = 5;

/// Backs the database up before a migration: `backup/gyre-<date>-<versions>.db`. The oldest beyond [`KEPT`] are removed.
pub(crate) fn before_migration(
    connection: &Connection,
    dir: &Path,
    versions: &Versions,
    now: Timestamp,
) -> Result<PathBuf, StoreError> {
    let versions: Vec<String> = versions.iter().map(|(room, version)| format!("{room}{version}")).collect();
    let folder = dir.join(FOLDER);
    let target = folder.join(format!("gyre-{}-{}.db", date(now), versions.join("-")));
    copy(connection, &target)?;
    prune(&folder)?;
    Ok(target)
}

/// Copies the database to `target`, which is there entirely or not at all.
fn copy(connection: &Connection, target: &Path) -> Result<(), StoreError> {
    let failed = |error| StoreError::io("write", target, error);
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(failed)?;
    let partial = tempfile::Builder::new().prefix(".gyre-backup-").tempdir_in(folder).map_err(failed)?;
    let file = partial.path().join("copy.db");
    let text = file.to_str().ok_or_else(|| {
        StoreError::Invalid(format!("{}: expected a path in UTF-8, found another one", file.display()))
    })?;
    connection.execute("VACUUM INTO ?1", [text]).map_err(|error| StoreError::from(error).or_full(folder))?;
    std::fs::File::open(&file).and_then(|file| file.sync_all()).map_err(failed)?;
    std::fs::rename(&file, target).map_err(failed)?;
    crate::blobs::sync_folder(folder)
}

fn prune(folder: &Path) -> Result<(), StoreError> {
    let failed = |error| StoreError::io("read", folder, error);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with("gyre-") && name.ends_with(".db") {
            found.push(path);
        }
    }
    found.sort();
    for old in found.iter().rev().skip(KEPT) {
        std::fs::remove_file(old).map_err(|error| StoreError::io("remove", old, error))?;
    }
    Ok(())
}

/// The moment as a part of a file's name, such as `20261125T194212Z`.
fn date(now: Timestamp) -> String {
    let text = now.to_string().replace(['-', ':'], "");
    match text.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => text,
    }
}

impl Store {
    /// Copies the SQLite database to `target`, or to `backup/manual-<date>.db` in the store's folder, also while a server
    /// writes it; returns where it is. Models and other blobs are files of their own, and are not in it.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when there is such a file; [`StoreError::Invalid`] for a store on PostgreSQL, which has its own
    /// tools for that.
    pub fn backup(&self, target: Option<&Path>, now: Timestamp) -> Result<PathBuf, StoreError> {
        if self.on_postgres() {
            let remedy = "back PostgreSQL up with its own tools: pg_dump, or continuous archiving";
            return Err(StoreError::Invalid(format!("this store is on PostgreSQL; {remedy}")));
        }
        let target = match target {
            Some(target) => target.to_owned(),
            None => self.dir.join(FOLDER).join(format!("manual-{}.db", date(now))),
        };
        if target.exists() {
            return Err(StoreError::Exists { what: "the file", name: target.display().to_string() });
        }
        copy(&sqlite::open_reader(&self.dir)?, &target)?;
        Ok(target)
    }
}

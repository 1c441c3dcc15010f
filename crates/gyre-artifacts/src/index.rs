//! Which file lies under which path, in the store's tables.
//!
//! `artifacts_files` is the tree, flat and ordered by path: a folder is a range of it. `artifacts_blobs` counts how many
//! paths refer to the same bytes. Both change in one transaction. Paths are compared byte by byte (SQLite's own way; on
//! PostgreSQL the collation "C").
//!
//! A blob whose count is [`CONDEMNED`] is about to be deleted: nobody may come to refer to it again until it is gone.

use gyre_core::{Digest, Entry, Timestamp};
use gyre_store::{Cell, Room, Row, StoreError, Tx};
use sha2::{Digest as _, Sha256};

use crate::hashing::Checksum;
use crate::path::{ArtifactPath, Folder, HIGHEST};

/// The room's tables. No projection fills them: artifacts are data of high rate, which the journal covers by the digest
/// of their tree ([`tree_digest`]).
pub static ROOM: Room = Room {
    name: "artifacts",
    migrations: &[
        "
CREATE TABLE artifacts_files (
    path TEXT NOT NULL PRIMARY KEY,
    digest TEXT NOT NULL,
    size INTEGER NOT NULL,
    modified INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX artifacts_files_by_digest ON artifacts_files (digest);
CREATE TABLE artifacts_blobs (
    digest TEXT NOT NULL PRIMARY KEY,
    size INTEGER NOT NULL,
    refs INTEGER NOT NULL,
    released INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX artifacts_blobs_unused ON artifacts_blobs (refs, released);
",
        "
CREATE TABLE artifacts_identity (one INTEGER PRIMARY KEY CHECK (one = 1), id TEXT NOT NULL) STRICT;
",
        "
ALTER TABLE artifacts_blobs ADD COLUMN checksum INTEGER;
",
    ],
    project: nothing,
};

fn nothing(_: &mut Tx<'_>, _: &Entry) -> Result<(), StoreError> {
    Ok(())
}

/// The count of a blob that is being deleted.
pub(crate) const CONDEMNED: i64 = -1;

/// Rows looked at in one go while a folder is listed.
const STRIDE: u64 = 256;

/// A file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRecord {
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// By which damage is found; none when the file was put there before there were any.
    pub checksum: Option<Checksum>,
    /// Its size, in bytes.
    pub size: u64,
    /// When it was put there.
    pub modified: Timestamp,
}

/// A direct child of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    /// Its name within the folder.
    pub name: String,
    /// Its size in bytes; none for a folder.
    pub size: Option<u64>,
}

/// Some children of a folder, in the order of their paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// The children.
    pub children: Vec<Child>,
    /// Whether there are more after the last of them.
    pub more: bool,
}

/// What a tree of files amounts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tree {
    /// See [`tree_digest`].
    pub digest: Digest,
    /// Files in it.
    pub files: u64,
    /// Bytes in it.
    pub bytes: u64,
}

/// How the bytes of a file got to where blobs lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Brought {
    /// They have just been put there.
    Now,
    /// They were there already.
    Before,
}

/// By what name this store marks a place for its artifacts as its own; chosen at random, once.
///
/// # Errors
/// What the database said.
pub(crate) fn identity(tx: &mut Tx<'_>) -> Result<String, StoreError> {
    let new = uuid::Uuid::new_v4().simple().to_string();
    let sql = "INSERT INTO artifacts_identity (one, id) VALUES (1, ?1) ON CONFLICT (one) DO NOTHING";
    tx.execute(sql, &[new.as_str().into()])?;
    let rows = tx.query("SELECT id FROM artifacts_identity WHERE one = 1", &[])?;
    rows.first().map_or(Ok(new), |row| row.get(0))
}

/// The file at `path`.
///
/// # Errors
/// [`StoreError::NotFound`].
pub fn file(tx: &mut Tx<'_>, path: &ArtifactPath) -> Result<FileRecord, StoreError> {
    let sql = "SELECT f.digest, f.size, f.modified, b.checksum
               FROM artifacts_files f JOIN artifacts_blobs b ON b.digest = f.digest WHERE f.path = ?1";
    let rows = tx.query(sql, &[path.as_str().into()])?;
    record(rows.first().ok_or_else(|| StoreError::not_found("artifact", path.as_str()))?)
}

/// What the first four columns of a row say: digest, size, time, checksum.
fn record(row: &Row) -> Result<FileRecord, StoreError> {
    Ok(FileRecord {
        digest: digest(row, 0)?,
        size: row.get(1)?,
        modified: Timestamp::from_millis(row.get(2)?),
        checksum: row.get::<Option<i64>>(3)?.map(|bits| Checksum(bits.cast_unsigned())),
    })
}

/// Whether the bytes `digest` are there and here to stay.
///
/// # Errors
/// [`StoreError::Busy`] while they are being deleted.
pub(crate) fn is_kept(tx: &mut Tx<'_>, digest: &Digest) -> Result<bool, StoreError> {
    let rows = tx.query("SELECT refs FROM artifacts_blobs WHERE digest = ?1", &[digest.to_hex().into()])?;
    match rows.first().map(|row| row.get::<i64>(0)).transpose()? {
        Some(CONDEMNED) => Err(StoreError::Busy),
        refs => Ok(refs.is_some()),
    }
}

/// Makes the bytes `digest` visible at `path`, instead of what was there.
///
/// # Errors
/// [`StoreError::Conflict`] when a file would have to be a folder too; [`StoreError::Busy`] when the bytes have been
/// deleted meanwhile.
pub(crate) fn publish(
    tx: &mut Tx<'_>,
    path: &ArtifactPath,
    bytes: (Digest, Checksum, u64),
    brought: Brought,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (digest, checksum, size) = bytes;
    if !is_kept(tx, &digest)? && brought == Brought::Before {
        return Err(StoreError::Busy);
    }
    no_file_is_a_folder(tx, path)?;
    let hex = digest.to_hex();
    let before = tx.query("SELECT digest FROM artifacts_files WHERE path = ?1", &[path.as_str().into()])?;
    let before: Option<String> = before.first().map(|row| row.get(0)).transpose()?;
    tx.execute(
        "INSERT INTO artifacts_files (path, digest, size, modified) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (path) DO UPDATE SET digest = excluded.digest, size = excluded.size, modified = excluded.modified",
        &[path.as_str().into(), hex.as_str().into(), size.into(), now.as_millis().into()],
    )?;
    tx.execute(
        "INSERT INTO artifacts_blobs (digest, size, refs, released, checksum) VALUES (?1, ?2, 1, ?3, ?4)
         ON CONFLICT (digest) DO UPDATE SET refs = artifacts_blobs.refs + 1, checksum = excluded.checksum",
        &[hex.into(), size.into(), now.as_millis().into(), checksum.0.cast_signed().into()],
    )?;
    if let Some(before) = before {
        tx.execute(
            "UPDATE artifacts_blobs SET refs = refs - 1, released = ?2 WHERE digest = ?1",
            &[before.into(), now.as_millis().into()],
        )?;
    }
    Ok(())
}

fn no_file_is_a_folder(tx: &mut Tx<'_>, path: &ArtifactPath) -> Result<(), StoreError> {
    for folder in path.ancestors() {
        if !tx.query("SELECT 1 FROM artifacts_files WHERE path = ?1", &[folder.into()])?.is_empty() {
            return Err(StoreError::Conflict(format!(
                "`{path}` cannot be stored: `{folder}` is a file, not a folder"
            )));
        }
    }
    if exists(tx, &path.as_folder())? {
        return Err(StoreError::Conflict(format!("`{path}` is a folder; a file cannot take its place")));
    }
    Ok(())
}

/// Whether there is a file in `folder`.
///
/// # Errors
/// What the database said.
pub fn exists(tx: &mut Tx<'_>, folder: &Folder) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM artifacts_files WHERE path >= ?1 AND path < ?2 LIMIT 1";
    Ok(!tx.query(sql, &range(folder))?.is_empty())
}

/// Up to `limit` direct children of `folder`, after `after` (the last child of the page before). A folder in it costs one
/// look-up, however many files it has.
///
/// # Errors
/// What the database said.
pub fn list(
    tx: &mut Tx<'_>,
    folder: &Folder,
    after: Option<&Child>,
    limit: usize,
) -> Result<Listing, StoreError> {
    let prefix = folder.prefix();
    let mut listing = Listing::default();
    let mut seen = after.map_or(prefix.clone(), |child| past(&prefix, child));
    loop {
        let rows = tx.query(
            "SELECT path, size FROM artifacts_files WHERE path > ?1 AND path < ?2 ORDER BY path LIMIT ?3",
            &[seen.as_str().into(), folder.end().into(), STRIDE.into()],
        )?;
        for row in &rows {
            let path: String = row.get(0)?;
            if path <= seen {
                continue;
            }
            if listing.children.len() == limit {
                listing.more = true;
                return Ok(listing);
            }
            let inner = path.get(prefix.len()..).unwrap_or_default();
            let child = match inner.split_once('/') {
                Some((name, _)) => Child { name: name.to_owned(), size: None },
                None => Child { name: inner.to_owned(), size: Some(row.get(1)?) },
            };
            seen = past(&prefix, &child);
            listing.children.push(child);
        }
        if (rows.len() as u64) < STRIDE {
            return Ok(listing);
        }
    }
}

/// At or above everything that belongs to a child, below everything that comes after it.
fn past(prefix: &str, child: &Child) -> String {
    match child.size {
        Some(_) => format!("{prefix}{}", child.name),
        None => format!("{prefix}{}/{HIGHEST}", child.name),
    }
}

/// Makes the file at `path` disappear; says whether there was one.
///
/// # Errors
/// What the database said.
pub fn remove(tx: &mut Tx<'_>, path: &ArtifactPath, now: Timestamp) -> Result<bool, StoreError> {
    let found =
        tx.query("DELETE FROM artifacts_files WHERE path = ?1 RETURNING digest", &[path.as_str().into()])?;
    for row in &found {
        let digest: String = row.get(0)?;
        tx.execute(
            "UPDATE artifacts_blobs SET refs = refs - 1, released = ?2 WHERE digest = ?1",
            &[digest.into(), now.as_millis().into()],
        )?;
    }
    Ok(!found.is_empty())
}

/// Makes all files in `folder` disappear; says how many there were.
///
/// # Errors
/// What the database said.
pub fn remove_tree(tx: &mut Tx<'_>, folder: &Folder, now: Timestamp) -> Result<usize, StoreError> {
    let [from, to] = range(folder);
    tx.execute(
        "UPDATE artifacts_blobs SET refs = artifacts_blobs.refs - gone.files, released = ?3
         FROM (SELECT digest, count(*) AS files FROM artifacts_files WHERE path >= ?1 AND path < ?2 GROUP BY digest)
              AS gone
         WHERE gone.digest = artifacts_blobs.digest",
        &[from.clone(), to.clone(), now.as_millis().into()],
    )?;
    tx.execute("DELETE FROM artifacts_files WHERE path >= ?1 AND path < ?2", &[from, to])
}

/// The digest of a tree: SHA-256 over one line a file, `PATH NUL SIZE NUL SHA256 LF`, with the path relative to `folder`,
/// the size in decimal, the digest in lowercase hexadecimal, in the byte order of the paths. An empty tree has the digest
/// of no bytes. In a shell, for names without line breaks:
/// `LC_ALL=C; find . -type f -printf '%P\n' | sort | while IFS= read -r f; do printf '%s\0%s\0%s\n' "$f" "$(stat -c %s
/// "$f")" "$(sha256sum < "$f" | cut -c1-64)"; done | sha256sum`.
///
/// # Errors
/// What the database said.
pub fn tree_digest(tx: &mut Tx<'_>, folder: &Folder) -> Result<Tree, StoreError> {
    let prefix = folder.prefix().len();
    let (mut hash, mut files, mut bytes) = (Sha256::new(), 0, 0);
    tx.query_each(
        "SELECT path, size, digest FROM artifacts_files WHERE path >= ?1 AND path < ?2 ORDER BY path",
        &range(folder),
        |row| {
            let (path, size, digest): (String, u64, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let path = path.get(prefix..).unwrap_or_default();
            hash.update(format!("{path}\0{size}\0{digest}\n"));
            files += 1;
            bytes += size;
            Ok(())
        },
    )?;
    Ok(Tree { digest: Digest::from_bytes(hash.finalize().into()), files, bytes })
}

/// Every file in `folder`, to the bottom, by its path below the folder, in the byte order of the paths.
///
/// # Errors
/// [`StoreError::Invalid`] when there are more than `most`; what the database said.
pub fn files(tx: &mut Tx<'_>, folder: &Folder, most: usize) -> Result<Vec<(String, FileRecord)>, StoreError> {
    let [from, to] = range(folder);
    let sql = "SELECT f.digest, f.size, f.modified, b.checksum, f.path
               FROM artifacts_files f JOIN artifacts_blobs b ON b.digest = f.digest
               WHERE f.path >= ?1 AND f.path < ?2 ORDER BY f.path LIMIT ?3";
    let rows = tx.query(sql, &[from, to, (most as u64 + 1).into()])?;
    if rows.len() > most {
        let told = format!("`{}` has more than {most} files, more than are taken at once", folder.as_str());
        return Err(StoreError::Invalid(told));
    }
    let prefix = folder.prefix().len();
    let one = |row: &Row| {
        let path: String = row.get(4)?;
        Ok((path.get(prefix..).unwrap_or_default().to_owned(), record(row)?))
    };
    rows.iter().map(one).collect()
}

/// How many files there are in `folder`, and how many bytes they have.
///
/// # Errors
/// What the database said.
pub fn measure(tx: &mut Tx<'_>, folder: &Folder) -> Result<(u64, u64), StoreError> {
    let sql = "SELECT count(*), coalesce(sum(size), 0) FROM artifacts_files WHERE path >= ?1 AND path < ?2";
    let rows = tx.query(sql, &range(folder))?;
    rows.first().map_or(Ok((0, 0)), |row| Ok((row.get(0)?, row.get(1)?)))
}

fn range(folder: &Folder) -> [Cell; 2] {
    [folder.prefix().into(), folder.end().into()]
}

pub(crate) fn digest(row: &Row, column: usize) -> Result<Digest, StoreError> {
    let hex: String = row.get(column)?;
    hex.parse().map_err(|error: gyre_core::digest::InvalidDigest| StoreError::Corrupt {
        table: "artifacts",
        reason: error.to_string(),
    })
}

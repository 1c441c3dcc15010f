//! The journal: facts in order, each the leaf of a Merkle tree, never changed.
//!
//! An entry is stored as the very JSON text that was hashed, so that verifying needs no agreement about how to
//! write JSON: [`verify`] hashes the stored bytes, grows the tree, and holds the root against the head that was
//! written with every append. A leaf is RFC 6962's SHA-256(0x00 ‖ body).

use std::sync::Arc;

use gyre_core::merkle::{self, Frontier};
use gyre_core::{Clock, Digest, Entry, Fact, Timestamp};
use serde::Serialize;

use crate::cell::{Cell, Row};
use crate::schema::Room;
use crate::{Store, StoreError, Tx};

/// The largest entry: what a tile-based transparency log can carry (C2SP tlog-tiles).
pub const MAX_ENTRY: usize = 65_535;

/// A fact on its way into the journal.
#[derive(Debug, Clone)]
pub struct NewFact {
    /// When it happened, in event time.
    pub at: Timestamp,
    /// Who did it.
    pub actor: String,
    /// The entry that led to it.
    pub cause: Option<u64>,
    /// A name that no second entry may bear.
    pub key: Option<String>,
    /// From where it was asked.
    pub origin: Option<String>,
    /// What happened.
    pub fact: Fact,
}

impl NewFact {
    /// A fact by `actor` at `at`, without cause or key.
    pub fn new(at: Timestamp, actor: impl Into<String>, fact: Fact) -> Self {
        Self { at, actor: actor.into(), cause: None, key: None, origin: None, fact }
    }

    /// The same, led to by the entry `seq`.
    pub fn because_of(mut self, seq: u64) -> Self {
        self.cause = Some(seq);
        self
    }

    /// The same, asked for from `origin`: the client's address, and what it calls itself.
    pub fn from_where(mut self, origin: Option<String>) -> Self {
        self.origin = origin;
        self
    }

    /// The same, to be written at most once under `key`.
    pub fn once(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }
}

/// Where an appended fact stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Its position, counted from 1.
    pub seq: u64,
    /// Whether it was written now, rather than before under the same key.
    pub fresh: bool,
}

/// The journal's size and root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Head {
    /// Entries.
    pub size: u64,
    /// The Merkle tree's root over them.
    pub root: Digest,
}

/// What checking the whole journal found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// Entries read.
    pub entries: u64,
    /// The root computed from them.
    pub root: Digest,
    /// Whether all is as it was written.
    pub verified: bool,
    /// What is not.
    pub problems: Vec<String>,
}

/// The writer's side: the tree's right edge, as far as this transaction has come.
pub(crate) struct Journal {
    pub(crate) frontier: Frontier,
    /// Whether the frontier in the table is an older one.
    pub(crate) grown: bool,
    pub(crate) rooms: &'static [&'static Room],
    clock: Arc<dyn Clock>,
}

impl Journal {
    pub(crate) fn new(rooms: &'static [&'static Room], clock: Arc<dyn Clock>) -> Self {
        Self { frontier: Frontier::default(), grown: false, rooms, clock }
    }

    /// Takes the frontier up as the table has it.
    pub(crate) fn load(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        (self.frontier, self.grown) = (frontier(tx)?, false);
        Ok(())
    }

    /// The same from the table's text, which was read under lock.
    pub(crate) fn take_up(&mut self, frontier: &str) -> Result<(), StoreError> {
        (self.frontier, self.grown) = (parse_frontier(frontier)?, false);
        Ok(())
    }

    pub(crate) fn head(&self) -> Head {
        Head { size: self.frontier.size(), root: self.frontier.root() }
    }

    pub(crate) fn append(
        &mut self,
        tx: &mut Tx<'_>,
        new: NewFact,
    ) -> Result<(Appended, Option<Entry>), StoreError> {
        if let Some(key) = &new.key {
            let found = tx.query("SELECT seq FROM journal WHERE key = ?1", &[key.as_str().into()])?;
            if let Some(row) = found.first() {
                return Ok((Appended { seq: row.get(0)?, fresh: false }, None));
            }
        }
        let NewFact { at, actor, cause, key, origin, fact } = new;
        let seq = self.frontier.size() + 1;
        let entry = Entry { seq, at, recorded: self.clock.now(), actor, cause, key, origin, fact };
        let body = serde_json::to_string(&entry)
            .map_err(|error| StoreError::Corrupt { table: "journal", reason: error.to_string() })?;
        if body.len() > MAX_ENTRY {
            return Err(StoreError::TooLarge { kind: entry.fact.kind(), size: body.len(), limit: MAX_ENTRY });
        }
        let leaf = merkle::leaf_hash(body.as_bytes());
        tx.execute(
            "INSERT INTO journal (seq, kind, model, key, body, leaf) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            &[
                seq.into(),
                entry.fact.kind().into(),
                entry.fact.model().map(|model| model.as_str()).into(),
                entry.key.clone().into(),
                body.into(),
                leaf.as_bytes().as_slice().into(),
            ],
        )?;
        self.frontier.push(leaf);
        self.grown = true;
        Ok((Appended { seq, fresh: true }, Some(entry)))
    }

    /// Writes the head of all that this group appended: once, before it commits.
    pub(crate) fn put_head(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        if !std::mem::take(&mut self.grown) {
            return Ok(());
        }
        let head = serde_json::to_string(&self.frontier)
            .map_err(|error| StoreError::Corrupt { table: "journal_head", reason: error.to_string() })?;
        tx.execute("UPDATE journal_head SET frontier = ?1 WHERE one = 1", &[head.into()]).map(drop)
    }
}

/// The frontier of a journal without entries, as the table holds it.
pub(crate) fn empty_frontier() -> Result<String, StoreError> {
    serde_json::to_string(&Frontier::default())
        .map_err(|error| StoreError::Corrupt { table: "journal_head", reason: error.to_string() })
}

fn parse_frontier(text: &str) -> Result<Frontier, StoreError> {
    serde_json::from_str(text)
        .map_err(|error| StoreError::Corrupt { table: "journal_head", reason: error.to_string() })
}

fn frontier(tx: &mut Tx<'_>) -> Result<Frontier, StoreError> {
    let rows = tx.query("SELECT frontier FROM journal_head", &[])?;
    let Some(row) = rows.first() else { return Ok(Frontier::default()) };
    parse_frontier(&row.get::<String>(0)?)
}

fn entry(row: &Row) -> Result<Entry, StoreError> {
    let body: String = row.get(0)?;
    serde_json::from_str(&body)
        .map_err(|error| StoreError::Corrupt { table: "journal", reason: format!("{error} in {body:.200}") })
}

/// Up to `limit` entries after the entry `after`, oldest first.
///
/// # Errors
/// What the store said.
pub fn entries(tx: &mut Tx<'_>, after: u64, limit: u64) -> Result<Vec<Entry>, StoreError> {
    let sql = "SELECT body FROM journal WHERE seq > ?1 ORDER BY seq LIMIT ?2";
    tx.query(sql, &[after.into(), limit.into()])?.iter().map(entry).collect()
}

/// The entry `seq`.
///
/// # Errors
/// [`StoreError::NotFound`] when there is none.
pub fn get(tx: &mut Tx<'_>, seq: u64) -> Result<Entry, StoreError> {
    let rows = tx.query("SELECT body FROM journal WHERE seq = ?1", &[seq.into()])?;
    rows.first()
        .map(entry)
        .transpose()?
        .ok_or_else(|| StoreError::not_found("journal entry", seq.to_string()))
}

/// Entries of one kind, of all models or of one, oldest first.
///
/// # Errors
/// What the store said.
pub fn of_kind(tx: &mut Tx<'_>, kind: &str, model: Option<&str>) -> Result<Vec<Entry>, StoreError> {
    let rows = match model {
        Some(model) => {
            let sql = "SELECT body FROM journal WHERE kind = ?1 AND model = ?2 ORDER BY seq";
            tx.query(sql, &[kind.into(), model.into()])?
        }
        None => tx.query("SELECT body FROM journal WHERE kind = ?1 ORDER BY seq", &[kind.into()])?,
    };
    rows.iter().map(entry).collect()
}

/// The newest entry of one kind about `model`.
///
/// # Errors
/// What the store said.
pub fn latest_of_kind(tx: &mut Tx<'_>, kind: &str, model: &str) -> Result<Option<Entry>, StoreError> {
    let sql = "SELECT body FROM journal WHERE kind = ?1 AND model = ?2 ORDER BY seq DESC LIMIT 1";
    tx.query(sql, &[kind.into(), model.into()])?.first().map(entry).transpose()
}

/// The oldest entry of one kind about `model`.
///
/// # Errors
/// What the store said.
pub fn first_of_kind(tx: &mut Tx<'_>, kind: &str, model: &str) -> Result<Option<Entry>, StoreError> {
    let sql = "SELECT body FROM journal WHERE kind = ?1 AND model = ?2 ORDER BY seq LIMIT 1";
    tx.query(sql, &[kind.into(), model.into()])?.first().map(entry).transpose()
}

/// Whether an entry bears `key`, and where it stands.
///
/// # Errors
/// What the store said.
pub fn by_key(tx: &mut Tx<'_>, key: &str) -> Result<Option<Entry>, StoreError> {
    tx.query("SELECT body FROM journal WHERE key = ?1", &[key.into()])?.first().map(entry).transpose()
}

/// The journal's size and root; in a writing transaction, with what it has appended itself.
///
/// # Errors
/// What the store said.
pub fn head(tx: &mut Tx<'_>) -> Result<Head, StoreError> {
    if let Some(head) = tx.own_head() {
        return Ok(head);
    }
    let frontier = frontier(tx)?;
    Ok(Head { size: frontier.size(), root: frontier.root() })
}

/// The leaf hashes of the first `size` entries: what proofs are made of.
///
/// # Errors
/// What the store said.
pub fn leaves(tx: &mut Tx<'_>, size: u64) -> Result<Vec<Digest>, StoreError> {
    let rows = tx.query("SELECT leaf FROM journal WHERE seq <= ?1 ORDER BY seq", &[size.into()])?;
    rows.iter().map(|row| digest(row.get(0)?)).collect()
}

fn digest(bytes: Vec<u8>) -> Result<Digest, StoreError> {
    let length = bytes.len();
    let bytes = bytes.try_into().map_err(|_| StoreError::Corrupt {
        table: "journal",
        reason: format!("a leaf of {length} bytes, expected 32"),
    })?;
    Ok(Digest::from_bytes(bytes))
}

/// Reads the whole journal and recomputes everything: each leaf from the stored bytes, each position, each column
/// that repeats a part of the body, and the root.
///
/// # Errors
/// What the store said; what is wrong with the journal itself is in the answer.
pub fn verify(store: &Store) -> Result<Verification, StoreError> {
    store.read(verify_in)
}

/// The same within a transaction.
pub(crate) fn verify_in(tx: &mut Tx<'_>) -> Result<Verification, StoreError> {
    let head = head(tx)?;
    let mut grown = Frontier::default();
    let mut problems = Vec::new();
    let mut after = 0_i64;
    loop {
        let sql =
            "SELECT seq, kind, model, key, body, leaf FROM journal WHERE seq > ?1 ORDER BY seq LIMIT 1000";
        let rows = tx.query(sql, &[after.into()])?;
        let Some(last) = rows.last() else { break };
        after = last.get(0)?;
        for row in &rows {
            problems.extend(examine(row, &mut grown)?);
        }
    }
    if (grown.size(), grown.root()) != (head.size, head.root) {
        problems.push(format!(
            "the head says {} entries with root {}, the entries give {} with root {}",
            head.size,
            head.root,
            grown.size(),
            grown.root()
        ));
    }
    Ok(Verification { entries: grown.size(), root: grown.root(), verified: problems.is_empty(), problems })
}

/// Adds one stored row to the tree and says what is wrong with it.
fn examine(row: &Row, grown: &mut Frontier) -> Result<Option<String>, StoreError> {
    let seq: u64 = row.get(0)?;
    let body: String = row.get(4)?;
    let leaf = merkle::leaf_hash(body.as_bytes());
    grown.push(leaf);
    if seq != grown.size() {
        return Ok(Some(format!("entry {seq} stands at position {}", grown.size())));
    }
    if row.get::<Vec<u8>>(5)? != leaf.as_bytes() {
        return Ok(Some(format!("entry {seq}: its text was changed")));
    }
    let Ok(entry) = serde_json::from_str::<Entry>(&body) else {
        return Ok(Some(format!("entry {seq}: its text cannot be read")));
    };
    let model = entry.fact.model().map(|model| model.as_str().to_owned());
    let same = entry.seq == seq
        && row.get::<String>(1)? == entry.fact.kind()
        && row.get::<Option<String>>(2)? == model
        && row.get::<Option<String>>(3)? == entry.key;
    Ok((!same).then(|| format!("entry {seq}: its columns contradict its text")))
}

impl From<&Digest> for Cell {
    fn from(digest: &Digest) -> Self {
        Self::Text(digest.to_hex())
    }
}

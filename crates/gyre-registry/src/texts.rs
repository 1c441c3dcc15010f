//! Texts that are too long for a fact: kept in a table beside the journal, under their digest.
//!
//! A journal entry is bounded, a description or a prompt is not, or not as tightly. So a long text goes into
//! `registry_texts` in the transaction that appends the fact, and the fact bears its SHA-256. The projection reads it from
//! there, so that it needs nothing but the transaction. The table is content beside the journal, like blobs: rebuilding
//! the other tables needs it, and the digest says whether it is still what it was.

use std::collections::BTreeMap;

use gyre_core::Digest;
use gyre_core::fact::Text;
use gyre_store::{StoreError, Tx};

/// The longest text that a fact bears itself, in bytes of JSON.
const INLINE: usize = 4_096;

/// The most that the tags of one fact may take, in bytes of JSON; the whole entry must stay below 65,535.
const TOGETHER: usize = 40_000;

/// `text` as a fact bears it; a long one is kept first.
pub(crate) fn keep(tx: &mut Tx<'_>, text: String) -> Result<Text, StoreError> {
    if encoded(&text) <= INLINE {
        return Ok(Text::Inline(text));
    }
    let (sha256, bytes) = (Digest::of(text.as_bytes()), text.len() as u64);
    let sql = "INSERT INTO registry_texts (digest, text) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    tx.execute(sql, &[(&sha256).into(), text.into()])?;
    Ok(Text::Kept { sha256, bytes })
}

/// The words of a fact's text.
pub(crate) fn read(tx: &mut Tx<'_>, text: &Text) -> Result<String, StoreError> {
    let sha256 = match text {
        Text::Inline(text) => return Ok(text.clone()),
        Text::Kept { sha256, .. } => sha256,
    };
    let rows = tx.query("SELECT text FROM registry_texts WHERE digest = ?1", &[sha256.into()])?;
    let row = rows.first().ok_or_else(|| StoreError::Corrupt {
        table: "registry_texts",
        reason: format!("the text {sha256} of a journal entry is missing"),
    })?;
    row.get(0)
}

/// `tags` as facts bear them: in as many parts as it takes for each to fit into an entry; at least one, perhaps empty.
pub(crate) fn keep_tags(
    tx: &mut Tx<'_>,
    tags: BTreeMap<String, String>,
) -> Result<Vec<BTreeMap<String, Text>>, StoreError> {
    let (mut parts, mut part, mut size) = (Vec::new(), BTreeMap::new(), 0);
    for (key, value) in tags {
        let value = keep(tx, value)?;
        let weight = encoded(&key)
            + match &value {
                Text::Inline(text) => encoded(text),
                Text::Kept { .. } => 120,
            };
        if size + weight > TOGETHER {
            parts.push(std::mem::take(&mut part));
            size = 0;
        }
        size += weight;
        part.insert(key, value);
    }
    parts.push(part);
    Ok(parts)
}

/// How long `text` is as JSON.
fn encoded(text: &str) -> usize {
    let escaped = |byte: u8| match byte {
        b'"' | b'\\' => 2,
        0..0x20 => 6,
        _ => 1,
    };
    text.bytes().map(escaped).sum::<usize>() + 3
}

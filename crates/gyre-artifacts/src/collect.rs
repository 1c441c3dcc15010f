//! Deleting bytes that no path refers to any more.
//!
//! First *condemn*, in a transaction: from then on nobody may refer to the blob again. Then delete it. Then forget it, in
//! a second transaction. So an upload of the same bytes, in this process or in another, either came before (and the blob
//! stays), or is told to try again in a moment, or comes after (and brings the bytes anew). A crash between the steps
//! leaves a condemned blob, which the next collection deletes.

use gyre_core::{Digest, Span, Timestamp};
use gyre_store::{Cell, StoreError, Tx};

use crate::index::{self, CONDEMNED};
use crate::{ArtifactError, Artifacts};

/// How many blobs are condemned in one transaction.
const BATCH: usize = 500;

/// What a collection has deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// Blobs.
    pub blobs: u64,
    /// Their bytes, as far as they are known: those of a broken-off upload are not.
    pub bytes: u64,
}

impl Artifacts {
    /// Deletes the bytes that no path has referred to for longer than `grace` at `now`, and those that never got a path
    /// and are older than that; forgets uploads in parts begun before that too. Blocks; to be called now and then, on a thread of its own.
    ///
    /// # Errors
    /// What the store, the disk or the object storage said; what was deleted until then stays deleted.
    pub fn collect(&self, now: Timestamp, grace: Span) -> Result<Collected, ArtifactError> {
        let cutoff = now.as_millis().saturating_sub(grace.as_millis());
        self.uploads.forget(cutoff);
        let mut collected = Collected::default();
        self.store.write(move |tx| condemn_unused(tx, cutoff))?;
        self.delete_condemned(&mut collected)?;
        let mut strays = Vec::new();
        self.depot.each(&mut |found| {
            if found.modified.as_millis() <= cutoff {
                strays.push(found.digest);
            }
            if strays.len() == BATCH {
                self.condemn_strays(std::mem::take(&mut strays))?;
            }
            Ok(())
        })?;
        self.condemn_strays(strays)?;
        self.delete_condemned(&mut collected)?;
        Ok(collected)
    }

    /// Deletes at once the bytes that paths referred to and none refers to any more. Bytes that never had a path are left to
    /// [`Artifacts::collect`]: they may be on their way to one. Blocks.
    ///
    /// # Errors
    /// What the store, the disk or the object storage said; what was deleted until then stays deleted.
    pub fn reclaim(&self) -> Result<Collected, ArtifactError> {
        let mut collected = Collected::default();
        self.store.write(|tx| condemn_unused(tx, i64::MAX))?;
        self.delete_condemned(&mut collected)?;
        Ok(collected)
    }

    /// Condemns those of `digests` that the store knows nothing of.
    fn condemn_strays(&self, digests: Vec<Digest>) -> Result<(), ArtifactError> {
        let unknown = self.store.read(|tx| {
            let mut unknown = Vec::new();
            for digest in digests {
                let sql = "SELECT 1 FROM artifacts_blobs WHERE digest = ?1";
                if tx.query(sql, &[digest.to_hex().into()])?.is_empty() {
                    unknown.push(digest);
                }
            }
            Ok(unknown)
        })?;
        if unknown.is_empty() {
            return Ok(());
        }
        self.store.write(move |tx| {
            unknown.iter().try_for_each(|digest| {
                // Whoever has published it meanwhile has saved it.
                let sql = "INSERT INTO artifacts_blobs (digest, size, refs, released) VALUES (?1, 0, ?2, 0)
                           ON CONFLICT (digest) DO NOTHING";
                tx.execute(sql, &[digest.to_hex().into(), CONDEMNED.into()]).map(drop)
            })
        })?;
        Ok(())
    }

    fn delete_condemned(&self, collected: &mut Collected) -> Result<(), ArtifactError> {
        loop {
            let condemned = self.store.read(condemned)?;
            if condemned.is_empty() {
                return Ok(());
            }
            for (digest, size) in &condemned {
                self.depot.delete(digest)?;
                collected.blobs += 1;
                collected.bytes += size;
            }
            self.store.write(move |tx| {
                condemned.iter().try_for_each(|(digest, _)| {
                    let cells: [Cell; 2] = [digest.to_hex().into(), CONDEMNED.into()];
                    tx.execute("DELETE FROM artifacts_blobs WHERE digest = ?1 AND refs = ?2", &cells)
                        .map(drop)
                })
            })?;
        }
    }
}

fn condemn_unused(tx: &mut Tx<'_>, cutoff: i64) -> Result<(), StoreError> {
    let sql = "UPDATE artifacts_blobs SET refs = ?1 WHERE refs = 0 AND released <= ?2";
    tx.execute(sql, &[CONDEMNED.into(), cutoff.into()]).map(drop)
}

fn condemned(tx: &mut Tx<'_>) -> Result<Vec<(Digest, u64)>, StoreError> {
    let sql = "SELECT digest, size FROM artifacts_blobs WHERE refs = ?1 LIMIT ?2";
    let rows = tx.query(sql, &[CONDEMNED.into(), (BATCH as u64).into()])?;
    rows.iter().map(|row| Ok((index::digest(row, 0)?, row.get(1)?))).collect()
}

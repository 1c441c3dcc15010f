//! Pages of the journal: filtered, in either direction, bounded.

use gyre_core::Entry;
use gyre_store::{StoreError, Tx};

/// Which entries are wanted; none of the two means all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    /// About this model.
    pub(crate) model: Option<String>,
    /// Of this kind.
    pub(crate) kind: Option<String>,
}

/// Where a page begins and which way it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// Oldest first, after the entry.
    After(u64),
    /// Newest first, before the entry.
    Before(u64),
}

impl Filter {
    /// Entries about `model`.
    pub(crate) fn of(model: &str) -> Self {
        Self { model: Some(model.to_owned()), kind: None }
    }

    /// Up to `limit` entries.
    pub(crate) fn entries(
        &self,
        tx: &mut Tx<'_>,
        from: Direction,
        limit: u64,
    ) -> Result<Vec<Entry>, StoreError> {
        let (from, sql) = match from {
            Direction::After(seq) => (
                seq,
                "SELECT body FROM journal WHERE seq > ?1 AND (CAST(?2 AS TEXT) IS NULL OR model = ?2)
                 AND (CAST(?3 AS TEXT) IS NULL OR kind = ?3) ORDER BY seq LIMIT ?4",
            ),
            Direction::Before(seq) => (
                seq.min(i64::MAX as u64),
                "SELECT body FROM journal WHERE seq < ?1 AND (CAST(?2 AS TEXT) IS NULL OR model = ?2)
                 AND (CAST(?3 AS TEXT) IS NULL OR kind = ?3) ORDER BY seq DESC LIMIT ?4",
            ),
        };
        let cells = [from.into(), self.model.clone().into(), self.kind.clone().into(), limit.into()];
        let rows = tx.query(sql, &cells)?;
        let entry = |row: &gyre_store::Row| {
            let body: String = row.get(0)?;
            serde_json::from_str(&body).map_err(|error| StoreError::Corrupt {
                table: "journal",
                reason: format!("{error} in {body:.200}"),
            })
        };
        rows.iter().map(entry).collect()
    }
}

//! Lineage with the inference log: the journal says how versions came to be, the log which one gave an answer.
//!
//! The same questions are asked over HTTP and, where no server runs, by the command line on the files themselves.

use gyre_core::time::Period;
use gyre_core::{Fact, ModelName, Span, Timestamp, Version};
use gyre_gateway::{InferenceLog, LogError};
use gyre_govern::lineage::{self, Answered, LineageError, Ref, Tree};
use gyre_store::{Store, journal};
use serde::{Deserialize, Serialize};

/// The longest time that is read from the log at once.
const STRIDE: Span = Span::days(7);
/// The most reads that a count is made of; over longer times each covers more.
const STRIDES: i64 = 2_000;

/// Where something came from, or what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lineage {
    /// What led to what.
    pub tree: Tree,
    /// Going forward: the versions that learned from the data, with their predictions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub influenced: Vec<Influenced>,
}

/// A version that learned from a data version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Influenced {
    /// The model.
    pub model: ModelName,
    /// The version.
    pub version: Version,
    /// The predictions of it that the log holds.
    pub predictions: u64,
}

/// Which way to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// To what it was made from, and why.
    Back,
    /// To what it influenced.
    Forward,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// It is not there, or not named well enough.
    #[error(transparent)]
    Lineage(#[from] LineageError),
    /// The inference log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Only data versions lead forward.
    #[error("`{0}` is not a data version: only data:DIGEST leads forward")]
    NotData(Ref),
}

/// The lineage of `reference`.
///
/// # Errors
/// [`TraceError`].
pub fn trace(store: &Store, log: &InferenceLog, reference: &Ref, way: Way) -> Result<Lineage, TraceError> {
    if way == Way::Back {
        let answered = match reference {
            Ref::Prediction(model, id) => answered(log, model, id)?,
            _ => None,
        };
        let tree = read(store, |tx| lineage::back(tx, reference, answered.as_ref()))?;
        return Ok(Lineage { tree, influenced: Vec::new() });
    }
    let Ref::Data(prefix) = reference else { return Err(TraceError::NotData(reference.clone())) };
    let influence = read(store, |tx| lineage::forward(tx, prefix))?;
    let count = |service: lineage::Service| {
        let predictions = count(store, log, &service.model, service.version)?;
        Ok(Influenced { model: service.model, version: service.version, predictions })
    };
    let influenced = influence.service.into_iter().map(count).collect::<Result<_, TraceError>>()?;
    Ok(Lineage { tree: influence.tree, influenced })
}

/// Reads the journal on one snapshot.
fn read<T>(
    store: &Store,
    job: impl FnOnce(&mut gyre_store::Tx<'_>) -> Result<T, LineageError>,
) -> Result<T, LineageError> {
    // What the store itself said comes first, what was found out inside it second.
    store.read(|tx| Ok(job(tx)))?
}

fn answered(log: &InferenceLog, model: &ModelName, id: &str) -> Result<Option<Answered>, LogError> {
    let found = match log.find(model.as_str(), id) {
        // A model that never answered has no log.
        Err(LogError::UnknownModel { .. }) => None,
        found => found?,
    };
    Ok(found.map(|found| Answered {
        version: found.version,
        at: found.time,
        route: found.route,
        segment: found.segment,
    }))
}

/// The predictions of a version, read piece by piece. What lies outside of the closed segments' time is in the
/// write-ahead file, which is small.
fn count(store: &Store, log: &InferenceLog, model: &ModelName, version: Version) -> Result<u64, TraceError> {
    let closed = store.read(|tx| journal::of_kind(tx, "segment_closed", Some(model.as_str())));
    let closed = closed.map_err(LineageError::from)?;
    let periods = closed.iter().filter_map(|entry| match &entry.fact {
        Fact::SegmentClosed { period, .. } => Some(*period),
        _ => None,
    });
    let whole = periods.reduce(|a, b| Period { from: a.from.min(b.from), to: a.to.max(b.to) });
    let mut total = 0;
    for period in pieces(whole) {
        match log.scan(model.as_str(), period) {
            Ok(scan) => total += scan.versions.iter().filter(|served| **served == version).count() as u64,
            Err(LogError::UnknownModel { .. }) => return Ok(0),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(total)
}

/// All of time, cut so that no piece of `closed` is longer than a stride.
fn pieces(closed: Option<Period>) -> Vec<Period> {
    let (first, last) = (Timestamp::from_millis(i64::MIN), Timestamp::from_millis(i64::MAX));
    let Some(Period { from, to }) = closed else { return vec![Period { from: first, to: last }] };
    // Divided before they are subtracted, for the whole may be more than a span can hold.
    let share = to.as_millis() / STRIDES - from.as_millis() / STRIDES + 1;
    let stride = Span::from_millis(share.max(STRIDE.as_millis()));
    let mut edges = vec![first];
    let mut edge = from;
    while edge < to {
        edges.push(edge);
        edge = edge + stride;
    }
    edges.extend([to, last]);
    edges
        .windows(2)
        .map(|ends| Period { from: ends[0], to: ends[1] })
        .filter(|piece| piece.from < piece.to)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_time_is_covered_once_in_short_pieces() {
        let day = |n: i64| Timestamp::from_millis(n * 86_400_000);
        for closed in
            [None, Some(Period { from: day(1), to: day(1) }), Some(Period { from: day(0), to: day(30) })]
        {
            let pieces = pieces(closed);
            assert!(pieces.windows(2).all(|two| two[0].to == two[1].from));
            assert_eq!(pieces[0].from.as_millis(), i64::MIN);
            assert_eq!(pieces[pieces.len() - 1].to.as_millis(), i64::MAX);
        }
        assert_eq!(pieces(Some(Period { from: day(0), to: day(30) })).len(), 2 + 5);
        let absurd = Period { from: Timestamp::from_millis(i64::MIN), to: Timestamp::from_millis(i64::MAX) };
        assert!(pieces(Some(absurd)).len() as i64 <= STRIDES + 3);
    }
}

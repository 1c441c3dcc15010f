//! When each version of a model took traffic.

use std::collections::BTreeMap;

use gyre_core::{Fact, ModelName, Timestamp, Version};
use gyre_store::{StoreError, Tx, journal};
use serde::{Deserialize, Serialize};

/// A time in which a version took some of the traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    /// Since when.
    pub from: Timestamp,
    /// Until when; none when it still does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
}

/// When a version served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// The model.
    pub model: ModelName,
    /// The version.
    pub version: Version,
    /// The times, in order.
    pub served: Vec<Served>,
}

/// The times in which each version of `model` took traffic, from the facts that moved it.
pub(super) fn service(
    tx: &mut Tx<'_>,
    model: &ModelName,
) -> Result<BTreeMap<Version, Vec<Served>>, StoreError> {
    let mut moves = Vec::new();
    for kind in ["promoted", "traffic_shifted", "rolled_back"] {
        moves.extend(journal::of_kind(tx, kind, Some(model.as_str()))?);
    }
    moves.sort_by_key(|entry| entry.seq);
    let mut service: BTreeMap<Version, Vec<Served>> = BTreeMap::new();
    for entry in moves {
        let serving: Vec<Version> = match entry.fact {
            Fact::Promoted { version, .. } => vec![version],
            Fact::RolledBack { to, .. } => vec![to],
            Fact::TrafficShifted { weights, .. } => {
                weights.into_iter().filter(|(_, share)| *share > 0).map(|(version, _)| version).collect()
            }
            _ => continue,
        };
        for (version, times) in &mut service {
            let open = times.last_mut().filter(|time| time.to.is_none());
            if let Some(time) = open.filter(|_| !serving.contains(version)) {
                time.to = Some(entry.at);
            }
        }
        for version in serving {
            let times = service.entry(version).or_default();
            if times.last().is_none_or(|time| time.to.is_some()) {
                times.push(Served { from: entry.at, to: None });
            }
        }
    }
    // What began and ended at the same moment of event time served nobody.
    service.values_mut().for_each(|times| times.retain(|time| time.to != Some(time.from)));
    service.retain(|_, times| !times.is_empty());
    Ok(service)
}

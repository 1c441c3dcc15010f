//! What the log remembers of a rollout that an earlier process began.
//!
//! A trial waits for labels that may come days later, and lives in memory. So the first time that this process looks at a
//! rollout, its trial is told of the predictions since it began, with the shares that stood then, and of their labels. Rows
//! that the trial has met itself are not counted twice.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use gyre_core::fact::Fact;
use gyre_core::record::{Label, Route};
use gyre_core::time::Period;
use gyre_core::{ModelName, Timestamp, Version};
use gyre_gateway::Recalled;
use gyre_store::journal;

use super::Workshop;
use crate::engine::Failure;

/// The rollouts that were looked at, by model and by the entry that began them.
#[derive(Default)]
pub(super) struct Remembered(Mutex<BTreeSet<(ModelName, u64)>>);

/// Tells the trial of `candidate` what the log knows of the rollout that entry `since` began, once.
pub(super) fn once(
    workshop: &Workshop,
    name: &ModelName,
    candidate: Version,
    (since, step_begun): (u64, Timestamp),
) -> Result<(), Failure> {
    let key = (name.clone(), since);
    let mut looked = workshop.remembered.0.lock().unwrap_or_else(PoisonError::into_inner);
    if looked.contains(&key) {
        return Ok(());
    }
    let named = name.clone();
    let (champion, shifts) = workshop.store.read(move |tx| {
        let shifts = journal::of_kind(tx, "traffic_shifted", Some(named.as_str()))?;
        let shifts: Vec<_> = shifts.into_iter().filter(|entry| entry.seq >= since).collect();
        Ok((gyre_registry::champion(tx, &named)?, shifts))
    })?;
    let (Some(champion), Some(begun)) = (champion, shifts.first().map(|entry| entry.at)) else {
        return Ok(());
    };
    // From when on the candidate had which share of what it and the champion took.
    let shares: Vec<(Timestamp, f64)> = shifts
        .iter()
        .filter_map(|entry| match &entry.fact {
            Fact::TrafficShifted { weights, .. } => {
                let share = |wanted: Version| {
                    let found = weights.iter().find(|(version, _)| *version == wanted);
                    found.map_or(0.0, |(_, share)| f64::from(*share))
                };
                let both = share(candidate) + share(champion);
                (both > 0.0).then(|| (entry.at, share(candidate) / both))
            }
            _ => None,
        })
        .collect();
    workshop.gateway.flush(name.as_str())?;
    // Also what was predicted for later than event time has come to: it is not looked for again.
    let period = Period { from: begun, to: Timestamp::from_millis(i64::MAX) };
    let scan = workshop.gateway.scan(name.as_str(), period)?;
    let mut rows = Vec::new();
    for (row, id) in scan.ids.iter().enumerate() {
        let (Some(time), Some(version), Some(route), Some(output)) =
            (scan.times.get(row), scan.versions.get(row), scan.routes.get(row), scan.outputs.get(row))
        else {
            continue;
        };
        let weight = shares.iter().rev().find(|(at, _)| at <= time).map(|(_, weight)| *weight);
        let (Some(weight), Route::Champion | Route::Candidate) = (weight, route) else { continue };
        let label = scan.labels.get(row).cloned().flatten();
        rows.push(Recalled {
            id: id.clone(),
            version: *version,
            weight,
            of_step: *time >= step_begun,
            output: output.clone(),
            scores: scan.scores.get(row).cloned().unwrap_or_default(),
            label: label.map(|value| Label { id: id.clone(), time: *time, value }),
        });
    }
    workshop.gateway.recall(name, candidate, &rows);
    looked.insert(key);
    Ok(())
}

//! Routing: the gateway follows the registry.

use std::collections::BTreeSet;

use gyre_core::{ModelName, Version};
use gyre_gateway::trial::ALPHA;

use super::Workshop;
use crate::engine::Failure;

/// Loads what takes traffic, and the champion before it so that going back takes no time; then moves the traffic; then
/// lets go of what is no longer needed.
pub(super) fn follow(workshop: &Workshop, model: &ModelName) -> Result<(), Failure> {
    let named = model.clone();
    let (champion, previous, weights, versions) = workshop.store.read(move |tx| {
        Ok((
            gyre_registry::champion(tx, &named)?,
            gyre_registry::previous_champion(tx, &named)?,
            gyre_registry::traffic(tx, &named)?,
            gyre_registry::versions(tx, &named)?,
        ))
    })?;
    let Some(champion) = champion else { return Ok(()) };
    let taking: BTreeSet<Version> = weights.iter().map(|(version, _)| *version).collect();
    let wanted: BTreeSet<Version> = taking.iter().copied().chain([champion]).chain(previous).collect();
    let gateway = &workshop.gateway;
    let there = gateway.versions(model.as_str());
    for version in versions.iter().map(|version| &version.registered) {
        if !wanted.contains(&version.version) || there.contains(&version.version) {
            continue;
        }
        let artifact = workshop.store.blobs().get(&version.artifact)?;
        let loaded = gateway.load(model, version.version, version.signature.clone(), &artifact);
        // The champion before is a convenience; those that take traffic are not.
        if loaded.is_err() && !taking.contains(&version.version) && version.version != champion {
            continue;
        }
        loaded?;
    }
    let before = gateway.traffic(model.as_str());
    let alpha = workshop.project.models.get(model).map_or(ALPHA, |spec| spec.deploy.alpha.value);
    gateway.set_traffic_at(model, &weights, champion, alpha)?;
    if before.is_none_or(|before| before.weights != weights) {
        // What a step shows is counted from the moment that it began.
        taking.iter().for_each(|version| gateway.reset_evidence(model, *version));
    }
    for version in there.into_iter().filter(|version| !wanted.contains(version)) {
        gateway.unload(model, version)?;
    }
    Ok(())
}

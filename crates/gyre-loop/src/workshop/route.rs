//! Routing: the gateway follows the registry.

use std::collections::BTreeSet;
use std::time::Duration;

use gyre_core::fact::{Fact, ModelVersion, Target};
use gyre_core::spec::{Cache, Features};
use gyre_core::{ModelName, Version};
use gyre_gateway::trial::ALPHA;
use gyre_gateway::{CachePolicy, FeatureRules, Policy, Rules, Terms};
use gyre_kube::Stand;
use gyre_monitor::ReferenceProfile;
use gyre_registry::VersionStatus;
use gyre_store::journal;

use super::Workshop;
use crate::engine::Failure;

/// Whether a model that runs elsewhere must answer before anything goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waiting {
    /// Traffic follows at once.
    UntilReady,
    /// It comes up while the rest goes on.
    Never,
}

/// Loads what takes traffic, and the champion before it so that going back takes no time; then moves the traffic; then
/// lets go of what is no longer needed.
pub(super) fn follow(workshop: &Workshop, model: &ModelName, waiting: Waiting) -> Result<(), Failure> {
    let named = model.clone();
    let (champion, previous, weights, versions, rollout, ruled) = workshop.store.read(move |tx| {
        Ok((
            gyre_registry::champion(tx, &named)?,
            gyre_registry::previous_champion(tx, &named)?,
            gyre_registry::traffic(tx, &named)?,
            gyre_registry::versions(tx, &named)?,
            journal::latest_of_kind(tx, "rollout_started", named.as_str())?,
            journal::latest_of_kind(tx, "split_ruled", named.as_str())?,
        ))
    })?;
    let Some(champion) = champion else { return Ok(()) };
    let taking: BTreeSet<Version> = weights.iter().map(|(version, _)| *version).collect();
    let split = ruled.and_then(|entry| match entry.fact {
        Fact::SplitRuled { split, .. } => Some(split),
        _ => None,
    });
    // What a rule names takes traffic too, if it may: a version that did not pass its gates, or that traffic was taken
    // back from, answers nobody.
    let may_serve = |wanted: Version| {
        let found = versions.iter().find(|version| version.registered.version == wanted);
        found.is_some_and(|version| {
            version.gates.as_ref().is_some_and(|gates| gates.passed)
                && version.status != VersionStatus::RolledBack
        })
    };
    let named = split.iter().flat_map(|split| &split.rules).filter_map(|rule| match rule.to {
        Target::Version(version) => Some(version).filter(|version| may_serve(*version)),
        Target::Champion | Target::Candidate => None,
    });
    let ruled: BTreeSet<Version> = named.collect();
    let wanted: BTreeSet<Version> =
        taking.iter().copied().chain([champion]).chain(previous).chain(ruled.iter().copied()).collect();
    let gateway = &workshop.gateway;
    let there = gateway.versions(model.as_str());
    for version in versions.iter().map(|version| &version.registered) {
        if there.contains(&version.version) {
            // What gyre.yaml says of its features may have changed.
            gateway.set_feature_rules(model, version.version, rules(workshop, version));
        }
        if !wanted.contains(&version.version) || there.contains(&version.version) {
            continue;
        }
        let loaded = load(workshop, version, waiting);
        // The champion before is a convenience; those that take traffic are not.
        if loaded.is_err() && !taking.contains(&version.version) && version.version != champion {
            continue;
        }
        loaded?;
    }
    let policy = workshop.project().models.get(model).map(|spec| {
        let left = spec.log.leave_out.iter().map(|name| name.value.clone()).collect();
        let cache = spec.serve.cache.as_ref().map(|cache| kept(cache.value));
        (Policy::new(spec.log.share.basis_points(), left), cache)
    });
    if let Some((policy, cache)) = policy {
        gateway.log().set_policy(model, policy)?;
        gateway.set_cache(model, cache);
    }
    let before = gateway.traffic(model.as_str());
    let asked = rollout.and_then(|entry| match entry.fact {
        Fact::RolloutStarted { plan, .. } => plan,
        _ => None,
    });
    // Of a rollout that is over nothing is left but its plan.
    let rolling = versions.iter().any(|version| version.status == VersionStatus::RollingOut);
    let learns = rolling && asked.as_ref().is_some_and(|plan| plan.bandit.is_some());
    let terms = Terms {
        alpha: asked.as_ref().map_or(ALPHA, |plan| plan.alpha),
        metric: workshop.project().models.get(model).map(|spec| spec.metric),
        learns,
    };
    gateway.set_traffic_at(model, &weights, champion, &terms)?;
    let rules = split.filter(|split| !split.rules.is_empty()).map(|mut split| {
        // A rule to a version that is not there is left out, rather than looked at in vain.
        split.rules.retain(|rule| match rule.to {
            Target::Version(version) => ruled.contains(&version),
            Target::Champion | Target::Candidate => true,
        });
        Rules::new(split)
    });
    gateway.set_rules(model, rules.transpose().map_err(Failure::because)?);
    if before.is_none_or(|before| before.weights != weights) {
        // What a step shows is counted from the moment that it began.
        taking.iter().for_each(|version| gateway.reset_evidence(model, *version));
    }
    for version in there.into_iter().filter(|version| !wanted.contains(version)) {
        gateway.unload(model, version)?;
    }
    let all: Vec<&ModelVersion> = versions.iter().map(|version| &version.registered).collect();
    workshop.sweep_all_but(model, &all, &wanted);
    Ok(())
}

fn kept(Cache { rows, span }: Cache) -> CachePolicy {
    let span = Duration::from_millis(u64::try_from(span.as_millis()).unwrap_or_default());
    CachePolicy { rows: usize::try_from(rows).unwrap_or(usize::MAX), span }
}

/// Loads a version, wherever it runs. What does not come up is let go of again.
pub(super) fn load(workshop: &Workshop, version: &ModelVersion, waiting: Waiting) -> Result<(), Failure> {
    let (gateway, model, number) = (&workshop.gateway, &version.model, version.version);
    if version.runtime.is_native() {
        let artifact = workshop.store.blobs().get(&version.artifact)?;
        gateway.load(model, number, version.signature.clone(), &artifact)?;
        gateway.set_feature_rules(model, number, rules(workshop, version));
        return Ok(());
    }
    if gateway.remote(model.as_str(), number).is_some() {
        return Ok(());
    }
    let remote = match waiting {
        Waiting::UntilReady => workshop.up(version)?,
        Waiting::Never => workshop.remote(version, Stand::Before)?,
    };
    gateway.load_remote(model, number, version.artifact, remote)?;
    gateway.set_feature_rules(model, number, rules(workshop, version));
    Ok(())
}

/// What the features of a version may hold: as declared, and as in the rows that it was trained on, where they are known. A
/// profile that cannot be read keeps no version from serving; it is told among the project's troubles.
fn rules(workshop: &Workshop, version: &ModelVersion) -> FeatureRules {
    let (project, undeclared) = (workshop.project(), Features::default());
    let features = project.models.get(&version.model).map_or(&undeclared, |spec| &spec.features);
    let read = |profile| -> Result<_, Failure> {
        Ok(ReferenceProfile::from_json(&workshop.store.blobs().get(profile)?)?.columns)
    };
    match version.profile.as_ref().map(read) {
        Some(Err(Failure { reason, .. })) => {
            let problem = format!(
                "the profile of version {} of {} cannot be read, so its features are held to gyre.yaml alone: {reason}",
                version.version, version.model
            );
            FeatureRules::new(&version.signature, features, None).without_training(problem)
        }
        Some(Ok(trained)) => FeatureRules::new(&version.signature, features, Some(&trained)),
        None => FeatureRules::new(&version.signature, features, None),
    }
}

//! Comparing: every version that passed its gates, on the same recent labelled rows of the inference log.

use std::collections::BTreeSet;

use gyre_core::fact::Fact;
use gyre_core::time::Period;
use gyre_core::{ModelName, Version};
use gyre_registry::VersionRecord;
use gyre_runtime::Table;

use super::{Workshop, declared, frame};
use crate::engine::Failure;

/// At most so many versions are compared: the champion and the newest ones.
const MOST: usize = 50;

pub(super) fn compare(workshop: &Workshop, model: &ModelName, period: Period) -> Result<Vec<Fact>, Failure> {
    let project = workshop.project();
    let spec = declared(&project, model)?;
    let named = model.clone();
    let (champion, versions) = workshop
        .store
        .read(move |tx| Ok((gyre_registry::champion(tx, &named)?, gyre_registry::versions(tx, &named)?)))?;
    let champion =
        champion.ok_or_else(|| Failure::because(format!("`{model}` has no champion to compare with")))?;
    let scan = workshop.gateway.scan(model.as_str(), period)?;
    let target = frame::labels(spec.task, scan.labels.iter().cloned());
    let days: Vec<i64> = scan.times.iter().map(|time| time.day()).collect();
    let rows = scan.features.iter().map(|(name, column)| (name.clone(), column.clone()));
    let features = Table::new(rows)?;

    let gates_passed = |version: &VersionRecord| version.gates.as_ref().is_some_and(|gates| gates.passed);
    // A version that was trained once more is represented by what came out.
    let once_more: BTreeSet<Version> = versions
        .iter()
        .filter(|version| gates_passed(version))
        .filter_map(|version| version.registered.refit_of)
        .collect();
    let passed = |version: &&VersionRecord| {
        let own = version.registered.version;
        gates_passed(version) && (own == champion || !once_more.contains(&own))
    };
    let mut losses = Vec::new();
    let (own, others): (Vec<_>, Vec<_>) =
        versions.iter().rev().filter(passed).partition(|version| version.registered.version == champion);
    for version in own.into_iter().chain(others).take(MOST) {
        // A version that reads a feature which is no longer sent cannot be brought back; the others can.
        let Ok(predicted) =
            workshop.answerer(&version.registered).and_then(|answerer| answerer.predict(&features))
        else {
            continue;
        };
        losses.push((version.registered.version, predicted.losses(spec.metric, frame::values(&target))?));
    }
    let (own, others): (Vec<_>, Vec<_>) = losses.iter().partition(|(version, _)| *version == champion);
    let own = own.first().ok_or_else(|| Failure::because(format!("version {champion} cannot be scored")))?;
    let others: Vec<_> = others.iter().map(|(version, losses)| (*version, losses.as_slice())).collect();
    let scores = gyre_monitor::comparison::scores(spec.metric, (own.0, &own.1), &others, &days)?;
    Ok(vec![Fact::VersionsCompared { model: model.clone(), period, scores }])
}

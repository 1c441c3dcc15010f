//! Observing: windows of the inference log that close, and steps of rollouts that have shown enough.

use gyre_core::fact::{Fact, WindowSummary};
use gyre_core::spec::Model;
use gyre_core::time::Period;
use gyre_core::{ModelName, Timestamp, Version};
use gyre_gateway::rollout::{Plan, judge};
use gyre_monitor::{Calendar, Predictions, ReferenceProfile, Settings, WindowInput, summarise};
use gyre_store::{NewFact, journal};

use super::{Workshop, frame};
use crate::engine::Failure;
use crate::state::{ModelState, Repair, State};

/// Everything that can be seen of all models now that event time has come to `watermark`.
pub(super) fn observe(
    workshop: &Workshop,
    state: &State,
    watermark: Timestamp,
) -> Result<Vec<NewFact>, Failure> {
    let mut facts = Vec::new();
    for (name, spec) in &workshop.project.models {
        let Some(model) = state.models.get(name) else { continue };
        facts.extend(rollout_step(workshop, name, spec, model, watermark));
        if let Some(champion) = model.champion {
            close_windows(workshop, name, spec, champion, watermark, &mut facts)?;
        }
    }
    Ok(facts)
}

fn rollout_step(
    workshop: &Workshop,
    name: &ModelName,
    spec: &Model,
    state: &ModelState,
    watermark: Timestamp,
) -> Option<NewFact> {
    let Some(Repair::RollingOut { version, step, since }) = state.repair else { return None };
    let evidence = workshop.gateway.evidence(name, version)?;
    let trial = workshop.gateway.finding(name, version);
    let shadow = workshop.gateway.shadow(name, version);
    let judgement = judge(&Plan::of(spec), step, &evidence, trial.as_ref(), shadow.as_ref())?;
    let fact = Fact::StepObserved {
        model: name.clone(),
        candidate: version,
        step,
        verdict: judgement.verdict,
        reason: judgement.reason,
        numbers: judgement.numbers,
    };
    Some(
        NewFact::new(watermark, "gateway", fact)
            .because_of(since)
            .once(format!("step/{name}/{since}/{step}")),
    )
}

fn close_windows(
    workshop: &Workshop,
    name: &ModelName,
    spec: &Model,
    champion: Version,
    watermark: Timestamp,
    facts: &mut Vec<NewFact>,
) -> Result<(), Failure> {
    let text = name.as_str().to_owned();
    let (first, last) = workshop.store.read(move |tx| {
        Ok((
            journal::first_of_kind(tx, "promoted", &text)?,
            journal::latest_of_kind(tx, "window_closed", &text)?,
        ))
    })?;
    // Windows are counted from the day on which the first version began to serve.
    let Some(first) = first else { return Ok(()) };
    let last = last.and_then(|entry| match entry.fact {
        Fact::WindowClosed(window) => Some(window.period.to),
        _ => None,
    });
    let calendar = Calendar::new(first.at, spec.monitor.window);
    for period in calendar.due(last.or(Some(first.at)), watermark, spec.labels.expected_delay) {
        let summary = close(workshop, name, spec, champion, period)?;
        let key = format!("window/{name}/{}", period.from.as_millis());
        facts.push(NewFact::new(watermark, "monitor", Fact::WindowClosed(summary)).once(key));
    }
    Ok(())
}

fn close(
    workshop: &Workshop,
    name: &ModelName,
    spec: &Model,
    champion: Version,
    period: Period,
) -> Result<WindowSummary, Failure> {
    let named = name.clone();
    let registered = workshop.store.read(move |tx| gyre_registry::version(tx, &named, champion))?.registered;
    let reference = ReferenceProfile::from_json(&workshop.store.blobs().get(&registered.profile)?)?;
    // What is flushed is on disk, and what is on disk is what a window is made of.
    workshop.gateway.flush(name.as_str())?;
    let scan = workshop.gateway.scan(name.as_str(), period)?;
    let outputs = frame::labels(spec.task, scan.outputs.iter().cloned().map(Some));
    let labels = frame::labels(spec.task, scan.labels.iter().cloned());
    let features: Vec<(&str, gyre_monitor::Values<'_>)> =
        scan.features.iter().map(|(name, column)| (name.as_ref(), frame::values(column))).collect();
    let scores: Vec<f64> = scan.scores.iter().flatten().copied().collect();
    let input = WindowInput {
        model: name,
        period,
        champion,
        times: &scan.times,
        versions: &scan.versions,
        routes: &scan.routes,
        predictions: Predictions {
            outputs: frame::values(&outputs),
            scores: &scores,
            classes: &registered.signature.classes,
        },
        labels: frame::values(&labels),
        features: &features,
        errors: 0,
    };
    Ok(summarise(&input, &reference, &Settings::of(spec))?)
}

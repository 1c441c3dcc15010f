//! Observing: windows of the inference log that close, and steps of rollouts that have shown enough.

use gyre_core::fact::{Fact, OddValues, RolloutPlan, Verdict, WindowSummary};
use gyre_core::spec::{Deploy, Model, Percent, Segment};
use gyre_core::time::Period;
use gyre_core::{ModelName, Timestamp, Version};
use gyre_gateway::FeatureRules;
use gyre_gateway::rollout::{Plan, Shown, judge, waits_for};
use gyre_monitor::{
    Calendar, Predictions, ReferenceProfile, Settings, WindowInput, attribute, by_segment, summarise,
};
use gyre_store::{NewFact, journal};

use super::{Workshop, bandit, due, foresee, frame, recall};
use crate::controller::GATEWAY;
use crate::engine::Failure;
use crate::state::{ModelState, Repair, State};

/// Features with odd values that a window names.
const MOST_ODD: usize = 100;

/// Everything that can be seen of all models now that event time has come to `watermark`.
pub(super) fn observe(
    workshop: &Workshop,
    state: &State,
    watermark: Timestamp,
) -> Result<Vec<NewFact>, Failure> {
    let project = workshop.project();
    let mut facts = Vec::new();
    for (name, model) in &state.models {
        let spec = project.models.get(name);
        facts.extend(rollout_step(workshop, name, spec, model, watermark)?);
        let convicted = bandit::convicted(workshop, name, model, watermark);
        if convicted.is_empty() {
            facts.extend(bandit::round(workshop, name, model, watermark)?);
        }
        facts.extend(convicted);
        if !matches!(model.repair, Some(Repair::RollingOut { .. } | Repair::Exploring { .. })) {
            facts.extend(braked(workshop, name, watermark)?);
        }
        if let (Some(champion), Some(spec)) = (model.champion, spec) {
            foresee::windows(workshop, name, spec, champion, watermark, &mut facts)?;
            close_windows(workshop, name, spec, champion, watermark, &mut facts)?;
            facts.extend(due::due(workshop, name, spec, model, watermark)?);
        }
    }
    Ok(facts)
}

fn rollout_step(
    workshop: &Workshop,
    name: &ModelName,
    spec: Option<&Model>,
    state: &ModelState,
    watermark: Timestamp,
) -> Result<Option<NewFact>, Failure> {
    let Some(Repair::RollingOut { version, step, since, begun }) = state.repair else { return Ok(None) };
    let plan = state.plan.clone().unwrap_or_else(|| policy_of(spec));
    let Some(candidate) = workshop.gateway.evidence(name, version) else { return Ok(None) };
    recall::once(workshop, name, version, (since, begun))?;
    let trial = workshop.gateway.finding(name, version);
    let shadow = workshop.gateway.shadow(name, version);
    let compiled = Plan::of(&plan);
    let lasted = watermark.since(begun);
    let mut shown =
        Shown { candidate, trial: trial.as_ref(), shadow: shadow.as_ref(), input_drift: None, lasted };
    // It takes a look at all rows of the step, so it is looked at when a rule asks for it.
    if candidate.requests >= plan.min_requests
        && compiled.rollback_on.iter().any(|rule| rule.mentions(INPUT_DRIFT))
    {
        let step = Period { from: begun, to: watermark };
        shown.input_drift = workshop.drifted.of((name, since, step), || {
            spec.map_or(Ok(None), |spec| input_drift(workshop, name, spec, version, step))
        })?;
    }
    let Some(judgement) = judge(&compiled, step, &shown) else { return Ok(None) };
    // What takes all traffic goes back at once when it is found wanting, and is promoted only when it has baked.
    let baking =
        plan.share(step) == Some(10_000) && plan.bake.is_some_and(|bake| watermark.since(begun) < bake);
    // Nor does another step begin in quiet hours.
    let quiet = || spec.is_some_and(|spec| spec.retrain.quiet.value.covers(watermark));
    if judgement.verdict == Verdict::Continue && (baking || quiet()) {
        return Ok(None);
    }
    let fact = Fact::StepObserved {
        model: name.clone(),
        candidate: version,
        step,
        verdict: judgement.verdict,
        reason: judgement.reason,
        numbers: judgement.numbers,
    };
    let key = format!("step/{name}/{since}/{step}");
    Ok(Some(NewFact::new(watermark, GATEWAY, fact).because_of(since).once(key)))
}

/// What the rollout under way waits for, in words; none when there is none, or when it waits for nothing but to be looked at.
pub(super) fn waiting(
    workshop: &Workshop,
    name: &ModelName,
    state: &ModelState,
    watermark: Timestamp,
) -> Option<String> {
    if let Some((plan, Repair::Exploring { weighed, .. })) = bandit::exploring(state) {
        return (watermark.since(weighed) >= plan.every)
            .then(|| format!("labels: {} of each arm before the shares move", plan.min_labels));
    }
    let Some(Repair::RollingOut { version, step, begun, .. }) = state.repair else { return None };
    let plan = state.plan.clone().unwrap_or_else(|| policy_of(workshop.project().models.get(name)));
    let candidate = workshop.gateway.evidence(name, version)?;
    let trial = workshop.gateway.finding(name, version);
    let lasted = watermark.since(begun);
    let shown = Shown { candidate, trial: trial.as_ref(), lasted, ..Shown::default() };
    waits_for(&Plan::of(&plan), step, &shown).or_else(|| {
        if let Some(bake) = plan.bake.filter(|bake| plan.share(step) == Some(10_000) && lasted < *bake) {
            return Some(format!("time: it bakes for {bake}"));
        }
        let end = workshop.project().models.get(name)?.retrain.quiet.value.end(watermark)?;
        Some(format!("the quiet hours to end, at {end}"))
    })
}

/// What rules call the drift of the step's inputs.
const INPUT_DRIFT: &str = "input_drift";

/// The worst drift of the inputs in `period` against those that `version` was trained on: an effect size, 0 when none is sure
/// and material; none when the version has no profile.
fn input_drift(
    workshop: &Workshop,
    name: &ModelName,
    spec: &Model,
    version: Version,
    period: Period,
) -> Result<Option<f64>, Failure> {
    let Some(summary) = close(workshop, name, spec, version, period)? else { return Ok(None) };
    let inputs = summary.drift.iter().filter(|drift| drift.drifted && drift.column != "(prediction)");
    Ok(Some(inputs.map(|drift| drift.effect).fold(0.0, f64::max)))
}

/// Whether a feature's values are in the log: of one that is left out there is nothing to watch.
pub(super) fn is_kept(spec: &Model, name: &str) -> bool {
    !spec.log.leave_out.iter().any(|left| left.value == name)
}

/// A version that had a share by hand, and that the gateway took out of traffic: the journal hears of it.
fn braked(workshop: &Workshop, name: &ModelName, watermark: Timestamp) -> Result<Vec<NewFact>, Failure> {
    let convicted = workshop.gateway.convicted(name);
    if convicted.is_empty() {
        return Ok(Vec::new());
    }
    let named = name.clone();
    let (shares, shifted, champion) = workshop.store.read(move |tx| {
        let shifted = journal::latest_of_kind(tx, "traffic_shifted", named.as_str())?;
        Ok((gyre_registry::traffic(tx, &named)?, shifted, gyre_registry::champion(tx, &named)?))
    })?;
    let share_of = |from: Version| shares.iter().find(|(version, share)| *version == from && *share > 0);
    // One at a time: the next one's shares are those that this one leaves.
    let found = convicted.into_iter().find_map(|(from, finding)| Some((*share_of(from)?, finding)));
    let (Some(((from, taken), finding)), Some(shifted), Some(to)) = (found, shifted, champion) else {
        return Ok(Vec::new());
    };
    let mut weights: Vec<(Version, u32)> =
        shares.iter().copied().filter(|(version, _)| *version != from).collect();
    match weights.iter_mut().find(|(version, _)| *version == to) {
        Some((_, share)) => *share += taken,
        None => weights.push((to, taken)),
    }
    let (model, reason, since) = (name.clone(), finding.charge(), shifted.seq);
    let back = Fact::RolledBack { model: model.clone(), from, to, reason: reason.clone() };
    let shares = Fact::TrafficShifted { model, weights, reason };
    let fact = |kind: &str, fact| {
        NewFact::new(watermark, GATEWAY, fact).because_of(since).once(format!("{kind}/{name}/{since}"))
    };
    Ok(vec![fact("brake", back), fact("braked", shares)])
}

fn policy_of(spec: Option<&Model>) -> RolloutPlan {
    spec.map_or_else(|| Deploy::default().plan(), |spec| spec.deploy.plan())
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
        let Some(mut summary) = close(workshop, name, spec, champion, period)? else { break };
        summary.estimated = foresee::of_window(workshop, name, champion, period)?;
        let key = format!("window/{name}/{}", period.from.as_millis());
        facts.push(NewFact::new(watermark, "monitor", Fact::WindowClosed(summary)).once(key));
    }
    Ok(())
}

/// Of failures, of which all are counted, as many as the log would have kept: what they are held against is what it has.
fn kept_of(failures: u64, share: Percent) -> u64 {
    (failures as f64 * share.share()).round() as u64
}

fn close(
    workshop: &Workshop,
    name: &ModelName,
    spec: &Model,
    champion: Version,
    period: Period,
) -> Result<Option<WindowSummary>, Failure> {
    let named = name.clone();
    let registered = workshop.store.read(move |tx| gyre_registry::version(tx, &named, champion))?.registered;
    // A version that was made elsewhere brings nothing to hold a window against.
    let Some(profile) = registered.profile else { return Ok(None) };
    let mut reference = ReferenceProfile::from_json(&workshop.store.blobs().get(&profile)?)?;
    reference.expected = spec.monitor.quality.clone();
    // What is flushed is on disk, and what is on disk is what a window is made of.
    workshop.gateway.flush(name.as_str())?;
    let scan = workshop.gateway.scan(name.as_str(), period)?;
    let outputs = frame::labels(spec.task, scan.outputs.iter().cloned().map(Some));
    let labels = frame::labels(spec.task, scan.labels.iter().cloned());
    let features: Vec<(&str, gyre_monitor::Values<'_>)> = scan
        .features
        .iter()
        .filter(|(name, _)| is_kept(spec, name))
        .map(|(name, column)| (name.as_ref(), frame::values(column)))
        .collect();
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
        errors: kept_of(workshop.gateway.failures(name.as_str(), period)?, spec.log.share),
        latencies_us: &scan.latencies_us,
    };
    let mut summary = summarise(&input, &reference, &Settings::of(spec))?;
    if let Some(losses) = &reference.losses {
        summary.attribution = attribute(&input, losses, spec.metric)?;
    }
    let segments: Vec<Segment> = spec.monitor.segments.iter().map(|segment| segment.value.clone()).collect();
    summary.segments = by_segment(&input, &reference, &segments, &Settings::of(spec))?;
    let rules = FeatureRules::new(&registered.signature, &spec.features, Some(&reference.columns));
    let odd = rules.tally(|feature| scan.feature(feature).filter(|_| is_kept(spec, feature)));
    let odd = odd.into_iter().take(MOST_ODD);
    summary.odd =
        odd.map(|(feature, odd, rows)| OddValues { feature: feature.to_string(), odd, rows }).collect();
    Ok(Some(summary))
}

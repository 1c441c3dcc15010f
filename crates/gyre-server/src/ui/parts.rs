//! Furniture that several pages share.

use gyre_core::Version;
use gyre_core::fact::Alarm;
use gyre_gateway::Evidence;
use gyre_registry::VersionStatus;
use gyre_report::Tone;
use gyre_report::components::{Align, TimelineItem, badge, table};
use gyre_report::format::{UNDEFINED, count, measure, percent};
use gyre_report::loop_report::{Event, EventKind};
use maud::{Markup, html};

use crate::glance::{Glance, Health, Serving};
use crate::news;

/// How a model is, as a badge.
pub(super) fn health(health: Health) -> Markup {
    let (tone, word) = match health {
        Health::Well => (Tone::Ok, "well"),
        Health::Alarm => (Tone::Warn, "alarm"),
        Health::Paused => (Tone::Bad, "paused"),
        Health::NotServing => (Tone::Neutral, "not serving"),
    };
    badge(tone, word)
}

/// Where a version stands, as a badge.
pub(super) fn status(status: VersionStatus) -> Markup {
    let (tone, word) = match status {
        VersionStatus::Registered => (Tone::Neutral, "registered"),
        VersionStatus::Gated => (Tone::Ok, "passed its gates"),
        VersionStatus::Refused => (Tone::Bad, "refused"),
        VersionStatus::RollingOut => (Tone::Info, "rolling out"),
        VersionStatus::Champion => (Tone::Ok, "champion"),
        VersionStatus::Retired => (Tone::Neutral, "retired"),
        VersionStatus::RolledBack => (Tone::Bad, "rolled back"),
    };
    badge(tone, word)
}

/// A version's name, or the sign for none.
pub(super) fn version(version: Option<Version>) -> String {
    version.map_or_else(|| UNDEFINED.to_owned(), news::version_name)
}

/// The last realised loss of the champion, and how it stands to what was promised.
pub(super) fn realised(glance: &Glance) -> (Option<f64>, Tone) {
    let loss =
        glance.window.as_ref().and_then(|window| window.realised.as_ref()).map(|realised| realised.loss);
    let tone = match (glance.health, loss, glance.promised) {
        (_, None, _) => Tone::Neutral,
        (Health::Alarm, ..) => Tone::Warn,
        (_, Some(loss), Some(promised)) if loss <= promised && whose(glance).is_empty() => Tone::Ok,
        _ => Tone::Neutral,
    };
    (loss, tone)
}

/// ` of v3`, when the last window was not that of the present champion.
pub(super) fn whose(glance: &Glance) -> String {
    let other = glance
        .window
        .as_ref()
        .map(|window| window.champion)
        .filter(|version| Some(*version) != glance.champion);
    other.map_or(String::new(), |version| format!(" of {}", news::version_name(version)))
}

/// What is wrong, as a heading.
pub(super) const fn alarm(alarm: Alarm) -> &'static str {
    match alarm {
        Alarm::Decay => "Decay",
        Alarm::DecayExpected => "Decay expected",
        Alarm::Drift => "Drift",
    }
}

/// The versions that take traffic, with what they have shown.
pub(super) fn traffic(serving: &[Serving]) -> Markup {
    let columns = [
        ("Version", Align::Tight),
        ("Share", Align::Number),
        ("Requests", Align::Number),
        ("Failed", Align::Number),
        ("Median", Align::Number),
        ("99 %", Align::Number),
    ];
    let row = |serving: &Serving| {
        let Evidence { requests, errors, latency_p50_ms, latency_p99_ms } = serving.evidence;
        vec![
            html! { strong { (news::version_name(serving.version)) } },
            html! { (percent(Some(f64::from(serving.share) / 10_000.0))) },
            html! { (count(requests)) },
            html! { (count(errors)) },
            html! { (measure(latency_p50_ms, "ms")) },
            html! { (measure(latency_p99_ms, "ms")) },
        ]
    };
    let rows: Vec<_> = serving.iter().map(row).collect();
    table(&columns, &rows, "No version takes traffic yet.")
}

/// Events as the timeline shows them. `about` is told for each when the page shows several models.
pub(super) fn timeline_item(event: Event, about: Option<&str>) -> TimelineItem {
    let (kind, tone) = words(event.kind);
    let title = match about {
        Some(model) => format!("{model}: {}", event.title),
        None => event.title,
    };
    TimelineItem {
        at_ms: event.at_ms,
        kind: kind.to_owned(),
        tone,
        title,
        reason: event.reason,
        seq: event.seq,
    }
}

/// A kind of event in a word, and how it is meant.
pub(super) const fn words(kind: EventKind) -> (&'static str, Tone) {
    match kind {
        EventKind::Alarm => ("alarm", Tone::Warn),
        EventKind::Keep => ("keep", Tone::Neutral),
        EventKind::Retrain => ("retrain", Tone::Info),
        EventKind::Recall => ("recall", Tone::Info),
        EventKind::GatePassed => ("gate passed", Tone::Ok),
        EventKind::Refused => ("refused", Tone::Bad),
        EventKind::Rollout => ("rollout", Tone::Neutral),
        EventKind::Promoted => ("promoted", Tone::Ok),
        EventKind::RolledBack => ("rolled back", Tone::Bad),
        EventKind::Failed => ("failed", Tone::Bad),
        EventKind::Note => ("note", Tone::Neutral),
    }
}

//! `/journal`: every entry, its root, and whether it is as it was written.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use gyre_core::Entry;
use gyre_report::Tone;
use gyre_report::components::{Align, badge, card, stat_card, stats, table};
use gyre_report::format::{count, minute};
use gyre_report::page::{Nav, lead};
use gyre_store::{Head, StoreError, Verification, journal};
use maud::{Markup, html};
use serde::Deserialize;

use super::{Refresh, Shown, Unshown, parts, show};
use crate::app::App;
use crate::news;
use crate::pages::{Direction, Filter};
use crate::rest;

/// Entries on a page.
const PAGE: u64 = 50;

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Asked {
    #[serde(default)]
    before: Option<u64>,
    #[serde(default)]
    model: String,
    #[serde(default)]
    kind: String,
    /// Present: recompute the whole journal.
    #[serde(default)]
    verify: Option<String>,
}

struct View {
    entries: Vec<Entry>,
    head: Head,
    found: Option<Verification>,
}

pub(crate) async fn page(State(app): State<Arc<App>>, query: Result<Query<Asked>, QueryRejection>) -> Shown {
    let Query(asked) = query.map_err(rest::Refused::from)?;
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let filter = Filter { model: given(&asked.model), kind: given(&asked.kind) };
    let from = Direction::Before(asked.before.unwrap_or(u64::MAX));
    let verify = asked.verify.is_some();
    let read = move |app: &App| {
        let (entries, head) =
            app.store.read(|tx| Ok((filter.entries(tx, from, PAGE)?, journal::head(tx)?)))?;
        let found = verify.then(|| journal::verify(&app.store)).transpose()?;
        Ok::<_, StoreError>(View { entries, head, found })
    };
    let view =
        if verify { app.operate(read).await? } else { app.read(read).await? }.map_err(Unshown::from)?;
    let models = app.desk.models();
    let models: Vec<&str> = models.iter().map(|model| model.as_str()).collect();
    let body = html! {
        (lead(
            html! { (app.desk.project().project.as_str()) },
            "Journal",
            html! { "Everything that happened, in order, never changed: each entry is a leaf of a Merkle tree (RFC 6962), \
                     and the root below commits to all of them." },
        ))
        (proof(&view))
        (card("Entries", "Newest first.", html! { (filter_form(&asked, &models)) (entries(&view.entries)) (older(&asked, &view.entries)) }))
    };
    Ok(show("Journal", Nav::Journal, Refresh::Never, body))
}

fn proof(view: &View) -> Markup {
    let (word, detail, tone) = match &view.found {
        Some(found) if found.verified => {
            ("verified", format!("{} entries recomputed", count(found.entries)), Tone::Ok)
        }
        Some(found) => ("does not verify", found.problems.join("; "), Tone::Bad),
        None => ("not checked now", String::new(), Tone::Neutral),
    };
    html! {
        (stats(&[
            stat_card("Entries", count(view.head.size), "", Tone::Neutral),
            stat_card("Check", word, &detail, tone),
        ]))
        (card("Root", "Whoever has written it down can prove later that nothing before it was changed.", html! {
            p { code { (view.head.root) } }
            p.note { a href="/journal?verify=1" { "Recompute it from all entries" } }
        }))
    }
}

fn filter_form(asked: &Asked, models: &[&str]) -> Markup {
    html! {
        form.chips method="get" action="/journal" {
            label { span.muted { "Model " } select name="model" {
                option value="" { "all" }
                @for model in models { option value=(model) selected[asked.model == *model] { (model) } }
            } }
            label { span.muted { "Kind " } select name="kind" {
                option value="" { "all" }
                @for kind in KINDS { option value=(kind) selected[asked.kind == kind] { (kind.replace('_', " ")) } }
            } }
            button.chip type="submit" { "Show" }
        }
    }
}

/// What [`gyre_core::Fact::kind`] can say.
const KINDS: [&str; 28] = [
    "project_loaded",
    "data_recorded",
    "data_refused",
    "run_finished",
    "run_failed",
    "version_registered",
    "gates_judged",
    "window_closed",
    "loss_estimated",
    "alarm_raised",
    "alarm_cleared",
    "incident_opened",
    "incident_changed",
    "incident_closed",
    "incident_acknowledged",
    "versions_compared",
    "decision_taken",
    "training_due",
    "wait_ended",
    "rollout_started",
    "step_observed",
    "traffic_shifted",
    "promoted",
    "rolled_back",
    "segment_closed",
    "action_failed",
    "loop_paused",
    "loop_resumed",
];

fn entries(entries: &[Entry]) -> Markup {
    let columns = [
        ("#", Align::Number),
        ("When", Align::Tight),
        ("Kind", Align::Tight),
        ("Model", Align::Tight),
        ("What", Align::Text),
        ("By", Align::Tight),
        ("Because of", Align::Number),
    ];
    let rows: Vec<_> = entries.iter().map(row).collect();
    table(&columns, &rows, "No entry fits.")
}

fn row(entry: &Entry) -> Vec<Markup> {
    let event = news::of(entry);
    let tone = event.as_ref().map_or(Tone::Neutral, |event| parts::words(event.kind).1);
    vec![
        html! { (entry.seq) },
        html! { (minute(entry.at.as_millis())) },
        badge(tone, &entry.fact.kind().replace('_', " ")),
        html! { @if let Some(model) = entry.fact.model() { (model) } },
        html! { @match event {
            Some(event) => { (event.title) @if !event.reason.is_empty() { br; span.muted { (event.reason) } } },
            None => (quiet(entry)),
        } },
        html! { (entry.actor) },
        html! { @if let Some(cause) = entry.cause { "#" (cause) } },
    ]
}

/// What is no news, in a line.
fn quiet(entry: &Entry) -> String {
    use gyre_core::Fact;
    match &entry.fact {
        Fact::DataRecorded(data) => {
            format!("{}: {} rows, {:.12}", data.dataset, count(data.rows), data.digest.to_string())
        }
        Fact::RunFinished(run) => format!("run {}: {} stages", run.run, run.stages.len()),
        Fact::WindowClosed(window) => format!(
            "{} to {}: {} predictions, {} labelled",
            window.period.from.date(),
            window.period.to.date(),
            count(window.predictions),
            count(window.labels)
        ),
        Fact::LossEstimated(estimate) => estimate.summary(),
        Fact::TrafficShifted { weights, reason, .. } => {
            let shares: Vec<String> = weights
                .iter()
                .map(|(version, share)| format!("{} {}", news::version_name(*version), news::share(*share)))
                .collect();
            format!("{}: {reason}", shares.join(", "))
        }
        Fact::SegmentClosed { name, predictions, labels, .. } => {
            format!("{name}: {} predictions, {} labels", count(*predictions), count(*labels))
        }
        Fact::LogTroubled { dropped, problem, .. } => Fact::log_trouble(*dropped, problem.as_deref()),
        Fact::Tracking(change) => change.summary(),
        Fact::Registry(change) => change.summary(),
        Fact::Access(change) => change.summary(),
        _ => String::new(),
    }
}

fn older(asked: &Asked, entries: &[Entry]) -> Markup {
    let last = entries.last().filter(|_| entries.len() as u64 == PAGE).map(|entry| entry.seq);
    html! {
        @if let Some(last) = last {
            form.chips method="get" action="/journal" {
                input type="hidden" name="before" value=(last);
                input type="hidden" name="model" value=(asked.model);
                input type="hidden" name="kind" value=(asked.kind);
                button.chip type="submit" { "Older entries" }
            }
        }
    }
}

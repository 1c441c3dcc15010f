//! `/models/{model}`: one model, from how it is now to everything that ever happened to it; and `/report/{model}`, the same
//! as a document to keep.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use gyre_core::ModelName;
use gyre_core::fact::{Alarm, Fact, WindowSummary};
use gyre_govern::incidents::Account;
use gyre_registry::VersionRecord;
use gyre_report::Tone;
use gyre_report::components::{Align, badge, card, chart, digest, figure, stat_card, stats, table, timeline};
use gyre_report::format::{UNDEFINED, count, date, day, measure};
use gyre_report::loop_report::LoopReport;
use gyre_report::page::{Nav, lead};
use gyre_store::StoreError;
use maud::{Markup, html};

use super::{Refresh, Shown, Unshown, document, parts, show};
use crate::app::App;
use crate::glance::{self, Glance};
use crate::pages::{Direction, Filter};
use crate::report::{self, About};
use crate::rest;

mod charts;
mod explained;

/// Windows among which one with labels is looked for.
const LATE_WINDOWS: u64 = 8;

/// News on the page; the report has them all.
const RECENT: usize = 200;

type Name = Result<Path<String>, PathRejection>;

struct View {
    glance: Glance,
    versions: Vec<VersionRecord>,
    report: LoopReport,
    incidents: Vec<Account>,
    /// The last window with labels.
    window: Option<WindowSummary>,
}

pub(crate) async fn page(State(app): State<Arc<App>>, path: Name) -> Shown {
    let model = rest::known(&app, path)?;
    let view = app.read(move |app| view(app, &model)).await?.map_err(Unshown::from)?;
    let View { glance, versions, report, .. } = &view;
    let name = glance.name.as_str();
    let metric = report::metric_name(glance.metric);
    let body = html! {
        (lead(
            html! { (app.desk.project().project.as_str()) " / models" },
            name,
            html! { (parts::health(glance.health)) " The loop is " strong { (glance.doing) } ". " a href=(format!("/report/{name}")) { "The whole report" } },
        ))
        (headline(glance, metric))
        @for alarm in &glance.alarms {
            (card(
                &format!("{} since {}", parts::alarm(alarm.alarm), day(alarm.since.as_millis())),
                "",
                html! { p { (alarm.reason) " (journal entry #" (alarm.entry) ")" } },
            ))
        }
        (super::incident::listed(&view.incidents))
        (card(
            &format!("{metric} over windows"),
            "What came true, window by window, beside what the champion of the time had promised; beneath, who served, and \
             what was noticed and decided.",
            chart(charts::errors(report, versions)),
        ))
        @if let Some(window) = &view.window { (explained::explained(window, &glance.unit)) }
        (card(
            "Drift of the inputs",
            "Each column against what the champion was trained on. A mark is a drift that counts.",
            chart(charts::drift(report)),
        ))
        (card("Traffic now", "", parts::traffic(&glance.serving)))
        (card("Versions", "Newest first. What each was trained on, and what its gates said.", version_table(versions, glance, metric)))
        (card("What happened", "Newest first; # is the journal entry.", events(report)))
    };
    Ok(show(name, Nav::Models, Refresh::After(30), body))
}

/// `/report/{model}`: self-contained, to be saved.
pub(crate) async fn report(State(app): State<Arc<App>>, path: Name) -> Result<Response, Unshown> {
    let model = rest::known(&app, path)?;
    let view = app.read(move |app| view(app, &model)).await?.map_err(Unshown::from)?;
    Ok(document(gyre_report::loop_report::html(&view.report)))
}

fn view(app: &App, model: &ModelName) -> Result<View, StoreError> {
    let glance = glance::of(app, model)?;
    let (versions, incidents, closed) = app.store.read(|tx| {
        let closed = Filter { kind: Some("window_closed".to_owned()), ..Filter::of(model.as_str()) };
        let closed = closed.entries(tx, Direction::Before(u64::MAX), LATE_WINDOWS)?;
        Ok((gyre_registry::versions(tx, model)?, rest::incidents::of(tx, model)?, closed))
    })?;
    let mut closed = closed.into_iter().filter_map(|entry| match entry.fact {
        Fact::WindowClosed(window) => Some(window),
        _ => None,
    });
    let window = closed.find(|window| window.labels > 0);
    let project = app.desk.project();
    let spec = project.models.get(model);
    let about = About {
        title: format!("{model}: what the loop did"),
        project: project.project.as_str(),
        spec,
        period_days: 14,
        never_retrained: &[],
        failed_requests: glance.serving.iter().map(|serving| serving.evidence.errors).sum(),
        verified: None,
    };
    Ok(View { glance, versions, report: report::build(&app.store, model, &about)?, incidents, window })
}

fn headline(model: &Glance, metric: &str) -> Markup {
    let (loss, tone) = parts::realised(model);
    let window = model.window.as_ref();
    let period = window.map_or(String::new(), |window| {
        format!("{} – {}", date(window.period.from.as_millis()), date(window.period.to.as_millis()))
    });
    let labelled = window.map_or(String::new(), |window| format!("{} labelled", count(window.labels)));
    stats(&[
        stat_card("Champion", parts::version(model.champion), "", Tone::Neutral),
        stat_card(
            &format!("{metric}{}, last window", parts::whose(model)),
            figure(loss, &model.unit),
            &period,
            tone,
        ),
        expected_card(model),
        stat_card("Promised", figure(model.promised, &model.unit), "on withheld rows", Tone::Neutral),
        stat_card(
            "In the last window",
            window.map_or_else(|| UNDEFINED.to_owned(), |window| count(window.predictions)),
            &labelled,
            Tone::Neutral,
        ),
        stat_card(
            "Not logged",
            count(model.dropped),
            "since the start",
            if model.dropped == 0 { Tone::Neutral } else { Tone::Warn },
        ),
    ])
}

/// What is expected before labels come.
fn expected_card(model: &Glance) -> Markup {
    let estimate = model.expected.as_ref();
    let forecast = estimate.and_then(|estimate| estimate.forecast);
    let until = estimate.map_or(String::new(), |estimate| match &estimate.reason {
        Some(reason) => reason.clone(),
        None => format!("to {}, before its labels", date(estimate.period.to.as_millis())),
    });
    let tone = match model.alarms.iter().any(|raised| raised.alarm == Alarm::DecayExpected) {
        true => Tone::Warn,
        false => Tone::Neutral,
    };
    stat_card("Expected", figure(forecast.map(|forecast| forecast.loss), &model.unit), &until, tone)
}

fn version_table(versions: &[VersionRecord], model: &Glance, metric: &str) -> Markup {
    let holdout = format!("Holdout {metric}");
    let columns = [
        ("Version", Align::Tight),
        ("Status", Align::Tight),
        ("Trained on", Align::Tight),
        (holdout.as_str(), Align::Number),
        ("Gates", Align::Text),
        ("Data", Align::Tight),
        ("Registered", Align::Tight),
    ];
    let row = |record: &VersionRecord| {
        let made = &record.registered;
        vec![
            html! { strong { (crate::news::version_name(made.version)) } },
            parts::status(record.status),
            html! { @match made.trained_on {
                Some(period) => { (date(period.from.as_millis())) " – " (date(period.to.as_millis())) },
                None => (UNDEFINED),
            } @if let Some(of) = made.made_of() { br; span.muted { (of) } } },
            html! { (measure(model.metric.and_then(|metric| made.holdout.get(metric.name()).copied()), &model.unit)) },
            gates(record),
            html! { @if let Some(data) = &made.data { (digest(&data.to_string())) } },
            html! { (date(record.created.at.as_millis())) },
        ]
    };
    let rows: Vec<_> = versions.iter().rev().map(row).collect();
    table(&columns, &rows, "No version has been registered yet.")
}

fn gates(record: &VersionRecord) -> Markup {
    let Some(judged) = &record.gates else { return badge(Tone::Neutral, "not asked") };
    html! {
        ul {
            @for result in &judged.results {
                li {
                    @if result.passed { (badge(Tone::Ok, "passed")) } @else { (badge(Tone::Bad, "failed")) }
                    " " code { (result.gate) } " " span.muted { (result.because) }
                }
            }
            @if judged.results.is_empty() { li { (badge(if judged.passed { Tone::Ok } else { Tone::Bad }, "no gates declared")) } }
        }
    }
}

fn events(report: &LoopReport) -> Markup {
    let items: Vec<_> = report
        .events
        .iter()
        .rev()
        .take(RECENT)
        .map(|event| parts::timeline_item(event.clone(), None))
        .collect();
    timeline(&items, "Nothing has happened yet.")
}

//! `/models/{model}/incidents/{incident}`: one incident on one page: what changed, since when, what it costs, why most likely,
//! and what the loop does about it.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use gyre_core::fact::Severity;
use gyre_govern::incidents::Account;
use gyre_report::Tone;
use gyre_report::components::{Align, badge, card, stat_card, stats, table};
use gyre_report::format::day;
use gyre_report::page::{Nav, lead};
use maud::{Markup, html};

use super::{Refresh, Shown, Unshown, show};
use crate::app::App;
use crate::rest;
use crate::rest::incidents::OfIncident;

pub(crate) async fn page(State(app): State<Arc<App>>, path: OfIncident) -> Shown {
    let Path((name, incident)) = path.map_err(rest::Refused::from)?;
    let model = rest::model(&app, &name)?;
    let named = model.clone();
    let all = app.read(move |app| app.store.read(|tx| rest::incidents::of(tx, &named))).await??;
    let Some(account) = all.into_iter().find(|account| account.last.incident == incident) else {
        let shown: String = incident.chars().take(100).collect();
        return Err(Unshown(StatusCode::NOT_FOUND, format!("{model} has no incident {shown}")));
    };
    let last = &account.last;
    let body = html! {
        (lead(
            html! { a href="/models" { "models" } " / " a href=(format!("/models/{model}")) { (model.as_str()) } " / incidents" },
            last.cause.title(),
            html! { (state(&account)) " " (last.changed) },
        ))
        (stats(&[
            stat_card("Severity", last.severity.name().to_owned(), "", tone(last.severity)),
            stat_card("Since", day(last.since.as_millis()), "the first window that showed it", Tone::Neutral),
            stat_card("Cause", last.cause.name().replace('_', " "), "the likeliest", Tone::Neutral),
        ]))
        (card("What changed", "", html! { p { (last.changed) } @if !last.columns.is_empty() { p { "Columns: " (last.columns.join(", ")) } } }))
        (card("What it costs", "", html! { p { (last.cost) } }))
        (card("What the loop does", "", html! { p { (last.next) } }))
        (card("The numbers", "", numbers(&account)))
        (card("What was told of it", "Oldest first; # is the journal entry.", course(&account)))
    };
    Ok(show(last.cause.title(), Nav::Models, Refresh::After(30), body))
}

/// The incidents of a model, as a card of its page; nothing where there has been none.
pub(super) fn listed(accounts: &[Account]) -> Markup {
    if accounts.is_empty() {
        return html! {};
    }
    let columns = [
        ("Incident", Align::Tight),
        ("", Align::Tight),
        ("Since", Align::Tight),
        ("Likely cause", Align::Text),
        ("What changed", Align::Text),
    ];
    let row = |account: &Account| {
        let last = &account.last;
        vec![
            html! { a href=(format!("/models/{}/incidents/{}", last.model, last.incident)) { (last.incident) } },
            state(account),
            html! { (day(last.since.as_millis())) },
            html! { (last.cause.title()) },
            html! { (last.changed) },
        ]
    };
    let rows: Vec<_> = accounts.iter().map(row).collect();
    card("Incidents", "Those that are open first, then the newest first.", table(&columns, &rows, ""))
}

fn state(account: &Account) -> Markup {
    match (account.is_open(), account.last.severity) {
        (false, _) => badge(Tone::Ok, "over"),
        (true, severity) if account.acknowledged.is_empty() => badge(tone(severity), severity.name()),
        (true, severity) => badge(tone(severity), &format!("{}, known", severity.name())),
    }
}

const fn tone(severity: Severity) -> Tone {
    match severity {
        Severity::Info => Tone::Info,
        Severity::Warning => Tone::Warn,
        Severity::Critical => Tone::Bad,
    }
}

fn numbers(account: &Account) -> Markup {
    let rows: Vec<_> = account
        .last
        .numbers
        .iter()
        .map(|(name, value)| vec![html! { (name) }, html! { (format!("{value:.4}")) }])
        .collect();
    table(&[("Number", Align::Text), ("Value", Align::Number)], &rows, "None.")
}

fn course(account: &Account) -> Markup {
    let row = |step: &gyre_govern::incidents::Step| {
        vec![html! { "#" (step.entry) }, html! { (day(step.at.as_millis())) }, html! { (step.words) }]
    };
    let rows: Vec<_> = account.course.iter().map(row).collect();
    table(&[("", Align::Tight), ("When", Align::Tight), ("What", Align::Text)], &rows, "")
}

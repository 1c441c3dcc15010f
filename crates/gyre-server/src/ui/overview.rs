//! `/`: how all models are, and what happened last.

use std::sync::Arc;

use axum::extract::State;
use gyre_core::Entry;
use gyre_report::Tone;
use gyre_report::components::{card, figure, stat_card, stats, timeline};
use gyre_report::format::{count, day, measure};
use gyre_report::loop_report::EventKind;
use gyre_report::page::{Nav, lead};
use gyre_store::{Head, StoreError, journal};
use maud::{Markup, html};

use super::{Refresh, Shown, Unshown, parts, show};
use crate::app::App;
use crate::glance::{self, Glance, Health};
use crate::pages::{Direction, Filter};
use crate::{news, report};

/// News on the page.
const RECENT: usize = 25;
/// Entries looked through for them: most entries are no news.
const LOOKED_THROUGH: u64 = 200;

struct Overview {
    models: Vec<Glance>,
    recent: Vec<Entry>,
    head: Head,
}

pub(crate) async fn page(State(app): State<Arc<App>>) -> Shown {
    let read = |app: &App| {
        let (recent, head) = app.store.read(|tx| {
            let recent = Filter::default().entries(tx, Direction::Before(u64::MAX), LOOKED_THROUGH)?;
            Ok((recent, journal::head(tx)?))
        })?;
        Ok::<_, StoreError>(Overview { models: glance::all(app)?, recent, head })
    };
    let overview = app.read(read).await?.map_err(Unshown::from)?;
    let served = app.desk.project();
    let project = served.project.as_str();
    let trouble = app.desk.trouble();
    let now = day(app.desk.watermark().as_millis());
    let body = html! {
        (lead(html! { (project) }, "Overview", sentence(&overview.models, &now)))
        @if let Some(trouble) = trouble {
            (card("The loop cannot go on", "It tries again by itself.", html! { p { (trouble) } }))
        }
        (headline(&overview))
        @if overview.models.is_empty() {
            (card("Models", "", html! { p.note { "gyre.yaml declares no model yet." } }))
        }
        div.grid { @for model in &overview.models { (model_card(model)) } }
        (card("What happened last", "Newest first, of all models; # is the journal entry.", recent(&overview.recent)))
    };
    Ok(show("Overview", Nav::Overview, Refresh::After(10), body))
}

fn sentence(models: &[Glance], now: &str) -> Markup {
    let wrong = models.iter().filter(|model| matches!(model.health, Health::Alarm | Health::Paused)).count();
    let serving = models.iter().filter(|model| model.champion.is_some()).count();
    html! {
        @match wrong {
            0 if serving == 0 => "Nothing serves yet.",
            0 => "Every model that serves is well.",
            1 => { strong { "One model" } " needs attention." },
            n => { strong { (n) " models" } " need attention." },
        }
        " It is " (now) " in event time."
    }
}

fn headline(overview: &Overview) -> Markup {
    let models = &overview.models;
    let serving = models.iter().filter(|model| model.champion.is_some()).count();
    let alarms: usize = models.iter().map(|model| model.alarms.len()).sum();
    let requests: u64 =
        models.iter().flat_map(|model| &model.serving).map(|serving| serving.evidence.requests).sum();
    let errors: u64 =
        models.iter().flat_map(|model| &model.serving).map(|serving| serving.evidence.errors).sum();
    let dropped: u64 = models.iter().map(|model| model.dropped).sum();
    let failed = if errors == 0 { Tone::Neutral } else { Tone::Bad };
    stats(&[
        stat_card("Serving", html! { (serving) " " small { "of " (models.len()) } }, "models", Tone::Neutral),
        stat_card("Alarms", alarms, "", if alarms == 0 { Tone::Ok } else { Tone::Warn }),
        stat_card("Predictions", count(requests), "of the versions that serve", Tone::Neutral),
        stat_card("Failed", count(errors), &format!("{} not logged", count(dropped)), failed),
        stat_card(
            "Journal",
            count(overview.head.size),
            &format!("root {:.12}", overview.head.root.to_string()),
            Tone::Neutral,
        ),
    ])
}

fn model_card(model: &Glance) -> Markup {
    let (loss, _) = parts::realised(model);
    let metric = report::metric_name(model.metric);
    html! {
        section.card {
            header {
                h2 { a href=(format!("/models/{}", model.name)) { (model.name) } " " (parts::health(model.health)) }
                p { (model.doing) }
            }
            dl.stats {
                (stat_card("Champion", parts::version(model.champion), "", Tone::Neutral))
                (stat_card(
                    &format!("{metric}{}, last window", parts::whose(model)),
                    figure(loss, &model.unit),
                    &format!("promised {}", measure(model.promised, &model.unit)),
                    parts::realised(model).1,
                ))
            }
            @if model.alarms.is_empty() { p.note { "No alarm stands." } }
            @for alarm in &model.alarms {
                p.note { strong { (parts::alarm(alarm.alarm)) } " since " (day(alarm.since.as_millis())) ": " (alarm.reason) " (#" (alarm.entry) ")" }
            }
            (parts::traffic(&model.serving))
        }
    }
}

fn recent(entries: &[Entry]) -> Markup {
    let items = entries.iter().filter_map(|entry| {
        let about = entry.fact.model().map(|model| model.as_str());
        // That all was left as it is is said at every window; it is no news here.
        let event = news::of(entry).filter(|event| event.kind != EventKind::Keep)?;
        Some(parts::timeline_item(event, about))
    });
    let items: Vec<_> = items.take(RECENT).collect();
    timeline(&items, "Nothing has happened yet.")
}

//! `/models`: all models in a table.

use std::sync::Arc;

use axum::extract::State;
use gyre_report::components::{Align, card, table};
use gyre_report::format::measure;
use gyre_report::page::{Nav, lead};
use maud::{Markup, html};

use super::{Refresh, Shown, Unshown, parts, show};
use crate::app::App;
use crate::glance::{self, Glance};
use crate::{news, report};

pub(crate) async fn page(State(app): State<Arc<App>>) -> Shown {
    let models = app.read(glance::all).await?.map_err(Unshown::from)?;
    let columns = [
        ("Model", Align::Tight),
        ("Health", Align::Tight),
        ("Champion", Align::Tight),
        ("Metric", Align::Tight),
        ("Last window", Align::Number),
        ("Promised", Align::Number),
        ("Traffic", Align::Tight),
        ("The loop", Align::Text),
    ];
    let rows: Vec<_> = models.iter().map(row).collect();
    let body = html! {
        (lead(
            html! { (app.desk.project().project.as_str()) },
            "Models",
            html! { "What the project declares, and who serves it. The loss of the last closed window stands beside the one \
                     that the champion promised on rows withheld from its training." },
        ))
        (card("All models", "", table(&columns, &rows, "gyre.yaml declares no model yet.")))
    };
    Ok(show("Models", Nav::Models, Refresh::After(30), body))
}

fn row(model: &Glance) -> Vec<Markup> {
    let (loss, _) = parts::realised(model);
    let shares: Vec<String> = model
        .serving
        .iter()
        .map(|serving| format!("{} {}", news::version_name(serving.version), news::share(serving.share)))
        .collect();
    vec![
        html! { a href=(format!("/models/{}", model.name)) { strong { (model.name) } } },
        parts::health(model.health),
        html! { (parts::version(model.champion)) },
        html! { (report::metric_name(model.metric)) },
        html! { strong { (measure(loss, &model.unit)) } },
        html! { (measure(model.promised, &model.unit)) },
        html! { (shares.join(", ")) },
        html! { (model.doing) },
    ]
}

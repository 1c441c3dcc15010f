//! The report on a backtest: what each policy would have cost on a history, and why one is advised.
//!
//! The room that replays hands over plain figures. What could not be measured (a window without labels, a regret without the
//! oracle) is `None` and shown as undefined.

use maud::{Markup, html};
use serde::{Deserialize, Serialize};

use crate::{
    Tone,
    components::{Align, badge, card, chart, stat_card, stats, table},
    format::{UNDEFINED, count, number, percent},
    page::{document, lead, mark},
    svg::{Instant, Lane, Point, Series, Shape, Stroke, TimeChart, time_chart},
};

/// Everything that the report shows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BacktestReport {
    /// Heading of the report.
    pub title: String,
    /// What was replayed: a file.
    pub subject: String,
    /// Rows that were replayed.
    pub rows: u64,
    /// Name of the metric.
    pub metric: String,
    /// Unit of the metric; may be empty.
    pub unit: String,
    /// What the costs are counted in, in a sentence.
    pub currency: String,
    /// When each window began, UTC milliseconds.
    pub windows_ms: Vec<i64>,
    /// The policies, in the order of the table.
    pub policies: Vec<PolicyRow>,
    /// What is advised, a sentence each.
    pub advice: Vec<String>,
    /// The settings that it rests on: name and value.
    pub settings: Vec<(String, String)>,
}

/// How one policy did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PolicyRow {
    /// Its name.
    pub name: String,
    /// What it does, in a few words.
    pub what: String,
    /// The metric over all rows.
    pub loss: Option<f64>,
    /// Trainings.
    pub retrains: u64,
    /// Losses and trainings together.
    pub cost: Option<f64>,
    /// How much more than the best schedule in hindsight.
    pub regret: Option<f64>,
    /// The cost as a multiple of that of the best schedule in hindsight.
    pub ratio: Option<f64>,
    /// Whether the reader came for this one: it stands out.
    pub highlighted: bool,
    /// The metric of each window.
    pub windows: Vec<Option<f64>>,
    /// When it trained, UTC milliseconds.
    pub trained_ms: Vec<i64>,
}

/// Curves of more policies would hide each other; the table has them all.
const MOST_CURVES: usize = 6;

/// The whole report as one self-contained HTML document.
pub fn html(report: &BacktestReport) -> String {
    let body = html! {
        (lead(eyebrow(report), &report.title, html! { (report.currency) }))
        (stats(&summary(report)))
        @if !report.advice.is_empty() {
            (card("Advice", "", html! { ul { @for advice in &report.advice { li { (advice) } } } }))
        }
        (card(
            "Policies",
            "The cheapest first. A ratio of 1 is the best schedule in hindsight, which nobody could have kept.",
            policies(report),
        ))
        (card(
            "Loss over time",
            "Each step is a window. Beneath: when each policy trained.",
            chart(curves(report)),
        ))
        (card("Settings", "", settings(report)))
    };
    document(&report.title, body)
}

fn eyebrow(report: &BacktestReport) -> Markup {
    html! {
        span.brand { (mark()) "gyre" } span { (report.subject) } span { (count(report.rows)) " rows" }
        span { (count(report.windows_ms.len() as u64)) " windows" }
    }
}

fn summary(report: &BacktestReport) -> Vec<Markup> {
    let Some(chosen) = report.policies.iter().find(|policy| policy.highlighted) else { return Vec::new() };
    let figure = |value: Option<f64>| value.map_or_else(|| UNDEFINED.to_owned(), number);
    vec![
        stat_card(&report.metric, figure(chosen.loss), &report.unit, Tone::Neutral),
        stat_card("Trainings", count(chosen.retrains), "", Tone::Neutral),
        stat_card("Total cost", figure(chosen.cost), "", Tone::Neutral),
        stat_card(
            "Above the best in hindsight",
            percent(chosen.ratio.map(|ratio| ratio - 1.0)),
            "",
            Tone::Neutral,
        ),
    ]
}

fn policies(report: &BacktestReport) -> Markup {
    let loss = if report.unit.is_empty() {
        report.metric.clone()
    } else {
        format!("{}, {}", report.metric, report.unit)
    };
    let columns = [
        ("Policy", Align::Text),
        (loss.as_str(), Align::Number),
        ("Trainings", Align::Number),
        ("Total cost", Align::Number),
        ("Regret", Align::Number),
        ("Ratio", Align::Number),
    ];
    let figure = |value: Option<f64>| html! { (value.map_or_else(|| UNDEFINED.to_owned(), number)) };
    let row = |policy: &PolicyRow| {
        vec![
            html! {
                strong { (policy.name) } @if policy.highlighted { " " (badge(Tone::Info, "this policy")) }
                @if !policy.what.is_empty() { br; span.muted { (policy.what) } }
            },
            figure(policy.loss),
            html! { (count(policy.retrains)) },
            figure(policy.cost),
            figure(policy.regret),
            html! { (policy.ratio.filter(|r| r.is_finite()).map_or_else(|| UNDEFINED.to_owned(), |r| format!("{r:.3}"))) },
        ]
    };
    let rows: Vec<Vec<Markup>> = report.policies.iter().map(row).collect();
    table(&columns, &rows, "No policy was replayed.")
}

fn curves(report: &BacktestReport) -> String {
    let highlighted = report.policies.iter().filter(|policy| policy.highlighted);
    let others = report.policies.iter().filter(|policy| !policy.highlighted);
    let shown: Vec<&PolicyRow> = highlighted.chain(others).take(MOST_CURVES).collect();
    let series = |(colour, policy): (usize, &&PolicyRow)| Series {
        name: policy.name.clone(),
        shape: Shape::Step,
        stroke: if policy.highlighted { Stroke::Solid } else { Stroke::Dashed },
        colour,
        points: report
            .windows_ms
            .iter()
            .zip(&policy.windows)
            .map(|(at_ms, value)| Point { at_ms: *at_ms, value: *value })
            .collect(),
    };
    let lane = |policy: &&PolicyRow| Lane {
        name: policy.name.clone(),
        spans: Vec::new(),
        instants: policy
            .trained_ms
            .iter()
            .map(|at_ms| Instant {
                at_ms: *at_ms,
                label: "training".to_owned(),
                detail: policy.name.clone(),
                tone: Tone::Info,
            })
            .collect(),
    };
    let metric = &report.metric;
    time_chart(&TimeChart {
        title: format!("{metric} under each policy over time"),
        description: "The metric of each window under each policy, with the moments of training beneath."
            .to_owned(),
        value_name: if report.unit.is_empty() {
            metric.clone()
        } else {
            format!("{metric}, {}", report.unit)
        },
        unit: report.unit.clone(),
        from_zero: true,
        plot_height: 300,
        series: shown.iter().enumerate().map(series).collect(),
        lanes: shown.iter().map(lane).collect(),
        ..TimeChart::default()
    })
}

fn settings(report: &BacktestReport) -> Markup {
    let rows: Vec<Vec<Markup>> = report
        .settings
        .iter()
        .map(|(name, value)| vec![html! { (name) }, html! { code { (value) } }])
        .collect();
    table(&[("Setting", Align::Tight), ("Value", Align::Text)], &rows, "Nothing was set.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(name: &str) -> BacktestReport {
        let policy = |name: &str, highlighted: bool| PolicyRow {
            name: name.to_owned(),
            loss: Some(8.25),
            retrains: 5,
            cost: Some(310.0),
            regret: highlighted.then_some(20.0),
            ratio: highlighted.then_some(1.07),
            highlighted,
            windows: vec![Some(8.0), None, Some(f64::NAN)],
            trained_ms: vec![604_800_000],
            ..PolicyRow::default()
        };
        BacktestReport {
            title: "Backtest".to_owned(),
            metric: "mae".to_owned(),
            unit: "min".to_owned(),
            windows_ms: vec![0, 604_800_000, 1_209_600_000],
            policies: vec![policy(name, true), policy("never", false)],
            ..BacktestReport::default()
        }
    }

    #[test]
    fn every_policy_has_its_row_and_its_curve() {
        let text = html(&report("gyre"));
        assert!(text.contains("1.070") && text.contains("7.0 %") && text.contains("8.25"), "{text}");
        assert!(text.contains("never") && text.contains("<svg"));
    }

    #[test]
    fn names_are_escaped_and_nothing_is_a_page_too() {
        let text = html(&report("<script>alert(1)</script>"));
        assert!(!text.contains("<script>alert"));
        assert!(html(&BacktestReport::default()).contains("No policy was replayed."));
    }
}

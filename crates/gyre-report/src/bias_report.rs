//! The report on bias: how a model treats groups of people, with the uncertainty of every figure.
//!
//! The room that measures hands over plain figures; an undefined rate (a group without positives has no true positive
//! rate) is `None` and shown as undefined, because a rate of zero would be an accusation or an excuse that nobody made.

use maud::{Markup, html};
use serde::{Deserialize, Serialize};

use crate::{
    Tone,
    components::{Align, badge, card, chart, stat_card, stats, table},
    format::{UNDEFINED, count, number, percent},
    page::{document, lead, mark},
    svg::{Interval, IntervalPlot, interval_plot},
};

/// Everything that the report shows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BiasReport {
    /// Heading of the report.
    pub title: String,
    /// What was examined: a file, a data version, a model version.
    pub subject: String,
    /// Name of the column with the truth.
    pub target: String,
    /// Name of the column with the prediction.
    pub prediction: String,
    /// The outcome that counts as positive.
    pub positive: String,
    /// Rows that were examined.
    pub rows: u64,
    /// Level of all intervals, such as 0.95.
    pub confidence: f64,
    /// The rates of the group table, in the order of [`Group::rates`].
    pub rates: Vec<RateColumn>,
    /// One section a protected attribute.
    pub attributes: Vec<Attribute>,
}

/// A rate that is given for every group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateColumn {
    /// Its name: "selection rate".
    pub name: String,
    /// Its definition: "(TP+FP)/n".
    pub definition: String,
}

/// A protected attribute: its groups and what was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Attribute {
    /// Name of the column, or of the combination of columns.
    pub name: String,
    /// The groups.
    pub groups: Vec<Group>,
    /// The metrics that compare groups, with their verdicts.
    pub findings: Vec<Finding>,
}

/// One group.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// Its value of the attribute.
    pub name: String,
    /// Whether others are compared with it.
    pub reference: bool,
    /// Rows in the group.
    pub n: u64,
    /// One estimate a [`RateColumn`].
    pub rates: Vec<Estimate>,
}

/// A figure with its confidence interval; `None` is undefined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The figure.
    pub value: Option<f64>,
    /// Lower end of its interval.
    pub low: Option<f64>,
    /// Upper end of its interval.
    pub high: Option<f64>,
}

/// A metric that compares groups.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Its name: "disparate impact".
    pub metric: String,
    /// Its definition in words or symbols.
    pub definition: String,
    /// The figure.
    pub estimate: Estimate,
    /// The value of perfect parity: 0 for a difference, 1 for a ratio.
    pub ideal: Option<f64>,
    /// The bound that the verdict is taken on, if there is one.
    pub limit: Option<f64>,
    /// The verdict.
    pub verdict: Verdict,
    /// Why, with the numbers: which groups, which counts.
    pub reason: String,
}

/// What a metric says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Within its bound.
    Pass,
    /// Within or beyond its bound, but the interval covers both.
    Unclear,
    /// Beyond its bound.
    Fail,
    /// The metric cannot be computed on this data.
    #[default]
    Undefined,
}

impl Verdict {
    const fn words(self) -> (&'static str, Tone) {
        match self {
            Verdict::Pass => ("pass", Tone::Ok),
            Verdict::Unclear => ("unclear", Tone::Warn),
            Verdict::Fail => ("fail", Tone::Bad),
            Verdict::Undefined => ("undefined", Tone::Neutral),
        }
    }
}

/// The whole report as one self-contained HTML document.
pub fn html(report: &BiasReport) -> String {
    let body = html! {
        (lead(eyebrow(report), &report.title, sentence(report)))
        (stats(&summary(report)))
        @if report.attributes.is_empty() {
            (card("No protected attribute", "", html! { p.note { "Nothing was compared." } }))
        }
        @for attribute in &report.attributes {
            (card(
                &format!("Verdicts by {}", attribute.name),
                "The line is parity, the dashed line the bound. An interval that reaches over its bound is a reason \
                 for more data, not for a verdict.",
                findings(attribute),
            ))
            (card(&format!("Rates by {}", attribute.name), "", rate_table(report, attribute)))
            div.grid { @for i in 0..report.rates.len() { (rate_plot(report, attribute, i)) } }
        }
    };
    document(&report.title, body)
}

fn eyebrow(report: &BiasReport) -> Markup {
    html! { span.brand { (mark()) "gyre" } span { (report.subject) } span { (count(report.rows)) " rows" } }
}

fn sentence(report: &BiasReport) -> Markup {
    html! {
        "Predictions in " strong { (report.prediction) } " against the truth in " strong { (report.target) }
        "; the positive outcome is " strong { (report.positive) } ". Intervals are at "
        (percent(Some(report.confidence))) "."
    }
}

fn summary(report: &BiasReport) -> Vec<Markup> {
    let verdicts = || report.attributes.iter().flat_map(|a| &a.findings).map(|f| f.verdict);
    let of = |verdict| verdicts().filter(|v| *v == verdict).count() as u64;
    let tone = |n: u64, tone| if n == 0 { Tone::Neutral } else { tone };
    let groups: usize = report.attributes.iter().map(|a| a.groups.len()).sum();
    vec![
        stat_card("Metrics that fail", count(of(Verdict::Fail)), "", tone(of(Verdict::Fail), Tone::Bad)),
        stat_card("Unclear", count(of(Verdict::Unclear)), "", tone(of(Verdict::Unclear), Tone::Warn)),
        stat_card("Pass", count(of(Verdict::Pass)), "", tone(of(Verdict::Pass), Tone::Ok)),
        stat_card("Undefined", count(of(Verdict::Undefined)), "", Tone::Neutral),
        stat_card("Groups", count(groups as u64), "", Tone::Neutral),
    ]
}

fn findings(attribute: &Attribute) -> Markup {
    let columns = [
        ("Metric", Align::Text),
        ("Figure", Align::Number),
        ("Bound", Align::Number),
        ("Verdict", Align::Tight),
        ("Why", Align::Text),
    ];
    let row = |f: &Finding| {
        let (word, tone) = f.verdict.words();
        vec![
            html! { strong { (f.metric) } @if !f.definition.is_empty() { br; span.muted { (f.definition) } } },
            html! { (figures(&f.estimate)) },
            html! { (f.limit.map_or_else(|| UNDEFINED.to_owned(), number)) },
            badge(tone, word),
            html! { (f.reason) },
        ]
    };
    let rows: Vec<Vec<Markup>> = attribute.findings.iter().map(row).collect();
    let differences = comparison_plot(attribute, "Differences between groups", 0.0);
    let ratios = comparison_plot(attribute, "Ratios between groups", 1.0);
    html! {
        div.grid { @for plot in [differences, ratios].into_iter().flatten() { (plot) } }
        (table(&columns, &rows, "No metric was asked for."))
    }
}

/// The findings that share a value of parity, on one axis: differences around 0, ratios around 1.
fn comparison_plot(attribute: &Attribute, title: &str, ideal: f64) -> Option<Markup> {
    let chosen: Vec<&Finding> = attribute.findings.iter().filter(|f| f.ideal == Some(ideal)).collect();
    if chosen.is_empty() {
        return None;
    }
    let mut limits: Vec<f64> = chosen.iter().filter_map(|f| f.limit).collect();
    limits.sort_by(f64::total_cmp);
    limits.dedup();
    let row = |f: &&Finding| Interval {
        detail: f.reason.clone(),
        ..interval(&f.metric, &f.estimate, if f.verdict == Verdict::Fail { 1 } else { 0 })
    };
    let plot = IntervalPlot {
        title: format!("{title} of {}", attribute.name),
        description: "Each metric with its interval, against parity and its bound.".to_owned(),
        axis_covers: vec![ideal],
        bars: false,
        ideal: Some(ideal),
        limits,
        rows: chosen.iter().map(row).collect(),
    };
    Some(html! { div { h3 { (title) } (chart(interval_plot(&plot))) } })
}

fn rate_table(report: &BiasReport, attribute: &Attribute) -> Markup {
    let mut columns = vec![("Group", Align::Tight), ("n", Align::Number)];
    columns.extend(report.rates.iter().map(|r| (r.name.as_str(), Align::Number)));
    let row = |g: &Group| {
        let name = html! { strong { (g.name) } @if g.reference { " " (badge(Tone::Neutral, "reference")) } };
        let mut cells = vec![name, html! { (count(g.n)) }];
        cells.extend(g.rates.iter().map(|rate| html! { (figures(rate)) }));
        cells
    };
    let rows: Vec<Vec<Markup>> = attribute.groups.iter().map(row).collect();
    table(&columns, &rows, "There are no groups.")
}

fn rate_plot(report: &BiasReport, attribute: &Attribute, i: usize) -> Markup {
    let Some(column) = report.rates.get(i) else { return html! {} };
    let row = |g: &Group| {
        let estimate = g.rates.get(i).copied().unwrap_or_default();
        let detail = format!("n = {}", count(g.n));
        Interval { detail, ..interval(&g.name, &estimate, if g.reference { 7 } else { 0 }) }
    };
    let plot = IntervalPlot {
        title: format!("{} by {}", column.name, attribute.name),
        description: "Each group's rate with its interval.".to_owned(),
        axis_covers: vec![0.0],
        bars: true,
        rows: attribute.groups.iter().map(row).collect(),
        ..IntervalPlot::default()
    };
    card(&format!("{} by {}", column.name, attribute.name), &column.definition, chart(interval_plot(&plot)))
}

fn interval(name: &str, estimate: &Estimate, colour: usize) -> Interval {
    let Estimate { value, low, high } = *estimate;
    Interval { name: name.to_owned(), value, low, high, colour, detail: String::new() }
}

fn figures(estimate: &Estimate) -> Markup {
    html! {
        @match estimate.value.filter(|v| v.is_finite()) {
            None => { span.muted { "undefined" } }
            Some(value) => {
                (number(value))
                @if let (Some(low), Some(high)) = (estimate.low, estimate.high) {
                    br; span.muted { "[" (number(low)) ", " (number(high)) "]" }
                }
            }
        }
    }
}

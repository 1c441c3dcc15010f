//! The report on drift: two tables side by side, what has changed, and whether it matters.

use maud::{Markup, html};

use crate::{
    Tone,
    components::{Align, badge, card, chart, stat_card, stats, table},
    format::{UNDEFINED, count, number, percent},
    page::{document, lead, mark},
    svg::{Histogram, histogram},
};

/// Everything that the report shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DriftReport {
    /// The reference.
    pub reference: String,
    /// What is compared with it.
    pub current: String,
    /// The share of columns found that may be found by luck.
    pub false_discovery_rate: f64,
    /// From how large a change on it matters, in words: one entry a kind of change.
    pub floors: Vec<(String, String)>,
    /// The columns, as they are to be shown.
    pub columns: Vec<Column>,
    /// Columns of which nothing can be said, and why.
    pub unmatched: Vec<(String, String)>,
    /// What all columns show together, where that was looked at.
    pub together: Option<Together>,
}

/// All columns together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Together {
    /// The verdict in words.
    pub sentence: String,
    /// Whether it is drift.
    pub drifts: bool,
    /// Ways to look: name, value, adjusted p-value.
    pub looks: Vec<(String, f64, f64)>,
    /// What the classifier needs: column, fall of the area under the curve without it, share of the gain.
    pub telling: Vec<(String, f64, f64)>,
}

/// A column.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// As what it was compared: "numbers".
    pub kind: String,
    /// The verdict.
    pub verdict: Verdict,
    /// Its p-value, adjusted for the other columns.
    pub adjusted_p: Option<f64>,
    /// What has changed by how much, in words.
    pub reasons: Vec<String>,
    /// Figures of the reference and of the current table, row by row: "mean", 3.1, 3.4.
    pub figures: Vec<(String, String, String)>,
    /// Tests: name, statistic, p-value.
    pub tests: Vec<(String, f64, f64)>,
    /// Distances: name, value.
    pub distances: Vec<(String, f64)>,
    /// Bins: name, rows of the reference, rows of the current table.
    pub bins: Vec<(String, u64, u64)>,
}

/// What is to be thought of a column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// Changed, and it matters.
    Drift,
    /// Changed for sure, by too little to matter.
    Immaterial,
    /// No change was found.
    Stable,
    /// Too few rows to say.
    #[default]
    Insufficient,
}

impl Verdict {
    const fn words(self) -> (&'static str, Tone) {
        match self {
            Self::Drift => ("drift", Tone::Bad),
            Self::Immaterial => ("too small to matter", Tone::Info),
            Self::Stable => ("stable", Tone::Ok),
            Self::Insufficient => ("too few rows", Tone::Neutral),
        }
    }
}

/// The whole report as one self-contained HTML document.
#[must_use]
pub fn html(report: &DriftReport) -> String {
    let title = "Drift";
    let body = html! {
        (lead(eyebrow(report), title, sentence(report)))
        (stats(&summary(report)))
        (card("Columns", "", overview(report)))
        @if let Some(found) = &report.together { (card("All columns together", "", together(found))) }
        @if !report.unmatched.is_empty() { (card("Not compared", "", unmatched(report))) }
        @for column in report.columns.iter().filter(|column| !column.bins.is_empty()) { (details(column)) }
    };
    document(title, body)
}

fn eyebrow(report: &DriftReport) -> Markup {
    html! { span.brand { (mark()) "gyre" } span { (count(report.columns.len() as u64)) " columns" } }
}

fn sentence(report: &DriftReport) -> Markup {
    let floors =
        report.floors.iter().map(|(what, floor)| format!("{what} {floor}")).collect::<Vec<_>>().join(", ");
    html! {
        strong { (report.current) } " against the reference " strong { (report.reference) } ". Drift is what is "
        "significant (of the columns found at most " (percent(Some(report.false_discovery_rate))) " by luck) and at least as large as: "
        (floors) "."
    }
}

fn summary(report: &DriftReport) -> Vec<Markup> {
    let of = |verdict| report.columns.iter().filter(|column| column.verdict == verdict).count() as u64;
    let card = |label, verdict: Verdict, tone| {
        let n = of(verdict);
        stat_card(label, count(n), "", if n == 0 { Tone::Neutral } else { tone })
    };
    vec![
        card("Drift", Verdict::Drift, Tone::Bad),
        card("Too small to matter", Verdict::Immaterial, Tone::Info),
        card("Stable", Verdict::Stable, Tone::Ok),
        card("Too few rows", Verdict::Insufficient, Tone::Neutral),
    ]
}

fn overview(report: &DriftReport) -> Markup {
    let columns = [
        ("Column", Align::Text),
        ("Compared as", Align::Tight),
        ("Verdict", Align::Tight),
        ("What changed", Align::Text),
        ("p, adjusted", Align::Number),
    ];
    let row = |column: &Column| {
        let (word, tone) = column.verdict.words();
        vec![
            html! { strong { (column.name) } },
            html! { (column.kind) },
            badge(tone, word),
            html! { (column.reasons.join("; ")) },
            html! { (p_value(column.adjusted_p)) },
        ]
    };
    let rows: Vec<Vec<Markup>> = report.columns.iter().map(row).collect();
    table(&columns, &rows, "Both tables have no column in common.")
}

fn together(found: &Together) -> Markup {
    let looks = [("Look", Align::Text), ("Value", Align::Number), ("p, adjusted", Align::Number)];
    let look = |(name, value, p): &(String, f64, f64)| {
        vec![html! { (name) }, html! { (number(*value)) }, html! { (p_value(Some(*p))) }]
    };
    let telling =
        [("Column", Align::Text), ("Area falls by", Align::Number), ("Share of gain", Align::Number)];
    let column = |(name, drop, gain): &(String, f64, f64)| {
        vec![html! { strong { (name) } }, html! { (format!("{drop:.3}")) }, html! { (percent(Some(*gain))) }]
    };
    let looked: Vec<Vec<Markup>> = found.looks.iter().map(look).collect();
    let columns: Vec<Vec<Markup>> = found.telling.iter().map(column).collect();
    html! {
        p { (badge(if found.drifts { Tone::Bad } else { Tone::Ok }, if found.drifts { "drift" } else { "no drift" })) " " (found.sentence) }
        div.grid {
            div { (table(&looks, &looked, "Too few rows.")) }
            div { (table(&telling, &columns, "The classifier learned nothing.")) }
        }
    }
}

fn unmatched(report: &DriftReport) -> Markup {
    let row = |(name, why): &(String, String)| vec![html! { strong { (name) } }, html! { (why) }];
    let rows: Vec<Vec<Markup>> = report.unmatched.iter().map(row).collect();
    table(&[("Column", Align::Text), ("Why", Align::Text)], &rows, "")
}

fn details(column: &Column) -> Markup {
    let plot = Histogram {
        title: format!("Distribution of {}", column.name),
        description: "Shares of rows of the reference and of the current table over the same bins."
            .to_owned(),
        bins: column.bins.iter().map(|(name, ..)| name.clone()).collect(),
        reference: column.bins.iter().map(|(_, rows, _)| *rows as f64).collect(),
        current: column.bins.iter().map(|(.., rows)| *rows as f64).collect(),
    };
    let figures = [("", Align::Text), ("Reference", Align::Number), ("Current", Align::Number)];
    let figure = |(name, before, after): &(String, String, String)| {
        vec![html! { (name) }, html! { (before) }, html! { (after) }]
    };
    let figure_rows: Vec<Vec<Markup>> = column.figures.iter().map(figure).collect();
    let measures = [("Measure", Align::Text), ("Value", Align::Number), ("p", Align::Number)];
    let test = |(name, statistic, p): &(String, f64, f64)| {
        vec![html! { (name) }, html! { (number(*statistic)) }, html! { (p_value(Some(*p))) }]
    };
    let distance = |(name, value): &(String, f64)| {
        vec![html! { (name) }, html! { (number(*value)) }, html! { (UNDEFINED) }]
    };
    let measured: Vec<Vec<Markup>> =
        column.tests.iter().map(test).chain(column.distances.iter().map(distance)).collect();
    let body = html! {
        (chart(histogram(&plot)))
        div.grid {
            div { (table(&figures, &figure_rows, "")) }
            div { (table(&measures, &measured, "Too few rows to compare.")) }
        }
    };
    card(&column.name, &column.reasons.join("; "), body)
}

fn p_value(p: Option<f64>) -> String {
    match p {
        Some(p) if p < 1e-4 => "< 0.0001".to_owned(),
        Some(p) => format!("{p:.4}"),
        None => UNDEFINED.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_tables_cannot_become_markup_and_nothing_is_fetched() {
        let report = DriftReport {
            reference: "a<b>.parquet".to_owned(),
            columns: vec![Column {
                name: "<script>x</script>".to_owned(),
                verdict: Verdict::Drift,
                bins: vec![("\"><img>".to_owned(), 3, 4)],
                reasons: vec!["missing +7.0 points".to_owned()],
                adjusted_p: Some(1e-9),
                ..Column::default()
            }],
            together: Some(Together {
                sentence: "the columns drift together".to_owned(),
                drifts: true,
                looks: vec![("energy".to_owned(), 0.2, 1e-3)],
                telling: vec![("<b>bold</b>".to_owned(), 0.123, 0.5)],
            }),
            ..DriftReport::default()
        };
        let page = html(&report);
        assert!(!page.contains("<script>x") && !page.contains("<img>") && !page.contains("a<b>"));
        assert!(
            page.contains("columns drift together") && page.contains("0.123") && !page.contains("<b>bold")
        );
        assert!(page.contains("missing +7.0 points") && page.contains("&lt; 0.0001"));
        assert!(!page.contains("src=\"http") && !page.contains("href=\"http"));
    }
}

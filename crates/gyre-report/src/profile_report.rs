//! The report on a table: each column with its distribution and what occurs most in it.

use maud::{Markup, PreEscaped, html};

use crate::{
    Tone,
    components::{Align, card, chart, stat_card, stats, table},
    format::{count, percent},
    page::{document, lead, mark},
    svg::{Bars, bars, paired_bars, tiny_bars},
};

/// Everything that the report shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProfileReport {
    /// What was profiled, in a word or a few names.
    pub source: String,
    /// Rows.
    pub rows: u64,
    /// How exact the figures are, in a sentence.
    pub exactness: String,
    /// The columns, as they are to be shown.
    pub columns: Vec<Column>,
}

/// A column.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What it holds: "whole numbers".
    pub kind: String,
    /// The share of rows without a value.
    pub missing: Option<f64>,
    /// How many different values, in words: "768", "about 12,300".
    pub distinct: String,
    /// What stands out, in a few words; may be empty.
    pub note: String,
    /// Figures: name, value.
    pub figures: Vec<(String, String)>,
    /// Distributions; the first one also stands small in the overview.
    pub charts: Vec<Bars>,
    /// The most frequent values: name, share of the rows (at least), and both bounds in words.
    pub frequent: Vec<(String, f64, String)>,
}

/// The whole report as one self-contained HTML document.
#[must_use]
pub fn html(report: &ProfileReport) -> String {
    let title = "Profile";
    let body = html! {
        (lead(eyebrow(report), title, sentence(report)))
        (stats(&summary(report)))
        (card("Columns", "", overview(report)))
        @for column in &report.columns { (details(column)) }
    };
    document(title, body)
}

fn eyebrow(report: &ProfileReport) -> Markup {
    html! { span.brand { (mark()) "gyre" } span { (count(report.columns.len() as u64)) " columns" } }
}

fn sentence(report: &ProfileReport) -> Markup {
    html! { strong { (report.source) } ". " (report.exactness) }
}

fn summary(report: &ProfileReport) -> Vec<Markup> {
    let with =
        |is: &dyn Fn(&Column) -> bool| report.columns.iter().filter(|column| is(column)).count() as u64;
    let gaps = with(&|column| column.missing.is_some_and(|share| share > 0.0));
    let noted = with(&|column| !column.note.is_empty());
    let tone = |n, tone| if n == 0 { Tone::Neutral } else { tone };
    vec![
        stat_card("Rows", count(report.rows), "", Tone::Neutral),
        stat_card("Columns", count(report.columns.len() as u64), "", Tone::Neutral),
        stat_card("With missing values", count(gaps), "", tone(gaps, Tone::Info)),
        stat_card("With a remark", count(noted), "", tone(noted, Tone::Warn)),
    ]
}

fn overview(report: &ProfileReport) -> Markup {
    let columns = [
        ("Column", Align::Text),
        ("Holds", Align::Tight),
        ("Missing", Align::Number),
        ("Different", Align::Number),
        ("Distribution", Align::Tight),
        ("Remark", Align::Text),
    ];
    let row = |column: &Column| {
        vec![
            html! { strong { (column.name) } },
            html! { (column.kind) },
            html! { (percent(column.missing)) },
            html! { (column.distinct) },
            html! { @if let Some(first) = column.charts.first() { (PreEscaped(tiny_bars(first))) } },
            html! { (column.note) },
        ]
    };
    table(&columns, &report.columns.iter().map(row).collect::<Vec<_>>(), "The table has no columns.")
}

fn details(column: &Column) -> Markup {
    let figures = [("", Align::Text), ("", Align::Number)];
    let figure = |(name, value): &(String, String)| vec![html! { (name) }, html! { (value) }];
    let names = [("Most frequent", Align::Text), ("", Align::Tight), ("Rows", Align::Number)];
    let largest = column.frequent.iter().map(|(_, share, _)| *share).fold(0.0, f64::max);
    let name = |(name, share, told): &(String, f64, String)| {
        let bar = paired_bars(&format!("{name}: {told}"), &[(Some(*share), 0)], largest);
        vec![html! { (name) }, PreEscaped(bar), html! { (told) }]
    };
    let body = html! {
        @for distribution in &column.charts { (chart(bars(distribution))) }
        div.grid {
            div { (table(&figures, &column.figures.iter().map(figure).collect::<Vec<_>>(), "")) }
            div { (table(&names, &column.frequent.iter().map(name).collect::<Vec<_>>(), "No value stands out.")) }
        }
    };
    let intro = [column.kind.as_str(), column.note.as_str()];
    let intro = intro.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ");
    card(&column.name, &intro, body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_tables_cannot_become_markup_and_nothing_is_fetched() {
        let hostile = "<script>x</script>\"><img>";
        let report = ProfileReport {
            source: hostile.to_owned(),
            columns: vec![Column {
                name: hostile.to_owned(),
                kind: "text".to_owned(),
                missing: Some(0.25),
                distinct: "about 12,300".to_owned(),
                note: hostile.to_owned(),
                figures: vec![(hostile.to_owned(), hostile.to_owned())],
                charts: vec![Bars {
                    title: hostile.to_owned(),
                    bins: vec![(hostile.to_owned(), 1.0)],
                    ..Bars::default()
                }],
                frequent: vec![(hostile.to_owned(), 0.5, "50 %".to_owned())],
            }],
            ..ProfileReport::default()
        };
        let page = html(&report);
        assert!(!page.contains("<script>x") && !page.contains("<img>"), "{page}");
        assert!(page.contains("about 12,300") && page.contains("25.0 %") && page.contains("<svg"));
        assert!(!page.contains("src=\"http") && !page.contains("href=\"http"));
        assert!(html(&ProfileReport::default()).contains("The table has no columns."));
    }
}

//! What has changed, as a table for a terminal; and the words that the report uses too.

use gyre_drift::measure::Kind;
use gyre_drift::verdict::Reason;
use gyre_drift::{Column, Comparison, Unmatched, Verdict, Why};

use crate::show;

pub(super) fn table(found: &Comparison, all: bool) -> String {
    let mut shown: Vec<&Column> =
        found.columns.iter().filter(|column| all || column.judged.verdict != Verdict::Stable).collect();
    shown.sort_by_key(|column| match column.judged.verdict {
        Verdict::Drift => 0,
        Verdict::Immaterial => 1,
        Verdict::Insufficient => 2,
        Verdict::Stable => 3,
    });
    let row = |column: &&Column| {
        let verdict = match column.judged.verdict {
            Verdict::Drift => "drift",
            Verdict::Immaterial => "too small to matter",
            Verdict::Stable => "stable",
            Verdict::Insufficient => "too few rows",
        };
        vec![
            column.name.clone(),
            kind(column.measured.kind).to_owned(),
            verdict.to_owned(),
            why(column),
            column.judged.adjusted_p_value.map_or_else(|| "–".to_owned(), p_value),
        ]
    };
    let mut told = Vec::new();
    if !shown.is_empty() {
        let header = ["COLUMN", "AS", "VERDICT", "WHAT CHANGED", "P ADJUSTED"];
        told.push(show::table(&header, &[4], shown.iter().map(row).collect()));
        told.push(String::new());
    }
    told.extend(found.unmatched.iter().map(|column| format!("{}: {}", column.name, unmatched(column))));
    let count = |verdict| found.count(verdict);
    told.push(format!(
        "{} of {} columns drift; {} changed by too little to matter, {} stable, {} with too few rows",
        count(Verdict::Drift),
        found.columns.len(),
        count(Verdict::Immaterial),
        count(Verdict::Stable),
        count(Verdict::Insufficient)
    ));
    told.join("\n")
}

/// What matters or, where nothing does, how large what was found is.
pub(super) fn why(column: &Column) -> String {
    if !column.judged.reasons.is_empty() {
        return column.judged.reasons.iter().map(reason).collect::<Vec<_>>().join("; ");
    }
    let measured = column.measured.distances.iter().filter(|distance| distance.decides);
    let told =
        measured.map(|distance| reason(&Reason { what: distance.name, by: distance.value, floor: 0.0 }));
    told.collect::<Vec<_>>().join("; ")
}

/// A change in words.
pub(super) fn reason(reason: &Reason) -> String {
    let points = |what: &str| format!("{what} {:+.1} points", reason.by * 100.0);
    match reason.what {
        "wasserstein_over_iqr" => format!("moved by {} IQR", show::number(reason.by)),
        "l_infinity" => format!("share of a name changed by {:.1} points", reason.by * 100.0),
        "l_infinity_hour" => format!("share of an hour changed by {:.1} points", reason.by * 100.0),
        "l_infinity_weekday" => format!("share of a weekday changed by {:.1} points", reason.by * 100.0),
        "unseen" => points("names not in the reference"),
        other => points(other),
    }
}

pub(super) const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Numbers => "numbers",
        Kind::Categories => "categories",
        Kind::Texts => "texts, by length",
        Kind::Times => "times",
    }
}

pub(super) const fn unmatched(column: &Unmatched) -> &'static str {
    match column.why {
        Why::Vanished => "only in the reference",
        Why::Appeared => "not in the reference",
        Why::Retyped => "holds something else than in the reference",
        Why::NotComparable => "holds lists, structures or bytes, which are not compared",
    }
}

fn p_value(p: f64) -> String {
    if p < 1e-4 { "< 0.0001".to_owned() } else { format!("{p:.4}") }
}

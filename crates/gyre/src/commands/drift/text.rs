//! What has changed, as a table for a terminal; and the words that the report uses too.

use gyre_core::Timestamp;
use gyre_drift::measure::{Distance, Kind, Measured, Side};
use gyre_drift::multivariate::{Look, Multivariate, Telling};
use gyre_drift::verdict::Reason;
use gyre_drift::{Column, Comparison, Unmatched, Verdict, Why};

use crate::show;

/// What is said of columns that only number the rows.
pub(super) const LEFT_OUT: &str = "pandas' numbers of the rows, left out";

pub(super) fn table(found: &Comparison, all: bool) -> String {
    let is_news = |column: &&Column| column.judged.verdict != Verdict::Stable || column.measured.is_earlier();
    let mut shown: Vec<&Column> = found.columns.iter().filter(|column| all || is_news(column)).collect();
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
    // What broke comes first, what is only worth knowing last.
    let is_broken = |column: &&Unmatched| matches!(column.why, Why::Retyped | Why::Vanished);
    let (broken, others): (Vec<&Unmatched>, Vec<_>) = found.unmatched.iter().partition(is_broken);
    let line = |column: &Unmatched| format!("{}: {}", column.name, unmatched(column));
    let mut told: Vec<String> = broken.into_iter().map(line).collect();
    if !told.is_empty() {
        told.push(String::new());
    }
    if !shown.is_empty() {
        let header = ["COLUMN", "AS", "VERDICT", "WHAT CHANGED", "P ADJUSTED"];
        told.push(show::table(&header, &[4], shown.iter().map(row).collect()));
        told.push(String::new());
    }
    told.extend(others.into_iter().map(line));
    told.extend(found.left_out.iter().map(|name| format!("{name}: {LEFT_OUT}")));
    told.push(summary(found));
    if let Some(together) = &found.multivariate {
        told.push(String::new());
        told.push(looks(together));
    }
    told.join("\n")
}

/// All verdicts in a sentence.
pub(super) fn summary(found: &Comparison) -> String {
    let count = |verdict| found.count(verdict);
    let mut said = format!(
        "{} of {} columns drift; {} changed by too little to matter, {} stable, {} with too few rows",
        count(Verdict::Drift),
        found.columns.len(),
        count(Verdict::Immaterial),
        count(Verdict::Stable),
        count(Verdict::Insufficient)
    );
    for (why, words) in [(Why::Retyped, "of another type"), (Why::Vanished, "vanished")] {
        if found.unmatched(why) > 0 {
            said += &format!("; {} {words}", found.unmatched(why));
        }
    }
    said
}

/// What all columns show together.
fn looks(found: &Multivariate) -> String {
    if found.columns.is_empty() {
        return "all columns together: none can take part, since only numbers and names that both tables have do; vectors and times \
                do not"
            .to_owned();
    }
    if found.looks.is_empty() {
        return "all columns together: too few rows, or none that vary".to_owned();
    }
    let row = |of: &Look| {
        vec![
            look(of.name).to_owned(),
            show::number(of.value),
            p_value(of.p_value),
            p_value(of.adjusted_p_value),
        ]
    };
    let header = ["ALL COLUMNS TOGETHER", "VALUE", "P", "P ADJUSTED"];
    let table = show::table(&header, &[1, 2, 3], found.looks.iter().map(row).collect());
    format!("{table}\n{}", together(found))
}

/// The verdict on all columns together, in a sentence.
pub(super) fn together(found: &Multivariate) -> String {
    let verdict = match found.verdict {
        Verdict::Drift => "the columns drift together",
        Verdict::Immaterial => "the columns changed together by too little to matter",
        Verdict::Stable => "no change of the columns together was found",
        Verdict::Insufficient => "there are too few rows to say what the columns do together",
    };
    let is_telling = |of: &&Telling| of.auc_drop >= TELLING && found.verdict == Verdict::Drift;
    let telling: Vec<String> = (found.telling.iter().filter(is_telling).take(5))
        .map(|of| format!("{} ({:.3})", of.column, of.auc_drop))
        .collect();
    let rows = format!("{} rows against {}", found.current_rows, found.reference_rows);
    if telling.is_empty() {
        return format!("{verdict} ({rows})");
    }
    format!(
        "{verdict} ({rows}); what tells them apart, by how much the area falls without: {}",
        telling.join(", ")
    )
}

/// From which fall of the area under the curve a column is named.
const TELLING: f64 = 0.01;

/// A look in words.
pub(super) fn look(name: &str) -> &'static str {
    match name {
        "domain_classifier" => "classifier's area under the ROC curve",
        "reconstruction" => "distance from the reference's plane, times",
        "mmd" => "maximum mean discrepancy, squared",
        _ => "energy distance",
    }
}

/// What matters or, where nothing does, what is sure and too small, or how large the change is that nobody can be sure of.
pub(super) fn why(column: &Column) -> String {
    let judged = &column.judged;
    let kind = column.measured.kind;
    let found = if judged.reasons.is_empty() { &judged.too_small } else { &judged.reasons };
    let measured = column.measured.distances.iter().filter(|distance| distance.decides && found.is_empty());
    let measured = measured.map(|distance| {
        let Distance { name: what, value: by, interval, .. } = *distance;
        reason(kind, &Reason { what, by, interval, floor: 0.0 })
    });
    let spans = (kind == Kind::Times).then(|| spans(&column.measured)).flatten();
    let told = found.iter().map(|found| reason(kind, found)).chain(measured).chain(spans);
    told.collect::<Vec<_>>().join("; ")
}

/// From when to when times are, in both tables.
fn spans(measured: &Measured) -> Option<String> {
    let minute = |seconds: f64| show::minute(Timestamp::from_millis((seconds * 1e3) as i64));
    let span = |side: &Side| Some(format!("{} to {}", minute(side.least?), minute(side.greatest?)));
    let (before, after) = (span(&measured.reference)?, span(&measured.current)?);
    let earlier = if measured.is_earlier() { ", all of it before the reference" } else { "" };
    Some(format!("{before}, now {after}{earlier}"))
}

/// A change in words, with its interval.
pub(super) fn reason(kind: Kind, reason: &Reason) -> String {
    let unsigned = |value: f64| format!("{:.1}", value * 100.0);
    let signed = |value: f64| format!("{:+.1}", value * 100.0);
    let told = |what: &str, number: &dyn Fn(f64) -> String, unit: &str| {
        let interval = reason.interval.map_or_else(String::new, |interval| {
            format!(" ({} to {})", number(interval.lower), number(interval.upper))
        });
        format!("{what} {} {unit}{interval}", number(reason.by))
    };
    match reason.what {
        "wasserstein_over_iqr" if kind == Kind::Vectors => told("norms moved by", &show::number, "IQR"),
        "wasserstein_over_iqr" => told("moved by", &show::number, "IQR"),
        "l_infinity" => told("share of a name changed by", &unsigned, "points"),
        "l_infinity_value" => told("share of a value changed by", &unsigned, "points"),
        "l_infinity_hour" => told("share of an hour changed by", &unsigned, "points"),
        "l_infinity_weekday" => told("share of a weekday changed by", &unsigned, "points"),
        "kolmogorov_smirnov" => told("share of rows up to a value changed by", &unsigned, "points"),
        "separation" => {
            told("a classifier tells apart", &|value| format!("{:.1}", 50.0 + 50.0 * value), "% of the pairs")
        }
        "unseen" => told("names not in the reference", &signed, "points"),
        "broken" => told("broken vectors", &signed, "points"),
        "plus_infinite" => told("+infinite", &signed, "points"),
        "minus_infinite" => told("-infinite", &signed, "points"),
        other => told(other, &signed, "points"),
    }
}

pub(super) const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Numbers => "numbers",
        Kind::Categories => "categories",
        Kind::Texts => "texts, by length",
        Kind::Times => "times",
        Kind::Vectors => "vectors",
    }
}

pub(super) fn unmatched(column: &Unmatched) -> String {
    let (before, after) = (column.reference.as_deref(), column.current.as_deref());
    match column.why {
        Why::Vanished => "only in the reference".to_owned(),
        Why::Appeared => "not in the reference".to_owned(),
        Why::Retyped => format!(
            "{} in the reference, {} now",
            before.unwrap_or("something else"),
            after.unwrap_or("something else")
        ),
        Why::NotComparable => {
            format!("holds {}, which is not compared", before.or(after).unwrap_or("something else"))
        }
    }
}

fn p_value(p: f64) -> String {
    if p < 1e-4 { "< 0.0001".to_owned() } else { format!("{p:.4}") }
}

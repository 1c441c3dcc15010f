//! What tables hold, as a table for a terminal; and the words that the report uses too.

use gyre_core::Timestamp;
use gyre_profile::Figures;
use gyre_profile::figures::{ColumnFigures, FrequentValue, Kind};
use gyre_report::format::{count, ellipsis, measure, percent};

use crate::show;

/// Characters of a frequent value that are shown.
const LONGEST: usize = 24;

pub(super) fn table(found: &Figures) -> String {
    let row = |column: &ColumnFigures| {
        let [least, middle, greatest] = range(column);
        vec![
            column.name.clone(),
            kind(column.kind).to_owned(),
            percent(missing(column)),
            distinct(column),
            least,
            middle,
            greatest,
            figure(column.numbers.as_ref().and_then(|numbers| numbers.mean), ""),
            often(column),
        ]
    };
    let header =
        ["COLUMN", "HOLDS", "MISSING", "DIFFERENT", "LEAST", "MEDIAN", "GREATEST", "MEAN", "MOST FREQUENT"];
    let mut told = Vec::new();
    if !found.columns.is_empty() {
        told.push(show::table(&header, &[2, 3, 4, 5, 6, 7], found.columns.iter().map(row).collect()));
        told.push(String::new());
    }
    let remarks = found.columns.iter().filter_map(|column| Some((column, remark(found.rows, column)?)));
    told.extend(remarks.map(|(column, remark)| format!("{}: {remark}", column.name)));
    told.push(format!("{} rows, {} columns", count(found.rows), found.columns.len()));
    told.join("\n")
}

/// A figure; a whole number of few digits without a fraction.
pub(super) fn figure(value: Option<f64>, unit: &str) -> String {
    match value {
        Some(whole) if whole.fract() == 0.0 && whole.abs() < 1e3 => {
            format!("{whole} {unit}").trim_end().to_owned()
        }
        value => measure(value, unit),
    }
}

/// The least, the middle and the greatest value of a column of one kind.
fn range(column: &ColumnFigures) -> [String; 3] {
    let none = || ["–", "–", "–"].map(str::to_owned);
    let middle =
        |of: &[gyre_profile::figures::Quantile<f64>]| of.iter().find(|q| q.rank == 0.5).map(|q| q.value);
    if let Some(numbers) = &column.numbers {
        return [numbers.least, middle(&numbers.quantiles), numbers.greatest].map(|value| figure(value, ""));
    }
    if let Some(times) = &column.times {
        let median = times.quantiles.iter().find(|quantile| quantile.rank == 0.5);
        let median = median.map_or_else(|| "–".to_owned(), |quantile| minute(quantile.value));
        return [minute(times.earliest), median, minute(times.latest)];
    }
    if let Some(texts) = &column.texts {
        let length = |length: Option<f64>| figure(length, "chars");
        let median = length(middle(&texts.length_quantiles));
        return [length(Some(texts.shortest as f64)), median, length(Some(texts.longest as f64))];
    }
    match &column.vectors {
        Some(vectors) => {
            let norms = [vectors.least_norm, middle(&vectors.norm_quantiles), vectors.greatest_norm];
            norms.map(|norm| figure(norm, "norm"))
        }
        None => none(),
    }
}

/// The most frequent values with their shares.
fn often(column: &ColumnFigures) -> String {
    let present = column.rows - column.missing;
    let share =
        |value: &FrequentValue| percent((present > 0).then(|| value.at_least as f64 / present as f64));
    // Where all values are different, none is frequent.
    let is_frequent = |value: &&FrequentValue| value.at_least > 1 || present == 1;
    let told = column.frequent.iter().filter(is_frequent).take(3);
    let told: Vec<String> =
        told.map(|frequent| format!("{} {}", ellipsis(&value(frequent), LONGEST), share(frequent))).collect();
    if told.is_empty() { "–".to_owned() } else { told.join(", ") }
}

/// A value as people write it.
pub(super) fn value(frequent: &FrequentValue) -> String {
    match &frequent.value {
        serde_json::Value::String(text) => {
            text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
        }
        // Codes and years are written without separators.
        serde_json::Value::Number(number) if !number.is_f64() => number.to_string(),
        serde_json::Value::Number(number) => show::number(number.as_f64().unwrap_or(f64::NAN)),
        other => other.to_string(),
    }
}

/// The share of rows without a value.
pub(super) fn missing(column: &ColumnFigures) -> Option<f64> {
    (column.rows > 0).then(|| column.missing as f64 / column.rows as f64)
}

/// How many different values there are.
pub(super) fn distinct(column: &ColumnFigures) -> String {
    match column.distinct {
        None => "–".to_owned(),
        Some(distinct) if distinct.exact => count(distinct.estimate as u64),
        Some(distinct) => format!("about {}", show::number(distinct.estimate)),
    }
}

/// What people should look at.
pub(super) fn remark(rows: u64, column: &ColumnFigures) -> Option<String> {
    let mut told = Vec::new();
    if column.kind == Kind::Mixed {
        let kinds = column.kinds.iter().map(|(of, rows)| format!("{} {}", count(*rows), kind(*of)));
        told.push(format!("holds {}", kinds.collect::<Vec<_>>().join(", ")));
    }
    if column.kind == Kind::Empty && column.rows > 0 {
        told.push("holds no value".to_owned());
    }
    if column.rows < rows {
        told.push(format!("not in the tables of {} rows", count(rows - column.rows)));
    }
    if column.declared.len() > 1 {
        told.push(format!("declared as {}", column.declared.join(", ")));
    }
    let infinite =
        column.numbers.as_ref().map_or(0, |numbers| numbers.negative_infinite + numbers.positive_infinite);
    if infinite > 0 {
        told.push(format!("{} infinite", count(infinite)));
    }
    let present = column.rows - column.missing;
    if present > 1 && column.distinct.is_some_and(|distinct| distinct.exact && distinct.estimate == 1.0) {
        told.push("always the same".to_owned());
    }
    if let Some(vectors) = &column.vectors {
        match vectors.dimensions {
            Some((least, most)) if least < most => told.push(format!("vectors of {least} to {most} numbers")),
            Some((least, _)) => told.push(format!("vectors of {least} numbers")),
            None => {}
        }
        if vectors.broken > 0 {
            told.push(format!("{} vectors with a number missing or infinite", count(vectors.broken)));
        }
    }
    (!told.is_empty()).then(|| told.join("; "))
}

pub(super) fn minute(moment: Timestamp) -> String {
    show::minute(moment)
}

pub(super) const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Whole => "whole numbers",
        Kind::Number => "numbers",
        Kind::Text => "texts",
        Kind::Boolean => "true or false",
        Kind::Time => "times",
        Kind::Vector => "vectors",
        Kind::Other => "structures",
        Kind::Mixed => "mixed",
        Kind::Empty => "nothing",
    }
}

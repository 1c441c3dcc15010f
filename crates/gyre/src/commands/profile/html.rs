//! What tables hold, as the report shows it.

use gyre_profile::Figures;
use gyre_profile::figures::{Bin, ColumnFigures, NumberFigures, Quantile};
use gyre_report::format::{count, percent};
use gyre_report::profile_report::{Column as Shown, ProfileReport};
use gyre_report::svg::Bars;

use super::text;
use crate::show;

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

pub(super) fn document(found: &Figures) -> ProfileReport {
    let source = match found.sources.as_slice() {
        [one] => one.clone(),
        [first, ..] => format!("{first} and {} more", found.files.saturating_sub(1)),
        [] => String::new(),
    };
    let exactness = format!(
        "Counts, means and ranges are exact; the rank of a quantile is within {:.2} points (99 % confidence), and what is told \
         with \"about\" within a few percent.",
        found.rank_error * 100.0
    );
    ProfileReport {
        source,
        rows: found.rows,
        exactness,
        columns: found.columns.iter().map(|one| column(found.rows, one)).collect(),
    }
}

fn column(rows: u64, column: &ColumnFigures) -> Shown {
    let present = column.rows - column.missing;
    let of_present = |rows: u64| if present > 0 { rows as f64 / present as f64 } else { 0.0 };
    let frequent = column.frequent.iter().map(|value| {
        let (least, most) = (count(value.at_least), count(value.at_most));
        let told = if least == most { least } else { format!("{least} to {most}") };
        (text::value(value), of_present(value.at_least), told)
    });
    Shown {
        name: column.name.clone(),
        kind: text::kind(column.kind).to_owned(),
        missing: text::missing(column),
        distinct: text::distinct(column),
        note: text::remark(rows, column).unwrap_or_default(),
        figures: figures(column),
        charts: charts(column, &of_present),
        frequent: frequent.collect(),
    }
}

fn figures(column: &ColumnFigures) -> Vec<(String, String)> {
    let mut told: Vec<(String, String)> = Vec::new();
    let mut tell = |name: &str, value: String| told.push((name.to_owned(), value));
    tell("rows", count(column.rows));
    tell("missing", count(column.missing));
    tell("different values", text::distinct(column));
    for (kind, rows) in column.kinds.iter().filter(|_| column.kinds.len() > 1) {
        tell(text::kind(*kind), count(*rows));
    }
    if let Some(NumberFigures { least, greatest, mean, standard_deviation, skewness, quantiles, .. }) =
        &column.numbers
    {
        tell("least", text::figure(*least, ""));
        quantiles.iter().for_each(|quantile| tell(&rank(quantile), text::figure(Some(quantile.value), "")));
        tell("greatest", text::figure(*greatest, ""));
        tell("mean", text::figure(*mean, ""));
        tell("standard deviation", text::figure(*standard_deviation, ""));
        tell("skewness", text::figure(*skewness, ""));
    }
    if let Some(texts) = &column.texts {
        tell("shortest text", text::figure(Some(texts.shortest as f64), "characters"));
        tell("mean length", text::figure(Some(texts.mean_length), "characters"));
        texts.length_quantiles.iter().for_each(|quantile| {
            tell(&format!("{} of lengths", rank(quantile)), text::figure(Some(quantile.value), ""));
        });
        tell("longest text", text::figure(Some(texts.longest as f64), "characters"));
    }
    if let Some(times) = &column.times {
        tell("earliest", show::minute(times.earliest));
        times.quantiles.iter().for_each(|quantile| tell(&rank(quantile), show::minute(quantile.value)));
        tell("latest", show::minute(times.latest));
    }
    if let Some(vectors) = &column.vectors {
        tell("least norm", text::figure(vectors.least_norm, ""));
        vectors.norm_quantiles.iter().for_each(|quantile| {
            tell(&format!("{} of norms", rank(quantile)), text::figure(Some(quantile.value), ""));
        });
        tell("greatest norm", text::figure(vectors.greatest_norm, ""));
        tell("mean norm", text::figure(vectors.mean_norm, ""));
    }
    told
}

fn rank<T>(quantile: &Quantile<T>) -> String {
    match quantile.rank {
        0.25 => "lower quartile".to_owned(),
        0.5 => "median".to_owned(),
        0.75 => "upper quartile".to_owned(),
        rank => format!("{:.0} % quantile", rank * 100.0),
    }
}

/// Distributions; of names, those that occur most.
fn charts(column: &ColumnFigures, of_present: &dyn Fn(u64) -> f64) -> Vec<Bars> {
    let chart = |title: &str, bins: Vec<(String, f64)>| Bars {
        title: format!("{title} of {}", column.name),
        description: "Shares of the values.".to_owned(),
        bins,
    };
    let mut charts = Vec::new();
    // A few different values are a distribution of their own, in their order.
    let few = column
        .distinct
        .filter(|distinct| distinct.exact && distinct.estimate <= column.frequent.len() as f64);
    if let Some(numbers) = column.numbers.as_ref().filter(|numbers| numbers.finite > 0) {
        let mut values: Vec<_> = column.frequent.iter().collect();
        values.sort_by(|a, b| {
            a.value.as_f64().unwrap_or(f64::NAN).total_cmp(&b.value.as_f64().unwrap_or(f64::NAN))
        });
        charts.push(match few {
            Some(_) => {
                let bar = values.iter().map(|value| (text::value(value), of_present(value.at_least)));
                chart("Values", bar.collect())
            }
            None => chart("Distribution", numbers.histogram.iter().map(bin).collect()),
        });
    }
    if let Some(times) = &column.times {
        let days = DAYS.into_iter().map(str::to_owned).zip(times.weekdays.iter().copied());
        charts.push(chart("Days of the week", days.collect()));
        let hours = times.hours.iter().enumerate().map(|(hour, share)| (format!("{hour}:00"), *share));
        charts.push(chart("Hours of the day", hours.collect()));
    }
    if column.numbers.is_none() && column.times.is_none() && !column.frequent.is_empty() {
        let bar = column.frequent.iter().map(|value| (text::value(value), of_present(value.at_least)));
        charts.push(chart("Most frequent values", bar.collect()));
    }
    charts
}

fn bin(bin: &Bin) -> (String, f64) {
    let name = match (bin.above, bin.up_to) {
        (_, Some(up_to)) => format!("≤ {}", text::figure(Some(up_to), "")),
        (Some(above), None) => format!("> {}", text::figure(Some(above), "")),
        (None, None) => percent(Some(1.0)),
    };
    (name, bin.share.max(0.0))
}

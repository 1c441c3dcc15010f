//! What has changed, as the report shows it.

use gyre_core::Timestamp;
use gyre_drift::measure::{Kind, Share, Side};
use gyre_drift::{Column, Comparison, Multivariate, Verdict};
use gyre_report::drift_report::{Column as Shown, DriftReport, Together, Verdict as Word};
use gyre_report::format::{count, measure, percent};

use super::text;
use crate::show;

pub(super) fn document(found: &Comparison) -> DriftReport {
    let settings = &found.settings;
    let floors = [
        ("numbers moved by", format!("{} IQR", settings.shift)),
        ("the share of a name changed by", percent(Some(settings.share))),
        ("missing or infinite values by", percent(Some(settings.missing))),
        ("unseen names by", percent(Some(settings.unseen))),
    ];
    DriftReport {
        reference: found.reference.clone(),
        current: found.current.clone(),
        false_discovery_rate: settings.false_discovery_rate,
        floors: floors.map(|(what, floor)| (what.to_owned(), floor)).to_vec(),
        columns: found.columns.iter().map(column).collect(),
        unmatched: (found.unmatched.iter())
            .map(|column| (column.name.clone(), text::unmatched(column)))
            .chain(found.left_out.iter().map(|name| (name.clone(), text::LEFT_OUT.to_owned())))
            .collect(),
        together: found.multivariate.as_ref().map(together),
    }
}

fn together(found: &Multivariate) -> Together {
    Together {
        sentence: text::together(found),
        drifts: found.verdict == Verdict::Drift,
        looks: (found.looks.iter())
            .map(|look| (text::look(look.name).to_owned(), look.value, look.adjusted_p_value))
            .collect(),
        telling: (found.telling.iter()).map(|of| (of.column.clone(), of.auc_drop, of.gain)).collect(),
    }
}

fn column(column: &Column) -> Shown {
    let measured = &column.measured;
    let told = text::why(column);
    Shown {
        name: column.name.clone(),
        kind: text::kind(measured.kind).to_owned(),
        verdict: match column.judged.verdict {
            Verdict::Drift => Word::Drift,
            Verdict::Immaterial => Word::Immaterial,
            Verdict::Stable => Word::Stable,
            Verdict::Insufficient => Word::Insufficient,
        },
        adjusted_p: column.judged.adjusted_p_value,
        reasons: if told.is_empty() { Vec::new() } else { vec![told] },
        figures: figures(measured.kind, &measured.reference, &measured.current, &measured.shares),
        tests: (measured.tests.iter())
            .map(|test| (test.name.replace('_', " "), test.statistic, test.p_value))
            .collect(),
        distances: (measured.distances.iter())
            .map(|distance| (distance.name.replace('_', " "), distance.value))
            .collect(),
        bins: measured.bins.iter().map(|bin| (bin.name.clone(), bin.reference, bin.current)).collect(),
    }
}

fn figures(kind: Kind, before: &Side, after: &Side, shares: &[Share]) -> Vec<(String, String, String)> {
    let both = |name: &str, of: &dyn Fn(&Side) -> String| (name.to_owned(), of(before), of(after));
    let value = |number: Option<f64>| match (kind, number) {
        (Kind::Times, Some(seconds)) => show::minute(Timestamp::from_millis((seconds * 1e3) as i64)),
        (_, number) => measure(number, ""),
    };
    let mut rows = vec![both("rows", &|side| count(side.rows))];
    for share in shares {
        rows.push((
            share.name.replace('_', " "),
            percent(share.change.reference),
            percent(share.change.current),
        ));
    }
    if kind == Kind::Categories {
        rows.push(both("different names", &|side| side.distinct.map_or_else(String::new, count)));
        return rows;
    }
    rows.push(both("least", &|side| value(side.least)));
    if kind != Kind::Times {
        rows.push(both("mean", &|side| value(side.mean)));
        rows.push(both("standard deviation", &|side| value(side.standard_deviation)));
        rows.push(both("lower quartile", &|side| value(side.quartiles.map(|quartiles| quartiles.lower))));
        rows.push(both("median", &|side| value(side.quartiles.map(|quartiles| quartiles.median))));
        rows.push(both("upper quartile", &|side| value(side.quartiles.map(|quartiles| quartiles.upper))));
    }
    rows.push(both("greatest", &|side| value(side.greatest)));
    rows
}

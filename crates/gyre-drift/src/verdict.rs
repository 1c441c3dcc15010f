//! Does it matter? Significance and size are two questions, answered apart.
//!
//! With a million rows every difference is significant; with fifty columns some are so by luck. So a column has changed
//! *significantly* when it is among those that the procedure of Benjamini and Hochberg (1995) finds at
//! [`Settings::false_discovery_rate`], all columns of the table taken together, and *materially* when a change that is
//! significant by itself is at least as large as its floor. Only both are drift. Too few rows are neither drift nor none: no
//! column is stable whose values were not tested.

use gyre_stats::adjust::benjamini_hochberg;
use gyre_stats::proportion::Interval;
use serde::Serialize;

use crate::measure::{Distance, Measured};

/// What counts as a change that matters.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Settings {
    /// The share of columns found that may be found by luck.
    pub false_discovery_rate: f64,
    /// Numbers: how far their mass has moved, in ranges of the middle half of the reference.
    pub shift: f64,
    /// The greatest change of the share of a name, an hour or a weekday; and of numbers where the reference has no range, of a
    /// value or of the rows up to one.
    pub share: f64,
    /// The change of the share of rows that are missing or infinite.
    pub missing: f64,
    /// The change of the share of rows whose name the reference does not have.
    pub unseen: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { false_discovery_rate: 0.01, shift: 0.1, share: 0.03, missing: 0.02, unseen: 0.005 }
    }
}

/// Vectors: how much more often than by luck a classifier must tell a row of the one table from one of the other; an area under the
/// ROC curve of 0.55, as of all columns together.
const SEPARATION: f64 = 0.1;

/// What is to be thought of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It has changed, and that matters.
    Drift,
    /// It has changed for sure, by too little to matter.
    Immaterial,
    /// No change was found.
    Stable,
    /// There are too few rows with a value to say.
    Insufficient,
}

/// A change that is significant by itself, and whether it matters.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Reason {
    /// What has changed: the name of a distance or of a share.
    pub what: &'static str,
    /// By how much.
    pub by: f64,
    /// The interval of that.
    pub interval: Option<Interval>,
    /// From how much on it matters.
    pub floor: f64,
}

/// A column with its verdict.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Judged {
    /// All its tests as one; none when nothing could be tested.
    pub p_value: Option<f64>,
    /// The same, adjusted for the other columns.
    pub adjusted_p_value: Option<f64>,
    /// The verdict.
    pub verdict: Verdict,
    /// What it rests on, the largest by its floor first.
    pub reasons: Vec<Reason>,
    /// Changes that are sure as well, and smaller than their floors.
    pub too_small: Vec<Reason>,
}

/// Judges all columns of a table together.
#[must_use]
pub fn judge(columns: &[&Measured], settings: &Settings) -> Vec<Judged> {
    let p_values: Vec<Option<f64>> = columns.iter().map(|column| column.p_value()).collect();
    let tested: Vec<f64> = p_values.iter().flatten().copied().collect();
    let mut adjusted = benjamini_hochberg(&tested).into_iter();
    let adjusted: Vec<Option<f64>> = p_values.iter().map(|p| p.and_then(|_| adjusted.next())).collect();
    let found = |adjusted: Option<f64>| adjusted.is_some_and(|p| p <= settings.false_discovery_rate);
    // What a column's p-value must not exceed to be among those found.
    let limit = p_values.iter().zip(&adjusted).filter(|(_, adjusted)| found(**adjusted));
    let limit = limit.filter_map(|(p, _)| *p).fold(0.0, f64::max);
    let judged = |((column, p_value), adjusted_p_value): ((&&Measured, Option<f64>), Option<f64>)| {
        let is_found = found(adjusted_p_value);
        let changes = if is_found { changes(column, settings, limit) } else { Vec::new() };
        let (reasons, too_small): (Vec<Reason>, _) =
            changes.into_iter().partition(|reason| reason.by.abs() >= reason.floor);
        let verdict = match (is_found, reasons.is_empty()) {
            (true, false) => Verdict::Drift,
            (true, true) => Verdict::Immaterial,
            // That as many are missing as before says nothing of the values.
            (false, _) if column.tests.iter().any(|test| test.decides) => Verdict::Stable,
            (false, _) => Verdict::Insufficient,
        };
        Judged { p_value, adjusted_p_value, verdict, reasons, too_small }
    };
    columns.iter().zip(p_values).zip(adjusted).map(judged).collect()
}

/// The changes that are significant by themselves, the largest by its floor first.
fn changes(column: &Measured, settings: &Settings, limit: f64) -> Vec<Reason> {
    let tests = column.deciding().count() as f64;
    let sure = |p: Option<f64>| p.is_some_and(|p| p * tests <= limit);
    let is_sure = |distance: &&Distance| {
        let of = column.tests.iter().filter(|test| test.decides && test.is_of(distance));
        distance.decides && sure(of.map(|test| test.p_value).reduce(f64::min))
    };
    let distances = column.distances.iter().filter(is_sure).map(|distance| {
        let floor = match distance.name {
            "wasserstein_over_iqr" => settings.shift,
            "separation" => SEPARATION,
            _ => settings.share,
        };
        Reason { what: distance.name, by: distance.value, interval: distance.interval, floor }
    });
    let shares = column.shares.iter().filter(|share| sure(share.change.p_value)).filter_map(|share| {
        let floor = if share.name == "unseen" { settings.unseen } else { settings.missing };
        let by = share.change.current? - share.change.reference?;
        Some(Reason { what: share.name, by, interval: share.interval, floor })
    });
    let mut changes: Vec<Reason> = distances.chain(shares).collect();
    changes.sort_by(|a, b| (b.by.abs() / b.floor).total_cmp(&(a.by.abs() / a.floor)));
    changes
}

#[cfg(test)]
mod tests {
    use gyre_core::spec::ColumnType;

    use super::*;
    use crate::measure::measure;
    use crate::sample::{Sample, Values};

    fn numbers(rows: u32, missing: u64, value: impl Fn(f64) -> f64) -> Sample {
        // Evenly over (0, 1), in an order that says nothing.
        let values = (0..rows).map(|at| value((f64::from(at) * 0.618_033_988_749_895).fract())).collect();
        Sample { kind: ColumnType::Float, missing, values: Values::Numbers(values) }
    }

    fn verdicts(columns: Vec<(Sample, Sample)>) -> Vec<Judged> {
        let measured: Vec<Measured> =
            columns.into_iter().map(|(before, after)| measure(before, after).unwrap()).collect();
        judge(&measured.iter().collect::<Vec<_>>(), &Settings::default())
    }

    #[test]
    fn what_is_sure_and_small_is_no_drift_and_what_is_large_and_unsure_is_none_either() {
        let same = || numbers(20_000, 0, |x| x);
        let found = verdicts(vec![
            (same(), numbers(20_000, 0, |x| x + 0.02)),
            (same(), numbers(20_000, 0, |x| x + 0.2)),
            (numbers(40, 0, |x| x), numbers(40, 0, |x| x + 0.1)),
            (same(), numbers(20_000, 0, |x| x)),
            (numbers(10, 0, |x| x), numbers(10, 0, |x| x + 9.0)),
        ]);
        use Verdict::{Drift, Immaterial, Insufficient, Stable};
        let verdicts: Vec<Verdict> = found.iter().map(|judged| judged.verdict).collect();
        assert_eq!(verdicts, [Immaterial, Drift, Stable, Stable, Insufficient]);
        assert_eq!(found[1].reasons[0].what, "wasserstein_over_iqr");
        assert!((found[1].reasons[0].by - 0.4).abs() < 1e-3 && found[0].reasons.is_empty());
    }

    #[test]
    fn a_constant_that_becomes_another_is_drift_and_so_is_one_that_ends() {
        let constant = |rows: u32, value: f64| numbers(rows, 0, |_| value);
        let found = verdicts(vec![
            (constant(500, 1.0), constant(400, 100.0)),
            (constant(500, 1.0), numbers(400, 0, |x| x - 0.5)),
            (constant(500, 0.0), numbers(400, 0, |x| if x < 0.5 { 5.0 } else { 0.0 })),
            (constant(500, f64::INFINITY), constant(400, f64::NEG_INFINITY)),
            (constant(500, 7.0), constant(400, 7.0)),
            (constant(90_000, 7.0), numbers(90_000, 0, |x| if x < 0.001 { 8.0 } else { 7.0 })),
        ]);
        use Verdict::{Drift, Immaterial, Stable};
        let verdicts: Vec<Verdict> = found.iter().map(|judged| judged.verdict).collect();
        assert_eq!(verdicts, [Drift, Drift, Drift, Drift, Stable, Immaterial]);
        assert_eq!(found[2].reasons[0].what, "l_infinity_value");
        assert!((found[2].reasons[0].by - 0.5).abs() < 0.01);
        assert!(found[2].reasons[0].interval.is_some_and(|interval| interval.lower > 0.4));
        // What is too small is told with its size.
        assert_eq!((found[5].too_small[0].what, found[5].reasons.len()), ("l_infinity_value", 0));
    }

    #[test]
    fn what_was_not_tested_is_not_stable() {
        let found = verdicts(vec![
            (numbers(900, 100, |x| x), numbers(1, 0, |x| x)),
            (numbers(900, 100, |x| x), numbers(29, 3, |x| x)),
            (numbers(900, 0, |x| x), numbers(3, 26, |x| x)),
        ]);
        use Verdict::{Drift, Insufficient};
        let verdicts: Vec<Verdict> = found.iter().map(|judged| judged.verdict).collect();
        assert_eq!(verdicts, [Insufficient, Insufficient, Drift]);
        assert_eq!(found[2].reasons[0].what, "missing");
    }

    #[test]
    fn rows_that_go_missing_are_drift_although_the_values_are_the_same() {
        let found = verdicts(vec![(numbers(950, 50, |x| x), numbers(880, 120, |x| x))]);
        assert_eq!(
            (found[0].verdict, found[0].reasons.len(), found[0].reasons[0].what),
            (Verdict::Drift, 1, "missing")
        );
        assert!((found[0].reasons[0].by - 0.07).abs() < 1e-12);
    }
}

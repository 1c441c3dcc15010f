//! Candidate and champion by group: who is better on the whole may be worse for some, and `protected` says for whom that is not
//! put up with.
//!
//! For each protected column, both versions are compared on the same withheld rows within each group. A candidate that is worse
//! for a group, beyond luck and by more than `monitor.tolerance`, does not pass. Gates may ask for more: `comparison.groups.COLUMN`
//! says how much worse it is at most, so that `comparison.groups.region.at_most <= 0.1` is a test of non-inferiority.

use gyre_core::Version;
use gyre_core::expr::GateResult;
use gyre_core::spec::Model;
use gyre_monitor::comparison::{GroupScore, by_group};
use gyre_runtime::Column;
use serde_json::{Value, json};

use crate::engine::Failure;

/// The p-value, corrected for the number of groups, below which a group is worse off.
const SIGNIFICANCE: f64 = 0.05;

/// A version and its losses on the withheld rows.
pub(super) type Scored<'a> = (Version, &'a [f64]);

/// The result for each protected column, and what gates may name under `comparison.groups`.
pub(super) fn judge(
    model: &Model,
    (champion, candidate): (Scored<'_>, Scored<'_>),
    days: &[i64],
    protected: &[(String, Column)],
) -> Result<(Vec<GateResult>, Value), Failure> {
    let (mut results, mut facts) = (Vec::new(), serde_json::Map::new());
    for (column, values) in protected {
        let Column::Text(values) = values else { continue };
        let groups = values.iter().map(Option::as_deref);
        let found = by_group(model.metric, champion, candidate, days, groups)?;
        // Groups that are too small to be compared are no evidence either way.
        let Some(worst) = found.first() else { continue };
        let highest = found.iter().map(|group| group.at_most).fold(f64::NEG_INFINITY, f64::max);
        let smallest = found.iter().map(|group| group.p_worse).fold(1.0, f64::min);
        facts.insert(
            column.clone(),
            json!({"worse_by": worst.worse_by, "at_most": highest, "p_worse": smallest}),
        );
        results.push(result(model, column, champion.0, &found));
    }
    Ok((results, facts.into()))
}

fn result(model: &Model, column: &str, champion: Version, found: &[GroupScore]) -> GateResult {
    let is_worse =
        |group: &&GroupScore| group.p_worse < SIGNIFICANCE && group.worse_by > model.monitor.tolerance;
    let worse = found.iter().find(is_worse);
    let because = worse.or_else(|| found.first()).map_or_else(String::new, |group| {
        let GroupScore { group, rows, before, loss, p_worse, .. } = group;
        let metric = model.metric.name();
        format!(
            "{group}: {metric} = {loss:.6} on {rows} rows, version {champion}: {before:.6} (p = {p_worse:.3})"
        )
    });
    GateResult {
        gate: format!("no group of {column} worse off than with version {champion}"),
        passed: worse.is_none(),
        because,
    }
}

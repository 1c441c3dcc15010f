//! What led to the loss before a version served: the mix of its withheld rows, in coarse bins.
//!
//! When the loss rises, there are two questions. Did the inputs move to where the model was always worse? Then the rows of
//! the withheld part with such inputs had the same loss. And did the outcomes move as a whole, each with the inputs that it
//! always had? Then the withheld rows, weighed to have the outcomes of the window, have the inputs of the window. Both are
//! answered from the same small table: of each column at most fifteen bins, counted by what came true, and what each bin adds
//! to the loss (an additive model, fitted by backfitting as in Hastie & Tibshirani 1986; each bin is drawn to 0 as if it had
//! [`PRIOR`] rows more that add nothing).
//!
//! The decomposition into mix and rate is Kitagawa's (1955); reweighing by outcomes is how label shift is told in Lipton,
//! Wang & Smola (2018).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use gyre_core::fact::{Explained, LabelShift};
use gyre_core::spec::Metric;
use gyre_stats::drift::{chi_square, counts};
use gyre_stats::performance::{Outcome, clustered_mean};
use serde::{Deserialize, Serialize};

use crate::columns::Values;
use crate::loss::{LEVEL, aggregate, distinct};
use crate::summary::PREDICTION;

/// Where numbers are cut: tenths, and finer towards both ends, where losses differ most.
const PLACES: [f64; 13] = [0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98];
/// Where outcomes are cut that are numbers.
const FIFTHS: [f64; 4] = [0.2, 0.4, 0.6, 0.8];
/// Names that are kept of a column.
const NAMES: usize = 8;
/// Classes that are told apart.
const CLASSES: usize = 4;
/// Labelled rows below which nothing is learned, and below which nothing is said of a window.
const FEWEST: (usize, usize) = (200, 50);
/// The most rows that are looked at, evenly spread: more say nothing new.
const MOST_ROWS: usize = 20_000;
/// Rows that add nothing, with which each bin begins.
const PRIOR: f64 = 10.0;
/// Rounds of backfitting.
const ROUNDS: usize = 4;
/// The most columns: the table stays below some tens of KiB.
const MOST_COLUMNS: usize = 200;
/// How many standard deviations the change of a column must exceed what luck makes of it.
const SIGMAS: f64 = 4.0;

/// Where values are cut.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Cuts {
    /// Inclusive upper ends of all bins but the last.
    Numbers(Vec<f64>),
    /// Names, ascending.
    Names(Vec<String>),
}

/// One column in bins; the last bin is that of missing values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Binned {
    cuts: Cuts,
    /// Rows by group of outcomes, by bin.
    rows: Vec<Vec<u64>>,
    /// What each bin adds to the loss.
    adds: Vec<f64>,
}

/// What the withheld rows show of inputs, outcomes and losses together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mix {
    /// How outcomes are grouped.
    outcomes: Cuts,
    /// Each feature, and the prediction by its name, [`PREDICTION`].
    columns: BTreeMap<String, Binned>,
    /// The mean loss of a row.
    base: f64,
}

/// Labelled rows: features and the prediction by name, what came true, the loss of each row (NaN where there is none).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Labelled<'a> {
    pub(crate) columns: &'a [(&'a str, Values<'a>)],
    pub(crate) labels: Values<'a>,
    pub(crate) losses: &'a [f64],
}

impl Cuts {
    fn of(values: &Values<'_>, rows: &[usize], places: &[f64], names: usize) -> Self {
        match values {
            Values::Numbers(values) => {
                let mut sorted: Vec<f64> = rows.iter().filter_map(|row| values.get(*row).copied()).collect();
                sorted.retain(|value| value.is_finite());
                sorted.sort_unstable_by(f64::total_cmp);
                let cut = |place: &f64| sorted.get((place * sorted.len() as f64) as usize).copied();
                let mut cuts: Vec<f64> = places.iter().filter_map(cut).collect();
                cuts.dedup();
                Self::Numbers(cuts)
            }
            Values::Text(values) => {
                let mut counts: HashMap<&str, u64> = HashMap::new();
                for row in rows {
                    if let Some(Some(name)) = values.get(*row) {
                        *counts.entry(name).or_default() += 1;
                    }
                }
                let mut all: Vec<(&str, u64)> = counts.into_iter().collect();
                all.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
                let kept: BTreeSet<String> =
                    all.iter().take(names).map(|(name, _)| (*name).to_owned()).collect();
                Self::Names(kept.into_iter().collect())
            }
        }
    }

    /// Bins, that of missing values and that of other names included.
    fn bins(&self) -> usize {
        match self {
            Self::Numbers(cuts) => cuts.len() + 2,
            Self::Names(names) => names.len() + 2,
        }
    }

    /// The bin of a row; values of another kind are missing.
    fn bin(&self, values: &Values<'_>, row: usize) -> usize {
        let missing = self.bins() - 1;
        match (self, values) {
            (Self::Numbers(cuts), Values::Numbers(values)) => match values.get(row) {
                Some(value) if !value.is_nan() => cuts.partition_point(|cut| cut < value),
                _ => missing,
            },
            (Self::Names(names), Values::Text(values)) => match values.get(row) {
                Some(Some(name)) => {
                    names.binary_search_by(|known| known.as_str().cmp(name)).unwrap_or(names.len())
                }
                _ => missing,
            },
            _ => missing,
        }
    }

    /// Whether a row's value is such as the withheld rows had in number: none beyond the outer cuts, no other name, no
    /// missing one.
    fn is_inside(&self, values: &Values<'_>, row: usize) -> bool {
        match (self, values) {
            (Self::Numbers(cuts), Values::Numbers(values)) => {
                match (values.get(row), cuts.first(), cuts.last()) {
                    (Some(value), Some(first), Some(last)) => first <= value && value <= last,
                    _ => false,
                }
            }
            (Self::Names(names), _) => self.bin(values, row) < names.len(),
            _ => false,
        }
    }
}

impl Mix {
    /// What `rows` show; none when there are fewer than 200 with a loss.
    pub(crate) fn learn(rows: &Labelled<'_>) -> Option<Self> {
        let known = known(rows);
        if known.len() < FEWEST.0 {
            return None;
        }
        let outcomes = Cuts::of(&rows.labels, &known, &FIFTHS, CLASSES);
        let groups: Vec<usize> = known.iter().map(|row| outcomes.bin(&rows.labels, *row)).collect();
        let loss = |row: &usize| rows.losses.get(*row).copied().unwrap_or(0.0);
        let base = known.iter().map(loss).sum::<f64>() / known.len() as f64;
        let mut left: Vec<f64> = known.iter().map(|row| loss(row) - base).collect();
        let mut columns: Vec<(&str, Binned, Vec<usize>)> = Vec::new();
        for (name, values) in rows.columns.iter().take(MOST_COLUMNS) {
            let cuts = Cuts::of(values, &known, &PLACES, NAMES);
            let bins: Vec<usize> = known.iter().map(|row| cuts.bin(values, *row)).collect();
            let mut counts = vec![vec![0_u64; cuts.bins()]; outcomes.bins()];
            for (group, bin) in groups.iter().zip(&bins) {
                if let Some(count) = counts.get_mut(*group).and_then(|counts| counts.get_mut(*bin)) {
                    *count += 1;
                }
            }
            let adds = vec![0.0; cuts.bins()];
            columns.push((*name, Binned { cuts, rows: counts, adds }, bins));
        }
        for _ in 0..ROUNDS {
            for (_, binned, bins) in &mut columns {
                refit(&mut binned.adds, bins, &mut left);
            }
        }
        let columns = columns.into_iter().map(|(name, binned, _)| (name.to_owned(), binned)).collect();
        Some(Self { outcomes, columns, base })
    }

    /// The loss beside what the inputs led to expect, on the rows that lie, in each of the columns that `moved`, where the
    /// withheld rows did; none when there are fewer than 50.
    pub(crate) fn explain(
        &self,
        metric: Metric,
        rows: &Labelled<'_>,
        days: &[i64],
        moved: &[&str],
    ) -> Option<Explained> {
        let columns: Vec<(&Binned, &Values<'_>, bool)> = rows
            .columns
            .iter()
            .filter_map(|(name, values)| Some((self.columns.get(*name)?, values, moved.contains(name))))
            .collect();
        let mut inside: (Vec<f64>, Vec<f64>, Vec<i64>) = Default::default();
        for row in known(rows) {
            let mut expected = self.base;
            let mut is_inside = true;
            for (binned, values, moved) in &columns {
                let bin = binned.cuts.bin(values, row);
                expected += binned.adds.get(bin).copied().unwrap_or(0.0);
                is_inside &= !moved || binned.cuts.is_inside(values, row);
            }
            if let (true, Some(loss), Some(day)) = (is_inside, rows.losses.get(row), days.get(row)) {
                inside.0.push(*loss);
                inside.1.push(expected.max(0.0));
                inside.2.push(*day);
            }
        }
        let (losses, expected, days) = inside;
        if losses.len() < FEWEST.1 {
            return None;
        }
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let differences: Vec<f64> =
            losses.iter().zip(&expected).map(|(loss, expected)| loss - expected).collect();
        let error = match clustered_mean(&differences, &days, LEVEL) {
            Ok(Outcome::Measured(measured)) => Some(measured.standard_error),
            _ => None,
        };
        let (loss, expected) = (aggregate(metric, mean(&losses)), aggregate(metric, mean(&expected)));
        // The difference of two roots is that of the squares over their sum.
        let scale = if metric == Metric::Rmse { loss + expected } else { 1.0 };
        Some(Explained {
            rows: losses.len() as u64,
            days: distinct(&days),
            loss,
            expected,
            standard_error: error.map(|error| error / scale).filter(|error| error.is_finite()),
        })
    }

    /// How the labels moved, and what is left of the columns' change when that is taken out; none with fewer than 50 labels.
    pub(crate) fn label_shift(&self, rows: &Labelled<'_>) -> Option<LabelShift> {
        let known = known(rows);
        if known.len() < FEWEST.1 {
            return None;
        }
        let mut now = vec![0_u64; self.outcomes.bins()];
        for row in &known {
            if let Some(count) = now.get_mut(self.outcomes.bin(&rows.labels, *row)) {
                *count += 1;
            }
        }
        let before = self.outcomes_before()?;
        let test = chi_square(&before, &now);
        let (mut moved, mut left) = (0.0, 0.0);
        for (name, values) in rows.columns {
            let Some(binned) = self.columns.get(*name) else { continue };
            let mut counts = vec![0_u64; binned.cuts.bins()];
            for row in &known {
                if let Some(count) = counts.get_mut(binned.cuts.bin(values, *row)) {
                    *count += 1;
                }
            }
            let from = Distance::of(&binned.rows, &before, &before, &counts);
            let from_weighed = Distance::of(&binned.rows, &before, &now, &counts);
            // Columns that neither moved nor should have say nothing, and in number their luck would.
            if from.is_beyond_luck() {
                moved += from.above_luck;
            }
            if from.is_beyond_luck() || from_weighed.is_beyond_luck() {
                left += from_weighed.above_luck;
            }
        }
        Some(LabelShift {
            distance: counts::total_variation(&before, &now)?,
            p: test.map_or(1.0, |test| test.p_value),
            unexplained: (moved > 0.0).then(|| left.max(0.0) / moved).filter(|left| left.is_finite()),
        })
    }

    fn outcomes_before(&self) -> Option<Vec<u64>> {
        let any = self.columns.values().next()?;
        Some(any.rows.iter().map(|bins| bins.iter().sum()).collect())
    }
}

/// Rows with a label and a loss; some of them when there are many.
fn known(rows: &Labelled<'_>) -> Vec<usize> {
    let has_loss = |row: &usize| rows.losses.get(*row).is_some_and(|loss| loss.is_finite());
    let known = || (0..rows.losses.len()).filter(|row| rows.labels.is_present(*row) && has_loss(row));
    known().step_by(known().count().div_ceil(MOST_ROWS).max(1)).collect()
}

/// Fits what each bin adds to what the other columns left, and takes it out of that.
fn refit(adds: &mut [f64], bins: &[usize], left: &mut [f64]) {
    let mut sums = vec![(0.0, PRIOR); adds.len()];
    for (bin, left) in bins.iter().zip(left.iter()) {
        if let (Some(sum), Some(add)) = (sums.get_mut(*bin), adds.get(*bin)) {
            *sum = (sum.0 + left + add, sum.1 + 1.0);
        }
    }
    let fitted: Vec<f64> = sums.into_iter().map(|(sum, rows)| sum / rows).collect();
    for (bin, left) in bins.iter().zip(left.iter_mut()) {
        if let (Some(add), Some(fitted)) = (adds.get(*bin), fitted.get(*bin)) {
            *left += add - fitted;
        }
    }
    adds.copy_from_slice(&fitted);
}

/// How far a column is from the withheld rows: Pearson's χ² over the rows, less what luck makes of it.
struct Distance {
    above_luck: f64,
    deviation: f64,
}

impl Distance {
    fn is_beyond_luck(&self) -> bool {
        self.above_luck > SIGMAS * self.deviation
    }

    /// Of a column: `rows` of it by group and bin, of which each group is weighed to have the share that it has in
    /// `outcomes`, beside the counts of the window.
    fn of(rows: &[Vec<u64>], before: &[u64], outcomes: &[u64], counts: &[u64]) -> Self {
        let all: u64 = outcomes.iter().sum();
        let mut expected = vec![0.0; counts.len()];
        let mut precision = 0.0;
        for ((bins, before), now) in rows.iter().zip(before).zip(outcomes) {
            let share = *now as f64 / all as f64;
            if *before == 0 || share == 0.0 {
                continue;
            }
            precision += share * share / *before as f64;
            for (expected, rows) in expected.iter_mut().zip(bins) {
                *expected += share * *rows as f64 / *before as f64;
            }
        }
        let n = counts.iter().sum::<u64>() as f64;
        // A bin that was empty is taken for one that half a row would have been in.
        let least = 0.5 * precision.max(1e-12);
        let used = expected.iter().zip(counts).filter(|(expected, count)| **expected > 0.0 || **count > 0);
        let (mut distance, mut bins) = (0.0, 0.0);
        for (expected, count) in used {
            let expected = expected.max(least);
            distance += (*count as f64 / n - expected).powi(2) / expected;
            bins += 1.0;
        }
        let noise = 1.0 / n + precision;
        let freedom = f64::max(bins - 1.0, 0.0);
        Self { above_luck: distance - freedom * noise, deviation: (2.0 * freedom).sqrt() * noise }
    }
}

/// The columns to look at: the features, and the prediction as the number that says most, a probability where there are two
/// classes.
pub(crate) fn with_prediction<'a>(
    features: &[(&'a str, Values<'a>)],
    outputs: Values<'a>,
    probability: &'a [f64],
) -> Vec<(&'a str, Values<'a>)> {
    let prediction = if probability.is_empty() { outputs } else { Values::Numbers(probability) };
    std::iter::once((PREDICTION, prediction)).chain(features.iter().copied()).collect()
}

/// The probability of the second of two classes, row by row; empty otherwise.
pub(crate) fn second_of_two(scores: &[f64], classes: &[String]) -> Vec<f64> {
    if classes.len() != 2 {
        return Vec::new();
    }
    scores.chunks_exact(2).filter_map(|pair| pair.last().copied()).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn names(values: &[&str]) -> Vec<Option<Arc<str>>> {
        values.iter().map(|value| Some((*value).into())).collect()
    }

    /// Evenly spread in 0..1, differently for each `start`.
    fn spread(rows: usize, start: f64) -> Vec<f64> {
        (0..rows).map(|row| (row as f64 * 0.618_033_988_749_895 + start).fract()).collect()
    }

    fn days(rows: usize) -> Vec<i64> {
        (0..rows as i64).map(|row| row % 7).collect()
    }

    /// The loss is 1 where x is below a half, 3 above; what comes true is x.
    fn withheld() -> Mix {
        let x = spread(2_000, 0.0);
        let losses: Vec<f64> = x.iter().map(|x| if *x < 0.5 { 1.0 } else { 3.0 }).collect();
        let columns = [("x", Values::Numbers(&x))];
        Mix::learn(&Labelled { columns: &columns, labels: Values::Numbers(&x), losses: &losses }).unwrap()
    }

    #[test]
    fn inputs_where_the_model_was_worse_explain_a_loss() {
        let x: Vec<f64> = spread(700, 0.4).iter().map(|x| 0.5 + x / 2.0).collect();
        let columns = [("x", Values::Numbers(&x))];
        let explain = |loss: f64| {
            let losses = vec![loss; 700];
            let rows = Labelled { columns: &columns, labels: Values::Numbers(&x), losses: &losses };
            withheld().explain(Metric::Mae, &rows, &days(700), &["x"]).unwrap()
        };
        let found = explain(3.0);
        assert!((found.expected - 3.0).abs() < 0.15 && found.rows < 700, "{found:?}");
        assert!((explain(6.0).expected - 3.0).abs() < 0.15);
    }

    #[test]
    fn outcomes_that_move_with_their_inputs_explain_the_inputs() {
        let classes = |share: f64| {
            let at = spread(2_000, 0.2);
            let labels: Vec<&str> = at.iter().map(|at| if *at < share { "yes" } else { "no" }).collect();
            // Whatever came true has the inputs that it always had.
            let x: Vec<f64> = (0..2_000)
                .map(|row| (f64::from(row) * std::f64::consts::SQRT_2).fract())
                .zip(&labels)
                .map(|(x, label)| if *label == "yes" { 1.0 + x } else { 2.0 * x })
                .collect();
            (names(&labels), x)
        };
        let shift = |labels: &[Option<Arc<str>>], x: &[f64]| {
            let (before, before_x) = classes(0.3);
            let losses = vec![1.0; 2_000];
            let columns = [("x", Values::Numbers(&before_x))];
            let rows = Labelled { columns: &columns, labels: Values::Text(&before), losses: &losses };
            let mix = Mix::learn(&rows).unwrap();
            let columns = [("x", Values::Numbers(x))];
            mix.label_shift(&Labelled { columns: &columns, labels: Values::Text(labels), losses: &losses })
                .unwrap()
        };
        let (labels, x) = classes(0.6);
        let found = shift(&labels, &x);
        assert!((found.distance - 0.3).abs() < 0.01 && found.p < 1e-6, "{found:?}");
        assert!(found.unexplained.unwrap() < 0.1, "{found:?}");
        // Inputs that moved for whatever comes true are not explained by it.
        let moved: Vec<f64> = classes(0.3).1.iter().map(|x| x + 0.7).collect();
        let found = shift(&classes(0.3).0, &moved);
        assert!(found.p > 0.5 && found.unexplained.unwrap() > 0.9, "{found:?}");
        assert_eq!(shift(&classes(0.3).0, &classes(0.3).1).unexplained, None);
    }

    #[test]
    fn few_rows_teach_nothing_and_say_nothing() {
        let x = spread(150, 0.0);
        let columns = [("x", Values::Numbers(&x))];
        let rows = Labelled { columns: &columns, labels: Values::Numbers(&x), losses: &x };
        assert!(Mix::learn(&rows).is_none());
        let few = Labelled { losses: &x[..40], ..rows };
        assert!(withheld().explain(Metric::Mae, &few, &days(40), &[]).is_none());
        assert!(withheld().label_shift(&few).is_none());
    }
}

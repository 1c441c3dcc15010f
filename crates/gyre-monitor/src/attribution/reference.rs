//! What the withheld rows say of losses: kept in the reference profile, about a kilobyte and a half a column.

use gyre_core::spec::Metric;
use serde::{Deserialize, Serialize};

use super::additive::{Sums, Without, fit};
use super::bins::Bins;
use super::tally::Days;
use crate::columns::{MonitorError, Values, expect_rows};

/// The most columns that take part: those whose bins' losses differ most.
const MOST_COLUMNS: usize = 32;

/// The most rows that are looked at; of more, every so manieth.
const MOST_ROWS: usize = 100_000;

/// Blocks of days that are left out in turn.
const BLOCKS: usize = 10;

/// Rows below which nothing is said.
const FEWEST_ROWS: usize = 100;

/// The mean loss on withheld rows, and what each column adds to it by its value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LossReference {
    metric: Metric,
    rows: u64,
    loss: f64,
    /// The mean loss without each block of days; empty when there were too few days.
    replicates: Vec<f64>,
    pub(super) columns: Vec<Column>,
}

/// A column's bins, with what falls into them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) bins: Bins,
    /// Rows in each bin.
    pub(super) rows: Vec<u64>,
    /// Sum of the losses in each bin.
    pub(super) losses: Vec<f64>,
    /// What each bin adds to the mean loss, the other columns held fast.
    pub(super) effects: Vec<f64>,
    /// The same without each block of days.
    pub(super) replicates: Vec<Vec<f32>>,
}

impl LossReference {
    /// Learns from withheld rows: their features, their losses (see [`losses`](crate::loss::losses); NaN where there is no
    /// label) and their days. None with less than 100 labelled rows.
    ///
    /// # Errors
    /// [`MonitorError::Length`] when columns differ in length.
    pub fn learn<'a>(
        metric: Metric,
        features: impl IntoIterator<Item = (&'a str, Values<'a>)>,
        losses: &[f64],
        days: &[i64],
    ) -> Result<Option<Self>, MonitorError> {
        expect_rows("(day)", days.len(), losses.len())?;
        let labelled: Vec<usize> = (0..losses.len()).filter(|row| losses[*row].is_finite()).collect();
        let rows: Vec<usize> =
            labelled.iter().copied().step_by(labelled.len().div_ceil(MOST_ROWS).max(1)).collect();
        if rows.len() < FEWEST_ROWS {
            return Ok(None);
        }
        let of_rows: Vec<f64> = rows.iter().map(|row| losses[*row]).collect();
        let mut columns = Vec::new();
        for (name, values) in features {
            values.expect_rows(name, losses.len())?;
            let bins = Bins::of(&values, &rows);
            let Some(places) = bins.places(&values, &rows) else { continue };
            let weight = explained(&places, bins.len(), &of_rows);
            columns.push((name.to_owned(), bins, places, weight));
        }
        columns.sort_by(|a, b| b.3.total_cmp(&a.3).then_with(|| a.0.cmp(&b.0)));
        columns.truncate(MOST_COLUMNS);
        Ok(Self::fit(metric, columns, &of_rows, &Days::of(rows.iter().map(|row| days[*row]))))
    }

    fn fit(
        metric: Metric,
        columns: Vec<(String, Bins, Vec<u8>, f64)>,
        losses: &[f64],
        days: &Days,
    ) -> Option<Self> {
        let starts: Vec<usize> = columns
            .iter()
            .scan(0, |next, (_, bins, ..)| Some(std::mem::replace(next, *next + bins.len())))
            .collect();
        let size = columns.iter().map(|(_, bins, ..)| bins.len()).sum();
        // Blocks of consecutive days, since days that follow each other are alike; of rows where there are too few days.
        let by_days = days.count() >= 3;
        let mut blocks = vec![Sums::new(size); if by_days { BLOCKS.min(days.count()) } else { BLOCKS }];
        let block_of = |at: usize, day: u32| {
            if by_days { day as usize * blocks.len() / days.count() } else { at % BLOCKS }
        };
        let order: Vec<usize> = days.rows().iter().enumerate().map(|(at, day)| block_of(at, *day)).collect();
        let mut bins = vec![0; columns.len()];
        for (at, (loss, block)) in losses.iter().zip(order).enumerate() {
            for ((bin, start), (_, _, places, _)) in bins.iter_mut().zip(&starts).zip(&columns) {
                *bin = start + usize::from(places[at]);
            }
            blocks[block].push(&bins, *loss);
        }
        let fitted = fit(&blocks)?;
        let without = if by_days { fitted.without.as_slice() } else { &[] };
        let columns = columns.into_iter().zip(&starts).map(|((name, bins, ..), start)| {
            let range = *start..start + bins.len();
            let counts = &fitted.whole.counts[range.clone()];
            let effects = centred(&fitted.effects[range.clone()], counts);
            let replicate = |rest: &Without| -> Vec<f32> {
                let effects = centred(&rest.effects[range.clone()], &rest.counts[range.clone()]);
                effects.into_iter().map(|effect| effect as f32).collect()
            };
            Column {
                name,
                rows: counts.iter().map(|count| *count as u64).collect(),
                losses: fitted.whole.sums[range.clone()].to_vec(),
                effects,
                replicates: without.iter().map(replicate).collect(),
                bins,
            }
        });
        Some(Self {
            metric,
            rows: losses.len() as u64,
            loss: fitted.whole.mean(),
            columns: columns.collect(),
            replicates: without.iter().map(|rest| rest.mean).collect(),
        })
    }

    /// What was measured.
    pub fn metric(&self) -> Metric {
        self.metric
    }

    /// The mean loss (of an rmse, the mean square).
    pub fn loss(&self) -> f64 {
        self.loss
    }

    /// Rows looked at.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    pub(super) fn replicates(&self) -> &[f64] {
        &self.replicates
    }

    /// The standard error of an `amount` that depends on the reference, from what it is without each block; none when there
    /// were too few days.
    pub(super) fn jackknife(&self, amount: f64, replicate: &dyn Fn(usize) -> f64) -> Option<f64> {
        let groups = self.replicates.len();
        let squares: f64 = (0..groups).map(|at| (replicate(at) - amount).powi(2)).sum();
        (groups > 1).then(|| ((groups - 1) as f64 / groups as f64 * squares).sqrt())
    }
}

/// Effects less their mean over the rows; of empty bins 0.
fn centred(effects: &[f64], counts: &[f64]) -> Vec<f64> {
    let rows: f64 = counts.iter().sum();
    let mean = effects.iter().zip(counts).map(|(effect, count)| effect * count).sum::<f64>() / rows.max(1.0);
    let of = |(effect, count): (&f64, &f64)| if *count > 0.0 { effect - mean } else { 0.0 };
    effects.iter().zip(counts).map(of).collect()
}

/// How much of the losses' variation the bins of one column explain, less what they would by luck.
fn explained(places: &[u8], bins: usize, losses: &[f64]) -> f64 {
    let mean = losses.iter().sum::<f64>() / losses.len().max(1) as f64;
    let mut tally = vec![(0.0, 0.0); bins];
    for (place, loss) in places.iter().zip(losses) {
        if let Some((count, sum)) = tally.get_mut(usize::from(*place)) {
            *count += 1.0;
            *sum += loss - mean;
        }
    }
    let total: f64 = losses.iter().map(|loss| (loss - mean).powi(2)).sum();
    let filled = tally.iter().filter(|(count, _)| *count > 0.0);
    let between: f64 = filled.clone().map(|(count, sum)| sum * sum / count).sum();
    between - filled.count() as f64 * total / losses.len().max(1) as f64
}

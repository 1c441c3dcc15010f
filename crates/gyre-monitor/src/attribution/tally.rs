//! The rows of a window, counted into the reference's bins, day by day.

use std::collections::BTreeMap;

use gyre_stats::performance::MINIMUM_CLUSTERS;

use super::reference::{Column, LossReference};
use crate::columns::{MonitorError, Values};

/// The day of each row, as a number from 0 in the order of time.
pub(super) struct Days {
    rows: Vec<u32>,
    count: usize,
}

impl Days {
    pub(super) fn of(days: impl Iterator<Item = i64> + Clone) -> Self {
        let mut numbers: BTreeMap<i64, u32> = days.clone().map(|day| (day, 0)).collect();
        numbers.values_mut().enumerate().for_each(|(at, number)| *number = at as u32);
        let rows = days.map(|day| numbers.get(&day).copied().unwrap_or_default()).collect();
        Self { rows, count: numbers.len() }
    }

    pub(super) fn rows(&self) -> &[u32] {
        &self.rows
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }
}

/// The cluster-robust standard error (CR1) of a mean over `rows` rows, from the sums of the clusters' deviations.
pub(super) fn clustered(sums: impl Iterator<Item = f64>, clusters: usize, rows: f64) -> f64 {
    let groups = clusters as f64;
    (groups / (groups - 1.0) * sums.map(|sum| sum * sum).sum::<f64>()).sqrt() / rows
}

/// A window against the reference.
pub(super) struct Tally {
    /// What the features of each row add to the mean loss, all columns together.
    pub(super) covariate: Vec<f64>,
    /// Losses of rows with an unseen value, beyond what their features explain.
    pub(super) unseen_sum: f64,
    pub(super) columns: Vec<Counts>,
}

/// A column of the window.
pub(super) struct Counts {
    /// Its place in the reference.
    at: usize,
    /// Rows of each day in each bin, day after day.
    by_day: Vec<u64>,
    /// Rows in each bin.
    rows: Vec<u64>,
    /// Sum of the losses in each bin.
    losses: Vec<f64>,
    /// Rows with a value that the reference does not have.
    pub(super) unseen_rows: u64,
    /// This column's part of what fell on rows with unseen values.
    pub(super) unseen_sum: f64,
}

impl Tally {
    /// Counts `rows`, whose losses and days are given.
    pub(super) fn count(
        reference: &LossReference,
        features: &[(&str, Values<'_>)],
        rows: &[usize],
        losses: &[f64],
        days: &Days,
    ) -> Result<Self, MonitorError> {
        let mut covariate = vec![0.0; rows.len()];
        let mut strange = vec![0_u8; rows.len()];
        let mut columns = Vec::new();
        let mut all_places = Vec::new();
        for (at, column) in reference.columns.iter().enumerate() {
            let Some((_, values)) = features.iter().find(|(name, _)| *name == column.name) else { continue };
            let places = column.bins.places(values, rows).ok_or_else(|| column.wrong_kind(values))?;
            let bins = column.bins.len();
            let mut counts = Counts {
                at,
                by_day: vec![0; bins * days.count()],
                rows: vec![0; bins],
                losses: vec![0.0; bins],
                unseen_rows: 0,
                unseen_sum: 0.0,
            };
            let lines = places.iter().zip(losses).zip(days.rows());
            for ((row, sum), ((place, loss), day)) in strange.iter_mut().zip(&mut covariate).zip(lines) {
                let bin = usize::from(*place);
                counts.by_day[*day as usize * bins + bin] += 1;
                counts.rows[bin] += 1;
                counts.losses[bin] += loss;
                *sum += column.effects.get(bin).copied().unwrap_or(0.0);
                *row = row.saturating_add(u8::from(column.is_unseen(bin)));
            }
            columns.push(counts);
            all_places.push(places);
        }
        let mut tally = Self { covariate, unseen_sum: 0.0, columns };
        tally.share_out(reference, &all_places, &strange, losses);
        Ok(tally)
    }

    /// Gives what fell on rows with unseen values to the columns that have them, in equal parts.
    fn share_out(&mut self, reference: &LossReference, places: &[Vec<u8>], strange: &[u8], losses: &[f64]) {
        for (row, unseen) in strange.iter().enumerate().filter(|(_, unseen)| **unseen > 0) {
            let rest = losses[row] - reference.loss() - self.covariate[row];
            self.unseen_sum += rest;
            for (counts, places) in self.columns.iter_mut().zip(places) {
                if counts.of(reference).is_unseen(usize::from(places[row])) {
                    counts.unseen_rows += 1;
                    counts.unseen_sum += rest / f64::from(*unseen);
                }
            }
        }
    }

    pub(super) fn any_unseen(&self) -> bool {
        self.columns.iter().any(|column| column.unseen_rows > 0)
    }
}

impl Column {
    /// Whether the reference has no row in this bin.
    fn is_unseen(&self, bin: usize) -> bool {
        self.rows.get(bin).is_none_or(|rows| *rows == 0)
    }

    fn wrong_kind(&self, values: &Values<'_>) -> MonitorError {
        let expected = match self.bins {
            super::bins::Bins::Numbers(_) => "numbers",
            super::bins::Bins::Names(_) => "text",
        };
        MonitorError::Kind { column: self.name.clone(), found: values.kind(), expected }
    }
}

impl Counts {
    fn of<'a>(&self, reference: &'a LossReference) -> &'a Column {
        &reference.columns[self.at]
    }

    pub(super) fn name<'a>(&self, reference: &'a LossReference) -> &'a str {
        &self.of(reference).name
    }

    fn total(&self) -> f64 {
        self.rows.iter().sum::<u64>().max(1) as f64
    }

    /// Σ (q − p)·f: what the column's shift did, the others held fast. Effects have the mean 0 over the reference.
    pub(super) fn shift(&self, reference: &LossReference) -> f64 {
        let effects = &self.of(reference).effects;
        self.rows.iter().zip(effects).map(|(rows, effect)| *rows as f64 * effect).sum::<f64>() / self.total()
    }

    /// The same by the effects without block `block` of the reference's days.
    pub(super) fn replicate(&self, reference: &LossReference, block: usize) -> f64 {
        let effects = self.of(reference).replicates.get(block).map_or(&[][..], Vec::as_slice);
        let effects = effects.iter().copied().map(f64::from);
        self.rows.iter().zip(effects).map(|(rows, effect)| *rows as f64 * effect).sum::<f64>() / self.total()
    }

    /// The window's standard error of [`shift`](Self::shift), clustered by day; none with too few days.
    pub(super) fn error(&self, reference: &LossReference, days: &Days) -> Option<f64> {
        if (days.count() as u64) < MINIMUM_CLUSTERS {
            return None;
        }
        let (mean, effects) = (self.shift(reference), &self.of(reference).effects);
        let of_day = |rows: &[u64]| {
            rows.iter().zip(effects).map(|(rows, effect)| *rows as f64 * (effect - mean)).sum::<f64>()
        };
        let sums = self.by_day.chunks(self.rows.len().max(1)).map(of_day);
        Some(clustered(sums, days.count(), self.total()))
    }

    /// Σ (q − p)·(mean loss of the bin, over both): what the shift explains if no other column is looked at (Kitagawa 1955). A
    /// bin that one side lacks has the other's mean.
    pub(super) fn alone(&self, reference: &LossReference) -> f64 {
        let column = self.of(reference);
        let (before, after) = (column.rows.iter().sum::<u64>().max(1) as f64, self.total());
        let mean = |sum: f64, rows: u64| (rows > 0).then(|| sum / rows as f64);
        let sides = column.rows.iter().zip(&column.losses).zip(self.rows.iter().zip(&self.losses));
        sides
            .filter_map(|((p, old), (q, new))| {
                let (old, new) = (mean(*old, *p), mean(*new, *q));
                let loss = 0.5 * (old.or(new)? + new.or(old)?);
                Some((*q as f64 / after - *p as f64 / before) * loss)
            })
            .sum()
    }
}

//! What a schedule costs, in the currency of `gyre.yaml`.
//!
//! Being wrong is counted in days of the first model's promised loss: a day on which the loss is as large as promised costs
//! `cost.error`, one with twice the loss twice that; a day with more labelled rows than the average counts for more, since more
//! was predicted. A training costs `cost.retrain`. So totals contain the loss that nobody could have avoided, and say how much
//! worse everything was, trainings included.

use gyre_core::spec::{Cost, Metric};
use gyre_monitor::loss::aggregate;

use crate::known::{Fit, Fitted, Losses};
use crate::timeline::Slice;

/// Who serves after each decision, and how many models were trained.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Schedule {
    /// Who serves from each decision on.
    pub serves: Vec<Fit>,
    /// How many models were trained at each decision. The first one, which all policies have in common, is not counted.
    pub trainings: Vec<u32>,
}

impl Schedule {
    /// How many models were trained in all.
    pub fn retrains(&self) -> u32 {
        self.trainings.iter().sum()
    }
}

/// The price of losses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prices {
    metric: Metric,
    /// What a unit of loss on an average day costs.
    a_day: f64,
    /// Labelled rows of an average day.
    rows_a_day: f64,
    /// What a training costs.
    pub training: f64,
}

impl Prices {
    /// Prices by which `promised`, the first model's loss on withheld rows, is worth `cost.error` a day.
    pub fn new(losses: &dyn Losses, metric: Metric, cost: Cost, promised: f64) -> Self {
        let timeline = losses.timeline();
        let rows: u64 = timeline.slices.iter().filter(|slice| slice.era.is_some()).map(Slice::rows).sum();
        let last = timeline.windows.last().map_or(timeline.moment(0), |window| window.to);
        let days = last.since(timeline.moment(0)).as_days().max(f64::MIN_POSITIVE);
        Self {
            metric,
            a_day: cost.error / promised,
            rows_a_day: (rows as f64 / days).max(f64::MIN_POSITIVE),
            training: cost.retrain,
        }
    }

    /// What the rows of a slice cost when their losses add up to `sum`.
    pub fn slice(&self, rows: u64, sum: f64) -> f64 {
        if rows == 0 {
            return 0.0;
        }
        let loss = aggregate(self.metric, (sum / rows as f64).max(0.0));
        rows as f64 / self.rows_a_day * loss * self.a_day
    }

    /// What the rows of slice `index` cost under a model.
    pub fn under(&self, slice: &Slice, index: usize, fitted: &Fitted) -> f64 {
        let sum = |sums: &[f64]| sums.get(index).copied().unwrap_or_default();
        self.slice(slice.rows(), sum(&fitted.seen) + sum(&fitted.late))
    }

    /// What a schedule costs in all; a model that does not exist costs infinitely much.
    pub fn total(&self, losses: &dyn Losses, schedule: &Schedule) -> f64 {
        self.from_decision(losses, schedule, 0)
    }

    /// What it costs from decision `first` on.
    pub fn from_decision(&self, losses: &dyn Losses, schedule: &Schedule, first: usize) -> f64 {
        let trainings: u32 = schedule.trainings.iter().skip(first).sum();
        let mut total = f64::from(trainings) * self.training;
        for (index, slice) in losses.timeline().slices.iter().enumerate() {
            let Some(era) = slice.era.filter(|era| *era >= first) else { continue };
            let fitted = schedule.serves.get(era).and_then(|fit| losses.served(*fit));
            total += fitted.map_or(f64::INFINITY, |fitted| self.under(slice, index, fitted));
        }
        total
    }

    /// What each era costs under a model, from the one in which it was trained on.
    pub fn eras(&self, losses: &dyn Losses, fitted: &Fitted) -> Vec<f64> {
        let timeline = losses.timeline();
        let mut eras = vec![0.0; timeline.decisions()];
        for (index, slice) in timeline.slices.iter().enumerate() {
            if let Some(cost) = slice.era.and_then(|era| eras.get_mut(era)) {
                *cost += self.under(slice, index, fitted);
            }
        }
        eras
    }
}

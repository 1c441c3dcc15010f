//! Losses of slices put together: a metric with its error, and two models on the same rows.
//!
//! Production measures row by row and clusters by day ([`gyre_monitor::loss`], [`gyre_monitor::comparison`]). Everything in
//! these figures is a function of each day's number of rows and sum of losses, so a backtest keeps the sums alone and comes
//! to the same figures: the variance of a mean is G/(G − 1)·Σ_g(s_g − n_g·m)²/n² over the days g (CR1; Cameron & Miller 2015).

use std::collections::BTreeMap;

use gyre_core::spec::Metric;
use gyre_monitor::MeasuredLoss;
use gyre_monitor::loss::aggregate;
use gyre_stats::performance::{MINIMUM_CLUSTERS, MINIMUM_ROWS, p_above_reference};

/// Each day's labelled rows and the sum of their losses.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tally(BTreeMap<i64, (u64, f64)>);

impl Tally {
    /// Adds `rows` rows of `day` whose losses add up to `sum`.
    pub fn add(&mut self, day: i64, rows: u64, sum: f64) {
        if rows > 0 && sum.is_finite() {
            let of_day = self.0.entry(day).or_default();
            of_day.0 += rows;
            of_day.1 += sum;
        }
    }

    /// Labelled rows.
    pub fn rows(&self) -> u64 {
        self.0.values().map(|(rows, _)| rows).sum()
    }

    /// Days with labelled rows.
    pub fn days(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }

    /// The mean loss; none without rows.
    pub fn mean(&self) -> Option<f64> {
        let rows = self.rows();
        (rows > 0).then(|| self.0.values().map(|(_, sum)| sum).sum::<f64>() / rows as f64)
    }

    /// The metric with its standard error, as [`gyre_monitor::loss::measure`] has it; none without rows.
    pub fn measure(&self, metric: Metric) -> Option<MeasuredLoss> {
        let loss = aggregate(metric, self.mean()?);
        let error = self.standard_error().and_then(|error| match metric {
            Metric::Rmse => (loss > 0.0).then(|| error / (2.0 * loss)),
            _ => Some(error),
        });
        Some(MeasuredLoss {
            loss,
            standard_error: error.filter(|error| error.is_finite()),
            rows: self.rows(),
            days: self.days(),
        })
    }

    /// The error of the mean; none below the fewest rows and days that anything is compared on.
    fn standard_error(&self) -> Option<f64> {
        let (rows, days, mean) = (self.rows(), self.0.len() as u64, self.mean()?);
        if rows < MINIMUM_ROWS || days < MINIMUM_CLUSTERS {
            return None;
        }
        let squares: f64 = self.0.values().map(|(n, sum)| (sum - *n as f64 * mean).powi(2)).sum();
        Some((days as f64 / (days as f64 - 1.0) * squares).sqrt() / rows as f64)
    }
}

/// What a paired comparison says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Compared {
    /// The loss of the one that was held against the other.
    pub loss: f64,
    /// The loss of the other.
    pub before: f64,
    /// How much better it is.
    pub gain: f64,
    /// One-sided p-value of "no better"; none when there is too little.
    pub p: Option<f64>,
    /// Rows.
    pub rows: u64,
    /// Days.
    pub days: u32,
}

/// Holds `ours` against `theirs`: the same rows, scored by two models, as [`gyre_monitor::comparison::scores`] does. None when
/// there are no rows, or not the same.
pub fn compare(metric: Metric, theirs: &Tally, ours: &Tally) -> Option<Compared> {
    let mut difference = Tally::default();
    for ((day, (rows, before)), (same_day, (same_rows, after))) in theirs.0.iter().zip(&ours.0) {
        if (day, rows) != (same_day, same_rows) {
            return None;
        }
        difference.add(*day, *rows, before - after);
    }
    if theirs.0.len() != ours.0.len() {
        return None;
    }
    let (before, loss) = (aggregate(metric, theirs.mean()?), aggregate(metric, ours.mean()?));
    let mean = difference.mean()?;
    let days = difference.0.len() as u64;
    let p = difference.standard_error().and_then(|error| p_above_reference((mean, error), days, (0.0, 0.0)));
    Some(Compared { loss, before, gain: before - loss, p, rows: difference.rows(), days: difference.days() })
}

#[cfg(test)]
mod tests {
    use gyre_monitor::comparison::scores;
    use gyre_monitor::loss::measure;

    use super::*;

    fn losses(salt: u32) -> (Vec<f64>, Vec<i64>) {
        let rows = 0..300_u32;
        let loss = |row: u32| f64::from((row * 7919 + salt * row * row) % 101) / 10.0;
        (rows.clone().map(loss).collect(), rows.map(|row| i64::from(row / 23)).collect())
    }

    fn tally((losses, days): &(Vec<f64>, Vec<i64>)) -> Tally {
        let mut tally = Tally::default();
        losses.iter().zip(days).for_each(|(loss, day)| tally.add(*day, 1, *loss));
        tally
    }

    #[test]
    fn sums_of_days_give_what_the_rows_give() {
        let (a, b) = (losses(1), losses(2));
        for metric in [Metric::Mae, Metric::Rmse] {
            let rows = measure(metric, &a.0, &a.1).unwrap().unwrap();
            let sums = tally(&a).measure(metric).unwrap();
            assert!((rows.loss - sums.loss).abs() < 1e-12);
            assert!((rows.standard_error.unwrap() - sums.standard_error.unwrap()).abs() < 1e-12);
            assert_eq!((rows.rows, rows.days), (sums.rows, sums.days));
            let rows = scores(metric, (1, &a.0), &[(2, &b.0)], &a.1).unwrap().remove(1);
            let sums = compare(metric, &tally(&a), &tally(&b)).unwrap();
            assert!((rows.gain - sums.gain).abs() < 1e-12);
            assert!((rows.p.unwrap() - sums.p.unwrap()).abs() < 1e-9);
        }
    }

    #[test]
    fn what_is_not_the_same_rows_is_not_compared() {
        let (a, mut b) = (tally(&losses(1)), tally(&losses(2)));
        b.add(3, 1, 1.0);
        assert_eq!(compare(Metric::Mae, &a, &b), None);
        assert_eq!(Tally::default().measure(Metric::Mae), None);
        let mut few = Tally::default();
        few.add(0, 5, 10.0);
        assert_eq!(few.measure(Metric::Mae).unwrap().standard_error, None);
    }
}

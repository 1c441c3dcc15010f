//! Numeric columns: histograms on the quantiles of the reference, with atoms in bins of their own.
//!
//! Quantile bins carry equal mass, so one outlier cannot collapse them as it collapses equal-width bins. A value that
//! holds at least a bin's worth of rows by itself (zero in a zero-inflated column, an hour of the day, a default) is an
//! *atom*: it gets a bin that holds nothing else, so that discrete columns keep their exact distribution.
//!
//! Bins are given by their inclusive upper ends: bin `i` is `(cuts[i-1], cuts[i]]`, the first and the last are open.
//! An atom `a` is the bin between the double just below `a` and `a`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Incompatible, bins::Bins};
use crate::moments::Moments;

/// Most cut points that a reference may have.
pub const MAX_BINS: usize = 256;

/// Quantile bins asked for by [`NumericReference::from_values`].
pub const DEFAULT_BINS: usize = 64;

/// Most quantile bins that may be asked for: with two cut points for each, as atoms need, and the finer ones of the tails
/// they stay within [`MAX_BINS`].
const MOST_QUANTILES: usize = 112;

/// Reference rows that a bin should hold at least, so that its own sampling noise stays small.
const ROWS_A_BIN: usize = 10;

/// How many times finer than the rest the outermost bins are. Mass far out weighs in distances, and where it lies in an
/// open bin is not known.
const FINER_IN_TAILS: usize = 32;

/// Lower quartile, median and upper quartile (linear interpolation, "type 7").
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quartiles {
    /// 25 % quantile.
    pub lower: f64,
    /// 50 % quantile.
    pub median: f64,
    /// 75 % quantile.
    pub upper: f64,
}

/// Values that are counted at a time.
const BLOCK: usize = 64;

/// What a numeric column looked like at training time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NumericReference {
    histogram: NumericWindow,
    quartiles: Option<Quartiles>,
}

impl NumericReference {
    /// Summarises the values of a column; NaN is a missing value.
    #[must_use]
    pub fn from_values(values: &[f64]) -> Self {
        Self::with_bins(values, DEFAULT_BINS)
    }

    /// The same with about `bins` quantile bins, at most 112, and a few finer ones in both tails.
    ///
    /// Fewer are made where there are fewer than ten rows for each.
    #[must_use]
    pub fn with_bins(values: &[f64], bins: usize) -> Self {
        let mut finite: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
        // −0 and 0 are one value, though not one bit pattern.
        finite.iter_mut().for_each(|value| *value += 0.0);
        finite.sort_unstable_by(f64::total_cmp);
        let bins = bins.min(MOST_QUANTILES).min(finite.len() / ROWS_A_BIN).max(1);
        let mut histogram = NumericWindow::with_bins(Arc::new(Bins::new(&cut_points(&finite, bins))));
        histogram.extend(values.iter().copied());
        Self { histogram, quartiles: quartiles(&finite) }
    }

    /// The same bins and the same yardstick with the counts of `window`.
    ///
    /// # Errors
    /// [`Incompatible::Bins`] when the window was made from another reference.
    pub fn with_counts(&self, window: NumericWindow) -> Result<Self, Incompatible> {
        if !self.histogram.same_bins(&window) {
            return Err(Incompatible::Bins);
        }
        Ok(Self { histogram: window, quartiles: self.quartiles })
    }

    /// The reference's own counts.
    #[must_use]
    pub fn histogram(&self) -> &NumericWindow {
        &self.histogram
    }

    /// Quartiles of the finite values; `None` without any.
    #[must_use]
    pub fn quartiles(&self) -> Option<Quartiles> {
        self.quartiles
    }

    /// The yardstick for distances: the interquartile range or, where half the rows are one value, the standard
    /// deviation. `None` for a constant or empty column, for which no distance is large or small.
    #[must_use]
    pub fn scale(&self) -> Option<f64> {
        let range = self.quartiles.map(|quartiles| quartiles.upper - quartiles.lower);
        let usable = |scale: &f64| *scale > 0.0 && scale.is_finite();
        range.filter(usable).or_else(|| self.histogram.moments.standard_deviation().filter(usable))
    }
}

/// Counts of a numeric column in the bins of a reference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub struct NumericWindow {
    #[serde(rename = "cuts")]
    bins: Arc<Bins>,
    counts: Vec<u64>,
    missing: u64,
    negative_infinite: u64,
    positive_infinite: u64,
    moments: Moments,
}

impl NumericWindow {
    /// An empty window with the bins of `reference`.
    #[must_use]
    pub fn new(reference: &NumericReference) -> Self {
        Self::with_bins(Arc::clone(&reference.histogram.bins))
    }

    fn with_bins(bins: Arc<Bins>) -> Self {
        let counts = vec![0; bins.cuts().len() + 1];
        Self { bins, counts, missing: 0, negative_infinite: 0, positive_infinite: 0, moments: Moments::new() }
    }

    /// Counts one value; NaN is a missing value. Many at once are counted sooner by `extend`.
    #[inline]
    pub fn push(&mut self, value: f64) {
        if value.is_finite() { self.count(&[value]) } else { self.count_undefined(value) }
    }

    /// Counts finite values.
    fn count(&mut self, values: &[f64]) {
        let (bins, counts) = (&*self.bins, self.counts.as_mut_slice());
        for value in values {
            // There is one count more than cuts, so there always is one.
            if let Some(count) = counts.get_mut(bins.of(*value)) {
                *count += 1;
            }
        }
        match values {
            [value] => self.moments.push(*value),
            several => self.moments.merge(&Moments::of(several)),
        }
    }

    fn count_undefined(&mut self, value: f64) {
        if value.is_nan() {
            self.missing += 1;
        } else if value > 0.0 {
            self.positive_infinite += 1;
        } else {
            self.negative_infinite += 1;
        }
    }

    /// Adds the counts of another window of the same reference.
    ///
    /// # Errors
    /// [`Incompatible::Bins`] when the windows come from different references; `self` is then unchanged.
    pub fn merge(&mut self, other: &Self) -> Result<(), Incompatible> {
        if !self.same_bins(other) {
            return Err(Incompatible::Bins);
        }
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.missing += other.missing;
        self.negative_infinite += other.negative_infinite;
        self.positive_infinite += other.positive_infinite;
        self.moments.merge(&other.moments);
        Ok(())
    }

    /// Whether both count into the same bins.
    #[must_use]
    pub fn same_bins(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.bins, &other.bins) || self.bins == other.bins
    }

    /// Ascending inclusive upper ends of all bins but the last, which is open.
    #[must_use]
    pub fn cuts(&self) -> &[f64] {
        self.bins.cuts()
    }

    /// Counts of finite values, one more than [`cuts`](Self::cuts).
    #[must_use]
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Counts in order from −∞ over the finite bins to +∞: every row that has a value.
    #[must_use]
    pub fn ordered_counts(&self) -> Vec<u64> {
        let mut counts = Vec::with_capacity(self.counts.len() + 2);
        counts.push(self.negative_infinite);
        counts.extend_from_slice(&self.counts);
        counts.push(self.positive_infinite);
        counts
    }

    /// Rows counted, missing ones included.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.present() + self.missing
    }

    /// Rows that have a value, infinities included.
    #[must_use]
    pub fn present(&self) -> u64 {
        self.moments.count() + self.negative_infinite + self.positive_infinite
    }

    /// Missing rows.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.missing
    }

    /// Infinite values of either sign.
    #[must_use]
    pub fn infinite(&self) -> u64 {
        self.negative_infinite + self.positive_infinite
    }

    /// Moments of the finite values.
    #[must_use]
    pub fn moments(&self) -> &Moments {
        &self.moments
    }
}

impl Extend<f64> for NumericWindow {
    #[inline]
    fn extend<I: IntoIterator<Item = f64>>(&mut self, values: I) {
        // Many at once, so that no value waits until the mean of those before it is known.
        let (mut block, mut filled) = ([0.0; BLOCK], 0);
        for value in values {
            if !value.is_finite() {
                self.count_undefined(value);
                continue;
            }
            block[filled] = value;
            filled += 1;
            if filled == BLOCK {
                self.count(&block);
                filled = 0;
            }
        }
        self.count(&block[..filled]);
    }
}

/// [`NumericWindow`] as stored, before it is known to be consistent.
#[derive(Deserialize)]
struct Stored {
    #[serde(rename = "cuts")]
    bins: Arc<Bins>,
    counts: Vec<u64>,
    missing: u64,
    negative_infinite: u64,
    positive_infinite: u64,
    moments: Moments,
}

impl TryFrom<Stored> for NumericWindow {
    type Error = String;

    fn try_from(stored: Stored) -> Result<Self, String> {
        let Stored { bins, counts, missing, negative_infinite, positive_infinite, moments } = stored;
        let cuts = bins.cuts();
        if counts.len() != cuts.len() + 1 || cuts.len() > MAX_BINS {
            return Err(format!(
                "a histogram with {} cut points has {} counts; expected one count more than cut points and at most \
                 {MAX_BINS} cut points",
                cuts.len(),
                counts.len()
            ));
        }
        let total = counts.iter().try_fold(0_u64, |total, count| total.checked_add(*count));
        if total != Some(moments.count()) {
            return Err(format!("the counts of a histogram do not add up to its {} values", moments.count()));
        }
        Ok(Self { bins, counts, missing, negative_infinite, positive_infinite, moments })
    }
}

/// Cut points of ascending finite values: atoms apart, the rest in runs of at least a bin's share, which shrinks towards
/// both ends.
fn cut_points(sorted: &[f64], bins: usize) -> Vec<f64> {
    let share = sorted.len().div_ceil(bins).max(2);
    let mut cuts: Vec<f64> = Vec::new();
    let mut cut_at = |value: f64| {
        if value.is_finite() && cuts.last().is_none_or(|last| *last < value) {
            cuts.push(value);
        }
    };
    let smallest = (share / FINER_IN_TAILS).max(ROWS_A_BIN);
    let (mut run, mut through) = (0, 0);
    for same in sorted.chunk_by(|a, b| a == b) {
        let Some(&value) = same.first() else { continue };
        run += same.len();
        through += same.len();
        let rest = sorted.len() - through;
        if same.len() >= share {
            cut_at(value.next_down());
            cut_at(value);
            run = 0;
        } else if run >= share.min(smallest.max(through.min(rest) / 2)) && rest >= ROWS_A_BIN {
            cut_at(value);
            run = 0;
        }
    }
    cuts
}

fn quartiles(sorted: &[f64]) -> Option<Quartiles> {
    let last = sorted.len().checked_sub(1)?;
    let at = |share: f64| {
        let position = share * last as f64;
        let below = position.floor() as usize;
        let above = (below + 1).min(last);
        let share = position - below as f64;
        sorted[below] * (1.0 - share) + sorted[above] * share
    };
    Some(Quartiles { lower: at(0.25), median: at(0.5), upper: at(0.75) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn atoms_have_bins_of_their_own() {
        let values: Vec<f64> = (0..1000).map(|i| if i % 2 == 0 { 0.1 } else { f64::from(i) }).collect();
        let reference = NumericReference::from_values(&values);
        let bin = reference.histogram().cuts().iter().position(|cut| *cut == 0.1).unwrap();
        assert_eq!(reference.histogram().counts()[bin], 500);
        let mut window = NumericWindow::new(&reference);
        [0.1, 0.1_f64.next_up(), 0.1_f64.next_down()].into_iter().for_each(|value| window.push(value));
        assert_eq!(window.counts()[bin], 1);
    }

    #[test]
    fn quantile_bins_hold_equal_mass_in_spite_of_an_outlier() {
        let mut values: Vec<f64> = (0..6400).map(f64::from).collect();
        values[0] = -1e300;
        let reference = NumericReference::from_values(&values);
        let counts = reference.histogram().counts();
        assert!((64..80).contains(&counts.len()), "{counts:?}");
        assert!(counts.iter().filter(|count| **count == 100).count() >= 55, "{counts:?}");
        assert!(counts.iter().all(|count| (10..=100).contains(count)), "{counts:?}");
    }

    #[test]
    fn nothing_and_nonsense_are_counted_not_dropped() {
        let reference = NumericReference::from_values(&[f64::NAN, f64::INFINITY, f64::NEG_INFINITY]);
        let histogram = reference.histogram();
        assert_eq!((histogram.rows(), histogram.missing(), histogram.infinite()), (3, 1, 2));
        assert_eq!((reference.quartiles(), reference.scale()), (None, None));
        assert_eq!(NumericReference::from_values(&[7.0; 100]).scale(), None);
        assert_eq!(NumericReference::from_values(&[]).histogram().rows(), 0);
    }

    #[test]
    fn few_rows_make_few_bins() {
        let values: Vec<f64> = (0..25).map(f64::from).collect();
        assert!(NumericReference::from_values(&values).histogram().cuts().len() <= 3);
    }

    #[test]
    fn windows_of_different_references_do_not_merge() {
        let a = NumericReference::from_values(&[1.0; 50]);
        let b = NumericReference::from_values(&[2.0; 50]);
        assert_eq!(NumericWindow::new(&a).merge(&NumericWindow::new(&b)), Err(Incompatible::Bins));
    }
}

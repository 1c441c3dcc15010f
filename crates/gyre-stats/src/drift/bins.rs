//! Bins for raw samples, by the rules that other tools use: deciles of the reference, equal widths, Doane.
//!
//! The histograms that gyre keeps have bins of their own ([`profile`](crate::profile)), finer and with atoms apart. These here
//! give the figures that people compare with: "the PSI over deciles", "the JS distance over Doane's bins".
//!
//! Bin *i* is [eᵢ, eᵢ₊₁), the last one closed, as numpy's `histogram` has it.

use super::samples::Sorted;

/// Most bins a rule may ask for: Doane's and Sturges' rules stay below 100.
const MOST: f64 = 10_000.0;

/// Ascending edges of at least one bin.
#[derive(Clone, Debug, PartialEq)]
pub struct Edges(Vec<f64>);

impl Edges {
    /// The distinct deciles of the reference (type 7), at most ten bins of about equal mass; `None` where fewer than two
    /// of them differ.
    #[must_use]
    pub fn deciles(reference: &Sorted) -> Option<Self> {
        // Multiples of the double nearest to 0.1: which of two neighbouring doubles an edge is decides where a tied value goes.
        let mut edges = Vec::with_capacity(11);
        for tenth in 0..=10_u8 {
            edges.push(reference.quantile(0.1 * f64::from(tenth))?);
        }
        edges.dedup();
        (edges.len() > 1).then_some(Self(edges))
    }

    /// `bins` bins of equal width over the range of the finite values; `None` without a range and for no bins.
    #[must_use]
    pub fn equal_width(sample: &Sorted, bins: u32) -> Option<Self> {
        let (low, high) = sample.range()?;
        Self::even(low, high, f64::from(bins))
    }

    /// As many bins of equal width as Doane's rule asks for, 1 + log₂ n + log₂(1 + |g₁|/σ) with the skewness g₁ and its
    /// standard error σ (Doane 1976, "Aesthetic frequency classifications"). `None` without finite values.
    ///
    /// A constant sample has one bin of width 1 about it.
    #[must_use]
    pub fn doane(sample: &Sorted) -> Option<Self> {
        let (low, high) = sample.range()?;
        let n = sample.finite().len() as f64;
        let (mean, deviation) = (sample.mean()?, sample.population_deviation()?);
        if n < 3.0 || deviation == 0.0 {
            return Self::single(low, high);
        }
        let skewness =
            sample.finite().iter().map(|value| ((value - mean) / deviation).powi(3)).sum::<f64>() / n;
        let error = (6.0 * (n - 2.0) / ((n + 1.0) * (n + 3.0))).sqrt();
        Self::of_width(low, high, (high - low) / (1.0 + n.log2() + (1.0 + skewness.abs() / error).log2()))
    }

    /// As many bins of equal width as Sturges' rule asks for, 1 + log₂ n, over both samples together (Sturges 1926). `None`
    /// without finite values.
    #[must_use]
    pub fn sturges(reference: &Sorted, current: &Sorted) -> Option<Self> {
        let (low, high) = match (reference.range(), current.range()) {
            (Some(a), Some(b)) => (a.0.min(b.0), a.1.max(b.1)),
            (a, b) => a.or(b)?,
        };
        let n = (reference.finite().len() + current.finite().len()) as f64;
        Self::of_width(low, high, (high - low) / (n.log2() + 1.0))
    }

    /// The edges, ascending, at least two.
    #[must_use]
    pub fn as_slice(&self) -> &[f64] {
        &self.0
    }

    /// Finite values of a sample in each bin, the outer bins open: what lies outside counts into the nearest.
    #[must_use]
    pub fn counts(&self, sample: &Sorted) -> Vec<u64> {
        let inner = self.0.get(1..self.0.len().saturating_sub(1)).unwrap_or_default();
        let total = sample.finite().len();
        let mut below = 0;
        let ends = inner.iter().map(|edge| sample.finite().partition_point(|value| value < edge));
        ends.chain([total])
            .map(|end| {
                let count = end - below;
                below = end;
                count as u64
            })
            .collect()
    }

    /// The same with closed outer bins, and one count more at the end: the values that lie in no bin.
    #[must_use]
    pub fn counts_and_outside(&self, sample: &Sorted) -> Vec<u64> {
        let mut counts = self.counts(sample);
        let (Some(low), Some(high)) = (self.0.first(), self.0.last()) else { return counts };
        let below = sample.finite().partition_point(|value| value < low) as u64;
        let above = (sample.finite().len() - sample.finite().partition_point(|value| value <= high)) as u64;
        if let Some(first) = counts.first_mut() {
            *first -= below;
        }
        if let Some(last) = counts.last_mut() {
            *last -= above;
        }
        counts.push(below + above);
        counts
    }

    fn of_width(low: f64, high: f64, width: f64) -> Option<Self> {
        if width > 0.0 {
            Self::even(low, high, ((high - low) / width).ceil())
        } else {
            Self::single(low, high)
        }
    }

    fn single(low: f64, high: f64) -> Option<Self> {
        if low == high { Self::even(low - 0.5, high + 0.5, 1.0) } else { Self::even(low, high, 1.0) }
    }

    fn even(low: f64, high: f64, bins: f64) -> Option<Self> {
        if !(1.0..=MOST).contains(&bins) || !(high - low).is_finite() || low >= high {
            return None;
        }
        let step = (high - low) / bins;
        let mut edges: Vec<f64> = (0..bins as u32).map(|i| f64::from(i) * step + low).collect();
        edges.push(high);
        Some(Self(edges))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finite_value_is_in_one_bin() {
        let reference = Sorted::new(&(0..100).map(f64::from).collect::<Vec<_>>());
        let edges = Edges::equal_width(&reference, 3).unwrap();
        assert_eq!(edges.as_slice(), [0.0, 33.0, 66.0, 99.0]);
        let current = Sorted::new(&[-5.0, 0.0, 33.0, 99.0, 100.0, 7e9, f64::INFINITY, f64::NAN]);
        assert_eq!(edges.counts(&current), [2, 1, 3]);
        assert_eq!(edges.counts_and_outside(&current), [1, 1, 1, 3]);
    }

    #[test]
    fn what_has_no_range_has_no_bins() {
        let (nothing, constant) = (Sorted::new(&[f64::NAN]), Sorted::new(&[3.5; 9]));
        assert_eq!((Edges::deciles(&nothing), Edges::deciles(&constant)), (None, None));
        assert_eq!((Edges::doane(&nothing), Edges::sturges(&nothing, &nothing)), (None, None));
        assert_eq!(Edges::equal_width(&constant, 10), None);
        assert_eq!(Edges::doane(&constant).unwrap().as_slice(), [3.0, 4.0]);
        assert_eq!(Edges::equal_width(&Sorted::new(&[f64::MIN, f64::MAX]), 10), None);
        // A constant so large that half a unit is lost on it.
        assert_eq!(Edges::doane(&Sorted::new(&[1e300; 9])), None);
    }
}

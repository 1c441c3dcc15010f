//! Values to at most 255 bins a feature, so that splits are found on histograms. A bin ends at a threshold; a value goes
//! to the first bin whose threshold it does not exceed, which is the comparison that the exported tree makes, on the
//! same 32-bit numbers.

/// Bins for values; the bin of this number is for missing ones.
pub(crate) const MISSING: u8 = 255;
const MOST: usize = 255;

/// A matrix of bin numbers with the thresholds of each feature.
pub(crate) struct Binned {
    /// Row-major, one a feature.
    pub(crate) bins: Vec<u8>,
    /// For each feature its thresholds, ascending; one fewer than it has bins.
    pub(crate) thresholds: Vec<Vec<f32>>,
    /// Number of rows.
    pub(crate) rows: usize,
}

impl Binned {
    /// Bins columns of equal length.
    pub(crate) fn new(columns: &[Vec<f32>]) -> Binned {
        let rows = columns.first().map_or(0, Vec::len);
        let mut bins = vec![0; rows * columns.len()];
        let mut all = Vec::with_capacity(columns.len());
        for (j, column) in columns.iter().enumerate() {
            let thresholds = thresholds(column);
            for (row, &x) in bins.chunks_exact_mut(columns.len()).zip(column) {
                row[j] = bin_of(x, &thresholds);
            }
            all.push(thresholds);
        }
        Binned { bins, thresholds: all, rows }
    }

    /// Number of features.
    pub(crate) fn features(&self) -> usize {
        self.thresholds.len()
    }
}

fn bin_of(x: f32, thresholds: &[f32]) -> u8 {
    if x.is_nan() {
        return MISSING;
    }
    u8::try_from(thresholds.partition_point(|t| *t < x)).unwrap_or(MISSING - 1)
}

/// Midpoints between neighbouring distinct values, or between quantiles when there are too many.
fn thresholds(column: &[f32]) -> Vec<f32> {
    let mut sorted: Vec<f32> = column.iter().copied().filter(|x| !x.is_nan()).collect();
    sorted.sort_unstable_by(f32::total_cmp);
    let mut distinct = sorted.clone();
    distinct.dedup();
    let ends: Vec<f32> = if distinct.len() <= MOST {
        distinct.clone()
    } else {
        let mut ends: Vec<f32> = (1..=MOST).map(|i| sorted[i * sorted.len() / MOST - 1]).collect();
        ends.dedup();
        ends
    };
    ends.iter()
        .filter_map(|&end| {
            let next = *distinct.get(distinct.partition_point(|x| *x <= end))?;
            let middle = end / 2.0 + next / 2.0;
            // Rounding and infinities must not move a value across.
            Some(if middle >= end && middle < next { middle } else { end })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Bins are what comparing with the thresholds says, and order is kept.
        #[test]
        fn bins_agree_with_thresholds(column in prop::collection::vec(
            prop_oneof![Just(f32::NAN), Just(f32::INFINITY), Just(-0.0f32), -3.0f32..3.0, any::<f32>()], 1..600,
        )) {
            let binned = Binned::new(std::slice::from_ref(&column));
            let thresholds = &binned.thresholds[0];
            prop_assert!(thresholds.len() < MOST && thresholds.is_sorted());
            for (&x, &bin) in column.iter().zip(&binned.bins) {
                if x.is_nan() {
                    prop_assert_eq!(bin, MISSING);
                } else {
                    let bin = usize::from(bin);
                    prop_assert!(thresholds.get(bin).is_none_or(|t| x <= *t));
                    prop_assert!(bin == 0 || x > thresholds[bin - 1]);
                }
            }
        }
    }

    #[test]
    fn few_values_have_a_bin_each() {
        assert_eq!(Binned::new(&[vec![3.0, 1.0, 3.0, 2.0]]).bins, [2, 0, 2, 1]);
        assert_eq!(Binned::new(&[vec![5.0; 4]]).thresholds, [Vec::<f32>::new()]);
    }
}

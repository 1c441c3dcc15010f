//! One sample in order: sorted once, then used by every test.
//!
//! Most two-sample statistics are sums along the order of the pooled values. Sorting costs more than all of them together,
//! so it is done once a sample (once for ever, for a reference) and kept in a type that cannot be unsorted.

/// The values of one column, ascending, with those that have no place in the order counted apart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sorted {
    finite: Vec<f64>,
    negative_infinite: u64,
    positive_infinite: u64,
    missing: u64,
}

impl Sorted {
    /// Sorts the values of a column; NaN is a missing value, and −0 is 0.
    #[must_use]
    pub fn new(values: &[f64]) -> Self {
        let mut sorted = Self::default();
        let mut keys = Vec::with_capacity(values.len());
        for value in values {
            if value.is_finite() {
                keys.push(key(value + 0.0));
            } else if value.is_nan() {
                sorted.missing += 1;
            } else if *value > 0.0 {
                sorted.positive_infinite += 1;
            } else {
                sorted.negative_infinite += 1;
            }
        }
        // As integers: a comparison of one instruction, about twice as fast as `f64::total_cmp`.
        keys.sort_unstable();
        sorted.finite = keys.into_iter().map(value_of).collect();
        sorted
    }

    /// The finite values, ascending.
    #[must_use]
    pub fn finite(&self) -> &[f64] {
        &self.finite
    }

    /// Rows with a value, infinities included.
    #[must_use]
    pub fn present(&self) -> u64 {
        self.finite.len() as u64 + self.infinite()
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

    /// Values of −∞.
    #[must_use]
    pub fn negative_infinite(&self) -> u64 {
        self.negative_infinite
    }

    /// Values of +∞.
    #[must_use]
    pub fn positive_infinite(&self) -> u64 {
        self.positive_infinite
    }

    /// Smallest and largest finite value; `None` without any.
    #[must_use]
    pub fn range(&self) -> Option<(f64, f64)> {
        self.finite.first().copied().zip(self.finite.last().copied())
    }

    /// Quantile of the finite values by linear interpolation (Hyndman & Fan 1996, "type 7"); `share` is clamped into
    /// 0..=1. `None` without finite values.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let last = self.finite.len().checked_sub(1)?;
        let place = last as f64 * if share.is_nan() { 0.5 } else { share.clamp(0.0, 1.0) };
        let below = (place.floor() as usize).min(last);
        let (low, high) = (self.finite[below], self.finite[(below + 1).min(last)]);
        let part = place - below as f64;
        // From the nearer end, so that both ends are met exactly; apart where the difference overflows.
        let width = high - low;
        Some(match part {
            part if width.is_infinite() => low * (1.0 - part) + high * part,
            part if part < 0.5 => low + width * part,
            part => high - width * (1.0 - part),
        })
    }

    /// Upper less lower quartile; `None` without finite values.
    #[must_use]
    pub fn interquartile_range(&self) -> Option<f64> {
        Some(self.quantile(0.75)? - self.quantile(0.25)?)
    }

    /// Mean of the finite values; `None` without any.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        let centre = Centre::of(&self.finite)?;
        Some(centre.origin + centre.offset)
    }

    /// Standard deviation of the finite values as a population (division by n); `None` without values, and where it is
    /// not finite.
    #[must_use]
    pub fn population_deviation(&self) -> Option<f64> {
        let centre = Centre::of(&self.finite)?;
        let deviation = (centre.squares / self.finite.len() as f64).sqrt() * centre.unit;
        deviation.is_finite().then_some(deviation)
    }
}

/// Mean and spread of some numbers, kept so that neither a large offset nor tiny magnitudes lose digits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Centre {
    /// A value among the numbers.
    pub(super) origin: f64,
    /// Mean − origin.
    pub(super) offset: f64,
    /// Σ((x − mean)/unit)².
    pub(super) squares: f64,
    /// A power of two near the largest deviation from the origin, 1 where there is none.
    pub(super) unit: f64,
    /// How many.
    pub(super) count: f64,
}

impl Centre {
    /// In two passes about the value in the middle; `None` without values and where deviations overflow.
    pub(super) fn of(values: &[f64]) -> Option<Self> {
        let origin = *values.get(values.len() / 2)?;
        let count = values.len() as f64;
        let largest = values.iter().map(|value| (value - origin).abs()).fold(0.0, f64::max);
        if !largest.is_finite() {
            return None;
        }
        let unit = if largest > 0.0 { power_of_two_near(largest) } else { 1.0 };
        let offset = values.iter().map(|value| (value - origin) / unit).sum::<f64>() / count;
        // The second sum takes out what rounding left in the first (Chan, Golub & LeVeque 1983, eq. 1.7).
        let (mut squares, mut rest) = (0.0, 0.0);
        for value in values {
            let apart = (value - origin) / unit - offset;
            squares += apart * apart;
            rest += apart;
        }
        let squares = (squares - rest * rest / count).max(0.0);
        Some(Self { origin, offset: (offset + rest / count) * unit, squares, unit, count })
    }

    /// Squared standard error of the mean in `unit`², from the unbiased variance.
    pub(super) fn squared_error(&self) -> f64 {
        self.squares / (self.count - 1.0) / self.count
    }
}

/// The power of two of the same magnitude, at least the smallest whose reciprocal is finite.
fn power_of_two_near(x: f64) -> f64 {
    f64::from_bits(x.to_bits() & (0x7ff << 52)).max(f64::MIN_POSITIVE)
}

/// Maps finite numbers to integers of the same order.
fn key(value: f64) -> u64 {
    let bits = value.to_bits();
    if bits >> 63 == 0 { bits | 1 << 63 } else { !bits }
}

fn value_of(key: u64) -> f64 {
    f64::from_bits(if key >> 63 == 0 { !key } else { key & !(1 << 63) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_in_its_place_or_counted() {
        let values = [3.0, f64::NAN, -0.0, f64::INFINITY, -1e300, 1e-310, f64::NEG_INFINITY, -2.0, f64::NAN];
        let sorted = Sorted::new(&values);
        assert_eq!(sorted.finite(), [-1e300, -2.0, 0.0, 1e-310, 3.0]);
        assert!(sorted.finite()[2].is_sign_positive());
        assert_eq!((sorted.missing(), sorted.negative_infinite(), sorted.positive_infinite()), (2, 1, 1));
        assert_eq!((sorted.present(), sorted.infinite()), (7, 2));
    }

    #[test]
    fn nothing_has_no_quantile() {
        let nothing = Sorted::new(&[f64::NAN]);
        assert_eq!((nothing.quantile(0.5), nothing.mean(), nothing.range()), (None, None, None));
    }

    #[test]
    fn extreme_magnitudes_keep_their_spread() {
        let tiny = Sorted::new(&[1e-300, 2e-300, 3e-300]);
        let deviation = tiny.population_deviation().unwrap();
        assert!((deviation / (1e-300 * (2.0_f64 / 3.0).sqrt()) - 1.0).abs() < 1e-12, "{deviation:e}");
        let far = Sorted::new(&[1e9 + 1.0, 1e9 + 2.0, 1e9 + 3.0]);
        assert_eq!((far.mean(), far.interquartile_range()), (Some(1e9 + 2.0), Some(1.0)));
        assert!(Sorted::new(&[f64::MIN, f64::MAX]).quantile(0.5).unwrap().is_finite());
        assert_eq!(Sorted::new(&[f64::MIN, f64::MAX]).population_deviation(), None);
    }
}

//! Distances between two histograms over the same bins.
//!
//! Arguments are counts, reference first. Every function is `None` when the lengths differ or when either side is empty.

use super::KolmogorovSmirnov;
use crate::{proportion::Interval, special::normal_critical};

/// Half-count added to each bin by [`psi`], so that an empty bin is unlikely rather than impossible (Jeffreys' prior).
const PSI_PRIOR: f64 = 0.5;

/// The least share of a bin that other tools commonly assume ([`Empty::Floor`]).
pub const USUAL_FLOOR: f64 = 1e-4;

/// What a bin without rows counts as where a logarithm cannot take 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Empty {
    /// Half a row more in each bin that either side uses (Jeffreys' prior): an empty bin weighs less in small samples.
    HalfRowIfUsed,
    /// Half a row more in each bin, used or not.
    HalfRow,
    /// No share is taken for less than this, and nothing is scaled back to 1; usually [`USUAL_FLOOR`].
    Floor(f64),
}

impl Empty {
    /// The positive share of each bin on both sides.
    fn fill(self, shares: &Shares) -> Vec<(f64, f64)> {
        let bins = match self {
            Self::Floor(floor) => {
                let floor = floor.max(f64::MIN_POSITIVE);
                return shares.pairs.iter().map(|(p, q)| (p.max(floor), q.max(floor))).collect();
            }
            Self::HalfRow => shares.pairs.len() as f64,
            Self::HalfRowIfUsed => shares.used(),
        };
        let smooth = |share: f64, total: f64| (share * total + PSI_PRIOR) / (total + PSI_PRIOR * bins);
        let all = self == Self::HalfRow;
        let counted = shares.pairs.iter().filter(|(p, q)| all || p + q > 0.0);
        counted.map(|(p, q)| (smooth(*p, shares.n), smooth(*q, shares.m))).collect()
    }
}

/// Unit of a divergence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Base e.
    Nats,
    /// Base 2.
    Bits,
}

/// Pairs of shares per bin, and the two totals.
struct Shares {
    pairs: Vec<(f64, f64)>,
    n: f64,
    m: f64,
}

impl Shares {
    fn of(reference: &[u64], current: &[u64]) -> Option<Self> {
        let total = |counts: &[u64]| counts.iter().map(|count| *count as f64).sum::<f64>();
        let (n, m) = (total(reference), total(current));
        if reference.len() != current.len() || n == 0.0 || m == 0.0 {
            return None;
        }
        let pairs = reference.iter().zip(current).map(|(a, b)| (*a as f64 / n, *b as f64 / m)).collect();
        Some(Self { pairs, n, m })
    }

    /// Sum of a term over the bins.
    fn sum(&self, term: impl Fn(f64, f64) -> f64) -> f64 {
        self.pairs.iter().map(|(p, q)| term(*p, *q)).sum()
    }

    /// Bins that either side uses.
    fn used(&self) -> f64 {
        self.sum(|p, q| if p + q > 0.0 { 1.0 } else { 0.0 })
    }
}

/// Total variation distance, ½·Σ|p − q|, in 0..=1: the share of rows that would have to move.
#[must_use]
pub fn total_variation(reference: &[u64], current: &[u64]) -> Option<f64> {
    Some(0.5 * Shares::of(reference, current)?.sum(|p, q| (p - q).abs()))
}

/// L∞ distance, max|p − q|, in 0..=1: the change of the category that changed most.
#[must_use]
pub fn l_infinity(reference: &[u64], current: &[u64]) -> Option<f64> {
    Some(Shares::of(reference, current)?.pairs.iter().map(|(p, q)| (p - q).abs()).fold(0.0, f64::max))
}

/// Hellinger distance, √(½·Σ(√p − √q)²), in 0..=1.
#[must_use]
pub fn hellinger(reference: &[u64], current: &[u64]) -> Option<f64> {
    Some((0.5 * Shares::of(reference, current)?.sum(|p, q| (p.sqrt() - q.sqrt()).powi(2))).sqrt().min(1.0))
}

/// Jensen–Shannon divergence in nats, in 0..=ln 2. Other tools show its square root, or base 2.
#[must_use]
pub fn jensen_shannon(reference: &[u64], current: &[u64]) -> Option<f64> {
    Some(divergence(&Shares::of(reference, current)?))
}

/// Jensen–Shannon divergence in nats less what two samples of one distribution show by luck,
/// (k − 1)/8·(1/n + 1/m) for `k` used bins, and not below 0.
///
/// Twice the divergence is, for equal distributions, approximately χ²(k − 1)·(1/n + 1/m)/4; without the correction,
/// columns with many categories always look drifted. The approximation wants few sparse bins.
#[must_use]
pub fn jensen_shannon_debiased(reference: &[u64], current: &[u64]) -> Option<f64> {
    let shares = Shares::of(reference, current)?;
    let luck = (shares.used() - 1.0) / 8.0 * (1.0 / shares.n + 1.0 / shares.m);
    Some((divergence(&shares) - luck).max(0.0))
}

fn divergence(shares: &Shares) -> f64 {
    let part = |x: f64, middle: f64| if x > 0.0 { x * (x / middle).ln() } else { 0.0 };
    shares
        .sum(|p, q| 0.5 * (part(p, 0.5 * (p + q)) + part(q, 0.5 * (p + q))))
        .clamp(0.0, std::f64::consts::LN_2)
}

/// Jensen–Shannon *distance*, the root of the divergence: in 0..=1 in bits, 0..=√ln 2 ≈ 0.833 in nats (Endres & Schindelin
/// 2003). This is what most tools print under the name; the two units differ by a factor of √ln 2.
#[must_use]
pub fn jensen_shannon_distance(reference: &[u64], current: &[u64], unit: Unit) -> Option<f64> {
    let nats = jensen_shannon(reference, current)?;
    Some(match unit {
        Unit::Nats => nats.sqrt(),
        Unit::Bits => (nats / std::f64::consts::LN_2).sqrt(),
    })
}

/// Interval at `level` for the Jensen–Shannon *divergence* in nats of the two distributions behind the counts; take the root
/// of both ends for one of the distance.
///
/// About the debiased divergence ([`jensen_shannon_debiased`] before its cut at 0), by the delta method: the derivative is
/// ½·ln(p/m) for a share p of the reference, ½·ln(q/m) for one of the current side, with m their mean. It vanishes without
/// drift, so that the variance of the second order is added, (k − 1)/32·(1/n + 1/m)², that of the χ² in the approximation.
/// Wants few sparse bins, like the approximation.
#[must_use]
pub fn jensen_shannon_interval(reference: &[u64], current: &[u64], level: f64) -> Option<Interval> {
    let shares = Shares::of(reference, current)?;
    let influence = |x: f64, middle: f64| if x > 0.0 { 0.5 * (x / middle).ln() } else { 0.0 };
    let variance = |of: &dyn Fn(f64, f64) -> (f64, f64)| {
        let mean = shares.sum(|p, q| of(p, q).0 * of(p, q).1);
        shares.sum(|p, q| of(p, q).0 * (of(p, q).1 - mean).powi(2))
    };
    let rows = 1.0 / shares.n + 1.0 / shares.m;
    let first = variance(&|p, q| (p, influence(p, 0.5 * (p + q)))) / shares.n
        + variance(&|p, q| (q, influence(q, 0.5 * (p + q)))) / shares.m;
    let second = (shares.used() - 1.0) / 32.0 * rows * rows;
    let centre = divergence(&shares) - (shares.used() - 1.0) / 8.0 * rows;
    let half = normal_critical(level) * (first + second).sqrt();
    let within = |nats: f64| nats.clamp(0.0, std::f64::consts::LN_2);
    Some(Interval { lower: within(centre - half), upper: within(centre + half), level })
}

/// Kullback–Leibler divergence of the reference from the current side in nats, Σ p·ln(p/q) (Kullback & Leibler 1951).
///
/// Infinite where a bin of the reference is empty now, so `empty` decides much of it.
#[must_use]
pub fn kullback_leibler(reference: &[u64], current: &[u64], empty: Empty) -> Option<f64> {
    let filled = empty.fill(&Shares::of(reference, current)?);
    Some(filled.iter().map(|(p, q)| p * (p / q).ln()).sum())
}

/// Population stability index, Σ(q − p)·ln(q/p), over used bins with half a row added to each.
#[must_use]
pub fn psi(reference: &[u64], current: &[u64]) -> Option<f64> {
    psi_with(reference, current, Empty::HalfRowIfUsed)
}

/// Population stability index with another convention for empty bins, to compare with other tools.
#[must_use]
pub fn psi_with(reference: &[u64], current: &[u64], empty: Empty) -> Option<f64> {
    let filled = empty.fill(&Shares::of(reference, current)?);
    Some(filled.iter().map(|(p, q)| (q - p) * (q / p).ln()).sum())
}

/// The PSI that two samples of one distribution show by luck, (k − 1)·(1/n + 1/m) for `k` used bins.
///
/// A fixed threshold such as 0.2 means nothing without it.
#[must_use]
pub fn psi_by_luck(reference: &[u64], current: &[u64]) -> Option<f64> {
    let shares = Shares::of(reference, current)?;
    Some((shares.used() - 1.0) * (1.0 / shares.n + 1.0 / shares.m))
}

/// Kolmogorov–Smirnov test on ordered bins: the statistic at the bin ends only, so at most that of the raw samples.
#[must_use]
pub fn kolmogorov_smirnov(reference: &[u64], current: &[u64]) -> Option<KolmogorovSmirnov> {
    let shares = Shares::of(reference, current)?;
    // Cumulated as integers, so that equal histograms are at distance exactly 0.
    let (mut below_reference, mut below_current, mut statistic) = (0_u64, 0_u64, 0.0_f64);
    for (a, b) in reference.iter().zip(current) {
        below_reference += a;
        below_current += b;
        statistic =
            statistic.max((below_reference as f64 / shares.n - below_current as f64 / shares.m).abs());
    }
    Some(KolmogorovSmirnov::new(statistic, shares.n, shares.m))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn undefined_is_none() {
        assert_eq!(psi(&[1, 2], &[0, 0]), None);
        assert_eq!(total_variation(&[1, 2], &[1, 2, 3]), None);
        assert_eq!(kolmogorov_smirnov(&[], &[]), None);
    }

    #[test]
    fn disjoint_histograms_are_as_far_as_can_be() {
        let (a, b) = ([10, 0], [0, 7]);
        assert_eq!(total_variation(&a, &b), Some(1.0));
        assert_eq!(l_infinity(&a, &b), Some(1.0));
        assert_eq!(hellinger(&a, &b), Some(1.0));
        assert!((jensen_shannon(&a, &b).unwrap() - std::f64::consts::LN_2).abs() < 1e-12);
        assert!(psi(&a, &b).unwrap().is_finite());
    }

    proptest! {
        #![proptest_config(crate::seeded())]

        #[test]
        fn distances_are_symmetric_bounded_and_ordered(
            cells in prop::collection::vec((0u64..500, 0u64..500), 1..30)
        ) {
            let (a, b): (Vec<u64>, Vec<u64>) = cells.into_iter().unzip();
            prop_assume!(a.iter().sum::<u64>() > 0 && b.iter().sum::<u64>() > 0);
            for distance in [total_variation, l_infinity, hellinger, jensen_shannon, psi] {
                let (there, back) = (distance(&a, &b).unwrap(), distance(&b, &a).unwrap());
                prop_assert!((there - back).abs() < 1e-12 && there >= 0.0);
                prop_assert!(distance(&a, &a).unwrap() < 1e-12);
            }
            let (tv, h) = (total_variation(&a, &b).unwrap(), hellinger(&a, &b).unwrap());
            prop_assert!(l_infinity(&a, &b).unwrap() <= tv + 1e-12 && tv <= 1.0 + 1e-12);
            // Le Cam: H² ≤ TV ≤ √2·H.
            prop_assert!(h * h <= tv + 1e-12 && tv <= std::f64::consts::SQRT_2 * h + 1e-12);
            prop_assert!(kolmogorov_smirnov(&a, &b).unwrap().statistic <= tv + 1e-12);
        }
    }
}

//! Two raw samples against each other: exact, for audits and for data that fits into memory.
//!
//! Sort each side once ([`Sorted`]), walk over both once ([`Pooled`]), and ask for as many tests as are wanted:
//!
//! ```
//! use gyre_stats::drift::samples::{Pooled, Sorted};
//!
//! let (reference, current) = (Sorted::new(&[0.1, 0.4, 0.5, 0.9]), Sorted::new(&[0.6, 1.1, 1.2, 1.4, f64::NAN]));
//! let pooled = Pooled::new(&reference, &current).expect("both have values");
//! let test = pooled.kolmogorov_smirnov();
//! assert_eq!((test.statistic, test.location, test.sign), (0.75, 0.5, 1));
//! assert!((test.p_value() - 0.228_571_428_571).abs() < 1e-9);
//! ```
//!
//! | test | sees | without drift, ties included |
//! | --- | --- | --- |
//! | [Kolmogorov–Smirnov](Pooled::kolmogorov_smirnov) | one wide gap | keeps its level; conservative with ties |
//! | [Cramér–von Mises](Pooled::cramer_von_mises) | small gaps that last | keeps its level by `p_value`, not by scipy's with ties |
//! | [Anderson–Darling](Pooled::anderson_darling) | the same, and the tails | keeps its level by `p_value` |
//! | [Mann–Whitney](Pooled::mann_whitney) | a shift, of any shape | keeps its level |
//! | [Welch](welch()) | another mean | keeps its level where the variance is finite |
//! | [Brown–Forsythe](brown_forsythe()) | another spread | keeps its level where the variance is finite |
//! | [`shift`](shift()) | how far, with an interval | holds the distance more often than it says |
//!
//! NaN is a missing value and takes no part (compare missing rates apart); infinities are ordered like any other value where
//! only order counts, and left out where magnitudes do.

mod cumulants;
mod distribution_functions;
mod kolmogorov;
mod lattice;
mod limits;
mod location;
mod pooled;
mod shift;
mod smirnov;
mod sorted;

pub use distribution_functions::{AndersonDarling, CramerVonMises, EXACT_SQUARES_UP_TO, Ties};
pub use location::{BrownForsythe, MannWhitney, Welch, brown_forsythe, welch};
pub use pooled::Pooled;
pub use shift::{Shift, shift};
pub use smirnov::{EXACT_UP_TO, Smirnov};
pub use sorted::Sorted;

use super::KolmogorovSmirnov;

/// Two-sample Kolmogorov–Smirnov test with the exact statistic; `None` when either sample is empty.
#[must_use]
pub fn kolmogorov_smirnov(reference: &[f64], current: &[f64]) -> Option<KolmogorovSmirnov> {
    let test = Pooled::new(&Sorted::new(reference), &Sorted::new(current))?.kolmogorov_smirnov();
    Some(KolmogorovSmirnov { statistic: test.statistic, p_value: test.p_limit() })
}

/// Wasserstein-1 (earth mover's) distance in the unit of the values; `None` when either sample is empty or has
/// infinities, where it is not finite.
#[must_use]
pub fn wasserstein(reference: &[f64], current: &[f64]) -> Option<f64> {
    let (reference, current) = (Sorted::new(reference), Sorted::new(current));
    if reference.infinite() + current.infinite() > 0 {
        return None;
    }
    Pooled::new(&reference, &current)?.wasserstein()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn undefined_is_none() {
        assert_eq!(kolmogorov_smirnov(&[], &[1.0]), None);
        assert_eq!(kolmogorov_smirnov(&[f64::NAN], &[1.0]), None);
        assert_eq!(wasserstein(&[1.0], &[f64::INFINITY]), None);
        let infinite = Pooled::new(&Sorted::new(&[f64::INFINITY]), &Sorted::new(&[1.0])).unwrap();
        assert_eq!((infinite.wasserstein(), infinite.energy_distance()), (None, None));
        assert_eq!((infinite.mann_whitney(), infinite.kolmogorov_smirnov_of_finite()), (None, None));
        assert_eq!(infinite.kolmogorov_smirnov().statistic, 1.0);
    }

    #[test]
    fn infinities_are_ordered() {
        let found = kolmogorov_smirnov(&[f64::NEG_INFINITY, 0.0], &[0.0, f64::INFINITY]).unwrap();
        assert_eq!(found.statistic, 0.5);
    }

    fn any_number() -> impl Strategy<Value = f64> {
        let special =
            [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN, 5e-324, -0.0, 0.0, 1.0];
        prop_oneof![prop::sample::select(special.to_vec()), -3.0..3.0_f64, -1e300..1e300_f64]
    }

    proptest! {
        #![proptest_config(crate::seeded())]

        #[test]
        fn whatever_comes_is_tested_or_undefined(
            a in prop::collection::vec(any_number(), 0..14),
            b in prop::collection::vec(any_number(), 0..14),
        ) {
            let (a, b) = (Sorted::new(&a), Sorted::new(&b));
            let Some(pooled) = Pooled::new(&a, &b) else { return Ok(()) };
            let smirnov = pooled.kolmogorov_smirnov();
            let cramer = pooled.cramer_von_mises();
            let mut ps = vec![smirnov.p_limit(), smirnov.p_asymptotic(), smirnov.p_exact().unwrap()];
            ps.extend(cramer.into_iter().flat_map(|test| [test.p_value, test.p_asymptotic, test.p_exact.unwrap()]));
            let mut statistics = vec![smirnov.statistic];
            statistics.extend(cramer.map(|test| test.statistic));
            for ties in [Ties::Midrank, Ties::Right] {
                let test = pooled.anderson_darling(ties);
                ps.extend(test.into_iter().flat_map(|test| [test.p_value, test.p_table]));
                statistics.extend(test.map(|test| test.statistic));
            }
            let (welch, spread, ranks) = (welch(&a, &b), brown_forsythe(&a, &b), pooled.mann_whitney());
            ps.extend(welch.map(|test| test.p_value));
            ps.extend(spread.map(|test| test.p_value));
            ps.extend(ranks.map(|test| test.p_value));
            statistics.extend(welch.map(|test| test.statistic));
            statistics.extend(spread.map(|test| test.statistic));
            statistics.extend(pooled.wasserstein());
            statistics.extend(pooled.energy_distance());
            if let Some(shift) = shift(&a, &b, 2.0, 0.95) {
                let (low, high) = (shift.interval.lower, shift.interval.upper);
                statistics.extend([shift.distance, shift.by_luck, low, high]);
                prop_assert!(low <= shift.distance && shift.distance <= high);
            }
            prop_assert!(ps.iter().all(|p| (0.0..=1.0).contains(p)), "{ps:?}");
            prop_assert!(statistics.iter().all(|value| value.is_finite()), "{statistics:?}");

            // Which side is called the reference does not matter.
            let back = Pooled::new(&b, &a).unwrap();
            prop_assert!((back.kolmogorov_smirnov().statistic - smirnov.statistic).abs() < 1e-12);
            let both = cramer.zip(back.cramer_von_mises());
            prop_assert!(both.is_none_or(|(there, back)| (there.p_value - back.p_value).abs() < 1e-9));
        }
    }
}

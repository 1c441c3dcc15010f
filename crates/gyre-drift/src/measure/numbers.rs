//! Numbers: by rank, by size, and by bins. Both samples are sorted once; all else is looked up in them.

use gyre_stats::drift::bins::Edges;
use gyre_stats::drift::counts::Unit;
use gyre_stats::drift::samples::{Pooled, Sorted, Ties, shift};
use gyre_stats::drift::{MINIMUM_ROWS, chi_square, counts};
use gyre_stats::moments::Moments;
use gyre_stats::profile::Quartiles;
use gyre_stats::proportion::Proportion;

use super::{
    Bin, Distance, Kind, LEVEL, Measured, Side, Test, apart_by, beside, kullback_leibler, largest_change,
    likelihood_ratio, share,
};

/// Numbers with no more different values than this are tested as names.
const FEW_VALUES: usize = 10;
/// Bins in which numbers are drawn.
const DRAWN: usize = 24;
/// What is drawn of the reference and of the current sample: all but the outermost 0.5 %, which would squeeze the rest.
const DRAWN_FROM: f64 = 0.005;

/// Compares two columns of numbers, of each the missing rows and the values in any order.
pub(super) fn measure(kind: Kind, before: (u64, Vec<f64>), after: (u64, Vec<f64>)) -> Measured {
    let (missing_before, missing_after) = (before.0, after.0);
    let sorted = |values: Vec<f64>| Sorted::new(&values);
    let (before, after) = (sorted(before.1), sorted(after.1));
    let (mut tests, mut distances) = (Vec::new(), Vec::new());
    if before.present().min(after.present()) >= MINIMUM_ROWS
        && let Some(pooled) = Pooled::new(&before, &after)
    {
        tests = test(&before, &after, &pooled);
        distances = apart(&before, &after, &pooled);
    }
    let both = |of: fn(&Sorted) -> u64| (of(&before), of(&after));
    let present = both(Sorted::present);
    let endless = |name, of: fn(&Sorted) -> u64| {
        let rows = both(of);
        share(name, (rows.0, present.0), (rows.1, present.1))
    };
    let missing = ((missing_before, missing_before + present.0), (missing_after, missing_after + present.1));
    Measured {
        kind,
        reference: side(missing_before, &before),
        current: side(missing_after, &after),
        tests,
        distances,
        shares: vec![
            share("missing", missing.0, missing.1),
            endless("plus_infinite", Sorted::positive_infinite),
            endless("minus_infinite", Sorted::negative_infinite),
        ],
        bins: drawn(&before, &after),
    }
}

fn side(missing: u64, column: &Sorted) -> Side {
    let mut moments = Moments::new();
    column.finite().iter().for_each(|value| moments.push(*value));
    let quartiles = column.quantile(0.25).zip(column.quantile(0.5)).zip(column.quantile(0.75));
    Side {
        rows: missing + column.present(),
        missing,
        mean: moments.mean(),
        standard_deviation: moments.standard_deviation(),
        least: column.finite().first().copied(),
        greatest: column.finite().last().copied(),
        quartiles: quartiles.map(|((lower, median), upper)| Quartiles { lower, median, upper }),
        distinct: None,
    }
}

/// The yardstick of distances: the range of the middle half or, where that is one value, the standard deviation.
fn scale(column: &Sorted) -> Option<f64> {
    let usable = |scale: &f64| *scale > 0.0 && scale.is_finite();
    column.interquartile_range().filter(usable).or_else(|| column.population_deviation().filter(usable))
}

/// Rows in (edge, next edge], the first and the last bin open.
fn counted(ascending: &[f64], edges: &[f64]) -> Vec<u64> {
    let below = edges.iter().map(|edge| ascending.partition_point(|value| value <= edge));
    let mut counts = Vec::with_capacity(edges.len() + 1);
    let mut before = 0;
    for until in below.chain([ascending.len()]) {
        counts.push((until - before) as u64);
        before = until;
    }
    counts
}

/// The different values of both, when they are few.
fn few(before: &[f64], after: &[f64]) -> Option<Vec<f64>> {
    let mut values: Vec<f64> = Vec::new();
    for sample in [before, after] {
        let mut rest = sample;
        while let Some(first) = rest.first() {
            if let Err(at) = values.binary_search_by(|value| value.total_cmp(first)) {
                values.insert(at, *first);
            }
            if values.len() > FEW_VALUES {
                return None;
            }
            rest = &rest[rest.partition_point(|value| value <= first)..];
        }
    }
    Some(values)
}

/// Rows of each value on both sides, when the values are few and none is infinite.
fn counts_of_few(before: &Sorted, after: &Sorted) -> Option<(Vec<u64>, Vec<u64>)> {
    let values =
        few(before.finite(), after.finite()).filter(|_| before.infinite() + after.infinite() == 0)?;
    let (_, edges) = values.split_last()?;
    Some((counted(before.finite(), edges), counted(after.finite(), edges)))
}

fn test(before: &Sorted, after: &Sorted, pooled: &Pooled) -> Vec<Test> {
    let few = counts_of_few(before, after);
    let ratio = few.as_ref().and_then(|(old, new)| likelihood_ratio(old, new));
    let named = few.and_then(|(old, new)| {
        let found = chi_square(&old, &new)?;
        Some(("chi_square", found.statistic, found.p_value))
    });
    let rank = pooled.kolmogorov_smirnov();
    let by_rank = named.is_none();
    let beside = [
        pooled.anderson_darling(Ties::Midrank).map(|test| ("anderson_darling", test.statistic, test.p_value)),
        pooled.cramer_von_mises().map(|test| ("cramer_von_mises", test.statistic, test.p_value)),
    ];
    let all = [
        named.map(|test| (test, true)),
        Some((("kolmogorov_smirnov", rank.statistic, rank.p_asymptotic()), by_rank)),
    ];
    let all = all.into_iter().flatten().chain(beside.into_iter().flatten().map(|test| (test, false)));
    let all = all.map(|((name, statistic, p_value), decides)| Test { name, statistic, p_value, decides });
    all.chain(ratio).collect()
}

fn apart(before: &Sorted, after: &Sorted, pooled: &Pooled) -> Vec<Distance> {
    let moved = scale(before).and_then(|scale| shift(before, after, scale, LEVEL));
    let bins = Edges::deciles(before);
    let binned = bins.map(|edges| (edges.counts(before), edges.counts(after)));
    let of_bins =
        |measure: fn(&[u64], &[u64]) -> Option<f64>| binned.as_ref().and_then(|(a, b)| measure(a, b));
    let first = moved
        .map(|moved| Distance {
            name: "wasserstein_over_iqr",
            value: moved.distance,
            interval: Some(moved.interval),
            decides: true,
        })
        .or_else(|| without_yardstick(before, after, pooled));
    let told = [
        ("wasserstein", pooled.wasserstein()),
        ("energy", pooled.energy_distance()),
        ("jensen_shannon", of_bins(|a, b| counts::jensen_shannon_distance(a, b, Unit::Bits))),
        ("hellinger", of_bins(counts::hellinger)),
        ("kullback_leibler", of_bins(kullback_leibler)),
        ("psi", of_bins(counts::psi)),
    ];
    let told = told.into_iter().filter_map(|(name, value)| beside(name, value));
    first.into_iter().chain(told).collect()
}

/// How far apart samples are whose reference has no range: one value in all rows, or hardly a finite one. The largest change of
/// the share of a value where they are few, otherwise of the share of rows up to a value (Kolmogorov–Smirnov's D).
fn without_yardstick(before: &Sorted, after: &Sorted, pooled: &Pooled) -> Option<Distance> {
    if let Some((old, new)) = counts_of_few(before, after) {
        return largest_change("l_infinity_value", &old, &new);
    }
    let apart = pooled.kolmogorov_smirnov();
    let up_to = |sample: &Sorted| {
        let finite = sample.finite().partition_point(|value| *value <= apart.location) as u64;
        let ends = sample.negative_infinite()
            + if apart.location == f64::INFINITY { sample.positive_infinite() } else { 0 };
        Proportion::new(finite + ends, sample.present())
    };
    Some(Distance {
        name: "kolmogorov_smirnov",
        value: apart.statistic,
        interval: apart_by(up_to(before), up_to(after)),
        decides: true,
    })
}

/// Both samples over bins of one width, or over their values where these are few.
fn drawn(before: &Sorted, after: &Sorted) -> Vec<Bin> {
    let named = |names: Vec<String>, edges: &[f64]| {
        let both = counted(before.finite(), edges).into_iter().zip(counted(after.finite(), edges));
        let bin = |(name, (reference, current))| Bin { name, reference, current };
        names.into_iter().zip(both).map(bin).collect()
    };
    if let Some(values) = few(before.finite(), after.finite()) {
        let edges = values.split_last().map_or(&[][..], |(_, edges)| edges);
        return named(values.iter().map(f64::to_string).collect(), edges);
    }
    let ends = |share| before.quantile(share).into_iter().chain(after.quantile(share));
    let (Some(from), Some(to)) = (ends(DRAWN_FROM).reduce(f64::min), ends(1.0 - DRAWN_FROM).reduce(f64::max))
    else {
        return Vec::new();
    };
    let width = (to - from) / DRAWN as f64;
    let edges: Vec<f64> = (1..DRAWN).map(|at| from + width * at as f64).collect();
    let name = |at: usize| {
        format!("{} to {}", short(from + width * at as f64), short(from + width * (at + 1) as f64))
    };
    named((0..DRAWN).map(name).collect(), &edges)
}

/// A number as one would say it: four digits.
fn short(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let digits = 3 - value.abs().log10().floor() as i32;
    if (-3..=9).contains(&digits) {
        let text = format!("{value:.*}", usize::try_from(digits).unwrap_or(0));
        let is_fraction = text.contains('.');
        return if is_fraction { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text };
    }
    format!("{value:.3e}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_end_with_their_edge_and_numbers_are_said_in_four_digits() {
        assert_eq!(counted(&[1.0, 2.0, 4.0, 8.0], &[1.0, 4.0]), [1, 2, 1]);
        assert_eq!(
            [0.0, 12.345_67, -0.001_234_5, 1.5e12].map(short),
            ["0", "12.35", "-0.001234", "1.500e12"]
        );
    }

    #[test]
    fn a_column_of_few_values_is_tested_as_names_and_others_by_rank() {
        let few: Vec<f64> = (0..300).map(|row| f64::from(row % 3)).collect();
        let many: Vec<f64> = (0..300).map(f64::from).collect();
        let deciding = |measured: &Measured| {
            measured.tests.iter().filter(|test| test.decides).map(|test| test.name).collect::<Vec<_>>()
        };
        let same = measure(Kind::Numbers, (0, few.clone()), (0, few));
        assert_eq!((deciding(&same), same.bins.len()), (vec!["chi_square"], 3));
        let same = measure(Kind::Numbers, (3, many.clone()), (3, many));
        assert_eq!((deciding(&same), same.bins.len()), (vec!["kolmogorov_smirnov"], DRAWN));
        assert_eq!(same.p_value(), Some(1.0));
    }

    #[test]
    fn without_a_yardstick_shares_of_rows_say_how_far_values_are_apart() {
        let deciding = |before: Vec<f64>, after: Vec<f64>| {
            let found = measure(Kind::Numbers, (0, before), (0, after));
            let one = found.distances.into_iter().find(|distance| distance.decides).unwrap();
            (one.name, one.value, one.interval.unwrap())
        };
        let half =
            |other: f64| (0..200).map(|row| if row % 2 == 0 { 0.0 } else { other }).collect::<Vec<_>>();
        let (name, by, interval) = deciding(vec![0.0; 200], half(5.0));
        assert_eq!((name, by), ("l_infinity_value", 0.5));
        assert!(0.4 < interval.lower && interval.upper < 0.6, "{interval:?}");
        let spread: Vec<f64> = (0..200).map(|row| f64::from(row) - 99.5).collect();
        assert_eq!(
            (deciding(vec![-200.0; 200], spread).0, deciding(vec![7.0; 90], vec![7.0; 80]).1),
            ("kolmogorov_smirnov", 0.0)
        );
        let (name, by, _) = deciding(vec![f64::INFINITY; 50], vec![f64::NEG_INFINITY; 50]);
        assert_eq!((name, by), ("kolmogorov_smirnov", 1.0));
        let shares = measure(Kind::Numbers, (0, half(f64::INFINITY)), (0, half(f64::NEG_INFINITY))).shares;
        let changes: Vec<_> =
            shares.iter().map(|share| (share.change.reference, share.change.current)).collect();
        assert_eq!(changes[1..], [(Some(0.5), Some(0.0)), (Some(0.0), Some(0.5))], "{shares:?}");
    }

    #[test]
    fn odd_columns_are_defined() {
        for (before, after) in [
            (vec![], vec![]),
            (vec![1.0], vec![]),
            (vec![f64::INFINITY; 50], vec![f64::NEG_INFINITY; 50]),
            (vec![3.5; 50], vec![3.5; 40]),
            (vec![-0.0; 50], vec![0.0; 50]),
            (vec![1e300; 40], vec![-1e300; 40]),
        ] {
            let found = measure(Kind::Numbers, (0, before), (2, after));
            assert!(found.p_value().is_none_or(|p| (0.0..=1.0).contains(&p)), "{found:?}");
            assert!(found.distances.iter().all(|distance| distance.value.is_finite()), "{found:?}");
        }
        let same = measure(Kind::Numbers, (0, vec![-0.0; 50]), (0, vec![0.0; 50]));
        assert_eq!(same.p_value(), Some(1.0));
    }
}

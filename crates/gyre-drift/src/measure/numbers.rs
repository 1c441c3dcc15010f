//! Numbers: by rank, by size, and by bins. Both samples are sorted once; all else is looked up in them.

use gyre_stats::drift::{MINIMUM_ROWS, chi_square, counts, samples};
use gyre_stats::moments::Moments;
use gyre_stats::profile::Quartiles;

use super::{Bin, Distance, Kind, Measured, Side, Test, share};

/// Numbers with no more different values than this are tested as names.
const FEW_VALUES: usize = 10;
/// Bins of the reference's quantiles, in which the distances that need bins are taken.
const QUANTILES: usize = 10;
/// Bins in which numbers are drawn.
const DRAWN: usize = 24;
/// What is drawn of the reference and of the current sample: all but the outermost 0.5 %, which would squeeze the rest.
const DRAWN_FROM: f64 = 0.005;

/// Compares two columns of numbers, of each the missing rows and the values in any order.
pub(super) fn measure(kind: Kind, before: (u64, Vec<f64>), after: (u64, Vec<f64>)) -> Measured {
    let (before, after) = (Column::new(before.0, before.1), Column::new(after.0, after.1));
    let (mut tests, mut distances) = (Vec::new(), Vec::new());
    if (before.all.len().min(after.all.len()) as u64) >= MINIMUM_ROWS {
        tests.extend(test(&before.all, &after.all));
        distances.extend(apart(&before, &after));
    }
    let rows = |column: &Column| column.missing + column.all.len() as u64;
    let infinite = |column: &Column| (column.all.len() - column.finite().len()) as u64;
    let present = |column: &Column| column.all.len() as u64;
    Measured {
        kind,
        reference: before.side(),
        current: after.side(),
        tests,
        distances,
        shares: vec![
            share("missing", (before.missing, rows(&before)), (after.missing, rows(&after))),
            share("infinite", (infinite(&before), present(&before)), (infinite(&after), present(&after))),
        ],
        bins: drawn(before.finite(), after.finite()),
    }
}

struct Column {
    missing: u64,
    /// Ascending; infinities stand at the ends.
    all: Vec<f64>,
}

impl Column {
    fn new(missing: u64, mut all: Vec<f64>) -> Self {
        // −0 and 0 are one value, though not one bit pattern.
        all.iter_mut().for_each(|value| *value += 0.0);
        all.sort_unstable_by(f64::total_cmp);
        Self { missing, all }
    }

    fn finite(&self) -> &[f64] {
        let from = self.all.partition_point(|value| *value == f64::NEG_INFINITY);
        let until = self.all.partition_point(|value| *value < f64::INFINITY);
        self.all.get(from..until).unwrap_or_default()
    }

    fn side(&self) -> Side {
        let finite = self.finite();
        let mut moments = Moments::new();
        finite.iter().for_each(|value| moments.push(*value));
        let quartile = |share| quantile(finite, share);
        let quartiles = quartile(0.25).zip(quartile(0.5)).zip(quartile(0.75));
        Side {
            rows: self.missing + self.all.len() as u64,
            missing: self.missing,
            mean: moments.mean(),
            standard_deviation: moments.standard_deviation(),
            least: finite.first().copied(),
            greatest: finite.last().copied(),
            quartiles: quartiles.map(|((lower, median), upper)| Quartiles { lower, median, upper }),
            distinct: None,
        }
    }

    /// The yardstick of distances: the range of the middle half or, where that is one value, the standard deviation.
    fn scale(&self) -> Option<f64> {
        let side = self.side();
        let range = side.quartiles.map(|quartiles| quartiles.upper - quartiles.lower);
        let usable = |scale: &f64| *scale > 0.0 && scale.is_finite();
        range.filter(usable).or_else(|| side.standard_deviation.filter(usable))
    }
}

/// Linear interpolation ("type 7") in an ascending sample.
fn quantile(ascending: &[f64], share: f64) -> Option<f64> {
    let at = share * ascending.len().checked_sub(1)? as f64;
    let (low, high) = (*ascending.get(at.floor() as usize)?, *ascending.get(at.ceil() as usize)?);
    Some(low + (high - low) * at.fract())
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

fn test(before: &[f64], after: &[f64]) -> Vec<Test> {
    let rank = samples::kolmogorov_smirnov(before, after);
    let rank = rank.map(|found| ("kolmogorov_smirnov", found.statistic, found.p_value));
    let named = few(before, after).and_then(|values| {
        let edges = values.split_last().map_or(&[][..], |(_, edges)| edges);
        let found = chi_square(&counted(before, edges), &counted(after, edges))?;
        Some(("chi_square", found.statistic, found.p_value))
    });
    let decided_by_names = named.is_some();
    let all = named.map(|test| (test, true)).into_iter().chain(rank.map(|test| (test, !decided_by_names)));
    all.map(|((name, statistic, p_value), decides)| Test { name, statistic, p_value, decides }).collect()
}

fn apart(before: &Column, after: &Column) -> Vec<Distance> {
    let moved = samples::wasserstein(before.finite(), after.finite());
    let scaled = moved.zip(before.scale()).map(|(moved, scale)| moved / scale);
    let mut edges: Vec<f64> =
        (1..QUANTILES).filter_map(|at| quantile(before.finite(), at as f64 / QUANTILES as f64)).collect();
    edges.dedup();
    let (old, new) = (counted(&before.all, &edges), counted(&after.all, &edges));
    let base_2 = |nats: f64| (nats / std::f64::consts::LN_2).sqrt();
    [
        ("wasserstein_over_iqr", scaled, true),
        ("wasserstein", moved, false),
        ("jensen_shannon", counts::jensen_shannon(&old, &new).map(base_2), false),
        ("psi", counts::psi(&old, &new), false),
    ]
    .into_iter()
    .filter_map(|(name, value, decides)| Some(Distance { name, value: value?, decides }))
    .collect()
}

/// Both samples over bins of one width, or over their values where these are few.
fn drawn(before: &[f64], after: &[f64]) -> Vec<Bin> {
    let named = |names: Vec<String>, edges: &[f64]| {
        let both = counted(before, edges).into_iter().zip(counted(after, edges));
        let bin = |(name, (reference, current))| Bin { name, reference, current };
        names.into_iter().zip(both).map(bin).collect()
    };
    if let Some(values) = few(before, after) {
        let edges = values.split_last().map_or(&[][..], |(_, edges)| edges);
        return named(values.iter().map(f64::to_string).collect(), edges);
    }
    let ends = |share| quantile(before, share).into_iter().chain(quantile(after, share));
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
    fn quantiles_and_bins_are_those_of_the_definitions() {
        let ascending = [1.0, 2.0, 4.0, 8.0];
        assert_eq!((quantile(&ascending, 0.5), quantile(&ascending, 0.25)), (Some(3.0), Some(1.75)));
        assert_eq!(quantile(&[], 0.5), None);
        assert_eq!(counted(&ascending, &[1.0, 4.0]), [1, 2, 1]);
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

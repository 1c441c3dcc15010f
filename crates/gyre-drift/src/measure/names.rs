//! Names: by their counts.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use gyre_stats::drift::{MINIMUM_ROWS, ShareChange, counts, names, unseen};

use super::{
    Bin, Kind, LEVEL, Measured, Share, Side, Test, beside, kullback_leibler, largest_change,
    likelihood_ratio, share,
};
use crate::sample::Names;

/// Names that are shown one by one.
const SHOWN: usize = 12;

/// Compares two columns of names, of each the missing rows and the counts.
pub(super) fn measure(before: (u64, &Names), after: (u64, &Names)) -> Measured {
    let ((missing_before, before), (missing_after, after)) = (before, after);
    let all: BTreeSet<&str> = before.iter().chain(after.iter()).map(|(name, _)| name).collect();
    let of = |names: &Names| all.iter().map(|name| names.count(name)).collect::<Vec<u64>>();
    let (old, new) = (of(before), of(after));
    let enough = before.rows().min(after.rows()) >= MINIMUM_ROWS;
    let told = [
        beside("total_variation", counts::total_variation(&old, &new)),
        beside("hellinger", counts::hellinger(&old, &new)),
        beside("jensen_shannon", counts::jensen_shannon_debiased(&old, &new).map(distance)),
        beside("kullback_leibler", kullback_leibler(&old, &new)),
        beside("psi", counts::psi(&old, &new)),
    ];
    let told = told.into_iter().flatten();
    let distances = largest_change("l_infinity", &old, &new).into_iter().chain(told).filter(|_| enough);
    let ratio = likelihood_ratio(&old, &new).filter(|_| enough);
    Measured {
        kind: Kind::Categories,
        reference: side(missing_before, before),
        current: side(missing_after, after),
        tests: tests(&old, &new).into_iter().filter(|_| enough).chain(ratio).collect(),
        distances: distances.collect(),
        shares: vec![
            share(
                "missing",
                (missing_before, missing_before + before.rows()),
                (missing_after, missing_after + after.rows()),
            ),
            unseen_share(before, after),
        ],
        bins: drawn(&all, &old, &new),
    }
}

/// The chi-square, and where names are too rare for it, what they show one by one; then both together decide.
fn tests(old: &[u64], new: &[u64]) -> Vec<Test> {
    let test = |name, (statistic, p_value): (f64, f64), decides| Test { name, statistic, p_value, decides };
    // What is one name on both sides has not changed, although there is nothing to test.
    if old.len() == 1 {
        return vec![test("chi_square", (0.0, 1.0), true)];
    }
    let Some(found) = names(old, new, (0, 0)) else { return Vec::new() };
    let all =
        found.chi_square.map(|all| test("chi_square", (all.statistic, all.p_value), found.rare.is_none()));
    let rare = found.rare.map(|p| test("fisher_rare", (found.change, p), false));
    let both = rare.map(|_| test("names", (found.change, found.p_value), true));
    [all, rare, both].into_iter().flatten().collect()
}

/// Rows whose name the reference does not have, against the share of them that any other sample would show by luck. Only more of
/// them are news: that names became rarer is for the other tests to see.
fn unseen_share(before: &Names, after: &Names) -> Share {
    let new: u64 = after.iter().filter(|(name, _)| before.count(name) == 0).map(|(_, rows)| rows).sum();
    let found = unseen(before.iter().map(|(_, rows)| rows), new, after.rows(), LEVEL);
    let enough = before.rows().min(after.rows()) >= MINIMUM_ROWS;
    // Without any on either side nothing is tested.
    let tested = found.filter(|found| enough && found.found.max(found.expected) > 0.0);
    Share {
        name: "unseen",
        change: ShareChange {
            reference: found.map(|found| found.expected),
            current: found.map(|found| found.found),
            p_value: tested.map(|found| found.p_value),
        },
        interval: found.map(|found| found.interval),
    }
}

fn distance(nats: f64) -> f64 {
    (nats / std::f64::consts::LN_2).sqrt()
}

fn side(missing: u64, names: &Names) -> Side {
    Side { rows: missing + names.rows(), missing, distinct: Some(names.distinct() as u64), ..Side::default() }
}

/// The names that hold most of both, then all others together.
fn drawn(all: &BTreeSet<&str>, old: &[u64], new: &[u64]) -> Vec<Bin> {
    let (before, after) = (old.iter().sum::<u64>().max(1) as f64, new.iter().sum::<u64>().max(1) as f64);
    let bin = |(name, (reference, current)): (&&str, (&u64, &u64))| Bin {
        name: (*name).to_owned(),
        reference: *reference,
        current: *current,
    };
    let mut bins: Vec<Bin> = all.iter().zip(old.iter().zip(new)).map(bin).collect();
    let weight = |bin: &Bin| ((bin.reference as f64 / before + bin.current as f64 / after) * 1e9) as u64;
    bins.sort_by_cached_key(|bin| Reverse(weight(bin)));
    if bins.len() > SHOWN {
        let rest = bins.split_off(SHOWN - 1);
        bins.push(Bin {
            name: format!("{} others", rest.len()),
            reference: rest.iter().map(|bin| bin.reference).sum(),
            current: rest.iter().map(|bin| bin.current).sum(),
        });
    }
    bins
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(counts: &[(&str, u64)]) -> Names {
        let mut names = Names::default();
        counts.iter().for_each(|(name, rows)| names.add(name, *rows));
        names
    }

    #[test]
    fn a_name_that_is_new_and_one_that_grows_are_found() {
        let before = names(&[("a", 500), ("b", 300), ("c", 200)]);
        let after = names(&[("a", 440), ("b", 300), ("c", 200), ("d", 60)]);
        let found = measure((0, &before), (10, &after));
        assert!(
            found.tests[0].p_value < 1e-9 && (found.distances[0].value - 0.06).abs() < 1e-12,
            "{found:?}"
        );
        let told = |name: &str| found.distances.iter().find(|distance| distance.name == name).unwrap().value;
        // √(1 − Σ √(p·q)), by hand.
        let overlap = (0.5_f64 * 0.44).sqrt() + 0.3 + 0.2;
        assert!((told("hellinger") - (1.0 - overlap).sqrt()).abs() < 1e-9);
        assert!(told("kullback_leibler") > 0.0 && told("kullback_leibler") < told("psi"));
        let ratio = &found.tests[1];
        assert!(ratio.name == "likelihood_ratio" && !ratio.decides && ratio.p_value < 1e-9, "{ratio:?}");
        let unseen = found.shares[1];
        assert_eq!((unseen.change.reference, unseen.change.current), (Some(0.0), Some(0.06)));
        assert!(unseen.change.p_value.unwrap() < 1e-9 && found.shares[0].change.p_value.unwrap() < 0.01);
        assert_eq!(found.bins.iter().map(|bin| &*bin.name).collect::<Vec<_>>(), ["a", "b", "c", "d"]);
    }

    #[test]
    fn a_rare_name_that_fills_a_small_window_is_found() {
        let before = names(&[("ok", 700_000), ("late", 299_800), ("lost", 200)]);
        let found = measure((0, &before), (0, &names(&[("ok", 660), ("late", 280), ("lost", 60)])));
        let decides = found.tests.iter().filter(|test| test.decides).collect::<Vec<_>>();
        assert!(decides.len() == 1 && decides[0].name == "names" && decides[0].p_value < 1e-20, "{found:?}");
        assert!((found.distances[0].value - 0.0598).abs() < 1e-4, "{found:?}");
        let calm = measure((0, &before), (0, &names(&[("ok", 701), ("late", 298), ("lost", 1)])));
        assert!(calm.p_value().unwrap() > 0.5, "{calm:?}");
    }

    #[test]
    fn rare_names_that_come_and_go_are_no_news() {
        let before: Vec<(String, u64)> = (0..400).map(|at| (format!("n{at}"), 1 + at % 3)).collect();
        let after: Vec<(String, u64)> = (200..600).map(|at| (format!("n{at}"), 1 + at % 3)).collect();
        let of = |counts: &[(String, u64)]| {
            names(&counts.iter().map(|(name, rows)| (name.as_str(), *rows)).collect::<Vec<_>>())
        };
        let found = measure((0, &of(&before)), (0, &of(&after)));
        assert_eq!(found.bins.len(), SHOWN);
        assert_eq!(found.bins.iter().map(|bin| bin.current).sum::<u64>(), of(&after).rows());
    }
    #[test]
    fn fewer_new_names_than_rare_ones_are_no_news_and_few_rows_are_none() {
        let rare: Vec<(String, u64)> = (0..30).map(|at| (format!("rare{at}"), 1)).collect();
        let mut counts: Vec<(&str, u64)> = rare.iter().map(|(name, rows)| (name.as_str(), *rows)).collect();
        counts.push(("usual", 270));
        let unseen =
            |after: &[(&str, u64)]| measure((0, &names(&counts)), (0, &names(after))).shares[1].change;
        let fewer = unseen(&[("usual", 29_500), ("new", 500)]);
        assert_eq!((fewer.reference, fewer.p_value), (Some(0.1), Some(1.0)));
        assert!(unseen(&[("usual", 20_000), ("new", 10_000)]).p_value.unwrap() < 1e-4);
        assert_eq!(unseen(&[("new", 20)]).p_value, None);
    }
}

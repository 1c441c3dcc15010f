//! How often does each test call drift where there is none? Simulated with fixed seeds.
//!
//! A test at 5 % shall reject about one time in twenty: more makes false alarms, fewer waste data. Tests of counts that
//! cannot reach every level exactly (exact Kolmogorov–Smirnov, Fisher, Yates) may reject less, and are only held to not
//! rejecting more. The intervals beside the tests shall hold the truth as often as they say.
#![allow(clippy::unwrap_used)]

use gyre_stats::{
    drift::{
        chi_square,
        counts::{jensen_shannon, jensen_shannon_interval},
        homogeneity, names,
        rows::{Distances, Matrix},
        samples::{self, Pooled, Sorted, Ties},
        two_proportion_z,
    },
    proportion::{Proportion, fisher_exact_p},
};

/// SplitMix64 (Steele, Lea & Flood 2014).
struct Random(u64);

impl Random {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Box & Muller 1958.
    fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.uniform()).ln()).sqrt() * (2.0 * std::f64::consts::PI * self.uniform()).cos()
    }

    fn normals(&mut self, count: usize) -> Vec<f64> {
        (0..count).map(|_| self.normal()).collect()
    }

    /// Counts of `rows` draws from `shares`.
    fn counts(&mut self, rows: usize, shares: &[f64]) -> Vec<u64> {
        let mut counts = vec![0; shares.len()];
        for _ in 0..rows {
            let mut left = self.uniform();
            let drawn = shares.iter().position(|share| {
                left -= share;
                left < 0.0
            });
            counts[drawn.unwrap_or(shares.len() - 1)] += 1;
        }
        counts
    }
}

/// P-values of one test over many windows without drift.
struct Windows {
    name: &'static str,
    p_values: Vec<f64>,
}

impl Windows {
    fn of<const TESTS: usize>(
        names: [&'static str; TESTS],
        trials: u64,
        mut window: impl FnMut(&mut Random) -> [f64; TESTS],
    ) -> Vec<Self> {
        let mut all: Vec<Self> = names.map(|name| Self { name, p_values: Vec::new() }).into();
        for trial in 0..trials {
            let drawn = window(&mut Random(trial * 7919 + 1));
            all.iter_mut().zip(drawn).for_each(|(test, p)| test.p_values.push(p));
        }
        all
    }

    fn rejected(&self, alpha: f64) -> f64 {
        self.p_values.iter().filter(|p| **p <= alpha).count() as f64 / self.p_values.len() as f64
    }

    /// Two standard errors of a share of `alpha`.
    fn luck(&self, alpha: f64) -> f64 {
        2.0 * (alpha * (1.0 - alpha) / self.p_values.len() as f64).sqrt()
    }

    #[track_caller]
    fn at_most_nominal(&self) {
        for alpha in [0.05, 0.01] {
            let share = self.rejected(alpha);
            println!("{} at {alpha}: {share:.4}", self.name);
            assert!(share <= 1.2 * alpha + self.luck(alpha), "{} at {alpha}: {share}", self.name);
        }
    }

    #[track_caller]
    fn nominal(&self) {
        self.at_most_nominal();
        for alpha in [0.05, 0.01] {
            let share = self.rejected(alpha);
            assert!(share >= 0.8 * alpha - self.luck(alpha), "{} at {alpha}: {share}", self.name);
        }
    }
}

#[test]
fn tests_of_samples_keep_their_level() {
    let names = [
        "Kolmogorov–Smirnov, asymptotic",
        "Cramér–von Mises",
        "Anderson–Darling",
        "Anderson–Darling, table",
        "Mann–Whitney",
        "Welch",
        "Brown–Forsythe",
    ];
    for test in Windows::of(names, 2000, |random| {
        let (a, b) = (Sorted::new(&random.normals(211)), Sorted::new(&random.normals(173)));
        let pooled = Pooled::new(&a, &b).unwrap();
        let anderson_darling = pooled.anderson_darling(Ties::Midrank).unwrap();
        [
            pooled.kolmogorov_smirnov().p_asymptotic(),
            pooled.cramer_von_mises().unwrap().p_value,
            anderson_darling.p_value,
            anderson_darling.p_table,
            pooled.mann_whitney().unwrap().p_value,
            samples::welch(&a, &b).unwrap().p_value,
            samples::brown_forsythe(&a, &b).unwrap().p_value,
        ]
    }) {
        test.nominal();
    }
}

#[test]
fn exact_tests_never_exceed_their_level() {
    let names = ["Kolmogorov–Smirnov, exact", "the same with ties", "Cramér–von Mises, exact"];
    for test in Windows::of(names, 2000, |random| {
        let (a, b) = (random.normals(97), random.normals(103));
        let exact = |a: &[f64], b: &[f64]| {
            Pooled::new(&Sorted::new(a), &Sorted::new(b)).unwrap().kolmogorov_smirnov().p_exact().unwrap()
        };
        let rounded = |values: &[f64]| values.iter().map(|value| (2.0 * value).round()).collect::<Vec<_>>();
        let few = Pooled::new(&Sorted::new(&a[..8]), &Sorted::new(&b[..9])).unwrap();
        let squares = few.cramer_von_mises().unwrap().p_exact.unwrap();
        [exact(&a, &b), exact(&rounded(&a), &rounded(&b)), squares]
    }) {
        test.at_most_nominal();
    }
}

#[test]
fn tests_of_whole_numbers_keep_their_level() {
    tied_samples(|z| (3.0 * z).round());
}

#[test]
fn tests_of_a_frequent_value_keep_their_level() {
    tied_samples(|z| (2.0 * z).max(0.0).ceil());
}

#[test]
fn tests_of_two_values_keep_their_level() {
    tied_samples(|z| f64::from(u8::from(z > 0.8)));
}

fn tied_samples(column: fn(f64) -> f64) {
    let names =
        ["Cramér–von Mises", "Anderson–Darling, midrank", "Anderson–Darling, right", "Mann–Whitney", "Welch"];
    for test in Windows::of(names, 2000, |random| {
        let a = Sorted::new(&random.normals(300).into_iter().map(column).collect::<Vec<_>>());
        let b = Sorted::new(&random.normals(220).into_iter().map(column).collect::<Vec<_>>());
        let pooled = Pooled::new(&a, &b).unwrap();
        [
            pooled.cramer_von_mises().unwrap().p_value,
            pooled.anderson_darling(Ties::Midrank).unwrap().p_value,
            pooled.anderson_darling(Ties::Right).unwrap().p_value,
            pooled.mann_whitney().unwrap().p_value,
            samples::welch(&a, &b).unwrap().p_value,
        ]
    }) {
        test.nominal();
    }
}

#[test]
fn tests_of_categories_keep_their_level() {
    let names = ["chi-square", "chi-square, pooled", "G"];
    for test in Windows::of(names, 2000, |random| {
        let shares = [0.4, 0.25, 0.15, 0.1, 0.06, 0.04];
        let (a, b) = (random.counts(500, &shares), random.counts(400, &shares));
        let table = homogeneity(&a, &b).unwrap();
        [table.pearson_p(), chi_square(&a, &b).unwrap().p_value, table.likelihood_ratio_p()]
    }) {
        test.nominal();
    }
}

/// Sixty names, most of which are too rare in the small sample for the chi-square.
#[test]
fn a_test_of_names_with_many_rare_ones_keeps_its_level() {
    let sum: f64 = (1..=60).map(|rank| 1.0 / f64::from(rank)).sum();
    let shares: Vec<f64> = (1..=60).map(|rank| 1.0 / f64::from(rank) / sum).collect();
    for test in Windows::of(["names"], 2000, |random| {
        let (a, b) = (random.counts(4_000, &shares), random.counts(200, &shares));
        let found = names(&a, &b, (0, 0)).unwrap();
        assert!(found.rare.is_some(), "{found:?}");
        [found.p_value]
    }) {
        test.nominal();
    }
}

#[test]
fn tests_of_two_shares_keep_their_level() {
    let mut tests = Windows::of(["z", "Yates", "Fisher"], 4000, |random| {
        let (a, b) = (random.counts(500, &[0.3, 0.7]), random.counts(437, &[0.3, 0.7]));
        let (p, q) = (Proportion::new(a[0], 500), Proportion::new(b[0], 437));
        let table = homogeneity(&a, &b).unwrap();
        [two_proportion_z(p, q).unwrap().p_value, table.yates_p().unwrap(), fisher_exact_p(p, q)]
    })
    .into_iter();
    tests.next().unwrap().nominal();
    tests.for_each(|test| test.at_most_nominal());
}

#[test]
fn permutation_tests_keep_their_level_and_find_what_columns_hide() {
    let pair = |random: &mut Random, together: f64| {
        let (x, y) = (random.normal(), random.normal());
        [x, together * x + (1.0 - together * together).sqrt() * y]
    };
    let rows = |random: &mut Random, together: f64| {
        Matrix::new((0..30).flat_map(|_| pair(random, together)).collect(), 2).unwrap()
    };
    let test = |random: &mut Random, before: f64, after: f64| {
        let distances = Distances::new(&rows(random, before), &rows(random, after)).unwrap();
        let gamma = distances.median_gamma().unwrap();
        [distances.mmd_test(gamma, 99, 5).p_value, distances.energy_test(99, 5).p_value]
    };
    for test in Windows::of(["MMD", "energy"], 400, |random| test(random, 0.7, 0.7)) {
        test.nominal();
    }
    // Each column keeps its distribution; only how they move together turns.
    for test in Windows::of(["MMD", "energy"], 40, |random| test(random, 0.9, -0.9)) {
        assert!(test.rejected(0.05) > 0.9, "{}: {}", test.name, test.rejected(0.05));
    }
}

#[test]
fn intervals_of_shifts_hold_the_truth() {
    // (shift, scale, Wasserstein-1 of N(0, 1) and N(shift, scale²))
    let half_normal = (2.0 / std::f64::consts::PI).sqrt();
    for (shift, scale, truth) in
        [(0.0, 1.0, 0.0), (0.1, 1.0, 0.1), (0.5, 1.0, 0.5), (0.0, 1.5, 0.5 * half_normal)]
    {
        let (mut held, mut apart, mut luck, mut width) = (0, 0.0, 0.0, 0.0);
        const TRIALS: u32 = 400;
        for trial in 0..TRIALS {
            let mut random = Random(u64::from(trial) + 99);
            let reference = Sorted::new(&random.normals(250));
            let current =
                Sorted::new(&random.normals(200).iter().map(|z| shift + scale * z).collect::<Vec<_>>());
            let found = samples::shift(&reference, &current, 1.0, 0.95).unwrap();
            held += u32::from((found.interval.lower..=found.interval.upper).contains(&truth));
            apart += found.distance / f64::from(TRIALS);
            luck += found.by_luck / f64::from(TRIALS);
            width += (found.interval.upper - found.interval.lower) / f64::from(TRIALS);
        }
        println!("W1 {truth:.3}: held {held} of {TRIALS}, mean {apart:.3}, luck {luck:.3}, width {width:.3}");
        assert!(f64::from(held) >= 0.94 * f64::from(TRIALS), "{truth}: {held} of {TRIALS}");
        // Without drift, what is seen is what luck shows.
        assert!(truth > 0.0 || (apart / luck - 1.0).abs() < 0.1, "{apart} {luck}");
    }
}

#[test]
fn intervals_of_divergences_hold_the_truth() {
    let before = [0.3, 0.25, 0.2, 0.15, 0.1];
    for after in [before, [0.32, 0.25, 0.2, 0.15, 0.08], [0.2, 0.2, 0.2, 0.2, 0.2], [0.1, 0.1, 0.2, 0.3, 0.3]]
    {
        let scaled =
            |shares: &[f64]| shares.iter().map(|share| (share * 1e9).round() as u64).collect::<Vec<_>>();
        let truth = jensen_shannon(&scaled(&before), &scaled(&after)).unwrap();
        const TRIALS: u32 = 1000;
        let mut held = 0;
        for trial in 0..TRIALS {
            let mut random = Random(u64::from(trial) + 7);
            let (a, b) = (random.counts(400, &before), random.counts(300, &after));
            let found = jensen_shannon_interval(&a, &b, 0.95).unwrap();
            held += u32::from((found.lower..=found.upper).contains(&truth));
        }
        println!("JS {truth:.5}: held {held} of {TRIALS}");
        assert!(f64::from(held) >= 0.92 * f64::from(TRIALS), "{truth}: {held} of {TRIALS}");
    }
}

//! How often the rule of alarms cries wolf, and how soon it cries when there is one.
//!
//!     cargo run --release -p gyre-monitor --example alarms -- [SEEDS] [WINDOWS]
//!
//! Fifty columns (normal, skewed, whole numbers, many zeros, ten of names of which two have a thousand) in windows of 1,000
//! rows, against a reference of 40 such windows. Nothing changes: rows are independent draws, or the windows differ as weeks
//! do (means move by 0.03 standard deviations, log-odds of names as much). Then one column moves by 0.25 standard
//! deviations, or one name gains 5 points.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use gyre_core::record::Route;
use gyre_core::spec::Metric;
use gyre_core::time::Period;
use gyre_core::{ModelName, Span, Timestamp, Version};
use gyre_monitor::persistence::Persistence;
use gyre_monitor::{Predictions, ReferenceProfile, Settings, Values, WindowInput, summarise};

const ROWS: usize = 1_000;
const REFERENCE: usize = 40;
const NUMBERS: usize = 40;
const NAMES: usize = 10;
/// Names of each column of names.
const CARDINALITY: [usize; NAMES] = [2, 3, 4, 6, 10, 20, 50, 200, 1_000, 1_000];

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Box and Muller, one of the two.
    fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.next()).ln()).sqrt() * (std::f64::consts::TAU * self.next()).cos()
    }
}

enum Column {
    Numbers(Vec<f64>),
    Names(Vec<Option<Arc<str>>>),
}

struct World {
    random: Random,
    jitter: f64,
    names: Vec<Vec<Arc<str>>>,
    /// Cumulated shares of each column's names.
    shares: Vec<Vec<f64>>,
}

impl World {
    fn new(seed: u64, jitter: f64) -> Self {
        let names = CARDINALITY.map(|k| (0..k).map(|at| format!("n{at}").into()).collect()).to_vec();
        let shares = CARDINALITY.map(|k| cumulated((1..=k).map(|rank| (rank as f64).powf(-1.1)))).to_vec();
        Self { random: Random(seed.wrapping_mul(0xD1B5_4A32_D192_ED03)), jitter, names, shares }
    }

    /// A window of every column; `shift` moves column 0 by so many standard deviations, `gain` is added to a name's share.
    fn window(&mut self, rows: usize, shift: f64, gain: f64) -> Vec<Column> {
        let mut columns = Vec::new();
        for column in 0..NUMBERS {
            let moved = self.jitter * self.random.normal() + if column == 0 { shift } else { 0.0 };
            let value = |random: &mut Random| {
                let z = random.normal() + moved;
                match column % 4 {
                    0 => z,
                    1 => z.exp(),
                    2 => (3.0 + 2.0 * z).round(),
                    _ if random.next() < 0.4 => 0.0,
                    _ => z * z,
                }
            };
            columns.push(Column::Numbers((0..rows).map(|_| value(&mut self.random)).collect()));
        }
        for column in 0..NAMES {
            let moved = self.jitter * self.random.normal();
            let gain = if column == 3 { gain } else { 0.0 };
            let first = self.shares[column][0];
            // The first name's log-odds move; the others share what is left.
            let odds = first / (1.0 - first) * moved.exp();
            let first_now = odds / (1.0 + odds) + gain;
            let name = |random: &mut Random| {
                let at = random.next();
                let at = if at < first_now {
                    0.0
                } else {
                    first + (at - first_now) / (1.0 - first_now) * (1.0 - first)
                };
                let index = self.shares[column].partition_point(|share| *share <= at);
                Some(Arc::clone(&self.names[column][index.min(self.names[column].len() - 1)]))
            };
            columns.push(Column::Names((0..rows).map(|_| name(&mut self.random)).collect()));
        }
        columns
    }
}

fn cumulated(weights: impl Iterator<Item = f64> + Clone) -> Vec<f64> {
    let all: f64 = weights.clone().sum();
    weights
        .scan(0.0, |sum, weight| {
            *sum += weight / all;
            Some(*sum)
        })
        .collect()
}

fn values<'a>(columns: &'a [Column]) -> Vec<(String, Values<'a>)> {
    let named = |(at, column): (usize, &'a Column)| {
        let values = match column {
            Column::Numbers(numbers) => Values::Numbers(numbers),
            Column::Names(names) => Values::Text(names),
        };
        (format!("c{at:02}"), values)
    };
    columns.iter().enumerate().map(named).collect()
}

fn profile(world: &mut World) -> ReferenceProfile {
    let mut all: Vec<Column> = Vec::new();
    for at in 0..REFERENCE {
        let window = world.window(ROWS, 0.0, 0.0);
        if at == 0 {
            all = window;
            continue;
        }
        for (all, more) in all.iter_mut().zip(window) {
            match (all, more) {
                (Column::Numbers(all), Column::Numbers(more)) => all.extend(more),
                (Column::Names(all), Column::Names(more)) => all.extend(more),
                _ => unreachable!("the columns are the same in every window"),
            }
        }
    }
    let columns = values(&all);
    let columns = || columns.iter().map(|(name, values)| (name.as_str(), *values));
    let prediction = Values::Numbers(&[]);
    let mut profile = ReferenceProfile::build(columns(), prediction, None);
    let order: Vec<usize> = (0..ROWS * REFERENCE).collect();
    profile.learn_variation(ROWS, (columns(), &order), (prediction, &[])).unwrap();
    profile
}

/// The columns that drifted in a window.
fn drifted(reference: &ReferenceProfile, columns: &[Column]) -> Vec<String> {
    let model: ModelName = "m".parse().unwrap();
    let columns = values(columns);
    let features: Vec<(&str, Values<'_>)> =
        columns.iter().map(|(name, values)| (name.as_str(), *values)).collect();
    let missing = vec![f64::NAN; ROWS];
    let input = WindowInput {
        model: &model,
        period: Period { from: Timestamp::default(), to: Timestamp::default() + Span::days(7) },
        champion: 1,
        times: &vec![Timestamp::default(); ROWS],
        versions: &vec![1 as Version; ROWS],
        routes: &vec![Route::Champion; ROWS],
        predictions: Predictions { outputs: Values::Numbers(&missing), scores: &[], classes: &[] },
        labels: Values::Numbers(&missing),
        features: &features,
        errors: 0,
        latencies_us: &[],
    };
    let settings =
        Settings { metric: Metric::Mae, drift_effect: 0.1, drift_share: 0.03, false_discovery_rate: 0.01 };
    let summary = summarise(&input, reference, &settings).unwrap();
    summary.drift.into_iter().filter(|drift| drift.drifted).map(|drift| drift.column).collect()
}

fn main() {
    let argument = |at: usize, default: usize| {
        std::env::args().nth(at).map_or(default, |text| text.parse().expect("a whole number"))
    };
    let (seeds, windows) = (argument(1, 20), argument(2, 1_000));
    for jitter in [0.0, 0.03, 0.06] {
        let (mut odd, mut alarms) = (0, 0);
        for seed in 0..seeds as u64 {
            let mut world = World::new(seed + 1, jitter);
            let reference = profile(&mut world);
            let mut persistence = Persistence::default();
            for _ in 0..windows {
                let found = drifted(&reference, &world.window(ROWS, 0.0, 0.0));
                odd += usize::from(!found.is_empty());
                alarms +=
                    usize::from(!persistence.window(found.iter().map(String::as_str)).raised.is_empty());
            }
        }
        let thousands = (seeds * windows) as f64 / 1_000.0;
        println!(
            "nothing changes, jitter {jitter}: {:.2} windows drifted and {:.2} alarms per 1,000 windows",
            odd as f64 / thousands,
            alarms as f64 / thousands
        );
        for (what, column, shift, gain) in [("0.25 sd", "c00", 0.25, 0.0), ("5 points", "c43", 0.0, 0.05)] {
            let mut found_by = [0; 4];
            for seed in 0..(10 * seeds) as u64 {
                let mut world = World::new(1_000 + seed, jitter);
                let reference = profile(&mut world);
                let mut persistence = Persistence::default();
                for count in &mut found_by {
                    let found = drifted(&reference, &world.window(ROWS, shift, gain));
                    persistence.window(found.iter().map(String::as_str));
                    *count += usize::from(persistence.in_alarm().any(|name| name == column));
                }
            }
            let share = found_by
                .map(|count| format!("{:.1} %", 100.0 * f64::from(count as u32) / (10 * seeds) as f64));
            println!("  moved by {what}: in alarm after 1, 2, 3, 4 windows: {}", share.join(", "));
        }
    }
}

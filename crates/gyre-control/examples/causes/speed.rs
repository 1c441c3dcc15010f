//! How long a window takes from its rows to what follows.

use std::time::Instant;

use gyre_core::record::Route;
use gyre_core::spec::Metric;
use gyre_core::time::Period;
use gyre_core::{ModelName, Span, Timestamp};
use gyre_monitor::{Predictions, ReferenceProfile, Seen, Settings, Values, WindowInput, diagnose, summarise};

use crate::world::Random;

const FEATURES: usize = 100;

/// Prints the time for `rows` rows of 100 columns of numbers: to the summary, and from it to the causes.
pub(crate) fn print(rows: usize) {
    let mut random = Random(1);
    let mut table = |rows: usize| -> Vec<Vec<f64>> {
        (0..FEATURES).map(|_| (0..rows).map(|_| random.normal()).collect()).collect()
    };
    let (training, window) = (table(20_000), table(rows));
    let names: Vec<String> = (0..FEATURES).map(|at| format!("c{at:02}")).collect();
    let columns = |table: &'_ [Vec<f64>]| -> Vec<(String, Vec<f64>)> {
        names.iter().cloned().zip(table.iter().cloned()).collect()
    };
    let (training, window) = (columns(&training), columns(&window));
    let features: Vec<(&str, Values<'_>)> =
        window.iter().map(|(name, values)| (name.as_str(), Values::Numbers(values))).collect();
    let trained: Vec<(&str, Values<'_>)> =
        training.iter().map(|(name, values)| (name.as_str(), Values::Numbers(values))).collect();
    let withheld = Values::Numbers(&training[0].1);
    let predictions = Predictions { outputs: withheld, scores: &[], classes: &[] };
    let mut profile = ReferenceProfile::build(trained.iter().copied(), withheld, None);
    profile.learn_mix(&trained, &predictions, withheld, &training[1].1).unwrap();
    let model: ModelName = "m".parse().unwrap();
    let period = Period { from: Timestamp::default(), to: Timestamp::default() + Span::days(7) };
    let step = Span::days(7).as_millis() / rows as i64;
    let times: Vec<Timestamp> = (0..rows as i64).map(|row| Timestamp::from_millis(row * step)).collect();
    let outputs = Values::Numbers(&window[0].1);
    let input = WindowInput {
        model: &model,
        period,
        champion: 1,
        times: &times,
        versions: &vec![1; rows],
        routes: &vec![Route::Champion; rows],
        predictions: Predictions { outputs, scores: &[], classes: &[] },
        labels: Values::Numbers(&window[1].1),
        features: &features,
        errors: 0,
        latencies_us: &vec![1_000; rows],
    };
    let settings =
        Settings { metric: Metric::Mae, drift_effect: 0.1, drift_share: 0.03, false_discovery_rate: 0.01 };
    let begun = Instant::now();
    let summary = summarise(&input, &profile, &settings).unwrap();
    let summarised = begun.elapsed();
    let begun = Instant::now();
    let seen = Seen::of(&summary, Some((1.0, 0.1)), &[]);
    let causes = diagnose(&[seen], 0.1).len();
    println!(
        "{rows} rows of {FEATURES} features: {:.1} ms to the summary, {:.2} ms from it to {causes} causes",
        summarised.as_secs_f64() * 1e3,
        begun.elapsed().as_secs_f64() * 1e3
    );
}

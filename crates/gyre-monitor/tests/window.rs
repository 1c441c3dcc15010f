//! A window of a model's life, summarised: what a person watching it would want to be told.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use gyre_core::fact::{Drift, WindowSummary};
use gyre_core::record::Route;
use gyre_core::spec::Metric;
use gyre_core::time::Period;
use gyre_core::{Entry, Fact, ModelName, Span, Timestamp, Version};
use gyre_monitor::{Predictions, ReferenceProfile, Settings, Values, WindowInput, summarise};

const SETTINGS: Settings =
    Settings { metric: Metric::Mae, drift_effect: 0.1, drift_share: 0.03, false_discovery_rate: 0.01 };

/// A small deterministic generator (SplitMix64), so that the tests need no seed from outside.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.next()).sum::<f64>() - 6.0
    }
}

/// Rows as the inference log gives them.
struct Rows {
    times: Vec<Timestamp>,
    versions: Vec<Version>,
    routes: Vec<Route>,
    outputs: Vec<f64>,
    labels: Vec<f64>,
    wind: Vec<f64>,
    carrier: Vec<Option<Arc<str>>>,
}

impl Rows {
    /// A week with `n` rows: wind is standard normal, carriers are AA and UA, errors are about 5.
    fn week(n: usize, seed: u64) -> Self {
        let mut random = Random(seed);
        let spacing = Span::days(7).as_millis() / (n as i64).max(1);
        let outputs: Vec<f64> = (0..n).map(|_| 150.0 + 40.0 * random.normal()).collect();
        Self {
            times: (0..n as i64).map(|row| Timestamp::from_millis(row * spacing)).collect(),
            versions: vec![2; n],
            routes: vec![Route::Champion; n],
            labels: outputs.iter().map(|output| output + 6.0 * random.normal()).collect(),
            outputs,
            wind: (0..n).map(|_| random.normal()).collect(),
            carrier: (0..n).map(|_| Some(if random.next() < 0.6 { "AA" } else { "UA" }.into())).collect(),
        }
    }

    fn profile(&self) -> ReferenceProfile {
        let columns = [("wind", Values::Numbers(&self.wind)), ("carrier", Values::Text(&self.carrier))];
        ReferenceProfile::build(columns, Values::Numbers(&self.outputs), None)
    }

    fn summary(&self, reference: &ReferenceProfile) -> WindowSummary {
        let model: ModelName = "air-time".parse().unwrap();
        let features = [("wind", Values::Numbers(&self.wind)), ("carrier", Values::Text(&self.carrier))];
        let input = WindowInput {
            model: &model,
            period: Period { from: Timestamp::default(), to: Timestamp::default() + Span::days(7) },
            champion: 2,
            times: &self.times,
            versions: &self.versions,
            routes: &self.routes,
            predictions: Predictions { outputs: Values::Numbers(&self.outputs), scores: &[], classes: &[] },
            labels: Values::Numbers(&self.labels),
            features: &features,
            errors: 3,
            latencies_us: &[],
        };
        summarise(&input, reference, &SETTINGS).unwrap()
    }
}

fn of<'a>(summary: &'a WindowSummary, column: &str) -> &'a Drift {
    summary.drift.iter().find(|drift| drift.column == column).unwrap()
}

fn drifted(summary: &WindowSummary) -> Vec<&str> {
    summary.drift.iter().filter(|drift| drift.drifted).map(|drift| drift.column.as_str()).collect()
}

#[test]
fn a_week_like_any_other_shows_no_drift_and_the_loss_that_came_true() {
    let reference = Rows::week(20_000, 1).profile();
    for seed in 2..22 {
        let summary = Rows::week(5_000, seed).summary(&reference);
        assert!(drifted(&summary).is_empty(), "seed {seed}: {:?}", summary.drift);
        assert_eq!((summary.predictions, summary.labels, summary.errors), (5_000, 5_000, 3));
        let realised = &summary.realised[0];
        assert_eq!((realised.version, realised.rows, realised.days), (2, 5_000, 7));
        // The mean absolute value of a normal with deviation 6 is 6·√(2/π) = 4.79.
        assert!((realised.loss - 4.79).abs() < 0.25, "{}", realised.loss);
        assert!(realised.standard_error.unwrap() < 0.2);
    }
}

#[test]
fn a_feature_that_moved_is_named_first_with_how_far() {
    let reference = Rows::week(20_000, 1).profile();
    let mut rows = Rows::week(5_000, 2);
    rows.wind.iter_mut().for_each(|wind| *wind += 0.7);
    let summary = rows.summary(&reference);
    assert_eq!(drifted(&summary), ["wind"]);
    let wind = &summary.drift[0];
    // A shift of 0.7 in interquartile ranges of a standard normal (1.349) is 0.52.
    assert!((wind.effect - 0.52).abs() < 0.05, "{wind:?}");
    assert_eq!((wind.column.as_str(), wind.statistic.as_str()), ("wind", "wasserstein_over_iqr"));
    assert!(wind.p < 1e-6);
}

#[test]
fn a_shift_beyond_luck_but_too_small_to_matter_is_no_drift() {
    let reference = Rows::week(200_000, 1).profile();
    let mut rows = Rows::week(200_000, 2);
    rows.wind.iter_mut().for_each(|wind| *wind += 0.05);
    let summary = rows.summary(&reference);
    assert!(of(&summary, "wind").p < 0.01 && !of(&summary, "wind").drifted);
}

#[test]
fn missing_values_and_unseen_categories_are_drift_too() {
    let reference = Rows::week(20_000, 1).profile();
    let mut rows = Rows::week(5_000, 2);
    rows.wind.iter_mut().step_by(4).for_each(|wind| *wind = f64::NAN);
    rows.carrier.iter_mut().step_by(2).for_each(|carrier| *carrier = Some("9E".into()));
    let summary = rows.summary(&reference);
    let (wind, carrier) = (of(&summary, "wind"), of(&summary, "carrier"));
    assert_eq!((wind.statistic.as_str(), wind.drifted), ("missing_share", true));
    assert!((wind.effect - 0.25).abs() < 1e-9);
    assert!(carrier.drifted && carrier.effect >= 0.5, "{carrier:?}");
}

#[test]
fn a_prediction_that_moved_is_seen_on_the_champions_own_rows_only() {
    let reference = Rows::week(20_000, 1).profile();
    let mut rows = Rows::week(6_000, 2);
    for row in (0..6_000).step_by(2) {
        rows.versions[row] = 1;
        rows.routes[row] = Route::Pinned;
        rows.outputs[row] += 100.0;
        rows.wind[row] = 9.0;
    }
    let summary = rows.summary(&reference);
    assert!(drifted(&summary).is_empty(), "{:?}", summary.drift);
    let losses: Vec<_> = summary.realised.iter().map(|of| (of.version, of.rows, of.loss > 50.0)).collect();
    assert_eq!(losses, [(1, 3_000, true), (2, 3_000, false)]);
    rows.outputs.iter_mut().skip(1).step_by(2).for_each(|output| *output += 30.0);
    assert_eq!(drifted(&rows.summary(&reference)), ["(prediction)"]);
}

#[test]
fn rows_without_labels_have_no_loss_and_few_rows_no_verdict() {
    let reference = Rows::week(20_000, 1).profile();
    let mut rows = Rows::week(20, 2);
    rows.labels[..5].fill(f64::NAN);
    rows.wind.iter_mut().for_each(|wind| *wind += 3.0);
    let summary = rows.summary(&reference);
    assert_eq!((summary.predictions, summary.labels, summary.realised[0].rows), (20, 15, 15));
    assert_eq!(summary.realised[0].standard_error, None);
    assert!(drifted(&summary).is_empty());
    assert!(summary.drift.iter().all(|drift| drift.statistic != "wasserstein_over_iqr"));
    let nothing = Rows::week(0, 2).summary(&reference);
    assert_eq!((nothing.predictions, nothing.realised.len(), nothing.drift.len()), (0, 0, 0));
}

#[test]
fn the_widest_table_still_fits_into_the_journal() {
    let n = 200;
    let rows = Rows::week(n, 3);
    let names: Vec<String> = (0..2_000).map(|i| format!("{i:04}-{}", "long-name-".repeat(20))).collect();
    let columns: Vec<(&str, Values<'_>)> =
        names.iter().map(|name| (name.as_str(), Values::Numbers(&rows.wind))).collect();
    let profile = ReferenceProfile::build(columns.iter().copied(), Values::Numbers(&rows.outputs), None);
    let model: ModelName = "wide".parse().unwrap();
    let input = WindowInput {
        model: &model,
        period: Period { from: Timestamp::default(), to: Timestamp::default() + Span::days(7) },
        champion: 2,
        times: &rows.times,
        versions: &rows.versions,
        routes: &rows.routes,
        predictions: Predictions { outputs: Values::Numbers(&rows.outputs), scores: &[], classes: &[] },
        labels: Values::Numbers(&rows.labels),
        features: &columns,
        errors: 0,
        latencies_us: &[],
    };
    let summary = summarise(&input, &profile, &SETTINGS).unwrap();
    assert!(summary.drift.iter().any(|drift| drift.column == "(prediction)"));
    assert!(summary.drift.len() > 50 && summary.drift.len() <= 100, "{}", summary.drift.len());
    let entry = Entry {
        seq: 1,
        at: Timestamp::default(),
        recorded: Timestamp::default(),
        actor: "monitor".into(),
        cause: None,
        key: None,
        origin: None,
        fact: Fact::WindowClosed(summary),
    };
    let text = serde_json::to_string(&entry).unwrap();
    assert!(text.len() < 64_000, "{} bytes", text.len());
    assert_eq!(serde_json::from_str::<Entry>(&text).unwrap(), entry);
}

#[test]
fn a_column_of_another_kind_or_length_is_named() {
    let rows = Rows::week(50, 1);
    let model: ModelName = "air-time".parse().unwrap();
    let attempt = |features: &[(&str, Values<'_>)]| {
        let input = WindowInput {
            model: &model,
            period: Period { from: Timestamp::default(), to: Timestamp::default() + Span::days(7) },
            champion: 2,
            times: &rows.times,
            versions: &rows.versions,
            routes: &rows.routes,
            predictions: Predictions { outputs: Values::Numbers(&rows.outputs), scores: &[], classes: &[] },
            labels: Values::Numbers(&rows.labels),
            features,
            errors: 0,
            latencies_us: &[],
        };
        summarise(&input, &rows.profile(), &SETTINGS)
    };
    // Callers may send what they like: that is a finding, and the other columns are watched as before.
    let summary =
        attempt(&[("wind", Values::Text(&rows.carrier)), ("carrier", Values::Text(&rows.carrier))]).unwrap();
    assert_eq!(summary.quality[0].words, "`wind` holds text, not numbers, in 100 % of the rows");
    assert_eq!(of(&summary, "carrier").column, "carrier");
    let short = attempt(&[("wind", Values::Numbers(&rows.wind[..3]))]).unwrap_err().to_string();
    assert_eq!(short, "column `wind` has 3 rows, expected 50 as in the others");
}

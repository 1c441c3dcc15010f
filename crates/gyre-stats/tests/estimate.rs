//! What estimates promise, held against simulated windows whose labels are known: how often the truth lies in the interval,
//! what is followed, and what is not seen.
#![allow(clippy::unwrap_used)]

use gyre_stats::{
    estimate::{BinaryEstimates, BinaryRows, Calibration, Expected, Hindsight, binary},
    performance::{BinaryStats, auc},
};

/// SplitMix64 (Steele et al. 2014).
struct Random(u64);

impl Random {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Nearly normal: a sum of twelve uniforms.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }
}

struct Rows {
    scores: Vec<f64>,
    decisions: Vec<bool>,
    labels: Vec<bool>,
}

fn logistic(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

/// Rows with inputs around `centre`, labels by `truth`, and a model that is too sure of itself by `boast`.
fn rows(random: &mut Random, n: usize, centre: f64, truth: impl Fn(f64) -> f64, boast: f64) -> Rows {
    let inputs: Vec<f64> = (0..n).map(|_| centre + 1.5 * random.normal()).collect();
    let labels = inputs.iter().map(|z| random.uniform() < truth(*z)).collect();
    let scores: Vec<f64> = inputs.iter().map(|z| logistic(boast * z)).collect();
    let decisions = scores.iter().map(|score| *score >= 0.5).collect();
    Rows { scores, decisions, labels }
}

fn estimate(calibration: &Calibration, rows: &Rows) -> BinaryEstimates {
    let rows = BinaryRows { scores: &rows.scores, decisions: &rows.decisions, weights: None };
    binary(calibration, rows).unwrap()
}

fn calibration(reference: &Rows) -> Calibration {
    Calibration::of_probabilities(&reference.scores, &reference.labels, None).unwrap()
}

/// Name, expectation and truth of metrics.
fn held_against_truth(found: &BinaryEstimates, rows: &Rows) -> [(&'static str, Expected, f64); 5] {
    let mut stats = BinaryStats::new(0.5);
    rows.scores.iter().zip(&rows.labels).for_each(|(score, label)| stats.push(*score, *label));
    [
        ("accuracy", found.accuracy.unwrap(), stats.accuracy().unwrap().value),
        ("f1", found.f1.unwrap(), stats.f1().unwrap().value),
        ("roc_auc", found.roc_auc.unwrap(), auc(&rows.scores, &rows.labels).unwrap().unwrap().value),
        ("log_loss", found.log_loss.unwrap(), stats.log_loss().unwrap().value),
        ("brier", found.brier.unwrap(), stats.brier().unwrap().value),
    ]
}

/// Records over many windows, each with a reference of its own.
fn records(seed: u64, centre: f64, boast: f64) -> Vec<(&'static str, Hindsight)> {
    let mut random = Random(seed);
    let mut records: Vec<(&str, Hindsight)> = Vec::new();
    for _ in 0..300 {
        let reference = rows(&mut random, 600, 0.0, logistic, boast);
        let window = rows(&mut random, 250, centre, logistic, boast);
        let found = estimate(&calibration(&reference), &window);
        for (place, (name, expected, truth)) in held_against_truth(&found, &window).into_iter().enumerate() {
            if place == records.len() {
                records.push((name, Hindsight::new()));
            }
            records[place].1.push(&expected, truth, 0.9);
        }
    }
    records
}

#[test]
fn the_truth_lies_in_the_interval_as_often_as_it_says() {
    for (name, record) in records(1, 0.0, 1.0) {
        let coverage = record.coverage().value().unwrap();
        // 300 windows know a share of 0.9 to ± 0.017; three of those.
        assert!((0.85..=0.95).contains(&coverage), "{name}: {coverage} of intervals at 0.9 held the truth");
        assert_eq!(record.windows(), 300);
    }
}

#[test]
fn a_window_of_harder_rows_is_followed_by_a_model_that_boasts() {
    let mut random = Random(2);
    let reference = rows(&mut random, 20_000, 0.0, logistic, 2.0);
    let harder = rows(&mut random, 20_000, 1.0, logistic, 2.0);
    let calibration = calibration(&reference);
    assert!(calibration.is_applied());
    let before = held_against_truth(&estimate(&calibration, &reference), &reference);
    let found = held_against_truth(&estimate(&calibration, &harder), &harder);
    for ((name, expected, truth), (_, _, earlier)) in found.into_iter().zip(before) {
        let (off, moved) = ((expected.value - truth).abs(), (earlier - truth).abs());
        assert!(off < 0.01, "{name}: {} expected, {truth} came true", expected.value);
        assert!(off < 0.5 * moved || moved < 0.01, "{name}: off by {off}, moved by {moved}");
    }
}

/// The blindness that the module's documentation states: labels change their meaning, scores do not, and the estimate stays.
/// Only the record of what came true shows it.
#[test]
fn concept_drift_is_not_seen_before_labels_arrive() {
    let mut random = Random(3);
    let reference = rows(&mut random, 10_000, 0.0, logistic, 1.0);
    let drifted = rows(&mut random, 10_000, 0.0, |z| logistic(-0.2 * z), 1.0);
    let calibration = calibration(&reference);
    let accuracy = |rows: &Rows| held_against_truth(&estimate(&calibration, rows), rows)[0];
    let ((_, before, _), (_, expected, truth)) = (accuracy(&reference), accuracy(&drifted));
    assert!((expected.value - before.value).abs() < 0.02, "{} {}", expected.value, before.value);
    let interval = expected.interval(0.99);
    assert!(truth < interval.lower - 0.1, "{truth} in {interval:?}");
    let mut record = Hindsight::new();
    record.push(&expected, truth, 0.99);
    assert!(record.bias().unwrap() > 0.1);
    assert_eq!(record.coverage().value(), Some(0.0));
}

#[test]
fn a_calibration_is_the_same_after_it_was_stored() {
    let mut random = Random(4);
    let calibration = calibration(&rows(&mut random, 500, 0.0, logistic, 2.0));
    let text = serde_json::to_string(&calibration).unwrap();
    assert_eq!(serde_json::from_str::<Calibration>(&text).unwrap(), calibration);
    let found = estimate(&calibration, &rows(&mut random, 0, 0.0, logistic, 2.0));
    let text = serde_json::to_string(&found).unwrap();
    assert_eq!(serde_json::from_str::<BinaryEstimates>(&text).unwrap(), found);
}

//! What learners add, on simulated rows whose labels are known.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use gyre_estimate::{DirectLoss, DirectOptions, EstimateError, Pape, PapeOptions};
use gyre_runtime::{Column, Table};
use gyre_stats::estimate::{BinaryRows, Calibration, MulticlassRows, Undefined, binary};
use gyre_stats::performance::BinaryStats;

/// SplitMix64 (Steele et al. 2014).
struct Random(u64);

impl Random {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Applicants of two groups. The model does not know the group and gives both the same score, but it means less in the second.
struct Applicants {
    features: Table,
    scores: Vec<f64>,
    decisions: Vec<bool>,
    labels: Vec<bool>,
}

fn applicants(random: &mut Random, n: usize, share_of_second: f64) -> Applicants {
    let mut groups: Vec<Option<Arc<str>>> = Vec::new();
    let (mut scores, mut labels) = (Vec::new(), Vec::new());
    for _ in 0..n {
        let second = random.uniform() < share_of_second;
        let score = random.uniform();
        groups.push(Some(if second { "second" } else { "first" }.into()));
        labels.push(random.uniform() < if second { 0.3 + 0.3 * score } else { score });
        scores.push(score);
    }
    let decisions = scores.iter().map(|score| *score >= 0.5).collect();
    let features = Table::new([("group", Column::Text(groups))]).unwrap();
    Applicants { features, scores, decisions, labels }
}

fn window(of: &Applicants) -> BinaryRows<'_> {
    BinaryRows { scores: &of.scores, decisions: &of.decisions, weights: None }
}

fn quick() -> PapeOptions {
    PapeOptions { leaves: 4, ..PapeOptions::default() }
}

#[test]
fn a_shift_that_scores_do_not_show_is_followed_by_pape_only() {
    let mut random = Random(1);
    let reference = applicants(&mut random, 2000, 0.2);
    let shifted = applicants(&mut random, 1500, 0.9);
    let mut truth = BinaryStats::new(0.5);
    shifted.scores.iter().zip(&shifted.labels).for_each(|(score, label)| truth.push(*score, *label));
    let plain = Calibration::of_probabilities(&reference.scores, &reference.labels, None).unwrap();
    let plain = binary(&plain, window(&shifted)).unwrap();
    let pape = Pape::binary(&reference.features, &reference.scores, &reference.labels, quick()).unwrap();
    let adapted = pape.estimate_binary(&shifted.features, window(&shifted)).unwrap();
    let came_true = truth.accuracy().unwrap().value;
    let off = (plain.accuracy.unwrap().value - came_true).abs();
    let off_adapted = (adapted.estimates.accuracy.unwrap().value - came_true).abs();
    assert!(off > 0.08 && off_adapted < 0.4 * off, "plain off by {off}, PAPE by {off_adapted}");
    let interval = adapted.estimates.accuracy.unwrap().interval(0.99);
    assert!(interval.lower < came_true && came_true < interval.upper, "{came_true} in {interval:?}");
    assert!(plain.accuracy.unwrap().interval(0.99).lower > came_true, "the plain estimate does not see it");
    assert!(adapted.likeness.effective_rows < 1000.0, "{:?}", adapted.likeness);
}

#[test]
fn without_a_shift_the_reference_stays_as_it_is() {
    let mut random = Random(2);
    let reference = applicants(&mut random, 1500, 0.3);
    let alike = applicants(&mut random, 1500, 0.3);
    let pape = Pape::binary(&reference.features, &reference.scores, &reference.labels, quick()).unwrap();
    let adapted = pape.estimate_binary(&alike.features, window(&alike)).unwrap();
    assert!(adapted.likeness.effective_rows > 1200.0, "{:?}", adapted.likeness);
    let plain = Calibration::of_probabilities(&reference.scores, &reference.labels, None).unwrap();
    assert_eq!(adapted.share, 0.0);
    assert_eq!(adapted.estimates, binary(&plain, window(&alike)).unwrap());
}

#[test]
fn several_classes_are_adapted_too_and_a_stored_reference_answers_alike() {
    let mut random = Random(3);
    let reference = applicants(&mut random, 1200, 0.2);
    let shifted = applicants(&mut random, 1000, 0.9);
    let both =
        |of: &Applicants| of.scores.iter().flat_map(|score| [1.0 - score, *score]).collect::<Vec<f64>>();
    let numbers = |of: &[bool]| of.iter().map(|truth| usize::from(*truth)).collect::<Vec<usize>>();
    let labels = numbers(&reference.labels);
    let pape = Pape::multiclass(&reference.features, &both(&reference), &labels, 2, quick()).unwrap();
    let stored: Pape = serde_json::from_str(&serde_json::to_string(&pape).unwrap()).unwrap();
    assert_eq!(stored, pape);
    let (probabilities, decisions) = (both(&shifted), numbers(&shifted.decisions));
    let rows = MulticlassRows { probabilities: &probabilities, decisions: &decisions, weights: None };
    let found = stored.estimate_multiclass(&shifted.features, rows).unwrap();
    assert_eq!(found, pape.estimate_multiclass(&shifted.features, rows).unwrap());
    let right =
        shifted.decisions.iter().zip(&shifted.labels).filter(|(decision, label)| decision == label).count();
    let off = found.estimates.accuracy.unwrap().value - right as f64 / 1000.0;
    assert!(off.abs() < 0.05, "{off}");
    assert!(matches!(
        stored.estimate_binary(&shifted.features, window(&shifted)),
        Err(EstimateError::Task { .. })
    ));
}

/// Houses: the error of a prediction grows with the size, and is larger in one town.
struct Houses {
    features: Table,
    predictions: Vec<f64>,
    labels: Vec<f64>,
}

fn houses(random: &mut Random, n: usize, largest: f64, drift: f64) -> Houses {
    let (mut sizes, mut towns, mut labels) = (Vec::new(), Vec::<Option<Arc<str>>>::new(), Vec::new());
    for _ in 0..n {
        let size = 1.0 + (largest - 1.0) * random.uniform();
        let far = random.uniform() < 0.3;
        let scatter = size * if far { 2.0 } else { 1.0 };
        labels.push(10.0 * size + drift + scatter * (2.0 * random.uniform() - 1.0));
        sizes.push(if random.uniform() < 0.05 { f64::NAN } else { size });
        towns.push(Some(if far { "far" } else { "near" }.into()));
    }
    let predictions =
        labels.iter().zip(&sizes).map(|(label, size)| if size.is_nan() { *label } else { 10.0 * size });
    let predictions = predictions.collect();
    let features = Table::new([("size", Column::Numeric(sizes)), ("town", Column::Text(towns))]).unwrap();
    Houses { features, predictions, labels }
}

fn truth(of: &Houses) -> (f64, f64) {
    let errors = || of.predictions.iter().zip(&of.labels).map(|(p, label)| (p - label).abs());
    let n = of.labels.len() as f64;
    (errors().sum::<f64>() / n, (errors().map(|e| e * e).sum::<f64>() / n).sqrt())
}

fn small() -> DirectOptions {
    DirectOptions { rounds: 30, leaves: 8, ..DirectOptions::default() }
}

#[test]
fn losses_follow_the_inputs_and_not_the_concept() {
    let mut random = Random(4);
    let reference = houses(&mut random, 2500, 10.0, 0.0);
    let direct =
        DirectLoss::fit(&reference.features, &reference.predictions, &reference.labels, small()).unwrap();
    let direct: DirectLoss = serde_json::from_str(&serde_json::to_string(&direct).unwrap()).unwrap();

    let small_ones = houses(&mut random, 1000, 4.0, 0.0);
    let (mae, rmse) = truth(&small_ones);
    let found = direct.estimate(&small_ones.features, &small_ones.predictions).unwrap();
    for (name, expected, came_true, on_reference) in
        [("mae", found.mae, mae, truth(&reference).0), ("rmse", found.rmse, rmse, truth(&reference).1)]
    {
        let interval = expected.unwrap().interval(0.99);
        assert!(
            interval.lower < came_true && came_true < interval.upper,
            "{name} {came_true} in {interval:?}"
        );
        assert!(interval.upper < on_reference, "{name}: {interval:?} knows that small houses are easier");
    }

    let dearer = houses(&mut random, 1000, 10.0, 20.0);
    let found = direct.estimate(&dearer.features, &dearer.predictions).unwrap();
    assert!(found.mae.unwrap().interval(0.99).upper < 0.5 * truth(&dearer).0, "concept drift is not seen");
}

#[test]
fn rows_without_a_prediction_are_counted_and_left_out() {
    let mut random = Random(5);
    let mut reference = houses(&mut random, 300, 10.0, 0.0);
    reference.labels[3] = f64::NAN;
    let direct =
        DirectLoss::fit(&reference.features, &reference.predictions, &reference.labels, small()).unwrap();
    let mut later = houses(&mut random, 3, 10.0, 0.0);
    later.predictions[1] = f64::NAN;
    let found = direct.estimate(&later.features, &later.predictions).unwrap();
    assert_eq!((found.rows, found.skipped), (2, 1));
    assert!(direct.errors(&later.features, &later.predictions).unwrap()[1].is_nan());
    let none = direct.estimate(&later.features, &[f64::NAN; 3]).unwrap();
    assert_eq!((none.mae, none.rmse), (Err(Undefined::NoRows), Err(Undefined::NoRows)));
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut random = Random(6);
    let Houses { features, predictions, labels } = houses(&mut random, 300, 10.0, 0.0);
    let few = DirectLoss::fit(&features, &[f64::NAN; 300], &labels, small()).unwrap_err();
    assert_eq!(few.to_string(), "0 usable rows in the reference; at least 100 are needed");
    assert!(matches!(DirectLoss::fit(&features, &[1.0], &labels, small()), Err(EstimateError::Input(_))));
    let direct = DirectLoss::fit(&features, &predictions, &labels, small()).unwrap();
    let other = Table::new([("size", Column::Numeric(vec![1.0]))]).unwrap();
    let missing = direct.estimate(&other, &[1.0]).unwrap_err();
    assert_eq!(missing.to_string(), "feature \"town\" is missing");
    let reference = applicants(&mut random, 200, 0.2);
    let pape = Pape::binary(&reference.features, &reference.scores, &reference.labels, quick()).unwrap();
    let few = applicants(&mut random, 20, 0.2);
    let few = pape.estimate_binary(&few.features, window(&few)).unwrap_err();
    assert_eq!(few.to_string(), "20 usable rows in the window; at least 100 are needed");
    let wrong = r#"{"learner":"AAAA","absolute":null,"squared":null}"#;
    assert!(serde_json::from_str::<DirectLoss>(wrong).unwrap_err().to_string().contains("fit it again"));
}

//! Estimated performance against independent implementations: scikit-learn, formulas written out with numpy, and labels drawn
//! many times. `estimate_oracle.py` makes `estimate_oracle.json` and says which.
#![allow(clippy::unwrap_used)]

use gyre_stats::estimate::{
    BinaryEstimates, BinaryRows, Calibration, Expected, Isotonic, MulticlassCalibration, MulticlassRows,
    binary, expected_calibration_error, multiclass,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

fn cases(kind: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("estimate_oracle.json")).unwrap();
    let cases = all[kind].as_array().unwrap().clone();
    assert!(!cases.is_empty());
    cases
}

fn read<T: DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap()
}

#[track_caller]
fn close(what: &str, found: f64, expected: &Value, tolerance: f64) {
    let expected = expected.as_f64().unwrap();
    assert!(
        (found - expected).abs() <= tolerance * expected.abs().max(1e-3),
        "{what}: {found:e} is not {expected:e}"
    );
}

#[test]
fn isotonic_curves_equal_scikit_learn() {
    for case in cases("isotonic") {
        let weights: Option<Vec<f64>> = read(&case["weights"]);
        let (scores, labels): (Vec<f64>, Vec<f64>) = (read(&case["scores"]), read(&case["labels"]));
        let (curve, skipped) = Isotonic::fit(&scores, &labels, weights.as_deref()).unwrap();
        assert_eq!(skipped, 0);
        let at: Vec<f64> = read(&case["at"]);
        for (at, expected) in at.iter().zip(case["curve"].as_array().unwrap()) {
            let apart = (curve.at(*at) - expected.as_f64().unwrap()).abs();
            assert!(apart <= 1e-12, "{} at {at}: {apart:e} apart", case["name"]);
        }
    }
}

fn metrics(of: &BinaryEstimates) -> [(&'static str, Expected); 9] {
    [
        ("accuracy", of.accuracy),
        ("error_rate", of.error_rate),
        ("precision", of.precision),
        ("recall", of.recall),
        ("specificity", of.specificity),
        ("f1", of.f1),
        ("roc_auc", of.roc_auc),
        ("log_loss", of.log_loss),
        ("brier", of.brier),
    ]
    .map(|(name, metric)| (name, metric.unwrap()))
}

#[test]
fn expected_metrics_equal_their_formulas_and_scatter_as_drawn_labels_do() {
    for case in cases("binary") {
        let (scores, weights): (Vec<f64>, Vec<f64>) = (read(&case["scores"]), read(&case["weights"]));
        let decisions: Vec<bool> = read(&case["decisions"]);
        let rows = BinaryRows { scores: &scores, decisions: &decisions, weights: Some(&weights) };
        let (reference, labels): (Vec<f64>, Vec<bool>) =
            (read(&case["reference_scores"]), read(&case["reference_labels"]));
        let reference_weights: Vec<f64> = read(&case["reference_weights"]);
        let error =
            expected_calibration_error(&reference, &labels, Some(&reference_weights), 10).unwrap().unwrap();
        close("calibration error", error, &case["calibration_error_10"], 1e-9);
        let isotonic =
            Calibration::of_probabilities(&reference, &labels, Some(&reference_weights)).unwrap().always();
        for (name, calibration) in [("as_they_are", Calibration::trusting()), ("isotonic", isotonic)] {
            let found = binary(&calibration, rows).unwrap();
            for (metric, expected) in metrics(&found) {
                close(
                    &format!("{} {name} {metric}", case["name"]),
                    expected.value,
                    &case[name][metric],
                    1e-9,
                );
                if name == "isotonic" && !case["drawn"][metric].is_null() {
                    // 20,000 draws know a standard deviation to 0.5 %; the delta method is of first order.
                    close(metric, expected.sampling_error, &case["drawn"][metric], 0.03);
                }
            }
            let confusion = serde_json::to_value(found.confusion).unwrap();
            for (kind, weight) in confusion.as_object().unwrap() {
                close(kind, weight.as_f64().unwrap(), &case[name][kind], 1e-9);
            }
        }
    }
}

#[test]
fn expected_metrics_of_several_classes_equal_their_formulas_and_scatter_as_drawn_labels_do() {
    for case in cases("multiclass") {
        let (reference, probabilities): (Vec<f64>, Vec<f64>) =
            (read(&case["reference_probabilities"]), read(&case["probabilities"]));
        let (labels, decisions): (Vec<usize>, Vec<usize>) =
            (read(&case["reference_labels"]), read(&case["decisions"]));
        let calibration =
            MulticlassCalibration::fit(&reference, &labels, read(&case["classes"]), None).unwrap().always();
        let rows = MulticlassRows { probabilities: &probabilities, decisions: &decisions, weights: None };
        let found = multiclass(&calibration, rows).unwrap();
        assert_eq!(found.skipped, 0);
        for (metric, expected) in [
            ("accuracy", found.accuracy),
            ("macro_f1", found.macro_f1),
            ("macro_auc", found.macro_auc),
            ("log_loss", found.log_loss),
        ] {
            close(metric, expected.unwrap().value, &case[metric], 1e-9);
            close(metric, expected.unwrap().sampling_error, &case["drawn"][metric], 0.03);
        }
        let rate = (found.error_rate.unwrap().value, 1.0 - found.accuracy.unwrap().value);
        assert_eq!(rate.0, rate.1);
    }
}

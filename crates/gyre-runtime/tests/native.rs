//! Models in the libraries' own files, trained by the real libraries, give what the libraries give: the same classes, and
//! numbers to 1e-5 relative or 1e-6 absolute; missing values, unknown categories and values on thresholds included. So do
//! explanations, to 1e-4 of the largest part, since the libraries compute them in single precision.
#![allow(clippy::unwrap_used)]

#[path = "support/native.rs"]
mod native;

use gyre_runtime::{Explanation, Hints, LoadError, Scorer, Scores};
use native::{Answer, models, table, trained};

fn close(ours: f64, theirs: f64) -> bool {
    (ours - theirs).abs() <= 1e-6 + 1e-5 * theirs.abs()
}

fn differences(name: &str, bytes: &[u8], answer: &Answer) -> Vec<String> {
    let names: Vec<&str> = answer.columns.iter().map(|column| column.name.as_str()).collect();
    let scorer = match Scorer::load(bytes, &Hints { features: &names, classes: &[] }) {
        Ok(scorer) => scorer,
        Err(error) => return vec![format!("{name}: {error}")],
    };
    let rows = table(&answer.columns);
    let scores = match scorer.score(&rows) {
        Ok(scores) => scores,
        Err(error) => return vec![format!("{name}: {error}")],
    };
    let mut wrong = Vec::new();
    match (&scores, &answer.prediction, &answer.probabilities) {
        (Scores::Regression(ours), Some(theirs), None) => {
            assert_eq!(ours.len(), theirs.len(), "{name}");
            for (row, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
                if !close(*ours, theirs.unwrap_or(f64::NAN)) {
                    wrong.push(format!("{name} row {row}: {ours}, library {theirs:?}"));
                }
            }
        }
        (Scores::Classification { labels, classes, probabilities }, None, Some(theirs)) => {
            let expected = answer.classes.clone().unwrap();
            assert_eq!(classes.iter().map(ToString::to_string).collect::<Vec<_>>(), expected, "{name}");
            for (row, (ours, theirs)) in probabilities.chunks(classes.len()).zip(theirs).enumerate() {
                if !ours.iter().zip(theirs).all(|(a, b)| close(*a, *b)) {
                    wrong.push(format!("{name} row {row}: {ours:?}, library {theirs:?}"));
                }
                let label = &answer.labels.as_ref().unwrap()[row];
                // What the library's rounding alone decides is nobody's truth.
                let mut sorted = theirs.clone();
                sorted.sort_by(f64::total_cmp);
                let tie = sorted.len() > 1 && sorted[sorted.len() - 1] - sorted[sorted.len() - 2] < 1e-6;
                if *labels[row] != **label && !tie {
                    wrong.push(format!("{name} row {row}: class {}, library {label}", labels[row]));
                }
            }
        }
        other => wrong.push(format!("{name}: another kind of answer than the library's: {other:?}")),
    }
    if let Some(expected) = &answer.contributions {
        let background = answer.background.as_ref().map(|b| table(b));
        match scorer.explain(&rows, background.as_ref()) {
            Ok(explanation) => {
                wrong.extend(unexplained(name, &explanation, expected, answer.base.as_ref().unwrap()))
            }
            Err(error) => wrong.push(format!("{name}: {error}")),
        }
    }
    wrong.truncate(4);
    wrong
}

fn unexplained(name: &str, ours: &Explanation, theirs: &[Vec<Vec<f64>>], base: &[f64]) -> Vec<String> {
    let largest = theirs.iter().flatten().flatten().chain(base).fold(0.0f64, |m, x| m.max(x.abs()));
    let same = |a: f64, b: f64| (a - b).abs() <= 1e-4 * largest.max(1e-2);
    let mut wrong = Vec::new();
    if ours.base.len() != base.len() || !ours.base.iter().zip(base).all(|(a, b)| same(*a, *b)) {
        wrong.push(format!("{name}: base {:?}, library {base:?}", ours.base));
    }
    assert_eq!(ours.rows(), theirs.len(), "{name}");
    for (row, outputs) in theirs.iter().enumerate() {
        for (output, theirs) in outputs.iter().enumerate() {
            let ours = ours.of(row, output);
            if ours.len() != theirs.len() || !ours.iter().zip(theirs).all(|(a, b)| same(*a, *b)) {
                wrong.push(format!("{name} row {row} output {output}: parts {ours:?}, library {theirs:?}"));
            }
        }
    }
    wrong
}

fn every_model_of(library: &str, at_least: usize) {
    let folder = trained(library);
    let models = models(&folder);
    assert!(models.len() >= at_least, "only {} models", models.len());
    let wrong: Vec<String> =
        models.iter().flat_map(|(name, bytes, answer)| differences(name, bytes, answer)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Refused ones, each for a reason that it names.
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "refused") {
            let error =
                Scorer::load(&std::fs::read(&path).unwrap(), &Hints::default()).map(|_| ()).unwrap_err();
            assert!(matches!(error, LoadError::Unsupported { .. }), "{path:?}: {error}");
        }
    }
}

#[test]
fn xgboost_models_answer_as_xgboost() {
    every_model_of("xgboost", 60);
}

#[test]
fn lightgbm_models_answer_as_lightgbm() {
    every_model_of("lightgbm", 25);
}

#[test]
fn scikit_learn_models_answer_as_scikit_learn() {
    every_model_of("sklearn", 50);
}

//! Bias reports and the facts that gates take from them.

#![allow(clippy::unwrap_used)]

use gyre_core::Value;
use gyre_core::expr::Expression;
use gyre_govern::bias::{BiasError, BiasInput, BiasReport, examine, measured};
use gyre_govern::gates;
use gyre_stats::fairness::Options;
use serde_json::json;

/// Rows of (group, actual, predicted, how many).
fn table(rows: &[(&str, u8, u8, usize)]) -> [Vec<Value>; 3] {
    let mut columns = [Vec::new(), Vec::new(), Vec::new()];
    for (group, actual, predicted, count) in rows {
        for _ in 0..*count {
            columns[0].push(if group.is_empty() { Value::Missing } else { Value::Text((*group).into()) });
            columns[1].push(Value::Number(f64::from(*actual)));
            columns[2].push(Value::Number(f64::from(*predicted)));
        }
    }
    columns
}

fn report(rows: &[(&str, u8, u8, usize)]) -> BiasReport {
    let [groups, actual, predicted] = table(rows);
    let protected = [("SEX", groups.as_slice())];
    let input = BiasInput {
        protected: &protected,
        actual: &actual,
        predicted: &predicted,
        positive: None,
        threshold: None,
    };
    examine(&input, &Options::default()).unwrap()
}

/// Selected: 60 of 100 men, 45 of 100 women. True positives: 50 of 60 and 30 of 50; false: 10 of 40 and 15 of 50.
const UNFAIR: [(&str, u8, u8, usize); 8] = [
    ("m", 1, 1, 50),
    ("m", 1, 0, 10),
    ("m", 0, 1, 10),
    ("m", 0, 0, 30),
    ("f", 1, 1, 30),
    ("f", 1, 0, 20),
    ("f", 0, 1, 15),
    ("f", 0, 0, 35),
];

#[test]
fn gates_are_given_the_numbers_by_their_definitions() {
    let report = report(&UNFAIR);
    let facts = report.measured();
    let found = |name: &str| facts["SEX"][name].as_f64().unwrap();
    for (name, expected) in [
        ("disparate_impact", 0.75),
        ("four_fifths", 0.0),
        ("demographic_parity", 0.15),
        ("equal_opportunity", 50.0 / 60.0 - 0.6),
        ("equalized_odds", 50.0 / 60.0 - 0.6),
        ("smallest_group", 100.0),
    ] {
        assert!((found(name) - expected).abs() < 1e-12, "{name}: {}", found(name));
    }
    let measured = json!({"candidate": {"fairness": facts}});
    let gate = Expression::compile("candidate.fairness.SEX.disparate_impact >= 0.8").unwrap();
    let (passed, results) = gates::judge(&[gate], measured.as_object().unwrap(), true);
    assert!(!passed);
    assert_eq!(results[0].because, "candidate.fairness.SEX.disparate_impact = 0.75");
}

#[test]
fn columns_of_classes_give_the_same_facts() {
    let texts = |values: Vec<Value>| values.iter().map(Value::as_category).collect::<Vec<_>>();
    let [groups, actual, predicted] = table(&UNFAIR).map(texts);
    let facts = measured(&groups, &predicted, &actual, "1").unwrap();
    assert_eq!(facts, report(&UNFAIR).measured()["SEX"]);
    assert!(measured(&groups, &predicted, &actual, "yes").is_err());
}

#[test]
fn exactly_four_fifths_passes() {
    // 0.32 against 0.40: below 0.8 as floating-point numbers.
    let rows = [("a", 1, 1, 8), ("a", 0, 0, 17), ("b", 1, 1, 10), ("b", 0, 0, 15)];
    let rows: Vec<_> = rows.iter().map(|(group, y, p, n)| (*group, *y, *p, n * 10)).collect();
    assert_eq!(report(&rows).measured()["SEX"]["four_fifths"], json!(1.0));
}

#[test]
fn what_is_undefined_is_absent_and_a_gate_on_it_fails_by_name() {
    let report = report(&[("m", 0, 0, 50), ("f", 0, 0, 50)]);
    let facts = report.measured();
    assert!(
        facts["SEX"].get("disparate_impact").is_none() && facts["SEX"].get("equal_opportunity").is_none()
    );
    let measured = json!({"candidate": {"fairness": facts}});
    let gate = Expression::compile("candidate.fairness.SEX.equal_opportunity <= 0.1").unwrap();
    let (passed, results) = gates::judge(&[gate], measured.as_object().unwrap(), true);
    assert!(!passed && results[0].because.contains("equal_opportunity"), "{results:?}");
    assert!(report.to_string().contains("undefined"));
}

#[test]
fn attributes_are_examined_one_by_one_and_together() {
    // Each attribute alone is even; the bias is where they meet.
    let mut columns: [Vec<Value>; 4] = Default::default();
    for (sex, age, selected) in [("m", "old", 1), ("m", "young", 0), ("f", "old", 0), ("f", "young", 1)] {
        for row in 0..100 {
            columns[0].push(Value::Text(sex.into()));
            columns[1].push(Value::Text(age.into()));
            columns[2].push(Value::Number(f64::from(u8::from(row % 2 == 0))));
            columns[3].push(Value::Number(f64::from(u8::from((row % 10 < 8) == (selected == 1)))));
        }
    }
    let protected = [("sex", columns[0].as_slice()), ("age", columns[1].as_slice())];
    let input = BiasInput {
        protected: &protected,
        actual: &columns[2],
        predicted: &columns[3],
        positive: Some("1"),
        threshold: None,
    };
    let report = examine(&input, &Options::default()).unwrap();
    let parity: Vec<(&str, f64)> = report
        .attributes
        .iter()
        .map(|of| (of.attribute.as_str(), of.measured()["demographic_parity"]))
        .collect();
    assert_eq!(parity[0], ("sex", 0.0));
    assert_eq!(parity[1], ("age", 0.0));
    assert_eq!(parity[2].0, "sex × age");
    assert!((parity[2].1 - 0.6).abs() < 1e-12);
}

#[test]
fn the_report_reads_as_aligned_lines() {
    let mut rows = UNFAIR.to_vec();
    rows.push(("", 1, 1, 3));
    let text = report(&rows).to_string();
    for line in [
        "203 rows examined, 0 skipped; positive: 1",
        "  (missing) *  3     1.000 [0.439, 1.000]",
        "  m            100   0.600 [0.502, 0.691]",
        "  * fewer than 30 rows: not compared",
        "f against m: four-fifths rule fails: adverse impact",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    let again: BiasReport = serde_json::from_str(&serde_json::to_string(&report(&rows)).unwrap()).unwrap();
    assert_eq!(again.to_string(), text);
}

#[test]
fn wrong_input_is_named() {
    let [groups, actual, predicted] = table(&UNFAIR);
    let none =
        BiasInput { protected: &[], actual: &actual, predicted: &predicted, positive: None, threshold: None };
    assert_eq!(examine(&none, &Options::default()), Err(BiasError::NoAttribute));
    let short = [("SEX", &groups[..7])];
    let error = examine(&BiasInput { protected: &short, ..none }, &Options::default()).unwrap_err();
    assert_eq!(error.to_string(), "column `SEX` has 7 rows, expected 200 as in the label");
    let ids: Vec<Value> = (0..2_000).map(|row| Value::Number(f64::from(row))).collect();
    let ones = vec![Value::Number(1.0); 2_000];
    let protected = [("person_id", ids.as_slice())];
    let input = BiasInput { protected: &protected, actual: &ones, predicted: &ones, ..none };
    let error = examine(&input, &Options::default()).unwrap_err().to_string();
    assert!(error.contains("`person_id`") && error.contains("identifier"), "{error}");
}

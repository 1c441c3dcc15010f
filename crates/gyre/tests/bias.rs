//! `gyre bias`: numbers that can be checked by hand.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;

use support::gyre;

/// 100 men, 60 selected, and 100 women, 45 selected: ratio 0.75, below four fifths; difference 0.15. Of the 50 men with a
/// job 40 are selected, of the 50 women 35: equal opportunity 0.10. Of those without a job 20 and 10: 0.20.
fn scored(dir: &Path) {
    let mut text = "employed,predicted,score,SEX\n".to_owned();
    let cells = [("m", 40, 10, 20, 30), ("f", 35, 15, 10, 40)];
    for (sex, true_positive, false_negative, false_positive, true_negative) in cells {
        let rows =
            [(1, 1, true_positive), (1, 0, false_negative), (0, 1, false_positive), (0, 0, true_negative)];
        for (employed, predicted, count) in rows {
            let score = if predicted == 1 { 0.5 } else { 0.4 };
            text += &format!("{employed},{predicted},{score},{sex}\n").repeat(count);
        }
    }
    std::fs::write(dir.join("scored.csv"), text).unwrap();
}

const ASK: &str = "bias scored.csv --target employed --prediction predicted --protected SEX";

#[test]
fn the_rates_and_gaps_are_those_of_the_definitions() {
    let dir = tempfile::tempdir().unwrap();
    scored(dir.path());
    for ask in [ASK.to_owned(), ASK.replace("predicted", "score") + " --threshold 0.5"] {
        let report = gyre(dir.path(), &format!("{ask} --json")).done().json();
        let sex = &report["attributes"][0];
        let near = |value: &serde_json::Value, expected: f64| {
            let value = value["defined"]["value"].as_f64().unwrap();
            assert!((value - expected).abs() < 1e-12, "{value} is not {expected}");
        };
        assert_eq!(report["rows"], 200);
        near(&sex["groups"][0]["selection_rate"], 0.45);
        near(&sex["groups"][1]["selection_rate"], 0.60);
        near(&sex["demographic_parity"]["difference"], 0.15);
        near(&sex["equal_opportunity"]["difference"], 0.10);
        near(&sex["equalized_odds"]["difference"], 0.20);
        let impact = &sex["disparate_impact"][0];
        near(&impact["ratio"], 0.75);
        assert_eq!((&impact["group"], &impact["reference"]), (&"f".into(), &"m".into()));
        assert_eq!(impact["four_fifths"], "fail");
    }
}

#[test]
fn people_get_a_table_and_a_page() {
    let dir = tempfile::tempdir().unwrap();
    scored(dir.path());
    let said = gyre(dir.path(), &format!("{ASK} --html out/bias.html")).done().out;
    for words in
        ["200 rows examined", "0.750 [", "f against m: four-fifths rule fails", "report: out/bias.html"]
    {
        assert!(said.contains(words), "{words}: {said}");
    }
    let page = std::fs::read_to_string(dir.path().join("out/bias.html")).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("disparate impact on f"));
    let other = gyre(dir.path(), &format!("{ASK} --reference f --json")).done().json();
    assert_eq!(other["attributes"][0]["disparate_impact"][0]["reference"], "f");
}

#[test]
fn wrong_questions_are_wrong_input() {
    let dir = tempfile::tempdir().unwrap();
    scored(dir.path());
    for (ask, words) in [
        (ASK.replace("SEX", "SXE"), "there is no column `SXE`; did you mean `SEX`?"),
        (ASK.replace("predicted", "score"), "threshold"),
        (ASK.replace("scored.csv", "none.csv"), "none.csv: cannot read"),
        (format!("{ASK} --positive 2"), "expected the positive class `2` among them"),
        (format!("{ASK} --reference x"), "reference group `x` is absent"),
    ] {
        let said = gyre(dir.path(), &ask);
        assert_eq!(said.code, 2, "{ask}: {said:?}");
        assert!(said.err.contains(words), "{words}: {}", said.err);
    }
}

//! `gyre backtest`: a history in which one training is worth its cost.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;

use support::gyre;

/// 84 days of 10 rows: y = x until day 42, then y = −x.
fn history(dir: &Path) {
    let mut text = "x,y\n".to_owned();
    for row in 0..840 {
        let x = f64::from((row * 37) % 101);
        text += &format!("{x},{}\n", if row < 420 { x } else { -x });
    }
    std::fs::write(dir.join("history.csv"), text).unwrap();
}

const ASK: &str = "backtest --data history.csv --target y --task regression --metric mae --rows-per-day 10 \
                   --warm-up 28d --train-window 14d";

#[test]
fn every_policy_is_told_with_its_cost_and_the_oracle_pays_least() {
    let dir = tempfile::tempdir().unwrap();
    history(dir.path());
    let found = gyre(dir.path(), &format!("{ASK} --json")).done().json();
    let policies = found["policies"].as_array().unwrap();
    let of = |name: &str| policies.iter().find(|it| it["policy"] == name).unwrap();
    for policy in policies {
        for figure in ["loss", "retrains", "total_cost", "regret"] {
            assert!(policy[figure].is_number(), "{figure} of {policy}");
        }
        assert!(policy["regret"].as_f64().unwrap() >= 0.0, "{policy}");
    }
    assert_eq!((of("never")["retrains"].as_u64(), of("oracle")["regret"].as_f64()), (Some(0), Some(0.0)));
    assert!(of("gyre")["total_cost"].as_f64() < of("never")["total_cost"].as_f64());
    assert!(of("gyre")["retrains"].as_u64().unwrap() >= 1);
    assert!(dir.path().join(".gyre/backtest").is_dir());
}

#[test]
fn people_get_a_table_advice_and_a_page() {
    let dir = tempfile::tempdir().unwrap();
    history(dir.path());
    let said = gyre(dir.path(), &format!("{ASK} --policy never,gyre,oracle --html out.html")).done().out;
    for words in
        ["POLICY", "never", "gyre", "oracle", "a training costs 3", "features: x", "report: out.html"]
    {
        assert!(said.contains(words), "{words}: {said}");
    }
    let page = std::fs::read_to_string(dir.path().join("out.html")).unwrap();
    assert!(page.contains("<svg") && page.contains("Loss over time"));
}

#[test]
fn wrong_questions_are_answered_with_what_is_right() {
    let dir = tempfile::tempdir().unwrap();
    history(dir.path());
    for (ask, words) in [
        (ASK.replace("--target y", "--target Y"), "there is no column `Y`"),
        (ASK.replace("--rows-per-day 10", ""), "--rows-per-day"),
        (format!("{ASK} --policy sometimes"), "every:N"),
        (ASK.replace("--warm-up 28d", "--warm-up 80d"), "shorter --window or --warm-up"),
        ("backtest --data history.csv".to_owned(), "gyre.yaml"),
    ] {
        let done = gyre(dir.path(), &ask);
        assert_eq!(done.code, 2, "{ask}: {}", done.err);
        assert!(done.err.contains(words), "{ask}: {}", done.err);
    }
}

//! A public known answer: false-positive and false-negative rates of the COMPAS scores, as published by ProPublica (2016,
//! compas-analysis): 7,214 defendants, "high" being a decile of 5 or more.
#![allow(clippy::unwrap_used)]

use std::{env, fs, path::Path};

use gyre_stats::fairness::{ClassificationGroups, Options};

/// Needs `compas.csv` (ProPublica's `compas-scores-two-years.csv` reduced to the columns used) in `GYRE_DATA_DIR`.
#[test]
fn compas_error_rates_are_the_published_ones() {
    let Some(directory) = env::var_os("GYRE_DATA_DIR") else {
        println!("skipped: set GYRE_DATA_DIR to a directory with compas.csv");
        return;
    };
    let text = fs::read_to_string(Path::new(&directory).join("compas.csv")).unwrap();
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    let column = |name: &str| header.iter().position(|column| *column == name).unwrap();
    let (race, decile, outcome) = (column("race"), column("decile_score"), column("two_year_recid"));
    let mut groups = ClassificationGroups::new();
    for line in lines {
        let fields: Vec<&str> = line.split(',').collect();
        let high = fields[decile].parse::<u8>().unwrap() >= 5;
        groups.push(Some(fields[race]), high, fields[outcome] == "1").unwrap();
    }
    let report = groups.report(&Options::default()).unwrap();
    assert_eq!(report.groups.iter().map(|group| group.rows).sum::<u64>(), 7_214);
    for (name, false_positive, false_negative) in
        [("African-American", 0.4485, 0.2799), ("Caucasian", 0.2345, 0.4772)]
    {
        let group = report.groups.iter().find(|group| group.group == name).unwrap();
        assert!((group.false_positive_rate.value().unwrap() - false_positive).abs() < 5e-5, "{group:?}");
        assert!((group.false_negative_rate.value().unwrap() - false_negative).abs() < 5e-5, "{group:?}");
    }
}

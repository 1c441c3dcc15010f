//! `gyre profile`: what tables hold, for people, pages and programs; and profiles that merge.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;

use support::gyre;

/// Ages and trades of so many rows; every tenth age is missing.
fn table(dir: &Path, name: &str, rows: u32) {
    let mut text = "age,trade\n".to_owned();
    for row in 0..rows {
        let age = if row % 10 == 0 { String::new() } else { (20 + row * 37 % 50).to_string() };
        text += &format!("{age},{}\n", ["baker", "smith", "nurse"][row as usize % 3]);
    }
    std::fs::write(dir.join(name), text).unwrap();
}

#[test]
fn people_and_programs_hear_what_a_table_holds() {
    let dir = tempfile::tempdir().unwrap();
    table(dir.path(), "t.csv", 2_000);
    let said = gyre(dir.path(), "profile t.csv --html out/t.html").done().out;
    for words in
        ["age", "whole numbers", "10.0 %", "trade", "baker 33.", "2,000 rows, 2 columns", "report: out/"]
    {
        assert!(said.contains(words), "{words}: {said}");
    }
    let page = std::fs::read_to_string(dir.path().join("out/t.html")).unwrap();
    assert!(page.contains("<svg") && page.contains("nurse") && !page.contains("src=\"http"));
    let found = gyre(dir.path(), "profile t.csv --json --columns age").done().json();
    let age = &found["columns"][0];
    assert_eq!(
        (&age["type"], &age["missing"], &age["distinct"]["exact"]),
        (&"whole".into(), &200.into(), &true.into())
    );
    assert!(found["columns"][1].is_null());
    let wrong = gyre(dir.path(), "profile t.csv --columns ages");
    assert_eq!(wrong.code, 2);
}

#[test]
fn stored_profiles_merge_without_their_tables() {
    let dir = tempfile::tempdir().unwrap();
    for (name, rows) in [("monday", 1_000), ("tuesday", 500)] {
        table(dir.path(), "t.csv", rows);
        gyre(dir.path(), &format!("profile t.csv --output {name}.json")).done();
    }
    std::fs::remove_file(dir.path().join("t.csv")).unwrap();
    let said = gyre(dir.path(), "profile monday.json tuesday.json --output week.json").done().out;
    assert!(said.contains("1,500 rows, 2 columns") && said.contains("profile: week.json"), "{said}");
    let week = gyre(dir.path(), "profile week.json --json").done().json();
    assert_eq!((&week["rows"], &week["files"]), (&1_500.into(), &2.into()));
    assert_eq!(week["columns"][0]["missing"], 150);
    let text = std::fs::read_to_string(dir.path().join("week.json")).unwrap();
    std::fs::write(dir.path().join("week.json"), text.replacen("\"version\":1", "\"version\":9", 1)).unwrap();
    let wrong = gyre(dir.path(), "profile week.json");
    assert!(
        wrong.code == 1 && wrong.err.contains("a profile of format 9, this gyre reads format 1"),
        "{}",
        wrong.err
    );
}

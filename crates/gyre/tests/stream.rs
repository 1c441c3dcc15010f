//! `gyre stream`: values through a pipe, and the moment at which they change.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use support::{GYRE, gyre};

/// Right (0) and wrong (1) answers, of which `share` in a hundred are wrong, in an order that says nothing.
fn answers(count: u32, share: u32) -> impl Iterator<Item = u32> {
    (0..count).map(move |at| u32::from((at * 37 + 11) % 100 < share))
}

/// A table of answers of a model that breaks after `before` of them.
fn table(dir: &Path, name: &str, before: u32, after: u32) {
    let mut text = "at,wrong\n".to_owned();
    for (at, wrong) in answers(before, 10).chain(answers(after, 70)).enumerate() {
        text += &format!("t{at},{wrong}\n");
    }
    std::fs::write(dir.join(name), text).unwrap();
}

#[test]
fn a_change_is_said_with_its_moment_and_pipelines_stop() {
    let dir = tempfile::tempdir().unwrap();
    table(dir.path(), "errors.csv", 3_000, 500);
    let all = "stream errors.csv --column wrong --time at --detector loss-drift,adwin,hddm-a";
    let said = gyre(dir.path(), all).done().out;
    for words in [
        "change with value 30",
        "(t30",
        "loss-drift: 1 changes",
        "adwin: 1 changes",
        "3500 values, 0 missing",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let failed = gyre(dir.path(), "stream errors.csv --column wrong --fail --json");
    assert_eq!(failed.code, 1);
    let lines: Vec<serde_json::Value> =
        failed.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines.len(), &lines[0]["detector"]), (2, &"loss-drift".into()));
    assert!((3_000..3_200).contains(&lines[0]["change"].as_u64().unwrap()), "{lines:?}");
    assert_eq!(lines[1]["changes"], 1);
    table(dir.path(), "calm.csv", 3_500, 0);
    gyre(dir.path(), "stream calm.csv --column wrong --fail").done();
}

#[test]
fn what_was_learned_lasts_from_one_run_to_the_next() {
    let dir = tempfile::tempdir().unwrap();
    table(dir.path(), "before.csv", 3_000, 0);
    table(dir.path(), "after.csv", 0, 300);
    let first = "stream before.csv --column wrong --state watch.json --detector loss-drift,page-hinkley --set page-hinkley.threshold=20";
    let said = gyre(dir.path(), first).done().out;
    assert!(said.contains("loss-drift: 0 changes"), "{said}");
    let said = gyre(dir.path(), "stream after.csv --column wrong --state watch.json").done().out;
    assert!(said.contains("loss-drift: 1 changes") && said.contains("page-hinkley: 1 changes"), "{said}");
    assert!(said.contains("3300 values"), "{said}");
    // Without what was learned, 300 answers are no reference.
    let anew = gyre(dir.path(), "stream after.csv --column wrong").done().out;
    assert!(anew.contains("loss-drift: 0 changes"), "{anew}");
    let other = gyre(dir.path(), "stream after.csv --column wrong --state watch.json --detector adwin");
    assert!(other.code == 2 && other.err.contains("loss-drift, page-hinkley at work"), "{}", other.err);
    std::fs::write(dir.path().join("watch.json"), "{").unwrap();
    let broken = gyre(dir.path(), "stream after.csv --column wrong --state watch.json");
    assert!(broken.code == 2 && broken.err.contains("watch.json") && broken.err.contains("begin anew"));
}

#[test]
fn losses_that_are_no_errors_are_watched_and_every_change_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let text: String = (0..9_000).map(|at| format!("{}.0\n", 1 + at / 3_000)).collect();
    std::fs::write(dir.path().join("losses.txt"), text).unwrap();
    let said = gyre(dir.path(), "stream losses.txt").done().out;
    assert!(said.contains("9000 values, 0 missing, 0 lines passed over"), "{said}");
    assert!(said.contains("change with value 300") && said.contains("change with value 600"), "{said}");
    assert!(said.contains("loss-drift: 2 changes, the last with value 600"), "{said}");
    let text: String = (0..500).map(|_| "0\n").collect();
    std::fs::write(dir.path().join("few.txt"), text).unwrap();
    let said = gyre(dir.path(), "stream few.txt").done().out;
    assert!(said.contains("loss-drift: 0 changes; still learning what is usual"), "{said}");
}

#[test]
fn a_change_is_said_while_the_stream_goes_on() {
    let mut child = Command::new(GYRE)
        .args(["stream", "--column", "loss", "--detector", "page-hinkley", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stream = child.stdin.take().unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    for at in 0..200 {
        writeln!(stream, "{{\"loss\": {}}}", at % 3).unwrap();
    }
    for _ in 0..100 {
        writeln!(stream, "{{\"loss\": 50}}").unwrap();
    }
    // The stream is still open.
    let change: serde_json::Value = serde_json::from_str(&said.next().unwrap().unwrap()).unwrap();
    assert!((201..=300).contains(&change["change"].as_u64().unwrap()), "{change}");
    drop(stream);
    assert!(child.wait().unwrap().success());
}

#[test]
fn what_is_wrong_is_said_and_one_bad_line_stops_nothing() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("s.csv"), "a,b\n1,2\n1,x\n3\n\n1,\n1,4\n").unwrap();
    let said = gyre(dir.path(), "stream s.csv --column b --detector adwin").done();
    assert!(said.err.contains("s.csv:3: passed over: `x` is not a number"), "{}", said.err);
    assert!(said.err.contains("s.csv:4: passed over: it has 1 cells"), "{}", said.err);
    assert!(said.out.contains("3 values, 1 missing, 2 lines passed over"), "{}", said.out);
    let other = [("some.parquet", "PAR1\u{15}\0"), ("some.bin", "1\n\0\0"), ("old.json", "{\"format\": 1}")];
    for (name, bytes) in other {
        std::fs::write(dir.path().join(name), bytes).unwrap();
    }
    for (words, told) in [
        ("stream s.csv", "name one of a, b"),
        ("stream s.csv --column c", "no column `c` in a, b"),
        ("stream s.csv --column b --detector adwinn", "did you mean `adwin`?"),
        (
            "stream s.csv --column b --set beta=1",
            "no setting `beta`; it has alpha, direction, reference, seed",
        ),
        ("stream s.csv --column b --detector adwin,kswin --set delta=1", "a setting of none of adwin, kswin"),
        ("stream s.csv --column b --set alpha=2", "alpha is 2; expected above 0 and below 1"),
        ("stream s.csv --column b --set foo=1", "DETECTOR.NAME=VALUE where several watch"),
        ("stream s.csv --column b --state old.json", "it is of format 1, this gyre reads format 2"),
        ("stream some.parquet", "some.parquet: it is a Parquet file"),
        ("stream some.bin", "some.bin: it is no text in UTF-8"),
    ] {
        let wrong = gyre(dir.path(), words);
        assert!(wrong.code == 2 && wrong.err.contains(told), "{words}: {}", wrong.err);
    }
    let wrong = gyre(dir.path(), "stream s.csv --column b --set foo=1").err;
    assert!(!wrong.contains("did you mean"), "{wrong}");
    std::fs::write(dir.path().join("marked.csv"), "\u{feff}b\n1\n").unwrap();
    gyre(dir.path(), "stream marked.csv --column b").done();
    assert!(gyre(dir.path(), "stream gone.csv").err.contains("gone.csv"));
}

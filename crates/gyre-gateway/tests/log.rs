//! What the inference log promises: nothing that was acknowledged is lost or doubled, whatever the moment of a crash,
//! and nobody who predicts ever waits for it.

#![allow(clippy::unwrap_used)]

mod support;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use gyre_core::record::{Field, Kind, Value};
use gyre_core::{Digest, Fact, Span};
use gyre_gateway::{Brought, Column, Gateway, Input, Intake, LogError, LogOptions, Scan};
use gyre_store::journal;
use support::*;

fn ask(gateway: &Gateway, id: &str, time: i64) {
    gateway.infer("air-time", None, request(&[id], time)).unwrap();
}

fn everything(gateway: &Gateway) -> Scan {
    gateway.scan("air-time", period(i64::MIN / 2, i64::MAX / 2)).unwrap()
}

fn folder(dir: &Path) -> PathBuf {
    dir.join("log/air-time")
}

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder(dir)).unwrap();
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The same, as bytes on disk stand at this moment: what a process that is killed leaves behind.
fn crash(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    for part in ["log/air-time", "store"] {
        std::fs::create_dir_all(to.path().join(part)).unwrap();
        for entry in std::fs::read_dir(from.join(part)).unwrap() {
            let entry = entry.unwrap();
            if entry.path().is_file() {
                std::fs::copy(entry.path(), to.path().join(part).join(entry.file_name())).unwrap();
            }
        }
    }
    to
}

/// Stays quiet by itself: nothing is synced unless asked.
fn patient() -> LogOptions {
    LogOptions { sync_every: Duration::from_secs(3_600), ..LogOptions::default() }
}

fn segments_in_journal(gateway_dir: &Path) -> Vec<(String, Digest, u64, u64)> {
    let store = gyre_store::Store::open_read_only(&gateway_dir.join("store")).unwrap();
    let entries = store.read(|tx| journal::of_kind(tx, "segment_closed", Some("air-time"))).unwrap();
    let facts = entries.into_iter().map(|entry| match entry.fact {
        Fact::SegmentClosed { name, digest, predictions, labels, .. } => (name, digest, predictions, labels),
        other => panic!("{other:?}"),
    });
    facts.collect()
}

#[test]
fn predictions_meet_their_labels_wherever_both_lie() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = serving(dir.path(), patient());
    for (id, time) in [("b", 20), ("a", 20), ("early", 5), ("c", 30), ("late", 40)] {
        ask(&gateway, id, time);
    }
    gateway.append_labels("air-time", vec![label("a", 25, 1.0), label("b", 50, 2.0)]).unwrap();
    gateway.log().close_segment("air-time").unwrap();
    ask(&gateway, "a", 35);
    ask(&gateway, "d", 21);
    gateway.append_labels("air-time", vec![label("b", 60, 3.0), label("d", 900, 4.0)]).unwrap();

    let check = |gateway: &Gateway| {
        let scan = gateway.scan("air-time", period(10, 40)).unwrap();
        let ids: Vec<&str> = scan.ids.iter().map(|id| &**id).collect();
        assert_eq!(ids, ["a", "b", "d", "c"], "by time, then id; `a` once");
        assert_eq!(scan.times[0], at(20), "the first one counts");
        let number = |x| Some(Value::Number(x));
        assert_eq!(scan.labels, [number(1.0), number(3.0), number(4.0), None]);
        let Some(Column::Text(carrier)) = scan.feature("carrier") else { panic!() };
        assert_eq!(carrier, &[None, None, None, None]);
        scan
    };
    let before = check(&gateway);
    gateway.log().close_segment("air-time").unwrap();
    assert_eq!(check(&gateway), before, "closing a segment changes nothing that is read");
    assert!(gateway.scan("air-time", period(100, 200)).unwrap().is_empty());
    drop(gateway);
    let gateway = gateway_with(dir.path(), patient());
    assert_eq!(check(&gateway), before);

    let found = gateway.find("air-time", "b").unwrap().unwrap();
    assert_eq!(found.segment.as_deref(), Some("predictions-00000001.parquet"));
    assert_eq!((found.version, found.label), (1, Some(label("b", 60, 3.0))));
    assert_eq!(found.features[1], ("hour".to_owned(), Value::Number(1.0)));
    assert_eq!(
        gateway.find("air-time", "d").unwrap().unwrap().segment.as_deref(),
        Some("predictions-00000002.parquet")
    );
    assert!(gateway.find("air-time", "nobody").unwrap().is_none());
    assert!(matches!(
        gateway.scan("air-tme", period(0, 1)),
        Err(LogError::UnknownModel { nearest: Some(_), .. })
    ));
}

#[test]
fn the_journal_vouches_for_every_segment() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = serving(dir.path(), LogOptions { segment_records: 50, ..patient() });
    for i in 0..120 {
        ask(&gateway, &format!("id-{i}"), i);
        gateway.append_labels("air-time", vec![label(&format!("id-{i}"), i + 5, i as f64)]).unwrap();
    }
    let segments = segments_in_journal(dir.path());
    assert_eq!(segments.len(), 8, "four times fifty records, each half predictions and half labels");
    for (name, digest, predictions, labels) in &segments {
        assert_eq!(Digest::of(&std::fs::read(folder(dir.path()).join(name)).unwrap()), *digest);
        assert_eq!((*predictions, *labels), if name.starts_with("labels") { (0, 25) } else { (25, 0) });
    }
    let scan = everything(&gateway);
    assert_eq!(scan.len(), 120);
    assert!(scan.labels.iter().enumerate().all(|(i, l)| *l == Some(Value::Number(i as f64))));
    assert_eq!(gateway.flush("air-time").unwrap().durable_records, 120);
}

#[test]
fn what_was_flushed_survives_a_kill_at_any_byte() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = serving(dir.path(), patient());
    (0..20).for_each(|i| ask(&gateway, &format!("kept-{i}"), i));
    assert_eq!(gateway.flush("air-time").unwrap().durable_records, 20);
    let wal = folder(dir.path()).join("wal-00000001.log");
    let acknowledged = std::fs::metadata(&wal).unwrap().len();
    (20..30).for_each(|i| ask(&gateway, &format!("torn-{i}"), i));
    gateway.flush("air-time").unwrap();
    let whole = std::fs::metadata(&wal).unwrap().len();
    let left = crash(dir.path());
    drop(gateway);
    // From the end backwards through every place where a write of the second group could have stopped.
    for length in (acknowledged..=whole).rev().step_by(37).chain([acknowledged]) {
        let left = crash(left.path());
        let wal =
            std::fs::File::options().write(true).open(folder(left.path()).join("wal-00000001.log")).unwrap();
        wal.set_len(length).unwrap();
        let gateway = gateway_with(left.path(), patient());
        let scan = everything(&gateway);
        assert!(scan.len() >= 20 && scan.len() <= 30);
        assert!((0..20).all(|i| *scan.ids[i] == *format!("kept-{i}")), "at {length}");
        let recovery = &gateway.log().recoveries()[0];
        assert_eq!(recovery.records, scan.len() as u64);
        assert_eq!(recovery.cut_bytes > 0, wal.metadata().unwrap().len() < length, "at {length}");
        gateway.append_labels("air-time", vec![label("kept-0", 1, 1.0)]).unwrap();
        drop(gateway);
        let again = gateway_with(left.path(), patient());
        assert_eq!(again.log().recoveries()[0].cut_bytes, 0, "the file is whole again");
        assert_eq!(everything(&again).labels[0], Some(Value::Number(1.0)));
    }
}

#[test]
fn a_damaged_byte_never_reads_as_data() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = serving(dir.path(), patient());
    // Five groups, each of which is checked as a whole.
    for i in 0..5 {
        ask(&gateway, &format!("id-{i}"), i);
        gateway.flush("air-time").unwrap();
    }
    drop(gateway);
    let wal = folder(dir.path()).join("wal-00000001.log");
    let mut bytes = std::fs::read(&wal).unwrap();
    let middle = bytes.len() * 3 / 4;
    bytes[middle] ^= 1;
    std::fs::write(&wal, bytes).unwrap();
    let gateway = gateway_with(dir.path(), patient());
    let kept = everything(&gateway).len();
    assert!(kept == 3 && gateway.log().recoveries()[0].cut_bytes > 0);
    assert!(
        names(dir.path()).contains(&"wal-00000001.cut".to_owned()),
        "what was readable behind it is kept aside"
    );
}

#[test]
fn a_file_of_an_earlier_build_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    drop(serving(dir.path(), patient()));
    let wal = folder(dir.path()).join("wal-00000001.log");
    let line = "0a1b2c3d {\"label\":{\"id\":\"id-1\",\"time\":\"2013-01-01T00:00:00Z\",\"value\":1.0}}\n";
    std::fs::write(&wal, line).unwrap();
    let told = Gateway::open(dir.path().join("log"), store(dir.path())).err().unwrap().to_string();
    assert!(told.contains("wal-00000001.log") && told.contains("`gyre log export`"), "{told}");
    assert_eq!(std::fs::read_to_string(&wal).unwrap(), line);
}

/// The folder before and after a segment was closed, from which every state between is made.
fn around_a_close() -> (tempfile::TempDir, tempfile::TempDir, Scan) {
    let dir = tempfile::tempdir().unwrap();
    let gateway = serving(dir.path(), patient());
    (0..30).for_each(|i| ask(&gateway, &format!("id-{i}"), i));
    gateway.append_labels("air-time", vec![label("id-3", 40, 3.0)]).unwrap();
    let before = crash(dir.path());
    let scan = everything(&gateway);
    gateway.log().close_segment("air-time").unwrap();
    let after = crash(dir.path());
    (before, after, scan)
}

fn copy(from: &Path, to: &Path, name: &str) {
    std::fs::copy(folder(from).join(name), folder(to).join(name)).unwrap();
}

fn same_and_goes_on(dir: &Path, expected: &Scan) {
    let gateway = gateway_with(dir, patient());
    assert_eq!(&everything(&gateway), expected);
    assert_eq!(gateway.flush("air-time").unwrap().durable_records, 30);
    gateway.log().close_segment("air-time").unwrap();
    assert_eq!(&everything(&gateway), expected);
    let in_journal: HashSet<String> = segments_in_journal(dir).into_iter().map(|(name, ..)| name).collect();
    assert_eq!(in_journal.len(), 2);
    assert_eq!(segments_in_journal(dir).len(), 2, "each fact once");
    drop(gateway);
    assert_eq!(&everything(&gateway_with(dir, patient())), expected);
}

#[test]
fn a_crash_while_a_segment_is_written_changes_nothing() {
    let (before, after, scan) = around_a_close();
    std::fs::write(folder(before.path()).join("predictions-00000001.tmp"), b"PAR1 half").unwrap();
    same_and_goes_on(before.path(), &scan);

    let (before, _, scan) = around_a_close();
    for name in ["predictions-00000001.parquet", "labels-00000001.parquet"] {
        copy(after.path(), before.path(), name);
        // One segment there, then both; neither in the journal.
        let state = crash(before.path());
        same_and_goes_on(state.path(), &scan);
    }
    // The next write-ahead file is there, the journal has not been told.
    copy(after.path(), before.path(), "wal-00000002.log");
    same_and_goes_on(before.path(), &scan);
}

#[test]
fn a_crash_after_the_journal_was_told_does_not_double() {
    let (before, after, scan) = around_a_close();
    copy(before.path(), after.path(), "wal-00000001.log");
    same_and_goes_on(after.path(), &scan);
    assert!(!names(after.path()).contains(&"wal-00000001.log".to_owned()));
}

#[test]
fn a_segment_that_is_not_what_the_journal_says_is_reported() {
    let (_, after, _) = around_a_close();
    std::fs::remove_file(folder(after.path()).join("labels-00000001.parquet")).unwrap();
    let error = Gateway::open(after.path().join("log"), store(after.path())).err().unwrap();
    assert!(error.to_string().contains("labels-00000001.parquet"), "{error}");
}

/// A disk that stalls or fails when told to.
#[derive(Default)]
struct Disk {
    stalled: Mutex<bool>,
    released: Condvar,
    full: AtomicBool,
}

impl Disk {
    fn options(self: &Arc<Self>, options: LogOptions) -> LogOptions {
        let disk = Arc::clone(self);
        let hook = move || {
            let stalled = disk.stalled.lock().unwrap();
            drop(disk.released.wait_while(stalled, |stalled| *stalled).unwrap());
            let full = disk.full.load(SeqCst);
            if full { Err(std::io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        };
        LogOptions { disk_hook: Some(Arc::new(hook)), ..options }
    }

    fn stall(&self, stalled: bool) {
        *self.stalled.lock().unwrap() = stalled;
        self.released.notify_all();
    }
}

/// What the journal has heard of the log's troubles.
fn troubles(dir: &Path) -> Vec<(u64, Option<String>)> {
    let entries = store(dir).read(|tx| journal::of_kind(tx, "log_troubled", None)).unwrap();
    let told = entries.into_iter().map(|entry| match entry.fact {
        Fact::LogTroubled { dropped, problem, .. } => (dropped, problem),
        other => panic!("{other:?}"),
    });
    told.collect()
}

#[test]
fn a_stalled_disk_fails_no_prediction_and_every_drop_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(Disk::default());
    let gateway =
        serving(dir.path(), disk.options(LogOptions { queue_records: 100, ..LogOptions::default() }));
    disk.stall(true);
    (0..1_000).for_each(|i| ask(&gateway, &format!("id-{i}"), i));
    let dropped = gateway.log().dropped("air-time").unwrap();
    assert_eq!(dropped, 900);
    disk.stall(false);
    let position = gateway.flush("air-time").unwrap();
    assert_eq!((position.durable_records, position.dropped), (100, 900));
    ask(&gateway, "after", 5_000);
    assert_eq!(gateway.flush("air-time").unwrap().durable_records, 101, "it goes on as if nothing had been");
    drop(gateway);
    assert_eq!(troubles(dir.path()), [(900, None)], "the journal has heard of it, once");
}

#[test]
fn a_full_disk_is_said_and_what_waits_is_written_once_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(Disk::default());
    let gateway = serving(dir.path(), disk.options(patient()));
    ask(&gateway, "first", 1);
    gateway.flush("air-time").unwrap();
    let durable = std::fs::read(folder(dir.path()).join("wal-00000001.log")).unwrap();
    disk.full.store(true, SeqCst);
    ask(&gateway, "second", 2);
    assert!(matches!(gateway.flush("air-time"), Err(LogError::Full(_))));
    let refused = gateway.append_labels("air-time", vec![label("first", 3, 1.0)]);
    assert!(refused.unwrap_err().to_string().contains("the disk is full"));
    assert_eq!(everything(&gateway).len(), 1, "what is not on disk is not shown");
    assert_eq!(
        std::fs::read(folder(dir.path()).join("wal-00000001.log")).unwrap(),
        durable,
        "nothing half-written"
    );
    ask(&gateway, "third", 3);
    disk.full.store(false, SeqCst);
    assert_eq!(gateway.flush("air-time").unwrap().durable_records, 3);
    drop(gateway);
    let told = troubles(dir.path());
    assert!(matches!(&told[..], [(0, Some(problem))] if problem.contains("the disk is full")), "{told:?}");
    let scan = everything(&gateway_with(dir.path(), patient()));
    assert_eq!(scan.len(), 3);
    assert_eq!(scan.labels, [None, None, None], "a refused label is not there");
}

#[test]
fn a_segment_that_cannot_be_closed_is_tried_again_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = serving(dir.path(), LogOptions { segment_records: 10, ..patient() });
    // A folder stands where the segment should go.
    let blocked = folder(dir.path()).join("predictions-00000001.parquet");
    std::fs::create_dir(&blocked).unwrap();
    (0..12).for_each(|i| ask(&gateway, &format!("id-{i}"), i));
    assert_eq!(gateway.flush("air-time").unwrap().durable_records, 12);
    let position = gateway.flush("air-time").unwrap();
    assert!(position.problem.unwrap().to_string().contains("predictions-00000001.parquet"));
    std::fs::remove_dir(&blocked).unwrap();
    (12..20).for_each(|i| ask(&gateway, &format!("id-{i}"), i));
    gateway.flush("air-time").unwrap();
    let position = gateway.flush("air-time").unwrap();
    assert!(position.problem.is_none());
    assert_eq!((position.durable_records, everything(&gateway).len()), (20, 20));
    assert_eq!(segments_in_journal(dir.path())[0].2, 20);
}

#[test]
fn versions_with_other_features_share_a_segment() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = gateway_with(dir.path(), patient());
    gateway.load(&name(), 1, regression_signature(), &regression(1.0)).unwrap();
    gateway.load(&name(), 2, classifier_signature(), &classifier()).unwrap();
    gateway.infer("air-time", Some(1), request(&["r"], 1)).unwrap();
    let mut both = request(&["c"], 2);
    both.inputs.push(Input::numbers("delay", vec![4.0]));
    gateway.infer("air-time", Some(2), both).unwrap();
    gateway.log().close_segment("air-time").unwrap();
    let scan = everything(&gateway);
    let Some(Column::Numeric(delay)) = scan.feature("delay") else { panic!() };
    assert!(delay[0].is_nan() && delay[1] == 4.0);
    let Some(Column::Numeric(hour)) = scan.feature("hour") else { panic!() };
    assert!(hour[0] == 1.0 && hour[1].is_nan(), "given, but not a feature of the version that answered");
    assert_eq!(gateway.find("air-time", "c").unwrap().unwrap().output, Value::Text("late".into()));
}

#[test]
fn features_may_bear_any_name() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = gateway_with(dir.path(), patient());
    let mut signature = regression_signature();
    signature.inputs =
        ["id", "time", "prediction"].map(|name| Field { name: name.into(), kind: Kind::Number }).to_vec();
    let artifact = product(["id", "time", "prediction"]);
    gateway.load(&name(), 1, signature, &artifact).unwrap();
    let inputs = ["id", "time", "prediction"].map(|name| Input::numbers(name, vec![2.0])).to_vec();
    let request = gyre_gateway::Request {
        ids: vec!["x".into()],
        key: None,
        time: at(1),
        inputs,
        headers: Default::default(),
    };
    assert_eq!(gateway.infer("air-time", Some(1), request).unwrap()[0].output, Value::Number(8.0));
    gateway.log().close_segment("air-time").unwrap();
    let found = gateway.find("air-time", "x").unwrap().unwrap();
    assert_eq!(
        found.features,
        ["id", "time", "prediction"].map(|name| (name.to_owned(), Value::Number(2.0)))
    );
}

#[test]
fn labels_say_something() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = serving(dir.path(), patient());
    for value in [f64::NAN, f64::INFINITY] {
        let refused = gateway.append_labels("air-time", vec![label("a", 1, value)]);
        assert!(matches!(refused, Err(LogError::Label { .. })));
    }
    gateway.append_labels("air-time", vec![]).unwrap();
}

#[test]
fn labels_that_are_brought_again_are_told_apart_wherever_the_log_has_them() {
    let dir = tempfile::tempdir().unwrap();
    let day = 24 * HOUR;
    let brought = |id: &str, time: i64, value: f64| Brought { label: label(id, time, value), timed: true };
    let first = vec![
        brought("a", HOUR, 1.0),
        brought("b", 3 * day, 2.0),
        brought("nobody", HOUR, 3.0),
        brought("a", HOUR, 1.0),
        brought("a", HOUR, 1.5),
    ];
    let bring = |gateway: &Gateway, labels: Vec<Brought>, dry: bool| {
        gateway.bring_labels("air-time", labels, Span::days(1), dry).unwrap()
    };
    let counted = Intake { labels: 5, taken: 4, repeated: 1, outdated: 0, corrected: 1, unknown: 1, late: 1 };
    let gateway = serving(dir.path(), patient());
    ["a", "b", "c"].into_iter().for_each(|id| ask(&gateway, id, 0));
    assert_eq!(bring(&gateway, first.clone(), true), counted, "a dry run says what would be");
    assert_eq!(everything(&gateway).labels, [None, None, None], "and writes nothing");
    assert_eq!(bring(&gateway, first.clone(), false), counted);
    let labels = |gateway: &Gateway| -> Vec<Option<f64>> {
        everything(gateway).labels.iter().map(|label| label.as_ref().and_then(Value::as_number)).collect()
    };
    assert_eq!(labels(&gateway), [Some(1.5), Some(2.0), None]);
    // The same file again, whether the log holds it in its write-ahead file, in a segment, or after a restart.
    let last = vec![first[1].clone(), first[2].clone(), first[4].clone()];
    let again = Intake { labels: 3, taken: 0, repeated: 3, outdated: 0, corrected: 0, unknown: 1, late: 1 };
    assert_eq!(bring(&gateway, last.clone(), false), again);
    gateway.log().close_segment("air-time").unwrap();
    assert_eq!(bring(&gateway, last.clone(), false), again);
    drop(gateway);
    let gateway = serving(dir.path(), patient());
    assert_eq!(bring(&gateway, last, false), again);
    // A label waits for its prediction, and comes a year late to another.
    ask(&gateway, "nobody", 0);
    gateway.flush("air-time").unwrap();
    assert_eq!(labels(&gateway), [Some(1.5), Some(2.0), None, Some(3.0)]);
    let year = bring(&gateway, vec![brought("c", 365 * day, 9.0)], false);
    assert_eq!((year.taken, year.unknown, year.late), (1, 0, 1));
    assert_eq!(labels(&gateway), [Some(1.5), Some(2.0), Some(9.0), Some(3.0)]);
    // What was corrected does not come back when it is read again.
    let older = bring(&gateway, vec![brought("c", 364 * day, 8.0), brought("c", 365 * day, 9.5)], false);
    assert_eq!((older.outdated, older.corrected, older.taken), (1, 1, 1));
    // Without a time, the value alone tells what is new.
    let untimed = |value| vec![Brought { label: label("b", 9 * day, value), timed: false }];
    assert_eq!(bring(&gateway, untimed(2.0), false).repeated, 1);
    assert_eq!(bring(&gateway, untimed(2.5), false).corrected, 1);
    let nothing = vec![brought("a", 1, f64::NAN)];
    assert!(gateway.bring_labels("air-time", nothing, Span::days(1), false).is_err());
}

#[test]
fn what_was_accepted_is_written_when_the_gateway_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = serving(dir.path(), patient());
    (0..10).for_each(|i| ask(&gateway, &format!("id-{i}"), i));
    drop(gateway);
    assert_eq!(everything(&gateway_with(dir.path(), patient())).len(), 10);
}

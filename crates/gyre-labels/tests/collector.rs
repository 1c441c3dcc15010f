//! Labels that are looked for in files and in a PostgreSQL: none is lost, none is written twice, whatever happens between.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gyre_baseline::{Options, Target, Task, TrainTable, train};
use gyre_core::record::{Field, Kind, Signature};
use gyre_core::spec::Project;
use gyre_core::time::ManualClock;
use gyre_core::{Clock, ModelName, Timestamp};
use gyre_gateway::{Gateway, Input, Intake, LogOptions, Request};
use gyre_labels::collector::Variables;
use gyre_labels::{Collector, Looked};
use gyre_runtime::{Column, Table};
use gyre_store::Store;
use gyre_testing::Place;

fn moment(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A project with a model that has answered for the ids `0` to `9`, at midnight.
struct Shop {
    dir: tempfile::TempDir,
    gateway: Option<Arc<Gateway>>,
    variables: Arc<Mutex<BTreeMap<String, String>>>,
}

impl Shop {
    fn open() -> Self {
        let mut shop = Self { dir: tempfile::tempdir().unwrap(), gateway: None, variables: Arc::default() };
        shop.restart();
        for id in 0..10 {
            shop.ask(&id.to_string());
        }
        shop
    }

    /// Opens the log anew, as after the end of the process.
    fn restart(&mut self) {
        self.gateway = None;
        let clock = Arc::new(ManualClock::at(moment("2026-03-02T00:00:00Z")));
        let store = Arc::new(Store::open(&self.dir.path().join("store"), &[], clock).unwrap());
        let gateway = Gateway::open_with(self.dir.path().join("log"), store, LogOptions::default()).unwrap();
        let x: Vec<f64> = (0..40).map(f64::from).collect();
        let features = Table::new([("x", Column::Numeric(x.clone()))]).unwrap();
        let table = TrainTable { features, target: Target::Numeric(x) };
        let options = Options { rounds: 2, ..Options::default() };
        let onnx = train(&table, Task::Regression, &options, None).unwrap().onnx;
        let inputs = vec![Field { name: "x".into(), kind: Kind::Number }];
        let signature = Signature { inputs, output: "y".into(), classes: vec![] };
        gateway.load(&name(), 1, signature, &onnx).unwrap();
        gateway.set_traffic(&name(), &[(1, 10_000)], 1).unwrap();
        self.gateway = Some(Arc::new(gateway));
    }

    fn gateway(&self) -> &Arc<Gateway> {
        self.gateway.as_ref().unwrap()
    }

    fn ask(&self, id: &str) {
        let inputs = vec![Input::numbers("x", vec![1.0])];
        let time = moment("2026-03-01T00:00:00Z");
        let request = Request { ids: vec![id.into()], key: None, headers: Default::default(), time, inputs };
        self.gateway().infer("shop", None, request).unwrap();
    }

    /// Puts a file in place as a whole: a look that is under way would otherwise read it half written, and once more.
    fn write(&self, file: &str, text: &str) {
        let path = self.dir.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let beside = path.with_extension("new");
        std::fs::write(&beside, text).unwrap();
        std::fs::rename(beside, path).unwrap();
    }

    fn place(&self) -> PathBuf {
        self.dir.path().join("state/labels/shop.json")
    }

    fn collect(&self, source: &str) -> Collector {
        let text = format!(
            "version: 1\nproject: p\npipeline: dvc.yaml\ndata: {{d: {{source: d.csv}}}}\nmodels:\n  shop:\n    task: regression\n    \
             target: y\n    artifact: m.onnx\n    metric: mae\n    train: {{data: d}}\n    labels: {{source: {source}}}\n"
        );
        let project = Project::parse("gyre.yaml", &text).unwrap_or_else(|wrong| panic!("{}", wrong[0]));
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(moment("2026-03-05T00:00:00Z")));
        let held = Arc::clone(&self.variables);
        let variables: Variables = Arc::new(move |name| held.lock().unwrap().get(name).cloned());
        let state: &Path = &self.dir.path().join("state");
        Collector::start(&project, self.dir.path(), state, self.gateway(), &clock, &variables).unwrap()
    }

    /// The labels in the log, by id.
    fn labels(&self) -> BTreeMap<String, f64> {
        let known = (0..20).filter_map(|id| {
            let found = self.gateway().find("shop", &id.to_string()).unwrap()?;
            Some((id.to_string(), found.label?.value.as_number()?))
        });
        known.collect()
    }

    /// Labels that the log holds, each as often as it was written.
    fn written(&self) -> u64 {
        self.gateway().log().close_segment("shop").unwrap();
        let dir = self.dir.path().join("log/shop");
        let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        let segments = files.filter(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.starts_with("labels-") && name.ends_with(".parquet")
        });
        segments
            .map(|path| {
                gyre_data::table::Table::open(&path)
                    .unwrap()
                    .map(|part| part.unwrap().rows() as u64)
                    .sum::<u64>()
            })
            .sum()
    }
}

fn name() -> ModelName {
    "shop".parse().unwrap()
}

/// What was found once `count` more looks are done.
fn after(collector: &Collector, count: u64) -> Looked {
    let begun = collector.looked("shop").unwrap().looks;
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let looked = collector.looked("shop").unwrap();
        if looked.looks >= begun + count {
            return looked;
        }
        assert!(Instant::now() < deadline, "{looked:?}");
        collector.look_now("shop");
        std::thread::yield_now();
    }
}

const FILES: &str = "{files: 'labels/*.csv', label: sold, time: at, every: 1h}";

#[test]
fn files_are_taken_once_also_when_they_grow_and_the_process_dies() {
    let mut shop = Shop::open();
    shop.write("labels/a.csv", "id,sold,at\n0,1,2026-03-01T10:00:00Z\n1,2,2026-03-01T10:00:00Z\n");
    shop.write(
        "labels/b.csv",
        "id,sold,at\n15,9,2026-03-01T10:00:00Z\n2,,2026-03-01T10:00:00Z\n3,4,2027-03-01T10:00:00Z\n",
    );
    let collector = shop.collect(FILES);
    let looked = after(&collector, 2);
    let first = Intake { labels: 4, taken: 4, repeated: 0, outdated: 0, corrected: 0, unknown: 1, late: 1 };
    assert_eq!((looked.problem, looked.labels), (None, first), "taken once, in however many looks");
    // A file grows, and corrects itself.
    shop.write(
        "labels/a.csv",
        "id,sold,at\n0,1,2026-03-01T10:00:00Z\n1,3,2026-03-01T11:00:00Z\n4,5,2026-03-01T10:00:00Z\n",
    );
    let grown = after(&collector, 2).labels;
    assert_eq!((grown.taken, grown.repeated, grown.corrected), (6, 1, 1));
    drop(collector);
    assert_eq!(shop.written(), 6);
    // A kill after the log has the labels, and before the place is remembered.
    std::fs::remove_file(shop.place()).unwrap();
    shop.restart();
    let again = after(&shop.collect(FILES), 2).labels;
    assert_eq!((again.taken, again.repeated), (0, 5), "read again, written once");
    assert_eq!(shop.written(), 6);
    shop.ask("15");
    shop.gateway().flush("shop").unwrap();
    let expected = [("0", 1.0), ("1", 3.0), ("15", 9.0), ("3", 4.0), ("4", 5.0)];
    assert_eq!(shop.labels(), expected.map(|(id, value)| (id.to_owned(), value)).into());
}

#[test]
fn one_bad_file_keeps_no_other_away_and_is_said() {
    let shop = Shop::open();
    shop.write("labels/a.csv", "id,sold\n0,1\n");
    shop.write("labels/b.csv", "id,sold,at\n1,2,2026-03-01T10:00:00Z\n");
    let looked = after(&shop.collect(FILES), 1);
    assert!(looked.problem.as_ref().unwrap().contains("a.csv: there is no column `at`"), "{looked:?}");
    assert_eq!(looked.labels.taken, 1);
    assert_eq!(shop.labels(), [("1".to_owned(), 2.0)].into());
    let none = after(&shop.collect("{files: 'nothing/*.csv'}"), 1);
    assert!(none.problem.unwrap().contains("no table matches"));
}

#[test]
fn a_database_is_asked_from_where_it_was_left_and_again_for_a_while() {
    let place = Place::postgres();
    place.run("CREATE TABLE outcomes (flight int, minutes numeric, landed timestamptz)");
    let land = |id: u32, minutes: &str, at: &str| {
        place.run(&format!("INSERT INTO outcomes VALUES ({id}, {minutes}, '2026-03-01T{at}Z')"));
    };
    let source = "{postgres: GYRE_LABELS_TEST, query: 'SELECT * FROM outcomes WHERE landed > $since;', id: flight, \
                  label: minutes, time: landed, every: 1h, overlap: 20m}";
    let mut shop = Shop::open();
    let collector = shop.collect(source);
    let blind = after(&collector, 1);
    assert!(blind.problem.unwrap().contains("GYRE_LABELS_TEST=postgres://"));
    shop.variables.lock().unwrap().insert("GYRE_LABELS_TEST".into(), place.url_text().unwrap().into());
    land(0, "30.5", "10:00:00");
    land(1, "41", "10:30:00");
    land(2, "NULL", "10:31:00");
    let looked = after(&collector, 2);
    assert_eq!(looked.problem, None);
    assert_eq!((looked.labels.taken, looked.since), (2, Some(moment("2026-03-01T10:30:00Z"))));
    // A transaction that began earlier and committed later; one that is older than what is asked again; a correction.
    land(3, "50", "10:25:00");
    land(4, "60", "10:05:00");
    land(1, "42", "10:40:00");
    let looked = after(&collector, 2);
    assert_eq!((looked.labels.taken, looked.labels.corrected), (4, 1), "{looked:?}");
    let again = after(&collector, 3).labels;
    assert_eq!((again.taken, again.corrected), (4, 1), "what is asked again is not written again: {again:?}");
    drop(collector);
    // The process dies before the place is remembered, and starts anew with an older one.
    let kept = std::fs::read(shop.place()).unwrap();
    land(5, "70", "10:50:00");
    drop({
        let collector = shop.collect(source);
        assert_eq!(after(&collector, 1).labels.taken, 5);
        collector
    });
    std::fs::write(shop.place(), kept).unwrap();
    shop.restart();
    let looked = after(&shop.collect(source), 1);
    assert_eq!(
        (looked.problem, looked.labels.taken),
        (None, 4),
        "the count goes on from what was remembered"
    );
    let expected = [("0", 30.5), ("1", 42.0), ("3", 50.0), ("5", 70.0)];
    assert_eq!(shop.labels(), expected.map(|(id, value)| (id.to_owned(), value)).into());
    assert_eq!(shop.written(), 5);
    // What the database refuses is said, without its address.
    let wrong = after(&shop.collect(&source.replace("outcomes WHERE", "outcome WHERE")), 1).problem.unwrap();
    assert!(wrong.contains("outcome") && !wrong.contains("postgres://"), "{wrong}");
    let written = after(&shop.collect(&source.replace("SELECT * FROM outcomes", "DELETE FROM outcomes")), 1);
    assert!(written.problem.is_some(), "{written:?}");
}

//! A log that lies partly in segments and partly in the write-ahead file, asked and written while it is written to.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;

use gyre_baseline::{Options, Target, Task, TrainTable, train};
use gyre_core::record::{Field, Kind, Label, Signature, Value};
use gyre_core::time::{ManualClock, Period};
use gyre_core::{ModelName, Timestamp};
use gyre_gateway::{Gateway, Input, LogError, LogOptions, LogView, Request};
use gyre_logbook::export::Form;
use gyre_logbook::{Book, BookError, Classes};
use gyre_runtime::{Column, Table};
use gyre_store::Store;

fn name() -> ModelName {
    "shop".parse().unwrap()
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn all() -> Period {
    Period { from: at(i64::MIN), to: at(i64::MAX) }
}

/// Two classes over `x`, and a feature that has the name of one of the log's own columns.
fn model() -> (Vec<u8>, Signature) {
    let x: Vec<f64> = (0..40).map(f64::from).collect();
    let labels = (0..40).map(|row| if row < 20 { "no" } else { "yes" }.to_owned()).collect();
    let features = Table::new([("x", Column::Numeric(x.clone())), ("version", Column::Numeric(x))]).unwrap();
    let table = TrainTable { features, target: Target::Labels(labels) };
    let onnx = train(&table, Task::Binary, &Options { rounds: 3, ..Options::default() }, None).unwrap().onnx;
    let field = |name: &str| Field { name: name.into(), kind: Kind::Number };
    let signature = Signature {
        inputs: vec![field("x"), field("version")],
        output: "class".into(),
        classes: vec!["no".into(), "yes".into()],
    };
    (onnx, signature)
}

struct Shop {
    gateway: Gateway,
    store: Arc<Store>,
    dir: tempfile::TempDir,
}

impl Shop {
    fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store =
            Arc::new(Store::open(&dir.path().join("store"), &[], Arc::new(ManualClock::at(at(7)))).unwrap());
        let gateway =
            Gateway::open_with(dir.path().join("log"), Arc::clone(&store), LogOptions::default()).unwrap();
        let (onnx, signature) = model();
        gateway.load(&name(), 1, signature, &onnx).unwrap();
        gateway.set_traffic(&name(), &[(1, 10_000)], 1).unwrap();
        Self { gateway, store, dir }
    }

    fn ask(&self, id: &str, time: i64, x: f64) {
        let inputs = vec![Input::numbers("x", vec![x]), Input::numbers("version", vec![7.0])];
        let request =
            Request { ids: vec![id.into()], key: None, time: at(time), inputs, headers: Default::default() };
        self.gateway.infer("shop", None, request).unwrap();
        self.gateway.flush("shop").unwrap();
    }

    fn label(&self, id: &str, time: i64, value: &str) {
        let label = Label { id: id.into(), time: at(time), value: Value::Text(value.into()) };
        self.gateway.append_labels("shop", vec![label]).unwrap();
    }

    fn view(&self) -> LogView {
        LogView::open(&self.dir.path().join("log"), &self.store, &name()).unwrap()
    }

    fn book(&self, period: Period) -> Book {
        let classes = Classes::from([(1, vec!["no".to_owned(), "yes".to_owned()])]);
        Book::fill(&self.view(), period, &classes).unwrap()
    }

    /// In a segment: a (20), b (10), a again (30). After it: c (40), d (2000). Labels of all but b; a's twice.
    fn busy() -> Self {
        let shop = Self::open();
        shop.ask("a", 20, 1.0);
        shop.ask("b", 10, 30.0);
        shop.ask("a", 30, 39.0);
        shop.label("a", 25, "yes");
        shop.gateway.log().close_segment("shop").unwrap();
        shop.ask("c", 40, 30.0);
        shop.ask("d", 2_000, 2.0);
        shop.label("a", 900, "no");
        shop.label("c", 5, "yes");
        shop.label("d", 3_000, "no");
        shop
    }
}

fn rows(book: &Book, sql: &str) -> Vec<String> {
    let mut rows = Vec::new();
    book.query(sql, |_, row| {
        rows.push(row.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
        Ok(())
    })
    .unwrap();
    rows
}

#[test]
fn each_id_is_there_once_with_its_last_label_wherever_both_lie() {
    let shop = Shop::busy();
    let book = shop.book(all());
    let joined = "SELECT p.id, p.prediction, p.x, p.\"feature:version\", p.version, l.label \
                  FROM predictions p LEFT JOIN labels l ON l.id = p.id ORDER BY p.time";
    let expected = ["b yes 30 7 1 (missing)", "a no 1 7 1 no", "c yes 30 7 1 yes", "d no 2 7 1 no"];
    assert_eq!(rows(&book, joined), expected, "the first `a` counts");
    assert_eq!(rows(&book, "SELECT count(*) FROM predictions WHERE probability_yes > 0.5"), ["2"]);
    let times = rows(&book, "SELECT time FROM predictions ORDER BY time DESC LIMIT 1");
    assert_eq!(times, ["1970-01-01T00:00:02.000Z"]);
    assert_eq!((book.predictions, book.labels), (4, 3));

    let period = shop.book(Period { from: at(25), to: at(2_000) });
    let found = rows(
        &period,
        "SELECT p.id, p.x, l.label FROM predictions p LEFT JOIN labels l USING (id) ORDER BY 1",
    );
    assert_eq!(found, ["a 39 no", "c 30 (missing)"], "what was known before the period does not count");
    drop(shop.gateway);
}

#[test]
fn a_statement_reads_and_does_nothing_else() {
    let shop = Shop::busy();
    let book = shop.book(all());
    let file = shop.dir.path().join("other.db");
    let attach = format!("ATTACH '{}' AS other", file.display());
    let twice = "SELECT 1; DELETE FROM labels";
    let with = "WITH x AS (SELECT 1) DELETE FROM labels";
    for bad in [attach.as_str(), twice, with, "DROP TABLE labels", "VACUUM INTO 'x.db'"] {
        let error = book.query(bad, |_, _| Ok(())).unwrap_err();
        assert!(matches!(error, BookError::NotARead { .. }), "{bad}: {error}");
    }
    let error = book.query("SELECT y FROM predictions", |_, _| Ok(())).unwrap_err().to_string();
    assert!(error.contains("no such column: y"), "{error}");
    assert!(book.describe().contains("\"feature:version\""));
    assert_eq!(rows(&book, "SELECT count(*) FROM labels"), ["3"]);
    assert!(!file.exists());
}

#[test]
fn an_export_has_the_same_rows_in_every_form() {
    let shop = Shop::busy();
    let book = shop.book(all());
    let path = |extension: &str| shop.dir.path().join(format!("out.{extension}"));
    for extension in ["parquet", "csv", "jsonl"] {
        let path = path(extension);
        assert_eq!(book.export(&path, Form::of(&path).unwrap()).unwrap(), 4);
    }
    let column = |path: &Path, name: &str| -> Vec<Value> {
        let batches = gyre_data::table::Table::open_projected(path, &[name]).unwrap();
        batches.flat_map(|batch| batch.unwrap().values(name).unwrap()).collect()
    };
    for name in ["id", "time", "version", "prediction", "x", "feature:version", "probability_no", "label"] {
        assert_eq!(column(&path("parquet"), name), column(&path("csv"), name), "{name}");
    }
    assert_eq!(column(&path("parquet"), "label")[0], Value::Missing);
    let lines = std::fs::read_to_string(path("jsonl")).unwrap();
    let first = lines.lines().next().unwrap();
    assert!(first.starts_with(r#"{"id":"b","time":"1970-01-01T00:00:00.010Z","version":1,"#), "{first}");
    assert!(first.ends_with(r#""label":null,"label_time":null}"#), "{first}");
}

#[test]
fn the_end_is_followed_from_one_file_into_the_next() {
    let shop = Shop::busy();
    let ids =
        |found: Vec<gyre_gateway::Found>| found.iter().map(|one| one.id.to_string()).collect::<Vec<_>>();
    assert_eq!(ids(shop.view().last(3).unwrap()), ["a", "c", "d"]);
    assert_eq!(ids(shop.view().last(100).unwrap()), ["a", "b", "a", "c", "d"]);
    assert_eq!(ids(shop.view().last(1).unwrap()), ["d"]);
    assert!(shop.view().last(0).unwrap().is_empty());

    let (model, mut tail) = shop.view().tail();
    assert!(tail.more(&model).unwrap().is_empty());
    shop.ask("e", 50, 1.0);
    assert_eq!(ids(tail.more(&model).unwrap()), ["e"]);
    // Logged before the segment is closed and its file removed, and read after that.
    shop.ask("f", 51, 1.0);
    shop.gateway.log().close_segment("shop").unwrap();
    shop.ask("g", 52, 1.0);
    assert_eq!(ids(tail.more(&model).unwrap()), ["f", "g"]);

    let Err(error) = LogView::open(&shop.dir.path().join("log"), &shop.store, &"shp".parse().unwrap()) else {
        panic!()
    };
    assert!(matches!(&error, LogError::UnknownModel { .. }) && error.to_string().contains("shop"), "{error}");
}

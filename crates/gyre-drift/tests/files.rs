//! Whole files against each other.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::{
    ArrayRef, BooleanArray, DurationMillisecondArray, DurationSecondArray, FixedSizeListArray, Float64Array,
    Int32Array, Int64Array, LargeListArray, LargeStringArray, ListArray, NullArray, RecordBatch, StringArray,
    Time32SecondArray, TimestampMicrosecondArray,
    types::{Float32Type, Float64Type, Int8Type},
};
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{FileWriter, IpcWriteOptions};
use gyre_drift::measure::Kind;
use gyre_drift::multivariate::{Options, multivariate};
use gyre_drift::{Comparison, DriftError, Settings, Verdict, Why, compare};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

const ROWS: usize = 4_000;

/// A number in (0, 1) for each row, evenly spread and in no order.
fn even(row: usize, seed: usize) -> f64 {
    ((row + 7_919 * seed) as f64 * 0.618_033_988_749_895).fract()
}

fn write(path: PathBuf, columns: Vec<(&str, ArrayRef)>) -> PathBuf {
    let nullable = columns.into_iter().map(|(name, array)| (name, array, true));
    let batch = RecordBatch::try_from_iter_with_nullable(nullable).unwrap();
    let mut writer = ArrowWriter::try_new(File::create(&path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    path
}

fn table(path: PathBuf, seed: usize, shift: f64, missing: usize) -> PathBuf {
    let rows = || 0..ROWS;
    let name = |row: usize| ["oak", "elm", "日本"][(even(row, seed + 1) * 3.0) as usize];
    let price = rows().map(|row| (row % 100 >= missing).then(|| even(row, seed) + shift));
    // An hour apart, through the days of the week.
    let when = rows().map(|row| 3_600_000_000 * (row + 4_032 * seed) as i64);
    write(
        path,
        vec![
            ("price", Arc::new(price.collect::<Float64Array>())),
            (
                "few",
                Arc::new(rows().map(|row| Some((even(row, seed + 2) * 4.0) as i32)).collect::<Int32Array>()),
            ),
            ("tree", Arc::new(rows().map(|row| Some(name(row))).collect::<StringArray>())),
            ("text", Arc::new(rows().map(|row| Some(format!("{row} {seed}"))).collect::<LargeStringArray>())),
            ("paid", Arc::new(rows().map(|row| Some(even(row, seed + 3) < 0.4)).collect::<BooleanArray>())),
            ("when", Arc::new(when.map(Some).collect::<TimestampMicrosecondArray>())),
        ],
    )
}

fn found(reference: &Path, current: &Path) -> Result<Comparison, DriftError> {
    compare(reference, current, None, &Settings::default(), &|_, _| {})
}

/// Lists of texts, which are not compared.
fn lists() -> ArrayRef {
    let mut lists = ListBuilder::new(StringBuilder::new());
    (0..50).for_each(|row| lists.append_value([Some(row.to_string())]));
    Arc::new(lists.finish())
}

fn drifting(comparison: &Comparison) -> Vec<&str> {
    let drifts = comparison.columns.iter().filter(|column| column.judged.verdict == Verdict::Drift);
    drifts.map(|column| column.name.as_str()).collect()
}

#[test]
fn what_was_changed_is_found_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let reference = table(at("a.parquet"), 1, 0.0, 5);
    let same = found(&reference, &table(at("b.parquet"), 2, 0.0, 5)).unwrap();
    assert_eq!((drifting(&same), same.columns.len(), same.has_drift()), (vec![], 6, false));
    let moved = found(&reference, &table(at("c.parquet"), 3, 0.1, 5)).unwrap();
    assert_eq!(drifting(&moved), ["price"]);
    assert_eq!(moved.columns[0].judged.reasons[0].what, "wasserstein_over_iqr");
    let gone = found(&reference, &table(at("d.parquet"), 4, 0.0, 12)).unwrap();
    assert_eq!(drifting(&gone), ["price"]);
    assert_eq!(gone.columns[0].judged.reasons[0].what, "missing");
    assert!((gone.columns[0].judged.reasons[0].by - 0.07).abs() < 1e-9);
    let kinds = serde_json::to_value(&gone).unwrap();
    let kinds: Vec<_> =
        kinds["columns"].as_array().unwrap().iter().map(|column| column["kind"].clone()).collect();
    assert_eq!(kinds, ["numbers", "numbers", "categories", "texts", "categories", "times"]);
}

/// Vectors of `length` numbers around 0 that are moved, as each of the three kinds of lists; every tenth is missing.
fn embedded(path: PathBuf, seed: usize, moved: f32, length: usize) -> PathBuf {
    let number = |row: usize, at: usize| even(row * length + at, seed) as f32 - 0.5 + moved;
    let vector =
        |row: usize| (!row.is_multiple_of(10)).then(|| (0..length).map(move |at| Some(number(row, at))));
    let list = ListArray::from_iter_primitive::<Float32Type, _, _>((0..ROWS).map(vector));
    let double = |row: usize| vector(row).map(|numbers| numbers.map(|number| number.map(f64::from)));
    let large = LargeListArray::from_iter_primitive::<Float64Type, _, _>((0..ROWS).map(double));
    let fixed =
        FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>((0..ROWS).map(vector), length as i32);
    write(path, vec![("list", Arc::new(list)), ("large", Arc::new(large)), ("fixed", Arc::new(fixed))])
}

#[test]
fn embeddings_are_compared_as_whole_vectors() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let before = embedded(at("a.parquet"), 1, 0.0, 24);
    let same = found(&before, &embedded(at("b.parquet"), 2, 0.0, 24)).unwrap();
    assert_eq!((drifting(&same), same.columns.len()), (Vec::new(), 3));
    let moved = found(&before, &embedded(at("c.parquet"), 3, 0.05, 24)).unwrap();
    assert_eq!(drifting(&moved), ["list", "large", "fixed"]);
    for column in &moved.columns {
        assert_eq!(column.measured.kind, Kind::Vectors);
        assert_eq!((column.measured.reference.rows, column.measured.reference.missing), (4_000, 400));
        assert!(column.judged.reasons.iter().any(|reason| reason.what == "separation"), "{column:?}");
    }
    // The vectors of another model.
    let shorter = found(&before, &embedded(at("d.parquet"), 4, 0.0, 12)).unwrap();
    assert_eq!(shorter.columns, []);
    let why: Vec<(&str, Why)> = shorter.unmatched.iter().map(|it| (it.name.as_str(), it.why)).collect();
    assert_eq!(why, [("list", Why::Retyped), ("large", Why::Retyped), ("fixed", Why::Retyped)]);
    assert_eq!(shorter.unmatched[0].current.as_deref(), Some("vectors of 12 numbers"));
    // Vectors that came, went, or became something else.
    let numbers = |name: &'static str| vec![(name, Arc::new(Float64Array::from(vec![0.5; 50])) as ArrayRef)];
    let plain = write(at("e.parquet"), numbers("list"));
    let why = |reference: &Path, current: &Path| {
        let mut all: Vec<(String, Why)> =
            (found(reference, current).unwrap().unmatched.into_iter()).map(|it| (it.name, it.why)).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    };
    let of = |fixed, large, list| {
        vec![("fixed".to_owned(), fixed), ("large".to_owned(), large), ("list".to_owned(), list)]
    };
    assert_eq!(why(&before, &plain), of(Why::Vanished, Why::Vanished, Why::Retyped));
    assert_eq!(why(&plain, &before), of(Why::Appeared, Why::Appeared, Why::Retyped));
    // Lists of texts are no vectors, and are not compared; that they become some is told all the same.
    let other = write(at("f.parquet"), vec![("list", lists())]);
    assert_eq!(why(&before, &other), of(Why::Vanished, Why::Vanished, Why::Retyped));
    assert_eq!(why(&other, &before), of(Why::Appeared, Why::Appeared, Why::Retyped));
}

#[test]
fn a_csv_file_compares_as_a_parquet_file_does() {
    let dir = tempfile::tempdir().unwrap();
    let text = |name: &str, shift: f64| {
        let rows = (0..ROWS).map(|row| format!("{},{}\n", even(row, 1) + shift, ["x", "y"][row % 2]));
        let path = dir.path().join(name);
        std::fs::write(&path, format!("price,side\n{}", rows.collect::<String>())).unwrap();
        path
    };
    let parquet = write(
        dir.path().join("a.parquet"),
        vec![
            ("price", Arc::new((0..ROWS).map(|row| Some(even(row, 1))).collect::<Float64Array>())),
            ("side", Arc::new((0..ROWS).map(|row| Some(["x", "y"][row % 2])).collect::<StringArray>())),
        ],
    );
    let (plain, moved) = (text("a.csv", 0.0), text("b.csv", 0.5));
    let (one, other) = (found(&plain, &moved).unwrap(), found(&parquet, &moved).unwrap());
    assert_eq!(one.columns, other.columns);
    assert_eq!(drifting(&one), ["price"]);
}

#[test]
fn columns_that_come_go_or_change_their_type_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let numbers = || Arc::new((0..50).map(|row| Some(f64::from(row))).collect::<Float64Array>()) as ArrayRef;
    let names = || Arc::new((0..50).map(|row| Some(row.to_string())).collect::<StringArray>()) as ArrayRef;
    let before = vec![("same", numbers()), ("gone", numbers()), ("typed", numbers()), ("list", lists())];
    let after = vec![("same", numbers()), ("new", numbers()), ("typed", names()), ("list", lists())];
    let before = write(dir.path().join("a.parquet"), before);
    let comparison = found(&before, &write(dir.path().join("b.parquet"), after)).unwrap();
    let told: Vec<(&str, Why)> =
        comparison.unmatched.iter().map(|column| (column.name.as_str(), column.why)).collect();
    assert_eq!(
        told,
        [
            ("typed", Why::Retyped),
            ("gone", Why::Vanished),
            ("new", Why::Appeared),
            ("list", Why::NotComparable)
        ]
    );
    assert!(comparison.has_drift() && drifting(&comparison).is_empty());
    let typed = &comparison.unmatched[0];
    assert_eq!((typed.reference.as_deref(), typed.current.as_deref()), (Some("numbers"), Some("text")));
    let asked = compare(&before, &before, Some(&["smae".to_owned()]), &Settings::default(), &|_, _| {});
    assert!(asked.unwrap_err().to_string().contains("no column `smae`"));
    let other = write(dir.path().join("c.parquet"), vec![("else", lists())]);
    let only_lists = write(dir.path().join("d.parquet"), vec![("list", lists())]);
    assert!(found(&only_lists, &other).unwrap_err().to_string().contains("no column in common"));
    std::fs::write(dir.path().join("e.parquet"), b"PAR1 is not enough").unwrap();
    assert!(matches!(found(&before, &dir.path().join("e.parquet")), Err(DriftError::Table(_))));
    let empty =
        write(dir.path().join("f.parquet"), vec![("same", Arc::new(Float64Array::from(Vec::<f64>::new())))]);
    let against_nothing = found(&before, &empty).unwrap();
    assert_eq!(against_nothing.columns[0].judged.verdict, Verdict::Insufficient);
    assert!(!against_nothing.is_judged() && comparison.is_judged());
}

#[test]
fn what_became_empty_is_missing_and_no_other_type() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let csv = |name: &str, rows: usize, row: &dyn Fn(usize) -> String| {
        let rows: String = (0..rows).map(row).collect();
        std::fs::write(at(name), format!("price,tree,paid,when\n{rows}")).unwrap();
        at(name)
    };
    let full = |row: usize| {
        format!(
            "{},{},{},2024-01-0{}T00:00:00\n",
            even(row, 1),
            ["oak", "elm"][row % 2],
            row.is_multiple_of(3),
            1 + row % 7
        )
    };
    let before = csv("a.csv", 400, &full);
    let nothing = || Arc::new(NullArray::new(400)) as ArrayRef;
    let columns = ["price", "tree", "paid", "when"].map(|name| (name, nothing())).to_vec();
    for gone in [csv("b.csv", 400, &|_| ",,,\n".to_owned()), write(at("b.parquet"), columns)] {
        let gone = found(&before, &gone).unwrap();
        assert_eq!((drifting(&gone), gone.unmatched.len()), (vec!["price", "tree", "paid", "when"], 0));
        for column in &gone.columns {
            let reason = column.judged.reasons[0];
            assert_eq!((reason.what, reason.by), ("missing", 1.0));
        }
        let kinds: Vec<Kind> = gone.columns.iter().map(|column| column.measured.kind).collect();
        assert_eq!(kinds, [Kind::Numbers, Kind::Categories, Kind::Categories, Kind::Times]);
    }
    // A window without rows says nothing, and does not pass for good.
    let none = found(&before, &csv("c.csv", 0, &full)).unwrap();
    assert!(none.unmatched.is_empty() && none.count(Verdict::Insufficient) == 4);
    assert!(!none.is_judged() && !none.has_drift());
    // Vectors, too.
    let vectors = embedded(at("d.parquet"), 1, 0.0, 8);
    let null = || Arc::new(NullArray::new(ROWS)) as ArrayRef;
    let empty = write(at("e.parquet"), vec![("list", null()), ("large", null()), ("fixed", null())]);
    let gone = found(&vectors, &empty).unwrap();
    assert_eq!(drifting(&gone), ["list", "large", "fixed"]);
    assert_eq!(gone.columns[0].measured.kind, Kind::Vectors);
}

#[test]
fn durations_times_of_day_and_whole_vectors_are_compared() {
    let dir = tempfile::tempdir().unwrap();
    let table = |name: &str, seed: usize, later: i64| {
        let seconds = |row: usize| (even(row, seed) * 3_600.0) as i64 + later;
        let vector =
            |row: usize| Some((0..6).map(move |at| Some((even(6 * row + at, seed + 1) * 100.0) as i8)));
        let rows = || 0..ROWS;
        // In other units each time.
        let took: ArrayRef = if later == 0 {
            Arc::new(rows().map(|row| Some(seconds(row))).collect::<DurationSecondArray>())
        } else {
            Arc::new(rows().map(|row| Some(1_000 * seconds(row))).collect::<DurationMillisecondArray>())
        };
        let at = rows().map(|row| Some(seconds(row) as i32 - later as i32)).collect::<Time32SecondArray>();
        let whole = ListArray::from_iter_primitive::<Int8Type, _, _>(rows().map(vector));
        write(dir.path().join(name), vec![("took", took), ("at", Arc::new(at)), ("whole", Arc::new(whole))])
    };
    let compared = found(&table("a.parquet", 1, 0), &table("b.parquet", 2, 1_000)).unwrap();
    assert_eq!((drifting(&compared), compared.unmatched.len()), (vec!["took"], 0));
    let took = &compared.columns[0].measured;
    assert!((took.current.mean.unwrap() - took.reference.mean.unwrap() - 1_000.0).abs() < 50.0);
    assert_eq!(compared.columns[2].measured.kind, Kind::Vectors);
}

#[test]
fn an_arrow_file_compares_as_a_parquet_file_does_and_pandas_row_numbers_are_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let parquet = |name: &str, seed, shift| table(dir.path().join(name), seed, shift, 5);
    let arrow = |from: &Path, name: &str| {
        let batches = ParquetRecordBatchReaderBuilder::try_new(File::open(from).unwrap()).unwrap();
        let (path, mut batches) = (dir.path().join(name), batches.with_batch_size(ROWS).build().unwrap());
        let batch = batches.next().unwrap().unwrap();
        let mut columns: Vec<(&str, ArrayRef)> = batch
            .schema_ref()
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .zip(batch.columns().to_vec())
            .collect();
        columns.push(("__index_level_0__", Arc::new((0..ROWS as i64).map(Some).collect::<Int64Array>())));
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let pandas = [("pandas".to_owned(), r#"{"index_columns": ["__index_level_0__"]}"#.to_owned())];
        let schema = batch.schema().as_ref().clone().with_metadata(HashMap::from(pandas));
        let options =
            IpcWriteOptions::default().try_with_compression(Some(CompressionType::LZ4_FRAME)).unwrap();
        let mut writer =
            FileWriter::try_new_with_options(File::create(&path).unwrap(), &schema, options).unwrap();
        writer.write(&batch.with_schema(Arc::new(schema)).unwrap()).unwrap();
        writer.finish().unwrap();
        path
    };
    let (before, after) = (parquet("a.parquet", 1, 0.0), parquet("b.parquet", 2, 0.1));
    let expected = found(&before, &after).unwrap();
    let feather = found(&arrow(&before, "a.feather"), &arrow(&after, "b.feather")).unwrap();
    assert_eq!((&feather.columns, drifting(&feather)), (&expected.columns, vec!["price"]));
    assert_eq!((feather.left_out, expected.left_out.len()), (vec!["__index_level_0__".to_owned()], 0));
    // Only numbers and names can be looked at together.
    let vectors = embedded(dir.path().join("v.parquet"), 1, 0.0, 4);
    let together = multivariate(&vectors, &vectors, None, &Options::default()).unwrap();
    assert_eq!((together.columns.len(), together.verdict), (0, Verdict::Insufficient));
}

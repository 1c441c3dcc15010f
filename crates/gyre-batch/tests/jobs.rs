//! Whole jobs: what is written, in which order, after which interruptions.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow_array::{ArrayRef, Float32Array, Int64Array, RecordBatch, StringArray};
use gyre_baseline::{Options, Target, Task, TrainTable, train};
use gyre_batch::{BatchError, Kept, Plan, Progress, Report, Request, sources};
use gyre_core::{Digest, Version};
use gyre_data::table::Table as File;
use gyre_onnxruntime::LocalModel;
use gyre_runtime::{Column, Hints, Scorer, Scores, Table};

const ROWS: usize = 3_000;

fn rows() -> (Vec<f64>, Vec<Option<Arc<str>>>) {
    let x = (0..ROWS).map(|row| if row % 97 == 5 { f64::NAN } else { (row % 101) as f64 / 4.0 });
    let town = (0..ROWS).map(|row| (row % 31 != 7).then(|| ["east", "west", "so, \"uth\""][row % 3].into()));
    (x.collect(), town.collect())
}

fn features() -> Table {
    let (x, town) = rows();
    Table::new([("x", Column::Numeric(x)), ("town", Column::Text(town))]).unwrap()
}

fn model(classes: bool, seed: u64) -> Vec<u8> {
    let options = Options { rounds: 5, leaves: 4, seed, ..Options::default() };
    let (task, target) = if classes {
        let label =
            |row: usize| ["no", "maybe", "yes"][(row / 7 + usize::try_from(seed).unwrap()) % 3].to_owned();
        (Task::Multiclass, Target::Labels((0..ROWS).map(label).collect()))
    } else {
        (Task::Regression, Target::Numeric((0..ROWS).map(|row| (row % 101) as f64 + seed as f64).collect()))
    };
    train(&TrainTable { features: features(), target }, task, &options, None).unwrap().onnx
}

/// The rows as CSV (`who,town,x`) and as Parquet with small groups of rows.
fn inputs(dir: &Path) -> (PathBuf, PathBuf) {
    let (x, town) = rows();
    let mut writer = csv::Writer::from_path(dir.join("rows.csv")).unwrap();
    writer.write_record(["who", "town", "x"]).unwrap();
    for row in 0..ROWS {
        let number = if x[row].is_nan() { "NA".to_owned() } else { x[row].to_string() };
        writer
            .write_record([format!("{row:05}").as_str(), town[row].as_deref().unwrap_or(""), &number])
            .unwrap();
    }
    writer.flush().unwrap();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("x", Arc::new(x.iter().map(|x| (!x.is_nan()).then_some(*x as f32)).collect::<Float32Array>())),
        ("who", Arc::new(Int64Array::from_iter_values(0..ROWS as i64))),
        ("town", Arc::new(town.iter().map(|town| town.as_deref()).collect::<StringArray>())),
    ];
    let record =
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true))).unwrap();
    let properties =
        parquet::file::properties::WriterProperties::builder().set_max_row_group_row_count(Some(700)).build();
    let file = std::fs::File::create(dir.join("rows.parquet")).unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(file, record.schema(), Some(properties)).unwrap();
    writer.write(&record).unwrap();
    writer.close().unwrap();
    (dir.join("rows.csv"), dir.join("rows.parquet"))
}

struct Job {
    bytes: Vec<u8>,
    version: Option<Version>,
    inputs: Vec<String>,
    output: PathBuf,
    threads: usize,
    /// Rows after which it is stopped.
    stop_after: u64,
}

impl Job {
    fn new(bytes: Vec<u8>, input: &Path, output: PathBuf) -> Self {
        let inputs = vec![input.display().to_string()];
        Self { bytes, version: Some(2), inputs, output, threads: 2, stop_after: u64::MAX }
    }

    /// Runs it; also what was told of starting over, and the rows that an earlier run had done.
    fn run(&self) -> Result<(Report, Option<String>), BatchError> {
        let scorer = LocalModel::load(&self.bytes, &Hints::default()).unwrap();
        let plan = Plan::new(Request {
            scorer: &scorer,
            model: Digest::of(&self.bytes),
            version: self.version,
            pairs: sources::pairs(&self.inputs, &self.output)?,
            output: self.output.clone(),
            kept: Kept::Columns(vec!["who".to_owned()]),
            part_rows: 500,
            threads: self.threads,
        })?;
        let (done, over) = (AtomicU64::new(0), Mutex::new(None));
        let report = plan.run(&|progress| match progress {
            Progress::Rows(rows) => done.fetch_add(rows, Ordering::SeqCst) + rows < self.stop_after,
            Progress::Over(reason) => {
                *over.lock().unwrap() = Some(reason);
                true
            }
            Progress::Before(_) => true,
        });
        report.map(|report| (report, over.into_inner().unwrap()))
    }
}

fn read(path: &Path, column: &str) -> Vec<gyre_core::Value> {
    let batches = File::open_projected(path, &[column]).unwrap();
    batches.flat_map(|batch| batch.unwrap().values(column).unwrap()).collect()
}

#[test]
fn rows_come_out_in_their_order_with_the_scores_of_the_model() {
    let dir = tempfile::tempdir().unwrap();
    let (csv, parquet) = inputs(dir.path());
    for (number, input) in [(1, &csv), (2, &parquet)] {
        for extension in ["csv", "parquet"] {
            let bytes = model(true, 0);
            let scores = Scorer::load(&bytes, &Hints::default()).unwrap().score(&features()).unwrap();
            let Scores::Classification { labels, classes, probabilities } = scores else { panic!() };
            let output = dir.path().join(format!("out-{number}.{extension}"));
            let (report, _) = Job::new(bytes, input, output.clone()).run().unwrap();
            assert_eq!((report.rows, report.rows_before), (ROWS as u64, 0));
            let who = read(&output, "who");
            assert!(who.iter().enumerate().all(|(row, who)| who.to_string().trim_start_matches('0')
                == row.to_string().trim_start_matches('0')));
            let predicted = read(&output, "prediction");
            assert!(predicted.iter().zip(&labels).all(|(found, label)| found.to_string() == **label));
            for (at, class) in classes.iter().enumerate() {
                let found = read(&output, &format!("probability_{class}"));
                let near = |(row, found): (usize, &gyre_core::Value)| {
                    (found.as_number().unwrap() - probabilities[row * classes.len() + at]).abs() < 1e-12
                };
                assert!(found.iter().enumerate().all(near), "{class}");
            }
            assert!(read(&output, "model_version").iter().all(|version| version.as_number() == Some(2.0)));
        }
    }
}

#[test]
fn a_job_that_was_stopped_goes_on_and_its_output_is_the_same_to_the_byte() {
    let dir = tempfile::tempdir().unwrap();
    let (csv, parquet) = inputs(dir.path());
    for (input, extension) in [(&csv, "csv"), (&csv, "parquet"), (&parquet, "parquet"), (&parquet, "csv")] {
        let whole = Job::new(model(false, 0), input, dir.path().join(format!("whole.{extension}")));
        whole.run().unwrap();
        let output = dir.path().join(format!("resumed.{extension}"));
        let stopped =
            Job { threads: 1, stop_after: 1_700, ..Job::new(model(false, 0), input, output.clone()) };
        assert!(matches!(stopped.run(), Err(BatchError::Stopped)));
        assert!(!output.exists(), "an output appears whole or not at all");
        let (report, over) = Job { threads: 3, stop_after: u64::MAX, ..stopped }.run().unwrap();
        assert_eq!((report.rows_before, over), (1_500, None), "three parts of 500 rows were done");
        assert_eq!(std::fs::read(&output).unwrap(), std::fs::read(&whole.output).unwrap());
        let left: Vec<_> =
            std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.iter().all(|name| !name.to_string_lossy().contains("gyre")), "{left:?}");
        std::fs::remove_file(&output).unwrap();
    }
}

#[test]
fn another_model_or_input_starts_over_and_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let (csv, _) = inputs(dir.path());
    let output = dir.path().join("out.csv");
    let job = |seed, stop_after| Job {
        threads: 1,
        stop_after,
        ..Job::new(model(false, seed), &csv, output.clone())
    };
    assert!(job(0, 1_700).run().is_err());
    let (report, over) = job(90, u64::MAX).run().unwrap();
    assert_eq!(report.rows_before, 0);
    assert!(over.unwrap().contains("another model"));

    let text = std::fs::read_to_string(&csv).unwrap();
    assert!(job(0, 1_700).run().is_err());
    std::fs::write(&csv, text + "more,east,1\n").unwrap();
    let (report, over) = job(0, u64::MAX).run().unwrap();
    assert_eq!((report.rows_before, report.rows), (0, ROWS as u64 + 1));
    assert!(over.unwrap().contains("rows.csv is new or has changed"));
}

#[test]
fn a_folder_goes_on_with_the_outputs_that_are_missing() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("in");
    std::fs::create_dir_all(folder.join("day=2")).unwrap();
    let (csv, _) = inputs(&folder);
    std::fs::copy(&csv, folder.join("day=2/more.csv")).unwrap();
    std::fs::write(folder.join("none.csv"), "who,town,x\n").unwrap();
    let output = dir.path().join("out");
    let job = Job { threads: 1, stop_after: 4_200, ..Job::new(model(false, 0), &folder, output.clone()) };
    assert!(job.run().is_err());
    assert!(output.join("day=2/more.csv").exists() && !output.join("rows.csv").exists());
    let (report, _) = Job { stop_after: u64::MAX, ..job }.run().unwrap();
    assert_eq!((report.rows, report.rows_before), (3 * ROWS as u64, 4_000));
    assert_eq!(report.outputs.len(), 4);
    assert_eq!(std::fs::read_to_string(output.join("none.csv")).unwrap(), "who,prediction,model_version\n");
    assert_eq!(
        read(&output.join("rows.parquet"), "prediction"),
        read(&output.join("rows.csv"), "prediction")
    );
    assert!(!output.join(".gyre-predict").exists());
}

#[test]
fn the_first_bad_row_is_named_with_file_line_column_found_and_expected() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bad.csv");
    let mut text = "who,town,x\n\"two\nlines\",east,1\n".to_owned();
    (0..1_200).for_each(|row| text += &format!("{row},east,{row}\n"));
    text += "bad,east,soon\n";
    (0..1_200).for_each(|row| text += &format!("{row},east,{row}\n"));
    std::fs::write(&path, text + "worse,east\n").unwrap();
    let job = Job::new(model(false, 0), &path, dir.path().join("out.csv"));
    let said = job.run().unwrap_err().to_string();
    assert!(said.contains("bad.csv: line 1204, column `x`: found `soon`"), "{said}");
    assert!(said.contains("expected: a number, or nothing"), "{said}");

    assert!(job.output.with_file_name(".out.csv.gyre-predict").exists(), "two parts were done");
    std::fs::write(&path, "who,city,x\n1,east,1\n").unwrap();
    let said = job.run().unwrap_err().to_string();
    assert!(said.contains("reads the column `town`") && said.contains("the file has who, city, x"), "{said}");
    std::fs::write(&path, "who,town,x\n1,east\n").unwrap();
    let said = job.run().unwrap_err().to_string();
    assert!(said.contains("line 2: 2 fields, and the first line names 3 columns"), "{said}");
    let left = std::fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(left, 1, "where nothing was done, nothing is left but the input");
}

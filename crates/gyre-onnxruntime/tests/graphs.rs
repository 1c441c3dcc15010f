//! Graphs that gyre's own engine does not run, run by the real onnxruntime of the test environment: what it answers from
//! Python is what gyre answers, and hostile ones harm nobody.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gyre_onnxruntime::{AskError, LoadError, LocalModel, Places, look_in};
use gyre_runtime::{Column, Hints, ScoreError, Scores, Table};
use serde::Deserialize;

#[derive(Deserialize)]
struct Asked {
    name: String,
    numbers: Option<Vec<Option<f64>>>,
    texts: Option<Vec<Option<String>>>,
}

#[derive(Deserialize)]
struct Answer {
    columns: Vec<Asked>,
    classes: Vec<String>,
    probabilities: Option<Vec<Vec<f64>>>,
    prediction: Option<Vec<f64>>,
    labels: Option<Vec<String>>,
}

impl Answer {
    fn table(&self) -> Table {
        let column = |asked: &Asked| match (&asked.numbers, &asked.texts) {
            (Some(numbers), _) => Column::Numeric(numbers.iter().map(|n| n.unwrap_or(f64::NAN)).collect()),
            (_, texts) => {
                let texts = texts.as_ref().unwrap().iter();
                Column::Text(texts.map(|text| text.as_deref().map(Arc::from)).collect())
            }
        };
        Table::new(self.columns.iter().map(|asked| (asked.name.as_str(), column(asked)))).unwrap()
    }
}

/// Writes the graphs called `names`, or all.
fn graphs(names: &[&str]) -> tempfile::TempDir {
    let venv = PathBuf::from(std::env::var_os("GYRE_TEST_VENV").expect(
        "GYRE_TEST_VENV is not set; run `cargo xtask test -- -p gyre-onnxruntime`, which makes the environment",
    ));
    let dir = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/graphs.py");
    let output =
        Command::new(venv.join("bin/python")).arg(script).arg(dir.path()).args(names).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::os::unix::fs::symlink(std::path::absolute(venv).unwrap(), dir.path().join(".venv")).unwrap();
    look_in(Places { setting: None, project: Some(dir.path().into()) });
    dir
}

fn answer(dir: &Path, name: &str) -> Answer {
    serde_json::from_slice(&std::fs::read(dir.join(format!("{name}.json"))).unwrap()).unwrap()
}

fn load(dir: &Path, name: &str, features: &[&str], classes: &[&str]) -> Result<LocalModel, LoadError> {
    let file = std::fs::read(dir.join(format!("{name}.onnx"))).unwrap();
    LocalModel::load(&file, &Hints { features, classes })
}

/// The graph, with what its caller knows of it, and what it is asked.
fn loaded(dir: &Path, name: &str) -> (LocalModel, Answer) {
    let answer = answer(dir, name);
    let features: Vec<&str> = answer.columns.iter().map(|column| column.name.as_str()).collect();
    let classes: Vec<&str> = answer.classes.iter().map(String::as_str).collect();
    let model = load(dir, name, &features, &classes).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(matches!(model, LocalModel::Onnxruntime(_)), "{name} is for onnxruntime");
    (model, answer)
}

const PATIENCE: Duration = Duration::from_secs(60);

#[track_caller]
fn close(name: &str, ours: &[f64], theirs: &[f64]) {
    assert_eq!(ours.len(), theirs.len(), "{name}");
    for (at, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
        assert!(
            (ours - theirs).abs() <= 1e-6 + 1e-5 * theirs.abs(),
            "{name} {at}: {ours}, expected {theirs}"
        );
    }
}

fn agrees(name: &str, scores: &Scores, answer: &Answer) {
    match scores {
        Scores::Regression(values) => close(name, values, answer.prediction.as_ref().unwrap()),
        Scores::Classification { labels, classes, probabilities } => {
            assert_eq!(classes.iter().map(ToString::to_string).collect::<Vec<_>>(), answer.classes, "{name}");
            let theirs = answer.probabilities.as_ref().unwrap();
            close(name, probabilities, &theirs.concat());
            for (row, label) in labels.iter().enumerate() {
                let best = theirs[row].iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0;
                let expected = answer.labels.as_ref().map_or(&answer.classes[best], |labels| &labels[row]);
                assert_eq!(**label, **expected, "{name} row {row}");
            }
        }
    }
}

#[test]
fn answers_are_those_of_onnxruntime_in_python() {
    let dir = graphs(&["cnn", "image", "columns", "one_row", "binary", "other_axis", "svc", "large", "flat"]);
    for name in
        ["cnn", "image", "columns", "one_row", "binary", "other_axis", "svc", "svc_maps", "large", "flat"]
    {
        let (model, answer) = loaded(dir.path(), name);
        let table = answer.table();
        agrees(name, &model.score_within(&table, PATIENCE).unwrap(), &answer);
        // Many rows are asked about in parts, and come out in their order.
        let many = |column: &Column| match column {
            Column::Numeric(v) => Column::Numeric(v.iter().cycle().take(v.len() * 30).copied().collect()),
            Column::Text(v) => Column::Text(v.iter().cycle().take(v.len() * 30).cloned().collect()),
        };
        let many = Table::new(table.columns().iter().map(|(name, of)| (name.clone(), many(of)))).unwrap();
        let (few, all) = (model.score_within(&table, PATIENCE), model.score_within(&many, PATIENCE));
        match (few.unwrap(), all.unwrap()) {
            (Scores::Regression(few), Scores::Regression(all)) => close(name, &all, &few.repeat(30)),
            (
                Scores::Classification { probabilities: few, .. },
                Scores::Classification { probabilities: all, .. },
            ) => {
                close(name, &all, &few.repeat(30));
            }
            other => panic!("{name}: {other:?}"),
        }
        assert!(model.explain(&table).unwrap_err().to_string().contains("onnxruntime runs it"), "{name}");
    }
    // A file that names its columns and classes needs nobody to say them.
    let model = load(dir.path(), "image", &[], &[]).unwrap();
    assert_eq!((model.features().len(), &*model.features()[63].name), (64, "x63"));
    // One that does not is refused with what to do.
    let unnamed = load(dir.path(), "cnn", &[], &[]).unwrap_err();
    assert!(
        matches!(unnamed, LoadError::Signature(_)) && unnamed.to_string().contains("gyre.features"),
        "{unnamed}"
    );
    let names: Vec<String> = (0..64).map(|at| format!("x{at}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let unnamed = load(dir.path(), "cnn", &names, &[]).unwrap_err();
    assert!(
        unnamed.to_string().contains("3 columns") && unnamed.to_string().contains("classes"),
        "{unnamed}"
    );
    let many = load(dir.path(), "cnn", &names, &["a", "b"]).unwrap_err();
    assert!(many.to_string().contains("3 columns for 2 classes"), "{many}");
}

#[test]
fn what_a_graph_must_not_do_is_refused_or_ended() {
    let dir = graphs(&["endless", "huge", "nan", "wrong_shape", "elsewhere", "flat"]);
    let numbers = |name: &str, value: f64| Table::new([(name, Column::Numeric(vec![value]))]).unwrap();

    let external = load(dir.path(), "elsewhere", &[], &[]).unwrap_err().to_string();
    assert!(external.contains("lies in another file") && external.contains("save the model"), "{external}");
    // Its file does lie beside the graph: it is not a matter of finding it.
    assert!(dir.path().join("weights.bin").exists());

    let shape = load(dir.path(), "wrong_shape", &[], &[]).unwrap_err().to_string();
    assert!(shape.contains("[1, 2]") && shape.contains("expected 1 a row"), "{shape}");

    let (nan, _) = loaded(dir.path(), "nan");
    let told = nan.score_within(&numbers("x", -1.0), PATIENCE).unwrap_err();
    assert!(matches!(told, AskError::Score(ScoreError::NonFinite { row: 0, .. })), "{told}");
    let told = nan.score_within(&numbers("y", 1.0), PATIENCE).unwrap_err();
    assert!(matches!(told, AskError::Score(ScoreError::MissingFeature(_))), "{told}");

    // A tensor that no machine has the memory for.
    let (huge, answer) = loaded(dir.path(), "huge");
    let told = huge.score_within(&numbers("elements", 2f64.powi(50)), PATIENCE).unwrap_err();
    assert!(matches!(told, AskError::Failed(_)), "{told}");
    agrees("huge", &huge.score_within(&answer.table(), PATIENCE).unwrap(), &answer);

    // A loop of a billion rounds ends with its deadline, and the session is of use afterwards.
    let (endless, answer) = loaded(dir.path(), "endless");
    for _ in 0..2 {
        let begun = Instant::now();
        let told = endless.score_within(&numbers("rounds", 1e9), Duration::from_millis(200)).unwrap_err();
        assert!(matches!(told, AskError::Late(_)), "{told}");
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        agrees("endless", &endless.score_within(&answer.table(), PATIENCE).unwrap(), &answer);
    }

    // What is no ONNX file goes to nobody; a broken graph is refused by onnxruntime in words.
    let broken = LocalModel::load(b"\x08\x08\x3a\xff\xff", &Hints::default()).unwrap_err();
    assert!(matches!(broken, LoadError::Native(gyre_runtime::LoadError::Decode(_))), "{broken}");
    let file = std::fs::read(dir.path().join("flat.onnx")).unwrap();
    let at = file.windows(11).position(|window| window == b"HardSigmoid").unwrap();
    let mut unknown = file;
    unknown[at + 10] = b'X';
    let told = LocalModel::load(&unknown, &Hints::default()).unwrap_err().to_string();
    assert!(
        told.contains("lacks operator ai.onnx::HardSigmoiX") && told.contains("does not run it either"),
        "{told}"
    );
}

#[test]
fn many_threads_share_few_sessions_and_nobody_waits_past_the_deadline() {
    let dir = graphs(&["cnn", "endless"]);
    let (cnn, answer) = loaded(dir.path(), "cnn");
    let table = answer.table();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..50 {
                    agrees("cnn", &cnn.score_within(&table, PATIENCE).unwrap(), &answer);
                }
            });
        }
    });
    let LocalModel::Onnxruntime(graph) = &cnn else { panic!("onnxruntime runs it") };
    let cores = std::thread::available_parallelism().unwrap().get();
    assert!((1..=cores).contains(&graph.sessions()), "{} sessions on {cores} cores", graph.sessions());

    // On a server's threads: while all sessions are busy others wait, are told so in time, and nothing is stalled.
    let (endless, answer) = loaded(dir.path(), "endless");
    let endless = Arc::new(endless);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let busy = Table::new([("rounds", Column::Numeric(vec![1e9]))]).unwrap();
    let begun = Instant::now();
    let deadline = begun + Duration::from_millis(300);
    let asking: Vec<_> = (0..cores * 4)
        .map(|_| {
            let (model, table) = (Arc::clone(&endless), busy.clone());
            runtime.spawn(async move { model.score(&table, deadline).await })
        })
        .collect();
    // The one thread of the server is free all the while.
    let free = runtime.block_on(async { tokio::spawn(async { Instant::now() }).await.unwrap() });
    assert!(free < deadline, "the server's thread was not free for {:?}", free - begun);
    for asked in asking {
        let told = runtime.block_on(asked).unwrap().unwrap_err();
        assert!(matches!(told, AskError::Late(_)), "{told}");
    }
    assert!(begun.elapsed() < Duration::from_secs(10));
    agrees("endless", &endless.score_within(&answer.table(), PATIENCE).unwrap(), &answer);
}

//! A folder `mlruns/` with damage in it: what is broken is named, the rest comes.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;

use gyre_artifacts::Artifacts;
use gyre_core::Timestamp;
use gyre_core::time::ManualClock;
use gyre_import::mover::Target;
use gyre_import::{ImportError, Kind, Options, Report, import, source, survey};
use gyre_store::{Room, Store};
use gyre_tracking::{By, data, experiments, history};

static ROOMS: [&Room; 4] =
    [&gyre_artifacts::ROOM, &gyre_registry::ROOM, &gyre_tracking::ROOM, &gyre_import::ROOM];

fn store(dir: &Path) -> (Arc<Store>, Artifacts) {
    let clock = Arc::new(ManualClock::at(Timestamp::from_millis(5)));
    let store = Arc::new(Store::open(dir, &ROOMS, Arc::clone(&clock) as Arc<_>).unwrap());
    let artifacts = Artifacts::local(Arc::clone(&store), clock);
    (store, artifacts)
}

fn by() -> By {
    By { actor: "user:local".to_owned(), origin: None, at: Timestamp::from_millis(5) }
}

fn bring(store: &Store, artifacts: &Artifacts, from: &Path, prefix: &str) -> Result<Report, ImportError> {
    let mut source = source::open(from.to_str().unwrap(), None)?;
    let target = Target { store, artifacts: Some(artifacts) };
    let options = Options { prefix: prefix.to_owned(), ..Options::default() };
    import(target, source.as_mut(), &options, &by(), &mut |_| {})
}

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn run(root: &Path, experiment: &str, id: &str) {
    let meta = format!(
        "run_id: {id}\nexperiment_id: '{experiment}'\nstatus: 3\nstart_time: 1\nend_time: 2\nuser_id: ann\nname: ''\n\
         lifecycle_stage: active\nartifact_uri: file:///nowhere/{experiment}/{id}/artifacts\n"
    );
    write(root, &format!("{experiment}/{id}/meta.yaml"), &meta);
    write(root, &format!("{experiment}/{id}/tags/mlflow.runName"), "named by its tag");
}

fn experiment(root: &Path, id: &str, name: &str) {
    let meta =
        format!("experiment_id: '{id}'\nname: {name}\nlifecycle_stage: active\nartifact_location: {id}\n");
    write(root, &format!("{id}/meta.yaml"), &meta);
}

/// Ids that YAML could take for numbers.
const GOOD: &str = "12345678901234567890123456789012";
const FLOAT: &str = "1234567890123456789012345678e012";

fn damaged(root: &Path) {
    experiment(root, "0", "Default");
    experiment(root, "5", "five");
    run(root, "5", GOOD);
    run(root, "5", FLOAT);
    write(root, &format!("5/{GOOD}/metrics/loss"), "1 0.5 0\n2 broken 1\n\n3 0.25 2 train d1\n4 nan\n");
    write(root, &format!("5/{GOOD}/params/nested/lr"), "0.1");
    write(root, &format!("5/{GOOD}/artifacts/model/notes.txt"), "bytes");
    std::os::unix::fs::symlink("/etc/hostname", root.join(format!("5/{GOOD}/artifacts/link"))).unwrap();
    run(root, "5", "brokenyaml");
    write(root, "5/brokenyaml/meta.yaml", "run_id: [unclosed\n");
    write(root, "5/nometa/params/a", "1");
    run(root, "5", "liar");
    std::fs::rename(root.join("5/liar"), root.join("5/honest")).unwrap();
    write(root, "6/tags/only", "no meta");
    std::fs::write(root.join(format!("5/{GOOD}/tags/latin")), b"\xe4").unwrap();
}

#[test]
fn what_is_broken_is_named_and_the_rest_comes() {
    let (dir, from) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    damaged(from.path());
    let (store, artifacts) = store(dir.path());
    let mut report = bring(&store, &artifacts, from.path(), "").unwrap();
    let told = report.problems.join("\n");
    for place in [
        "5/brokenyaml/meta.yaml: ",
        "5/nometa/meta.yaml: it cannot be read",
        "5/honest/meta.yaml: it says that it is run Some(\"liar\")",
        "6/meta.yaml: it cannot be read",
        &format!("5/{GOOD}/metrics/loss:2: `2 broken 1`, expected TIMESTAMP VALUE [STEP]"),
        &format!("5/{GOOD}/tags/latin: it is no UTF-8"),
        "artifacts/link: it is a symbolic link",
    ] {
        assert!(told.contains(place), "{place} is not in\n{told}");
    }
    assert_eq!(report.tally(Kind::Runs).imported, 2);
    assert_eq!(report.tally(Kind::Runs).skipped.values().sum::<u64>(), 3);
    assert_eq!(report.tally(Kind::Runs).found, 5);
    let (run, points) = store
        .read(|tx| {
            let run = data::run(tx, GOOD)?;
            let points = history::all(tx, run.info.run, "loss")?;
            Ok((run, points))
        })
        .unwrap();
    assert_eq!(run.info.name, "named by its tag");
    assert_eq!(run.params, [("nested/lr".to_owned(), "0.1".to_owned())]);
    assert_eq!(
        points.iter().map(|point| (point.timestamp, point.step)).collect::<Vec<_>>(),
        [(1, 0), (3, 2), (4, 0)]
    );
    assert_eq!(run.info.artifact_uri, format!("mlflow-artifacts:/5/{GOOD}/artifacts"));
    assert!(store.read(|tx| data::run(tx, FLOAT)).is_ok());
    let file =
        gyre_artifacts::ArtifactPath::from_field(&format!("5/{GOOD}/artifacts/model/notes.txt")).unwrap();
    assert_eq!(store.read(|tx| gyre_artifacts::index::file(tx, &file)).unwrap().size, 5);
}

#[test]
fn the_seal_of_an_imported_run_is_that_of_what_it_logged() {
    let (dir, from) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    damaged(from.path());
    let (store, artifacts) = store(dir.path());
    bring(&store, &artifacts, from.path(), "").unwrap();
    let (kept, sealed): (Vec<u8>, _) = store
        .read(|tx| {
            let sql = "SELECT seal FROM import_runs WHERE run_id = ?1";
            let kept = tx.query(sql, &[GOOD.into()])?;
            Ok((kept[0].get(0)?, gyre_tracking::seal(tx, GOOD, None)?))
        })
        .unwrap();
    assert_eq!(kept, sealed.as_bytes());
}

#[test]
fn a_taken_name_stops_it_before_anything_is_written_and_a_prefix_helps() {
    let (dir, from) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    damaged(from.path());
    let (store, artifacts) = store(dir.path());
    let new = experiments::NewExperiment { name: "five".to_owned(), ..Default::default() };
    let ours = store.write(move |tx| experiments::create(tx, new, &by())).unwrap();
    let told = bring(&store, &artifacts, from.path(), "").unwrap_err().to_string();
    assert!(told.contains("`five`") && told.contains("--prefix"), "{told}");
    let mut source = source::open(from.path().to_str().unwrap(), None).unwrap();
    assert!(survey(Some(&store), source.as_mut(), &Options::default()).is_err());
    let count = |sql: &'static str| -> u64 { store.read(|tx| tx.query(sql, &[])?[0].get(0)).unwrap() };
    assert_eq!(count("SELECT count(*) FROM tracking_runs"), 0);
    bring(&store, &artifacts, from.path(), "old-").unwrap();
    let theirs = store.read(|tx| experiments::by_name(tx, "old-five")).unwrap().unwrap();
    assert_eq!((theirs.id, ours), (5, 1));
    assert_eq!(count("SELECT count(*) FROM tracking_runs"), 2);
    // The next experiment of our own does not fall on a number that came.
    let new = experiments::NewExperiment { name: "next".to_owned(), ..Default::default() };
    assert!(store.write(move |tx| experiments::create(tx, new, &by())).unwrap() > 5);
}

#[test]
fn what_is_no_source_is_refused_with_what_would_be_one() {
    let dir = tempfile::tempdir().unwrap();
    let told = |text: &str| source::open(text, None).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(told("s3://bucket").contains("sqlite:///PATH"));
    assert!(told(dir.path().to_str().unwrap()).contains("no `mlruns` of MLflow's"));
    assert!(told("sqlite:////nowhere.db").contains("there is no file /nowhere.db"));
    write(dir.path(), "text.db", "this is no database at all, but it is long enough to be one\n");
    assert!(told(&format!("sqlite:///{}/text.db", dir.path().display())).contains("database"));
    let empty = dir.path().join("empty.db");
    rusqlite::Connection::open(&empty).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
    assert!(told(&format!("sqlite:///{}", empty.display())).contains("no table `alembic_version`"));
}

//! Moving over from the real MLflow: its client sees the same at both servers, whatever way the contents came.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use support::{Up, command, gyre};

/// A program of the environment with the real MLflow.
fn tool(name: &str) -> PathBuf {
    let venv = std::env::var_os("GYRE_TEST_VENV").expect(
        "GYRE_TEST_VENV is not set; run cargo xtask test, which makes the environment with the real mlflow",
    );
    PathBuf::from(venv).join("bin").join(name)
}

fn script(name: &str, uri: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mlflow").join(name);
    let output = Command::new(tool("python")).arg(path).arg(uri).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name} {uri}:\n{out}\n{err}");
    out.into_owned()
}

/// A real `mlflow server` over SQLite that keeps artifacts itself.
struct Mlflow {
    child: Child,
    url: String,
}

impl Mlflow {
    fn start(dir: &Path) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new(tool("mlflow"));
        command.current_dir(dir).args(["server", "--workers", "1", "--host", "127.0.0.1"]);
        command.arg("--port").arg(port.to_string());
        command.arg("--backend-store-uri").arg(format!("sqlite:///{}/mlflow.db", dir.display()));
        command
            .arg("--artifacts-destination")
            .arg(dir.join("kept"))
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        // The server starts workers; they end with their group.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut told = Vec::new();
        loop {
            let line =
                lines.next().unwrap_or_else(|| panic!("mlflow did not start:\n{}", told.join("\n"))).unwrap();
            if line.contains("startup complete") {
                break;
            }
            told.push(line);
        }
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, url: format!("http://127.0.0.1:{port}") }
    }
}

impl Drop for Mlflow {
    fn drop(&mut self) {
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.child.wait();
    }
}

/// What differs between two dumps, or nothing.
#[track_caller]
fn same(before: &str, after: &str) {
    let (before, after): (BTreeSet<&str>, BTreeSet<&str>) =
        (before.lines().collect(), after.lines().collect());
    let lost: Vec<_> = before
        .difference(&after)
        .map(|line| format!("- {}", &line[..line.floor_char_boundary(300)]))
        .collect();
    let new: Vec<_> = after
        .difference(&before)
        .map(|line| format!("+ {}", &line[..line.floor_char_boundary(300)]))
        .collect();
    assert!(lost.is_empty() && new.is_empty(), "{}\n{}", lost.join("\n"), new.join("\n"));
    assert!(before.len() > 40, "{before:?}");
}

/// Imports into a fresh project, and says what MLflow's client sees there.
fn imported(words: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let said = gyre(dir.path(), &format!("import mlflow {words}")).done();
    assert!(said.out.contains("experiments"), "{}", said.out);
    // Again: everything is here already.
    let again = gyre(dir.path(), &format!("import mlflow {words} --json")).done().json();
    for (kind, tally) in again["kinds"].as_object().unwrap() {
        assert!(tally["imported"] == 0, "{kind}: {tally}");
    }
    let verified = gyre(dir.path(), "journal verify").done();
    assert!(verified.out.contains("verified"), "{}", verified.out);
    let up = Up::start(dir.path());
    let seen = script("dump.py", &up.url());
    drop(up);
    (dir, seen)
}

#[test]
fn an_mlflow_server_comes_over_whole() {
    let dir = tempfile::tempdir().unwrap();
    let server = Mlflow::start(dir.path());
    script("populate.py", &server.url);
    let before = script("dump.py", &server.url);
    // Traces and webhooks come from the database only.
    let without = |dump: &str| -> String {
        dump.lines().filter(|line| !line.starts_with("[\"trace")).map(|line| format!("{line}\n")).collect()
    };
    same(&without(&before), &imported(&format!("--from {}", server.url)).1);
    drop(server);
    let database = dir.path().join("mlflow.db");
    let words =
        format!("--from sqlite:///{} --artifacts-root {}/kept", database.display(), dir.path().display());
    let (project, seen) = imported(&words);
    same(&before, &seen);

    // And back into a database that MLflow makes.
    let back = tempfile::tempdir().unwrap();
    let uri = format!("sqlite:///{}/mlflow.db", back.path().display());
    let made = Command::new(tool("mlflow")).args(["db", "upgrade", &uri]).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let words = format!("export mlflow --to {uri} --artifacts-root {}/kept", back.path().display());
    gyre(project.path(), &words).done();
    let server = Mlflow::start(back.path());
    same(&without(&before), &script("dump.py", &server.url));
}

#[test]
fn a_folder_of_runs_comes_over_whole() {
    let dir = tempfile::tempdir().unwrap();
    let uri = format!("file:{}/mlruns", dir.path().display());
    script("populate.py", &uri);
    let before = script("dump.py", &uri);
    same(&before, &imported(&format!("--from {}/mlruns", dir.path().display())).1);
}

#[test]
fn a_killed_import_goes_on_where_it_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let database = dir.path().join("mlflow.db");
    let runs = 400;
    seed(&database, runs);
    let from = format!("sqlite:///{}", database.display());
    let project = tempfile::tempdir().unwrap();
    for _ in 0..3 {
        let mut import = command(project.path());
        import.args(["import", "mlflow", "--batch", "5", "--from", &from]).stdout(Stdio::null());
        let mut child = import.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        // It said that some came: kill it while it is about the next ones.
        lines.next().unwrap().unwrap();
        lines.next().unwrap().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let report = gyre(project.path(), &format!("import mlflow --json --from {from}")).done().json();
    let tally = &report["kinds"]["runs"];
    let (here, new) = (tally["here"].as_u64().unwrap(), tally["imported"].as_u64().unwrap());
    assert!(here >= 40 && here + new == runs, "{tally}");
    let store = rusqlite::Connection::open(project.path().join(".gyre/gyre.db")).unwrap();
    let count = |sql: &str| store.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap() as u64;
    assert_eq!(count("SELECT count(*) FROM tracking_runs"), runs);
    for table in ["tracking_params", "tracking_tags", "tracking_latest", "tracking_points"] {
        assert_eq!(count(&format!("SELECT count(*) FROM {table}")), runs * 2, "{table}");
    }
    assert_eq!(count("SELECT count(*) FROM journal WHERE body LIKE '%imported%sqlite%'"), 1);
}

/// A database as MLflow 1.27 had it, with runs of two of everything.
fn seed(path: &Path, runs: u64) {
    let db = rusqlite::Connection::open(path).unwrap();
    db.execute_batch(
        "CREATE TABLE alembic_version (version_num VARCHAR(32) PRIMARY KEY);
         CREATE TABLE experiments (experiment_id INTEGER PRIMARY KEY, name VARCHAR(256) UNIQUE NOT NULL,
             artifact_location VARCHAR(256), lifecycle_stage VARCHAR(32));
         CREATE TABLE runs (run_uuid VARCHAR(32) PRIMARY KEY, name VARCHAR(250), source_type VARCHAR(20),
             source_name VARCHAR(500), entry_point_name VARCHAR(50), user_id VARCHAR(256), status VARCHAR(9),
             start_time BIGINT, end_time BIGINT, source_version VARCHAR(50), lifecycle_stage VARCHAR(20),
             artifact_uri VARCHAR(200), experiment_id INTEGER);
         CREATE TABLE metrics (key VARCHAR(250), value FLOAT, timestamp BIGINT, run_uuid VARCHAR(32), step BIGINT,
             is_nan BOOLEAN);
         CREATE TABLE params (key VARCHAR(250), value VARCHAR(500), run_uuid VARCHAR(32));
         CREATE TABLE tags (key VARCHAR(250), value VARCHAR(5000), run_uuid VARCHAR(32));
         INSERT INTO experiments VALUES (0, 'Default', './mlruns/0', 'active'), (5, 'old', './mlruns/5', 'active');
         BEGIN;",
    )
    .unwrap();
    for run in 0..runs {
        let id = format!("{run:032x}");
        let sql = "INSERT INTO runs VALUES (?1, 'r', 'LOCAL', '', '', 'ann', 'FINISHED', ?2, ?2, '', 'active', ?3, 5)";
        db.execute(sql, (&id, run as i64, format!("s3://bucket/5/{id}/artifacts"))).unwrap();
        for key in ["a", "b"] {
            let sql = "INSERT INTO metrics VALUES (?1, 1, 1, ?2, 0, 0)";
            db.execute(sql, (key, &id)).unwrap();
            for table in ["params", "tags"] {
                db.execute(&format!("INSERT INTO {table} VALUES (?1, 'v', ?2)"), (key, &id)).unwrap();
            }
        }
    }
    db.execute_batch("COMMIT").unwrap();
}

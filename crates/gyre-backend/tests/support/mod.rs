//! Model servers for tests, and rows for them.
#![allow(dead_code, clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gyre_backend::{Backend, Backoff, Instant, ProcessSpec, Protocol, State};
use gyre_core::record::{Field, Kind, Signature};
use gyre_runtime::{Column, Scores, Table};

/// Nothing that a test waits for takes this long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn soon() -> Instant {
    Instant::now() + PATIENCE
}

/// The folder of the servers.
pub(crate) fn servers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers")
}

/// A program of the tests' Python environment.
pub(crate) fn venv(program: &str) -> String {
    let venv = std::env::var_os("GYRE_TEST_VENV").expect(
        "GYRE_TEST_VENV is not set; run `cargo xtask test -- -p gyre-backend`, which makes the environment with mlflow",
    );
    Path::new(&venv).join("bin").join(program).to_string_lossy().into_owned()
}

pub(crate) fn field(name: &str, kind: Kind) -> Field {
    Field { name: name.into(), kind }
}

/// `x` and, where it says so, `mode`.
pub(crate) fn signature(mode: bool, classes: &[&str]) -> Signature {
    let mut inputs = vec![field("x", Kind::Number)];
    if mode {
        inputs.push(field("mode", Kind::Text));
    }
    let classes = classes.iter().map(|&class| class.to_owned()).collect();
    Signature { inputs, output: "y".into(), classes }
}

/// `tests/servers/v2.py` with these arguments; restarts come quickly.
pub(crate) fn v2(arguments: &[&str]) -> ProcessSpec {
    python("v2.py", arguments, Protocol::v2("m"), signature(true, &[]))
}

pub(crate) fn python(
    server: &str,
    arguments: &[&str],
    protocol: Protocol,
    signature: Signature,
) -> ProcessSpec {
    let mut command = vec![venv("python"), server.to_owned()];
    command.extend(arguments.iter().map(|&argument| argument.to_owned()));
    let mut spec = ProcessSpec::new(command, protocol, signature);
    spec.dir = servers();
    spec.env = vec![("PYTHONDONTWRITEBYTECODE".into(), "1".into())];
    spec.backoff = Backoff { first: Duration::from_millis(20), ..Backoff::default() };
    spec
}

/// Rows of `x` with one `mode` for each.
pub(crate) fn rows(rows: &[(f64, &str)]) -> Table {
    let x = rows.iter().map(|(x, _)| *x).collect();
    let mode = rows.iter().map(|(_, mode)| Some(Arc::from(*mode))).collect();
    Table::new([("x", Column::Numeric(x)), ("mode", Column::Text(mode))]).unwrap()
}

pub(crate) fn numbers(x: &[f64]) -> Table {
    Table::new([("x", Column::Numeric(x.to_vec()))]).unwrap()
}

pub(crate) fn y(values: &[f64]) -> Scores {
    Scores::Regression(values.to_vec())
}

/// Waits until the state is as wanted.
pub(crate) async fn until(backend: &Backend, wanted: impl Fn(&State) -> bool) -> State {
    let deadline = soon();
    loop {
        let state = backend.state();
        if wanted(&state) {
            return state;
        }
        assert!(Instant::now() < deadline, "still {state:?}; its output: {:#?}", backend.log());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Whether a process has ended; one that only its parent has to take note of counts as ended.
pub(crate) fn is_gone(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.is_empty() || stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z'))
}

/// Waits until a process has ended.
pub(crate) fn wait_gone(pid: &str) {
    let until = std::time::Instant::now() + PATIENCE;
    while !is_gone(pid) {
        assert!(std::time::Instant::now() < until, "process {pid} lives");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The rest of the first line that begins so, once it was printed.
pub(crate) async fn line(backend: &Backend, prefix: &str) -> String {
    let deadline = soon();
    loop {
        if let Some(rest) = backend.log().iter().find_map(|line| line.strip_prefix(prefix).map(str::to_owned))
        {
            return rest;
        }
        assert!(Instant::now() < deadline, "no line {prefix:?}: {:#?}", backend.log());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

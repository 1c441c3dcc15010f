//! MLflow's own server and gyre, asked the same: see registry_differential.py.
#![allow(clippy::unwrap_used)]

mod support;

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use gyre_core::{Clock, Timestamp};
use support::Scene;

/// A clock that goes on whenever it is looked at, so that what comes later is later.
struct Ticking(AtomicI64);

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

#[test]
fn the_registry_answers_as_mlflows_own_server_does() {
    let python = std::env::var_os("GYRE_PYTHON")
        .expect("GYRE_PYTHON names a Python with mlflow: run `cargo xtask test -- -p gyre-server`");
    let scene = Scene::with_clock(Arc::new(Ticking(AtomicI64::new(1_795_000_000_000))));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/registry_differential.py");
    let run = Command::new(python).arg(script).arg(format!("http://{}", scene.address)).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{out}\n{err}");
}

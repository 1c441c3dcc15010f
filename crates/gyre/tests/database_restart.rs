//! A PostgreSQL that restarts, and crashes, under the requests of MLflow's clients: they are told to try again, nothing that
//! was acknowledged is lost, and the server goes on by itself.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use gyre_testing::{Cluster, Place, Stop};
use serde_json::{Value, json};
use support::{Said, Up, command};

const API: &str = "/api/2.0/mlflow";
const WRITERS: usize = 4;
const PATIENCE: Duration = Duration::from_secs(60);

/// What happened so far, for everybody to see.
#[derive(Default)]
struct Weather {
    over: AtomicBool,
    done: AtomicU64,
    refused: AtomicU64,
}

impl Weather {
    /// Asks; none when the client was told to try again later. Anything else is a failure.
    fn ask(&self, up: &Up, method: &str, path: &str, body: &str) -> Option<Value> {
        let (status, said) = up.ask(method, path, body);
        if status == 200 {
            self.done.fetch_add(1, Ordering::Relaxed);
            return Some(said);
        }
        assert_eq!((status, &said["error_code"]), (503, &json!("TEMPORARILY_UNAVAILABLE")), "{path}: {said}");
        let message = said["message"].as_str().unwrap();
        assert!(message.contains("try again"), "{message}");
        self.refused.fetch_add(1, Ordering::Relaxed);
        None
    }

    /// Asks until it is done.
    fn insist(&self, up: &Up, path: &str, body: &Value) -> Value {
        let begun = Instant::now();
        loop {
            if let Some(said) = self.ask(up, "POST", path, &body.to_string()) {
                return said;
            }
            assert!(begun.elapsed() < PATIENCE, "{path} is refused for a minute");
        }
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "{what} did not come about");
        std::thread::yield_now();
    }
}

#[test]
fn a_database_that_restarts_under_load_loses_nothing_acknowledged() {
    let mut cluster = Cluster::start().unwrap();
    let place = Place::on(&cluster);
    let mut program = command(place.dir());
    program.env("GYRE_STORE", place.url_text().unwrap());
    let up = Up::with(program);
    let weather = Weather::default();
    // Of each run the steps that were acknowledged; of each artifact its text.
    let (steps, files) = (Mutex::new(BTreeMap::new()), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        // A failure of any of them ends the others.
        let (up, weather, steps, files) = (&up, &weather, &steps, &files);
        for _ in 0..WRITERS {
            scope.spawn(move || {
                let made = weather.insist(up, &format!("{API}/runs/create"), &json!({"experiment_id": "0"}));
                let run = made["run"]["info"]["run_id"].as_str().unwrap().to_owned();
                let mut acknowledged = Vec::new();
                for step in 0_i64.. {
                    if weather.is_over() {
                        break;
                    }
                    let metric = json!({"key": "m", "value": 1, "timestamp": step, "step": step});
                    let body = json!({"run_id": run, "metrics": [metric]}).to_string();
                    let path = format!("{API}/runs/log-batch");
                    if weather.ask(up, "POST", &path, &body).is_some() {
                        acknowledged.push(step);
                    }
                }
                steps.lock().unwrap().insert(run, acknowledged);
            });
        }
        scope.spawn(move || {
            for n in 0.. {
                if weather.is_over() {
                    break;
                }
                let (path, text) = (format!("0/files/{n}.txt"), format!("\"file {n}\""));
                let url = format!("/api/2.0/mlflow-artifacts/artifacts/{path}");
                if weather.ask(up, "PUT", &url, &text).is_some() {
                    files.lock().unwrap().insert(url, text);
                }
                weather.ask(up, "POST", &format!("{API}/runs/search"), r#"{"experiment_ids": ["0"]}"#);
            }
        });
        let more = |count| {
            let goal = weather.done.load(Ordering::Relaxed) + count;
            wait_until("more work", || weather.done.load(Ordering::Relaxed) >= goal);
        };
        more(100);
        for how in [Stop::Fast, Stop::Crash, Stop::Fast] {
            let before = weather.refused.load(Ordering::Relaxed);
            cluster.end(how);
            wait_until("a refusal", || weather.refused.load(Ordering::Relaxed) > before);
            cluster.begin().unwrap();
            more(100);
        }
        weather.over.store(true, Ordering::Relaxed);
    });
    let (steps, files) = (steps.into_inner().unwrap(), files.into_inner().unwrap());
    assert_eq!(steps.len(), WRITERS);
    for (run, acknowledged) in &steps {
        let history = up.get(&format!("{API}/metrics/get-history?run_id={run}&metric_key=m"));
        let points = history["metrics"].as_array().unwrap().iter();
        let found: Vec<i64> = points.map(|point| point["step"].as_i64().unwrap()).collect();
        // What was written and could not be acknowledged any more may be there too.
        let lost: Vec<_> = acknowledged.iter().filter(|step| !found.contains(step)).collect();
        assert!(lost.is_empty(), "{run}: lost {lost:?} of {}", acknowledged.len());
    }
    for (url, text) in &files {
        assert_eq!(up.get(url), serde_json::from_str::<Value>(text).unwrap(), "{url}");
    }
    assert!(files.len() > 10, "{} files were acknowledged: nothing was tried", files.len());
    drop(up);
    let mut verify = command(place.dir());
    verify.env("GYRE_STORE", place.url_text().unwrap()).args(["journal", "verify"]);
    Said::from(verify.output().unwrap()).done();
}

//! A full disk under MLflow's protocol: what writes is refused in words, what reads goes on, nothing that was acknowledged
//! is lost, and once there is room again everything works.

#![cfg(target_os = "linux")]
use std::path::PathBuf;

use crate::support::{Answer, Scene};
use gyre_testing::Ballast;
use serde_json::{Value, json};

/// The variable that says where temporary folders are made: on the small disk, for the process that lives on it.
const DISK: &str = "TMPDIR";
const API: &str = "/api/2.0/mlflow";
const FILES: &str = "/api/2.0/mlflow-artifacts/artifacts";

#[test]
fn a_full_disk_is_said_and_survived() {
    gyre_testing::live_on_a_small_disk(12, DISK);
}

fn ask(scene: &Scene, path: &str, body: &Value) -> Answer {
    scene.post(&format!("{API}{path}"), &body.to_string())
}

#[track_caller]
fn done(scene: &Scene, path: &str, body: &Value) -> Value {
    let answer = ask(scene, path, body);
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    answer.json()
}

/// Whether it was done; otherwise it was refused because the disk is full.
#[track_caller]
fn is_done(answer: &Answer) -> bool {
    if answer.status == 200 {
        return true;
    }
    let said = answer.json();
    assert_eq!((answer.status, &said["error_code"]), (507, &json!("INSUFFICIENT_STORAGE")), "{said}");
    assert!(said["message"].as_str().unwrap().contains("disk is full"), "{said}");
    false
}

/// Asks until there is no room for more, and returns what was done until then: the database may have some room in its
/// files.
#[track_caller]
fn until_full(mut asked: impl FnMut(usize) -> Answer) -> usize {
    let done = (0..20_000).take_while(|n| is_done(&asked(*n))).count();
    assert!(done < 20_000, "the disk is never full");
    done
}

#[test]
#[ignore = "lives on the small disk that the test above mounts"]
fn on_a_small_disk() {
    let disk = PathBuf::from(std::env::var_os(DISK).expect("a disk to live on"));
    let scene = Scene::empty();
    let made = done(&scene, "/runs/create", &json!({"experiment_id": "0"}));
    let run = made["run"]["info"]["run_id"].as_str().unwrap().to_owned();
    let file = format!("{FILES}/0/{run}/artifacts/file");
    assert_eq!(scene.connect().send("PUT", &file, &[], b"kept").status, 200);
    let batch = |step: usize| {
        let metric = json!({"key": "m", "value": step, "timestamp": step, "step": step});
        json!({"run_id": run, "metrics": [metric], "tags": [{"key": "last", "value": step.to_string()}]})
    };
    done(&scene, "/runs/log-batch", &batch(0));

    let ballast = Ballast::fill(&disk);
    let large = "x".repeat(200_000);
    let refused = scene.connect().send("PUT", &format!("{file}-2"), &[], large.as_bytes());
    assert!(!is_done(&refused), "there is no room for 200 kB");
    let logged = until_full(|n| ask(&scene, "/runs/log-batch", &batch(1 + n)));
    let runs = until_full(|_| ask(&scene, "/runs/create", &json!({"experiment_id": "0"})));
    let models = until_full(|n| ask(&scene, "/registered-models/create", &json!({"name": format!("m{n}")})));
    for (path, body) in [
        ("/experiments/create", json!({"name": "e"})),
        ("/runs/update", json!({"run_id": run, "status": "FINISHED"})),
        ("/runs/log-parameter", json!({"run_id": run, "key": "p", "value": large})),
    ] {
        is_done(&ask(&scene, path, &body));
    }
    let reads = |scene: &Scene| {
        let history = scene.get(&format!("{API}/metrics/get-history?run_id={run}&metric_key=m"));
        assert_eq!(history.json()["metrics"].as_array().unwrap().len(), 1 + logged);
        let found = ask(scene, "/runs/search", &json!({"experiment_ids": ["0"], "max_results": 50_000}));
        assert!(found.json()["runs"].as_array().unwrap().len() > runs);
        let shown = scene.get(&format!("{API}/runs/get?run_id={run}")).json();
        let tags = shown["run"]["data"]["tags"].as_array().unwrap();
        let last = tags.iter().find(|tag| tag["key"] == "last").unwrap();
        assert_eq!(last["value"], logged.to_string(), "a batch is all or nothing");
        let models_found = scene.get(&format!("{API}/registered-models/search?max_results=1000")).json();
        assert_eq!(models_found["registered_models"].as_array().map_or(0, Vec::len), models);
        assert_eq!(scene.get(&file).body, "kept");
        assert_eq!(scene.get(&format!("{file}-2")).status, 404, "nothing half done");
    };
    reads(&scene);
    drop(ballast);

    reads(&scene);
    assert_eq!(scene.connect().send("PUT", &format!("{file}-2"), &[], large.as_bytes()).status, 200);
    done(&scene, "/runs/log-batch", &batch(1 + logged));
    done(&scene, "/runs/create", &json!({"experiment_id": "0"}));
    done(&scene, "/registered-models/create", &json!({"name": "after"}));
    done(&scene, "/runs/update", &json!({"run_id": run, "status": "FINISHED"}));
    assert_eq!(scene.get("/v1/journal/verify").json()["verified"], true);
}

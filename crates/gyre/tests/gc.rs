//! Removing for good what was deleted, by the real program, on both databases.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;
use std::process::Command;

use gyre_testing::{Place, on_both};
use serde_json::{Value, json};
use support::{Said, Up, command};

on_both!(what_was_deleted_goes_with_all_that_belongs_to_it_and_nothing_else_does);

const API: &str = "/api/2.0/mlflow";

/// `gyre` in the place's folder, on the place's database.
fn program(place: &Place) -> Command {
    let mut command = command(place.dir());
    if let Some(url) = place.url_text() {
        command.env("GYRE_STORE", url);
    }
    command
}

fn gc(place: &Place, words: &str) -> Said {
    program(place).arg("gc").args(words.split_whitespace()).output().unwrap().into()
}

/// Makes a run with one file of `text`.
fn run(up: &Up, experiment: &str, text: &str) -> String {
    let made = up.post(&format!("{API}/runs/create"), &json!({ "experiment_id": experiment }));
    let run = made["run"]["info"]["run_id"].as_str().unwrap().to_owned();
    put(up, &format!("{experiment}/{run}/artifacts/file.txt"), text);
    run
}

fn put(up: &Up, path: &str, text: &str) {
    let (status, said) = up.ask("PUT", &format!("/api/2.0/mlflow-artifacts/artifacts/{path}"), text);
    assert_eq!(status, 200, "{said}");
}

fn status(up: &Up, path: &str) -> u16 {
    up.ask("GET", &format!("{API}{path}"), "").0
}

/// Files that lie under a digest.
fn blobs(place: &Place) -> usize {
    fn count(dir: &Path) -> usize {
        let entries = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
        entries.map(|entry| if entry.path().is_dir() { count(&entry.path()) } else { 1 }).sum()
    }
    count(&place.dir().join(".gyre/artifacts"))
}

fn what_was_deleted_goes_with_all_that_belongs_to_it_and_nothing_else_does(place: &Place) {
    let up = Up::with(program(place));
    let made = up.post(&format!("{API}/experiments/create"), &json!({"name": "e"}));
    let experiment = made["experiment_id"].as_str().unwrap().to_owned();
    let in_it = [run(&up, &experiment, "one of its own"), run(&up, &experiment, "shared")];
    let (kept, gone, held) = (run(&up, "0", "shared"), run(&up, "0", "12345"), run(&up, "0", "of a version"));
    let asked = json!({"experiment_id": experiment, "name": "l"});
    let model = up.post(&format!("{API}/logged-models"), &asked)["model"]["info"]["model_id"].clone();
    put(&up, &format!("{experiment}/models/{}/artifacts/MLmodel", model.as_str().unwrap()), "a model");
    let location = json!({"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}});
    let info = json!({"trace_id": "tr-1", "trace_location": location, "request_time": "2026-03-01T00:00:00Z",
                      "execution_duration": "1s", "state": "OK"});
    up.post("/api/3.0/mlflow/traces", &json!({"trace": {"trace_info": info}}));
    up.post(&format!("{API}/registered-models/create"), &json!({"name": "m"}));
    let version = json!({"name": "m", "source": format!("runs:/{held}/model"), "run_id": held});
    up.post(&format!("{API}/model-versions/create"), &version);
    for id in [&gone, &held] {
        up.post(&format!("{API}/runs/delete"), &json!({ "run_id": id }));
    }
    up.post(&format!("{API}/experiments/delete"), &json!({ "experiment_id": experiment }));
    let before = blobs(place);

    let told = gc(place, "--dry-run --json").done().json();
    let mut expected = vec![in_it[0].clone(), in_it[1].clone(), gone.clone()];
    let sorted = |list: &Value| {
        let mut list: Vec<String> =
            list.as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect();
        list.sort();
        list
    };
    expected.sort();
    assert_eq!(sorted(&told["runs"]), expected);
    let number: i64 = experiment.parse().unwrap();
    assert_eq!((&told["experiments"], &told["logged_models"]), (&json!([number]), &json!([model])));
    assert_eq!(
        (&told["traces"], &told["files"], &told["bytes"]),
        (&json!(1), &json!(4), &json!(14 + 6 + 5 + 7))
    );
    assert_eq!((&told["held"], &told["dry_run"]), (&json!([held]), &json!(true)));
    let refused = gc(place, "--yes");
    assert!(refused.code == 1 && refused.err.contains("stop `gyre up`"), "{refused:?}");
    drop(up);

    let unasked = gc(place, "");
    assert!(unasked.code == 1 && unasked.err.contains("--yes"), "{unasked:?}");
    assert_eq!(gc(place, "--older-than 1d --yes --json").done().json()["runs"], json!([]));
    for (words, why) in [
        ("--run none --yes".to_owned(), "no such run"),
        (format!("--run {kept} --yes"), "not deleted"),
        ("--experiment 99 --yes".to_owned(), "no such experiment"),
        ("--older-than soon --yes".to_owned(), "soon"),
    ] {
        let wrong = gc(place, &words);
        assert!(wrong.code == 2 && wrong.err.contains(why), "{words}: {wrong:?}");
    }
    let first = gc(place, &format!("--run {gone} --yes --json")).done().json();
    assert_eq!((&first["runs"], &first["files"], &first["freed"]), (&json!([gone]), &json!(1), &json!(5)));
    let rest = gc(place, "--yes --json").done().json();
    assert_eq!(
        (&rest["experiments"], &rest["traces"], &rest["files"], &rest["freed"]),
        (&json!([number]), &json!(1), &json!(3), &json!(14 + 7)),
        "what is still referred to elsewhere is not freed"
    );
    assert_eq!(before - blobs(place), 3);
    let again = gc(place, "--yes").done();
    assert!(again.out.contains("kept: 1 that registered model versions came from"), "{again:?}");

    let up = Up::with(program(place));
    for id in [&in_it[0], &in_it[1], &gone] {
        assert_eq!(status(&up, &format!("/runs/get?run_id={id}")), 404, "{id}");
    }
    assert_eq!(status(&up, &format!("/experiments/get?experiment_id={experiment}")), 404);
    assert_eq!(up.ask("GET", "/api/3.0/mlflow/traces/tr-1", "").0, 404);
    up.post(&format!("{API}/experiments/create"), &json!({"name": "e"}));
    up.post(&format!("{API}/runs/restore"), &json!({ "run_id": held }));
    for id in [&kept, &held] {
        let listed = up.get(&format!("{API}/artifacts/list?run_id={id}"));
        assert_eq!(listed["files"][0]["path"], "file.txt", "{listed}");
    }
    let journal = up.get("/v1/journal?limit=100");
    let purged: Vec<&Value> = journal["entries"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["fact"]["change"] == "purged")
        .collect();
    let runs: u64 = purged.iter().map(|entry| entry["fact"]["runs"].as_u64().unwrap()).sum();
    assert_eq!((runs, &purged[0]["origin"]), (3, &json!("gyre gc")), "{purged:?}");
    drop(up);
    let verified: Said = program(place).args(["journal", "verify"]).output().unwrap().into();
    verified.done();
}

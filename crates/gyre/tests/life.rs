//! A project's life through the command line: two versions, promotion, rollback, journal, lineage.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use serde_json::{Value, json};
use support::{Up, change, gyre, project};

/// A served prediction, in event time just after the second version was promoted.
fn predict(up: &Up, id: &str) -> Value {
    let input = |name: &str, datatype: &str, value: Value| json!({"name": name, "shape": [1, 1], "datatype": datatype, "data": [value]});
    let body = json!({
        "id": id,
        "parameters": {"event_time": "2025-02-24T12:00:00Z"},
        "inputs": [
            input("distance_km", "FP64", json!(5.0)),
            input("hour", "FP64", json!(9)),
            input("district", "BYTES", json!("east")),
        ],
    });
    up.post("/v2/models/minutes/infer", &body)
}

#[test]
fn versions_are_trained_promoted_rolled_back_and_explained() {
    let (_dir, root) = project();
    // The second version need not be better, for it is promoted by hand; and quick to train.
    change(&root.join("gyre.yaml"), "      - candidate.mae <= champion.mae\n", "");
    change(&root.join("gyre.yaml"), "candidate.latency_p99_ms <= 5.0", "candidate.latency_p99_ms <= 500.0");
    change(&root.join("dvc.yaml"), "--rounds 60", "--rounds 20");
    let up = Up::start(&root);

    let asked = gyre(&root, "train minutes --window 14d --as-of 2025-02-10T00:00:00Z").done().out;
    assert!(asked.contains("minutes: a training is asked for (entry "), "{asked}");
    up.come_to("2025-02-10T00:00:00Z");
    let shown = gyre(&root, "model show minutes").done().out;
    assert!(
        shown.contains("v1       champion     100%") && shown.contains("✓ candidate.mae <= 5.0"),
        "{shown}"
    );

    gyre(&root, "train minutes --window all --as-of 2025-02-24T00:00:00Z --json").done().json();
    up.come_to("2025-02-24T00:00:00Z");
    let dry = gyre(&root, "model promote minutes 2 --dry-run").done().out;
    assert_eq!(dry, "would send all traffic of minutes to v2 (now v1)\n");
    let promoted = gyre(&root, "model promote minutes v2 --reason tried --json").done().json();
    assert_eq!((&promoted["from"], &promoted["to"]), (&json!(1), &json!(2)));
    up.come_to("2025-02-24T00:00:01Z");
    let again = gyre(&root, "model promote minutes 2");
    assert_eq!(again.code, 1);
    assert!(again.err.contains("is the champion already"), "{}", again.err);
    let missing = gyre(&root, "model promote minutes 7");
    assert_eq!(missing.code, 1);
    assert!(missing.err.contains("the newest version of `minutes` is 2"), "{}", missing.err);

    predict(&up, "order/1 ü");
    up.post("/v1/models/minutes/flush", &json!({}));
    let status = gyre(&root, "status --json").done().json();
    assert_eq!(status["server"]["url"], up.url());
    assert_eq!(status["models"][0]["champion"], 2);
    assert_eq!(status["models"][0]["serving"], json!([{"version": 2, "share": 10_000}]));

    let asked_over_http = lineage_of(&root);
    // The rollback comes after the prediction in event time, too.
    up.come_to("2025-02-24T13:00:00Z");
    let back = gyre(&root, "model rollback minutes --reason worse").done().out;
    assert!(back.starts_with("all traffic of minutes goes to v1, no longer to v2 (entry "), "{back}");
    let entries = gyre(&root, "journal --kind rolled_back --json").done().json();
    let entry = &entries["entries"][0];
    assert_eq!((&entry["actor"], &entry["fact"]["reason"]), (&json!("user:local"), &json!("worse")));
    let nothing = gyre(&root, "model rollback minutes --dry-run");
    assert!(nothing.err.contains("no version to go back to"), "{nothing:?}");

    drop(up);
    // A server that was killed leaves its address behind; nobody answers there.
    let said = gyre(&root, "model rollback minutes");
    assert_eq!(said.code, 1);
    assert!(said.err.contains("does not answer") && said.err.contains("gyre up"), "{}", said.err);
    let status = gyre(&root, "status").done().out;
    assert!(status.contains("not running") && status.contains("v1 100%"), "{status}");
    assert_eq!(lineage_of(&root), asked_over_http, "the same answer from the files as from the server");
    rollback_drops_nobody(&root);
    journal_is_sound(&root);
}

/// After a restart: a rollback while predictions are asked for without pause.
fn rollback_drops_nobody(root: &std::path::Path) {
    let up = Up::start(root);
    gyre(root, "model promote minutes 2").done();
    let (stop, moved) = (AtomicBool::new(false), AtomicU64::new(0));
    let answered: u64 = std::thread::scope(|scope| {
        let ask = |worker: u32| {
            let (up, stop, moved) = (&up, &stop, &moved);
            move || {
                let mut asked = 0;
                while !stop.load(Relaxed) {
                    // Whatever is not answered with 200 panics in there.
                    let answer = predict(up, &format!("load-{worker}-{asked}"));
                    asked += 1;
                    moved.fetch_add(u64::from(answer["model_version"] == "1"), Relaxed);
                }
                asked
            }
        };
        let workers = [0, 1].map(|worker| scope.spawn(ask(worker)));
        let back = gyre(root, "rollback minutes --json").done().json();
        while moved.load(Relaxed) < 20 {
            std::thread::yield_now();
        }
        stop.store(true, Relaxed);
        assert_eq!((&back["from"], &back["to"]), (&json!(2), &json!(1)));
        assert!(back["millis"].as_f64().unwrap() < 1_000.0, "{back}");
        workers.map(|worker| worker.join().unwrap()).into_iter().sum()
    });
    assert!(answered >= 20);
}

/// The lineage of the prediction, of its version's data, and what that data influenced.
fn lineage_of(root: &std::path::Path) -> Vec<Value> {
    let ask = |reference: &str, forward: bool| {
        let mut command = support::command(root);
        command.args(["lineage", reference, "--json"]);
        if forward {
            command.arg("--forward");
        }
        support::Said::from(command.output().unwrap()).done().json()
    };
    let back = ask("minutes/order/1 ü", false);
    let text = back.to_string();
    for words in ["minutes@2", "run:", "data:", "tried"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let at = text.find("data:").unwrap();
    let forward = ask(&text[at..at + 5 + 16], true);
    assert_eq!(forward["influenced"], json!([{"model": "minutes", "version": 2, "predictions": 1}]));
    vec![back]
}

fn journal_is_sound(root: &std::path::Path) {
    let all = gyre(root, "journal list --after 0 --limit 1000 --json").done().json();
    let all = all["entries"].as_array().unwrap();
    let last = gyre(root, "journal --limit 3 --json").done().json();
    assert_eq!(last["entries"].as_array().unwrap(), &all[all.len() - 3..]);
    let page = gyre(root, "journal --after 2 --limit 2 --json").done().json();
    assert_eq!(page["entries"].as_array().unwrap(), &all[2..4]);
    let judged = gyre(root, "journal --model minutes --kind gates_judged").done().out;
    assert!(judged.contains("version 1 passed its gates"), "{judged}");

    let shown = gyre(root, &format!("journal show {} --proof", all.len())).done().json();
    assert_eq!(shown["entry"], all[all.len() - 1]);
    assert_eq!(
        (&shown["proof"]["verified"], &shown["proof"]["tree_size"]),
        (&json!(true), &json!(all.len()))
    );
    assert_eq!(gyre(root, "journal show 9999").code, 1);

    let verified = gyre(root, "journal verify --json").done().json();
    assert_eq!((&verified["verified"], &verified["root"]), (&json!(true), &shown["proof"]["root"]));
    // One letter of one reason, changed behind gyre's back.
    let database = rusqlite::Connection::open(root.join(".gyre/gyre.db")).unwrap();
    let sql = "UPDATE journal SET body = replace(body, '\"reason\":\"worse\"', '\"reason\":\"Worse\"')";
    database.execute(sql, []).unwrap();
    let forged = gyre(root, "journal verify");
    assert_eq!(forged.code, 1);
    assert!(
        forged.err.contains(": its text was changed") && forged.err.contains("the head says"),
        "{}",
        forged.err
    );
    assert_eq!(gyre(root, "journal verify --json").json()["verified"], false);
}

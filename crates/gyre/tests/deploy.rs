//! Deploying by hand: files, commands in other languages and URLs behind one gateway, and what becomes of those that fail.
#![allow(clippy::unwrap_used)]

#[path = "../../gyre-kube/tests/support/mod.rs"]
mod kube;
#[path = "deploy/kubernetes.rs"]
mod kubernetes;
#[path = "deploy/languages.rs"]
mod languages;
#[path = "deploy/learning.rs"]
mod learning;
#[path = "deploy/onnxruntime.rs"]
mod onnxruntime;
#[path = "deploy/registry.rs"]
mod registry;
#[path = "deploy/streaming.rs"]
mod streaming;
mod support;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{Said, Up, change, command, gyre, project};

/// A flat is worth 100 below 50 square metres, and 200 from there: in LightGBM's own format.
const LIGHTGBM: &str = "tree
version=v4
num_class=1
num_tree_per_iteration=1
label_index=0
max_feature_idx=1
objective=regression
feature_names=size rooms
feature_infos=[1:200] [1:9]
tree_sizes=300

Tree=0
num_leaves=2
num_cat=0
split_feature=0
split_gain=1
threshold=49.999999999999993
decision_type=2
left_child=-1
right_child=-2
leaf_value=100 200
leaf_weight=10 10
leaf_count=10 10
internal_value=150
internal_weight=20
internal_count=20
is_linear=0
shrinkage=1


end of trees
";

/// A folder without a gyre.yaml, with a model's file.
fn place() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().to_owned();
    std::fs::write(root.join("model.txt"), LIGHTGBM).unwrap();
    (dir, root)
}

fn script(name: &str) -> String {
    format!("{}/tests/deploy/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// `gyre deploy flat WORDS -- COMMAND`
fn deploy(root: &Path, words: &str, serve: &[&str]) -> Said {
    let mut command = command(root);
    command.args(["deploy", "flat"]).args(words.split_whitespace());
    if !serve.is_empty() {
        command.arg("--").args(serve);
    }
    command.output().unwrap().into()
}

/// What a flat of `size` is said to be worth.
fn ask(up: &Up, id: &str, size: f64) -> (u16, Value) {
    let input =
        |name: &str, value: f64| json!({"name": name, "shape": [1], "datatype": "FP64", "data": [value]});
    let body = json!({"id": id, "inputs": [input("size", size), input("rooms", 2.0)]});
    up.try_post("/v2/models/flat/infer", &body)
}

#[track_caller]
fn worth(up: &Up, id: &str, size: f64) -> (f64, String) {
    let (status, answer) = ask(up, id, size);
    assert_eq!(status, 200, "{answer}");
    let price = answer["outputs"][0]["data"][0].as_f64().unwrap();
    (price, answer["model_version"].as_str().unwrap().to_owned())
}

fn kinds(root: &Path) -> Vec<String> {
    let entries = gyre(root, "journal --json").done().json();
    let entries = entries["entries"].as_array().unwrap();
    entries.iter().map(|entry| entry["fact"]["kind"].as_str().unwrap().to_owned()).collect()
}

/// Waits until `seen`, for as long as a busy machine may need.
#[track_caller]
fn wait_until(what: &str, seen: impl Fn() -> bool) {
    let begun = Instant::now();
    while !seen() {
        assert!(begun.elapsed() < Duration::from_secs(30), "not within 30 s: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn models_of_three_languages_stand_behind_one_gateway() {
    let (_dir, root) = place();
    let up = Up::start_with(&root, &["--allow-commands"]);
    let first = deploy(&root, "--file model.txt", &[]).done().out;
    assert!(first.starts_with("version 1 of flat takes all traffic"), "{first}");
    assert_eq!(worth(&up, "a", 30.0), (100.0, "1".to_owned()));

    // A canary of another language, with the signature of the champion.
    let words = "--protocol mlflow --steps 50,100 --min-requests 5";
    let second = deploy(&root, words, &["node", &script("server.js")]).done().out;
    assert!(second.starts_with("version 2 of flat takes 50 % of traffic"), "{second}");
    let mut asked = [0, 0];
    for at in 0..40 {
        let size = f64::from(30 + at);
        let (price, version) = worth(&up, &format!("canary-{at}"), size);
        assert_eq!(price, if size < 50.0 { 100.0 } else { 200.0 });
        asked[version.parse::<usize>().unwrap() - 1] += 1;
    }
    assert!(asked[0] >= 5 && asked[1] >= 5, "both take their share: {asked:?}");
    up.come_to("2030-01-01T00:00:00Z");
    assert_eq!(worth(&up, "b", 60.0), (200.0, "2".to_owned()));

    // A batch is answered row by row, in order.
    let rows: Vec<f64> = (0..100).map(f64::from).collect();
    let tensor =
        |name: &str, data: &[f64]| json!({"name": name, "shape": [100], "datatype": "FP64", "data": data});
    let body = json!({"id": "many", "inputs": [tensor("size", &rows), tensor("rooms", &[1.0; 100])]});
    let answer = up.post("/v2/models/flat/infer", &body);
    let prices = answer["outputs"][0]["data"].as_array().unwrap();
    assert_eq!(prices.iter().filter(|price| price.as_f64() == Some(100.0)).count(), 50);

    // The third speaks the other protocol.
    let words = "--protocol v2 --strategy replace";
    deploy(&root, words, &["python3", &script("server.py")]).done();
    assert_eq!(worth(&up, "c", 10.0), (100.0, "3".to_owned()));
    let runtimes = up.get("/v1/models/flat/runtimes");
    let of =
        |at: usize| (runtimes["runtimes"][at]["version"].clone(), runtimes["runtimes"][at]["state"].clone());
    assert_eq!(
        (of(0), of(1)),
        ((json!(2), json!("ready")), (json!(3), json!("ready"))),
        "the one before is kept warm"
    );

    // Going back takes no time: the process is still there.
    gyre(&root, "rollback flat --reason test").done();
    assert_eq!(worth(&up, "d", 10.0).1, "2");
    let shown = gyre(&root, "model show flat").done().out;
    assert!(shown.contains("in process") && shown.contains("command `node"), "{shown}");

    // Nothing outlives the server, whatever happens to it; and everything is there again when it comes back.
    let pids: Vec<u64> =
        runtimes["runtimes"].as_array().unwrap().iter().map(|one| one["pid"].as_u64().unwrap()).collect();
    drop(up);
    wait_until("the processes of a killed server are gone", || pids.iter().all(|pid| !is_alive(*pid)));
    let up = Up::start(&root);
    assert_eq!(worth(&up, "e", 10.0).1, "2");
    let status = gyre(&root, "status --json").done().json();
    assert_eq!((&status["models"][0]["name"], &status["models"][0]["champion"]), (&json!("flat"), &json!(2)));
}

/// Whether a process still runs; one that ended and was not looked after is no more.
fn is_alive(pid: u64) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')))
}

#[test]
fn a_candidate_that_fails_under_traffic_loses_it_at_once_and_the_journal_says_why() {
    let (_dir, root) = place();
    let up = Up::start_with(&root, &["--allow-commands"]);
    deploy(&root, "--file model.txt", &[]).done();
    for (version, spoil) in (2..).zip(["fails", "garbage", "wrong_shape", "nan", "dies"]) {
        let words = format!("--protocol mlflow --steps 20,100 --min-requests 500 --env SPOIL={spoil}");
        deploy(&root, &words, &["node", &script("server.js")]).done();
        let share = |root: &Path| {
            let shares = gyre(root, "traffic flat --json").done().json();
            shares["shares"].as_array().unwrap().len()
        };
        assert_eq!(share(&root), 2, "{spoil}");
        let mut failed = 0;
        for at in 0..200 {
            let (status, answer) = ask(&up, &format!("{spoil}-{at}"), 60.0);
            failed += u32::from(status != 200);
            assert!(status == 200 || (500..600).contains(&status), "{spoil}: {status} {answer}");
        }
        assert!((1..=12).contains(&failed), "{spoil}: {failed} requests failed until it was out of traffic");
        up.come_to(&format!("2030-01-0{version}T00:00:00Z"));
        assert_eq!(share(&root), 1, "{spoil}");
        let back = gyre(&root, "journal --kind rolled_back --json").done().json();
        let fact = &back["entries"].as_array().unwrap().last().unwrap()["fact"];
        assert_eq!((&fact["from"], &fact["to"]), (&json!(version), &json!(1)), "{spoil}");
        assert!(fact["reason"].as_str().unwrap().contains("fails more often"), "{fact}");
    }
    let again = deploy(&root, "2 --json", &[]);
    assert_eq!(again.code, 0, "a person may try a version again: {}", again.err);
}

#[test]
fn what_does_not_come_up_takes_no_traffic_and_says_why() {
    let (_dir, root) = place();
    let up = Up::start_with(&root, &["--allow-commands"]);
    let nothing = deploy(&root, "", &[]);
    assert!(nothing.err.contains("nothing to deploy"), "{}", nothing.err);
    let unsigned = deploy(&root, "--protocol mlflow", &["node", "server.js"]);
    assert!(unsigned.err.contains("no champion whose signature"), "{}", unsigned.err);
    std::fs::write(root.join("broken.txt"), "tree\nversion=v4\n").unwrap();
    let broken = deploy(&root, "--file broken.txt", &[]);
    assert!(broken.err.contains("no model that can be run"), "{}", broken.err);

    deploy(&root, "--file model.txt", &[]).done();
    let before = kinds(&root);
    let dry = deploy(&root, "--protocol mlflow --dry-run", &["node", "server.js"]).done().out;
    assert!(dry.starts_with("would register command `node server.js`"), "{dry}");
    assert_eq!(kinds(&root), before, "a dry run leaves nothing");

    let words = "--protocol mlflow --start-within 5s";
    let silent = deploy(&root, words, &["sh", "-c", "echo no licence found; exit 7"]);
    assert_eq!(silent.code, 1);
    assert!(silent.err.contains("exit code 7") && silent.err.contains("no licence found"), "{}", silent.err);
    assert_eq!(worth(&up, "still", 10.0).1, "1");

    for (words, told) in [
        ("traffic flat 1=90", "add up to 90 %"),
        ("traffic flat 1=50 1=50", "two shares"),
        ("traffic flat 1=50 9=50", "newest version"),
        ("deploy flat 1", "champion already"),
        ("deploy flat 2 --steps 50,20,100", "must rise"),
        ("deploy flat 2 --rollback-on errors>", "is no rule"),
    ] {
        let refused = gyre(&root, words);
        assert_eq!(refused.code, 1, "{words}");
        assert!(refused.err.contains(told), "{words}: {}", refused.err);
    }
    // Only these were registered; no traffic moved.
    assert_eq!(kinds(&root).iter().filter(|kind| *kind == "traffic_shifted").count(), 1);
}

#[test]
fn commands_are_not_run_for_everybody_on_the_machine() {
    let (_dir, root) = place();
    let up = Up::start(&root);
    deploy(&root, "--file model.txt", &[]).done();
    let refused = deploy(&root, "--protocol mlflow", &["touch", "here"]);
    assert!(refused.err.contains("--allow-commands"), "{}", refused.err);
    let refused = deploy(&root, "models:/flat/1 --serve", &[]);
    assert!(refused.err.contains("--allow-commands"), "{}", refused.err);
    let runtime = json!({"kind": "process", "command": ["touch", "here"], "protocol": "mlflow"});
    let (status, _) = up.try_post("/v1/models/flat/versions", &json!({"runtime": runtime}));
    assert_eq!(status, 403);
    assert!(!root.join("here").exists());
    assert_eq!(kinds(&root).iter().filter(|kind| *kind == "version_registered").count(), 1);
}

#[test]
fn a_deployment_describes_and_explains_itself() {
    let (_dir, root) = place();
    let up = Up::start_with(&root, &["--allow-commands"]);
    deploy(&root, "--file model.txt", &[]).done();
    let document = up.get("/v2/models/flat/openapi.json");
    let paths = document["paths"].as_object().unwrap();
    assert_eq!(paths.len(), 2);
    for (path, of) in paths {
        let example = &of["post"]["requestBody"]["content"]["application/json"]["example"];
        up.post(path, example);
    }
    let tensor =
        |name: &str, data: [f64; 2]| json!({"name": name, "shape": [2], "datatype": "FP64", "data": data});
    let body = json!({"id": "why", "inputs": [tensor("size", [30.0, 80.0]), tensor("rooms", [1.0, 3.0])]});
    let answer = up.post("/v2/models/flat/explain", &body);
    let base = answer["base"]["prediction"].as_f64().unwrap();
    for (row, price) in [(0, 100.0), (1, 200.0)] {
        let added = answer["rows"][row]["contributions"]["prediction"].as_object().unwrap();
        let sum: f64 = added.values().map(|number| number.as_f64().unwrap()).sum();
        assert!((base + sum - price).abs() < 1e-9, "{answer}");
        assert_eq!(added["rooms"], 0.0, "no tree asks about rooms");
    }
    assert_eq!(answer["scale"], "output");
    deploy(&root, "--protocol mlflow --strategy replace", &["node", &script("server.js")]).done();
    let (status, told) = up.try_post("/v2/models/flat/explain", &body);
    assert_eq!(status, 400);
    assert!(told["error"].as_str().unwrap().contains("outside of gyre's process"), "{told}");
    assert_eq!(up.post("/v2/models/flat/versions/1/explain", &body)["model_version"], "1");
}

#[test]
fn blue_and_green_change_places_when_the_new_one_has_baked() {
    let (_dir, root) = place();
    let up = Up::start_with(&root, &["--allow-commands"]);
    up.come_to("2030-01-01T00:00:00Z");
    deploy(&root, "--file model.txt", &[]).done();
    let words = "--protocol mlflow --strategy blue-green --bake 1h --min-requests 5";
    deploy(&root, words, &["node", &script("server.js")]).done();
    let champion = || gyre(&root, "traffic flat --json").done().json()["champion"].clone();
    for at in 0..20 {
        assert_eq!(worth(&up, &format!("green-{at}"), 60.0).1, "2", "it takes all traffic");
    }
    up.come_to("2030-01-01T00:30:00Z");
    assert_eq!(
        (champion(), worth(&up, "half", 60.0).1),
        (json!(1), "2".to_owned()),
        "and is no champion yet"
    );
    up.come_to("2030-01-01T01:30:00Z");
    assert_eq!((champion(), worth(&up, "whole", 60.0).1), (json!(2), "2".to_owned()));

    // One that breaks a rule while it bakes goes back.
    let words = "--protocol mlflow --strategy blue-green --bake 1h --min-requests 5 --env SPOIL=fails";
    let words = format!("{words} --rollback-on errors>0.5");
    deploy(&root, &words, &["node", &script("server.js")]).done();
    (0..10).for_each(|at| assert_eq!(ask(&up, &format!("broken-{at}"), 60.0).0, 500));
    up.come_to("2030-01-01T01:31:00Z");
    assert_eq!((champion(), worth(&up, "back", 60.0).1), (json!(2), "2".to_owned()));
}

#[test]
fn a_version_of_a_declared_model_meets_its_gates_wherever_it_runs() {
    let (_dir, root) = project();
    change(&root.join("gyre.yaml"), "      - candidate.mae <= champion.mae\n", "");
    change(&root.join("gyre.yaml"), "candidate.latency_p99_ms <= 5.0", "candidate.latency_p99_ms <= 500.0");
    change(
        &root.join("gyre.yaml"),
        "    unit: min\n",
        "    unit: min\n    serve: {cache: {rows: 100, for: 5m}}\n",
    );
    change(&root.join("dvc.yaml"), "--rounds 60", "--rounds 20");
    let up = Up::start_with(&root, &["--allow-commands"]);
    gyre(&root, "train minutes --window 14d --as-of 2025-02-10T00:00:00Z").done();
    up.come_to("2025-02-10T00:00:00Z");
    let bring = || -> Said {
        let words = ["deploy", "minutes", "--protocol", "mlflow", "--", "node", &script("server.js")];
        command(&root).args(words).output().unwrap().into()
    };
    // It says 200 minutes or nothing at all, which is far from the truth.
    let asked = bring().done().out;
    assert!(asked.contains("once it has passed its gates"), "{asked}");
    up.come_to("2025-02-10T00:01:00Z");
    let judged = gyre(&root, "journal --kind gates_judged --json").done().json();
    let last = &judged["entries"].as_array().unwrap().last().unwrap()["fact"];
    assert_eq!((&last["version"], &last["passed"]), (&json!(2), &json!(false)));
    assert!(last["results"][0]["because"].as_str().unwrap().contains("candidate.mae"), "{last}");
    assert_eq!(gyre(&root, "traffic minutes --json").done().json()["shares"].as_array().unwrap().len(), 1);
    drop(up);

    change(&root.join("gyre.yaml"), "candidate.mae <= 5.0", "candidate.mae <= 500.0");
    let up = Up::start_with(&root, &["--allow-commands"]);
    bring().done();
    up.come_to("2025-02-10T00:02:00Z");
    let shares = gyre(&root, "traffic minutes --json").done().json();
    assert_eq!(shares["shares"], json!([{"version": 1, "share": 95.0}, {"version": 3, "share": 5.0}]));

    // What the model's answers are kept for is told, for each version by itself.
    let input = |name: &str, datatype: &str, value: Value| json!({"name": name, "shape": [1], "datatype": datatype, "data": [value]});
    let inputs = json!([
        input("distance_km", "FP64", json!(5.0)),
        input("hour", "FP64", json!(9.0)),
        input("district", "BYTES", json!("east")),
    ]);
    let kept = |version: u32| {
        let path = format!("/v2/models/minutes/versions/{version}/infer");
        let answer = streaming::Answer::to(&up, &path, "", &json!({"inputs": inputs}));
        (answer.status, answer.header("gyre-cached-rows").map(str::to_owned))
    };
    for version in [1, 3] {
        assert_eq!((kept(version), kept(version)), ((200, None), (200, Some("1".to_owned()))));
    }
}

#[test]
fn no_secret_of_the_server_is_sent_to_a_model() {
    let (_dir, root) = place();
    let _up = Up::start_with(&root, &["--allow-egress", "127.0.0.1"]);
    let words = "--url http://127.0.0.1:9 --protocol mlflow --inputs size:number --header X=GYRE_STORE";
    let refused = deploy(&root, words, &[]);
    assert!(refused.err.contains("GYRE_MODEL_"), "{}", refused.err);
    assert!(!kinds(&root).contains(&"version_registered".to_owned()));
}

/// A server on a port of its own, for as long as this lives.
struct Elsewhere(Child, u16);

impl Elsewhere {
    fn start() -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new("python3");
        command.arg(script("server.py")).env("PORT", port.to_string()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        wait_until("the other server listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        Self(child, port)
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_model_at_a_url_is_asked_where_the_egress_rules_let_it() {
    let (_dir, root) = place();
    let elsewhere = Elsewhere::start();
    let url = format!("--url http://127.0.0.1:{} --protocol v2", elsewhere.1);
    let inputs = "--inputs size:number,rooms:number --output-name price";
    let up = Up::start(&root);
    let refused = deploy(&root, &format!("{url} {inputs}"), &[]);
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("127.0.0.1"), "{}", refused.err);
    drop(up);
    let up = Up::start_with(&root, &["--allow-egress", "127.0.0.1"]);
    deploy(&root, "1", &[]).done();
    assert_eq!(worth(&up, "far", 70.0), (200.0, "1".to_owned()));
    drop(elsewhere);
    let (status, answer) = ask(&up, "gone", 70.0);
    assert!(status == 503 || status == 500, "{status} {answer}");
}

#[test]
fn shares_by_hand_stand_until_they_are_moved() {
    let (_dir, root) = place();
    let up = Up::start_with(&root, &["--allow-commands"]);
    deploy(&root, "--file model.txt", &[]).done();
    deploy(&root, "--protocol mlflow --register-only", &["node", &script("server.js")]).done();
    assert_eq!(gyre(&root, "traffic flat").done().out.lines().count(), 2);
    let dry = gyre(&root, "traffic flat 1=70 2=30 --dry-run").done().out;
    assert_eq!(dry, "would split the traffic of flat: version 1 70%, version 2 30%\n");
    gyre(&root, "traffic flat 1=70 2=30 --reason compare").done();
    let second = (0..200).filter(|at| worth(&up, &format!("id-{at}"), 60.0).1 == "2").count();
    assert!((35..=85).contains(&second), "about 60 of 200: {second}");
    // Whoever met a version meets it again.
    for at in 0..20 {
        let id = format!("id-{at}");
        assert_eq!(worth(&up, &id, 60.0).1, worth(&up, &id, 60.0).1);
    }
    // A key is met by one version, whatever the ids are; by keys, too, traffic is split.
    let keyed = |key: &str, at: usize| {
        let input = |name: &str| json!({"name": name, "shape": [1], "datatype": "FP64", "data": [60.0]});
        let body = json!({"id": format!("{key}-{at}"), "parameters": {"key": key}, "inputs": [input("size"), input("rooms")]});
        up.post("/v2/models/flat/infer", &body)["model_version"].as_str().unwrap().to_owned()
    };
    let mut met = std::collections::BTreeSet::new();
    for user in ["ada", "grace", "edsger", "barbara", "tony", "niklaus", "dana", "robin", "leslie", "fran"] {
        let first = keyed(user, 0);
        assert!((1..10).all(|at| keyed(user, at) == first), "{user}");
        met.insert(first);
    }
    assert_eq!(met.len(), 2);
    gyre(&root, "promote flat 2").done();
    assert_eq!(worth(&up, "after", 60.0).1, "2");

    // Who fails beside the champion loses its share, and the journal hears of it.
    let words = "--protocol mlflow --register-only --env SPOIL=fails";
    deploy(&root, words, &["node", &script("server.js")]).done();
    gyre(&root, "traffic flat 2=80 3=20").done();
    let failed = (0..200).filter(|at| ask(&up, &format!("late-{at}"), 60.0).0 != 200).count();
    assert!((1..=12).contains(&failed), "{failed}");
    up.come_to("2030-01-01T00:00:00Z");
    let back = gyre(&root, "journal --kind rolled_back --json").done().json();
    assert_eq!(
        (&back["entries"][0]["actor"], &back["entries"][0]["fact"]["from"]),
        (&json!("gateway"), &json!(3))
    );
    assert_eq!(gyre(&root, "traffic flat").done().out.lines().count(), 2);
}

//! Rollouts that learn from what came true: candidates that answer wrongly, rules that decide before chance, bandits.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use serde_json::{Value, json};

use super::support::{Up, command, gyre};
use super::{LIGHTGBM, deploy, kinds, place, worth};

/// The same model, wrong by `off`.
fn wrong_by(root: &Path, off: i32) -> String {
    let file = format!("model-{off}.txt");
    let leaves = format!("leaf_value={} {}", 100 + off, 200 + off);
    std::fs::write(root.join(&file), LIGHTGBM.replace("leaf_value=100 200", &leaves)).unwrap();
    file
}

/// Asks at event time `at`; the version that answered.
fn ask_at(up: &Up, id: &str, at: &str) -> String {
    let input = |name: &str| json!({"name": name, "shape": [1], "datatype": "FP64", "data": [60.0]});
    let body = json!({"id": id, "parameters": {"event_time": at}, "inputs": [input("size"), input("rooms")]});
    up.post("/v2/models/flat/infer", &body)["model_version"].as_str().unwrap().to_owned()
}

/// Says at event time `time` that the flats `ids` were sold for about 200.
fn sold(up: &Up, ids: &[String], time: &str) {
    let label =
        |(at, id): (usize, &String)| json!({"id": id, "value": 195.0 + (at % 11) as f64, "time": time});
    let labels: Vec<Value> = ids.iter().enumerate().map(label).collect();
    up.post("/v1/labels", &json!({"model": "flat", "labels": labels}));
}

fn last(root: &Path, kind: &str) -> Value {
    let found = gyre(root, &format!("journal --kind {kind} --json")).done().json();
    found["entries"].as_array().unwrap().last().unwrap_or_else(|| panic!("no {kind}"))["fact"].clone()
}

fn shares(root: &Path) -> BTreeMap<u64, f64> {
    let shown = gyre(root, "traffic flat --json").done().json();
    let of = |one: &Value| (one["version"].as_u64().unwrap(), one["share"].as_f64().unwrap());
    shown["shares"].as_array().unwrap().iter().map(of).collect()
}

fn doing(up: &Up) -> String {
    up.get("/v1/status")["models"][0]["doing"].as_str().unwrap().to_owned()
}

#[test]
fn a_candidate_that_answers_wrongly_without_an_error_is_sent_back_by_labels() {
    let (_dir, root) = place();
    let up = Up::start(&root);
    up.come_to("2030-01-01T00:00:00Z");
    deploy(&root, "--file model.txt", &[]).done();
    let words = format!("--file {} --steps 50,100 --min-requests 20 --min-labels 300", wrong_by(&root, 40));
    deploy(&root, &words, &[]).done();
    let ids: Vec<String> = (0..500).map(|at| format!("flat-{at}")).collect();
    let second = ids.iter().filter(|id| worth(&up, id, 60.0).1 == "2").count();
    assert!((200..300).contains(&second), "{second}");
    up.come_to("2030-01-01T01:00:00Z");
    assert!(doing(&up).contains("waits for labels: 0 of 300, for 7d at most"), "{}", doing(&up));
    sold(&up, &ids, "2030-01-01T01:00:00Z");
    // The label that convicts it takes it out of traffic, before the loop has looked.
    assert!((0..100).all(|at| worth(&up, &format!("after-{at}"), 60.0).1 == "1"));
    up.come_to("2030-01-01T02:00:00Z");
    assert_eq!(shares(&root), BTreeMap::from([(1, 100.0)]));
    let back = last(&root, "rolled_back");
    let reason = back["reason"].as_str().unwrap();
    assert!(reason.starts_with("its answers are worse than the champion's: mae "), "{reason}");
    let numbers = &last(&root, "step_observed")["numbers"];
    assert!(numbers["worse_p"].as_f64().unwrap() <= 0.005, "{numbers}");
    let (metric, before) =
        (numbers["metric"].as_f64().unwrap(), numbers["champion_metric"].as_f64().unwrap());
    assert!((39.0..42.0).contains(&metric) && before < 4.0, "{numbers}");
    let labels = numbers["labels"].as_f64().unwrap() + numbers["champion_labels"].as_f64().unwrap();
    assert_eq!(labels, 500.0);
    assert!(numbers["prediction_drift"].as_f64().unwrap() > 0.9, "{numbers}");
}

#[test]
fn a_step_without_labels_says_what_it_waits_for_and_does_not_wait_for_ever() {
    let (_dir, root) = place();
    let up = Up::start(&root);
    up.come_to("2030-01-01T00:00:00Z");
    deploy(&root, "--file model.txt", &[]).done();
    let words =
        "--steps 50,100 --min-requests 5 --min-labels 10 --labels-within 2d --rollback-on worse_p<0.5";
    deploy(&root, &format!("--file {} {words}", wrong_by(&root, 1)), &[]).done();
    let ids: Vec<String> = (0..60).map(|at| format!("flat-{at}")).collect();
    ids.iter().for_each(|id| drop(ask_at(&up, id, "2030-01-01T00:10:00Z")));
    up.come_to("2030-01-02T00:00:00Z");
    assert!(doing(&up).contains("waits for labels: 0 of 10, for 2d at most"), "{}", doing(&up));
    let busy = deploy(&root, &format!("--file {}", wrong_by(&root, 2)), &[]);
    assert!(busy.err.contains("a rollout of version 2 of `flat` is under way"), "{}", busy.err);
    let registered = |root: &Path| kinds(root).iter().filter(|kind| *kind == "version_registered").count();
    assert_eq!(registered(&root), 2, "what cannot be rolled out is not registered either");
    up.come_to("2030-01-03T00:01:00Z");
    let reason = last(&root, "rolled_back")["reason"].as_str().unwrap().to_owned();
    assert!(reason.starts_with("0 of 10 labels came within 2d"), "{reason}");

    // With its labels it goes on, also when the server was killed in between.
    deploy(&root, &format!("2 {words}"), &[]).done();
    let ids: Vec<String> = (0..60).map(|at| format!("again-{at}")).collect();
    ids.iter().for_each(|id| drop(ask_at(&up, id, "2030-01-03T00:02:00Z")));
    sold(&up, &ids[..8], "2030-01-03T00:10:00Z");
    up.post("/v1/models/flat/flush", &json!({}));
    drop(up);
    let up = Up::start(&root);
    (0..40).for_each(|at| drop(ask_at(&up, &format!("more-{at}"), "2030-01-03T00:03:00Z")));
    up.come_to("2030-01-03T01:00:00Z");
    let waits = doing(&up);
    assert!(waits.contains("waits for labels: ") && !waits.contains("labels: 0 of"), "{waits}");
    sold(&up, &ids[8..], "2030-01-03T01:00:00Z");
    up.come_to("2030-01-03T02:00:00Z");
    assert_eq!(last(&root, "promoted")["version"], 2);
    let passed = last(&root, "step_observed");
    assert!(passed["reason"].as_str().unwrap().contains("mae "), "{passed}");
}

#[test]
fn rules_decide_before_chance_and_are_told() {
    let (_dir, root) = place();
    let up = Up::start(&root);
    deploy(&root, "--file model.txt", &[]).done();
    deploy(&root, &format!("--register-only --file {}", wrong_by(&root, 1)), &[]).done();
    let traffic = |words: &[&str]| -> super::Said {
        command(&root).args(["traffic", "flat"]).args(words).output().unwrap().into()
    };
    let dry = traffic(&["--when", "size > 100", "2=100", "--dry-run"]).done().out;
    assert_eq!(dry, "flat would have 1 rule\n");
    let set = traffic(&["--when", "size > 100", "2=100", "--reason", "the large ones"]).done().out;
    assert!(set.starts_with("flat has 1 rule"), "{set}");
    traffic(&["--when", "header['x-tier'] == 'beta'", "--header", "X-Tier", "2=100"]).done();
    assert_eq!(worth(&up, "large", 150.0), (201.0, "2".to_owned()));
    assert_eq!(worth(&up, "small", 60.0), (200.0, "1".to_owned()));
    // A batch is decided row by row.
    let tensor =
        |name: &str| json!({"name": name, "shape": [3], "datatype": "FP64", "data": [60.0, 150.0, 30.0]});
    let body = json!({"id": "many", "inputs": [tensor("size"), tensor("rooms")]});
    let answer = up.post("/v2/models/flat/infer", &body);
    assert_eq!(answer["outputs"][0]["data"], json!([200.0, 201.0, 100.0]));
    // A header decides.
    let body = json!({"id": "beta", "inputs": [
        {"name": "size", "shape": [1], "datatype": "FP64", "data": [60.0]},
        {"name": "rooms", "shape": [1], "datatype": "FP64", "data": [2.0]},
    ]})
    .to_string();
    let mut stream = TcpStream::connect(up.url().trim_start_matches("http://")).unwrap();
    write!(
        stream,
        "POST /v2/models/flat/infer HTTP/1.1\r\nhost: {}\r\nconnection: close\r\nx-tier: beta\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        up.url().trim_start_matches("http://"),
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("gyre-route: rule") && answer.contains("gyre-model-version: 2"), "{answer}");

    let rules = up.get("/v1/models")["models"][0]["rules"].clone();
    assert_eq!(
        (&rules[0]["when"], &rules[0]["to"], &rules[0]["matched"]),
        (&json!("size > 100"), &json!(2), &json!(2))
    );
    // Requests without the header cannot be held against the second rule: they go on, counted.
    assert!(rules[1]["failed"].as_u64().unwrap() >= 3 && rules[1]["matched"] == 1, "{rules}");
    let shown = gyre(&root, "traffic flat").done().out;
    assert!(shown.contains("before that: size > 100 goes to version 2"), "{shown}");
    let routes =
        "log sql flat SELECT|route,|count(*)|AS|n|FROM|predictions|GROUP|BY|route|ORDER|BY|route --json";
    let words: Vec<String> = routes.split(' ').map(|word| word.replace('|', " ")).collect();
    let routes: super::Said = command(&root).args(words).output().unwrap().into();
    let routes = routes.done().out;
    assert!(routes.contains("rule"), "{routes}");

    for (words, told) in [
        (&["--when", "size >", "2=100"][..], "cannot read"),
        (&["--when", "[1].all(x, x > size)", "2=100"], "loops"),
        (&["--when", "size > 1", "2=50"], "expected VERSION=100"),
        (&["--when", "size > 1", "9=100"], "version"),
        (&["--when", "header['cookie'] == ''", "--header", "cookie", "2=100"], "secrets"),
        (&["--drop", "size > 7"], "no rule"),
    ] {
        let refused = traffic(words);
        assert_eq!(refused.code, 1, "{words:?}");
        assert!(refused.err.contains(told), "{words:?}: {}", refused.err);
    }
    // Rules outlive the server, and end when a person says so.
    drop(up);
    let up = Up::start(&root);
    assert_eq!(worth(&up, "still", 150.0).1, "2");
    traffic(&["--drop", "all"]).done();
    assert_eq!(worth(&up, "gone", 150.0).1, "1");
    assert_eq!(kinds(&root).iter().filter(|kind| *kind == "split_ruled").count(), 3);
}

#[test]
fn a_bandit_gives_traffic_to_what_comes_true_and_promotes_the_best() {
    let (_dir, root) = place();
    let up = Up::start(&root);
    up.come_to("2030-01-01T00:00:00Z");
    deploy(&root, &format!("--file {}", wrong_by(&root, 4)), &[]).done();
    for off in [0, 30] {
        deploy(&root, &format!("--register-only --file {}", wrong_by(&root, off)), &[]).done();
    }
    for (words, told) in [
        ("traffic flat --bandit 2,3", "the champion, version 1, must be among the arms"),
        ("traffic flat --bandit 1", "two versions"),
        ("traffic flat --bandit 1,2 --floor 60%", "more than there is"),
        ("traffic flat --bandit 1,9", "version"),
        ("traffic flat --floor 5%", "--bandit"),
    ] {
        let refused = gyre(&root, words);
        assert!(refused.code == 1 && refused.err.contains(told), "{words}: {}", refused.err);
    }
    let told = gyre(&root, "traffic flat --bandit 1,2,3 --floor 4% --every 1h --promote-at 1").done().out;
    assert!(told.starts_with("a bandit chooses among versions 1, 2, 3 of flat"), "{told}");
    assert_eq!(shares(&root), BTreeMap::from([(1, 33.34), (2, 33.33), (3, 33.33)]));
    let ids: Vec<String> = (0..150).map(|at| format!("flat-{at}")).collect();
    let met: Vec<String> = ids.iter().map(|id| ask_at(&up, id, "2030-01-01T00:10:00Z")).collect();
    up.come_to("2030-01-01T01:00:00Z");
    assert!(doing(&up).contains("waits for labels: 20 of each arm"), "{}", doing(&up));
    sold(&up, &ids, "2030-01-01T01:00:00Z");
    up.come_to("2030-01-01T01:01:00Z");
    let weighed = last(&root, "arms_weighed");
    assert_eq!(weighed["winner"], Value::Null, "it runs until a person ends it: {weighed}");
    let of = shares(&root);
    assert!(of[&2] > 85.0 && of[&3] == 4.0 && of[&1] >= 4.0, "{of:?}");
    // Whoever met a version keeps it, also when the shares have moved.
    let again: Vec<String> = ids.iter().map(|id| ask_at(&up, id, "2030-01-01T01:10:00Z")).collect();
    assert_eq!(again, met);
    assert!(doing(&up).starts_with("a bandit chooses among versions 1, 2, 3, round 2"), "{}", doing(&up));

    // What was learnt is in the log: a killed server goes on where it was.
    up.post("/v1/models/flat/flush", &json!({}));
    drop(up);
    let up = Up::start(&root);
    assert_eq!(shares(&root), of);
    up.come_to("2030-01-01T02:30:00Z");
    let after = last(&root, "arms_weighed");
    let labels = |fact: &Value| -> u64 {
        fact["arms"].as_array().unwrap().iter().map(|arm| arm["labels"].as_u64().unwrap()).sum()
    };
    assert_eq!((&after["round"], labels(&after)), (&json!(1), 150), "nothing was forgotten: {after}");
    gyre(&root, "rollback flat").done();
    assert_eq!(shares(&root), BTreeMap::from([(1, 100.0)]));

    // As the strategy of a rollout, with an end.
    up.come_to("2030-01-01T03:00:00Z");
    let words = "2 --strategy bandit --every 30m --arm-labels 15 --floor 10";
    let told = deploy(&root, words, &[]).done().out;
    assert!(told.contains("takes 50 % of traffic"), "{told}");
    let ids: Vec<String> = (0..150).map(|at| format!("last-{at}")).collect();
    ids.iter().for_each(|id| drop(ask_at(&up, id, "2030-01-01T03:10:00Z")));
    sold(&up, &ids, "2030-01-01T03:40:00Z");
    up.come_to("2030-01-01T03:45:00Z");
    assert_eq!(
        (last(&root, "arms_weighed")["winner"].clone(), last(&root, "promoted")["version"].clone()),
        (json!(2), json!(2))
    );
    assert_eq!(shares(&root), BTreeMap::from([(2, 100.0)]));
    assert_eq!(gyre(&root, "journal verify").code, 0);
}

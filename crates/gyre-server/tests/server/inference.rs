//! The Open Inference Protocol over a real socket: answers, and every way to be refused.
use crate::support;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::support::{Client, OTHER_REGRESSOR, Scene, good, moment, name, with};
use serde_json::json;

const INFER: &str = "/v2/models/demand/infer";

#[test]
fn a_prediction_is_answered_and_logged() {
    let scene = Scene::serving();
    let answer = scene.post(INFER, &good("sale-1"));
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.header("gyre-model-version"), Some("1"));
    assert_eq!(answer.header("gyre-route"), Some("champion"));
    let body = answer.json();
    assert_eq!(body["model_name"], "demand");
    assert_eq!(body["model_version"], "1");
    assert_eq!(body["id"], "sale-1");
    assert_eq!(body["outputs"][0]["name"], "sold");
    assert_eq!(body["outputs"][0]["datatype"], "FP64");
    assert_eq!(body["outputs"][0]["shape"], json!([1]));
    let predicted = body["outputs"][0]["data"][0].as_f64().unwrap();
    scene.gateway().flush("demand").unwrap();
    let found = scene.gateway().find("demand", "sale-1").unwrap().unwrap();
    assert_eq!(found.output.as_number(), Some(predicted));
    assert_eq!(found.time, moment("2026-03-01T12:00:00Z"));
    assert_eq!(found.features.len(), 5);
}

#[test]
fn a_batch_names_its_rows_and_time_comes_from_the_clock() {
    let scene = Scene::serving();
    let batch = r#"{"id": "b", "inputs": [
        {"name": "count", "shape": [2, 1], "datatype": "INT64", "data": [4, 5]},
        {"name": "weight", "shape": [2], "datatype": "FP32", "data": [-0.5, 1]},
        {"name": "price", "shape": [2], "datatype": "FP64", "data": [null, 12.5]},
        {"name": "kind", "shape": [2], "datatype": "BYTES", "data": ["b", "a"]},
        {"name": "shop", "shape": [2], "datatype": "BYTES", "data": ["east", "never seen"]}]}"#;
    let answer = scene.post(INFER, batch);
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.json()["outputs"][0]["shape"], json!([2]));
    scene.gateway().flush("demand").unwrap();
    let found = scene.gateway().find("demand", "b.1").unwrap().unwrap();
    assert_eq!(found.time, moment("2026-03-01T00:00:00Z"));
    assert_eq!(scene.logged("demand"), 2);
    let unnamed = scene.post(INFER, &with("", "")).json();
    assert_eq!(unnamed["id"], "x");
    let made = scene.post(INFER, &format!(r#"{{"inputs": [{}]}}"#, support::GOOD)).json();
    assert_eq!(made["id"].as_str().unwrap().len(), 36, "a UUID: {made}");
}

#[test]
fn a_classifier_answers_with_probabilities() {
    let scene = Scene::serving();
    let body = scene.post("/v2/models/size/infer", &good("s")).json();
    assert_eq!(body["outputs"][0]["datatype"], "BYTES");
    assert_eq!(body["outputs"][1]["name"], "probabilities");
    assert_eq!(body["outputs"][1]["shape"], json!([1, 3]));
    let probabilities: Vec<f64> = serde_json::from_value(body["outputs"][1]["data"].clone()).unwrap();
    assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-5);
    let wanted = good("s").replacen('{', r#"{"outputs": [{"name": "probabilities"}],"#, 1);
    let only = scene.post("/v2/models/size/infer", &wanted).json();
    assert_eq!(only["outputs"].as_array().unwrap().len(), 1);
    let wrong = scene.post("/v2/models/size/infer", &wanted.replace("probabilities", "probabilitys"));
    assert_eq!(wrong.status, 400);
    assert!(wrong.body.contains("did you mean `probabilities`"), "{}", wrong.body);
}

#[test]
fn metadata_and_health_say_what_there_is() {
    let scene = Scene::serving();
    let model = scene.get("/v2/models/size").json();
    assert_eq!(model["name"], "size");
    assert_eq!(model["versions"], json!(["1"]));
    assert_eq!(model["platform"], "gyre");
    assert_eq!(model["inputs"][0], json!({"name": "shop", "datatype": "BYTES", "shape": [-1]}));
    assert_eq!(model["inputs"][2]["datatype"], "FP64");
    assert_eq!(model["outputs"][1]["shape"], json!([-1, 3]));
    assert_eq!(scene.get("/v2/models/size/versions/1").json(), model);
    for path in ["/v2/health/live", "/v2/health/ready"] {
        assert_eq!(scene.get(path).json(), json!({"live": true, "ready": true}));
    }
    assert_eq!(scene.get("/v2").json()["name"], "gyre");
    for path in ["/v2/models/demand/ready", "/v2/models/demand/versions/1/ready"] {
        assert_eq!(scene.get(path).json(), json!({"name": "demand", "ready": true}));
    }
}

#[test]
fn every_wrong_request_is_refused_and_nothing_is_logged() {
    let scene = Scene::serving();
    let tensor = |name: &str, datatype: &str, shape: &str, data: &str| {
        format!(r#"{{"name": "{name}", "shape": {shape}, "datatype": "{datatype}", "data": {data}}}"#)
    };
    let price =
        |datatype: &str, shape: &str, data: &str| with("price", &tensor("price", datatype, shape, data));
    let extra = format!(r#"{{"inputs": [{}, {}]}}"#, support::GOOD, tensor("prise", "FP64", "[1]", "[1]"));
    let twice = format!(r#"{{"inputs": [{}, {}]}}"#, support::GOOD, tensor("price", "FP64", "[1]", "[1]"));
    let deep = format!(r#"{{"inputs": {}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    let cases: Vec<(&str, String, &str)> = vec![
        ("missing feature", with("price", ""), "feature `price` is missing"),
        (
            "too many rows",
            with("price", &tensor("price", "FP64", "[20001]", &format!("[{}1]", "1,".repeat(20_000)))),
            "at most 20000",
        ),
        ("renamed feature", with("price", &tensor("prise", "FP64", "[1]", "[1]")), "is `prise` it?"),
        ("extra feature", extra, "`prise` is not a feature; did you mean `price`?"),
        ("feature twice", twice, "feature `price` is given twice"),
        (
            "text for a number",
            price("BYTES", "[1]", r#"["cheap"]"#),
            "feature `price` is text, expected numeric",
        ),
        (
            "number for text",
            with("shop", &tensor("shop", "INT64", "[1]", "[1]")),
            "feature `shop` is numeric, expected text",
        ),
        ("data against its datatype", price("FP64", "[1]", r#"["1"]"#), "FP64 expects numbers"),
        ("unknown datatype", price("FLOAT", "[1]", "[1]"), "datatype `FLOAT` is not known"),
        ("NaN", price("FP64", "[1]", "[NaN]"), "expected value at line 1 column"),
        ("infinite", price("FP64", "[1]", "[1e999]"), "number out of range"),
        ("shape of another length", price("FP64", "[2]", "[1]"), "shape [2] does not fit its 1 values"),
        ("wide shape", price("FP64", "[1, 2]", "[1, 2]"), "`price` is a matrix beside other inputs"),
        ("other number of rows", price("FP64", "[2]", "[1, 2]"), "feature `price` has 2 values for 1 rows"),
        (
            "fraction where the model takes whole numbers",
            with("count", &tensor("count", "FP64", "[1]", "[1.5]")),
            "1.5",
        ),
        (
            "no rows",
            good("x")
                .replace("[1, 1]", "[0]")
                .replace("[1]", "[0]")
                .replace("[\"east\"]", "[]")
                .replace("[[\"b\"]]", "[]")
                .replace("[12.382944107055664]", "[]")
                .replace("[-0.5]", "[]")
                .replace("[4]", "[]"),
            "no rows",
        ),
        ("empty id", good(""), "id of 0 bytes"),
        ("long id", good(&"x".repeat(513)), "id of 513 bytes"),
        (
            "event time",
            good("x").replace("2026-03-01T12:00:00Z", "noon"),
            "parameters.event_time: `noon` is not a time",
        ),
        ("unknown key", r#"{"input": []}"#.to_owned(), "unknown field `input`, expected one of"),
        ("no inputs", "{}".to_owned(), "missing field `inputs`"),
        ("half a body", good("x")[..60].to_owned(), "EOF"),
        ("no JSON", "hello".to_owned(), "line 1 column 1"),
        ("two bodies", good("x") + "{}", "trailing characters"),
        ("nothing", String::new(), "EOF"),
        ("deep nesting", deep, "line 1 column"),
        (
            "unknown output",
            good("x").replacen('{', r#"{"outputs": [{"name": "solt"}],"#, 1),
            "`solt` is not an output of demand; did you mean `sold`?",
        ),
    ];
    let mut client = scene.connect();
    for (case, body, told) in cases {
        let answer = client.send("POST", INFER, &[("content-type", "application/json")], body.as_bytes());
        assert_eq!(answer.status, 400, "{case}: {}", answer.body);
        let error = answer.json();
        assert_eq!(error.as_object().unwrap().len(), 1, "{case}: {error}");
        let error = error["error"].as_str().unwrap().to_owned();
        assert!(error.contains(told), "{case}: {error}");
    }
    assert_eq!(scene.logged("demand"), 0);
}

#[test]
fn what_is_not_there_is_said_with_the_nearest_name() {
    let scene = Scene::serving();
    scene.register("demand", 2, OTHER_REGRESSOR, &[]);
    let cases = [
        ("/v2/models/demnad/infer", 404, "there is no model `demnad`; did you mean `demand`?"),
        ("/v2/models/demand/versions/2/infer", 404, "version 2 of demand is not loaded; loaded: 1"),
        ("/v2/models/demand/versions/one/infer", 404, "`one` is not a version"),
        ("/v2/models/demand/versions/99999999999/infer", 404, "is not a version"),
        ("/v2/models/..%2f..%2fetc%2fpasswd/infer", 404, "there is no model"),
        ("/v2/models/demand/guess", 404, "there is nothing at"),
        ("/v2/models/demnad/explain", 404, "did you mean `demand`?"),
        ("/v2/models/demand/explain", 400, "cannot be explained"),
    ];
    for (path, status, told) in cases {
        let answer = scene.post(path, &good("x"));
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        assert!(answer.json()["error"].as_str().unwrap().contains(told), "{path}: {}", answer.body);
    }
    for path in ["/v2/models/demnad", "/v2/models/demnad/ready", "/v2/models/demand/versions/7"] {
        assert_eq!(scene.get(path).status, 404, "{path}");
    }
    let answer = scene.get(INFER);
    assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")));
    assert!(answer.json()["error"].is_string());
    assert_eq!(scene.logged("demand"), 0);
}

#[test]
fn bodies_have_limits_and_a_type() {
    let scene = Scene::serving();
    let mut promised = scene.connect();
    let answer = promised.send("POST", INFER, &[("content-length", "99999999999")], b"{");
    assert_eq!((answer.status, answer.json()["error"].is_string()), (413, true), "{}", answer.body);
    let chunk = [b"8000\r\n".as_slice(), &[b' '; 0x8000], b"\r\n"].concat();
    let mut unending = scene.connect();
    let head = format!("POST {INFER} HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n");
    let answer = unending.raw(&[head.as_bytes(), &chunk.repeat(520), b"0\r\n\r\n"].concat());
    assert_eq!(answer.status, 413, "{}", answer.body);
    let typed = |kind: &str| {
        scene.connect().send("POST", INFER, &[("content-type", kind)], good("x").as_bytes()).status
    };
    assert_eq!(typed("text/plain"), 415);
    assert_eq!(typed("application/x-www-form-urlencoded"), 415);
    let compressed =
        scene.connect().send("POST", INFER, &[("content-encoding", "gzip")], good("x").as_bytes());
    assert_eq!(compressed.status, 415);
    let binary = scene.connect().send(
        "POST",
        INFER,
        &[("inference-header-content-length", "9")],
        good("x").as_bytes(),
    );
    assert_eq!(binary.status, 400);
    assert_eq!(scene.logged("demand"), 0);
    assert_eq!(typed("application/json; charset=utf-8"), 200);
    assert_eq!(scene.connect().send("POST", INFER, &[], good("y").as_bytes()).status, 200, "without a type");
}

#[test]
fn a_model_without_traffic_is_unavailable_for_a_while() {
    let scene = Scene::empty();
    scene.register("demand", 1, support::REGRESSOR, &[]);
    let artifact = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../gyre-runtime/tests/fixtures")
        .join(support::REGRESSOR);
    let artifact = std::fs::read(artifact).unwrap();
    scene.gateway().load(&name("demand"), 1, support::signature(&[]), &artifact).unwrap();
    let answer = scene.post(INFER, &good("x"));
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")), "{}", answer.body);
    assert_eq!(scene.get("/v2/models/demand/ready").status, 503);
    let pinned = scene.post("/v2/models/demand/versions/1/infer", &good("x"));
    assert_eq!((pinned.status, pinned.header("gyre-route")), (200, Some("pinned")));
    assert_eq!(scene.get("/v2/models/demand/versions/1/ready").status, 200);
}

#[test]
fn versions_are_swapped_under_load_without_a_failed_request() {
    let scene = Scene::serving();
    scene.register("demand", 2, OTHER_REGRESSOR, &[]);
    let stop = AtomicBool::new(false);
    let served = [const { AtomicU64::new(0) }; 3];
    let answered = Arc::new(AtomicU64::new(0));
    let load = |thread: usize| {
        let mut client = Client::to(scene.address);
        let mut sent = 0;
        while !stop.load(Ordering::Relaxed) {
            let answer = client.send("POST", INFER, &[], good(&format!("{thread}-{sent}")).as_bytes());
            assert_eq!(answer.status, 200, "{}", answer.body);
            let version: usize = answer.header("gyre-model-version").unwrap().parse().unwrap();
            served[version].fetch_add(1, Ordering::Relaxed);
            answered.fetch_add(1, Ordering::Relaxed);
            sent += 1;
        }
    };
    std::thread::scope(|threads| {
        let load = &load;
        let clients: Vec<_> = (0..4).map(|thread| threads.spawn(move || load(thread))).collect();
        let wait_for = |more: u64| {
            let until = answered.load(Ordering::Relaxed) + more;
            while answered.load(Ordering::Relaxed) < until
                && !clients.iter().any(|client| client.is_finished())
            {
                std::thread::yield_now();
            }
        };
        for round in 0..5 {
            wait_for(50);
            let promoted = scene.post("/v1/models/demand/promote", r#"{"version": 2, "reason": "swap"}"#);
            assert_eq!(promoted.status, 200, "{}", promoted.body);
            let after = scene.post(INFER, &good(&format!("after-{round}")));
            assert_eq!(
                after.header("gyre-model-version"),
                Some("2"),
                "all traffic has moved when the answer is there"
            );
            wait_for(50);
            assert_eq!(scene.post("/v1/models/demand/rollback", "").status, 200);
            assert_eq!(
                scene.post(INFER, &good(&format!("back-{round}"))).header("gyre-model-version"),
                Some("1")
            );
        }
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            client.join().unwrap();
        }
    });
    assert!(served[1].load(Ordering::Relaxed) > 0 && served[2].load(Ordering::Relaxed) > 0);
    let answered = answered.load(Ordering::Relaxed) + 10;
    assert_eq!(scene.logged("demand"), answered, "every answer is in the log, once");
}

#[test]
fn going_down_finishes_what_was_begun() {
    let mut scene = Scene::serving();
    let mut client = scene.connect();
    let body = good("last");
    let head = format!("POST {INFER} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", body.len());
    assert_eq!(client.send("GET", "/health", &[], b"").status, 200);
    client.begin(head.as_bytes());
    client.begin(&body.as_bytes()[..10]);
    let rest = body.as_bytes()[10..].to_vec();
    let sender = std::thread::spawn(move || {
        client.begin(&rest);
        client.answer()
    });
    let answer = sender.join().unwrap();
    assert_eq!(answer.status, 200);
    scene.stop();
    assert!(std::net::TcpStream::connect(scene.address).is_err(), "nobody listens any more");
}

#[test]
fn odd_values_are_told_and_counted_and_those_to_be_rejected_refused_in_every_protocol() {
    let scene = Scene::serving();
    let good = scene.post(INFER, &good("a"));
    assert_eq!((good.status, good.header("gyre-feature-warnings")), (200, None), "{}", good.body);
    let priced = |price: &str| {
        let tensor = format!(r#"{{"name": "price", "shape": [1], "datatype": "FP64", "data": [{price}]}}"#);
        with("price", &tensor)
    };
    let warned = scene.post(INFER, &priced("101"));
    assert_eq!(warned.status, 200, "{}", warned.body);
    let told = "\"price\";odd=out_of_range;rows=1;first=0";
    assert_eq!(warned.header("gyre-feature-warnings"), Some(told));
    let missing = scene.post(INFER, &priced("null"));
    assert_eq!(missing.header("gyre-feature-warnings"), Some("\"price\";odd=missing;rows=1;first=0"));

    let count = r#"{"name": "count", "shape": [1], "datatype": "INT64", "data": [-1]}"#;
    let refused = scene.post(INFER, &with("count", count));
    let expected = "demand (version 1): feature `count`, row 0: -1 is out of range; expected 0 to 1000000";
    assert_eq!((refused.status, &refused.json()["error"]), (400, &json!(expected)));

    // MLflow's frames, where the second row is the one.
    let frame = |count: i64| {
        json!({"dataframe_split": {
            "columns": ["shop", "kind", "price", "weight", "count"],
            "data": [["east", "a", 5.0, 1.0, 3], ["nowhere", "a", 5.0, 1.0, count]],
        }})
    };
    let warned = scene.post("/serve/demand/invocations", &frame(3).to_string());
    assert_eq!(warned.status, 200, "{}", warned.body);
    assert_eq!(warned.header("gyre-feature-warnings"), Some("\"shop\";odd=unseen;rows=1;first=1"));
    let logged = scene.logged("demand");
    let refused = scene.post("/serve/demand/invocations", &frame(-7).to_string());
    let body = refused.json();
    assert_eq!((refused.status, &body["error_code"]), (400, &json!("BAD_REQUEST")), "{body}");
    assert!(
        body["message"].as_str().unwrap().contains("feature `count`, row 1: -7 is out of range"),
        "{body}"
    );
    assert_eq!(scene.logged("demand"), logged, "nothing of a refused batch is logged");

    let metrics = scene.get("/metrics").body;
    for line in [
        r#"gyre_feature_odd_values_total{model="demand",version="1",feature="price",odd="out_of_range",action="warn"} 1"#,
        r#"gyre_feature_odd_values_total{model="demand",version="1",feature="price",odd="missing",action="warn"} 1"#,
        r#"gyre_feature_odd_values_total{model="demand",version="1",feature="shop",odd="unseen",action="warn"} 1"#,
        r#"gyre_feature_odd_values_total{model="demand",version="1",feature="count",odd="out_of_range",action="reject"} 2"#,
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}\n{metrics}");
    }
    let shown = scene.get("/v1/models/demand").json();
    let rules = &shown["features"][0]["rules"];
    assert_eq!((&rules[0]["feature"], &rules[0]["expected"]), (&json!("shop"), &json!("one of east, north")));
    assert_eq!((&rules[1]["declared"], &rules[1]["odd_values"]), (&json!(false), &json!(1)), "{rules}");
    assert_eq!((&rules[2]["declared"], &rules[2]["on_odd"]), (&json!(true), &json!("reject")), "{rules}");
}

#[test]
fn labels_can_be_weighed_before_they_are_written() {
    let scene = Scene::serving();
    scene.post(INFER, &good("sale-1"));
    let bring = |more: &str| {
        let labels = r#"[{"id": "sale-1", "value": 3.5, "time": "2026-03-01T13:00:00Z"}, {"id": "nobody", "value": 1}]"#;
        let answer = scene.post("/v1/labels", &format!(r#"{{"model": "demand", "labels": {labels}{more}}}"#));
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()
    };
    let counted = |taken: u64, repeated: u64| json!({"labels": 2, "taken": taken, "repeated": repeated, "outdated": 0, "corrected": 0, "unknown": 1, "late": 0});
    assert_eq!(bring(r#", "dry_run": true"#), counted(2, 0));
    assert_eq!(bring(r#", "count": true"#), counted(2, 0));
    assert_eq!(bring(r#", "count": true"#), counted(0, 2));
    assert_eq!(bring(""), json!({"labels": 2}), "who does not ask is answered as ever");
    let label = scene.gateway().find("demand", "sale-1").unwrap().unwrap().label.unwrap();
    assert_eq!(label.value.as_number(), Some(3.5));
}

//! Files scored through the command line, killed and gone on with; and the inference log asked beside a running server.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;

use serde_json::{Value, json};
use support::{Up, change, command, gyre, project};

const ONNX: &str = "baseline train --data data/deliveries.csv --target minutes \
                    --features distance_km,hour,district --rounds 20 --out m.onnx";

fn infer(up: &Up, id: &str, district: &str) -> f64 {
    let input = |name: &str, datatype: &str, value: Value| json!({"name": name, "shape": [1, 1], "datatype": datatype, "data": [value]});
    let body = json!({
        "id": id,
        "parameters": {"event_time": "2025-02-24T12:00:00Z"},
        "inputs": [
            input("distance_km", "FP64", json!(5.5)),
            input("hour", "FP64", json!(9)),
            input("district", "BYTES", json!(district)),
        ],
    });
    up.post("/v2/models/minutes/infer", &body)["outputs"][0]["data"][0].as_f64().unwrap()
}

#[test]
fn a_run_that_is_killed_goes_on_and_ends_with_the_same_bytes() {
    let (_dir, root) = project();
    gyre(&root, ONNX).done();
    let text = std::fs::read_to_string(root.join("data/deliveries.csv")).unwrap();
    let (head, rows) = text.split_once('\n').unwrap();
    std::fs::write(root.join("many.csv"), format!("{head}\n{}", rows.repeat(60))).unwrap();
    let words = "predict --file m.onnx --input many.csv --id id --part-rows 2000 --threads 1 --output";

    let mut child = command(&root).args(format!("{words} out.parquet").split_whitespace()).spawn().unwrap();
    let parts = || {
        let entries =
            std::fs::read_dir(root.join(".out.parquet.gyre-predict")).into_iter().flatten().flatten();
        entries.filter(|entry| entry.file_name() == "000000-000001").count()
    };
    while parts() == 0 {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it was killed");
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!root.join("out.parquet").exists(), "an output appears whole or not at all");
    let dry = gyre(&root, &format!("{words} out.parquet --dry-run")).done().out;
    assert!(dry.contains("it goes on where an earlier run stopped"), "{dry}");

    let again = gyre(&root, &format!("{words} out.parquet")).done();
    assert!(again.err.contains("going on: "), "{again:?}");
    gyre(&root, &format!("{words} whole.parquet")).done();
    let bytes = |name: &str| std::fs::read(root.join(name)).unwrap();
    assert_eq!(bytes("out.parquet"), bytes("whole.parquet"));
    assert!(!root.join(".out.parquet.gyre-predict").exists());
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_its_line_and_what_to_do() {
    let (_dir, root) = project();
    gyre(&root, ONNX).done();
    std::fs::write(root.join("bad.csv"), "distance_km,hour,district\n1,2,east\n1,noon,east\n").unwrap();
    let said = gyre(&root, "predict --file m.onnx --input bad.csv --output out.csv");
    assert_eq!(said.code, 2);
    assert!(said.err.contains("bad.csv: line 3, column `hour`: found `noon`"), "{}", said.err);
    std::fs::write(root.join("bad.csv"), "distance,hour,district\n1,2,east\n").unwrap();
    let said = gyre(&root, "predict --file m.onnx --input bad.csv --output out.csv");
    assert!(said.err.contains("the model reads the column `distance_km`"), "{}", said.err);
    let said = gyre(&root, "predict minutes --input bad.csv --output out.csv");
    assert!(said.err.contains("gyre up"), "{}", said.err);
}

fn rows(file: &Path) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(file).unwrap();
    text.lines().map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

#[test]
fn the_champion_scores_files_and_its_log_is_read_while_the_server_runs() {
    let (_dir, root) = project();
    change(&root.join("gyre.yaml"), "candidate.latency_p99_ms <= 5.0", "candidate.latency_p99_ms <= 500.0");
    change(&root.join("dvc.yaml"), "--rounds 60", "--rounds 20");
    let up = Up::start(&root);
    gyre(&root, "train minutes --window 14d --as-of 2025-02-10T00:00:00Z").done();
    up.come_to("2025-02-10T00:00:00Z");

    std::fs::write(root.join("rows.csv"), "order,distance_km,hour,district\nx,5.5,9,east\ny,5.5,9,north\n")
        .unwrap();
    let served = [infer(&up, "a", "east"), infer(&up, "b", "north")];
    let report =
        gyre(&root, "predict minutes --input rows.csv --output out.csv --id order --json").done().json();
    assert_eq!((&report["rows"], &report["version"]), (&json!(2), &json!(1)));
    let scored = rows(&root.join("out.csv"));
    assert_eq!(scored[0], ["order", "prediction", "model_version"]);
    for (row, (id, served)) in scored[1..].iter().zip(["x", "y"].iter().zip(served)) {
        assert_eq!((row[0].as_str(), row[2].as_str()), (*id, "1"));
        assert!((row[1].parse::<f64>().unwrap() - served).abs() < 1e-9, "{row:?} {served}");
    }
    let unknown = gyre(&root, "predict minutes --version 9 --input rows.csv --output out.csv");
    assert!(unknown.err.contains("the newest version of `minutes` is 1"), "{}", unknown.err);

    // Not flushed by anybody: the command asks the server to.
    infer(&up, "c", "west");
    let label =
        json!({"model": "minutes", "labels": [{"id": "a", "value": 31.0, "time": "2025-02-24T13:00:00Z"}]});
    up.post("/v1/labels", &label);
    let ask = |sql: &str| {
        let said = command(&root).args(["log", "sql", "minutes", sql, "--json"]).output().unwrap();
        support::Said::from(said).done().json()
    };
    let sql =
        "SELECT p.id, p.district, l.label FROM predictions p LEFT JOIN labels l USING (id) ORDER BY p.id";
    let found = |label: Value| {
        json!([
            {"id": "a", "district": "east", "label": label},
            {"id": "b", "district": "north", "label": null},
            {"id": "c", "district": "west", "label": null},
        ])
    };
    assert_eq!(ask(sql), found(json!(31)));
    let tail = gyre(&root, "log tail minutes -n 1 --json").done().json();
    assert_eq!((&tail["id"], &tail["features"]["district"]), (&json!("c"), &json!("west")));
    let wrong = command(&root).args(["log", "sql", "minutes", "DROP TABLE labels"]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));

    drop(up);
    // The server was killed: what it had brought to disk is all there.
    assert_eq!(ask(sql), found(json!(31)));
    let said = gyre(&root, "log export minutes --output log.csv --from 2025-02-24T00:00:00Z").done().out;
    assert!(said.contains("3 predictions of minutes (1 labels known)"), "{said}");
    let log = rows(&root.join("log.csv"));
    assert_eq!(log[0][..6], ["id", "time", "version", "route", "prediction", "latency_us"]);
    assert_eq!(log[0].last().unwrap(), "label_time");
    assert_eq!(log[1].last().unwrap(), "2025-02-24T13:00:00.000Z");
    let periods = "drift --model minutes --reference 2025-02-24..2025-02-25 --current last:1d --json";
    let drift = gyre(&root, periods).done().json();
    assert_eq!(drift["reference"], "minutes 2025-02-24..2025-02-25");
    let columns = drift["columns"].as_array().unwrap().iter().map(|column| column["name"].clone());
    let columns: Vec<Value> = columns.collect();
    assert!(columns.contains(&json!("district")) && columns.contains(&json!("prediction")), "{columns:?}");
    assert!(!columns.contains(&json!("id")) && drift["columns"][0]["verdict"] == "insufficient");
    let wrong = gyre(&root, "drift --model minutes --reference 2025-02-25..2025-02-24 --current last:1d");
    assert!(wrong.code == 2 && wrong.err.contains("FROM..TO"), "{wrong:?}");
    let again = gyre(&root, "predict minutes --input rows.csv --output again.csv --id order");
    again.done();
    assert_eq!(rows(&root.join("again.csv")), scored);
    let none = gyre(&root, "log tail minute");
    assert!(none.code == 2 && none.err.contains("did you mean `minutes`?"), "{none:?}");
}

#[test]
fn labels_come_from_files_once_although_command_and_server_are_killed() {
    let (_dir, root) = project();
    gyre(&root, ONNX).done();
    std::fs::remove_file(root.join("gyre.yaml")).unwrap();
    let up = Up::start(&root);
    gyre(&root, "deploy minutes --file m.onnx --strategy replace").done();
    infer(&up, "7", "east");

    let rows = 60_000;
    let mut text = "order,took,landed\n".to_owned();
    (0..rows).for_each(|row| text += &format!("{row},{}.5,2025-02-24T13:00:00Z\n", row % 90));
    std::fs::write(root.join("landed.csv"), text).unwrap();
    let words = "labels minutes landed.csv --id order --label took --time landed --json";
    let dry = gyre(&root, &format!("{words} --dry-run")).done().json();
    assert_eq!(
        (&dry["taken"], &dry["unknown"], &dry["late"]),
        (&json!(60_000), &json!(59_999), &json!(0)),
        "{dry}"
    );

    // The server dies as soon as some labels are in its log.
    let mut child = command(&root);
    let child = child
        .args(words.split_whitespace())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped());
    let child = child.spawn().unwrap();
    let wal = root.join(".gyre/log/minutes/wal-00000001.log");
    while std::fs::metadata(&wal).unwrap().len() < 100_000 {
        std::thread::yield_now();
    }
    drop(up);
    let ended = child.wait_with_output().unwrap();
    assert!(!ended.status.success(), "it had brought all labels before the server was killed");

    let up = Up::start(&root);
    let again = gyre(&root, words).done().json();
    let counts = ["taken", "repeated"].map(|count| again[count].as_u64().unwrap());
    assert!(counts[0] < rows && counts[0] + counts[1] == rows, "{again}");
    let once = gyre(&root, words).done().json();
    assert_eq!((&once["taken"], &once["repeated"]), (&json!(0), &json!(rows)), "{once}");
    let sql = ["log", "sql", "minutes", "SELECT label FROM labels WHERE id = '7'", "--json"];
    let found = support::Said::from(command(&root).args(sql).output().unwrap()).done().json();
    assert_eq!(found, json!([{"label": 7.5}]));

    for (words, code, told) in [
        ("labels minutes landed.csv --id ordr --label took", 2, "there is no column `ordr`"),
        ("labels minutes landed.csv --id order --label took --time took", 2, "times"),
        ("labels minute landed.csv --id order --label took", 1, "did you mean `minutes`?"),
        ("labels minutes lnded.csv", 2, "did you mean `landed.csv`?"),
    ] {
        let said = gyre(&root, words);
        assert!(said.code == code && said.err.contains(told), "{words}: {said:?}");
    }
    drop(up);
    let alone = gyre(&root, words);
    assert!(alone.code == 1 && alone.err.contains("gyre up"), "{alone:?}");
}

#[test]
fn a_server_looks_for_labels_itself_and_is_killed_in_between() {
    let (_dir, root) = project();
    change(&root.join("gyre.yaml"), "candidate.latency_p99_ms <= 5.0", "candidate.latency_p99_ms <= 500.0");
    change(&root.join("dvc.yaml"), "--rounds 60", "--rounds 20");
    let text = std::fs::read_to_string(root.join("gyre.yaml")).unwrap();
    let model = text.find("    labels:").unwrap_or_else(|| panic!("{text}"));
    let line = text[model..].lines().next().unwrap();
    let sourced =
        "    labels: {join: id, source: {files: 'landed/*.csv', label: took, time: landed, every: 1s}}";
    change(&root.join("gyre.yaml"), line, sourced);
    gyre(&root, "check").done();
    let up = Up::start(&root);
    gyre(&root, "train minutes --window 14d --as-of 2025-02-10T00:00:00Z").done();
    up.come_to("2025-02-10T00:00:00Z");
    infer(&up, "7", "east");

    let rows = 60_000_u64;
    let mut text = "id,took,landed\n".to_owned();
    (0..rows).for_each(|row| text += &format!("{row},{}.5,2025-02-24T13:00:00Z\n", row % 90));
    std::fs::create_dir(root.join("landed")).unwrap();
    std::fs::write(root.join("landed/a.csv.part"), text).unwrap();
    std::fs::rename(root.join("landed/a.csv.part"), root.join("landed/a.csv")).unwrap();
    let wal = root.join(".gyre/log/minutes/wal-00000001.log");
    while std::fs::metadata(&wal).unwrap().len() < 100_000 {
        std::thread::yield_now();
    }
    drop(up);
    assert!(!root.join(".gyre/labels/minutes.json").exists(), "it was not killed in between");

    let up = Up::start(&root);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let found = loop {
        let source = up.get("/v1/models/minutes")["label_source"].clone();
        if source["looks"].as_u64().unwrap() > 0 {
            break source;
        }
        assert!(std::time::Instant::now() < deadline, "{source}");
        std::thread::yield_now();
    };
    assert_eq!(found["problem"], json!(null), "{found}");
    let counts = ["taken", "repeated"].map(|count| found["labels"][count].as_u64().unwrap());
    assert!(counts[1] > 0 && counts[0] + counts[1] == rows, "{found}");
    let count = |sql: &str| {
        let said = command(&root).args(["log", "sql", "minutes", sql, "--json"]).output().unwrap();
        support::Said::from(said).done().json()[0]["n"].as_u64().unwrap()
    };
    assert_eq!(count("SELECT count(*) AS n FROM labels"), rows);
    assert_eq!(count("SELECT count(DISTINCT id) AS n FROM labels"), rows);
}

//! ONNX graphs beyond gyre's own engine, beside models of its own.

use super::*;

/// Writes the graphs called `names` into the folder, whose `.venv` is that of the tests.
fn graphs(root: &Path, names: &[&str]) {
    let venv = PathBuf::from(std::env::var_os("GYRE_TEST_VENV").expect(
        "GYRE_TEST_VENV is not set; run the tests through `cargo xtask test`, which makes the environment",
    ));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../gyre-onnxruntime/tests/graphs.py");
    let mut python = Command::new(venv.join("bin/python"));
    let output = python.arg(script).arg(root).args(names).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::os::unix::fs::symlink(std::path::absolute(venv).unwrap(), root.join(".venv")).unwrap();
}

#[test]
fn a_graph_for_onnxruntime_is_a_canary_beside_a_native_model() {
    let (_dir, root) = place();
    graphs(&root, &["flat", "elsewhere"]);
    let up = Up::start(&root);
    deploy(&root, "--file model.txt", &[]).done();
    let words = "--file flat.onnx --steps 50,100 --min-requests 5";
    let second = deploy(&root, words, &[]).done().out;
    assert!(second.starts_with("version 2 of flat takes 50 % of traffic"), "{second}");
    let mut asked = [0, 0];
    for at in 0..40 {
        let size = f64::from(30 + at);
        let (price, version) = worth(&up, &format!("canary-{at}"), size);
        assert!(
            (price - if size < 50.0 { 100.0 } else { 200.0 }).abs() < 1e-3,
            "{size}: {price} by {version}"
        );
        asked[version.parse::<usize>().unwrap() - 1] += 1;
    }
    assert!(asked[0] >= 5 && asked[1] >= 5, "both take their share: {asked:?}");
    up.come_to("2030-01-01T00:00:00Z");
    assert_eq!(worth(&up, "b", 60.0).1, "2");

    let rows: Vec<f64> = (0..1_000).map(f64::from).collect();
    let tensor =
        |name: &str, data: &[f64]| json!({"name": name, "shape": [1_000], "datatype": "FP64", "data": data});
    let body = json!({"id": "many", "inputs": [tensor("size", &rows), tensor("rooms", &[1.0; 1_000])]});
    let answer = up.post("/v2/models/flat/infer", &body);
    let prices = answer["outputs"][0]["data"].as_array().unwrap();
    assert_eq!(prices.iter().filter(|price| price.as_f64() == Some(100.0)).count(), 50);

    let (status, told) = up.try_post("/v2/models/flat/explain", &body);
    assert!(status == 400 && told["error"].as_str().unwrap().contains("onnxruntime runs it"), "{told}");
    let external = deploy(&root, "--file elsewhere.onnx", &[]);
    assert!(external.code == 1 && external.err.contains("lies in another file"), "{}", external.err);

    // It is found again when the server comes back, and scores files.
    drop(up);
    let up = Up::start(&root);
    assert_eq!(worth(&up, "again", 10.0), (100.0, "2".to_owned()));
    std::fs::write(root.join("rows.csv"), "size,rooms\n30,1\n60,2\n").unwrap();
    gyre(&root, "predict flat --input rows.csv --output scored.csv").done();
    let scored = std::fs::read_to_string(root.join("scored.csv")).unwrap();
    assert_eq!(scored.lines().collect::<Vec<_>>(), ["prediction,model_version", "100.0,2", "200.0,2"]);
    let shown = gyre(&root, "predict --file flat.onnx --input rows.csv --output x.csv --dry-run").done().out;
    assert!(shown.contains("ONNX, run by onnxruntime"), "{shown}");
}

#[test]
fn a_graph_that_does_not_end_is_answered_for_in_time() {
    let (_dir, root) = place();
    graphs(&root, &["endless"]);
    let up = Up::start(&root);
    command(&root).args(["deploy", "rounds", "--file", "endless.onnx"]).status().unwrap();
    let body = |rounds: f64| {
        let input = json!({"name": "rounds", "shape": [1], "datatype": "FP64", "data": [rounds]});
        json!({"inputs": [input]})
    };
    up.post("/v2/models/rounds/infer", &body(3.0));
    let begun = Instant::now();
    let (path, soon) = ("/v2/models/rounds/infer", "grpc-timeout: 300m\r\n");
    let (status, told) = up.ask_with("POST", path, &body(1e9).to_string(), soon);
    assert!(status == 504 && begun.elapsed() < Duration::from_secs(10), "{status} {told}");
    up.post("/v2/models/rounds/infer", &body(3.0));
}

#[test]
fn a_server_without_onnxruntime_says_what_it_looked_for_and_what_to_do() {
    let (_dir, root) = place();
    graphs(&root, &["flat"]);
    std::fs::remove_file(root.join(".venv")).unwrap();
    std::fs::write(root.join("rows.csv"), "size,rooms\n30,1\n").unwrap();
    let predict = |onnxruntime: Option<&str>| -> Said {
        let mut command = command(&root);
        command.args(["predict", "--file", "flat.onnx", "--input", "rows.csv", "--output", "scored.csv"]);
        command.args(onnxruntime.map(|file| format!("--onnxruntime={file}")));
        command.env_remove("VIRTUAL_ENV").env_remove("CONDA_PREFIX").output().unwrap().into()
    };
    let missing = predict(None);
    assert_eq!(missing.code, 2, "{}", missing.err);
    for word in [
        "HardSigmoid",
        "onnxruntime would run it",
        "GYRE_ONNXRUNTIME (not set)",
        ".venv",
        "pip install onnxruntime",
    ] {
        assert!(missing.err.contains(word), "{word}: {}", missing.err);
    }
    let wrong = predict(Some("nowhere.so"));
    assert!(wrong.err.contains("nowhere.so (there is no such file)"), "{}", wrong.err);
    let other = predict(Some("model.txt"));
    assert!(other.err.contains("model.txt (") && other.err.contains("pip install"), "{}", other.err);
    // What the native engine runs asks nobody.
    let up = Up::start(&root);
    deploy(&root, "--file model.txt", &[]).done();
    assert_eq!(worth(&up, "native", 60.0).0, 200.0);
    let refused = deploy(&root, "--file flat.onnx", &[]);
    assert!(refused.code == 1 && refused.err.contains("HardSigmoid"), "{}", refused.err);
}

//! `examples/languages` as its README has it: the commands are taken from there, so that what a reader pastes works.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use super::support::{GYRE, Said, Up, command, gyre};
use super::wait_until;

/// The folder with the Python that has MLflow.
pub(super) fn python() -> String {
    let venv = std::env::var("GYRE_TEST_VENV");
    format!("{}/bin", venv.expect("GYRE_TEST_VENV: run the tests through `cargo xtask test`"))
}

/// `gyre up --allow-commands` that finds `mlflow` on its PATH.
pub(super) fn up_with_mlflow(root: &Path) -> Up {
    let mut server = command(root);
    server.env("PATH", format!("{}:{}", python(), std::env::var("PATH").unwrap()));
    Up::run(server, &["--allow-commands"])
}

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/languages")
}

/// A copy of the example, as a project of its own.
fn copy() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("languages");
    let copied = Command::new("cp").arg("-r").args([&example(), &root]).status().unwrap();
    assert!(copied.success());
    (dir, root)
}

/// Runs what README.md has below `heading`, as a reader would.
#[track_caller]
fn paste(root: &Path, heading: &str) -> Said {
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let section =
        readme.split(&format!("## {heading}\n")).nth(1).unwrap_or_else(|| panic!("no heading {heading}"));
    let section = section.split("\n## ").next().unwrap();
    let block = section.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let gyre = Path::new(GYRE).parent().unwrap().display();
    let path = format!("{gyre}:{}:{}", python(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell
        .args(["-euc", block])
        .current_dir(root)
        .env("PATH", path)
        .env_remove("GYRE_PROJECT")
        .env_remove("GYRE_STORE");
    let said = Said::from(shell.output().unwrap());
    assert_eq!(said.code, 0, "{heading}: {}\n{}", said.out, said.err);
    said
}

/// What a flat is said to be worth, and by which version.
fn worth(up: &Up, id: &str, size: f64, district: &str) -> (f64, String) {
    let input = |name: &str, datatype: &str, value: serde_json::Value| json!({"name": name, "shape": [1], "datatype": datatype, "data": [value]});
    let inputs = [
        input("size", "FP64", json!(size)),
        input("rooms", "FP64", json!(3.0)),
        input("district", "BYTES", json!(district)),
    ];
    let answer = up.post("/v2/models/flat/infer", &json!({"id": id, "inputs": inputs}));
    (answer["outputs"][0]["data"][0].as_f64().unwrap(), answer["model_version"].as_str().unwrap().to_owned())
}

/// What a program says of itself, as a number.
fn number(root: &Path, program: &str, arguments: &[&str]) -> f64 {
    let mut command = Command::new(program);
    let output = command.args(arguments).current_dir(root).output().unwrap_or_else(|error| {
        panic!("{program}: {error}; `cargo xtask test` installs what the tests need")
    });
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

fn near(found: f64, expected: f64) -> bool {
    (found - expected).abs() <= 1e-6 * expected.abs()
}

/// Asks until both versions have answered often enough for the next step; what each says is held against `expected`.
fn walk(up: &Up, root: &Path, versions: [&str; 2], expected: [f64; 2]) {
    let mut met = [0, 0];
    for at in 0..120 {
        let (price, version) = worth(up, &format!("{}-{at}", versions[1]), 80.0, "harbour");
        let place = versions.iter().position(|known| *known == version).unwrap();
        assert!(near(price, expected[place]), "version {version}: {price}, expected {}", expected[place]);
        met[place] += 1;
    }
    assert!(met[0] > 20 && met[1] > 20, "both are asked: {met:?}");
    up.come_to("2030-01-01T00:00:00Z");
    wait_until("the canary has arrived", || {
        gyre(root, "traffic flat --json").done().json()["champion"].as_u64() == versions[1].parse().ok()
    });
}

#[test]
fn models_in_r_and_go_answer_beside_an_onnx_model() {
    let (_dir, root) = copy();
    let up = Up::start_with(&root, &["--allow-commands"]);
    paste(&root, "ONNX");
    let (first, version) = worth(&up, "first", 80.0, "harbour");
    assert_eq!(version, "1");
    let formula = "m <- lm(price ~ size * district + rooms, read.csv('flats.csv'))
        cat(format(predict(m, data.frame(size = 80, rooms = 3, district = 'harbour')), digits = 15))";
    let second = number(&root, "Rscript", &["-e", formula]);
    let said = paste(&root, "R").out;
    assert!(said.starts_with("version 2 of flat takes 50 % of traffic"), "{said}");
    walk(&up, &root, ["1", "2"], [first, second]);

    paste(&root, "Go");
    let median = "import csv, statistics
        flats = list(csv.DictReader(open('flats.csv')))
        print(80 * statistics.median(float(f['price']) / float(f['size']) for f in flats if f['district'] == 'harbour'))";
    let median = median.lines().map(str::trim_start).collect::<Vec<_>>().join("\n");
    let third = number(&root, &format!("{}/python", python()), &["-c", &median]);
    let (price, version) = worth(&up, "third", 80.0, "harbour");
    assert!(version == "3" && near(price, third), "{version}: {price}, expected {third}");

    // A row that the model does not take is the caller's fault, not an error of the version.
    for wrong in ["nowhere", ""] {
        let body = json!({"inputs": [
            {"name": "size", "shape": [1], "datatype": "FP64", "data": [80.0]},
            {"name": "rooms", "shape": [1], "datatype": "FP64", "data": [3.0]},
            {"name": "district", "shape": [1], "datatype": "BYTES", "data": [wrong]},
        ]});
        for version in [2, 3] {
            let (status, told) = up.try_post(&format!("/v2/models/flat/versions/{version}/infer"), &body);
            assert!(
                status == 400 && told["error"].as_str().unwrap().contains("no such district"),
                "{status} {told}"
            );
        }
    }
}

#[test]
fn a_model_in_node_is_tried_beside_a_pickle_that_mlflow_serves() {
    let (_dir, root) = copy();
    let up = up_with_mlflow(&root);
    paste(&root, "ONNX");
    paste(&root, "scikit-learn");
    let own = "import mlflow, pandas
flat = pandas.DataFrame({'size': [80.0], 'rooms': [3.0], 'district': ['harbour']})
print(mlflow.pyfunc.load_model('sklearn-model').predict(flat)[0])";
    let second = number(&root, &format!("{}/python", python()), &["-c", own]);
    let (price, version) = worth(&up, "second", 80.0, "harbour");
    assert!(version == "2" && near(price, second), "{version}: {price}, expected {second}");

    let said = paste(&root, "Node").out;
    assert!(said.starts_with("version 3 of flat takes 50 % of traffic"), "{said}");
    let third = number(
        &root,
        "node",
        &[
            "-e",
            "process.argv[1] = 'x'; console.log(require('./node/server.js').predict({ size: 80, rooms: 3, district: 'harbour' }))",
        ],
    );
    walk(&up, &root, ["2", "3"], [second, third]);
    let status = paste(&root, "What there is now").out;
    assert!(status.contains("flat"), "{status}");
}

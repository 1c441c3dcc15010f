//! Models that MLflow's real client logged here, as versions of the gateway.

use std::process::Command;

use serde_json::{Value, json};

use super::languages::{python, up_with_mlflow};
use super::support::{Said, Up, command, gyre};
use super::{place, script};

/// What `model` says of each row.
fn ask(up: &Up, model: &str, rows: &Value) -> Vec<Value> {
    let rows = rows.as_array().unwrap();
    let column = |at: usize| -> Vec<f64> { rows.iter().map(|row| row[at].as_f64().unwrap()).collect() };
    let input = |name: &str, at: usize| json!({"name": name, "shape": [rows.len()], "datatype": "FP64", "data": column(at)});
    let body = json!({"inputs": [input("size", 0), input("rooms", 1)]});
    up.post(&format!("/v2/models/{model}/infer"), &body)["outputs"][0]["data"].as_array().unwrap().clone()
}

fn agree(said: &[Value], expected: &Value) {
    let expected = expected.as_array().unwrap();
    assert_eq!(said.len(), expected.len());
    for (said, expected) in said.iter().zip(expected) {
        let (said, expected) = (said.as_f64().unwrap(), expected.as_f64().unwrap());
        assert!(
            (said - expected).abs() <= 1e-6 * expected.abs(),
            "{said} here, {expected} by the model itself"
        );
    }
}

#[test]
fn what_clients_logged_becomes_a_version_and_says_what_the_model_itself_says() {
    let (_dir, root) = place();
    let up = up_with_mlflow(&root);
    let client = Command::new(format!("{}/python", python()))
        .args([script("log_models.py"), up.url()])
        .output()
        .unwrap();
    assert!(client.status.success(), "{}", String::from_utf8_lossy(&client.stderr));
    let said = String::from_utf8(client.stdout).unwrap();
    let logged: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();

    // In process: skops by its number, XGBoost by its alias.
    let first = gyre(&root, "deploy flat models:/forest/1").done().out;
    assert!(first.starts_with("version 1 of flat takes all traffic"), "{first}");
    agree(&ask(&up, "flat", &logged["rows"]), &logged["forest"]["said"]);
    gyre(&root, "deploy dear models:/trees@best").done();
    let classes = ask(&up, "dear", &logged["rows"]);
    let classes: Vec<String> = classes.iter().map(|class| class.as_str().unwrap().to_owned()).collect();
    let expected: Vec<String> =
        logged["trees"]["said"].as_array().unwrap().iter().map(Value::to_string).collect();
    assert_eq!(classes, expected);
    let shown = gyre(&root, "model show dear").done().out;
    assert!(shown.contains("version 1 is from models:/trees/1, logged by run"), "{shown}");
    let shown = gyre(&root, "model show dear --json").done().json();
    let trees = &shown["versions"][0];
    assert_eq!((&trees["source"], &trees["run"]), (&json!("models:/trees/1"), &logged["trees"]["run"]));

    // A pickle is nothing that gyre loads; MLflow's own server does.
    let run = logged["line"]["run"].as_str().unwrap();
    let pickle = format!("deploy flat runs:/{run}/line");
    let refused = gyre(&root, &pickle);
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("Python pickle") && refused.err.contains("--serve"), "{}", refused.err);
    gyre(&root, &format!("{pickle} --serve --strategy replace")).done();
    agree(&ask(&up, "flat", &logged["rows"]), &logged["line"]["said"]);

    // Where it came from is known for good.
    let lineage = gyre(&root, "lineage flat@2").done().out;
    assert!(lineage.contains(&format!("from runs:/{run}/line")), "{lineage}");
    assert!(lineage.contains(&format!("made by: run {run}")), "{lineage}");

    let told = |words: &str| -> Said { gyre(&root, words) };
    for (words, reason) in [
        ("deploy flat models:/nobody/1", "nobody"),
        ("deploy flat models:/forest/7", "7"),
        ("deploy flat models:/flat/1", "gateway's own already"),
        ("deploy flat models:/forest/Production", "stages are not followed"),
        ("deploy flat 1 --serve", "registered already"),
    ] {
        let refused = told(words);
        assert!(refused.code == 1 && refused.err.contains(reason), "{words}: {}", refused.err);
    }
    // A command of one's own gets the files, too, and must say where.
    let mut own = command(&root);
    own.args([
        "deploy",
        "flat",
        "models:/forest/1",
        "--protocol",
        "mlflow",
        "--",
        "node",
        &script("server.js"),
    ]);
    let own = Said::from(own.output().unwrap());
    assert!(own.err.contains("{model}"), "{}", own.err);
}

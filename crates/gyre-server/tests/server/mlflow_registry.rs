//! The model registry of MLflow's protocol over a real socket, and the loop's models in it.
use crate::support::{OTHER_REGRESSOR, Scene, name};
use gyre_core::Fact;
use gyre_core::expr::GateResult;
use gyre_store::journal;
use serde_json::{Value, json};

const BASE: &str = "/api/2.0/mlflow";
const AGENT: &str = "mlflow-python-client/3.17.2";

/// Sends a request as MLflow's client does, and returns status and body.
fn ask(scene: &Scene, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let headers = [("content-type", "application/json"), ("user-agent", AGENT)];
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = scene.connect().send(method, &format!("{BASE}/{path}"), &headers, body.as_bytes());
    (answer.status, answer.json())
}

fn done(scene: &Scene, method: &str, path: &str, body: &Value) -> Value {
    let (status, answer) = ask(scene, method, path, body);
    assert_eq!(status, 200, "{method} {path} {body}: {answer}");
    answer
}

fn refused(scene: &Scene, method: &str, path: &str, body: &Value, status: u16, code: &str) -> String {
    let (found, answer) = ask(scene, method, path, body);
    assert_eq!(
        (found, answer["error_code"].as_str()),
        (status, Some(code)),
        "{method} {path} {body}: {answer}"
    );
    answer["message"].as_str().unwrap().to_owned()
}

#[test]
fn a_model_is_registered_found_and_taken_away() {
    let scene = Scene::empty();
    let created = done(
        &scene,
        "POST",
        "registered-models/create",
        &json!({"name": "air time", "tags": [{"key": "team", "value": "a"}], "description": "words"}),
    );
    assert_eq!(created["registered_model"]["tags"], json!([{"key": "team", "value": "a"}]));
    assert!(created["registered_model"]["creation_timestamp"].is_i64());
    refused(
        &scene,
        "POST",
        "registered-models/create",
        &json!({"name": "air time"}),
        400,
        "RESOURCE_ALREADY_EXISTS",
    );
    for number in ["1", "2"] {
        let body = json!({"name": "air time", "source": "s3://b/m", "run_link": "https://ci/7"});
        let version = done(&scene, "POST", "model-versions/create", &body)["model_version"].clone();
        assert_eq!((&version["version"], &version["status"]), (&json!(number), &json!("READY")));
        assert_eq!((&version["current_stage"], &version["run_id"]), (&json!("None"), &json!("")));
    }
    done(
        &scene,
        "POST",
        "registered-models/alias",
        &json!({"name": "air time", "alias": "prod", "version": "2"}),
    );
    let found = done(&scene, "GET", "registered-models/alias?name=air+time&alias=prod", &Value::Null);
    assert_eq!(found["model_version"]["aliases"], json!(["prod"]));
    let model = done(&scene, "GET", "registered-models/get?name=air%20time", &Value::Null);
    assert_eq!(model["registered_model"]["aliases"], json!([{"alias": "prod", "version": "2"}]));
    assert_eq!(model["registered_model"]["latest_versions"][0]["version"], "2");
    let uri = done(&scene, "GET", "model-versions/get-download-uri?name=air+time&version=1", &Value::Null);
    assert_eq!(uri, json!({"artifact_uri": "s3://b/m"}));
    let page = done(
        &scene,
        "GET",
        "model-versions/search?filter=name%3D%27air+time%27&max_results=1&order_by=version_number+ASC",
        &Value::Null,
    );
    assert_eq!(page["model_versions"][0]["version"], "1");
    assert!(page["next_page_token"].is_string());
    done(&scene, "DELETE", "model-versions/delete", &json!({"name": "air time", "version": "2"}));
    refused(
        &scene,
        "GET",
        "registered-models/alias?name=air+time&alias=prod",
        &Value::Null,
        400,
        "INVALID_PARAMETER_VALUE",
    );
    done(&scene, "DELETE", "registered-models/delete", &json!({"name": "air time"}));
    refused(
        &scene,
        "GET",
        "registered-models/get?name=air+time",
        &Value::Null,
        404,
        "RESOURCE_DOES_NOT_EXIST",
    );
    assert_eq!(done(&scene, "GET", "registered-models/search", &Value::Null), json!({}));

    let entries = scene.store().read(|tx| journal::of_kind(tx, "registry", None)).unwrap();
    assert_eq!(entries.len(), 6, "each change and nothing else");
    assert!(entries.iter().all(|entry| entry.actor == "user:local"
        && entry.origin.as_deref().is_some_and(|origin| origin.contains(AGENT))));
}

#[test]
fn every_path_answers_under_each_of_its_spellings() {
    let scene = Scene::empty();
    for base in ["/api/2.0/mlflow", "/api/3.0/mlflow", "/ajax-api/2.0/mlflow", "/ajax-api/3.0/mlflow"] {
        let answer = scene.get(&format!("{base}/registered-models/search"));
        assert_eq!((answer.status, answer.body.as_str()), (200, "{}"), "{base}");
    }
}

#[test]
fn a_source_on_the_servers_own_disk_is_refused() {
    let scene = Scene::empty();
    done(&scene, "POST", "registered-models/create", &json!({"name": "m"}));
    for source in [
        "/etc/passwd",
        "file:///etc/passwd",
        "file://localhost/etc",
        "mlflow-artifacts:/../../etc/passwd",
        "mlflow-artifacts:/gyre/demand/1",
        "s3://bucket/a/%2e%2e/b",
        "http://169.254.169.254/latest",
        "models:/../../etc",
    ] {
        let body = json!({"name": "m", "source": source, "run_id": "r1"});
        refused(&scene, "POST", "model-versions/create", &body, 400, "INVALID_PARAMETER_VALUE");
    }
}

#[test]
fn the_loops_versions_are_in_the_registry_and_champion_is_a_promotion() {
    let scene = Scene::serving();
    let model = done(&scene, "GET", "registered-models/get?name=demand", &Value::Null);
    assert_eq!(model["registered_model"]["aliases"], json!([{"alias": "champion", "version": "1"}]));
    let version = done(&scene, "GET", "model-versions/get?name=demand&version=1", &Value::Null);
    assert_eq!(version["model_version"]["run_id"], "run-1");
    assert_eq!(version["model_version"]["source"], "mlflow-artifacts:/gyre/demand/1");

    scene.register("demand", 2, OTHER_REGRESSOR, &[]);
    let set = |alias: &str, version: &str| json!({"name": "demand", "alias": alias, "version": version});
    done(&scene, "POST", "registered-models/alias", &set("champion", "2"));
    let champion = scene.store().read(|tx| gyre_registry::champion(tx, &name("demand"))).unwrap();
    assert_eq!(champion, Some(2));
    let traffic = scene.store().read(|tx| gyre_registry::traffic(tx, &name("demand"))).unwrap();
    assert_eq!(traffic, [(2, 10_000)], "the traffic followed");
    let promoted =
        scene.store().read(|tx| journal::latest_of_kind(tx, "promoted", "demand")).unwrap().unwrap();
    let Fact::Promoted { reason, .. } = promoted.fact else { panic!() };
    assert!(reason.contains("`champion`") && reason.contains(AGENT), "{reason}");
    let before = scene.store().journal_size();
    done(&scene, "POST", "registered-models/alias", &set("champion", "2"));
    assert_eq!(scene.store().journal_size(), before, "a client that repeats itself changes nothing");
}

#[test]
fn a_version_that_did_not_pass_its_gates_cannot_be_made_champion() {
    let scene = Scene::serving();
    scene.register("demand", 2, OTHER_REGRESSOR, &[]);
    let gate = GateResult {
        gate: "candidate.mae <= 1".to_owned(),
        passed: false,
        because: "candidate.mae = 2".to_owned(),
    };
    let results = vec![gate];
    scene.tell(Fact::GatesJudged {
        model: name("demand"),
        version: 2,
        passed: false,
        results,
        comparison: None,
    });
    let set = |alias: &str, version: &str| json!({"name": "demand", "alias": alias, "version": version});
    let path = "registered-models/alias";
    let message = refused(&scene, "POST", path, &set("champion", "2"), 409, "RESOURCE_CONFLICT");
    assert!(message.contains("`candidate.mae <= 1` (candidate.mae = 2)"), "{message}");
    refused(&scene, "POST", path, &set("challenger", "2"), 409, "RESOURCE_CONFLICT");
    refused(&scene, "POST", path, &set("champion", "9"), 404, "RESOURCE_DOES_NOT_EXIST");
    let gone = json!({"name": "demand", "alias": "champion"});
    refused(&scene, "DELETE", path, &gone, 409, "RESOURCE_CONFLICT");
    let version =
        done(&scene, "POST", "model-versions/create", &json!({"name": "demand", "source": "s3://b/m"}));
    assert_eq!(version["model_version"]["version"], "3", "one sequence of numbers for both");
    let message = refused(&scene, "POST", path, &set("champion", "3"), 409, "RESOURCE_CONFLICT");
    assert!(message.contains("a client registered it"), "{message}");
    done(&scene, "POST", path, &set("stable", "1"));
    let champion = scene.store().read(|tx| gyre_registry::champion(tx, &name("demand"))).unwrap();
    assert_eq!(champion, Some(1));
    for (method, path, body) in [
        ("DELETE", "registered-models/delete", json!({"name": "demand"})),
        ("POST", "registered-models/rename", json!({"name": "demand", "new_name": "other"})),
        ("DELETE", "model-versions/delete", json!({"name": "demand", "version": "1"})),
    ] {
        refused(&scene, method, path, &body, 409, "RESOURCE_CONFLICT");
    }
}

#[test]
fn nonsense_is_a_proper_error() {
    let scene = Scene::empty();
    done(&scene, "POST", "registered-models/create", &json!({"name": "m"}));
    for (method, path, body) in [
        ("POST", "registered-models/create", json!({})),
        ("POST", "registered-models/create", json!({"name": 7})),
        ("POST", "registered-models/create", json!({"name": "a/b"})),
        ("POST", "registered-models/create", json!({"name": "n", "tags": [{"key": "x".repeat(251)}]})),
        ("POST", "registered-models/create", json!({"name": "n", "tags": "x"})),
        ("GET", "registered-models/search?filter=name+%3D", Value::Null),
        ("GET", "registered-models/search?max_results=0", Value::Null),
        ("GET", "registered-models/search?max_results=1001", Value::Null),
        ("GET", "registered-models/search?max_results=x", Value::Null),
        ("GET", "registered-models/search?order_by=source", Value::Null),
        ("GET", "model-versions/search?page_token=foreign", Value::Null),
        ("GET", "model-versions/search?filter=name+%3D+%27a%27%3B+DROP+TABLE+registry_models", Value::Null),
        ("GET", "model-versions/get?name=m&version=x", Value::Null),
        ("GET", "model-versions/get?name=m", Value::Null),
        ("POST", "registered-models/alias", json!({"name": "m", "alias": "latest", "version": "1"})),
    ] {
        refused(&scene, method, path, &body, 400, "INVALID_PARAMETER_VALUE");
    }
    let broken = scene.post(&format!("{BASE}/registered-models/create"), "{\"name\": ");
    assert_eq!((broken.status, broken.json()["error_code"].as_str()), (400, Some("INVALID_PARAMETER_VALUE")));
}

#[test]
fn a_version_of_a_logged_model_records_the_digest_of_its_artifacts() {
    let scene = Scene::empty();
    let experiment = done(&scene, "POST", "experiments/create", &json!({"name": "e"}));
    let run = done(&scene, "POST", "runs/create", &json!({"experiment_id": experiment["experiment_id"]}));
    let run_id = run["run"]["info"]["run_id"].as_str().unwrap().to_owned();
    let body = json!({
        "experiment_id": experiment["experiment_id"], "name": "model", "source_run_id": run_id
    });
    let logged = done(&scene, "POST", "logged-models", &body)["model"]["info"].clone();
    let (id, uri) = (logged["model_id"].as_str().unwrap(), logged["artifact_uri"].as_str().unwrap());
    let path = uri.strip_prefix("mlflow-artifacts:/").unwrap();
    let put = scene.connect().send(
        "PUT",
        &format!("/api/2.0/mlflow-artifacts/artifacts/{path}/MLmodel"),
        &[("content-type", "application/octet-stream")],
        b"flavors: {}\n",
    );
    assert_eq!(put.status, 200, "{}", put.body);

    done(&scene, "POST", "registered-models/create", &json!({"name": "m"}));
    let source = format!("models:/{id}");
    let body = json!({"name": "m", "source": source, "model_id": id});
    let version = done(&scene, "POST", "model-versions/create", &body)["model_version"].clone();
    assert_eq!((&version["source"], &version["run_id"]), (&json!(source), &json!(run_id)));
    let download = done(&scene, "GET", "model-versions/get-download-uri?name=m&version=1", &Value::Null);
    assert_eq!(download["artifact_uri"], uri);
    let kept = scene.store().read(|tx| gyre_registry::registered_version(tx, "m", 1)).unwrap();
    let file = gyre_core::Digest::of(b"flavors: {}\n");
    let tree = gyre_core::Digest::of(format!("MLmodel\0{}\0{file}\n", 12).as_bytes());
    assert_eq!(kept.digest, Some(tree));
    let logged = done(&scene, "GET", &format!("logged-models/{id}"), &Value::Null);
    let tags = logged["model"]["info"]["tags"].to_string();
    assert!(tags.contains("mlflow.modelVersions") && tags.contains("\\\"name\\\":\\\"m\\\""), "{tags}");

    let artifacts = format!("mlflow-artifacts:/{}", path.split('/').next().unwrap());
    let body = json!({"name": "m", "source": format!("{artifacts}/another"), "run_id": run_id});
    refused(&scene, "POST", "model-versions/create", &body, 400, "INVALID_PARAMETER_VALUE");
    let body = json!({"name": "m", "source": "models:/m/1"});
    let copy = done(&scene, "POST", "model-versions/create", &body)["model_version"].clone();
    assert_eq!(copy["source"], "models:/m/1");
    let kept = scene.store().read(|tx| gyre_registry::registered_version(tx, "m", 2)).unwrap();
    assert_eq!((kept.digest, kept.download_uri()), (Some(tree), uri));
}

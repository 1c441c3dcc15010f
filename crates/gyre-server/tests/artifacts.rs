//! Artifacts over a real socket: up, down, in ranges, listed, deleted, and never a way out of their tree.
#![allow(clippy::unwrap_used)]

mod support;

use gyre_core::Digest;
use serde_json::json;
use support::{Answer, Scene};

const FILES: &str = "/api/2.0/mlflow-artifacts/artifacts";

fn put(scene: &Scene, path: &str, bytes: &[u8]) -> Answer {
    scene.connect().send("PUT", &format!("{FILES}/{path}"), &[], bytes)
}

fn get(scene: &Scene, path: &str, headers: &[(&str, &str)]) -> Answer {
    scene.connect().send("GET", &format!("{FILES}/{path}"), headers, b"")
}

/// The tables of tracking and registry, as far as artifacts look things up in them.
fn with_roots(scene: &Scene, roots: &[(&'static str, &str, &str)]) {
    let roots: Vec<_> =
        roots.iter().map(|(sql, id, uri)| (*sql, (*id).to_owned(), (*uri).to_owned())).collect();
    scene
        .store()
        .write(move |tx| {
            for (sql, id, uri) in roots {
                tx.execute(sql, &[id.into(), uri.into()])?;
            }
            Ok(())
        })
        .unwrap();
}

const RUN: &str = "INSERT INTO tracking_runs
    (run_id, artifact_uri, experiment, name, user_id, status, stage, started)
    VALUES (?1, ?2, 0, 'n', 'u', 'RUNNING', 'active', 0)";
const LOGGED: &str = "INSERT INTO tracking_logged_models
    (model_id, artifact_uri, experiment, name, created, updated, status) VALUES (?1, ?2, 0, 'n', 0, 0, 1)";
const VERSION: &str = "INSERT INTO registry_model_versions
    (name, version, source, stage, status, created, updated) VALUES (?1, 1, ?2, 'None', 'READY', 0, 0)";

#[test]
fn a_file_goes_up_and_comes_down_whole_and_in_parts() {
    let scene = Scene::empty();
    let text = "0123456789".repeat(300_000);
    let stored = put(&scene, "1/r/artifacts/a%20b/%D7%A9.txt", text.as_bytes());
    assert_eq!((stored.status, stored.body.as_str()), (200, "{}"), "{}", stored.body);
    let tag = format!("\"sha256-{}\"", Digest::of(text.as_bytes()));
    assert_eq!(stored.header("etag"), Some(tag.as_str()));
    let whole = get(&scene, "1/r/artifacts/a%20b/%D7%A9.txt", &[]);
    assert_eq!((whole.status, whole.body == text), (200, true));
    assert_eq!(whole.header("etag"), Some(tag.as_str()));
    assert_eq!(whole.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(whole.header("x-content-type-options"), Some("nosniff"));
    assert!(whole.header("content-security-policy").unwrap().starts_with("sandbox;"));
    assert_eq!(
        whole.header("content-disposition"),
        Some("attachment; filename=\"_.txt\"; filename*=UTF-8''%D7%A9.txt")
    );
    let path = "1/r/artifacts/a%20b/%D7%A9.txt";
    let part = get(&scene, path, &[("range", "bytes=1000004-1000007")]);
    assert_eq!((part.status, part.body.as_str()), (206, "4567"));
    assert_eq!(part.header("content-range"), Some("bytes 1000004-1000007/3000000"));
    let end = get(&scene, path, &[("range", "bytes=-2")]);
    assert_eq!((end.status, end.body.as_str()), (206, "89"));
    let beyond = get(&scene, path, &[("range", "bytes=3000000-")]);
    assert_eq!((beyond.status, beyond.header("content-range")), (416, Some("bytes */3000000")));
    assert_eq!(get(&scene, path, &[("if-none-match", &tag)]).status, 304);
    let changed = get(&scene, path, &[("range", "bytes=0-0"), ("if-range", "\"sha256-other\"")]);
    assert_eq!((changed.status, changed.body.len()), (200, text.len()));
    assert_eq!(put(&scene, "1/r/artifacts/empty", b"").status, 200);
    let empty = get(&scene, "1/r/artifacts/empty", &[]);
    assert_eq!((empty.status, empty.header("content-length")), (200, Some("0")));
    assert_eq!(put(&scene, "1/r/artifacts/empty", b"not any more").status, 200);
    assert_eq!(get(&scene, "1/r/artifacts/empty", &[]).body, "not any more");
}

#[test]
fn folders_are_listed_and_deleted() {
    let scene = Scene::empty();
    for path in ["1/r/a.txt", "1/r/m/MLmodel", "1/r/m/data/x", "2/other"] {
        assert_eq!(put(&scene, path, path.as_bytes()).status, 200);
    }
    let list = |path: &str| scene.get(&format!("{FILES}?path={path}")).json();
    assert_eq!(
        list("1/r"),
        json!({"files": [
            {"path": "a.txt", "is_dir": false, "file_size": 9},
            {"path": "m", "is_dir": true},
        ]})
    );
    assert_eq!(scene.get(FILES).json()["files"].as_array().unwrap().len(), 2);
    assert_eq!(list("1/r/a.txt"), json!({}));
    assert_eq!(list("nowhere"), json!({}));
    let folder = get(&scene, "1/r/m", &[]);
    assert_eq!((folder.status, &folder.json()["error_code"]), (400, &json!("INVALID_PARAMETER_VALUE")));
    let missing = get(&scene, "1/r/m/none", &[]);
    assert_eq!((missing.status, &missing.json()["error_code"]), (404, &json!("RESOURCE_DOES_NOT_EXIST")));
    let clash = put(&scene, "1/r/m", b"x");
    assert_eq!((clash.status, &clash.json()["error_code"]), (409, &json!("RESOURCE_CONFLICT")));
    let delete = |path: &str| scene.connect().send("DELETE", &format!("{FILES}/{path}"), &[], b"").status;
    assert_eq!(delete("1/r/m/"), 200);
    assert_eq!(delete("1/r/m"), 200, "twice");
    assert_eq!(list("1/r")["files"].as_array().unwrap().len(), 1);
    assert_eq!(delete("1/r/a.txt"), 200);
    assert_eq!(list("1"), json!({}));
    assert_eq!(delete(""), 404, "all there is");
    assert_eq!(list("2")["files"][0]["path"], "other");
}

#[test]
fn no_path_leaves_the_tree() {
    let mut scene = Scene::empty();
    let hostile = [
        "../../etc/passwd",
        "%2e%2e/%2e%2e/etc/passwd",
        "%252e%252e%252fetc",
        "a/..%2f..%2fb",
        "..%5c..%5cx",
        "a%00b",
        "..;/x",
        "%2Fetc%2Fpasswd",
        "/etc/passwd",
        "a//b",
        "C:/x",
        "a/%2e%2e",
        "x%0d%0aset-cookie:a",
        "%c0%ae%c0%ae/x",
        "%zz",
    ];
    for path in hostile {
        for method in ["PUT", "GET", "DELETE"] {
            let answer = scene.connect().send(method, &format!("{FILES}/{path}"), &[], b"");
            assert_eq!(answer.status, 400, "{method} {path}: {}", answer.body);
            assert_eq!(answer.json()["error_code"], "INVALID_PARAMETER_VALUE", "{method} {path}");
            assert_eq!(answer.header("set-cookie"), None);
        }
    }
    for path in ["..", "../x", "%2Fetc", "a%2F..", "%252e%252e", "..%5C", "a%00", "a%2F%2Fb"] {
        let answer = scene.get(&format!("{FILES}?path={path}"));
        assert_eq!(answer.status, 400, "list {path}: {}", answer.body);
    }
    assert_eq!(scene.get(FILES).json(), json!({}));
    scene.stop();
}

#[test]
fn roots_lead_to_files_that_are_kept_here_and_nowhere_else() {
    let scene = Scene::empty();
    with_roots(
        &scene,
        &[
            (RUN, "r1", "mlflow-artifacts:/1/r1/artifacts"),
            (RUN, "away", "s3://bucket/x"),
            (RUN, "evil", "file:///etc"),
            (RUN, "out", "mlflow-artifacts:/1/../../etc"),
            (LOGGED, "m-1", "mlflow-artifacts:/1/models/m-1/artifacts"),
            (VERSION, "plain", "mlflow-artifacts:/1/models/m-1/artifacts"),
            (VERSION, "by run", "runs:/r1/model"),
            (VERSION, "by model", "models:/m-1"),
            (VERSION, "evil", "/etc"),
        ],
    );
    for (path, text) in [
        ("1/r1/artifacts/model/MLmodel", "of the run"),
        ("1/r1/artifacts/page.html", "<script>alert(1)</script>"),
        ("1/models/m-1/artifacts/MLmodel", "of the model"),
    ] {
        assert_eq!(put(&scene, path, text.as_bytes()).status, 200);
    }
    let body = |path: &str| {
        let answer = scene.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.body
    };
    assert_eq!(body("/get-artifact?run_uuid=r1&path=model/MLmodel"), "of the run");
    assert_eq!(body("/get-artifact?run_id=r1&path=model%2FMLmodel"), "of the run");
    assert_eq!(body("/model-versions/get-artifact?name=plain&version=1&path=MLmodel"), "of the model");
    assert_eq!(body("/model-versions/get-artifact?name=by%20run&version=1&path=MLmodel"), "of the run");
    assert_eq!(body("/model-versions/get-artifact?name=by%20model&version=1&path=MLmodel"), "of the model");
    let logged = "/ajax-api/2.0/mlflow/logged-models/m-1/artifacts";
    assert_eq!(body(&format!("{logged}/files?artifact_file_path=MLmodel")), "of the model");
    assert_eq!(
        scene.get(&format!("{logged}/directories")).json(),
        json!({"root_uri": "mlflow-artifacts:/1/models/m-1/artifacts",
               "files": [{"path": "MLmodel", "is_dir": false, "file_size": 12}]})
    );
    let listed = scene.get("/api/2.0/mlflow/artifacts/list?run_id=r1&path=model").json();
    assert_eq!(
        listed,
        json!({"root_uri": "mlflow-artifacts:/1/r1/artifacts",
               "files": [{"path": "model/MLmodel", "is_dir": false, "file_size": 10}]})
    );
    let page = scene.get("/get-artifact?run_uuid=r1&path=page.html");
    assert_eq!(page.header("content-type"), Some("text/plain; charset=utf-8"));
    assert!(page.header("content-disposition").unwrap().starts_with("attachment"));
    let uploaded = scene.connect().send(
        "POST",
        "/ajax-api/2.0/mlflow/upload-artifact?run_uuid=r1&path=table/x.json",
        &[],
        b"{\"a\": 1}",
    );
    assert_eq!((uploaded.status, uploaded.body.as_str()), (200, "{}"));
    assert_eq!(body("/get-artifact?run_uuid=r1&path=table/x.json"), "{\"a\": 1}");
    for (path, status) in [
        ("/get-artifact?run_uuid=away&path=a", 400),
        ("/get-artifact?run_uuid=evil&path=passwd", 400),
        ("/get-artifact?run_uuid=out&path=passwd", 400),
        ("/get-artifact?run_uuid=none&path=a", 404),
        ("/get-artifact?run_uuid=r1&path=none", 404),
        ("/get-artifact?run_uuid=r1&path=../../x", 400),
        ("/get-artifact?run_uuid=r1", 400),
        ("/get-artifact?path=a", 400),
        ("/model-versions/get-artifact?name=evil&version=1&path=passwd", 400),
        ("/model-versions/get-artifact?name=plain&version=x&path=MLmodel", 400),
        ("/model-versions/get-artifact?name=plain&version=2&path=MLmodel", 404),
        ("/api/2.0/mlflow/artifacts/list?run_id=r1&path=..", 400),
        ("/api/2.0/mlflow/artifacts/list?run_id=r1&page_token=x", 400),
        ("/api/2.0/mlflow/artifacts/list?run_id=away", 400),
    ] {
        let answer = scene.get(path);
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        assert!(answer.json()["error_code"].is_string(), "{path}");
        assert!(!answer.body.contains("root:"), "{path}");
    }
    let away = scene.get("/get-artifact?run_uuid=away&path=a").body;
    assert!(away.contains("s3://bucket/x") && away.contains("not kept here"), "{away}");
}

#[test]
fn an_upload_that_breaks_off_is_never_seen() {
    let scene = Scene::empty();
    let mut client = scene.connect();
    client.begin(
        format!("PUT {FILES}/1/half HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\nonly this")
            .as_bytes(),
    );
    drop(client);
    let bad = scene.connect().raw(
        format!("PUT {FILES}/1/bad HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n")
            .as_bytes(),
    );
    assert_eq!(bad.status, 400, "{}", bad.body);
    assert_eq!(scene.get(FILES).json(), json!({}));
    let packed = scene.connect().send("PUT", &format!("{FILES}/1/gz"), &[("content-encoding", "gzip")], b"x");
    assert_eq!(packed.status, 400);
    let chunked = scene.connect().raw(
        format!("PUT {FILES}/1/ok HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
            .as_bytes(),
    );
    assert_eq!(chunked.status, 200, "{}", chunked.body);
    assert_eq!(get(&scene, "1/ok", &[]).body, "abcde");
}

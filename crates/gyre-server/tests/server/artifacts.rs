//! Artifacts over a real socket: up, down, in ranges, listed, deleted, and never a way out of their tree.
use crate::support::{Answer, Scene};
use gyre_core::Digest;
use serde_json::json;

const FILES: &str = "/api/2.0/mlflow-artifacts/artifacts";

fn put(scene: &Scene, path: &str, bytes: &[u8]) -> Answer {
    scene.connect().send("PUT", &format!("{FILES}/{path}"), &[], bytes)
}

fn get(scene: &Scene, path: &str, headers: &[(&str, &str)]) -> Answer {
    scene.connect().send("GET", &format!("{FILES}/{path}"), headers, b"")
}

/// Makes a run, or a logged model, whose artifacts are at `uri`.
fn with_root(scene: &Scene, id: &str, uri: &str) {
    let (id, uri) = (id.to_owned(), uri.to_owned());
    let insert = |table: &str, columns: &str, values: &str| {
        format!("INSERT INTO {table} ({columns}) VALUES ({values})")
    };
    let sql = if id.starts_with("m-") {
        let columns = "model_id, artifact_uri, experiment, name, created, updated, status";
        insert("tracking_logged_models", columns, "?1, ?2, 1, 'x', 0, 0, 1")
    } else {
        let columns = "run_id, artifact_uri, experiment, name, user_id, status, stage, started";
        insert("tracking_runs", columns, "?1, ?2, 1, 'x', 'x', 'RUNNING', 'active', 0")
    };
    scene.store().write(move |tx| tx.execute(&sql, &[id.into(), uri.into()])).unwrap();
}

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
    for (id, uri) in [
        ("r1", "mlflow-artifacts:/1/r1/artifacts"),
        ("away", "s3://bucket/x"),
        ("evil", "file:///etc"),
        ("out", "mlflow-artifacts:/1/../../etc"),
        ("m-1", "mlflow-artifacts:/1/models/m-1/artifacts"),
    ] {
        with_root(&scene, id, uri);
    }
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
        ("/model-versions/get-artifact?name=x&version=x&path=MLmodel", 400),
        ("/model-versions/get-artifact?name=x&version=1&path=../MLmodel", 400),
        ("/model-versions/get-artifact?name=x&version=1", 400),
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

#[test]
fn files_come_in_parts_in_any_order() {
    let scene = Scene::empty();
    let mpu = "/api/2.0/mlflow-artifacts/mpu";
    let begun = scene
        .post(&format!("{mpu}/create/1/r/a%20b"), r#"{"path": "/home/me/x.bin", "num_parts": 2}"#)
        .json();
    let id = begun["upload_id"].as_str().unwrap().to_owned();
    let url = |part: usize| {
        let url = begun["credentials"][part - 1]["url"].as_str().unwrap();
        assert_eq!(begun["credentials"][part - 1]["part_number"], part);
        url.strip_prefix("http://localhost").unwrap().to_owned()
    };
    let send = |part: usize, bytes: &str| {
        let answer = scene.connect().send("PUT", &url(part), &[], bytes.as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.header("etag").unwrap().to_owned()
    };
    let complete = |folder: &str, id: &str, tags: &[&str]| {
        let parts: Vec<_> =
            tags.iter().enumerate().map(|(at, tag)| json!({"part_number": at + 1, "etag": tag})).collect();
        let body = json!({"path": "x.bin", "upload_id": id, "parts": parts}).to_string();
        scene.post(&format!("{mpu}/complete/{folder}"), &body)
    };
    let second = send(2, "second");
    let early = complete("1/r/a%20b", &id, &[&second, &second]);
    assert_eq!((early.status, early.body.contains("part 1 ")), (400, true), "{}", early.body);
    let stale = send(1, "wrong ");
    let first = send(1, "first ");
    assert_eq!(complete("1/r/a%20b", &id, &[&stale, &second]).status, 400);
    assert_eq!(complete("1/r/other", &id, &[&first, &second]).status, 404);
    assert_eq!(get(&scene, "1/r/a%20b/x.bin", &[]).status, 404, "not before it is complete");
    let done = complete("1/r/a%20b", &id, &[&first, &second]);
    assert_eq!((done.status, done.body.as_str()), (200, "{}"));
    assert_eq!(get(&scene, "1/r/a%20b/x.bin", &[]).body, "first second");
    assert_eq!(complete("1/r/a%20b", &id, &[&first, &second]).status, 404, "twice");
    assert_eq!(scene.connect().send("PUT", &url(1), &[], b"late").status, 404);

    let begun = scene.post(&format!("{mpu}/create/1/r"), r#"{"path": "C:\\data\\y.bin"}"#).json();
    let aborted = json!({"path": "y.bin", "upload_id": begun["upload_id"]}).to_string();
    assert_eq!(scene.post(&format!("{mpu}/abort/1/r"), &aborted).status, 200);
    let url = begun["credentials"][0]["url"].as_str().unwrap().strip_prefix("http://localhost").unwrap();
    assert_eq!(scene.connect().send("PUT", url, &[], b"late").status, 404);
    for (folder, body) in [
        ("1/../..", r#"{"path": "x"}"#),
        ("1/r", r#"{"path": ".."}"#),
        ("1/r", r#"{"path": ""}"#),
        ("1/r", r#"{"path": "x", "num_parts": 0}"#),
        ("1/r", r#"{"path": "x", "num_parts": 10001}"#),
    ] {
        assert_eq!(scene.post(&format!("{mpu}/create/{folder}"), body).status, 400, "{folder} {body}");
    }
    let given = scene.connect().send(
        "POST",
        &format!("{mpu}/create/1/r"),
        &[("content-type", "application/json"), ("authorization", "Bearer mine")],
        br#"{"path": "x"}"#,
    );
    assert_eq!(given.json()["credentials"][0]["headers"], json!({"Authorization": "Bearer mine"}));
}

#[test]
fn there_are_no_urls_of_buckets_where_there_is_no_bucket() {
    let scene = Scene::empty();
    assert_eq!(put(&scene, "1/a", b"x").status, 200);
    let answer = scene.get("/api/2.0/mlflow-artifacts/presigned/1/a");
    assert_eq!((answer.status, &answer.json()["error_code"]), (501, &json!("NOT_IMPLEMENTED")));
    assert_eq!(scene.get("/api/2.0/mlflow-artifacts/presigned/1/b").status, 404);
    assert_eq!(scene.get("/api/2.0/mlflow-artifacts/presigned/..%2fb").status, 400);
}

/// Trees with spaces, other scripts, signs, deep folders and empty files, by the client that people use.
#[test]
fn the_client_of_mlflow_is_at_home() {
    let python = std::env::var_os("GYRE_PYTHON").expect(
        "GYRE_PYTHON is not set; run cargo xtask test, which makes an environment with mlflow (or set it to a Python that \
         has it: pip install mlflow==3.17.2)",
    );
    let scene = Scene::empty();
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/artifacts_client.py");
    let client = std::process::Command::new(python)
        .arg(script)
        .arg(format!("http://{}", scene.address))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&client.stdout) + String::from_utf8_lossy(&client.stderr);
    assert!(client.status.success() && told.matches("passed:").count() == 4, "{told}");
}

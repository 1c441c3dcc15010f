//! Known attacks at the door: routes that nobody guards, passwords that everybody knows, requests that the server makes for
//! somebody, pages of other sites. The table of all classes is in `known_attacks`.
use std::io::ErrorKind;
use std::net::TcpListener;

use crate::support::protocol::{self, API, ask, assert_proper, done, filled, refused, run};
use crate::support::{Scene, moment};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use gyre_access::{By, Role, UserKind, grants, password, users};
use gyre_server::{Front, Login};
use serde_json::json;

/// A scene that asks for a login, with one administrator of the password `correct horse battery`.
fn locked() -> Scene {
    let front = Front { login: Login::Required, ..Front::default() };
    Scene::behind(front, |store| {
        let by = By { at: moment("2026-03-01T00:00:00Z"), actor: "user:local".to_owned(), origin: None };
        let name = "chief".parse().unwrap();
        let hash = password::hash(&name, "correct horse battery").unwrap();
        store
            .write(move |tx| {
                users::create(tx, &by, &name, UserKind::Person, None)?;
                users::set_password(tx, &by, &name, &hash)?;
                grants::grant(tx, &by, "chief", "shop", Role::Admin)
            })
            .unwrap();
    })
}

// CVE-2026-0545, -2652; CVE-2023-48022, CVE-2026-27482: the guard stood before some spellings of a path and not before
// others. That each route of the table is guarded, the tests of access try.
#[test]
fn unguarded_routes() {
    let scene = locked();
    let mut tried = 0;
    for route in protocol::all() {
        let path = filled(&route, "1");
        let inner = path.trim_start_matches('/');
        for spelled in [
            format!("/mlflow{path}"),
            format!("/{path}"),
            format!("{path}/"),
            format!("{path}%00"),
            format!("/./{inner}"),
            format!("/x/../{inner}"),
            format!("/%2e/{inner}"),
            format!("/static-files/../{inner}"),
            path.to_uppercase(),
            path.replacen('i', "%69", 1),
            format!("{path};x=1"),
            format!("{path}?x=/health"),
            format!("{path}%23/health"),
            format!("/health/..{path}"),
            format!("/version/..{path}"),
        ] {
            let answer = scene.connect().send(route.method.as_str(), &spelled, &[], b"{}");
            assert!(
                [400, 401, 404, 405].contains(&answer.status),
                "{} {spelled}: {} {}",
                route.method,
                answer.status,
                answer.body
            );
            tried += 1;
        }
        for header in [
            ("x-forwarded-for", "127.0.0.1"),
            ("x-original-url", "/health"),
            ("x-rewrite-url", "/health"),
            ("x-http-method-override", "OPTIONS"),
            ("x-forwarded-user", "chief"),
            ("remote-user", "chief"),
            ("authorization", "Basic Og=="),
            ("authorization", "Bearer null"),
        ] {
            let answer = scene.connect().send(route.method.as_str(), &path, &[header], b"{}");
            // Nobody is a user too, whose password is not tried any more after some tries.
            let expected = if header.1 == "Basic Og==" && answer.status == 429 { 429 } else { 401 };
            assert_eq!(answer.status, expected, "{} {path} with {header:?}: {}", route.method, answer.body);
            tried += 1;
        }
    }
    assert!(tried > 5_000, "{tried}");
}

// CVE-2026-0545; CVE-2023-48022: jobs that anybody could have run. gyre runs none on request.
#[test]
fn jobs_on_request() {
    let scene = Scene::empty();
    for path in [
        "/ajax-api/3.0/jobs",
        "/ajax-api/3.0/jobs/",
        "/api/3.0/jobs/submit",
        "/ajax-api/3.0/mlflow/jobs",
        "/api/3.0/mlflow/jobs/1",
        "/api/jobs/",
        "/api/3.0/mlflow/scorers/invoke",
        "/ajax-api/3.0/mlflow/assistant/chat",
        "/gateway/chat/invocations",
    ] {
        let asked = json!({"function": "os.system", "params": {"command": "id"}, "entrypoint": "id"});
        let answer = scene.post(path, &asked.to_string());
        assert!([404, 405, 501].contains(&answer.status), "{path}: {} {}", answer.status, answer.body);
    }
}

// CVE-2025-11200: a password that is in the documentation.
#[test]
fn default_credentials() {
    let scene = locked();
    for (user, word) in [
        ("admin", "password1234"),
        ("admin", "password"),
        ("admin", "admin"),
        ("admin", ""),
        ("mlflow", "mlflow"),
        ("gyre", "gyre"),
        ("root", "root"),
        ("chief", ""),
        ("chief", "chief"),
        ("", ""),
    ] {
        let basic = format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{word}")));
        let headers = [("authorization", basic.as_str())];
        let answer = scene.connect().send("GET", &format!("{API}/experiments/search"), &headers, b"");
        assert!([401, 429].contains(&answer.status), "{user}:{word} {} {}", answer.status, answer.body);
    }
}

// CVE-2023-6014; CVE-2025-1473, -1474: accounts that anybody could make, or without a password.
#[test]
fn uninvited_accounts() {
    let scene = locked();
    let account = json!({"username": "eve", "password": "a long enough password"}).to_string();
    for path in [
        "/api/2.0/mlflow/users/create",
        "/api/2.0/mlflow/users/create-ui",
        "/ajax-api/2.0/mlflow/users/create",
        "/signup",
        "/v1/access/users",
    ] {
        let answer = scene.post(path, &account);
        assert!([401, 404, 405].contains(&answer.status), "{path}: {} {}", answer.status, answer.body);
    }
    let basic = format!("Basic {}", BASE64_STANDARD.encode("eve:a long enough password"));
    let answer = scene.connect().send("GET", "/v1/whoami", &[("authorization", &basic)], b"");
    assert_eq!(answer.status, 401, "{}", answer.body);
}

// CVE-2026-2393 and kin: what clients name, the server never connects to.
#[test]
fn server_side_requests() {
    let scene = Scene::empty();
    let inner = TcpListener::bind("127.0.0.1:0").unwrap();
    inner.set_nonblocking(true).unwrap();
    let host = inner.local_addr().unwrap();
    done(&scene, "/registered-models/create", &json!({"name": "m"}));
    for (n, scheme) in
        ["http", "https", "ftp", "s3", "hdfs", "mlflow-artifacts", "dbfs", "gs"].iter().enumerate()
    {
        let location = format!("{scheme}://{host}/latest/meta-data");
        let asked = json!({"name": format!("e{n}"), "artifact_location": location});
        let made = ask(&scene, "/experiments/create", &asked);
        assert_proper(&made, &location);
        let Some(experiment) = made.json().get("experiment_id").cloned() else { continue };
        let run = run(&scene, &experiment);
        for url in
            [format!("{API}/artifacts/list?run_id={run}"), format!("/get-artifact?run_uuid={run}&path=iam")]
        {
            refused(&scene.get(&url), &format!("{url} of {location}"));
        }
        let source = format!("{location}/{run}/artifacts/model");
        let version =
            ask(&scene, "/model-versions/create", &json!({"name": "m", "source": source, "run_id": run}));
        assert_proper(&version, &source);
        let answer = scene.get("/model-versions/get-artifact?name=m&version=1&path=MLmodel");
        refused(&answer, &source);
    }
    let url = format!("http://{host}/");
    let event = json!([{"entity": "REGISTERED_MODEL", "action": "CREATED"}]);
    refused(&ask(&scene, "/webhooks", &json!({"name": "h", "url": url, "events": event})), "a webhook");
    done(&scene, "/registered-models/create", &json!({"name": "n"}));
    let nobody = inner.accept().unwrap_err();
    assert_eq!(nobody.kind(), ErrorKind::WouldBlock, "somebody connected");
}

// CVE-2025-14279 (rebinding), CVE-2025-1473 (forgery): every route of the table, for the pages of others.
#[test]
fn rebinding_and_forgery() {
    let scene = Scene::empty();
    for route in protocol::distinct() {
        let (method, path) = (route.method.as_str(), filled(&route, "1"));
        for host in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", "0.0.0.0"] {
            let answer = scene.connect().send(method, &path, &[("host", host)], b"{}");
            assert_eq!(answer.status, 421, "{method} {path} for {host}: {}", answer.body);
        }
        if method == "GET" {
            continue;
        }
        for headers in [
            [("origin", "https://evil.example"), ("content-type", "text/plain")],
            [("origin", "null"), ("content-type", "application/json")],
            [("sec-fetch-site", "cross-site"), ("content-type", "application/x-www-form-urlencoded")],
        ] {
            let answer = scene.connect().send(method, &path, &headers, b"{}");
            assert_eq!(answer.status, 403, "{method} {path} with {headers:?}: {}", answer.body);
            assert_eq!(answer.header("access-control-allow-origin"), None, "{method} {path}");
        }
    }
}

//! The ways in that were found in MLflow, and in tools like it, tried on gyre: one test a class, named for it, here or, for
//! those at the door, in `known_attacks_at_the_door`.
//!
//! | class | known as | tried by |
//! | --- | --- | --- |
//! | paths out of the artifacts | CVE-2023-1177, -2356, -2780, -6831, -6909; CVE-2024-1560, -1593, -3573; CVE-2024-7340 (Weave) | `path_traversal` here; `artifacts::no_path_leaves_the_tree`; `gyre-artifacts`: `path_tests` |
//! | fragments, queries, parameters in artifact locations | CVE-2024-1483, -1594, -2928, -3848 | `smuggling_in_locations` |
//! | a version's source on the server's disk, or of another run | CVE-2023-6831, CVE-2024-1558, -3573 | `mlflow_registry::a_source_on_the_servers_own_disk_is_refused`; `foreign_sources` here |
//! | ids that become paths | CVE-2023-6018 | `ids_as_paths` |
//! | routes that nobody guards | CVE-2026-0545, -2652; CVE-2023-48022, CVE-2026-27482 (Ray) | `unguarded_routes`, `jobs_on_request` at the door; `access::every_route_is_closed_to_whoever_has_no_business_there` |
//! | passwords that everybody knows, accounts that everybody makes | CVE-2023-6014; CVE-2025-1473, -1474, -11200 | `default_credentials`, `uninvited_accounts` at the door; `access::without_users_a_public_address_is_not_served_and_the_refusal_says_how` |
//! | acting on what belongs to others | CVE-2024-4263 | `access::every_route_…` (by role and by project) |
//! | the server as a proxy to inner hosts | CVE-2026-2393; CVE-2022-36551 (Label Studio) | `server_side_requests` at the door; `webhooks::the_server_connects_nowhere_that_it_must_not`; `gyre-access`: `egress` (redirects, rebinding) |
//! | pages of other sites | CVE-2025-14279, CVE-2025-1473 | `rebinding_and_forgery` at the door; `access::a_cookie_changes_nothing_for_pages_of_others` |
//! | scripts in what is shown | CVE-2023-6568, CVE-2024-27132 | `scripts_in_answers` here; `artifacts::roots_lead_to_files_that_are_kept_here_and_nowhere_else` |
//! | code in what is stored | CVE-2024-24590 (ClearML), -37052 and after, -2912 (BentoML), -6960 (H2O) | `code_in_models` here; `traces::scorers_have_versions_and_hold_no_code` |
//! | scanners of pickles that are got round | CVE-2025-1716 and after (picklescan) | gyre has none to rely on: `code_in_models` |
//! | words that become commands | CVE-2026-0596 | `words_as_commands` here; `gyre-provenance`: nothing of a repository is run |
//! | too much of something | CVE-2025-0453, CVE-2024-6838, CVE-2024-9056 (BentoML) | `exhaustion` here; `hostile`, `hostile_searches` |
use crate::support::Scene;
use crate::support::protocol::{API, FILES, ask, assert_proper, done, encoded, refused, run};
use serde_json::json;

/// Ways to say "a folder up" or "from the root", as fields hold them.
const UP: [&str; 16] = [
    "../../../../etc/passwd",
    "/etc/passwd",
    "//etc/passwd",
    "a/../../../etc/passwd",
    "..\\..\\etc\\passwd",
    "\\etc\\passwd",
    "C:\\windows\\win.ini",
    "%2e%2e/%2e%2e/etc/passwd",
    "%252e%252e%252fetc%252fpasswd",
    "%2Fetc%2Fpasswd",
    "..;/..;/etc/passwd",
    "a;/../../etc/passwd",
    "..%00/etc/passwd",
    "....//....//etc/passwd",
    "file:///etc/passwd",
    ".. /.. /etc/passwd",
];

// CVE-2023-1177, -2356, -2780, -6831, -6909; CVE-2024-1560, -1593, -3573; CVE-2024-7340.
#[test]
fn path_traversal() {
    let scene = Scene::empty();
    let run = run(&scene, &json!("0"));
    let model = done(&scene, "/logged-models", &json!({"experiment_id": "0", "name": "l"}));
    let model = model["model"]["info"]["model_id"].as_str().unwrap().to_owned();
    done(&scene, "/registered-models/create", &json!({"name": "m"}));
    done(
        &scene,
        "/model-versions/create",
        &json!({"name": "m", "source": format!("runs:/{run}/m"), "run_id": run}),
    );
    // Beside the tree of the artifacts, there is a file whose name everybody can guess.
    assert!(scene.root().join("gyre.yaml").is_file());
    for up in UP.iter().copied().chain(["../../../gyre.yaml", "../gyre.db", "owner/../../gyre.db"]) {
        // Decoded once by the server, as every query is; and, for servers that decode twice, encoded twice.
        for path in [encoded(up), encoded(&encoded(up))] {
            for (method, url) in [
                ("GET", format!("/get-artifact?run_uuid={run}&path={path}")),
                ("GET", format!("/ajax-api/2.0/mlflow/get-artifact?run_id={run}&path={path}")),
                ("GET", format!("/model-versions/get-artifact?name=m&version=1&path={path}")),
                (
                    "GET",
                    format!(
                        "/ajax-api/2.0/mlflow/logged-models/{model}/artifacts/files?artifact_file_path={path}"
                    ),
                ),
                (
                    "GET",
                    format!(
                        "{API}/logged-models/{model}/artifacts/directories?artifact_directory_path={path}"
                    ),
                ),
                ("GET", format!("{API}/artifacts/list?run_id={run}&path={path}")),
                ("GET", format!("{FILES}?path={path}")),
                ("GET", format!("{FILES}/{path}")),
                ("PUT", format!("{FILES}/{path}")),
                ("DELETE", format!("{FILES}/{path}")),
                ("GET", format!("/api/2.0/mlflow-artifacts/presigned/{path}")),
                ("POST", format!("/api/2.0/mlflow-artifacts/mpu/create/{path}")),
                ("POST", format!("/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run}&path={path}")),
            ] {
                let answer = scene.connect().send(method, &url, &[], br#"{"path": "x"}"#);
                refused(&answer, &format!("{method} {url} ({up})"));
            }
        }
        let body = json!({"path": "x"}).to_string();
        for step in ["create", "complete", "abort"] {
            let url = format!("/api/2.0/mlflow-artifacts/mpu/{step}/{}", encoded(up));
            refused(&scene.post(&url, &body), &url);
        }
    }
    assert_eq!(scene.get(FILES).json(), json!({}), "nothing was put anywhere");
    assert!(scene.root().join("gyre.yaml").is_file());
}

// CVE-2024-1483, -1594, -2928, -3848: what comes after `#`, `?` or `;` was left out of the check, and not of the path.
#[test]
fn smuggling_in_locations() {
    let scene = Scene::empty();
    for (n, location) in [
        "mlflow-artifacts:/x#/../../../etc",
        "mlflow-artifacts:/x?/../../../etc",
        "mlflow-artifacts:/x;/../../../etc",
        "http:///#/../../../../etc",
        "http:///?/../../../../etc",
        "file:///x#/../../etc",
        "file:///x/../../etc",
        "mlflow-artifacts:/x/%2e%2e/%2e%2e/etc",
        "mlflow-artifacts:/x\\..\\..\\etc",
        "mlflow-artifacts://host/../etc",
        "s3://bucket/..%2f..%2fetc",
        "dbfs:/x?/../etc",
        "mlflow-artifacts:/\u{0}",
    ]
    .iter()
    .enumerate()
    {
        let asked = json!({"name": format!("e{n}"), "artifact_location": location});
        let made = ask(&scene, "/experiments/create", &asked);
        assert_proper(&made, location);
        // What may be recorded leads nowhere all the same.
        let Some(experiment) = made.json().get("experiment_id").cloned() else { continue };
        let run = run(&scene, &experiment);
        for url in [
            format!("{API}/artifacts/list?run_id={run}"),
            format!("{API}/artifacts/list?run_id={run}&path=passwd"),
            format!("/get-artifact?run_uuid={run}&path=passwd"),
        ] {
            refused(&scene.get(&url), &format!("{url} of {location}"));
        }
        let upload = format!("/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run}&path=x");
        refused(&scene.connect().send("POST", &upload, &[], b"x"), location);
    }
    assert_eq!(scene.get(FILES).json(), json!({}), "nothing was put anywhere");
}

// CVE-2023-6831, CVE-2024-1558, -3573: a version that claims the files of somebody else, or of the server.
#[test]
fn foreign_sources() {
    let scene = Scene::empty();
    let (mine, theirs) = (run(&scene, &json!("0")), run(&scene, &json!("0")));
    done(&scene, "/registered-models/create", &json!({"name": "m"}));
    let uri = |run: &str| format!("mlflow-artifacts:/0/{run}/artifacts");
    let mut sources = vec![
        format!("runs:/{theirs}/model"),
        uri(&theirs),
        format!("{}/../../{theirs}/artifacts", uri(&mine)),
        format!("{}/%2e%2e/%2e%2e/{theirs}/artifacts", uri(&mine)),
        format!("{}#/../../{theirs}", uri(&mine)),
        format!("{}?x=/../../{theirs}", uri(&mine)),
        format!("runs:/{mine}/../{theirs}/artifacts"),
        "mlflow-artifacts:/".to_owned(),
        "mlflow-artifacts:/0".to_owned(),
        "models:/m-none".to_owned(),
        "models:/m/1/../../../etc".to_owned(),
    ];
    sources.extend(UP.map(str::to_owned));
    for source in &sources {
        let body = json!({"name": "m", "source": source, "run_id": mine});
        refused(&ask(&scene, "/model-versions/create", &body), source);
    }
    let found = scene.get(&format!("{API}/model-versions/search")).json();
    assert_eq!(found, json!({}), "none of them is there");
}

// CVE-2023-6018 and kin: ids that were joined to a folder.
#[test]
fn ids_as_paths() {
    let scene = Scene::empty();
    let ids =
        ["../../etc", "..", "/etc/passwd", "a/b", "a\\b", "a\0", "%2e%2e", "a;b", "a b", "-x", " ", "é"];
    for id in ids.iter().copied().map(str::to_owned).chain(["a".repeat(300)]) {
        let url = encoded(&id);
        for (path, body) in [
            ("/runs/log-metric", json!({"run_id": id, "key": "m", "value": 1, "timestamp": 1})),
            ("/runs/log-batch", json!({"run_id": id, "params": [{"key": "p", "value": "1"}]})),
            ("/runs/set-tag", json!({"run_id": id, "key": "t", "value": "1"})),
            ("/runs/update", json!({"run_id": id, "status": "FINISHED"})),
            ("/runs/delete", json!({"run_id": id})),
            ("/experiments/delete", json!({"experiment_id": id})),
            ("/logged-models", json!({"experiment_id": id, "name": "l"})),
        ] {
            refused(&ask(&scene, path, &body), &format!("{path} of {id}"));
        }
        for url in [
            format!("{API}/runs/get?run_id={url}"),
            format!("{API}/artifacts/list?run_id={url}"),
            format!("/get-artifact?run_uuid={url}&path=a"),
            format!("{API}/experiments/get?experiment_id={url}"),
            format!("{API}/logged-models/{url}"),
            format!("/api/3.0/mlflow/traces/{url}"),
            format!("/api/3.0/mlflow/datasets/{url}"),
            format!("/v1/runs/{url}/provenance"),
        ] {
            let answer = scene.get(&url);
            assert!([400, 404].contains(&answer.status), "{url}: {} {}", answer.status, answer.body);
        }
        let location = json!({"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "0"}});
        let info = json!({"trace_id": id, "trace_location": location, "state": "OK",
                          "request_time": "2026-03-01T00:00:00Z"});
        let body = json!({"trace": {"trace_info": info}}).to_string();
        // Of a run's id, not of a trace's, the first character must be a letter or a digit.
        if id != "-x" {
            refused(&scene.post("/api/3.0/mlflow/traces", &body), &format!("a trace {id}"));
        }
    }
}
// CVE-2023-6568 (what was sent came back as a page), CVE-2024-27132 (what was stored was shown as one).
#[test]
fn scripts_in_answers() {
    const SCRIPT: &str = "<script>alert(1)</script>";
    let scene = Scene::empty();
    let answer = scene.connect().send(
        "POST",
        &format!("{API}/experiments/create"),
        &[("content-type", SCRIPT)],
        b"{\"name\": \"x\"}",
    );
    refused(&answer, "a content type that is a page");
    for path in [format!("{API}/{SCRIPT}"), format!("{API}/runs/get?run_id={}", encoded(SCRIPT))] {
        let answer = scene.get(&path.replace('<', "%3c").replace('>', "%3e"));
        assert_proper(&answer, &path);
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
    done(&scene, "/experiments/create", &json!({"name": SCRIPT}));
    done(&scene, "/registered-models/create", &json!({"name": SCRIPT.replace('/', "")}));
    let page = scene.get("/journal");
    assert!(page.body.contains("alert(1)") && !page.body.contains("<script>alert"), "{}", page.body);
    for name in ["x.html", "x.svg", "x.xhtml", "x.js", "x", "x.pdf", "x.html%20"] {
        let path = format!("{FILES}/1/{name}");
        assert_eq!(
            scene.connect().send("PUT", &path, &[("content-type", "text/html")], SCRIPT.as_bytes()).status,
            200
        );
        let answer = scene.get(&path);
        let header = |name: &str| answer.header(name).unwrap_or_default().to_owned();
        assert!(header("content-disposition").starts_with("attachment"), "{name}");
        assert!(header("content-security-policy").starts_with("sandbox"), "{name}");
        assert_eq!(header("x-content-type-options"), "nosniff", "{name}");
        assert!(!["text/html", "application/xhtml+xml"].contains(&&*header("content-type")), "{name}");
    }
}

// CVE-2024-24590, -37052 and after, -2912, -6960; and scanners that were got round: nothing that is stored is run.
#[test]
fn code_in_models() {
    let scene = Scene::empty();
    let mark = scene.root().join("mark");
    // Protocol 0: `os.system("touch …")` as soon as anybody loads it.
    let pickle = format!("cos\nsystem\n(S'touch {}'\ntR.", mark.display());
    let run = run(&scene, &json!("0"));
    let root = format!("{FILES}/0/{run}/artifacts/model");
    let flavor = "flavors:\n  python_function: {loader_module: mlflow.sklearn, model_path: model.pkl}\n";
    for (name, bytes) in [
        ("model.pkl", pickle.as_str()),
        ("MLmodel", flavor),
        ("python_env.yaml", "!!python/object/apply:os.system [id]"),
    ] {
        assert_eq!(scene.connect().send("PUT", &format!("{root}/{name}"), &[], bytes.as_bytes()).status, 200);
    }
    let model =
        json!({"artifact_path": "model", "utc_time_created": "now", "flavors": {"x": pickle}}).to_string();
    done(&scene, "/runs/log-model", &json!({"run_id": run, "model_json": model}));
    done(&scene, "/registered-models/create", &json!({"name": "m"}));
    done(
        &scene,
        "/model-versions/create",
        &json!({"name": "m", "source": format!("runs:/{run}/model"), "run_id": run}),
    );
    done(&scene, "/registered-models/alias", &json!({"name": "m", "alias": "champion", "version": "1"}));
    done(&scene, "/runs/update", &json!({"run_id": run, "status": "FINISHED"}));
    let back = scene.get("/model-versions/get-artifact?name=m&version=1&path=model.pkl");
    assert_eq!((back.status, back.body.as_str()), (200, pickle.as_str()), "it is given back as it came");
    assert!(back.header("content-disposition").unwrap().starts_with("attachment"));
    for path in ["/", "/models", "/journal"] {
        assert_eq!(scene.get(path).status, 200, "{path}");
    }
    assert!(!mark.exists(), "it was run");
}

// CVE-2026-0596: words of a request that a shell saw.
#[test]
fn words_as_commands() {
    let scene = Scene::empty();
    let mark = scene.root().join("mark");
    for word in [
        "$(touch M)",
        "`touch M`",
        "; touch M",
        "| touch M",
        "&& touch M",
        "\ntouch M\n",
        "--upload-pack=touch M",
    ] {
        let word = word.replace('M', &mark.display().to_string());
        let tags = json!([{"key": "mlflow.source.name", "value": word}, {"key": "mlflow.source.git.commit", "value": word},
                          {"key": "mlflow.source.git.repoURL", "value": word}]);
        let asked = json!({"experiment_id": "0", "run_name": word, "user_id": word, "tags": tags});
        let made = done(&scene, "/runs/create", &asked);
        let run = made["run"]["info"]["run_id"].as_str().unwrap().to_owned();
        done(&scene, "/runs/update", &json!({"run_id": run, "status": "FINISHED"}));
        let told = scene.get(&format!("/v1/runs/{run}/provenance"));
        assert_eq!(told.status, 200, "{}", told.body);
        for (path, body) in [
            ("/registered-models/create", json!({"name": word})),
            ("/experiments/create", json!({"name": word})),
            ("/logged-models", json!({"experiment_id": "0", "name": word, "model_type": word})),
        ] {
            assert_proper(&ask(&scene, path, &body), &word);
        }
    }
    assert!(!mark.exists(), "a shell saw it");
}

// CVE-2025-0453 (queries without end), CVE-2024-6838 (names without end). Bodies and nesting: `hostile`.
#[test]
fn exhaustion() {
    let scene = Scene::empty();
    let long = "x".repeat(1 << 20);
    for (path, body) in [
        ("/experiments/create", json!({"name": long})),
        (
            "/experiments/create",
            json!({"name": "e", "artifact_location": format!("mlflow-artifacts:/{long}")}),
        ),
        ("/experiments/create", json!({"name": "e", "tags": [{"key": long, "value": "x"}]})),
        ("/registered-models/create", json!({"name": "m", "tags": [{"key": "k", "value": long}]})),
        ("/registered-models/create", json!({"name": long})),
    ] {
        refused(&ask(&scene, path, &body), path);
    }
    let input = "mlflowSearchRuns(input: {experimentIds: [\"0\"]}) { runs { info { runId } } }";
    let fields: String = (0..2_000).map(|n| format!("a{n}: {input} ")).collect();
    let nested = |open: &str, close: &str, times| format!("{}{}", open.repeat(times), close.repeat(times));
    for query in [
        format!("query {{ {fields} }}"),
        format!("query {{ mlflowGetRun {} }}", nested("{ run ", "}", 5_000)),
        format!("query {{ mlflowGetRun(input: {}) {{ run }} }}", nested("[", "]", 10_000)),
        format!("query {{ mlflowGetRun(input: {}1{}) {{ run }} }}", "{a: ".repeat(5_000), "}".repeat(5_000)),
        nested("{", "}", 15_000),
        nested("(", ")", 15_000),
        "query { ...A } fragment A on Query { ...B } fragment B on Query { ...A }".to_owned(),
        format!(
            "query {{ mlflowGetRun(input: {{runId: \"x\"}}) {{ ...A }} }} fragment A on R {{ run {{ ...A ...A }} }} {}",
            "fragment B on R { run { ...A ...A ...A } } ".repeat(100)
        ),
        "mutation { a }".to_owned(),
    ] {
        let shown: String = query.chars().take(80).collect();
        let answer = scene.post("/graphql", &json!({ "query": query }).to_string());
        refused(&answer, &shown);
    }
    assert_eq!(scene.get("/health").status, 200);
}

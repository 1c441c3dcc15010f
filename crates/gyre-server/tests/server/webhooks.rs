//! Webhooks, told over real sockets: signed, tried again, given up, and not lost in a crash.
use crate::support;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::support::Scene;
use gyre_access::egress::{Egress, Rule};
use gyre_core::fact::{Alarm, Cause, RegistryChange, Severity};
use gyre_core::spec::{LetterFormat, Topic};
use gyre_core::{Fact, Timestamp};
use gyre_registry::deliveries::Pace;
use gyre_server::App;
use gyre_store::journal;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(30);
const EVENTS: [(&str, &str); 4] = [
    ("REGISTERED_MODEL", "CREATED"),
    ("MODEL_VERSION", "CREATED"),
    ("MODEL_VERSION_ALIAS", "CREATED"),
    ("PROMPT_VERSION", "CREATED"),
];

/// A request that a receiver got.
struct Told {
    headers: Vec<(String, String)>,
    body: String,
}

impl Told {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// A receiver that answers with `statuses` in turn, and then with 200.
fn receiver(statuses: &'static [u16]) -> (SocketAddr, Receiver<Told>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = channel();
    std::thread::spawn(move || {
        let mut statuses = statuses.iter();
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let (mut headers, mut line) = (Vec::new(), String::new());
            stream.read_line(&mut line).unwrap();
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).unwrap();
                let Some((name, value)) = line.trim_end().split_once(": ") else { break };
                headers.push((name.to_lowercase(), value.to_owned()));
            }
            let length =
                headers.iter().find(|(name, _)| name == "content-length").unwrap().1.parse().unwrap();
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            let status = statuses.next().copied().unwrap_or(200);
            let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
            stream.get_mut().write_all(answer.as_bytes()).unwrap();
            if tell.send(Told { headers, body: String::from_utf8(body).unwrap() }).is_err() {
                return;
            }
        }
    });
    (address, told)
}

/// A server that may connect to this machine, and tries again at once.
fn scene(attempts: u32) -> Scene {
    scene_at(Pace { first: Duration::from_millis(1), longest: Duration::from_millis(1), attempts })
}

fn scene_at(pace: Pace) -> Scene {
    Scene::ticking(move |app: App| {
        let rules = vec!["127.0.0.1".parse::<Rule>().unwrap()];
        app.with_egress(Egress::new(rules)).with_pace(pace)
    })
}

fn ask(scene: &Scene, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let path = format!("/api/2.0/mlflow/{path}");
    let headers = [("content-type", "application/json")];
    let answer = scene.connect().send(method, &path, &headers, body.as_bytes());
    (answer.status, answer.json())
}

fn done(scene: &Scene, method: &str, path: &str, body: &Value) -> Value {
    let (status, answer) = ask(scene, method, path, body);
    assert_eq!(status, 200, "{method} {path}: {answer}");
    answer
}

fn webhook(scene: &Scene, address: SocketAddr) -> String {
    let events: Vec<Value> =
        EVENTS.iter().map(|(entity, action)| json!({"entity": entity, "action": action})).collect();
    let body = json!({
        "name": "hook", "url": format!("http://{address}/key-in-path"), "secret": "hush", "events": events
    });
    done(scene, "POST", "webhooks", &body)["webhook"]["webhook_id"].as_str().unwrap().to_owned()
}

/// The signature that MLflow's documentation has a receiver compute, by Python's own hmac.
fn signature(told: &Told) -> String {
    let script = "import base64, hashlib, hmac, sys\n\
                  print('v1,' + base64.b64encode(hmac.new(b'hush', sys.stdin.buffer.read(), hashlib.sha256).digest()).decode())";
    let mut python = Command::new("python3")
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is needed: run `cargo xtask test`");
    let id = told.header("x-mlflow-delivery-id").unwrap();
    let time = told.header("x-mlflow-timestamp").unwrap();
    python.stdin.take().unwrap().write_all(format!("{id}.{time}.{}", told.body).as_bytes()).unwrap();
    String::from_utf8(python.wait_with_output().unwrap().stdout).unwrap().trim().to_owned()
}

#[test]
fn a_webhook_is_told_signed_and_of_nothing_else() {
    let scene = scene(3);
    let (address, told) = receiver(&[]);
    done(&scene, "POST", "registered-models/create", &json!({"name": "before"}));
    webhook(&scene, address);
    let body = json!({"name": "m", "tags": [{"key": "k", "value": "v"}], "description": "words"});
    done(&scene, "POST", "registered-models/create", &body);
    done(&scene, "POST", "registered-models/set-tag", &json!({"name": "m", "key": "k", "value": "w"}));
    done(&scene, "POST", "model-versions/create", &json!({"name": "m", "source": "s3://b/m"}));
    done(&scene, "POST", "registered-models/alias", &json!({"name": "m", "alias": "prod", "version": "1"}));
    let first = told.recv_timeout(PATIENCE).unwrap();
    let envelope = first.json();
    assert_eq!((&envelope["entity"], &envelope["action"]), (&json!("registered_model"), &json!("created")));
    assert_eq!(envelope["data"], json!({"name": "m", "tags": {"k": "v"}, "description": "words"}));
    assert_eq!(first.header("x-mlflow-signature").unwrap(), signature(&first));
    assert_eq!(first.header("content-type"), Some("application/json"));
    let second = told.recv_timeout(PATIENCE).unwrap().json();
    assert_eq!(second["entity"], "model_version");
    assert_eq!(
        second["data"],
        json!({"name": "m", "version": "1", "source": "s3://b/m", "run_id": null, "tags": {}, "description": null})
    );
    let third = told.recv_timeout(PATIENCE).unwrap().json();
    assert_eq!(third["data"], json!({"name": "m", "alias": "prod", "version": "1"}));

    scene.register("demand", 1, support::REGRESSOR, &[]);
    scene.desk.promote(&support::name("demand"), 1, "user:test", "first").unwrap();
    assert_eq!(
        told.recv_timeout(PATIENCE).unwrap().json()["data"]["name"],
        "demand",
        "the loop's versions too"
    );
    let promoted = told.recv_timeout(PATIENCE).unwrap().json();
    assert_eq!(promoted["data"], json!({"name": "demand", "alias": "champion", "version": "1"}));

    let tag = json!([{"key": "mlflow.prompt.is_prompt", "value": "true"}, {"key": "mlflow.prompt.text", "value": "hi"}]);
    done(&scene, "POST", "registered-models/create", &json!({"name": "p", "tags": tag}));
    let body = json!({"name": "p", "source": "dummy-source", "tags": tag});
    done(&scene, "POST", "model-versions/create", &body);
    let prompt = told.recv_timeout(PATIENCE).unwrap().json();
    assert_eq!((&prompt["entity"], &prompt["data"]["template"]), (&json!("prompt_version"), &json!("hi")));
}

#[test]
fn a_webhook_that_fails_is_told_again_under_the_same_id() {
    let scene = scene(5);
    let (address, told) = receiver(&[500, 404, 503]);
    webhook(&scene, address);
    done(&scene, "POST", "registered-models/create", &json!({"name": "m"}));
    let tries: Vec<Told> = (0..4).map(|_| told.recv_timeout(PATIENCE).unwrap()).collect();
    let ids: Vec<&str> = tries.iter().map(|told| told.header("x-mlflow-delivery-id").unwrap()).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert!(tries.iter().all(|told| told.body == tries[0].body));
    done(&scene, "POST", "registered-models/create", &json!({"name": "n"}));
    assert_eq!(told.recv_timeout(PATIENCE).unwrap().json()["data"]["name"], "n", "and not once more");
}

#[test]
fn an_event_that_is_refused_holds_up_no_other() {
    // Refused for ever, as far as this test lasts: the pause after the first refusal is an hour.
    let hour = Duration::from_secs(3_600);
    let scene = scene_at(Pace { first: hour, longest: hour, attempts: 3 });
    let (address, told) = receiver(&[400]);
    webhook(&scene, address);
    for name in ["refused", "a", "b"] {
        done(&scene, "POST", "registered-models/create", &json!({"name": name}));
    }
    let names = || told.recv_timeout(PATIENCE).unwrap().json()["data"]["name"].clone();
    assert_eq!([names(), names(), names()], ["refused", "a", "b"]);
}

#[test]
fn what_could_not_be_told_is_given_up_and_shown() {
    let scene = scene(3);
    // Nobody listens there any more.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let id = webhook(&scene, address);
    let (other, told) = receiver(&[]);
    webhook(&scene, other);
    done(&scene, "POST", "registered-models/create", &json!({"name": "m"}));
    assert_eq!(told.recv_timeout(PATIENCE).unwrap().json()["data"]["name"], "m", "nobody else waits for it");
    let deadline = Instant::now() + PATIENCE;
    let mut seen = 0;
    let shown = loop {
        let shown = done(&scene, "GET", &format!("webhooks/{id}"), &Value::Null)["webhook"].clone();
        if shown["undelivered"].is_array() {
            break shown;
        }
        assert!(Instant::now() < deadline, "{shown}");
        seen = scene.store().wait_beyond(seen, Duration::from_millis(100));
    };
    let lost = &shown["undelivered"][0];
    assert_eq!((&lost["event"], &lost["attempts"]), (&json!("registered_model.created"), &json!(3)));
    let entries = scene.store().read(|tx| journal::of_kind(tx, "registry", None)).unwrap();
    let gave_up = entries.iter().find(|entry| {
        matches!(&entry.fact, Fact::Registry(RegistryChange::WebhookGaveUp { webhook, .. }) if *webhook == id)
    });
    assert!(gave_up.is_some());
}

#[test]
fn a_webhook_can_be_tried_changed_and_deleted_and_keeps_its_secret() {
    let scene = scene(2);
    let (address, told) = receiver(&[200, 418]);
    let id = webhook(&scene, address);
    let path = format!("webhooks/{id}");
    let tried = done(&scene, "POST", &format!("{path}/test"), &json!({}));
    assert_eq!(tried["result"], json!({"success": true, "response_status": 200, "response_body": "ok"}));
    let first = told.recv_timeout(PATIENCE).unwrap();
    assert_eq!(first.header("x-mlflow-signature").unwrap(), signature(&first));
    let event = json!({"event": {"entity": "PROMPT_TAG", "action": "SET"}});
    let tried = done(&scene, "POST", &format!("{path}/test"), &event);
    assert_eq!(tried["result"]["success"], false);
    assert_eq!(told.recv_timeout(PATIENCE).unwrap().json()["entity"], "prompt_tag");

    let changed =
        done(&scene, "PATCH", &path, &json!({"status": "DISABLED", "description": "d", "secret": "hush2"}));
    assert_eq!(
        (&changed["webhook"]["status"], &changed["webhook"]["name"]),
        (&json!("DISABLED"), &json!("hook"))
    );
    done(&scene, "POST", "registered-models/create", &json!({"name": "m"}));
    done(
        &scene,
        "PATCH",
        &path,
        &json!({"status": "ACTIVE", "events": [{"entity": "MODEL_VERSION", "action": "CREATED"}]}),
    );
    done(&scene, "POST", "model-versions/create", &json!({"name": "m", "source": "s3://b/m"}));
    assert_eq!(
        told.recv_timeout(PATIENCE).unwrap().json()["entity"],
        "model_version",
        "not what came while it was off"
    );
    let all = done(&scene, "GET", "webhooks", &Value::Null).to_string();
    let journaled = scene.store().read(|tx| journal::of_kind(tx, "registry", None)).unwrap();
    let journaled = serde_json::to_string(&journaled).unwrap();
    for secret in ["hush", "key-in-path"] {
        assert!(!journaled.contains(secret), "{journaled}");
    }
    assert!(!all.contains("hush"), "{all}");
    done(&scene, "DELETE", &path, &Value::Null);
    assert_eq!(ask(&scene, "GET", &path, &Value::Null).0, 404);
    assert_eq!(done(&scene, "GET", "webhooks", &Value::Null), json!({}));
}

#[test]
fn the_server_connects_nowhere_that_it_must_not() {
    let scene = Scene::empty();
    let event = json!([{"entity": "REGISTERED_MODEL", "action": "CREATED"}]);
    for url in [
        "http://127.0.0.1:80/",
        "https://127.0.0.1/",
        "http://169.254.169.254/latest/meta-data",
        "https://[::1]/",
        "https://10.0.0.1/",
        "http://example.com/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "https://",
        "x",
        "https://user:password@example.com/",
    ] {
        let (status, answer) =
            ask(&scene, "POST", "webhooks", &json!({"name": "h", "url": url, "events": event}));
        assert_eq!((status, &answer["error_code"]), (400, &json!("INVALID_PARAMETER_VALUE")), "{url}");
    }
    for body in [
        json!({"name": "-h", "url": "https://example.com", "events": event}),
        json!({"name": "h".repeat(64), "url": "https://example.com", "events": event}),
        json!({"name": "h", "url": "https://example.com", "events": []}),
        json!({"name": "h", "url": "https://example.com", "events": [{"entity": "REGISTERED_MODEL", "action": "DELETED"}]}),
        json!({"name": "h", "url": "https://example.com", "events": event, "status": "ASLEEP"}),
        json!({"name": "h", "events": event}),
    ] {
        let (status, answer) = ask(&scene, "POST", "webhooks", &body);
        assert_eq!((status, &answer["error_code"]), (400, &json!("INVALID_PARAMETER_VALUE")), "{body}");
    }
}

#[test]
fn a_server_that_goes_down_before_the_receiver_was_told_loses_nothing() {
    // The receiver is down when the server goes down; the next server on the same store tells it: all that it knows of it
    // is in the store.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut scene = scene(1_000_000);
    webhook(&scene, address);
    for name in ["a", "b", "c"] {
        done(&scene, "POST", "registered-models/create", &json!({"name": name}));
    }
    scene.stop();
    let listener = TcpListener::bind(address).unwrap();
    scene.start(gyre_server::Front::default());
    let mut names = Vec::new();
    while names.len() < 3 {
        let (stream, _) = listener.accept().unwrap();
        let mut stream = BufReader::new(stream);
        let (mut length, mut line) = (0, String::new());
        while stream.read_line(&mut line).unwrap() > 2 {
            if let Some(value) = line.to_lowercase().strip_prefix("content-length: ") {
                length = value.trim().parse().unwrap();
            }
            line.clear();
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).unwrap();
        stream.get_mut().write_all(b"HTTP/1.1 204 X\r\nconnection: close\r\n\r\n").unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        names.push(body["data"]["name"].as_str().unwrap().to_owned());
    }
    // The one that was under way may come after the others: it is tried again later.
    names.sort();
    assert_eq!(names, ["a", "b", "c"]);
}

#[test]
fn receivers_of_the_project_file_are_told_in_their_own_form_and_clients_do_not_see_them() {
    let scene = scene(3);
    let (to_events, events) = receiver(&[503]);
    let (to_slack, slack) = receiver(&[]);
    let (to_alerts, alerts) = receiver(&[]);
    let named = |name: &str, address: SocketAddr, format, about| gyre_registry::Receiver {
        name: name.to_owned(),
        url: format!("http://{address}/{name}"),
        secret: Some("hush".to_owned()),
        format,
        about,
        models: Vec::new(),
    };
    let receivers = vec![
        named("events", to_events, LetterFormat::CloudEvents, vec![Topic::Alarms, Topic::Repairs]),
        named("slack", to_slack, LetterFormat::Slack, vec![Topic::Rollouts]),
        named("alerts", to_alerts, LetterFormat::Alertmanager, vec![Topic::Alarms]),
    ];
    let author = gyre_registry::Author { at: Timestamp::default(), actor: "gyre".to_owned(), origin: None };
    let declare = |receivers: Vec<gyre_registry::Receiver>| {
        let author = author.clone();
        let declared = move |tx: &mut gyre_store::Tx<'_>| {
            gyre_registry::declare_receivers(tx, &author, "shop", &receivers)
        };
        scene.store().write(declared).unwrap();
    };
    declare(receivers.clone());
    let size = scene.store().journal_size();
    declare(receivers);
    assert_eq!(scene.store().journal_size(), size, "what is as it was is no news");
    let webhooks = done(&scene, "GET", "webhooks", &Value::Null);
    assert_eq!(webhooks["webhooks"].as_array().map_or(0, Vec::len), 0, "{webhooks}");

    let model: gyre_core::ModelName = "kiln".parse().unwrap();
    let (alarm, numbers) = (Alarm::Decay, [("loss".to_owned(), 12.5)].into());
    let reason = "mae 12.5, promised 8".to_owned();
    scene.tell(Fact::AlarmRaised { model: model.clone(), alarm, reason, numbers });
    let first = events.recv_timeout(PATIENCE).unwrap();
    let again = events.recv_timeout(PATIENCE).unwrap();
    assert_eq!(first.header("webhook-id"), again.header("webhook-id"), "it is tried again under its id");
    let event = again.json();
    assert_eq!(
        (&event["type"], &event["id"]),
        (&json!("dev.gyre.alarm.raised"), &json!(again.header("webhook-id")))
    );
    assert_eq!(
        (&event["source"], &event["data"]["numbers"]["loss"]),
        (&json!("/gyre/shop/models/kiln"), &json!(12.5))
    );
    assert!(again.header("webhook-signature").unwrap().starts_with("v1,"));
    let alert = alerts.recv_timeout(PATIENCE).unwrap().json();
    assert_eq!(alert[0]["labels"], json!({"alertname": "gyre_decay", "project": "shop", "model": "kiln"}));

    scene.tell(Fact::LoopPaused { model, reason: "three failures".to_owned() });
    let paused = events.recv_timeout(PATIENCE).unwrap().json();
    assert_eq!(paused["data"]["severity"], "critical");
    // Neither of the other two asked for repairs; the first has been told of what came before.
    declare(Vec::new());
    assert!(slack.try_recv().is_err());
    let told = done(&scene, "GET", "webhooks", &Value::Null);
    assert_eq!(told["webhooks"].as_array().map_or(0, Vec::len), 0);
}

/// Ends the process with the test.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.kill().and_then(|()| self.0.wait()).ok();
    }
}

/// The alerts that an Alertmanager at `address` has; none while it does not answer.
fn alerts_at(address: SocketAddr) -> Option<Vec<Value>> {
    let mut stream = std::net::TcpStream::connect(address).ok()?;
    write!(stream, "GET /api/v2/alerts HTTP/1.0\r\nHost: {address}\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
}

#[test]
#[ignore = "needs Alertmanager (Debian: prometheus-alertmanager) at GYRE_TEST_ALERTMANAGER"]
fn alertmanager_has_an_incident_until_it_is_over() {
    let program = std::env::var_os("GYRE_TEST_ALERTMANAGER").expect("the path of Alertmanager's program");
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("alertmanager.yml");
    std::fs::write(&config, "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n").unwrap();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let _running = Ended(
        Command::new(program)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.path={}", dir.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--cluster.listen-address=")
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let until = |wanted: &dyn Fn(&[Value]) -> bool| {
        let begun = Instant::now();
        loop {
            match alerts_at(address).filter(|alerts| wanted(alerts)) {
                Some(alerts) => return alerts,
                None => assert!(begun.elapsed() < PATIENCE, "{:?}", alerts_at(address)),
            }
            std::thread::yield_now();
        }
    };
    until(&|alerts| alerts.is_empty());

    let scene = scene(3);
    let receiver = gyre_registry::Receiver {
        name: "pager".to_owned(),
        url: format!("http://{address}/api/v2/alerts"),
        secret: None,
        format: LetterFormat::Alertmanager,
        about: vec![Topic::Incidents],
        models: Vec::new(),
    };
    let author = gyre_registry::Author { at: Timestamp::default(), actor: "gyre".to_owned(), origin: None };
    let declared =
        move |tx: &mut gyre_store::Tx<'_>| gyre_registry::declare_receivers(tx, &author, "shop", &[receiver]);
    scene.store().write(declared).unwrap();
    let incident = gyre_core::fact::Incident {
        model: "kiln".parse().unwrap(),
        incident: "30-service".to_owned(),
        cause: Cause::Service,
        severity: Severity::Critical,
        columns: Vec::new(),
        since: Timestamp::default(),
        changed: "60 % of the requests failed, where 1 % are usual".to_owned(),
        cost: "nothing so far".to_owned(),
        next: "look at the host".to_owned(),
        numbers: Default::default(),
        silenced: false,
    };
    let (model, name) = (incident.model.clone(), incident.incident.clone());
    scene.tell(Fact::IncidentOpened(incident));
    let alerts = until(&|alerts| !alerts.is_empty());
    assert_eq!(
        alerts[0]["labels"],
        json!({"alertname": "gyre_incident", "project": "shop", "model": "kiln", "incident": "30-service"})
    );
    assert_eq!(
        (&alerts[0]["status"]["state"], &alerts[0]["annotations"]["severity"]),
        (&json!("active"), &json!("critical"))
    );
    let reason = "no sign of it".to_owned();
    scene.tell(Fact::IncidentClosed {
        model,
        incident: name,
        cause: Cause::Service,
        reason,
        silenced: false,
    });
    until(&|alerts| alerts.is_empty());
}

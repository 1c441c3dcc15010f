//! `gyre up` in operation: TLS, what it logs, a project file that changes, traces that are passed on, its end.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{change, command, gyre, project};

/// How long it is waited for what comes by itself.
const PATIENCE: Duration = Duration::from_secs(30);

/// `gyre up` that logs in JSON.
struct Server {
    child: Child,
    lines: Receiver<Value>,
    url: String,
}

impl Server {
    fn start(root: &Path, options: &[&str]) -> Self {
        let mut child = command(root)
            .args(["up", "--listen", "127.0.0.1:0", "--log-format", "json"])
            .args(options)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (line, lines) = channel();
        let said = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for text in said.lines().map_while(Result::ok) {
                let parsed = serde_json::from_str(&text);
                let _ = line.send(parsed.unwrap_or_else(|error| panic!("no line of JSON: {text}: {error}")));
            }
        });
        let mut server = Self { child, lines, url: String::new() };
        let greeting = server.until("gyre keeps");
        server.url = greeting["url"].as_str().unwrap().to_owned();
        server
    }

    /// The next event whose message holds `words`.
    #[track_caller]
    fn until(&self, words: &str) -> Value {
        let begun = Instant::now();
        loop {
            let left = PATIENCE.saturating_sub(begun.elapsed());
            let event = self.lines.recv_timeout(left).unwrap_or_else(|_| panic!("it never said `{words}`"));
            if event["message"].as_str().unwrap().contains(words) {
                return event;
            }
        }
    }

    fn signal(&self, name: &str) {
        let done = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(done.unwrap().success());
    }

    fn ended(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            match self.child.try_wait().unwrap() {
                Some(status) => return status,
                None => assert!(begun.elapsed() < PATIENCE, "it does not end"),
            }
            std::thread::yield_now();
        }
    }

    fn port(&self) -> &str {
        self.url.rsplit(':').next().unwrap()
    }

    /// Sends a request with these headers, and returns the status and what was answered.
    fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.url.trim_start_matches("http://")).unwrap();
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n{headers}\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
    }

    fn get(&self, path: &str) -> Value {
        let (status, body) = self.ask("GET", path, "", "");
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn certificate(root: &Path, name: &str) -> [String; 2] {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let file = |kind: &str| root.join(format!("{name}.{kind}")).display().to_string();
    let files = [file("pem"), file("key")];
    std::fs::write(&files[0], made.cert.pem()).unwrap();
    std::fs::write(&files[1], made.signing_key.serialize_pem()).unwrap();
    files
}

#[test]
fn commands_reach_a_server_that_speaks_tls_here_and_elsewhere() {
    let (_dir, root) = project();
    let [cert, key] = certificate(&root, "server");
    let server = Server::start(&root, &["--tls-cert", &cert, "--tls-key", &key]);
    assert!(server.url.starts_with("https://127.0.0.1:"), "{}", server.url);
    // Here: the certificate bears another name, and is known by its fingerprint.
    let status = gyre(&root, "status --json").done().json();
    assert_eq!(status["server"]["url"], json!(server.url));
    // From elsewhere, by its name: only whoever knows the authority believes it.
    let elsewhere = tempfile::tempdir().unwrap();
    let named = format!("https://localhost:{}", server.port());
    let unknown = gyre(elsewhere.path(), &format!("promote minutes 1 --server {named}"));
    assert_eq!(unknown.code, 1);
    assert!(unknown.err.contains("not known here") && unknown.err.contains("--ca"), "{}", unknown.err);
    let known = gyre(elsewhere.path(), &format!("promote minutes 1 --server {named} --ca {cert}"));
    assert!(known.code == 1 && known.err.contains("has no version"), "{}", known.err);
    // Another certificate comes into force, and whoever reads the announcement knows it.
    let [next, next_key] = certificate(&root, "next");
    std::fs::rename(&next, &cert).unwrap();
    let refused = server.until("the changed certificate is not used");
    assert!(refused["error"].as_str().unwrap().contains("cannot be used together"), "{refused}");
    assert_eq!(gyre(&root, "status --json").done().json()["server"]["url"], json!(server.url));
    std::fs::rename(&next_key, &key).unwrap();
    server.until("a changed certificate is in force");
    let begun = Instant::now();
    while gyre(&root, "status --json").done().json()["server"].is_null() {
        assert!(begun.elapsed() < PATIENCE, "the announcement does not follow");
    }

    let wrong = command(&root).args(["up", "--tls-cert", &key, "--tls-key", &key]).output().unwrap();
    let told = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(!wrong.status.success() && told.contains("no certificate"), "{told}");
}

#[test]
fn a_changed_project_file_is_taken_while_it_runs_and_a_wrong_one_is_refused() {
    let (_dir, root) = project();
    let file = root.join("gyre.yaml");
    let server = Server::start(&root, &["--replay"]);
    let good = std::fs::read_to_string(&file).unwrap();
    change(&file, "metric: mae", "metric: mea");
    let refused = server.until("the changed gyre.yaml is not used");
    let check = gyre(&root, "check");
    assert_eq!(check.code, 2);
    // What it says is what the check says, with place, found and expected.
    let told = refused["message"].as_str().unwrap();
    let first = check.err.lines().next().unwrap().trim_start_matches("error: ");
    assert!(told.contains(first.trim_start_matches("./")), "{told}\n{}", check.err);

    change(&file, "metric: mea", "metric: rmse");
    change(
        &file,
        "models:\n",
        "models:\n  twin:\n    task: regression\n    target: minutes\n    artifact: out/twin.onnx\n    metric: mae\n    train: {data: deliveries}\n",
    );
    let taken = server.until("the changed gyre.yaml is in force");
    assert_eq!((&taken["added"], &taken["level"]), (&json!("twin"), &json!("INFO")));
    let models = server.get("/v1/models");
    assert!(models.to_string().contains("\"twin\""), "{models}");
    let journal = server.get("/v1/journal?limit=50").to_string();
    assert!(journal.contains(taken["digest"].as_str().unwrap()), "the journal tells which file: {journal}");

    change(&file, "project: shop", "project: store");
    let renamed = server.until("the changed gyre.yaml is not used");
    assert!(renamed["message"].as_str().unwrap().contains("it runs as `shop`"), "{renamed}");
    std::fs::write(&file, good).unwrap();
    let back = server.until("the changed gyre.yaml is in force");
    assert_eq!(back["removed"], json!("twin"));
    server.signal("HUP");
    server.until("gyre.yaml is as it was");
}

#[test]
fn the_access_log_has_a_line_a_request_and_the_end_is_orderly() {
    let (_dir, root) = project();
    let mut server = Server::start(&root, &["--access-log", "--drain-timeout", "5"]);
    let headers = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\nx-request-id: r-7\r\n\
                   authorization: Bearer gyre_secret\r\n";
    let (status, _) = server.ask("GET", "/v1/models/nothing?token=secret", headers, "");
    assert_eq!(status, 404);
    let event = server.until("request");
    assert_eq!(event["trace_id"], json!("4bf92f3577b34da6a3ce929d0e0e4736"));
    assert_eq!((&event["request_id"], &event["status"]), (&json!("r-7"), &json!(404)));
    assert_eq!((&event["method"], &event["path"]), (&json!("GET"), &json!("/v1/models/nothing")));
    assert!(event["timestamp"].is_string() && event["micros"].is_number(), "{event}");
    assert!(!event.to_string().contains("secret"), "{event}");

    server.signal("TERM");
    server.until("going down");
    assert!(server.ended().success());
    assert!(!root.join(".gyre/server.json").exists(), "who is gone is not announced");
}

/// A server of MLflow's protocol that answers 1, and tells with which `traceparent` it was asked for predictions.
fn model_server() -> (String, Receiver<Option<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (told, heard) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, told) = (stream.unwrap(), told.clone());
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                loop {
                    let (mut length, mut parent, mut first) = (0, None, String::new());
                    if reader.read_line(&mut first).unwrap_or(0) == 0 {
                        return;
                    }
                    loop {
                        let mut line = String::new();
                        reader.read_line(&mut line).unwrap();
                        let Some((name, value)) = line.trim().split_once(": ") else { break };
                        match name {
                            "content-length" => length = value.parse().unwrap(),
                            "traceparent" => parent = Some(value.to_owned()),
                            _ => {}
                        }
                    }
                    reader.read_exact(&mut vec![0; length]).unwrap();
                    let body = if first.starts_with("POST") { r#"{"predictions": [1.0]}"# } else { "OK" };
                    if first.starts_with("POST") {
                        let _ = told.send(parent);
                    }
                    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length";
                    write!(stream, "{head}: {}\r\n\r\n{body}", body.len()).unwrap();
                }
            });
        }
    });
    (url, heard)
}

#[test]
fn a_models_server_hears_whose_request_it_answers() {
    let (_dir, root) = project();
    let (url, heard) = model_server();
    let server = Server::start(&root, &["--allow-egress", "127.0.0.1"]);
    gyre(&root, &format!("deploy far --protocol mlflow --url {url} --inputs x:number")).done();
    let body = r#"{"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [1.0]}]}"#;
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let headers = format!("traceparent: {parent}\r\n");
    let (status, answer) = server.ask("POST", "/v2/models/far/infer", &headers, body);
    assert_eq!(status, 200, "{answer}");
    // What it was asked while it was deployed bears none. This server adds no span, so what came is passed on.
    let begun = Instant::now();
    while heard.recv_timeout(PATIENCE).unwrap().as_deref() != Some(parent) {
        assert!(begun.elapsed() < PATIENCE);
    }
}

//! A server that is killed again and again, in the middle of what it does, loses nothing that it had acknowledged.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::Sender;
use std::time::Duration;

use serde_json::{Value, json};
use support::{command, gyre};

/// How often it is killed.
const KILLS: u64 = 200;
/// How many clients log at a time.
const CLIENTS: usize = 4;
const API: &str = "/api/2.0/mlflow";

fn start(root: &Path) -> (Child, String) {
    let mut command = command(root);
    let mut child = command.args(["up", "--listen", "127.0.0.1:0"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.split("http://").nth(1).and_then(|rest| rest.split('/').next());
    let address = address.unwrap_or_else(|| panic!("it did not start: {line}")).to_owned();
    (child, address)
}

/// A connection that is kept; an error of any kind is what a killed server looks like.
struct Client {
    address: String,
    stream: BufReader<TcpStream>,
}

impl Client {
    fn to(address: &str) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(Self { address: address.to_owned(), stream: BufReader::new(stream) })
    }

    fn ask(&mut self, method: &str, path: &str, body: &Value) -> std::io::Result<(u16, Value)> {
        let body = if *body == Value::Null { String::new() } else { body.to_string() };
        let (host, length) = (&self.address, body.len());
        let request = format!(
            "{method} {API}{path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        self.stream.get_mut().write_all(request.as_bytes())?;
        let (mut line, mut length) = (String::new(), 0);
        self.stream.read_line(&mut line)?;
        let broken = || std::io::Error::other("the answer broke off");
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(broken)?;
        loop {
            line.clear();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(broken());
            }
            if let Some(given) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = given.trim().parse().map_err(|_| broken())?;
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok((status, serde_json::from_slice(&body)?))
    }
}

/// What was acknowledged: of each run, the steps.
type Acknowledged = Mutex<BTreeMap<String, Vec<i64>>>;

/// Logs one metric after another until the server is gone.
fn log(address: &str, acknowledged: &Acknowledged, tell: &Sender<()>) -> std::io::Result<()> {
    let mut client = Client::to(address)?;
    let (status, made) = client.ask("POST", "/runs/create", &json!({"experiment_id": "0"}))?;
    assert_eq!(status, 200, "{made}");
    let run_id = made["run"]["info"]["run_id"].as_str().unwrap().to_owned();
    acknowledged.lock().unwrap().insert(run_id.clone(), Vec::new());
    for step in 0.. {
        let metric = json!({"key": "m", "value": step as f64, "timestamp": step, "step": step});
        let body = json!({"run_id": run_id, "metrics": [metric], "tags": [{"key": "last", "value": step.to_string()}]});
        let (status, said) = client.ask("POST", "/runs/log-batch", &body)?;
        assert_eq!(status, 200, "{said}");
        acknowledged.lock().unwrap().get_mut(&run_id).unwrap().push(step);
        // Nobody listens any more once enough was acknowledged.
        let _ = tell.send(());
    }
    Ok(())
}

/// Everything that was acknowledged is there.
fn check(client: &mut Client, acknowledged: &BTreeMap<String, Vec<i64>>) {
    for (run_id, steps) in acknowledged {
        let path = format!("/metrics/get-history?run_id={run_id}&metric_key=m");
        let (status, history) = client.ask("GET", &path, &Value::Null).unwrap();
        assert_eq!(status, 200, "{history}");
        let found: Vec<i64> = history["metrics"]
            .as_array()
            .map(|points| points.iter().map(|point| point["step"].as_i64().unwrap()).collect())
            .unwrap_or_default();
        // One more than acknowledged may be there: written, and not answered any more.
        assert!(found.starts_with(steps), "{run_id}: acknowledged {steps:?}, found {found:?}");
        assert!(found.len() <= steps.len() + 1, "{run_id}: acknowledged {steps:?}, found {found:?}");
        let (_, run) = client.ask("GET", &format!("/runs/get?run_id={run_id}"), &Value::Null).unwrap();
        if let Some(last) = found.last() {
            let data = &run["run"]["data"];
            assert_eq!(
                data["metrics"][0]["value"].as_f64(),
                Some(*last as f64),
                "the latest value follows the history"
            );
            let tags = data["tags"].as_array().unwrap();
            let tag = tags.iter().find(|tag| tag["key"] == "last").unwrap();
            assert_eq!(tag["value"], last.to_string(), "a batch is all or nothing");
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_by_two_hundred_kills() {
    let dir = tempfile::tempdir().unwrap();
    let mut all: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    for round in 0..KILLS {
        let (mut child, address) = start(dir.path());
        let acknowledged = Acknowledged::default();
        std::thread::scope(|scope| {
            let (tell, told) = std::sync::mpsc::channel();
            for _ in 0..CLIENTS {
                let (tell, address, acknowledged) = (tell.clone(), &address, &acknowledged);
                // An error is the end that this test is about.
                scope.spawn(move || drop(log(address, acknowledged, &tell)));
            }
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(round | 1);
            // Some of the kills come before anything was logged, some amid hundreds of commits.
            (0..(seed >> 33) % 250).for_each(|_| told.recv().unwrap());
            child.kill().unwrap();
            child.wait().unwrap();
        });
        all.extend(acknowledged.into_inner().unwrap());
    }
    let (mut child, address) = start(dir.path());
    check(&mut Client::to(&address).unwrap(), &all);
    child.kill().unwrap();
    child.wait().unwrap();
    let logged: usize = all.values().map(Vec::len).sum();
    assert!(logged > 1_000, "only {logged} were acknowledged: nothing was tried");
    gyre(dir.path(), "journal verify").done();
}

//! A server that is killed while it tells a webhook, again and again: the webhook hears of everything, in order.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};
use support::Up;

const API: &str = "/api/2.0/mlflow";
const EVENTS: usize = 60;
const PATIENCE: Duration = Duration::from_secs(60);

/// Connections to a receiver of webhooks, as they come.
fn receiver() -> (String, Receiver<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (tell, told) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            if tell.send(stream.unwrap()).is_err() {
                return;
            }
        }
    });
    (url, told)
}

/// What a connection tells; none when whoever made it was killed before it had told.
fn read(stream: &mut BufReader<TcpStream>) -> Option<Value> {
    let (mut length, mut line) = (0, String::new());
    loop {
        line.clear();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    serde_json::from_slice(&body).ok()
}

fn start(root: &Path) -> Up {
    Up::start_with(root, &["--allow-egress", "127.0.0.1"])
}

#[test]
fn every_event_is_told_in_order_whenever_the_server_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let (url, told) = receiver();
    let mut up = Some(start(dir.path()));
    let events = json!([{"entity": "REGISTERED_MODEL", "action": "CREATED"}]);
    up.as_ref()
        .unwrap()
        .post(&format!("{API}/webhooks"), &json!({"name": "h", "url": url, "events": events}));
    let (mut made, mut heard, mut kills) = (0, Vec::<usize>::new(), 0);
    let mut seed = 7_u64;
    while heard.last() != Some(&(EVENTS - 1)) {
        // A few more events before each delivery, so that some are made while others wait.
        while made < EVENTS && made < heard.len() + 3 {
            let model = json!({"name": format!("model-{made}")});
            up.as_ref().unwrap().post(&format!("{API}/registered-models/create"), &model);
            made += 1;
        }
        let stream = told.recv_timeout(PATIENCE).expect("the webhook is told");
        let mut stream = BufReader::new(stream);
        let Some(body) = read(&mut stream) else { continue };
        let name = body["data"]["name"].as_str().unwrap().to_owned();
        heard.push(name.strip_prefix("model-").unwrap().parse().unwrap());
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let fate = (seed >> 33) % 4;
        if fate == 0 {
            // It has told, and never hears that it was heard.
            drop(up.take());
        }
        // Whoever was killed does not listen any more.
        let _ = stream.get_mut().write_all(b"HTTP/1.1 204 X\r\nconnection: close\r\n\r\n");
        if fate == 1 {
            // It may have heard, and may have written that down.
            drop(up.take());
        }
        if up.is_none() {
            kills += 1;
            up = Some(start(dir.path()));
        }
    }
    assert!(kills >= 10, "{kills} kills");
    assert!(heard.len() > EVENTS, "nothing was told twice: no kill came in between");
    // What was told and not written down as told is told once more, before anything that came after it.
    heard.dedup();
    assert_eq!(heard, (0..EVENTS).collect::<Vec<_>>());
}

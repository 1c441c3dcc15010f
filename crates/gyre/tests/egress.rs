//! Where the server may reach out to, as the command line says: the real binary and a receiver of webhooks.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};
use support::Up;

/// Somebody who is told of something once; what they were told.
fn receiver() -> (String, Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (tell, told) = channel();
    std::thread::spawn(move || {
        let mut stream = BufReader::new(listener.accept().unwrap().0);
        let mut length = 0;
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).unwrap();
            match line.trim().split_once(':') {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.trim().parse().unwrap();
                }
                None if line.trim().is_empty() => break,
                _ => {}
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).unwrap();
        stream.get_mut().write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").unwrap();
        tell.send(serde_json::from_slice(&body).unwrap()).unwrap();
    });
    (url, told)
}

#[test]
fn webhooks_go_to_this_machine_only_where_that_is_allowed() {
    let (_dir, root) = support::project();
    let (url, told) = receiver();
    let hook = json!({
        "name": "hook", "url": url, "events": [{"entity": "REGISTERED_MODEL", "action": "CREATED"}]
    });
    let up = Up::start(&root);
    let (status, answer) = up.try_post("/api/2.0/mlflow/webhooks", &hook);
    let message = answer["message"].as_str().unwrap();
    assert_eq!(status, 400, "{answer}");
    assert!(message.contains("--allow-egress 127.0.0.1"), "it says what to do: {message}");
    drop(up);

    let up = Up::start_with(&root, &["--allow-egress", "127.0.0.1"]);
    up.post("/api/2.0/mlflow/webhooks", &hook);
    up.post("/api/2.0/mlflow/registered-models/create", &json!({"name": "m"}));
    let told = told.recv_timeout(Duration::from_secs(30)).unwrap();
    assert_eq!((&told["entity"], &told["data"]["name"]), (&json!("registered_model"), &json!("m")));
}

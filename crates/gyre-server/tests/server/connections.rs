//! Clients that come in numbers, say nothing, send too much, go away in the middle: others are served all the same.
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use gyre_server::{Drain, Front, Server};

use crate::support::{Client, GOOD, Scene, good};

const INFER: &str = "/v2/models/demand/infer";

/// A scene whose server is made by `shape`.
fn shaped(shape: impl FnOnce(Server) -> Server) -> Scene {
    let mut scene = Scene::serving();
    scene.stop();
    scene.start_as(Front::default(), shape);
    scene
}

/// Bytes that the process holds in memory.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * rustix::param::page_size() as u64
}

#[test]
fn ten_thousand_idle_connections_keep_nobody_waiting() {
    let scene = Scene::serving();
    // Both ends of each are in this process, beside what the tests' runner has open.
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    let count = usize::try_from((files - 500) / 2).unwrap().min(10_000);
    let before = resident();
    let idle: Vec<TcpStream> = (0..count).map(|_| TcpStream::connect(scene.address).unwrap()).collect();
    let begun = Instant::now();
    for at in 0..20 {
        assert_eq!(scene.post(INFER, &good(&format!("i{at}"))).status, 200);
    }
    let (took, grown) = (begun.elapsed(), resident().saturating_sub(before));
    println!(
        "{count} idle connections, {} KiB each, 20 predictions in {took:?}",
        grown / 1024 / count as u64
    );
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert!(grown < count as u64 * (32 << 10), "{grown} bytes for {count} connections");
    drop(idle);
}

#[test]
fn when_all_places_are_taken_the_silent_go_before_those_who_speak() {
    let scene = shaped(|server| server.with_connections(8));
    let mut regular = scene.connect();
    assert_eq!(regular.send("POST", INFER, &[], good("first").as_bytes()).status, 200);
    // One that has sent half a request is at work, so it stays.
    let mut sending = scene.connect();
    let body = good("slow");
    let head = format!("POST {INFER} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", body.len());
    sending.begin(head.as_bytes());
    let mut silent = Vec::new();
    for at in 0..40 {
        silent.push(TcpStream::connect(scene.address).unwrap());
        assert_eq!(scene.post(INFER, &good(&format!("n{at}"))).status, 200);
    }
    let answer = regular.send("POST", INFER, &[], good("again").as_bytes());
    assert_eq!(answer.status, 200, "whoever was served before keeps the connection");
    sending.begin(body.as_bytes());
    assert_eq!(sending.answer().status, 200);
    let mut first = &silent[0];
    first.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    assert_eq!(first.read(&mut [0]).unwrap(), 0, "who said nothing was shown out");
}

#[test]
fn a_body_of_a_gigabyte_is_refused_before_it_comes() {
    let scene = Scene::serving();
    let mut client = scene.connect();
    let length = 1_u64 << 30;
    client.begin(
        format!("POST {INFER} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n").as_bytes(),
    );
    let answer = client.answer();
    assert_eq!(answer.status, 413);
    assert!(answer.body.contains("larger than 16777216 bytes"), "{}", answer.body);
    // One that asks first sends nothing either.
    let mut client = scene.connect();
    let head = format!(
        "POST {INFER} HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\r\n"
    );
    client.begin(head.as_bytes());
    assert_eq!(client.answer().status, 413);
}

#[test]
fn after_a_request_that_was_refused_by_its_head_the_connection_goes_on_or_says_that_it_ends() {
    const OUTSIDE: &str = "/api/2.0/mlflow-artifacts/artifacts/1/../../x";
    let scene = Scene::serving();
    let mut client = scene.connect();
    let head = |length: usize| {
        format!("PUT {OUTSIDE} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n")
    };
    // The body comes after the head was judged, and the next request after the body.
    for _ in 0..20 {
        client.begin(head(4).as_bytes());
        client.begin(b"body");
        let answer = client.answer();
        assert_eq!((answer.status, answer.header("connection")), (400, None), "{}", answer.body);
    }
    assert_eq!(client.send("POST", INFER, &[], good("after").as_bytes()).status, 200);
    // One that does not come, and one that is too long to be waited for.
    for length in [4, 1 << 20] {
        let mut client = scene.connect();
        client.begin(head(length).as_bytes());
        let answer = client.answer();
        assert_eq!((answer.status, answer.header("connection")), (400, Some("close")), "{}", answer.body);
    }
}

#[test]
fn clients_that_go_in_the_middle_leave_nothing_behind() {
    let scene = shaped(|server| server.with_connections(16));
    let body = good("gone");
    for at in 0..200 {
        let mut stream = TcpStream::connect(scene.address).unwrap();
        let head =
            format!("POST {INFER} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", body.len());
        let whole = format!("{head}{body}");
        // In the head, in the body, and before the answer is read.
        let sent = [10, head.len() + 20, whole.len()][at % 3];
        stream.write_all(&whole.as_bytes()[..sent]).unwrap();
    }
    assert_eq!(scene.post(INFER, &good("after")).status, 200);
}

#[test]
fn requests_of_http2_that_are_taken_back_at_once_end_the_connection() {
    let scene = Scene::serving();
    let mut stream = TcpStream::connect(scene.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00").unwrap();
    // GET http://localhost/ (RFC 7541: three indexed fields, one literal), and RST_STREAM with CANCEL.
    let fields = b"\x82\x86\x84\x41\x09localhost";
    let begun = Instant::now();
    let mut flood = Vec::new();
    for stream in (1_u32..20_000).step_by(2) {
        flood.extend([0, 0, fields.len() as u8, 1, 5]);
        flood.extend(stream.to_be_bytes());
        flood.extend(fields);
        flood.extend([0, 0, 4, 3, 0]);
        flood.extend(stream.to_be_bytes());
        flood.extend([0, 0, 0, 8]);
    }
    // The server ends it while we send; both are an end.
    let _ = stream.write_all(&flood);
    let mut told = Vec::new();
    let _ = stream.read_to_end(&mut told);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_eq!(scene.post(INFER, &good("after")).status, 200);
}

#[test]
fn going_down_it_is_first_not_ready_and_finishes_what_is_under_way() {
    let delay = Duration::from_millis(700);
    let mut scene = shaped(move |server| server.draining(Drain { delay, timeout: Duration::from_secs(20) }));
    assert_eq!(scene.get("/v2/health/ready").status, 200);
    let body = format!(r#"{{"id": "late", "inputs": [{GOOD}]}}"#);
    let mut client = scene.connect();
    let head = format!("POST {INFER} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", body.len());
    client.begin(head.as_bytes());
    scene.ask_to_stop();
    // It still lets clients in, and says that they should not come.
    let begun = Instant::now();
    let mut probe = scene.connect();
    while probe.send("GET", "/v2/health/ready", &[], b"").status != 503 {
        assert!(begun.elapsed() < delay, "it never said that it is not ready");
    }
    assert_eq!(probe.send("GET", "/v2/health/live", &[], b"").status, 200);
    // Then the door closes: what is under way finishes.
    let refused = || TcpStream::connect(scene.address).is_err();
    while !refused() {
        assert!(begun.elapsed() < Duration::from_secs(20), "the listener is still there");
    }
    client.begin(body.as_bytes());
    assert_eq!(Client::answer(&mut client).status, 200);
    scene.stop();
    assert_eq!(scene.logged("demand"), 1, "and it is in the log");
}

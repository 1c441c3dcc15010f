//! Answers that come bit by bit, through the gateway: who answers, what is passed on, and what becomes of those that fail.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;

use serde_json::{Value, json};

use super::support::{Said, Up, command, gyre};
use super::{place, script, wait_until};

/// An answer while it comes.
pub(super) struct Answer {
    pub(super) status: u16,
    headers: Vec<String>,
    body: BufReader<TcpStream>,
}

impl Answer {
    pub(super) fn to(up: &Up, path: &str, headers: &str, body: &Value) -> Self {
        let address = up.url();
        let mut stream = TcpStream::connect(address.trim_start_matches("http://")).unwrap();
        let body = body.to_string();
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-type: application/json\r\n{headers}\
             content-length: {}\r\n\r\n{body}",
            address.trim_start_matches("http://"),
            body.len()
        )
        .unwrap();
        let mut reader = BufReader::new(stream);
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let status = lines[0].split(' ').nth(1).unwrap().parse().unwrap();
        Self { status, headers: lines, body: reader }
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// The next event's data.
    fn event(&mut self) -> Value {
        loop {
            let mut line = String::new();
            assert!(self.body.read_line(&mut line).unwrap() > 0, "it has ended");
            if let Some(data) = line.strip_prefix("data: ") {
                return serde_json::from_str(data).unwrap();
            }
        }
    }

    /// All that comes, and whether it came to its end as HTTP has it.
    fn rest(mut self) -> (String, bool) {
        let mut rest = Vec::new();
        // A connection that is broken off may be told as an error or as the end.
        let read = self.body.read_to_end(&mut rest);
        let text = String::from_utf8_lossy(&rest).into_owned();
        let whole = read.is_ok() && text.ends_with("0\r\n\r\n");
        (text, whole)
    }
}

/// Deploys a version of `talk` that speaks by events.
fn deploy(root: &Path, words: &str) -> Said {
    let mut deploy = command(root);
    deploy.args(
        "deploy talk --protocol v2 --inputs text_input:text --output-name text_output --calls 8".split(' '),
    );
    deploy.args(words.split_whitespace()).args(["--", "python3", &script("streaming.py")]);
    deploy.output().unwrap().into()
}

const STREAM: &str = "/v2/models/talk/generate_stream";

#[test]
fn events_come_through_as_they_are_sent() {
    let (_dir, root) = place();
    let up = Up::start_with(&root, &["--allow-commands"]);
    deploy(&root, "--pass /v1/talk").done();
    let mut answer = Answer::to(
        &up,
        STREAM,
        "authorization: Bearer ours\r\n",
        &json!({"id": "q7", "text_input": "one two"}),
    );
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/event-stream")));
    for (name, value) in [
        ("gyre-model", "talk"),
        ("gyre-model-version", "1"),
        ("gyre-route", "champion"),
        ("gyre-request-id", "q7"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
    assert_eq!(answer.header("set-cookie"), None, "what a model sets is not set for this origin");
    assert_eq!(
        answer.event(),
        json!({"text_output": "one", "token": null}),
        "and no credentials are passed on"
    );
    assert_eq!(answer.event()["text_output"], "two");
    assert!(answer.rest().1);

    // A path that was named, and none that was not.
    let answer =
        Answer::to(&up, "/serve/talk/v1/talk?a=b", "gyre-request-id: mine\r\n", &json!({"text_input": "x"}));
    assert_eq!((answer.status, answer.header("gyre-request-id")), (200, Some("mine")));
    assert!(answer.rest().0.contains("\"x\""));
    for path in [
        "/serve/talk/seen",
        "/serve/talk/v1/talk/",
        "/serve/talk/v1%2ftalk",
        "/serve/talk/v1/../seen",
        "/serve/talk//v1/talk",
    ] {
        let answer = Answer::to(&up, path, "", &json!({"text_input": "x"}));
        assert_eq!(answer.status, 404, "{path}");
    }
    let answer = Answer::to(&up, "/serve/talk/seen", "", &json!({}));
    assert!(answer.rest().0.contains("but to /v1/talk"));

    // One that is not outside of the process says what it can do.
    gyre(&root, "deploy flat --file model.txt").done();
    let answer = Answer::to(&up, "/v2/models/flat/generate", "", &json!({"text_input": "x"}));
    assert_eq!(answer.status, 404);
    assert!(answer.rest().0.contains("/infer"));
    let metrics = Answer::to(&up, STREAM, "", &json!({"text_input": "end"})).rest();
    assert!(metrics.1);
    wait_until("the ends have been counted", || {
        counted(&up, "gyre_streams_total{model=\"talk\",version=\"1\",outcome=\"whole\"}") == 3.0
    });
}

/// A number among the metrics; 0 where there is none.
fn counted(up: &Up, name: &str) -> f64 {
    let mut stream = TcpStream::connect(up.url().trim_start_matches("http://")).unwrap();
    write!(stream, "GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap_or(0.0)
}

#[test]
fn who_goes_away_is_not_generated_for_and_a_slow_reader_holds_the_model_back() {
    let (_dir, root) = place();
    let up = Up::start_with(&root, &["--allow-commands"]);
    deploy(&root, "--pass /v1/talk --pass /seen").done();
    let mut answer =
        Answer::to(&up, STREAM, "", &json!({"id": "endless", "text_input": "one", "endless": true}));
    assert_eq!(answer.event()["text_output"], "one");
    let calls = || up.get("/v1/models/talk/runtimes")["runtimes"][0]["calls"].clone();
    // Nobody reads, so nothing more is taken from the model than what sockets hold; and it is not taken for hanging.
    assert_eq!(calls(), 1);
    drop(answer);
    wait_until("its caller has gone", || calls() == 0);
    wait_until("the model knows", || up.get("/serve/talk/seen") == json!(["endless"]));
    wait_until("it is counted", || {
        counted(&up, "gyre_streams_total{model=\"talk\",version=\"1\",outcome=\"abandoned\"}") == 1.0
    });
}

#[test]
fn a_version_that_breaks_off_loses_its_share_as_one_that_fails_at_once_does() {
    let (_dir, root) = place();
    let up = Up::start_with(&root, &["--allow-commands"]);
    deploy(&root, "").done();
    for (version, breaks) in (2..).zip(["first", "middle"]) {
        deploy(&root, &format!("--steps 20,100 --min-requests 500 --env BREAKS={breaks}")).done();
        let mut failed = 0;
        for at in 0..150 {
            let body = json!({"id": format!("{breaks}-{at}"), "text_input": "a b"});
            let answer = Answer::to(&up, STREAM, "", &body);
            let (status, by) = (answer.status, answer.header("gyre-model-version").map(str::to_owned));
            let whole = answer.rest().1;
            let fine = status == 200 && whole;
            failed += usize::from(!fine);
            assert_eq!(by, Some(if fine { 1 } else { version }.to_string()), "{breaks}: {status}");
        }
        assert!((1..=12).contains(&failed), "{breaks}: {failed} failed until it was out of traffic");
        up.come_to(&format!("2030-01-0{version}T00:00:00Z"));
        let back = gyre(&root, "journal --kind rolled_back --json").done().json();
        let fact = &back["entries"].as_array().unwrap().last().unwrap()["fact"];
        assert_eq!((&fact["from"], &fact["to"]), (&json!(version), &json!(1)), "{breaks}");
    }
    // Whoever met a version by a key meets it again.
    deploy(&root, "--steps 50,100 --min-requests 500").done();
    let met = |key: &str, at: usize| {
        let answer = Answer::to(
            &up,
            STREAM,
            &format!("gyre-key: {key}\r\n"),
            &json!({"id": at.to_string(), "text_input": "a"}),
        );
        answer.header("gyre-model-version").unwrap().to_owned()
    };
    let keys = ["ada", "grace", "edsger", "barbara", "tony", "niklaus", "dana", "robin"];
    let first: Vec<String> = keys.iter().map(|key| met(key, 0)).collect();
    assert!(first.contains(&"1".to_owned()) && first.contains(&"4".to_owned()), "{first:?}");
    assert!(keys.iter().zip(&first).all(|(key, version)| met(key, 1) == *version));
}

//! The real binary, in folders of its own.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};

pub const GYRE: &str = env!("CARGO_BIN_EXE_gyre");

/// What a command said, and how it ended.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    #[track_caller]
    pub fn done(self) -> Self {
        assert_eq!(self.code, 0, "{}\n{}", self.out, self.err);
        self
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Self { code: output.status.code().unwrap(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

pub fn command(dir: &Path) -> Command {
    let mut command = Command::new(GYRE);
    command
        .current_dir(dir)
        .env_remove("GYRE_PROJECT")
        .env_remove("GYRE_STORE")
        .env_remove("GYRE_ONNXRUNTIME");
    command
}

/// Runs `gyre WORDS` in `dir`.
pub fn gyre(dir: &Path, words: &str) -> Said {
    command(dir).args(words.split_whitespace()).output().unwrap().into()
}

/// A fresh project as `gyre init` makes it, on a day of its own.
pub fn project() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("shop");
    gyre(dir.path(), "init shop --until 2025-03-03T00:00:00Z").done();
    // So that one training is one version.
    change(&root.join("gyre.yaml"), "      cooldown: 3d\n", "      cooldown: 3d\n      refit: false\n");
    (dir, root)
}

pub fn change(file: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.contains(from), "{} has no `{from}`", file.display());
    // As careful editors do: whoever looks at it meanwhile sees it whole.
    let beside = file.with_extension("changed");
    std::fs::write(&beside, text.replacen(from, to, 1)).unwrap();
    std::fs::rename(beside, file).unwrap();
}

/// `gyre up --replay`, for as long as this lives.
pub struct Up {
    child: Child,
    address: String,
}

impl Up {
    pub fn start(root: &Path) -> Self {
        Self::with(command(root))
    }

    /// The same with more options.
    pub fn start_with(root: &Path, options: &[&str]) -> Self {
        Self::run(command(root), options)
    }

    /// The same by a `gyre` that was told of its surroundings.
    pub fn with(command: Command) -> Self {
        Self::run(command, &[])
    }

    /// The same by a `gyre` that was told of its surroundings, with more options.
    pub fn run(mut command: Command, options: &[&str]) -> Self {
        command.args(["up", "--replay", "--listen", "127.0.0.1:0"]).args(options).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.split("http://").nth(1).and_then(|rest| rest.split('/').next());
        let address = address.unwrap_or_else(|| panic!("it did not start: {line}")).to_owned();
        Self { child, address }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sends `body` and returns what was answered with 200.
    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> Value {
        let (status, answer) = self.try_post(path, body);
        assert_eq!(status, 200, "{answer}");
        answer
    }

    /// Asks for `path` and returns what was answered with 200.
    #[track_caller]
    pub fn get(&self, path: &str) -> Value {
        let (status, answer) = self.ask("GET", path, "");
        assert_eq!(status, 200, "{answer}");
        answer
    }

    /// Sends `body`, and returns the status and what was answered.
    pub fn try_post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.ask("POST", path, &body.to_string())
    }

    /// Asks, and returns the status and what was answered.
    pub fn ask(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        self.ask_with(method, path, body, "")
    }

    /// The same with more `headers`, each with its line's end.
    pub fn ask_with(&self, method: &str, path: &str, body: &str, headers: &str) -> (u16, Value) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let (host, length) = (&self.address, body.len());
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-type: application/json\r\n\
             {headers}content-length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        let answer = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap());
        (status, answer.unwrap())
    }

    /// Event time comes to `time`; returns when all that follows is done.
    pub fn come_to(&self, time: &str) {
        self.post("/v1/watermark", &json!({"time": time, "wait": true}));
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! A real project behind a real socket, and a client that says exactly what it is told to.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

pub mod protocol;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use gyre_core::expr::GateResult;
use gyre_core::fact::ModelVersion;
use gyre_core::record::{Field, Kind, Signature};
use gyre_core::runtime::Runtime;
use gyre_core::time::{ManualClock, Period};
use gyre_core::{Clock, Digest, Fact, ModelName, Timestamp, Version};
use gyre_gateway::Gateway;
use gyre_loop::{Desk, TimeSource};
use gyre_monitor::{ReferenceProfile, Values};
use gyre_server::{App, Front, Server};
use gyre_store::{NewFact, Store, StoreUrl};
use gyre_testing::Place;

pub const REGRESSOR: &str = "skl_ridge_onehot.onnx";
pub const OTHER_REGRESSOR: &str = "skl_hgbr_ordinal.onnx";
pub const CLASSIFIER: &str = "skl_logistic3_ordinal.onnx";

/// A unit that would be markup if it were not escaped.
pub const HOSTILE: &str = "<script>alert(1)</script>\"'&";

const PROJECT: &str = r#"
version: 1
project: shop
pipeline: dvc.yaml
data:
  sales: {source: sales.csv, time: at}
models:
  demand:
    task: regression
    target: sold
    artifact: out/model.onnx
    metric: mae
    unit: "<script>alert(1)</script>\"'&"
    train: {data: sales}
    features: {columns: {count: {range: [0, 1000000], on_out_of_range: reject}}}
  size:
    task: multiclass
    target: size
    artifact: out/size.onnx
    metric: error_rate
    train: {data: sales}
"#;

/// A clock that goes on whenever it is looked at, so that what comes later is later.
struct Ticking(AtomicI64);

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

pub struct Scene {
    pub address: SocketAddr,
    pub desk: Arc<Desk>,
    pub clock: Arc<ManualClock>,
    read: Arc<dyn Clock>,
    setup: Box<dyn Fn(App) -> App + Send + Sync>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    server: Option<JoinHandle<()>>,
    dir: tempfile::TempDir,
}

pub fn name(text: &str) -> ModelName {
    text.parse().unwrap()
}

pub fn moment(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub fn signature(classes: &[&str]) -> Signature {
    let field = |name: &str, kind| Field { name: name.to_owned(), kind };
    Signature {
        inputs: vec![
            field("shop", Kind::Text),
            field("kind", Kind::Text),
            field("price", Kind::Number),
            field("weight", Kind::Number),
            field("count", Kind::Number),
        ],
        output: if classes.is_empty() { "sold" } else { "size" }.to_owned(),
        classes: classes.iter().map(|class| (*class).to_owned()).collect(),
    }
}

/// What was seen in training: prices of 1 to 100, and the shops north and east.
fn profile() -> ReferenceProfile {
    let prices: Vec<f64> = (1..=100).map(f64::from).collect();
    let shops: Vec<Option<Arc<str>>> = (0..100).map(|at| Some(["east", "north"][at % 2].into())).collect();
    let training = [("price", Values::Numbers(&prices)), ("shop", Values::Text(&shops))];
    ReferenceProfile::build(training, Values::Numbers(&prices), None)
}

impl Scene {
    /// A project without versions.
    pub fn empty() -> Self {
        Self::behind(Front::default(), |_| ())
    }

    /// The same with a server whose clock goes on, set up by `setup`, also when it is started again.
    pub fn ticking(setup: impl Fn(App) -> App + Send + Sync + 'static) -> Self {
        let clock = Ticking(AtomicI64::new(1_795_000_000_000));
        Self::open(Front::default(), Some(Arc::new(clock)), Box::new(setup), None, |_| ())
    }

    /// A project without versions, with its store in `place`.
    pub fn at(place: &Place) -> Self {
        Self::open(Front::default(), None, Box::new(|app| app), place.url(), |_| ())
    }

    /// The same behind `front`, after `prepare` has been at the store.
    pub fn behind(front: Front, prepare: impl FnOnce(&Store)) -> Self {
        Self::open(front, None, Box::new(|app| app), None, prepare)
    }

    fn open(
        front: Front,
        read: Option<Arc<dyn Clock>>,
        setup: Box<dyn Fn(App) -> App + Send + Sync>,
        database: Option<StoreUrl>,
        prepare: impl FnOnce(&Store),
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("gyre.yaml"), PROJECT).unwrap();
        let clock = Arc::new(ManualClock::at(moment("2026-03-01T00:00:00Z")));
        let desk_clock = Arc::clone(&clock) as Arc<dyn Clock>;
        let desk = Desk::open_with(dir.path(), database.as_ref(), desk_clock, TimeSource::Replay).unwrap();
        let desk = Arc::new(desk);
        desk.advance(clock.now(), true).unwrap();
        prepare(desk.store());
        let read = read.unwrap_or_else(|| Arc::clone(&clock) as Arc<dyn Clock>);
        let address = "127.0.0.1:0".parse().unwrap();
        let mut scene = Self { address, desk, clock, read, setup, stop: None, server: None, dir };
        scene.start(front);
        scene
    }

    /// Starts a server, the next one after [`Scene::stop`].
    pub fn start(&mut self, front: Front) {
        self.start_as(front, |server| server);
    }

    /// The same with the server that `shape` makes of it.
    pub fn start_as(&mut self, front: Front, shape: impl FnOnce(Server) -> Server) {
        let server = shape(Server::bind_as("127.0.0.1:0".parse().unwrap(), front).unwrap());
        self.address = server.local_addr();
        let app = (self.setup)(App::new(Arc::clone(&self.desk), Arc::clone(&self.read)));
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let server = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(server.run(app, async { drop(stopped.await) })).unwrap();
        });
        (self.stop, self.server) = (Some(stop), Some(server));
    }

    /// The same with `demand` version 1 (a ridge regression) and `size` version 1 (a classifier) serving.
    pub fn serving() -> Self {
        Self::empty().with_models()
    }

    /// Has `demand` version 1 and `size` version 1 serve.
    pub fn with_models(self) -> Self {
        let scene = self;
        scene.register("demand", 1, REGRESSOR, &[]);
        scene.register("size", 1, CLASSIFIER, &["high", "low", "mid"]);
        for model in ["demand", "size"] {
            scene.desk.promote(&name(model), 1, "user:test", "first").unwrap();
        }
        scene.desk.settle().unwrap();
        scene
    }

    /// The project's folder.
    pub fn root(&self) -> &Path {
        self.dir.path()
    }

    pub fn gateway(&self) -> &Gateway {
        self.desk.gateway()
    }

    pub fn store(&self) -> &Arc<Store> {
        self.desk.store()
    }

    pub fn tell(&self, fact: Fact) -> u64 {
        let at = self.clock.now();
        self.store().write(move |tx| tx.append(NewFact::new(at, "test", fact))).unwrap().seq
    }

    /// Registers a version that has passed its gates.
    pub fn register(&self, model: &str, version: Version, fixture: &str, classes: &[&str]) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../gyre-runtime/tests/fixtures").join(fixture);
        let artifact = self.store().blobs().put(&std::fs::read(path).unwrap()).unwrap();
        let from = moment("2026-01-01T00:00:00Z");
        let period = Period { from, to: moment("2026-02-26T00:00:00Z") };
        self.tell(Fact::VersionRegistered(ModelVersion {
            model: name(model),
            version,
            run: Some(format!("run-{version}")),
            artifact,
            data: Some(Digest::of(fixture.as_bytes())),
            signature: signature(classes),
            profile: Some(self.store().blobs().put(&profile().to_json().unwrap()).unwrap()),
            runtime: Runtime::Native,
            source: None,
            refit_of: None,
            calibrated_from: None,
            estimator: None,
            holdout: [("mae".to_owned(), 2.0), ("error_rate".to_owned(), 0.2)].into(),
            trained_on: Some(period),
        }));
        self.tell(Fact::GatesJudged {
            model: name(model),
            version,
            passed: true,
            results: vec![GateResult {
                gate: "candidate.mae <= 3".to_owned(),
                passed: true,
                because: "candidate.mae = 2".to_owned(),
            }],
            comparison: None,
        });
    }

    /// Predictions in the inference log of `model`, once everything answered is in it.
    pub fn logged(&self, model: &str) -> u64 {
        self.gateway().flush(model).unwrap();
        let everything =
            Period { from: Timestamp::from_millis(i64::MIN), to: Timestamp::from_millis(i64::MAX) };
        self.gateway().scan(model, everything).unwrap().ids.len() as u64
    }

    pub fn connect(&self) -> Client {
        Client::to(self.address)
    }

    pub fn get(&self, path: &str) -> Answer {
        self.connect().send("GET", path, &[], b"")
    }

    pub fn post(&self, path: &str, body: &str) -> Answer {
        self.connect().send("POST", path, &[("content-type", "application/json")], body.as_bytes())
    }

    /// Asks the server to stop, and waits for nothing.
    pub fn ask_to_stop(&mut self) {
        drop(self.stop.take());
    }

    /// Stops the server and waits until it is down.
    pub fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(server) = self.server.take() {
            server.join().unwrap();
        }
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(server) = self.server.take() {
            // A panic of the server has failed the test already.
            let _ = server.join();
        }
    }
}

/// One connection, kept alive.
pub struct Client(BufReader<TcpStream>);

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

impl Client {
    pub fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(BufReader::new(stream))
    }

    /// Sends a request with the headers Host and Content-Length (unless given), and reads the answer.
    pub fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let given = |name: &str| headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
        let mut head = format!("{method} {path} HTTP/1.1\r\n");
        if !given("host") {
            head.push_str("host: localhost\r\n");
        }
        if !given("content-length") && !given("transfer-encoding") {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        self.raw(&[head.as_bytes(), body].concat())
    }

    /// Sends bytes as they are, and reads the answer.
    pub fn raw(&mut self, bytes: &[u8]) -> Answer {
        // A server that has refused already may have closed its side; its answer is there to be read all the same.
        let _ = self.0.get_mut().write_all(bytes);
        self.answer()
    }

    /// Sends bytes and waits for nothing.
    pub fn begin(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    pub fn answer(&mut self) -> Answer {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        let status =
            line.split(' ').nth(1).unwrap_or_else(|| panic!("no status line: {line:?}")).parse().unwrap();
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap();
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            headers.push((name.to_lowercase(), value.to_owned()));
        }
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let length = length.map_or(0, |(_, length)| length.parse().unwrap());
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        Answer { status, headers, body: String::from_utf8(body).unwrap() }
    }
}

/// The input tensors of a good row.
pub const GOOD: &str = r#"
    {"name": "shop", "shape": [1, 1], "datatype": "BYTES", "data": ["east"]},
    {"name": "kind", "shape": [1, 1], "datatype": "BYTES", "data": [["b"]]},
    {"name": "price", "shape": [1], "datatype": "FP64", "data": [12.382944107055664]},
    {"name": "weight", "shape": [1], "datatype": "FP32", "data": [-0.5]},
    {"name": "count", "shape": [1], "datatype": "INT64", "data": [4]}"#;

/// A request of a good row, under `id`.
pub fn good(id: &str) -> String {
    format!(r#"{{"id": "{id}", "parameters": {{"event_time": "2026-03-01T12:00:00Z"}}, "inputs": [{GOOD}]}}"#)
}

/// The good row with one tensor replaced by another (or by nothing).
pub fn with(name: &str, tensor: &str) -> String {
    let kept = GOOD
        .lines()
        .map(|line| line.trim().trim_end_matches(','))
        .filter(|line| !line.is_empty() && !line.contains(&format!("\"{name}\"")));
    let mut tensors: Vec<&str> = kept.collect();
    if !tensor.is_empty() {
        tensors.push(tensor);
    }
    format!(r#"{{"id": "x", "inputs": [{}]}}"#, tensors.join(","))
}

//! Measures what a backend adds to a call, and what batching wins. `bench/backends.sh` runs it.
//!
//! - `hop`: the time of one prediction through [`Backend`] beside that of the same bytes sent by a bare HTTP client to the
//!   same server, a process that answers at once, over one connection on a Unix socket. The two take turns, so that
//!   whatever else the machine does troubles both.
//! - `batch PYTHON`: rows a second of a single-threaded scikit-learn server, asked for one row at a time by 64 callers,
//!   without and with batching.

use std::convert::Infallible;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use gyre_backend::{Backend, Instant, ProcessSpec, Protocol};
use gyre_core::record::{Field, Kind, Signature};
use gyre_runtime::{Column, Table};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::{UnixListener, UnixStream};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const CALLERS: usize = 64;
const ROUNDS: usize = 20_000;

#[tokio::main]
async fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["hop"] => hop().await,
        ["batch", python] => batch(python).await,
        ["floor", socket] => floor(socket).await,
        _ => Err("usage: load hop | load batch PYTHON".into()),
    }
}

fn signature(features: usize, classes: &[&str]) -> Signature {
    let inputs = (0..features).map(|at| Field { name: format!("x{at}"), kind: Kind::Number }).collect();
    Signature { inputs, output: "y".into(), classes: classes.iter().map(|&class| class.into()).collect() }
}

fn row(features: usize, at: usize) -> Outcome<Table> {
    let value = |feature: usize| (at * 31 + feature * 17) as f64 % 100.0 / 50.0 - 1.0;
    Ok(Table::new(
        (0..features).map(|feature| (format!("x{feature}"), Column::Numeric(vec![value(feature)]))),
    )?)
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

/// A server that answers every prediction with the same number at once.
async fn floor(socket: &str) -> Outcome<()> {
    let listener = UnixListener::bind(socket)?;
    loop {
        let (stream, _) = listener.accept().await?;
        let service = hyper::service::service_fn(async |request: Request<Incoming>| {
            // One that leaves the body unread makes the next request wait.
            let _ = request.into_body().collect().await;
            let answer =
                r#"{"model_name":"m","outputs":[{"name":"y","datatype":"FP64","shape":[1],"data":[0.5]}]}"#;
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(answer.as_bytes()))))
        });
        let connection =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        tokio::spawn(async move { drop(connection.await) });
    }
}

async fn hop() -> Outcome<()> {
    const FEATURES: usize = 20;
    let own = std::env::current_exe()?.to_string_lossy().into_owned();
    let command = [own, "floor".into(), "{socket}".into()];
    let backend = Backend::process(ProcessSpec::new(command, Protocol::v2("m"), signature(FEATURES, &[])))?;
    backend.ready(soon()).await?;
    let socket = backend.status().address.ok_or("it listens nowhere")?;
    let (mut bare, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(UnixStream::connect(socket).await?)).await?;
    tokio::spawn(connection);
    // The bytes that the backend sends for the same row.
    let tensors: Vec<serde_json::Value> = (0..FEATURES)
        .map(|at| serde_json::json!({"name": format!("x{at}"), "shape": [1, 1], "datatype": "FP64", "data": [0.5]}))
        .collect();
    let body = Bytes::from(serde_json::json!({ "inputs": tensors }).to_string());
    let (mut direct, mut through) = (Vec::with_capacity(ROUNDS), Vec::with_capacity(ROUNDS));
    for round in 0..ROUNDS + 1_000 {
        bare.ready().await?;
        let began = Instant::now();
        let request = Request::post("/v2/models/m/infer").header("host", "localhost");
        let answer = bare.send_request(request.body(Full::new(body.clone()))?).await?;
        answer.into_body().collect().await?;
        let took = began.elapsed();
        let table = row(FEATURES, round)?;
        let began = Instant::now();
        backend.predict(table, soon()).await?;
        if round >= 1_000 {
            direct.push(took);
            through.push(began.elapsed());
        }
    }
    for (name, times) in [("bare client", &mut direct), ("backend", &mut through)] {
        times.sort_unstable();
        let at = |share: usize| {
            times.get(times.len() * share / 1_000).map_or(0.0, |time| time.as_secs_f64() * 1e3)
        };
        println!("{name:12} p50 {:.3} ms, p99 {:.3} ms", at(500), at(990));
    }
    backend.drain().await;
    Ok(())
}

async fn batch(python: &str) -> Outcome<()> {
    const FEATURES: usize = 20;
    for (callers, batch_rows) in [(1, 1), (CALLERS, 1), (CALLERS, 256)] {
        let command = [python, "sklearn_v2.py", "{socket}"];
        let mut spec = ProcessSpec::new(command, Protocol::v2("m"), signature(FEATURES, &["no", "yes"]));
        spec.dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers");
        spec.env = vec![("PYTHONDONTWRITEBYTECODE".into(), "1".into())];
        spec.limits.batch_rows = batch_rows;
        let backend = Arc::new(Backend::process(spec)?);
        backend.ready(Instant::now() + Duration::from_secs(120)).await?;
        let (count, until) = (Arc::new(AtomicU64::new(0)), Instant::now() + Duration::from_secs(5));
        let began = Instant::now();
        let tasks: Vec<_> = (0..callers)
            .map(|caller| {
                let (backend, count) = (Arc::clone(&backend), Arc::clone(&count));
                tokio::spawn(async move {
                    let mut times = Vec::new();
                    while Instant::now() < until {
                        let table = row(FEATURES, caller)?;
                        let asked = Instant::now();
                        backend.predict(table, soon()).await?;
                        times.push(asked.elapsed());
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                    Outcome::Ok(times)
                })
            })
            .collect();
        let mut times = Vec::new();
        for task in tasks {
            times.append(&mut task.await??);
        }
        times.sort_unstable();
        let rate = count.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64();
        let p50 = times.get(times.len() / 2).map_or(0.0, |time| time.as_secs_f64() * 1e3);
        println!("{callers:3} callers, up to {batch_rows:3} rows a call: {rate:8.0} rows/s, p50 {p50:.2} ms");
        backend.drain().await;
    }
    Ok(())
}

//! Bodies of requests, at every route of MLflow's protocol, over a real socket: each is answered properly. The first byte
//! of the input says which route, the rest is the body.

#![no_main]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, LazyLock, Mutex};

use gyre_core::Clock;
use gyre_core::time::SystemClock;
use gyre_loop::{Desk, TimeSource};
use gyre_server::{App, Server};
use libfuzzer_sys::fuzz_target;

/// A server that lasts as long as the process.
struct Running {
    address: SocketAddr,
    routes: Vec<(String, String)>,
    connection: Mutex<Option<BufReader<TcpStream>>>,
}

static RUNNING: LazyLock<Running> = LazyLock::new(|| {
    let dir = tempfile::tempdir().expect("a folder").keep();
    let clock = Arc::new(SystemClock) as Arc<dyn Clock>;
    let desk = Desk::open(&dir, Arc::clone(&clock), TimeSource::Clock).expect("a project");
    let server = Server::bind("127.0.0.1:0".parse().expect("an address")).expect("a socket");
    let address = server.local_addr();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let app = App::new(Arc::new(desk), clock);
        runtime.expect("a runtime").block_on(server.run(app, std::future::pending())).expect("a server");
    });
    let mut routes: Vec<(String, String)> = gyre_server::routes()
        .into_iter()
        .filter(|route| route.method != "GET" && route.path.starts_with("/api/"))
        .map(|route| (route.method.to_string(), filled(&route.path)))
        .collect();
    routes.push(("POST".to_owned(), "/graphql".to_owned()));
    routes.push(("POST".to_owned(), "/v1/traces".to_owned()));
    Running { address, routes, connection: Mutex::new(None) }
});

/// The path with something in the place of its parameters.
fn filled(path: &str) -> String {
    let mut path = path.to_owned();
    while let (Some(from), Some(to)) = (path.find('{'), path.find('}')) {
        path.replace_range(from..=to, "1");
    }
    path
}

/// Status and body of the answer.
fn ask(stream: &mut BufReader<TcpStream>, request: &[u8]) -> std::io::Result<(u16, Vec<u8>)> {
    stream.get_mut().write_all(request)?;
    let (mut line, mut length) = (String::new(), 0);
    stream.read_line(&mut line)?;
    let broken = || std::io::Error::other("the answer broke off");
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(broken)?;
    loop {
        line.clear();
        if stream.read_line(&mut line)? == 0 {
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
    stream.read_exact(&mut body)?;
    Ok((status, body))
}

fuzz_target!(|data: &[u8]| {
    let Some((choice, body)) = data.split_first() else { return };
    let (method, path) = &RUNNING.routes[usize::from(*choice) % RUNNING.routes.len()];
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         x-mlflow-experiment-id: 0\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let request = [head.as_bytes(), body].concat();
    let mut connection = RUNNING.connection.lock().expect("one at a time");
    let mut stream = connection.take().unwrap_or_else(|| {
        let stream = TcpStream::connect(RUNNING.address).expect("the server listens");
        stream.set_nodelay(true).expect("a socket");
        BufReader::new(stream)
    });
    match ask(&mut stream, &request) {
        Ok((status, body)) => {
            let said = String::from_utf8_lossy(&body);
            assert!(status < 500 || status == 501, "{method} {path}: {status} {said}");
            if status >= 400 {
                let json: serde_json::Value = serde_json::from_slice(&body).expect("an error is JSON");
                assert!(json["error_code"].is_string() && json["message"].is_string(), "{method} {path}: {said}");
            }
            *connection = Some(stream);
        }
        // A panic would have ended this process; a connection may be closed after a refusal.
        Err(error) => assert_ne!(error.kind(), std::io::ErrorKind::TimedOut, "{method} {path}: {error}"),
    }
});

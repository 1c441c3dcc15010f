//! A server that lasts as long as the process, and one kept connection to it: what the targets that speak HTTP share.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};

use gyre_core::Clock;
use gyre_core::time::SystemClock;
use gyre_loop::{Desk, TimeSource};
use gyre_server::{App, Server};

/// The server, and the connection to it.
pub struct Running {
    address: SocketAddr,
    connection: Mutex<Option<BufReader<TcpStream>>>,
}

impl Running {
    /// A server over a new project, which `prepare` has furnished.
    pub fn start(prepare: impl FnOnce(&Desk)) -> Self {
        let dir = tempfile::tempdir().expect("a folder").keep();
        let clock = Arc::new(SystemClock) as Arc<dyn Clock>;
        let desk = Desk::open(&dir, Arc::clone(&clock), TimeSource::Clock).expect("a project");
        prepare(&desk);
        let server = Server::bind("127.0.0.1:0".parse().expect("an address")).expect("a socket");
        let address = server.local_addr();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
            let app = App::new(Arc::new(desk), clock);
            runtime.expect("a runtime").block_on(server.run(app, std::future::pending())).expect("a server");
        });
        Self { address, connection: Mutex::new(None) }
    }

    /// Status and body of the answer; none when the connection was closed, as it may be after a refusal.
    pub fn ask(&self, head: &str, body: &[u8]) -> Option<(u16, Vec<u8>)> {
        let request = [head.as_bytes(), b"\r\n", body].concat();
        let mut connection = self.connection.lock().expect("one at a time");
        let mut stream = connection.take().unwrap_or_else(|| {
            let stream = TcpStream::connect(self.address).expect("the server listens");
            stream.set_nodelay(true).expect("a socket");
            BufReader::new(stream)
        });
        match exchange(&mut stream, &request) {
            Ok(answer) => {
                *connection = Some(stream);
                Some(answer)
            }
            // A panic would have ended this process.
            Err(error) => {
                assert_ne!(error.kind(), std::io::ErrorKind::TimedOut, "{head}: {error}");
                None
            }
        }
    }
}

fn exchange(stream: &mut BufReader<TcpStream>, request: &[u8]) -> std::io::Result<(u16, Vec<u8>)> {
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

//! A network that can be cut in the middle of a commit: it passes everything on, until it is told to lose one.
#![allow(unreachable_pub)]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

const PASS: u8 = 0;
const LOSE_COMMIT: u8 = 1;
const LOSE_ANSWER: u8 = 2;
const CUT: u8 = 3;

pub struct Proxy {
    url: String,
    mode: Arc<AtomicU8>,
}

impl Proxy {
    /// A proxy before the server that `url` names.
    pub fn before(url: &str) -> Self {
        let (user, rest) = url.split_once('@').unwrap();
        let (server, path) = rest.split_once('/').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("{user}@{}/{path}", listener.local_addr().unwrap());
        let mode = Arc::new(AtomicU8::new(PASS));
        let (server, shared) = (server.to_owned(), Arc::clone(&mode));
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(&server)) else { return };
                let (mode, back) =
                    (Arc::clone(&shared), (server.try_clone().unwrap(), client.try_clone().unwrap()));
                std::thread::spawn(move || there(client, server, &mode));
                std::thread::spawn(move || copy(back.0, back.1));
            }
        });
        Self { url, mode }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Cuts the connection instead of passing the next commit on.
    pub fn lose_the_next_commit(&self) {
        self.mode.store(LOSE_COMMIT, Ordering::SeqCst);
    }

    /// Passes the next commit on, and cuts the connection before its answer.
    pub fn lose_the_next_answer_to_commit(&self) {
        self.mode.store(LOSE_ANSWER, Ordering::SeqCst);
    }

    pub fn has_cut(&self) -> bool {
        self.mode.load(Ordering::SeqCst) == CUT
    }
}

/// Passes on what the client says.
fn there(mut client: TcpStream, mut server: TcpStream, mode: &AtomicU8) {
    let mut buffer = [0; 65_536];
    while let Ok(length @ 1..) = client.read(&mut buffer) {
        let said = &buffer[..length];
        let commits = said.windows(7).any(|window| window == b"; COMMI");
        let armed = mode.load(Ordering::SeqCst);
        if commits && (armed == LOSE_COMMIT || armed == LOSE_ANSWER) {
            mode.store(CUT, Ordering::SeqCst);
            // First the client's side, so that no answer gets through.
            let _ = client.shutdown(Shutdown::Both);
            if armed == LOSE_ANSWER {
                let _ = server.write_all(said);
                // The server reads on to the commit, and then finds the end.
                let _ = server.shutdown(Shutdown::Write);
            } else {
                let _ = server.shutdown(Shutdown::Both);
            }
            return;
        }
        if server.write_all(said).is_err() {
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Write);
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}

//! From a connection to the process at its other end.
//!
//! A connection over loopback has both its ends on this machine. The system's table of sockets names the inode of the
//! client's end and its user; the process whose descriptors hold that inode is the client. A process is looked for among
//! those of this user only, so that a server never reads on somebody's behalf what they could not read themselves.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::{files, proc};

/// The longest text under `/proc` that is read, in bytes.
const LONGEST: u64 = 4 << 20;
/// Programs that pass on what others send: the client is not they, but somebody behind them.
const FORWARDERS: [&str; 14] = [
    "caddy",
    "docker-proxy",
    "envoy",
    "gvproxy",
    "haproxy",
    "kubectl",
    "nginx",
    "rootlessport",
    "slirp4netns",
    "socat",
    "ssh",
    "sshd",
    "sshd-session",
    "traefik",
];

/// The two ends of a connection, as the server sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Connection {
    /// The client's end.
    pub peer: SocketAddr,
    /// The server's end.
    pub local: SocketAddr,
}

/// A process that is a client; its number alone would not do, for numbers are used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Client {
    /// Its number.
    pub pid: u32,
    /// When it started, in ticks since the system did.
    pub start: u64,
}

/// Why a client is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unseen {
    /// It is on another machine.
    Elsewhere,
    /// The system does not list the connection any more.
    Gone,
    /// It is a process of another user.
    OtherUser(u32),
    /// No process of this user holds the connection.
    NoProcess,
    /// It passes on what others send.
    Forwarder(String),
    /// The system keeps no such files.
    Unable(String),
}

impl std::fmt::Display for Unseen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Elsewhere => f.write_str(
                "the client is on another machine; it can send its own record to POST /v1/runs/RUN_ID/provenance",
            ),
            Self::Gone => f.write_str("the client had closed its connection before it was looked for"),
            Self::OtherUser(user) => write!(
                f,
                "the client is a process of user {user}, and only processes of the server's own user are looked into"
            ),
            Self::NoProcess => {
                f.write_str("no process of the server's user holds the connection (is the client in a container?)")
            }
            Self::Forwarder(name) => {
                write!(f, "the connection comes from `{name}`, which passes on what others send")
            }
            Self::Unable(why) => write!(f, "processes cannot be looked into here: {why}"),
        }
    }
}

impl Client {
    /// The process at the other end of `connection`.
    ///
    /// # Errors
    /// [`Unseen`].
    pub fn find(connection: Connection) -> Result<Self, Unseen> {
        let (peer, local) = (connection.peer.ip().to_canonical(), connection.local.ip().to_canonical());
        if !peer.is_loopback() && peer != local {
            return Err(Unseen::Elsewhere);
        }
        let own = own_user()?;
        let socket = ["/proc/self/net/tcp", "/proc/self/net/tcp6"].into_iter().find_map(|table| {
            proc::socket(&files::text(Path::new(table), LONGEST)?, connection.peer, connection.local)
        });
        let socket = socket.filter(|socket| socket.inode != 0).ok_or(Unseen::Gone)?;
        if socket.user != own {
            return Err(Unseen::OtherUser(socket.user));
        }
        let client = holder(socket.inode, own)?;
        let name =
            client.executable().and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
        match name {
            Some(name) if FORWARDERS.contains(&name.as_str()) => Err(Unseen::Forwarder(name)),
            _ => Ok(client),
        }
    }

    /// The process of that number, as it is now.
    pub fn of(pid: u32) -> Option<Self> {
        let stat = files::text(Path::new(&format!("/proc/{pid}/stat")), LONGEST)?;
        Some(Self { pid, start: proc::start(&stat)? })
    }

    /// Whether it still runs.
    pub fn lives(&self) -> bool {
        Self::of(self.pid) == Some(*self)
    }

    /// One of its files under `/proc`.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.pid))
    }

    /// The beginning of the text of one of its files under `/proc`.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        files::text(&self.path(name), LONGEST)
    }

    /// The beginning of one of its files under `/proc`.
    pub(crate) fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        files::head(&self.path(name), LONGEST).ok().map(|(bytes, _)| bytes)
    }

    /// Its program's file.
    pub(crate) fn executable(&self) -> Option<PathBuf> {
        std::fs::read_link(self.path("exe")).ok()
    }

    /// Its folder, when paths mean the same to it as to this process.
    pub(crate) fn directory(&self) -> Option<PathBuf> {
        let same = |name: &str| {
            let own = std::fs::read_link(Path::new("/proc/self").join(name)).ok();
            own.is_some() && own == std::fs::read_link(self.path(name)).ok()
        };
        let folder = std::fs::read_link(self.path("cwd")).ok()?;
        (same("ns/mnt") && same("root")).then_some(folder)
    }
}

fn own_user() -> Result<u32, Unseen> {
    let status = files::text(Path::new("/proc/self/status"), LONGEST);
    let user = status.as_deref().and_then(proc::user);
    user.ok_or_else(|| Unseen::Unable("/proc/self/status cannot be read".to_owned()))
}

/// The process of `user` that holds the socket; the oldest, when it was inherited by others.
fn holder(inode: u64, user: u32) -> Result<Client, Unseen> {
    use std::os::unix::fs::MetadataExt;

    let unable = |error: std::io::Error| Unseen::Unable(format!("/proc: {error}"));
    let mut found: Option<Client> = None;
    for entry in std::fs::read_dir("/proc").map_err(unable)?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        if pid == std::process::id() || !entry.metadata().is_ok_and(|process| process.uid() == user) {
            continue;
        }
        let Some(client) = Client::of(pid) else { continue };
        // The newer of two that hold it does not matter, so its descriptors need not be read.
        if found.is_some_and(|found| (found.start, found.pid) <= (client.start, client.pid)) {
            continue;
        }
        let Ok(descriptors) = std::fs::read_dir(entry.path().join("fd")) else { continue };
        let holds = descriptors.flatten().any(|descriptor| {
            let target = std::fs::read_link(descriptor.path()).ok();
            target.as_deref().and_then(Path::to_str).and_then(proc::descriptor) == Some(inode)
        });
        let real = client.text("status").as_deref().and_then(proc::user);
        // Read again: the number may have gone to another process meanwhile.
        if holds && real == Some(user) && client.lives() {
            found = Some(client);
        }
    }
    found.ok_or(Unseen::NoProcess)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::process::{Command, Stdio};

    #[test]
    fn a_client_is_found_by_its_connection_and_not_after_it_is_closed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        // A connection of bash, which waits on its input until it is told to end.
        let mut child = Command::new("bash")
            .args(["-c", &format!("exec 3<>/dev/tcp/{}/{}; read -r _", address.ip(), address.port())])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let (stream, peer) = listener.accept().unwrap();
        let connection = Connection { peer, local: stream.local_addr().unwrap() };
        let found = Client::find(connection).unwrap();
        assert_eq!(found.pid, child.id());
        assert!(found.lives() && found.directory().is_some());
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(!found.lives());
        assert!(matches!(Client::find(connection), Err(Unseen::Gone)));
    }

    #[test]
    fn a_connection_from_elsewhere_is_not_looked_for() {
        let (peer, local) = ("192.0.2.7:80".parse().unwrap(), "127.0.0.1:1".parse().unwrap());
        assert_eq!(Client::find(Connection { peer, local }), Err(Unseen::Elsewhere));
    }
}

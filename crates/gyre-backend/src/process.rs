//! One life of a process: where it listens, what it sees of our environment, its group, its output.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use gyre_process::Group;
use tempfile::TempDir;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use crate::dial::Dialer;
use crate::logs::Logs;
use crate::peer::{Peer, local};
use crate::spec::{Listen, PASSED, ProcessSpec};
use crate::state::Failure;

/// A process that runs. Dropping it ends the whole group.
pub(crate) struct Running {
    pub(crate) child: Child,
    pub(crate) group: Arc<Group>,
    pub(crate) peer: Arc<Peer>,
    pub(crate) address: String,
    pub(crate) output: JoinHandle<()>,
}

/// Where a process listens.
enum Place {
    Port(u16),
    Socket(PathBuf),
}

/// Starts the process. `folder` is made when a socket needs one, and kept for the next life.
pub(crate) async fn start(
    spec: &ProcessSpec,
    logs: &Arc<Logs>,
    folder: &mut Option<TempDir>,
) -> Result<Running, Failure> {
    let system = |what: &'static str| move |error: io::Error| Failure::System(format!("{what}: {error}"));
    let place = place(spec.listen, folder)?;
    // Starting the guard waits for a shell.
    let group =
        tokio::task::spawn_blocking(Group::start).await.unwrap_or_else(|error| Err(io::Error::other(error)));
    let group = group.map_err(system("the guard of its process group cannot be started"))?;
    let (reader, writer) = io::pipe().map_err(system("no pipe for its output"))?;
    let reader = pipe::Receiver::from_owned_fd(reader.into()).map_err(system("no pipe for its output"))?;
    let second = writer.try_clone().map_err(system("no pipe for its output"))?;
    let fill = |text: &str| place.fill(text);
    let Some((program, arguments)) = spec.command.split_first() else {
        return Err(Failure::Spawn { program: String::new(), error: "the command is empty".into() });
    };
    let mut command = Command::new(fill(program));
    command
        .args(arguments.iter().map(|argument| fill(argument)))
        .current_dir(&spec.dir)
        .env_clear()
        // What Python prints is wanted when it is printed, not when it has gathered 8 KiB, and not lost in a crash.
        .env("PYTHONUNBUFFERED", "1")
        .envs(passed(spec))
        .envs(place.environment())
        .envs(spec.env.iter().map(|(name, value)| (name, fill(value))))
        .stdin(Stdio::null())
        .stdout(writer)
        .stderr(second)
        .process_group(group.id())
        .kill_on_drop(true);
    let child = command
        .spawn()
        .map_err(|error| Failure::Spawn { program: program.clone(), error: error.to_string() })?;
    // It holds our ends of the pipe; as long as it lives, the output does not end.
    drop(command);
    let logs = Arc::clone(logs);
    logs.begin();
    let output = tokio::spawn(async move { logs.read(reader).await });
    let (peer, address) = (local(place.dialer()), place.shown());
    Ok(Running { child, group: Arc::new(group), peer, address, output })
}

/// The variables of ours that the process gets.
fn passed(spec: &ProcessSpec) -> impl Iterator<Item = (String, std::ffi::OsString)> {
    let names = PASSED.iter().map(|&name| name.to_owned()).chain(spec.pass_env.iter().cloned());
    names
        .filter_map(|name| std::env::var_os(&name).map(|value| (name, value)))
        .collect::<Vec<_>>()
        .into_iter()
}

fn place(listen: Listen, folder: &mut Option<TempDir>) -> Result<Place, Failure> {
    let bind = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    match listen {
        Listen::FreePort => {
            let address = bind(0).and_then(|listener| listener.local_addr());
            let address = address.map_err(|error| Failure::System(format!("no free port: {error}")))?;
            Ok(Place::Port(address.port()))
        }
        Listen::Port(port) => match bind(port) {
            Ok(_) => Ok(Place::Port(port)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(Failure::PortTaken { port }),
            Err(error) => Err(Failure::System(format!("port {port} cannot be listened on: {error}"))),
        },
        Listen::Socket => {
            let made = match folder.take() {
                Some(made) => made,
                // Made for this user alone.
                None => tempfile::Builder::new()
                    .prefix("gyre-model-")
                    .tempdir()
                    .map_err(|error| Failure::System(format!("no folder for a socket: {error}")))?,
            };
            let socket = made.path().join("socket");
            *folder = Some(made);
            match std::fs::remove_file(&socket) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    Err(Failure::System(format!("{} cannot be removed: {error}", socket.display())))
                }
                _ => Ok(Place::Socket(socket)),
            }
        }
    }
}

impl Place {
    fn fill(&self, text: &str) -> String {
        match self {
            Self::Port(port) => text.replace("{port}", &port.to_string()),
            Self::Socket(socket) => text.replace("{socket}", &socket.to_string_lossy()),
        }
    }

    fn environment(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Port(port) => vec![("PORT", port.to_string()), ("GYRE_PORT", port.to_string())],
            Self::Socket(socket) => vec![("GYRE_SOCKET", socket.to_string_lossy().into_owned())],
        }
    }

    fn dialer(&self) -> Dialer {
        match self {
            Self::Port(port) => Dialer::Local(SocketAddr::from((Ipv4Addr::LOCALHOST, *port))),
            Self::Socket(socket) => Dialer::Socket(socket.as_path().into()),
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::Port(port) => format!("127.0.0.1:{port}"),
            Self::Socket(socket) => socket.display().to_string(),
        }
    }
}

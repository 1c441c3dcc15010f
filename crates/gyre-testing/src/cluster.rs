//! A private PostgreSQL, for as long as a value lives: its own data, its own port, nobody else's server touched.
//!
//! PostgreSQL refuses to run as root; then it runs as the user `postgres`, whom Debian's package makes. It ends with the
//! process that started it, however that ends.

use std::fmt;
use std::io::Read;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The superuser of the cluster.
const USER: &str = "gyre";

/// How long a start or an end may take: recovery on a slow disk included.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running PostgreSQL.
pub struct Cluster {
    folder: tempfile::TempDir,
    bin: PathBuf,
    port: u16,
    password: String,
    server: Option<Child>,
}

/// Why there is no PostgreSQL.
#[derive(Debug)]
pub struct ClusterError {
    what: String,
    remedy: &'static str,
}

impl fmt::Display for ClusterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what, self.remedy)
    }
}

impl std::error::Error for ClusterError {}

const INSTALL: &str =
    "install it: sudo apt-get install -y postgresql (elsewhere the package of that purpose)";
const LOOK: &str = "is another program in the way?";

/// How a server ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// As at a restart: it ends all connections, and writes everything down.
    Fast,
    /// As at a power loss: it recovers from its log at the next start.
    Crash,
}

impl Cluster {
    /// Makes a cluster and starts its server. It syncs every commit to disk, and sorts text by a language, as servers
    /// outside do.
    ///
    /// # Errors
    /// [`ClusterError`], with what to do.
    pub fn start() -> Result<Self, ClusterError> {
        let wrong = |what: String| ClusterError { what, remedy: LOOK };
        let bin =
            programs().ok_or(ClusterError { what: "there is no PostgreSQL".into(), remedy: INSTALL })?;
        let folder = tempfile::Builder::new().prefix("gyre-postgres-").tempdir();
        let folder = folder.map_err(|error| wrong(format!("no temporary folder: {error}")))?;
        let password = random().map_err(|error| wrong(format!("no random password: {error}")))?;
        let secret = folder.path().join("password");
        std::fs::write(&secret, &password)
            .map_err(|error| wrong(format!("{}: {error}", secret.display())))?;
        if is_root() {
            let mut give = Command::new("chown");
            let given = give.args(["-R", "postgres:postgres"]).arg(folder.path()).status();
            if !given.is_ok_and(|status| status.success()) {
                return Err(ClusterError { what: "there is no user `postgres`".into(), remedy: INSTALL });
            }
        }
        let mut init = as_user(&bin.join("initdb"), folder.path());
        init.arg("-D").arg(folder.path().join("data")).arg("--pwfile").arg(&secret).args([
            "--username",
            USER,
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--locale-provider=icu",
            "--icu-locale=en-US",
        ]);
        let done = init.output().map_err(|error| wrong(format!("cannot run initdb: {error}")))?;
        if !done.status.success() {
            return Err(wrong(format!("initdb failed: {}", String::from_utf8_lossy(&done.stderr).trim())));
        }
        let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        let port = port.map_err(|error| wrong(format!("no free port: {error}")))?.port();
        let mut cluster = Self { folder, bin, port, password, server: None };
        cluster.begin()?;
        Ok(cluster)
    }

    /// The address of its database.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://{USER}:{}@127.0.0.1:{}/postgres", self.password, self.port)
    }

    /// The folder of its data, with its configuration.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Gives `file` to the user that the server runs as, for nobody else to read.
    pub fn own(&self, file: &Path) {
        let _ = Command::new("chmod").arg("600").arg(file).status();
        if is_root() {
            let _ = Command::new("chown").arg("postgres:postgres").arg(file).status();
        }
    }

    /// Starts the server, when it does not run.
    ///
    /// # Errors
    /// [`ClusterError`] with the end of the server's log.
    pub fn begin(&mut self) -> Result<(), ClusterError> {
        let wrong = |what: String| ClusterError { what, remedy: LOOK };
        let folder = self.folder.path();
        let log = folder.join("log");
        let file = std::fs::File::options().create(true).append(true).open(&log);
        let file = file.map_err(|error| wrong(format!("{}: {error}", log.display())))?;
        let mut server = as_user(&self.bin.join("postgres"), folder);
        server.arg("-D").arg(folder.join("data")).arg("-k").arg(folder).arg("-p").arg(self.port.to_string());
        server.args(["-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200"]);
        server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        let mut child = server.spawn().map_err(|error| wrong(format!("cannot run postgres: {error}")))?;
        let deadline = Instant::now() + PATIENCE;
        while !self.answers() {
            if Instant::now() > deadline || child.try_wait().is_ok_and(|ended| ended.is_some()) {
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                let end: Vec<&str> = said.lines().rev().take(5).collect();
                let _ = child.kill();
                let _ = child.wait();
                return Err(wrong(format!("the server does not start: {}", end.join(" | "))));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.server = Some(child);
        Ok(())
    }

    /// Ends the server; the data stays.
    pub fn end(&mut self, how: Stop) {
        let Some(mut server) = self.server.take() else { return };
        let signal = if how == Stop::Fast { "INT" } else { "QUIT" };
        let mut kill = Command::new("kill");
        let _ = kill.arg("-s").arg(signal).arg(server.id().to_string()).status();
        let deadline = Instant::now() + PATIENCE;
        while server.try_wait().is_ok_and(|ended| ended.is_none()) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = server.kill();
        let _ = server.wait();
    }

    fn answers(&self) -> bool {
        let mut probe = Command::new(self.bin.join("pg_isready"));
        probe.args(["-q", "-h", "127.0.0.1", "-p"]).arg(self.port.to_string());
        probe.status().is_ok_and(|status| status.success())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.end(Stop::Crash);
    }
}

/// The folder of PostgreSQL's programs: the newest that Debian has put beside `PATH`, or that of `pg_config`.
fn programs() -> Option<PathBuf> {
    let version = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let versions = versions.filter_map(|entry| Some(entry.ok()?.path()));
    let newest = versions.filter(|path| path.join("bin/initdb").is_file()).max_by_key(version);
    newest.map(|path| path.join("bin")).or_else(|| {
        let told = Command::new("pg_config").arg("--bindir").output().ok()?;
        let folder = PathBuf::from(String::from_utf8(told.stdout).ok()?.trim());
        folder.join("initdb").is_file().then_some(folder)
    })
}

/// `program` as a user that it runs as, to end when we end.
fn as_user(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new("setpriv");
    if is_root() {
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
    }
    command.arg("--pdeathsig=QUIT").arg(program).current_dir(folder).env_remove("PGPASSWORD");
    command
}

fn is_root() -> bool {
    let user = Command::new("id").arg("--user").output();
    user.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

fn random() -> std::io::Result<String> {
    let mut bytes = [0_u8; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

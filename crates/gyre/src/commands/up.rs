//! `gyre up`: the server of a project.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use gyre_access::egress::Egress;
use gyre_artifacts::{Artifacts, Location};
use gyre_backend::Door;
use gyre_core::Clock;
use gyre_core::time::SystemClock;
use gyre_core::{Digest, ModelName};
use gyre_labels::Collector;
use gyre_labels::collector::Variables;
use gyre_loop::{Abroad, Desk, DeskError, Reload, STATE_DIR, TimeSource};
use gyre_server::{App, Server, Telemetry, Tls};
use gyre_store::StoreUrl;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

use crate::cli::{OnnxruntimeArgs, ProjectArgs};
use crate::commands::front::FrontArgs;
use crate::commands::operations::OperationsArgs;
use crate::failure::Failure;

/// How often event time follows the clock.
const TICK: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    #[command(flatten)]
    project: ProjectArgs,
    /// The address to listen on. Others than loopback ask everybody to log in (see `gyre access`), and take one of
    /// --behind-proxy and --insecure-http.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:4973")]
    listen: SocketAddr,
    /// Replay history: event time comes only with `POST /v1/watermark`, not from the clock.
    #[arg(long)]
    replay: bool,
    /// MLflow's own web pages, from the folder `mlflow/server/js/build` of an installed mlflow package, under `/mlflow/`.
    #[arg(long, value_name = "DIR")]
    mlflow_ui: Option<PathBuf>,
    /// Where to keep artifacts: file:///FOLDER, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or az://CONTAINER/PREFIX, with
    /// credentials in the environment. Without it they lie in the project's state folder.
    #[arg(long, value_name = "URL")]
    artifacts: Option<Location>,
    /// Let requests bring commands that serve models (`gyre deploy --command`) although nobody has to log in here: everybody
    /// on this machine can then run programs in your name.
    #[arg(long)]
    allow_commands: bool,
    /// Do not look into the processes of MLflow clients to find out where their runs come from.
    #[arg(long)]
    no_provenance: bool,
    #[command(flatten)]
    onnxruntime: OnnxruntimeArgs,
    #[command(flatten)]
    front: FrontArgs,
    #[command(flatten)]
    operations: OperationsArgs,
}

pub(crate) fn run(args: &UpArgs) -> Result<(), Failure> {
    args.operations.begin_log();
    args.onnxruntime.apply(&args.project.project);
    let time = if args.replay { TimeSource::Replay } else { TimeSource::Clock };
    let pages =
        args.mlflow_ui.as_deref().map(gyre_server::pages_folder).transpose().map_err(Failure::because)?;
    let front = args.front.front()?;
    let tls = front.tls.clone();
    let server = args.operations.apply(Server::bind_as(args.listen, front)?);
    let address = server.local_addr();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let egress = Arc::new(args.front.egress());
    let abroad = Abroad { runtime: runtime.handle().clone(), door: door(&egress) };
    let desk = open(&args.project.project, args.project.store.url.as_ref(), time, Some(abroad))?;
    if let Some(backup) = desk.store().backup_made() {
        info!(backup = %backup.display(), "the store was brought up to date; as it was before it is in the backup");
    }
    let mut app = App::new(Arc::clone(&desk), Arc::new(SystemClock)).with_egress(egress);
    if let Some(location) = &args.artifacts {
        let (store, handle) = (Arc::clone(desk.store()), runtime.handle().clone());
        let artifacts = Artifacts::at(store, Arc::new(SystemClock), location, handle);
        app = app.with_artifacts(artifacts.map_err(Failure::because)?);
    }
    if let Some(folder) = pages {
        app = app.with_pages(folder);
    }
    if let Some(telemetry) = Telemetry::from_variables(|name| std::env::var(name).ok())? {
        info!(endpoint = telemetry.endpoint(), "spans of requests are sent");
        app = app.with_telemetry(telemetry);
    }
    if args.operations.access_log() {
        app = app.with_access_log();
    }
    if args.allow_commands {
        app = app.with_commands();
    }
    if !args.no_provenance {
        app = app.with_provenance()?;
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let state = args.project.project.join(STATE_DIR);
    let variables: Variables = Arc::new(|name| std::env::var(name).ok());
    let root = &args.project.project;
    let collector = Collector::start(&desk.project(), root, &state, desk.gateway(), &clock, &variables)?;
    app = app.with_labels(Arc::new(collector));
    server.check(&app)?;
    runtime.block_on(async {
        let mut announcement = Announcement::write(&args.project.project, address, tls)?;
        tokio::spawn(follow(Arc::clone(&desk), signal(SignalKind::hangup())?));
        let name = desk.project().project.clone();
        let declared = args.project.project.join(gyre_core::spec::FILE).exists();
        let what = if declared { "" } else { "no gyre.yaml here: nothing is watched or repaired; " };
        let url = announcement.url();
        args.operations.greet(&format!("gyre keeps `{name}` on {url}/ ({what}stop with Ctrl-C)"), &url);
        let stopped = stopped()?;
        let running = server.run(app, stopped);
        tokio::pin!(running);
        let mut every = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                ended = &mut running => break ended?,
                _ = every.tick() => announcement.follow(),
            }
        }
        drop(announcement);
        Ok(())
    })
}

/// Opens the project in `root`; a wrong project file is wrong input.
pub(crate) fn open(
    root: &Path,
    store: Option<&StoreUrl>,
    time: TimeSource,
    abroad: Option<Abroad>,
) -> Result<Arc<Desk>, Failure> {
    let desk =
        Desk::open_in(root, store, Arc::new(SystemClock), time, abroad).map_err(|error| match error {
            DeskError::Project(wrong) => Failure::Input(wrong),
            other => Failure::because(other),
        })?;
    Ok(Arc::new(desk))
}

/// Lets event time follow the clock, and the project its file: when it has changed, and when somebody asks for it (SIGHUP).
async fn follow(desk: Arc<Desk>, mut asked: Signal) {
    let mut every = tokio::time::interval(TICK);
    loop {
        let asked = tokio::select! {
            _ = every.tick() => false,
            _ = asked.recv() => true,
        };
        let at = Arc::clone(&desk);
        let looked = tokio::task::spawn_blocking(move || {
            at.tick();
            at.reload()
        });
        match looked.await {
            Ok(Some(Reload::Taken { digest, added, removed, trouble })) => {
                let names = |models: &[ModelName]| {
                    models.iter().map(ModelName::as_str).collect::<Vec<_>>().join(", ")
                };
                let (added, removed) = (names(&added), names(&removed));
                info!(%digest, added, removed, "the changed gyre.yaml is in force");
                trouble
                    .iter()
                    .for_each(|trouble| warn!(trouble, "a model does not follow the changed gyre.yaml"));
            }
            Ok(Some(Reload::Refused(error))) => {
                warn!("the changed gyre.yaml is not used, the one before goes on:\n{error}");
            }
            Ok(None) if asked => info!("gyre.yaml is as it was"),
            Ok(None) => {}
            Err(_) => return,
        }
    }
}

/// The one way out, for models at URLs.
fn door(egress: &Arc<Egress>) -> Door {
    let egress = Arc::clone(egress);
    Door::new(move |uri, address| egress.permit(uri, address).map_err(|error| error.to_string()))
}

/// Resolves when the process is asked to end.
fn stopped() -> Result<impl Future<Output = ()>, Failure> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Tells the commands of the same project where the server is: `.gyre/server.json`, for as long as it runs.
pub(crate) struct Announcement {
    path: PathBuf,
    address: SocketAddr,
    tls: Option<Arc<Tls>>,
    told: Option<Digest>,
}

/// The file's name inside the state folder.
pub(crate) const ANNOUNCEMENT: &str = "server.json";

impl Announcement {
    pub(crate) fn write(root: &Path, address: SocketAddr, tls: Option<Arc<Tls>>) -> Result<Self, Failure> {
        let path = root.join(STATE_DIR).join(ANNOUNCEMENT);
        let mut announcement = Self { path, address, tls, told: None };
        announcement.tell()?;
        Ok(announcement)
    }

    /// Where the server is.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Writes it again when another certificate is in force: commands believe the one that is told here, and no other.
    fn follow(&mut self) {
        if self.tls.as_ref().is_some_and(|tls| self.told != Some(tls.fingerprint()))
            && let Err(error) = self.tell()
        {
            warn!(%error, "where the server is cannot be told to other commands");
        }
    }

    fn tell(&mut self) -> std::io::Result<()> {
        let fingerprint = self.tls.as_ref().map(|tls| tls.fingerprint());
        let mut said = serde_json::json!({"url": self.url(), "pid": std::process::id()});
        if let Some(fingerprint) = fingerprint {
            said["certificate"] = fingerprint.to_string().into();
        }
        gyre_data::files::write(&self.path, said.to_string().as_bytes()).map_err(std::io::Error::other)?;
        self.told = fingerprint;
        Ok(())
    }
}

impl Drop for Announcement {
    fn drop(&mut self) {
        // Left behind, it only makes the next command say that nobody answers.
        let _ = std::fs::remove_file(&self.path);
    }
}

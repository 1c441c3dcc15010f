//! `gyre up`: the server of a project.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use gyre_access::egress::Egress;
use gyre_artifacts::{Artifacts, Location};
use gyre_backend::Door;
use gyre_core::time::SystemClock;
use gyre_loop::{Abroad, Desk, DeskError, STATE_DIR, TimeSource};
use gyre_server::{App, Server};
use gyre_store::StoreUrl;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{OnnxruntimeArgs, ProjectArgs};
use crate::commands::front::FrontArgs;
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
    #[command(flatten)]
    onnxruntime: OnnxruntimeArgs,
    #[command(flatten)]
    front: FrontArgs,
    /// Do not look into the processes of MLflow clients to find out where their runs come from.
    #[arg(long)]
    no_provenance: bool,
}

pub(crate) fn run(args: &UpArgs) -> Result<(), Failure> {
    args.onnxruntime.apply(&args.project.project);
    let time = if args.replay { TimeSource::Replay } else { TimeSource::Clock };
    let pages =
        args.mlflow_ui.as_deref().map(gyre_server::pages_folder).transpose().map_err(Failure::because)?;
    let server = Server::bind_as(args.listen, args.front.front()?)?;
    let address = server.local_addr();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let egress = Arc::new(args.front.egress());
    let abroad = Abroad { runtime: runtime.handle().clone(), door: door(&egress) };
    let desk = open(&args.project.project, args.project.store.url.as_ref(), time, Some(abroad))?;
    if let Some(backup) = desk.store().backup_made() {
        anstream::eprintln!("the store was brought up to date; as it was before: {}", backup.display());
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
    if args.allow_commands {
        app = app.with_commands();
    }
    if !args.no_provenance {
        app = app.with_provenance()?;
    }
    server.check(&app)?;
    runtime.block_on(async {
        let announcement = Announcement::write(&args.project.project, address)?;
        let following = Arc::clone(&desk);
        tokio::spawn(async move {
            let mut every = tokio::time::interval(TICK);
            loop {
                every.tick().await;
                following.tick();
            }
        });
        let name = &desk.project().project;
        let declared = args.project.project.join(gyre_core::spec::FILE).exists();
        let what = if declared { "" } else { "no gyre.yaml here: tracking and registry only; " };
        anstream::eprintln!("gyre keeps `{name}` on http://{address}/ ({what}stop with Ctrl-C)");
        server.run(app, stopped()?).await?;
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
pub(crate) struct Announcement(PathBuf);

/// The file's name inside the state folder.
pub(crate) const ANNOUNCEMENT: &str = "server.json";

impl Announcement {
    pub(crate) fn write(root: &Path, address: SocketAddr) -> Result<Self, Failure> {
        let path = root.join(STATE_DIR).join(ANNOUNCEMENT);
        let said = serde_json::json!({"url": format!("http://{address}"), "pid": std::process::id()});
        gyre_data::files::write(&path, said.to_string().as_bytes())?;
        Ok(Self(path))
    }
}

impl Drop for Announcement {
    fn drop(&mut self) {
        // Left behind, it only makes the next command say that nobody answers.
        let _ = std::fs::remove_file(&self.0);
    }
}

//! `gyre demo`: a year of real flights, lived through the code that production runs.
//!
//! The example project is written into a folder, committed to Git, and opened as `gyre up` opens any project. Then a client
//! that knows nothing of the inside asks for predictions over HTTP, flight by flight in the order of the schedule, brings
//! each label when the flight has landed, and says how far event time has come. Everything else (windows, alarms,
//! decisions, trainings, rollouts) is the loop's. At the end the inference log is read back and the year is told.
//!
//! A demo that was stopped, however it was stopped, goes on where it was when it is started again.

mod client;
mod flights;
mod outcome;
mod progress;
mod replay;
mod site;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use clap::{Args, ValueEnum};
use gyre_core::ModelName;
use gyre_core::time::SystemClock;
use gyre_loop::{Desk, TimeSource};
use gyre_server::{App, Server};
use tokio::sync::oneshot;

use crate::commands::up::{Announcement, open};
use crate::failure::Failure;
use outcome::Outcome;
use progress::Progress;
use replay::Replay;
use site::Site;

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Which example.
    #[arg(value_enum, default_value_t = Example::Flights)]
    example: Example,
    /// Where the example project lives. A demo that was stopped there goes on; one that was finished begins anew.
    #[arg(long, value_name = "DIR", default_value = "gyre-demo")]
    dir: PathBuf,
    /// Print nothing but one JSON object at the end.
    #[arg(long)]
    json: bool,
    /// Leave the server up when the year is over, to look at the control room.
    #[arg(long)]
    keep: bool,
    /// The address of the server; port 0 is any that is free. With --keep it is 127.0.0.1:4973 unless given.
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// Stop after this day (such as 2013-06-30) instead of at the end of the year.
    #[arg(long, value_name = "DATE")]
    until: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Example {
    /// Air time of the flights out of New York in 2013.
    Flights,
}

/// The models of the example: the one that the loop keeps, and its twin that is left alone.
pub(crate) struct Models {
    pub(crate) managed: ModelName,
    pub(crate) unmanaged: ModelName,
}

pub(crate) fn run(args: &DemoArgs) -> Result<(), Failure> {
    let Example::Flights = args.example;
    let begun = Instant::now();
    let site = Site::prepare(&args.dir)?;
    let progress = Progress::new(args.json);
    let port = if args.keep { 4973 } else { 0 };
    let server = Server::bind(args.listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], port))))?;
    let address = server.local_addr();
    let desk = open(site.dir(), None, TimeSource::Replay, None)?;
    let models = Models { managed: "air-time".parse()?, unmanaged: "air-time-static".parse()? };
    let announcement = Announcement::write(site.dir(), address, None)?;

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let outcome = runtime.block_on(async {
        let (stop, stopped) = oneshot::channel::<()>();
        let app = App::new(Arc::clone(&desk), Arc::new(SystemClock));
        let serving = tokio::spawn(server.run(app, async {
            // Either way it is over.
            let _ = stopped.await;
        }));
        let until = args.until.as_deref().map(|day| format!("{day}T23:59:59Z").parse()).transpose()?;
        let flights = flights::read(site.dir(), until)?;
        let replay =
            Replay { address, models: &models, flights, site: &site, desk: &desk, progress: &progress };
        let failed = replay.live().await?;
        let outcome = tokio::task::block_in_place(|| Outcome::tell(&desk, &models, &site, failed, begun))?;
        site.finish()?;
        progress.finish();
        show(args, &outcome, address)?;
        if args.keep {
            tokio::signal::ctrl_c().await?;
        }
        // The server may have ended by itself; then there is nobody to tell.
        let _ = stop.send(());
        serving.await??;
        Ok::<_, Failure>(outcome)
    })?;
    drop((announcement, outcome));
    Ok(())
}

fn show(args: &DemoArgs, outcome: &Outcome, address: SocketAddr) -> Result<(), Failure> {
    if args.json {
        anstream::println!("{}", serde_json::to_string(outcome)?);
    } else {
        anstream::print!("{}", outcome.text());
        if args.keep {
            anstream::println!("Control room: http://{address}/ (stop with Ctrl-C)");
        }
    }
    Ok(())
}

/// What the demo needs of a desk.
pub(crate) type SharedDesk = Arc<Desk>;

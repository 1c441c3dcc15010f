//! Serves the project in a folder, for a look at the control room or a measurement with a load generator:
//! `cargo run --release -p gyre-server --example serve -- FOLDER [PORT]`.

use std::path::Path;
use std::sync::Arc;

use gyre_core::Clock;
use gyre_core::time::SystemClock;
use gyre_loop::{Desk, TimeSource};
use gyre_server::{App, Server};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("usage: serve FOLDER [PORT]")?;
    let port: u16 = arguments.next().map_or(Ok(4973), |port| port.parse())?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let desk = Arc::new(Desk::open(Path::new(&folder), Arc::clone(&clock), TimeSource::Replay)?);
    let server = Server::bind(([127, 0, 0, 1], port).into())?;
    println!("http://{}/", server.local_addr());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(server.run(App::new(desk, clock), std::future::pending()))?;
    Ok(())
}

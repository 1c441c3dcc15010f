//! `gyre lineage`: back to the data, code and decision behind something; forward to what data influenced.
//!
//! The inference log belongs to the process that has it open. So a running server is asked; without one, the files are
//! opened here for as long as the question takes. Nothing else is set going.

use std::sync::Arc;

use clap::Args;
use gyre_core::Diagnostic;
use gyre_core::time::SystemClock;
use gyre_gateway::{InferenceLog, LogOptions};
use gyre_govern::lineage::Ref;
use gyre_loop::STATE_DIR;
use gyre_server::lineage::{Influenced, Lineage, TraceError, Way, trace};
use gyre_store::Store;

use crate::cli::{OutputArgs, ProjectArgs};
use crate::client::{Server, segment};
use crate::failure::Failure;
use crate::show;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gyre lineage air-time/UA1545-20130704   a prediction, by its model and its id
  gyre lineage air-time@3                 a model version
  gyre lineage run:3f2a90c1               a run
  gyre lineage entry:42                   a journal entry, with what led to it
  gyre lineage data:9f86d081 --forward    what a data version influenced, down to its predictions")]
pub(crate) struct LineageArgs {
    /// What is asked about: MODEL/ID, MODEL@VERSION, run:ID, data:DIGEST or entry:N.
    #[arg(value_name = "REF")]
    reference: String,
    /// From a data version on to the versions that learned from it and the predictions that those gave.
    #[arg(long)]
    forward: bool,
    #[command(flatten)]
    project: ProjectArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(crate) fn run(args: &LineageArgs) -> Result<(), Failure> {
    let wrong = |reason: String| Failure::Input(vec![Diagnostic::new("REF", reason)]);
    let reference = Ref::parse(&args.reference).map_err(|error| wrong(error.to_string()))?;
    if args.forward && !matches!(reference, Ref::Data(_)) {
        return Err(wrong(TraceError::NotData(reference).to_string()));
    }
    let lineage = match Server::running(&args.project.project) {
        Some(server) => {
            let path = format!("/v1/lineage?of={}&forward={}", segment(&args.reference), args.forward);
            serde_json::from_value(server.get(&path)?)?
        }
        None => on_files(args, &reference)?,
    };
    if args.output.json { show::json(&lineage) } else { show::say(text(&lineage)) }
}

fn on_files(args: &LineageArgs, reference: &Ref) -> Result<Lineage, Failure> {
    // Says so where there is nothing to open, instead of making it.
    args.project.store()?;
    let state = args.project.project.join(STATE_DIR);
    let (rooms, clock) = (gyre_loop::rooms(), Arc::new(SystemClock));
    let store = Arc::new(match &args.project.store.url {
        Some(url) => Store::open_postgres(&state, url, rooms, clock)?,
        None => Store::open(&state, rooms, clock)?,
    });
    let log = InferenceLog::open(state.join("log"), Arc::clone(&store), LogOptions::default())?;
    let way = if args.forward { Way::Forward } else { Way::Back };
    Ok(trace(&store, &log, reference, way)?)
}

fn text(lineage: &Lineage) -> String {
    let mut text = lineage.tree.to_string().trim_end().to_owned();
    if !lineage.influenced.is_empty() {
        let row = |of: &Influenced| vec![format!("{}@{}", of.model, of.version), of.predictions.to_string()];
        let rows = lineage.influenced.iter().map(row).collect();
        text += &format!("\n\n{}", show::table(&["VERSION", "PREDICTIONS"], &[1], rows));
    }
    text
}

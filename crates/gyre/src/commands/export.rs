//! `gyre export`: everything back into what MLflow reads.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use gyre_core::Diagnostic;

use super::import::{Shown, tell};
use super::offline::{DepotArgs, Offline};
use crate::cli::{OutputArgs, ProjectArgs};
use crate::failure::Failure;
use crate::show;

#[derive(Debug, Subcommand)]
pub(crate) enum ExportCommand {
    /// Write everything into an empty MLflow database, and artifacts into a folder.
    Mlflow(MlflowArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  mlflow db upgrade sqlite:///out.db
  gyre export mlflow --to sqlite:///out.db --artifacts-root out-artifacts
  mlflow server --backend-store-uri sqlite:///out.db --artifacts-destination out-artifacts

gyre's own server must be stopped meanwhile.")]
pub(crate) struct MlflowArgs {
    /// The database, which `mlflow db upgrade` made: sqlite:///PATH.
    #[arg(long, value_name = "DATABASE")]
    to: String,
    /// The folder for artifacts; empty, or not there yet.
    #[arg(long, value_name = "DIR")]
    artifacts_root: PathBuf,
    #[command(flatten)]
    depot: DepotArgs,
    #[command(flatten)]
    project: ProjectArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(crate) fn run(command: &ExportCommand) -> Result<(), Failure> {
    let ExportCommand::Mlflow(args) = command;
    let path = args.to.strip_prefix("sqlite:///").ok_or_else(|| {
        let found = gyre_import::source::without_credentials(&args.to);
        let wrong = Diagnostic::new("--to", format!("`{found}` is no database that can be filled"));
        Failure::Input(vec![wrong.expected("sqlite:///PATH, made by `mlflow db upgrade`")])
    })?;
    let Offline { store, artifacts, .. } = &args.depot.open(&args.project)?;
    let mut shown = Shown::new(args.output.json);
    let report =
        gyre_import::export::export(store, artifacts, path.as_ref(), &args.artifacts_root, &mut |p| {
            shown.tell(p);
        });
    shown.done();
    let report = report?;
    if args.output.json { show::json(&report) } else { tell(&report, "EXPORTED") }
}

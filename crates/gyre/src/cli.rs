//! The words of the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::failure::Failure;
use crate::{commands, demo};

/// Keeps deployed models right: versions, trains, serves, watches and repairs them, and proves it.
#[derive(Debug, Parser)]
#[command(name = "gyre", version, propagate_version = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Live through a year of real flights in about a minute: drift, decay, repair, proof.
    Demo(demo::DemoArgs),
    /// Start the server of a project: gateway, loop, API and control room.
    Up(commands::up::UpArgs),
    /// Train the reference model: gradient boosting, written as ONNX.
    #[command(subcommand)]
    Baseline(commands::baseline::BaselineCommand),
}

/// Where the project is.
#[derive(Debug, Clone, Args)]
pub(crate) struct ProjectArgs {
    /// The project's folder, with its `gyre.yaml`.
    #[arg(long, short = 'C', value_name = "DIR", default_value = ".", env = "GYRE_PROJECT")]
    pub(crate) project: PathBuf,
}

pub(crate) fn run(cli: Cli) -> Result<(), Failure> {
    match cli.command {
        Command::Demo(args) => demo::run(&args),
        Command::Up(args) => commands::up::run(&args),
        Command::Baseline(command) => commands::baseline::run(&command),
    }
}

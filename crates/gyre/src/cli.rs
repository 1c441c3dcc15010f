//! The words of the command line.

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};
use gyre_onnxruntime::Places;
use gyre_store::StoreUrl;

use crate::failure::Failure;
use crate::{commands, demo};

/// Keeps deployed models right: versions, trains, serves, watches and repairs them, and proves it.
#[derive(Debug, Parser)]
#[command(name = "gyre", version, propagate_version = true, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Begin:   gyre demo                     see the whole loop on real data
         gyre init && gyre check       a project of your own
         gyre up                       serve it, watch it, repair it
         gyre train MODEL              ask for the first version

Exit codes: 0 done, 1 it could not be done (or a check failed), 2 the input is wrong.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Live through a year of real flights in about a minute: drift, decay, repair, proof.
    Demo(demo::DemoArgs),
    /// Make a project: gyre.yaml, dvc.yaml and example data, ready to train.
    Init(commands::init::InitArgs),
    /// Say whether the project, its pipeline and its data are as they should be.
    Check(commands::check::CheckArgs),
    /// Start the server of a project: gateway, loop, API and control room.
    Up(commands::up::UpArgs),
    /// Show how the project is: server, models, alarms, journal.
    Status(commands::status::StatusArgs),
    /// Look at models and their versions, and move their traffic.
    #[command(subcommand)]
    Model(commands::model::ModelCommand),
    /// Put a version behind the gateway: a file, a command in any language, a URL; by a rollout that judges itself.
    Deploy(Box<commands::deploy::DeployArgs>),
    /// Split the traffic of a model by hand, or show who takes how much.
    Traffic(commands::split::TrafficArgs),
    /// Make a version champion, at once.
    Promote(commands::traffic::PromoteArgs),
    /// Send all traffic of a model back to the champion before, at once.
    Rollback(commands::traffic::RollbackArgs),
    /// Score files with a registered version, or with a model file: Parquet and CSV.
    Predict(commands::predict::PredictArgs),
    /// Bring what came true, from Parquet and CSV files.
    Labels(commands::labels::LabelsArgs),
    /// Look into a model's inference log: its end, all of it as a file, SQL.
    #[command(subcommand)]
    Log(commands::log::LogCommand),
    /// Ask the running server to train a version.
    Train(commands::training::TrainArgs),
    /// Let the loop repair a model again that it had given up on.
    Resume(commands::training::ResumeArgs),
    /// Say what is wrong with models, and why most likely; take note of it.
    Incidents(commands::incidents::IncidentsArgs),
    /// Read the journal and prove that nobody changed it.
    Journal(commands::journal::JournalArgs),
    /// Look at a run: what it logged, and the code, packages, machine and data that it came from.
    #[command(subcommand)]
    Run(commands::run::RunCommand),
    /// Say where something came from, or what came of it.
    Lineage(commands::lineage::LineageArgs),
    /// Look after the project's memory: where it is, a copy of it, moving it to PostgreSQL.
    #[command(subcommand)]
    Store(commands::store::StoreCommand),
    /// Remove for good what was deleted: runs, experiments, logged models, and their artifacts.
    Gc(commands::gc::GcArgs),
    /// Say what tables hold, column by column; profiles of parts merge.
    Profile(commands::profile::ProfileArgs),
    /// Say what has changed between two tables, and whether it matters.
    Drift(commands::drift::DriftArgs),
    /// Watch a stream of numbers, and say when it changes.
    Stream(commands::stream::StreamArgs),
    /// Say what is expected of each column of a model's windows: what was learned, and what gyre.yaml says instead.
    Quality(commands::quality::QualityArgs),
    /// Replay history under the repair policy and under others: what each would have cost.
    Backtest(Box<commands::backtest::BacktestArgs>),
    /// Examine how predictions treat groups of people.
    Bias(commands::bias::BiasArgs),
    /// Say who may do what: users, API tokens, roles.
    #[command(subcommand)]
    Access(commands::access::AccessCommand),
    /// Train the reference model: gradient boosting, written as ONNX.
    #[command(subcommand)]
    Baseline(commands::baseline::BaselineCommand),
    /// Move over from an MLflow server.
    #[command(subcommand)]
    Import(commands::import::ImportCommand),
    /// Move back to an MLflow server.
    #[command(subcommand)]
    Export(commands::export::ExportCommand),
    /// Write the completions for a shell.
    Completions(commands::completions::CompletionsArgs),
}

/// Where the project is.
#[derive(Debug, Clone, Args)]
pub(crate) struct ProjectArgs {
    /// The project's folder, with its `gyre.yaml`.
    #[arg(long, short = 'C', value_name = "DIR", default_value = ".", env = "GYRE_PROJECT")]
    pub(crate) project: PathBuf,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// Where the project's store is.
#[derive(Debug, Clone, Args)]
pub(crate) struct StoreArgs {
    /// The PostgreSQL that holds the store, as `postgres://USER@HOST/DATABASE`; otherwise it is SQLite in the project.
    // The variable's value may hold a password: help does not show it.
    #[arg(long = "store", value_name = "URL", env = "GYRE_STORE", hide_env_values = true)]
    pub(crate) url: Option<StoreUrl>,
}

/// Where onnxruntime is.
#[derive(Debug, Clone, Args)]
pub(crate) struct OnnxruntimeArgs {
    /// The shared library of onnxruntime, for ONNX graphs that gyre's own engine does not run. By default it is that of the
    /// Python environment that is active, of .venv in the project, or of the system.
    #[arg(long, value_name = "FILE", env = gyre_onnxruntime::SETTING)]
    onnxruntime: Option<PathBuf>,
}

impl OnnxruntimeArgs {
    /// Has it looked for there, when a model needs it.
    pub(crate) fn apply(&self, project: &Path) {
        let places = Places { setting: self.onnxruntime.clone(), project: Some(project.to_owned()) };
        gyre_onnxruntime::look_in(places);
    }
}

/// For whom the answer is.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct OutputArgs {
    /// Answer in JSON, for programs.
    #[arg(long)]
    pub(crate) json: bool,
}

pub(crate) fn run(cli: Cli) -> Result<(), Failure> {
    match cli.command {
        Command::Demo(args) => demo::run(&args),
        Command::Init(args) => commands::init::run(&args),
        Command::Check(args) => commands::check::run(&args),
        Command::Up(args) => commands::up::run(&args),
        Command::Status(args) => commands::status::run(&args),
        Command::Model(command) => commands::model::run(&command),
        Command::Deploy(args) => commands::deploy::run(&args),
        Command::Traffic(args) => commands::split::run(&args),
        Command::Promote(args) => commands::traffic::promote(&args),
        Command::Rollback(args) => commands::traffic::roll_back(&args),
        Command::Predict(args) => commands::predict::run(&args),
        Command::Labels(args) => commands::labels::run(&args),
        Command::Log(command) => commands::log::run(&command),
        Command::Train(args) => commands::training::train(&args),
        Command::Incidents(args) => commands::incidents::run(&args),
        Command::Resume(args) => commands::training::resume(&args),
        Command::Journal(args) => commands::journal::run(&args),
        Command::Run(command) => commands::run::run(&command),
        Command::Lineage(args) => commands::lineage::run(&args),
        Command::Store(command) => commands::store::run(&command),
        Command::Gc(args) => commands::gc::run(&args),
        Command::Profile(args) => commands::profile::run(&args),
        Command::Drift(args) => commands::drift::run(&args),
        Command::Stream(args) => commands::stream::run(&args),
        Command::Quality(args) => commands::quality::run(&args),
        Command::Backtest(args) => commands::backtest::run(&args),
        Command::Bias(args) => commands::bias::run(&args),
        Command::Access(command) => commands::access::run(&command),
        Command::Baseline(command) => commands::baseline::run(&command),
        Command::Import(command) => commands::import::run(&command),
        Command::Export(command) => commands::export::run(&command),
        Command::Completions(args) => commands::completions::run(&args),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_words_do_not_contradict_each_other() {
        super::Cli::command().debug_assert();
    }
}

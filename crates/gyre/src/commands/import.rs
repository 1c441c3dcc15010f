//! `gyre import`: moves what an MLflow server holds into this project.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use gyre_import::mover::Target;
use gyre_import::plan::Fate;
use gyre_import::{ImportError, Options, Progress, Report, source};
use gyre_tracking::By;
use indicatif::{ProgressBar, ProgressStyle};

use super::offline::DepotArgs;
use crate::cli::{OutputArgs, ProjectArgs};
use crate::failure::Failure;
use crate::show;

#[derive(Debug, Subcommand)]
pub(crate) enum ImportCommand {
    /// Move the contents of an MLflow server over: experiments, runs, metrics, models, artifacts.
    Mlflow(MlflowArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gyre import mlflow --from sqlite:///mlflow.db --dry-run    what would come, and what would not
  gyre import mlflow --from sqlite:///mlflow.db --artifacts-root mlartifacts
  gyre import mlflow --from mlruns
  gyre import mlflow --from https://mlflow.example.org       with MLFLOW_TRACKING_TOKEN, or user and password

It may be stopped at any moment: run again, it goes on where it stopped, and a finished import brings what is new since.
The MLflow server should not be written to meanwhile; gyre's own server must be stopped.")]
pub(crate) struct MlflowArgs {
    /// Where from: sqlite:///PATH of MLflow's database, the path of a folder mlruns, or the URL of a server.
    #[arg(long, value_name = "SOURCE")]
    from: String,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
    /// Put this before the names of experiments and registered models.
    #[arg(long, value_name = "TEXT", default_value = "")]
    prefix: String,
    /// What becomes of artifacts: copy them here, or leave them and refer to them.
    #[arg(long, value_name = "HOW", default_value = "copy")]
    artifacts: How,
    /// The folder in which the MLflow server kept artifacts (its --artifacts-destination).
    #[arg(long, value_name = "DIR")]
    artifacts_root: Option<PathBuf>,
    /// Runs a transaction.
    #[arg(long, value_name = "N", default_value_t = 500, hide = true)]
    batch: usize,
    #[command(flatten)]
    depot: DepotArgs,
    #[command(flatten)]
    project: ProjectArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum How {
    /// Files within reach come along; what lies in a bucket stays there.
    Copy,
    /// Everything stays where it is.
    Refer,
}

pub(crate) fn run(command: &ImportCommand) -> Result<(), Failure> {
    let ImportCommand::Mlflow(args) = command;
    let mut source = source::open(&args.from, args.artifacts_root.as_deref()).map_err(told)?;
    let options = Options { prefix: args.prefix.clone(), batch: args.batch };
    let report = if args.dry_run {
        let store = args.project.store_if_any()?;
        gyre_import::survey(store.as_ref(), source.as_mut(), &options).map_err(told)?
    } else {
        move_over(args, source.as_mut(), &options)?
    };
    if args.output.json { show::json(&report) } else { tell(&report, "IMPORTED") }
}

fn move_over(
    args: &MlflowArgs,
    source: &mut dyn source::Source,
    options: &Options,
) -> Result<Report, Failure> {
    let here = args.depot.open(&args.project)?;
    let by = By {
        actor: "user:local".to_owned(),
        origin: Some(format!("import of {}", source.name())),
        at: here.clock.now(),
    };
    let copied = (args.artifacts == How::Copy).then_some(&here.artifacts);
    let target = Target { store: &here.store, artifacts: copied };
    let mut shown = Shown::new(args.output.json);
    let report = gyre_import::import(target, source, options, &by, &mut |progress| shown.tell(progress));
    shown.done();
    report.map_err(told)
}

/// What is wrong with the words of the command is wrong input; the rest could not be done.
fn told(error: ImportError) -> Failure {
    match error {
        ImportError::NoSource { .. } => {
            Failure::Input(vec![gyre_core::Diagnostic::new("--from", error.to_string())])
        }
        other => Failure::because(other),
    }
}

/// Progress on standard error: a bar on a terminal, now and then a line elsewhere.
pub(super) struct Shown {
    bar: Option<ProgressBar>,
    quiet: bool,
    told: u64,
}

impl Shown {
    pub(super) fn new(quiet: bool) -> Self {
        let bar = (!quiet && std::io::stderr().is_terminal()).then(|| {
            let style =
                ProgressStyle::with_template("{msg} {wide_bar} {human_pos} of {human_len}, {eta} left");
            ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Self { bar, quiet, told: 0 }
    }

    pub(super) fn tell(&mut self, progress: Progress) {
        if let Some(bar) = &self.bar {
            bar.set_message(progress.kind.words());
            bar.set_length(progress.of);
            bar.set_position(progress.done);
            return;
        }
        // A twentieth at a time.
        let part = progress.done.saturating_mul(20) / progress.of.max(1);
        if !self.quiet && part > self.told {
            self.told = part;
            let of = if progress.of > 0 { format!(" of {}", progress.of) } else { String::new() };
            anstream::eprintln!("{}{of} {}", progress.done, progress.kind.words());
        }
    }

    pub(super) fn done(&self) {
        self.bar.iter().for_each(ProgressBar::finish_and_clear);
    }
}

/// What became of each kind; `done` is what was done to it.
pub(super) fn tell(report: &Report, done: &str) -> Result<(), Failure> {
    let moved: Vec<_> =
        report.experiments.iter().filter(|mapping| mapping.fate == Fate::Renumbered).collect();
    let verb = if report.dry_run { "would become" } else { "became" };
    for mapping in &moved {
        show::say(format!(
            "experiment {} `{}` {verb} experiment {}: its number is taken",
            mapping.source_id, mapping.name, mapping.experiment
        ))?;
    }
    let mut rows = Vec::new();
    for (kind, tally) in &report.kinds {
        let skipped: u64 = tally.skipped.values().sum();
        if tally.found + tally.imported + tally.here + skipped == 0 {
            continue;
        }
        let reasons: Vec<String> =
            tally.skipped.iter().map(|(reason, count)| format!("{count}: {reason}")).collect();
        rows.push(vec![
            kind.words().to_owned(),
            tally.found.to_string(),
            tally.imported.to_string(),
            tally.here.to_string(),
            skipped.to_string(),
            reasons.join("; "),
        ]);
    }
    show::say(show::table(&["KIND", "FOUND", done, "HERE BEFORE", "SKIPPED", "WHY"], &[1, 2, 3, 4], rows))?;
    for problem in &report.problems {
        show::say(format!("{} {problem}", show::bad("!")))?;
    }
    if report.more_problems > 0 {
        show::say(format!("and {} more", report.more_problems))?;
    }
    if report.dry_run {
        show::say("nothing was written: this was a dry run")?;
    }
    Ok(())
}

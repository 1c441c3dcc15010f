//! `gyre run`: what a run logged, and where it came from.

use clap::{Args, Subcommand};
use gyre_provenance::Record;
use gyre_provenance::record::Package;
use gyre_server::provenance::{self, Provenance};
use gyre_tracking::data::Run;
use serde_json::{Map, Value, json};

use crate::cli::{OutputArgs, ProjectArgs};
use crate::failure::Failure;
use crate::show;

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  gyre run show 3f2a90c1…            parameters, metrics, and where it came from
  gyre run show 3f2a90c1… --diff     what was changed since the commit; `git apply` takes it
  gyre run show 3f2a90c1… --packages the packages that it ran with")]
pub(crate) enum RunCommand {
    /// A run: how it went, what it logged, where it came from.
    Show(ShowArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The run's id.
    #[arg(value_name = "RUN_ID")]
    run: String,
    /// Write only the diff: what was changed since the commit.
    #[arg(long, conflicts_with_all = ["packages", "json"])]
    diff: bool,
    /// Write only the packages, as `NAME==VERSION`.
    #[arg(long, conflicts_with = "json")]
    packages: bool,
    #[command(flatten)]
    project: ProjectArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(crate) fn run(command: &RunCommand) -> Result<(), Failure> {
    match command {
        RunCommand::Show(args) => show_one(args),
    }
}

fn show_one(args: &ShowArgs) -> Result<(), Failure> {
    let store = args.project.store()?;
    let (run, found) = provenance::of(&store, &args.run)?;
    if args.diff {
        let diff =
            found.record.as_ref().map(|record| provenance::diff(&store, record)).transpose()?.flatten();
        let diff = diff.ok_or_else(|| Failure::because(format!("no diff is known of run {}", args.run)))?;
        return show::say(String::from_utf8_lossy(&diff).trim_end_matches('\n'));
    }
    if args.packages {
        return show::say(found.packages.iter().map(requirement).collect::<Vec<_>>().join("\n"));
    }
    if args.output.json {
        return show::json(&json!({ "run": facts(&run), "provenance": found }));
    }
    show::say(text(&run, &found).trim_end())
}

/// A package as Python's tools name one version of it.
fn requirement(package: &Package) -> String {
    let origin = package.origin.as_ref().map(|origin| format!("  # from {origin}")).unwrap_or_default();
    format!("{}=={}{origin}", package.name, package.version)
}

fn facts(run: &Run) -> Value {
    let info = &run.info;
    let object = |pairs: &[(String, String)]| {
        pairs.iter().map(|(key, value)| (key.clone(), json!(value))).collect::<Map<_, _>>()
    };
    // JSON has no NaN and no infinities: they are text, as in MLflow's protocol.
    let number = |value: f64| match value {
        value if value.is_finite() => json!(value),
        value => json!(value.to_string()),
    };
    json!({
        "run_id": info.run_id,
        "name": info.name,
        "experiment_id": info.experiment,
        "status": info.status.name(),
        "start_time": info.started,
        "end_time": info.ended,
        "params": object(&run.params),
        "metrics": run.metrics.iter().map(|m| (m.key.clone(), number(m.value))).collect::<Map<_, _>>(),
        "tags": object(&run.tags),
    })
}

fn text(run: &Run, found: &Provenance) -> String {
    let mut lines = Lines::default();
    let info = &run.info;
    lines.add("run", Some(format!("{} ({})", info.name, info.run_id)));
    lines.add("status", Some(info.status.name().to_owned()));
    for (key, value) in &run.params {
        lines.add("param", Some(format!("{key} = {value}")));
    }
    for metric in &run.metrics {
        lines.add("metric", Some(format!("{} = {}", metric.key, metric.value)));
    }
    for (key, value) in &found.claimed {
        lines.add("client says", Some(format!("{key} = {value}")));
    }
    match &found.record {
        Some(record) => origin(&mut lines, record),
        None => lines.add("origin", Some("not known".to_owned())),
    }
    lines.0
}

fn origin(lines: &mut Lines, record: &Record) {
    if let Some(process) = &record.process {
        lines.add("command", Some(process.command.join(" ")));
        lines.add("folder", process.directory.clone());
    }
    if let Some(stage) = &record.stage {
        lines.add("stage", stage.name.clone());
        lines.add("pipeline run", stage.run.clone());
    }
    if let Some(code) = &record.code {
        lines.add("repository", code.remote.clone().or_else(|| code.root.clone()));
        let commit = code.commit.clone().unwrap_or_else(|| "no commit yet".to_owned());
        let branch = code.branch.as_ref().map(|branch| format!(" on {branch}")).unwrap_or_default();
        let state = match (code.dirty, &code.diff) {
            (false, _) => "",
            (true, Some(_)) => ", changed since (see --diff)",
            (true, None) => ", changed since",
        };
        lines.add("commit", Some(format!("{commit}{branch}{state}")));
        for name in &code.changed {
            lines.add("changed", Some(name.clone()));
        }
        for name in &code.untracked {
            lines.add("untracked", Some(name.clone()));
        }
    }
    if let Some(environment) = &record.environment {
        lines.add("interpreter", environment.interpreter.clone());
        let count = |packages: &gyre_provenance::record::Packages| {
            format!("{} (list {}; see --packages)", packages.count, packages.digest.short())
        };
        lines.add("packages", environment.packages.as_ref().map(count));
        for file in &environment.lock_files {
            lines.add("lock file", Some(format!("{} {}", file.path, file.digest.short())));
        }
    }
    if let Some(hardware) = &record.hardware {
        let cpus = hardware.cpus.map(|cpus| format!("{cpus} × ")).unwrap_or_default();
        lines.add("processor", hardware.cpu.as_ref().map(|cpu| format!("{cpus}{cpu}")));
        lines.add(
            "memory",
            hardware.memory.map(|bytes| format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))),
        );
        for gpu in &hardware.gpus {
            lines.add("gpu", Some(gpu.clone()));
        }
        lines.add("system", hardware.system.clone());
    }
    for data in &record.data {
        let md5 = data.md5.as_deref().unwrap_or("not hashed");
        let stage = data.stage.as_ref().map(|stage| format!(" {} of {stage}", data.role)).unwrap_or_default();
        lines.add("data", Some(format!("{} md5:{md5} ({}{stage})", data.path, data.file)));
    }
    for note in &record.notes {
        lines.add("note", Some(note.clone()));
    }
}

/// Names and values under each other. What came from outside stays on its line, and sends no commands to a terminal.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn add(&mut self, name: &str, value: Option<String>) {
        let Some(value) = value else { return };
        let plain: String = value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        self.0 += &format!("{name:<13} {plain}\n");
    }
}

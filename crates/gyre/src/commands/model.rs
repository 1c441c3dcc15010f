//! `gyre model`: models, their versions, and who takes their traffic.

use clap::{Args, Subcommand};
use gyre_core::ModelName;
use gyre_registry::{ModelRecord, VersionRecord};
use serde_json::json;

use super::traffic;
use crate::cli::{OutputArgs, ProjectArgs};
use crate::failure::Failure;
use crate::show;

#[derive(Debug, Subcommand)]
pub(crate) enum ModelCommand {
    /// All models at a glance.
    List(ListArgs),
    /// A model's versions: where they stand, what they showed, what their gates said.
    Show(ShowArgs),
    /// Give a version that passed its gates all of the traffic, at once.
    Promote(traffic::PromoteArgs),
    /// Send all traffic back to the champion before, at once.
    Rollback(traffic::RollbackArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    project: ProjectArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The model.
    model: ModelName,
    #[command(flatten)]
    project: ProjectArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(crate) fn run(command: &ModelCommand) -> Result<(), Failure> {
    match command {
        ModelCommand::List(args) => list(args),
        ModelCommand::Show(args) => show_one(args),
        ModelCommand::Promote(args) => traffic::promote(args),
        ModelCommand::Rollback(args) => traffic::roll_back(args),
    }
}

fn list(args: &ListArgs) -> Result<(), Failure> {
    let project = args.project.read()?;
    let mut models = match args.project.store_if_any()? {
        Some(store) => store.read(gyre_registry::models)?,
        None => Vec::new(),
    };
    for name in project.models.keys() {
        if models.iter().all(|known| known.name != *name) {
            models.push(ModelRecord {
                name: name.clone(),
                versions: 0,
                aliases: std::collections::BTreeMap::new(),
                traffic: Vec::new(),
                runs: 0,
            });
        }
    }
    models.sort_by(|a, b| a.name.cmp(&b.name));
    if args.output.json {
        return show::json(&json!({ "models": models }));
    }
    let row = |model: &ModelRecord| {
        let alias = |name: &str| show::version(model.aliases.get(name).copied());
        vec![
            model.name.to_string(),
            model.versions.to_string(),
            model.runs.to_string(),
            alias(gyre_registry::CHAMPION),
            alias(gyre_registry::CHALLENGER),
            show::shares(model.traffic.iter().copied()),
        ]
    };
    let header = ["MODEL", "VERSIONS", "RUNS", "CHAMPION", "CHALLENGER", "TRAFFIC"];
    show::say(show::table(&header, &[1, 2], models.iter().map(row).collect()))
}

fn show_one(args: &ShowArgs) -> Result<(), Failure> {
    let project = args.project.read()?;
    let spec = args.project.model(&project, &args.model)?;
    let versions = match args.project.store_if_any()? {
        Some(store) => store.read(|tx| gyre_registry::versions(tx, &args.model))?,
        None => Vec::new(),
    };
    if args.output.json {
        let model =
            json!({"name": args.model, "task": spec.task, "target": spec.target, "metric": spec.metric});
        return show::json(&json!({ "model": model, "versions": versions }));
    }
    let mut lines = vec![format!(
        "{}: {} of `{}`, measured by {}{}",
        show::strong(args.model.as_str()),
        format!("{:?}", spec.task).to_lowercase(),
        spec.target,
        spec.metric.name(),
        if spec.unit.is_empty() { String::new() } else { format!(" in {}", spec.unit) },
    )];
    lines.push(String::new());
    if versions.is_empty() {
        lines.push(format!(
            "no version yet: `gyre train {}` asks the running server for the first",
            args.model
        ));
        return show::say(lines.join("\n"));
    }
    let metric = spec.metric.name();
    let row = |version: &VersionRecord| {
        let holdout = version.registered.holdout.get(metric).copied();
        vec![
            format!("v{}", version.registered.version),
            version.status.name().replace('_', " "),
            show::share(version.traffic),
            holdout.map_or_else(|| "–".to_owned(), show::number),
            version
                .registered
                .trained_on
                .map_or_else(String::new, |period| format!("{} to {}", period.from.date(), period.to.date())),
            version.registered.data.short(),
            show::minute(version.created.at),
        ]
    };
    let withheld = format!("{} (WITHHELD)", metric.to_uppercase());
    let header = ["VERSION", "STATUS", "TRAFFIC", &withheld, "TRAINED ON", "DATA", "REGISTERED"];
    lines.push(show::table(&header, &[2, 3], versions.iter().map(row).collect()));
    for version in &versions {
        lines.extend(judgement(version));
    }
    show::say(lines.join("\n"))
}

/// What the gates said of a version.
fn judgement(version: &VersionRecord) -> Vec<String> {
    let Some(gates) = version.gates.as_ref().filter(|gates| !gates.results.is_empty()) else {
        return Vec::new();
    };
    let verdict =
        if gates.passed { show::good("passed its gates") } else { show::bad("did not pass its gates") };
    let mut lines =
        vec![format!("\nv{} {verdict} (entry {})", version.registered.version, gates.judged.entry)];
    for result in &gates.results {
        let mark = if result.passed { show::good("✓") } else { show::bad("✗") };
        lines.push(format!("  {mark} {}  ({})", result.gate, result.because));
    }
    lines
}

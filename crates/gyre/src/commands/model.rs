//! `gyre model`: models, their versions, and who takes their traffic.

use clap::{Args, Subcommand};
use gyre_core::fact::ModelVersion;
use gyre_core::{ModelName, Version};
use gyre_registry::{Glance, ModelRecord, RegisteredVersion, VersionRecord};
use serde_json::json;

use super::traffic;
use crate::cli::{OutputArgs, ProjectArgs};
use crate::failure::Failure;
use crate::show;

/// Models of clients that are listed at most.
const LISTED: u64 = 10_000;

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
    /// The model: one of gyre.yaml, or one that a client registered.
    model: String,
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
    let project = args.project.read_if_any()?;
    let (mut models, mut registered) = match args.project.store_if_any()? {
        Some(store) => {
            store.read(|tx| Ok((gyre_registry::models(tx)?, gyre_registry::glances(tx, LISTED)?)))?
        }
        None => (Vec::new(), Vec::new()),
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
    registered.retain(|glance| models.iter().all(|model| model.name.as_str() != glance.name));
    if args.output.json {
        return show::json(&json!({ "models": models, "registered": registered }));
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
    let mut lines = Vec::new();
    if !models.is_empty() || registered.is_empty() {
        lines.push(show::table(&header, &[1, 2], models.iter().map(row).collect()));
    }
    if !registered.is_empty() {
        let row = |glance: &Glance| {
            vec![
                glance.name.clone(),
                if glance.prompt { "prompt" } else { "model" }.to_owned(),
                glance.versions.to_string(),
                show::version(glance.newest),
                aliases(&glance.aliases),
                glance.digest.map_or_else(|| "–".to_owned(), |digest| digest.short()),
            ]
        };
        let header = ["REGISTERED BY CLIENTS", "KIND", "VERSIONS", "NEWEST", "ALIASES", "DIGEST OF NEWEST"];
        lines.push(show::table(&header, &[2], registered.iter().map(row).collect()));
    }
    show::say(lines.join("\n\n"))
}

fn aliases(aliases: &std::collections::BTreeMap<String, Version>) -> String {
    let one = |(alias, version): (&String, &Version)| format!("{alias}=v{version}");
    aliases.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn show_one(args: &ShowArgs) -> Result<(), Failure> {
    let project = args.project.read_if_any()?;
    let store = args.project.store_if_any()?;
    let (name, text) = (args.model.parse::<ModelName>(), args.model.as_str());
    let registered = match &store {
        Some(store) => store.read(|tx| gyre_registry::registered_versions(tx, text))?,
        None => Vec::new(),
    };
    let spec = name.as_ref().ok().and_then(|name| project.models.get(name));
    let versions = match (&store, &name) {
        (Some(store), Ok(name)) => store.read(|tx| gyre_registry::versions(tx, name))?,
        _ => Vec::new(),
    };
    if spec.is_none() && versions.is_empty() && !registered.is_empty() {
        return show_registered(args, &registered);
    }
    let name = name.map_err(Failure::because)?;
    if spec.is_none() && versions.is_empty() {
        args.project.model(&project, &name)?;
    }
    if args.output.json {
        let model = match spec {
            Some(spec) => {
                json!({"name": name, "task": spec.task, "target": spec.target, "metric": spec.metric})
            }
            None => json!({"name": name, "task": null, "target": null, "metric": null}),
        };
        return show::json(&json!({ "model": model, "versions": versions, "registered": registered }));
    }
    let mut lines = vec![match spec {
        Some(spec) => format!(
            "{}: {} of `{}`, measured by {}{}",
            show::strong(name.as_str()),
            format!("{:?}", spec.task).to_lowercase(),
            spec.target,
            spec.metric.name(),
            if spec.unit.is_empty() { String::new() } else { format!(" in {}", spec.unit) },
        ),
        None => format!(
            "{}: deployed without a declaration in gyre.yaml; nobody measures or repairs it",
            show::strong(name.as_str())
        ),
    }];
    lines.push(String::new());
    if versions.is_empty() {
        lines.push(format!("no version yet: `gyre train {name}` asks the running server for the first"));
        return show::say(lines.join("\n"));
    }
    let metric = spec.map_or("loss", |spec| spec.metric.name());
    let row = |version: &VersionRecord| {
        let holdout = version.registered.holdout.get(metric).copied();
        vec![
            format!("v{}", version.registered.version),
            version.status.name().replace('_', " "),
            show::share(version.traffic),
            holdout.map_or_else(|| "–".to_owned(), show::number),
            trained_on(&version.registered),
            version.registered.data.map_or_else(|| "–".to_owned(), |data| data.short()),
            version.registered.runtime.to_string(),
            show::minute(version.created.at),
        ]
    };
    let withheld = format!("{} (WITHHELD)", metric.to_uppercase());
    let header = ["VERSION", "STATUS", "TRAFFIC", &withheld, "TRAINED ON", "DATA", "RUNS", "REGISTERED"];
    lines.push(show::table(&header, &[2, 3], versions.iter().map(row).collect()));
    for version in &versions {
        lines.extend(brought_from(version));
        lines.extend(judgement(version));
    }
    let of_clients: Vec<RegisteredVersion> = registered
        .into_iter()
        .filter(|version| versions.iter().all(|known| known.registered.version != version.version))
        .collect();
    if !of_clients.is_empty() {
        lines.push(format!(
            "\nregistered by clients: these serve nobody until one is deployed (gyre deploy {name} models:/{name}/VERSION)"
        ));
        lines.push(registered_table(&of_clients));
    }
    show::say(lines.join("\n"))
}

fn trained_on(version: &ModelVersion) -> String {
    let period = version.trained_on.map(|period| format!("{} to {}", period.from.date(), period.to.date()));
    period.into_iter().chain(version.made_of()).collect::<Vec<_>>().join(", ")
}

/// Where a version was taken from that the loop did not train.
fn brought_from(version: &VersionRecord) -> Option<String> {
    let version = &version.registered;
    let source = version.source.as_ref().filter(|_| !version.is_trained_here())?;
    let run = version.run.as_ref().map_or_else(String::new, |run| format!(", logged by run {run}"));
    Some(format!("\nversion {} is from {source}{run}", version.version))
}

/// A model that only clients know.
fn show_registered(args: &ShowArgs, versions: &[RegisteredVersion]) -> Result<(), Failure> {
    if args.output.json {
        return show::json(&json!({ "model": {"name": args.model}, "registered": versions }));
    }
    let title = format!("{}: registered by clients", show::strong(&args.model));
    show::say([title, String::new(), registered_table(versions)].join("\n"))
}

fn registered_table(versions: &[RegisteredVersion]) -> String {
    let row = |version: &RegisteredVersion| {
        vec![
            format!("v{}", version.version),
            version.stage.clone(),
            version.aliases.join(", "),
            version.run_id.clone().unwrap_or_default(),
            version.digest.map_or_else(|| "–".to_owned(), |digest| digest.short()),
            version.source.clone(),
            show::minute(version.created),
        ]
    };
    let header = ["VERSION", "STAGE", "ALIASES", "RUN", "DIGEST", "SOURCE", "REGISTERED"];
    show::table(&header, &[], versions.iter().map(row).collect())
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

//! `gyre incidents`: what is wrong with models, why most likely, and taking note of it.

use clap::{Args, Subcommand};
use gyre_core::{ModelName, Span};
use gyre_govern::incidents::{Account, KINDS, accounts};
use gyre_store::{Store, journal};
use serde_json::json;

use crate::cli::{OutputArgs, ProjectArgs};
use crate::client::segment;
use crate::failure::Failure;
use crate::show;

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  gyre incidents                               what is open, of all models
  gyre incidents --all --model demand          the past ones too, of one model
  gyre incidents show demand 412-data          one of them: what changed, what it costs, what the loop does
  gyre incidents ack demand 412-data --for 7d --reason \"the sensor is being replaced\""
)]
pub(crate) struct IncidentsArgs {
    #[command(subcommand)]
    command: Option<IncidentsCommand>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, Subcommand)]
enum IncidentsCommand {
    /// What is open.
    List(ListArgs),
    /// One incident, with all that was told of it.
    Show(ShowArgs),
    /// Take note of an incident; with --for, nothing is told of its cause for so long.
    Ack(AckArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Those that are over, too.
    #[arg(long)]
    all: bool,
    /// Of this model only.
    #[arg(long, value_name = "MODEL")]
    model: Option<ModelName>,
    /// Exit code 1 when one is open: for pipelines.
    #[arg(long)]
    fail: bool,
    #[command(flatten)]
    project: ProjectArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
struct ShowArgs {
    /// The model.
    model: ModelName,
    /// The incident, such as 412-data.
    incident: String,
    #[command(flatten)]
    project: ProjectArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
struct AckArgs {
    /// The model.
    model: ModelName,
    /// The incident, such as 412-data.
    incident: String,
    /// For how long nothing is told of it, or of another one with its cause.
    #[arg(long = "for", value_name = "SPAN")]
    span: Option<Span>,
    /// Why.
    #[arg(long)]
    reason: Option<String>,
    #[command(flatten)]
    project: ProjectArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(crate) fn run(args: &IncidentsArgs) -> Result<(), Failure> {
    match &args.command {
        None => list(&args.list),
        Some(IncidentsCommand::List(args)) => list(args),
        Some(IncidentsCommand::Show(args)) => show_one(args),
        Some(IncidentsCommand::Ack(args)) => acknowledge(args),
    }
}

fn told(project: &ProjectArgs, model: Option<&ModelName>) -> Result<Vec<Account>, Failure> {
    of_store(&project.store()?, model)
}

/// The incidents of all models or of one, as the journal tells them: those that are open first.
pub(super) fn of_store(store: &Store, model: Option<&ModelName>) -> Result<Vec<Account>, Failure> {
    let mut entries = Vec::new();
    for kind in KINDS {
        entries.extend(store.read(|tx| journal::of_kind(tx, kind, model.map(ModelName::as_str)))?);
    }
    entries.sort_by_key(|entry| entry.seq);
    Ok(accounts(&entries))
}

fn list(args: &ListArgs) -> Result<(), Failure> {
    let mut accounts = told(&args.project, args.model.as_ref())?;
    let open = accounts.iter().filter(|account| account.is_open()).count();
    if !args.all {
        accounts.retain(Account::is_open);
    }
    if args.output.json {
        show::json(&json!({ "incidents": accounts }))?;
    } else if accounts.is_empty() {
        show::say("no incident is open")?;
    } else {
        let header = ["MODEL", "INCIDENT", "SEVERITY", "SINCE", "LIKELY CAUSE", "WHAT CHANGED"];
        show::say(show::table(&header, &[], accounts.iter().map(row).collect()))?;
    }
    match args.fail && open > 0 {
        true => Err(Failure::because(format!("{open} incidents are open"))),
        false => Ok(()),
    }
}

fn row(account: &Account) -> Vec<String> {
    let last = &account.last;
    let severity = match (account.is_open(), account.acknowledged.is_empty()) {
        (false, _) => "over".to_owned(),
        (true, true) => last.severity.name().to_owned(),
        (true, false) => format!("{} (known)", last.severity.name()),
    };
    vec![
        last.model.to_string(),
        last.incident.clone(),
        severity,
        last.since.date(),
        last.cause.title().to_owned(),
        last.changed.clone(),
    ]
}

fn show_one(args: &ShowArgs) -> Result<(), Failure> {
    let accounts = told(&args.project, Some(&args.model))?;
    let found = accounts.iter().find(|account| account.last.incident == args.incident);
    let Some(account) = found else {
        let names: Vec<&str> = accounts.iter().map(|account| account.last.incident.as_str()).collect();
        return Err(Failure::because(match names.as_slice() {
            [] => format!("{} has had no incident", args.model),
            names => format!(
                "{} has no incident `{}`; expected one of {}",
                args.model,
                args.incident,
                names.join(", ")
            ),
        }));
    };
    if args.output.json {
        return show::json(account);
    }
    let last = &account.last;
    let mut lines = vec![
        format!("{}  {} ({})", show::strong(last.cause.title()), last.incident, last.severity.name()),
        format!("since    {}", show::minute(last.since)),
        format!("changed  {}", last.changed),
    ];
    if !last.columns.is_empty() {
        lines.push(format!("columns  {}", last.columns.join(", ")));
    }
    lines.push(format!("cost     {}", last.cost));
    lines.push(format!("loop     {}", last.next));
    lines.push(match account.closed {
        Some(closed) => format!("over     {}", show::minute(closed)),
        None => "open".to_owned(),
    });
    lines.push(String::new());
    lines.extend(
        account
            .course
            .iter()
            .map(|step| format!("#{} {}  {}", step.entry, show::minute(step.at), step.words)),
    );
    show::say(lines.join("\n"))
}

fn acknowledge(args: &AckArgs) -> Result<(), Failure> {
    let (model, incident) = (segment(args.model.as_str()), segment(&args.incident));
    let path = format!("/v1/models/{model}/incidents/{incident}/acknowledge");
    let body = json!({"for": args.span.map(|span| span.to_string()), "reason": args.reason});
    let answer = args.project.server()?.post(&path, &body)?;
    if args.output.json {
        return show::json(&answer);
    }
    let entry = answer.get("entry").and_then(serde_json::Value::as_u64).unwrap_or_default();
    let silence = args.span.map_or(String::new(), |span| format!(", nothing is told of it for {span}"));
    show::say(format!("{} of {} is known{silence} (entry {entry})", args.incident, args.model))
}

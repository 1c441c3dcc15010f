//! `gyre model promote` and `gyre rollback` (or `gyre model rollback`): a person moves traffic, through the running server.
//!
//! The journal names the person and the reason. `--dry-run` asks the store instead of the server.

use std::time::Instant;

use clap::Args;
use gyre_core::{Fact, ModelName, Version};
use gyre_registry::VersionStatus;
use gyre_store::{StoreError, Tx, journal};
use serde::Deserialize;
use serde_json::json;

use crate::cli::{OutputArgs, ProjectArgs};
use crate::client::{ClientError, Server, ServerArgs, segment};
use crate::failure::Failure;
use crate::show;

#[derive(Debug, Args)]
pub(crate) struct PromoteArgs {
    /// The model.
    model: ModelName,
    /// The version that is to take all traffic: `3` or `v3`.
    // Not called `version`, for every command has a flag of that name.
    #[arg(id = "candidate", value_name = "VERSION", value_parser = version)]
    version: Version,
    #[command(flatten)]
    how: HowArgs,
}

#[derive(Debug, Args)]
#[command(
    after_help = "A rollout under way goes back to its champion; without one, the champion before serves again."
)]
pub(crate) struct RollbackArgs {
    /// The model.
    model: ModelName,
    #[command(flatten)]
    how: HowArgs,
}

#[derive(Debug, Args)]
pub(super) struct HowArgs {
    /// Why: it becomes part of the journal.
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
    /// Say what would happen, and do nothing.
    #[arg(long)]
    pub(super) dry_run: bool,
    #[command(flatten)]
    pub(super) project: ProjectArgs,
    #[command(flatten)]
    pub(super) output: OutputArgs,
    #[command(flatten)]
    server: ServerArgs,
}

pub(super) fn version(text: &str) -> Result<Version, String> {
    let number = text.strip_prefix('v').unwrap_or(text).parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| "expected a version's number, such as 3".to_owned())
}

/// What the server answers.
#[derive(Deserialize)]
struct Done {
    entry: u64,
}

pub(crate) fn promote(args: &PromoteArgs) -> Result<(), Failure> {
    if args.how.dry_run {
        let plan = args.how.project.store()?.read(|tx| promotion(tx, &args.model, args.version))?;
        return args.how.tell_plan(&args.model, plan);
    }
    let body = json!({"version": args.version, "reason": args.how.reason});
    args.how.ask(&args.model, "promote", &body)
}

pub(crate) fn roll_back(args: &RollbackArgs) -> Result<(), Failure> {
    if args.how.dry_run {
        let plan = args.how.project.store()?.read(|tx| rollback(tx, &args.model))?;
        return args.how.tell_plan(&args.model, plan);
    }
    args.how.ask(&args.model, "rollback", &json!({"reason": args.how.reason}))
}

/// From which version to which the traffic would move, or why it would not.
type Plan = Result<(Option<Version>, Version), String>;

fn promotion(tx: &mut Tx<'_>, model: &ModelName, version: Version) -> Result<Plan, StoreError> {
    let champion = gyre_registry::champion(tx, model)?;
    if champion == Some(version) {
        return Ok(Err(format!("version {version} of `{model}` is the champion already")));
    }
    let record = gyre_registry::version(tx, model, version)?;
    if !record.gates.is_some_and(|gates| gates.passed) {
        return Ok(Err(format!(
            "version {version} of `{model}` has not passed its gates, so it cannot take traffic; see `gyre model show {model}`"
        )));
    }
    Ok(Ok((champion, version)))
}

fn rollback(tx: &mut Tx<'_>, model: &ModelName) -> Result<Plan, StoreError> {
    let Some(champion) = gyre_registry::champion(tx, model)? else {
        return Ok(Err(format!("`{model}` has no version to go back to")));
    };
    let versions = gyre_registry::versions(tx, model)?;
    let rolling = versions.iter().find(|version| version.status == VersionStatus::RollingOut);
    if let Some(candidate) = rolling {
        return Ok(Ok((Some(candidate.registered.version), champion)));
    }
    let before = gyre_registry::previous_champion(tx, model)?;
    Ok(before
        .map(|before| (Some(champion), before))
        .ok_or_else(|| format!("`{model}` has no version to go back to")))
}

impl HowArgs {
    /// The server that is to do it.
    pub(super) fn server(&self) -> Result<Server, ClientError> {
        self.server.server(&self.project.project)
    }

    fn tell_plan(&self, model: &ModelName, plan: Plan) -> Result<(), Failure> {
        let (from, to) = plan.map_err(Failure::because)?;
        if self.output.json {
            return show::json(&json!({"model": model, "from": from, "to": to, "dry_run": true}));
        }
        let from = from.map_or_else(String::new, |from| format!(" (now v{from})"));
        show::say(format!("would send all traffic of {model} to v{to}{from}"))
    }

    /// Has the server do it, and says what the journal holds of it.
    fn ask(&self, model: &ModelName, what: &str, body: &serde_json::Value) -> Result<(), Failure> {
        let server = self.server()?;
        let begun = Instant::now();
        let answer = server.post(&format!("/v1/models/{}/{what}", segment(model.as_str())), body)?;
        let millis = begun.elapsed().as_secs_f64() * 1e3;
        let Done { entry } = serde_json::from_value(answer)?;
        if self.server.is_elsewhere() {
            // The journal that tells the rest is there.
            let told = json!({"model": model, "entry": entry, "millis": millis});
            return match self.output.json {
                true => show::json(&told),
                false => show::say(format!("{model}: done (entry {entry}, {millis:.1} ms)")),
            };
        }
        let fact = self.project.store()?.read(|tx| journal::get(tx, entry))?.fact;
        let (from, to) = match fact {
            Fact::Promoted { version, previous, .. } => (previous, Some(version)),
            Fact::RolledBack { from, to, .. } => (Some(from), Some(to)),
            _ => (None, None),
        };
        if self.output.json {
            let told = json!({"model": model, "entry": entry, "from": from, "to": to, "millis": millis});
            return show::json(&told);
        }
        let from = from.map_or_else(String::new, |from| format!(", no longer to v{from}"));
        let to = show::strong(&show::version(to));
        show::say(format!("all traffic of {model} goes to {to}{from} (entry {entry}, {millis:.1} ms)"))
    }
}

//! `gyre traffic`: shares by hand, and who takes how much now.

use clap::Args;
use gyre_core::{ModelName, Version};
use serde_json::json;

use super::deploy::percent;
use super::traffic::{HowArgs, version};
use crate::client::segment;
use crate::failure::Failure;
use crate::show;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gyre traffic price                who takes how much
  gyre traffic price 3=90 4=10      version 3 ninety percent, version 4 ten

The champion stays in charge: a version that fails more often beside it loses its share at once.")]
pub(crate) struct TrafficArgs {
    /// The model.
    model: ModelName,
    /// A version and its share in percent; together they are 100. None shows the shares.
    #[arg(value_name = "VERSION=SHARE", value_parser = share)]
    shares: Vec<(Version, String)>,
    #[command(flatten)]
    how: HowArgs,
}

fn share(text: &str) -> Result<(Version, String), String> {
    let (of, share) = text.split_once('=').ok_or("expected VERSION=SHARE, such as 3=90")?;
    Ok((version(of)?, percent(share)))
}

pub(crate) fn run(args: &TrafficArgs) -> Result<(), Failure> {
    if args.shares.is_empty() {
        return shown(args);
    }
    let server = args.how.server()?;
    let weights: Vec<_> =
        args.shares.iter().map(|(version, share)| json!({"version": version, "share": share})).collect();
    let body = json!({"weights": weights, "reason": args.how.reason, "dry_run": args.how.dry_run});
    let answer =
        server.post_patiently(&format!("/v1/models/{}/traffic", segment(args.model.as_str())), &body)?;
    if args.how.output.json {
        return show::json(&answer);
    }
    let shares: Vec<String> =
        args.shares.iter().map(|(version, share)| format!("version {version} {share}")).collect();
    let shares = shares.join(", ");
    show::say(match answer.get("entry") {
        Some(entry) => format!("traffic of {}: {shares} (entry {entry})", args.model),
        None => format!("would split the traffic of {}: {shares}", args.model),
    })
}

fn shown(args: &TrafficArgs) -> Result<(), Failure> {
    let store = args.how.project.store()?;
    let (champion, shares) = store.read(|tx| {
        Ok((gyre_registry::champion(tx, &args.model)?, gyre_registry::traffic(tx, &args.model)?))
    })?;
    if args.how.output.json {
        let shares: Vec<_> = shares
            .iter()
            .map(|(version, share)| json!({"version": version, "share": f64::from(*share) / 100.0}))
            .collect();
        return show::json(&json!({"model": args.model, "champion": champion, "shares": shares}));
    }
    if shares.is_empty() {
        return show::say(format!("no version of {} takes traffic", args.model));
    }
    let rows = shares.iter().map(|(version, share)| {
        let role = if Some(*version) == champion { "champion" } else { "" };
        vec![format!("v{version}"), show::share(*share), role.to_owned()]
    });
    show::say(show::table(&["VERSION", "TRAFFIC", ""], &[1], rows.collect()))
}

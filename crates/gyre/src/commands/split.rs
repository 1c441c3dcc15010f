//! `gyre traffic`: shares and rules by hand, and who takes how much now.

use clap::Args;
use gyre_core::fact::{Fact, SplitRule, SplitRules, Target};
use gyre_core::{ModelName, Version};
use gyre_store::{StoreError, Tx, journal};
use serde_json::json;

use super::deploy::{BanditArgs, percent};
use super::traffic::{HowArgs, version};
use crate::client::segment;
use crate::failure::Failure;
use crate::show;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gyre traffic price                                who takes how much, and by which rules
  gyre traffic price 3=90 4=10                      version 3 ninety percent, version 4 ten
  gyre traffic price --when \"region == 'EU'\" 4=100  all of Europe to version 4, before chance decides
  gyre traffic price --when \"header['x-tier'] == 'beta'\" --header x-tier candidate=100
  gyre traffic price --bandit 3,4,5 --floor 5%      shares by what comes true, until one is best for sure
  gyre traffic price --drop \"region == 'EU'\"        that rule no more; --drop all: no rule

The champion stays in charge: a version that fails more often beside it loses its share at once. Rules are held against
each row, the first that holds decides; what they decide is no evidence for or against a version.")]
pub(crate) struct TrafficArgs {
    /// The model.
    model: ModelName,
    /// A version and its share in percent; together they are 100. None shows the shares.
    #[arg(value_name = "VERSION=SHARE", value_parser = share)]
    shares: Vec<(Target, String)>,
    /// A rule: the rows for which this CEL expression over their features holds go to the version with 100.
    #[arg(long, value_name = "RULE")]
    when: Option<String>,
    /// A header that rules may ask for, as header['name']; may be given several times.
    #[arg(long, value_name = "NAME", requires = "when")]
    header: Vec<String>,
    /// Drops a rule, as it was given; `all` drops all of them.
    #[arg(long, value_name = "RULE", conflicts_with_all = ["when", "shares"])]
    drop: Option<String>,
    /// The versions, the champion among them, among which a bandit chooses by what comes true.
    #[arg(long, value_name = "VERSION,…", value_delimiter = ',', value_parser = version, conflicts_with_all = ["when", "drop", "shares"])]
    bandit: Vec<Version>,
    #[command(flatten)]
    learning: BanditArgs,
    #[command(flatten)]
    how: HowArgs,
}

fn share(text: &str) -> Result<(Target, String), String> {
    let (of, share) = text.split_once('=').ok_or("expected VERSION=SHARE, such as 3=90")?;
    let target = match of {
        "champion" => Target::Champion,
        "candidate" => Target::Candidate,
        of => Target::Version(version(of)?),
    };
    Ok((target, percent(share)))
}

pub(crate) fn run(args: &TrafficArgs) -> Result<(), Failure> {
    if args.when.is_some() || args.drop.is_some() {
        return rule(args);
    }
    if !args.bandit.is_empty() {
        return bandit(args);
    }
    if args.learning.plan(&[]).is_some() {
        return Err(Failure::because("how a bandit learns goes with --bandit VERSION,…"));
    }
    if args.shares.is_empty() {
        return shown(args);
    }
    let weights = args.shares.iter().map(|(target, share)| match target {
        Target::Version(version) => Ok((*version, share)),
        Target::Champion | Target::Candidate => Err(Failure::because(
            "shares are given to versions; `champion` and `candidate` go with a rule (--when)",
        )),
    });
    let weights: Vec<(Version, &String)> = weights.collect::<Result<_, _>>()?;
    let body: Vec<_> =
        weights.iter().map(|(version, share)| json!({"version": version, "share": share})).collect();
    let answer = args.post(json!({"weights": body}))?;
    if args.how.output.json {
        return show::json(&answer);
    }
    let shares: Vec<String> =
        weights.iter().map(|(version, share)| format!("version {version} {share}")).collect();
    let shares = shares.join(", ");
    show::say(match answer.get("entry") {
        Some(entry) => format!("traffic of {}: {shares} (entry {entry})", args.model),
        None => format!("would split the traffic of {}: {shares}", args.model),
    })
}

/// Has a bandit choose among versions.
fn bandit(args: &TrafficArgs) -> Result<(), Failure> {
    let champion = args.how.project.store()?.read(|tx| gyre_registry::champion(tx, &args.model))?;
    let challenger = args.bandit.iter().find(|arm| Some(**arm) != champion);
    let challenger =
        challenger.ok_or_else(|| Failure::because("a bandit chooses among two versions at least"))?;
    let plan = json!({"strategy": "bandit", "bandit": args.learning.plan(&args.bandit)});
    let body = json!({
        "version": challenger, "plan": plan, "reason": args.how.reason, "dry_run": args.how.dry_run,
    });
    let path = format!("/v1/models/{}/deploy", segment(args.model.as_str()));
    let answer = args.how.server()?.post_patiently(&path, &body)?;
    if args.how.output.json {
        return show::json(&answer);
    }
    let arms: Vec<String> = args.bandit.iter().map(ToString::to_string).collect();
    let arms = arms.join(", ");
    show::say(match answer.get("entry") {
        Some(entry) => format!("a bandit chooses among versions {arms} of {} (entry {entry})", args.model),
        None => format!("a bandit would choose among versions {arms} of {}", args.model),
    })
}

/// Sets or drops a rule, among those that are in force.
fn rule(args: &TrafficArgs) -> Result<(), Failure> {
    let mut split = args.how.project.store()?.read(|tx| rules(tx, &args.model))?;
    if let Some(dropped) = &args.drop {
        let before = split.rules.len();
        split.rules.retain(|rule| dropped != "all" && rule.when != *dropped);
        if split.rules.len() == before {
            return Err(Failure::because(format!(
                "there is no rule `{dropped}` of {}; `gyre traffic {}` shows them",
                args.model, args.model
            )));
        }
    }
    if let Some(when) = &args.when {
        let to = match &args.shares[..] {
            [(target, share)] if share == "100%" => *target,
            _ => {
                return Err(Failure::because(
                    "a rule sends all that it matches to one version; expected VERSION=100, candidate=100 or champion=100",
                ));
            }
        };
        split.rules.retain(|rule| rule.when != *when);
        split.rules.push(SplitRule { when: when.clone(), to });
        split.headers.extend(args.header.iter().map(|name| name.to_ascii_lowercase()));
        split.headers.sort();
        split.headers.dedup();
    }
    if split.rules.is_empty() {
        split.headers.clear();
    }
    let answer = args.post(json!({"split": split}))?;
    if args.how.output.json {
        return show::json(&answer);
    }
    let told = match split.rules.len() {
        0 => "no rules".to_owned(),
        1 => "1 rule".to_owned(),
        many => format!("{many} rules"),
    };
    show::say(match answer.get("entry") {
        Some(entry) => format!("{} has {told} (entry {entry})", args.model),
        None => format!("{} would have {told}", args.model),
    })
}

impl TrafficArgs {
    fn post(&self, mut body: serde_json::Value) -> Result<serde_json::Value, Failure> {
        body["reason"] = json!(self.how.reason);
        body["dry_run"] = json!(self.how.dry_run);
        let path = format!("/v1/models/{}/traffic", segment(self.model.as_str()));
        Ok(self.how.server()?.post_patiently(&path, &body)?)
    }
}

/// The rules that are in force.
fn rules(tx: &mut Tx<'_>, model: &ModelName) -> Result<SplitRules, StoreError> {
    let latest = journal::latest_of_kind(tx, "split_ruled", model.as_str())?;
    Ok(match latest.map(|entry| entry.fact) {
        Some(Fact::SplitRuled { split, .. }) => split,
        _ => SplitRules::default(),
    })
}

fn shown(args: &TrafficArgs) -> Result<(), Failure> {
    let store = args.how.project.store()?;
    let (champion, shares, split) = store.read(|tx| {
        Ok((
            gyre_registry::champion(tx, &args.model)?,
            gyre_registry::traffic(tx, &args.model)?,
            rules(tx, &args.model)?,
        ))
    })?;
    if args.how.output.json {
        let shares: Vec<_> = shares
            .iter()
            .map(|(version, share)| json!({"version": version, "share": f64::from(*share) / 100.0}))
            .collect();
        return show::json(
            &json!({"model": args.model, "champion": champion, "shares": shares, "split": split}),
        );
    }
    if shares.is_empty() {
        return show::say(format!("no version of {} takes traffic", args.model));
    }
    let rows = shares.iter().map(|(version, share)| {
        let role = if Some(*version) == champion { "champion" } else { "" };
        vec![format!("v{version}"), show::share(*share), role.to_owned()]
    });
    let mut told = show::table(&["VERSION", "TRAFFIC", ""], &[1], rows.collect());
    for rule in &split.rules {
        told.push_str(&format!("\nbefore that: {} goes to {}", rule.when, rule.to));
    }
    show::say(told)
}

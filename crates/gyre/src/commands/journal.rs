//! `gyre journal`: what happened, why, and the proof that nobody changed the record.

use std::collections::VecDeque;

use clap::{Args, Subcommand};
use gyre_core::{Entry, Fact, merkle};
use gyre_store::{Store, StoreError, journal};
use serde::Serialize;
use serde_json::json;

use crate::cli::{OutputArgs, ProjectArgs};
use crate::failure::Failure;
use crate::show;

/// Entries that are read at a time.
const PAGE: u64 = 1_000;

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  gyre journal                              the last entries
  gyre journal --kind gates_judged          what the gates said
  gyre journal --model air-time --after 120 what happened to a model since entry 120
  gyre journal show 42 --proof              one entry, with the proof that it is in the tree
  gyre journal verify                       recompute everything"
)]
pub(crate) struct JournalArgs {
    #[command(subcommand)]
    command: Option<JournalCommand>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, Subcommand)]
enum JournalCommand {
    /// Entries, oldest first; without --after the last ones.
    List(ListArgs),
    /// One entry, whole.
    Show(ShowArgs),
    /// Recompute every leaf and the root; exit code 1 when anything was changed.
    Verify(VerifyArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Begin after this entry; 0 begins with the first.
    #[arg(long, value_name = "ENTRY")]
    after: Option<u64>,
    /// The most entries.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
    /// Only entries about this model.
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// Only entries of this kind, such as decision_taken.
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    #[command(flatten)]
    project: ProjectArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
struct ShowArgs {
    /// The entry's number.
    entry: u64,
    /// With the hashes that prove it is in the tree (RFC 6962 inclusion proof).
    #[arg(long)]
    proof: bool,
    #[command(flatten)]
    project: ProjectArgs,
}

#[derive(Debug, Args)]
struct VerifyArgs {
    #[command(flatten)]
    project: ProjectArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(crate) fn run(args: &JournalArgs) -> Result<(), Failure> {
    match &args.command {
        None => list(&args.list),
        Some(JournalCommand::List(args)) => list(args),
        Some(JournalCommand::Show(args)) => show_one(args),
        Some(JournalCommand::Verify(args)) => verify(args),
    }
}

fn list(args: &ListArgs) -> Result<(), Failure> {
    let store = args.project.store()?;
    let entries = match args.after {
        Some(after) => args.following(&store, after)?,
        None => args.last(&store)?,
    };
    if args.output.json {
        return show::json(&json!({ "entries": entries }));
    }
    let row = |entry: &Entry| {
        vec![
            entry.seq.to_string(),
            show::minute(entry.at),
            entry.fact.model().map(ToString::to_string).unwrap_or_default(),
            entry.fact.kind().to_owned(),
            words(entry),
        ]
    };
    let header = ["ENTRY", "TIME", "MODEL", "KIND", "WHAT"];
    show::say(show::table(&header, &[0], entries.iter().map(row).collect()))
}

impl ListArgs {
    fn wants(&self, entry: &Entry) -> bool {
        let model = entry.fact.model().map(gyre_core::ModelName::as_str);
        self.model.as_deref().is_none_or(|wanted| model == Some(wanted))
            && self.kind.as_deref().is_none_or(|wanted| entry.fact.kind() == wanted)
    }

    fn following(&self, store: &Store, after: u64) -> Result<Vec<Entry>, StoreError> {
        let mut found = Vec::new();
        let mut after = after.min(i64::MAX as u64);
        while found.len() < self.limit {
            let page = store.read(|tx| journal::entries(tx, after, PAGE))?;
            let Some(last) = page.last() else { break };
            after = last.seq;
            found.extend(page.into_iter().filter(|entry| self.wants(entry)));
        }
        found.truncate(self.limit);
        Ok(found)
    }

    fn last(&self, store: &Store) -> Result<Vec<Entry>, StoreError> {
        let mut found = VecDeque::new();
        let mut before = store.read(journal::head)?.size;
        while before > 0 && found.len() < self.limit {
            let after = before.saturating_sub(PAGE);
            let page = store.read(|tx| journal::entries(tx, after, before - after))?;
            let wanted = page.into_iter().rev().filter(|entry| self.wants(entry));
            wanted.take(self.limit - found.len()).for_each(|entry| found.push_front(entry));
            before = after;
        }
        Ok(found.into())
    }
}

/// The entry in one line, as far as a line goes.
fn words(entry: &Entry) -> String {
    let Some(event) = gyre_server::news::of(entry) else { return detail(&entry.fact) };
    let reason = event.reason.lines().collect::<Vec<_>>().join("; ");
    if reason.is_empty() { event.title } else { format!("{}: {reason}", event.title) }
}

/// What is no news by itself, and yet belongs in a list of everything.
fn detail(fact: &Fact) -> String {
    match fact {
        Fact::DataRecorded(data) => {
            format!("{}: {} rows, data:{}", data.dataset, data.rows, data.digest.short())
        }
        Fact::RunFinished(run) => format!("run {} on data:{}", run.run, run.data.short()),
        Fact::LossEstimated(estimate) => estimate.summary(),
        Fact::TrafficShifted { weights, reason, .. } => {
            format!("{}: {reason}", show::shares(weights.iter().copied()))
        }
        Fact::WindowClosed(window) => format!(
            "{} to {}: {} predictions, {} labels",
            window.period.from.date(),
            window.period.to.date(),
            window.predictions,
            window.labels
        ),
        Fact::SegmentClosed { name, predictions, labels, .. } => {
            format!("{name}: {predictions} predictions, {labels} labels")
        }
        Fact::LogTroubled { dropped, problem, .. } => Fact::log_trouble(*dropped, problem.as_deref()),
        Fact::Tracking(change) => change.summary(),
        Fact::Registry(change) => change.summary(),
        Fact::Access(change) => change.summary(),
        _ => String::new(),
    }
}

/// Where an entry stands in the tree.
#[derive(Debug, Serialize)]
struct Proof {
    leaf_index: u64,
    tree_size: u64,
    leaf: gyre_core::Digest,
    hashes: Vec<gyre_core::Digest>,
    root: gyre_core::Digest,
    verified: bool,
}

fn show_one(args: &ShowArgs) -> Result<(), Failure> {
    let store = args.project.store()?;
    let (entry, head, leaves) = store.read(|tx| {
        let head = journal::head(tx)?;
        let leaves = if args.proof { journal::leaves(tx, head.size)? } else { Vec::new() };
        Ok((journal::get(tx, args.entry)?, head, leaves))
    })?;
    if !args.proof {
        return show::json(&entry);
    }
    let leaf_index = entry.seq.saturating_sub(1);
    let leaf = merkle::leaf_hash(serde_json::to_string(&entry)?.as_bytes());
    let hashes = usize::try_from(leaf_index).ok().and_then(|index| merkle::inclusion_proof(&leaves, index));
    let hashes = hashes.ok_or_else(|| Failure::because("the journal has fewer leaves than entries"))?;
    let verified = merkle::verify_inclusion(leaf, leaf_index, head.size, &hashes, head.root);
    let proof = Proof { leaf_index, tree_size: head.size, leaf, hashes, root: head.root, verified };
    show::json(&json!({ "entry": entry, "proof": proof }))?;
    if verified {
        Ok(())
    } else {
        Err(Failure::because("the proof does not hold: see `gyre journal verify`"))
    }
}

fn verify(args: &VerifyArgs) -> Result<(), Failure> {
    let found = journal::verify(&args.project.store()?)?;
    if args.output.json {
        show::json(&found)?;
    } else if found.verified {
        let verdict = show::good("verified");
        show::say(format!(
            "{verdict}: {} entries are as they were written, root {}",
            found.entries, found.root
        ))?;
    }
    if found.verified {
        return Ok(());
    }
    let problems: String = found.problems.iter().map(|problem| format!("\n  {problem}")).collect();
    Err(Failure::because(format!("the journal is not as it was written:{problems}")))
}

//! `gyre gc`: removes for good what was deleted, with its artifacts.

use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};

use clap::Args;
use gyre_artifacts::{Artifacts, Folder, index};
use gyre_core::time::SystemClock;
use gyre_core::{Clock, Diagnostic, Span};
use gyre_store::{Store, StoreError, Tx};
use gyre_traces::infos::{self, Doomed};
use gyre_tracking::experiments::{self, Stage};
use gyre_tracking::purge::{self, Purge, Purged};
use gyre_tracking::{By, provenance, runs};
use serde::Serialize;

use super::offline::{DepotArgs, Offline};
use crate::cli::{OutputArgs, ProjectArgs};
use crate::failure::Failure;
use crate::show;

#[derive(Debug, Args)]
#[command(after_help = "\
What is deleted through MLflow's clients and pages is only put aside, and can be restored. This removes it for good: runs,
experiments with their traces, logged models, the artifacts of all of these, and records of where runs came from that no run
refers to any more. What a registered model version came from is kept; delete the version first. The experiment of number 0
stays, empty.

A dry run may be made at any time. For the rest gyre's own server must be stopped, unless the store is in PostgreSQL and the
server runs in another folder.

Examples:
  gyre gc --older-than 30d --dry-run       what would go
  gyre gc --older-than 30d --yes           as a nightly job
  gyre gc --experiment 3                   what was deleted in experiment 3, and the experiment when it was deleted too")]
pub(crate) struct GcArgs {
    /// Only what was deleted longer ago than this, such as 30d, 12h, 45m.
    #[arg(long, value_name = "SPAN")]
    older_than: Option<Span>,
    /// Only what was deleted in these experiments, and those of them that were deleted themselves.
    #[arg(long = "experiment", value_name = "ID", value_delimiter = ',')]
    experiments: Vec<i64>,
    /// Only these runs, which must have been deleted.
    #[arg(long = "run", value_name = "ID", value_delimiter = ',')]
    runs: Vec<String>,
    /// Say what would be removed, and remove nothing.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask whether that is meant.
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    depot: DepotArgs,
    #[command(flatten)]
    project: ProjectArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// What was removed, or would be.
#[derive(Debug, Default, Serialize)]
struct Report {
    dry_run: bool,
    /// Ids of runs.
    runs: Vec<String>,
    /// Numbers of experiments.
    experiments: Vec<i64>,
    /// Ids of logged models.
    logged_models: Vec<String>,
    /// Traces of those experiments.
    traces: u64,
    /// Files among the artifacts, and their bytes as they were logged.
    files: u64,
    bytes: u64,
    /// Ids of runs and logged models that stay because a registered version came from them.
    held: Vec<String>,
    /// Records of where runs came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    records: Option<u64>,
    /// Bytes that the disk, or the bucket, has again: what is kept twice is kept once.
    #[serde(skip_serializing_if = "Option::is_none")]
    freed: Option<u64>,
}

pub(crate) fn run(args: &GcArgs) -> Result<(), Failure> {
    if args.dry_run {
        let store = args.project.store()?;
        let purge = args.purge(&store, &SystemClock)?;
        let (_, report) = survey(&store, &purge)?;
        return args.tell(&Report { dry_run: true, ..report });
    }
    // Nothing is made where there is nothing to be removed.
    drop(args.project.store()?);
    let Offline { clock, store, artifacts, .. } = &args.depot.open(&args.project)?;
    let purge = args.purge(store, clock.as_ref())?;
    let (found, report) = survey(store, &purge)?;
    if !found.is_empty() && !args.yes {
        ask(&report)?;
    }
    args.tell(&carry_out(store, artifacts, &purge, &found, clock.as_ref())?)
}

impl GcArgs {
    /// What is asked for, once it is sure that it makes sense.
    fn purge(&self, store: &Store, clock: &dyn Clock) -> Result<Purge, Failure> {
        let before = self.older_than.map_or(i64::MAX, |age| (clock.now() - age).as_millis());
        let wrong = store.read(|tx| {
            let mut wrong = Vec::new();
            for run in &self.runs {
                wrong.extend(unfit_run(tx, run)?.map(|why| Diagnostic::new(format!("--run {run}"), why)));
            }
            for id in &self.experiments {
                if let Err(StoreError::NotFound { .. }) = experiments::get(tx, *id) {
                    wrong.push(Diagnostic::new(format!("--experiment {id}"), "there is no such experiment"));
                }
            }
            Ok(wrong)
        })?;
        if !wrong.is_empty() {
            return Err(Failure::Input(wrong));
        }
        Ok(Purge {
            before,
            run_ids: self.runs.iter().cloned().collect(),
            experiments: self.experiments.iter().copied().collect(),
            needed: store.read(gyre_registry::needed_by_versions)?,
        })
    }

    fn tell(&self, report: &Report) -> Result<(), Failure> {
        if self.output.json {
            return show::json(report);
        }
        if !report.dry_run {
            return show::say(words(report, "REMOVED"));
        }
        show::say(words(report, "WOULD GO"))?;
        show::say("nothing was removed: this was a dry run")
    }
}

/// Why the run of that id cannot be removed, if it cannot.
fn unfit_run(tx: &mut Tx<'_>, run: &str) -> Result<Option<&'static str>, StoreError> {
    Ok(match runs::find(tx, run)? {
        None => Some("there is no such run"),
        Some(run) if run.stage == Stage::Active => Some("the run was not deleted; delete it first"),
        Some(_) => None,
    })
}

/// What there is to be removed, and what that amounts to.
fn survey(store: &Store, purge: &Purge) -> Result<(Purged, Report), StoreError> {
    store.read(|tx| {
        let found = purge::survey(tx, purge)?;
        let mut report = Report {
            runs: found.runs.iter().map(|gone| gone.id.clone()).collect(),
            experiments: found.experiments.iter().map(|gone| gone.id).collect(),
            logged_models: found.models.iter().map(|gone| gone.id.clone()).collect(),
            held: found.held.clone(),
            ..Report::default()
        };
        for folder in folders(&found) {
            let (files, bytes) = index::measure(tx, &folder)?;
            (report.files, report.bytes) = (report.files + files, report.bytes + bytes);
        }
        for gone in &found.experiments {
            report.traces += gyre_traces::experiments::traces(tx, gone.id)?;
        }
        Ok((found, report))
    })
}

/// The folders of artifacts that go, none inside another. Artifacts that lie elsewhere are not gyre's to remove.
fn folders(found: &Purged) -> Vec<Folder> {
    let all = found.artifact_uris().filter_map(|uri| Folder::from_uri(uri).ok());
    let all: BTreeSet<Folder> = all.filter(|folder| !folder.is_root()).collect();
    let inside = |folder: &&Folder| folder.above().any(|above| all.contains(&above));
    all.iter().filter(|folder| !inside(folder)).cloned().collect()
}

fn ask(report: &Report) -> Result<(), Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::because(
            "nothing was removed: say --yes to remove for good what --dry-run lists (there is no terminal to ask on)",
        ));
    }
    anstream::eprint!("{}\n\nRemove all of it for good? [y/N] ", words(report, "TO BE REMOVED"));
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::because("nothing was removed")),
    }
}

/// Removes `found` in parts. Whatever breaks it off, the next call goes on.
fn carry_out(
    store: &Store,
    artifacts: &Artifacts,
    purge: &Purge,
    found: &Purged,
    clock: &dyn Clock,
) -> Result<Report, Failure> {
    let by = By { actor: "user:local".to_owned(), origin: Some("gyre gc".to_owned()), at: clock.now() };
    let mut report = Report { held: found.held.clone(), ..Report::default() };
    for gone in &found.experiments {
        loop {
            let (id, by) = (gone.id, by.clone());
            let doomed = Doomed::Until(i64::MAX);
            let deleted = store.write(move |tx| match experiments::get(tx, id)?.stage {
                Stage::Deleted => infos::delete(tx, id, &doomed, infos::DELETED_AT_ONCE, &by),
                // Somebody has brought it back meanwhile.
                Stage::Active => Ok(0),
            })?;
            report.traces += deleted;
            if deleted == 0 {
                break;
            }
        }
    }
    for part in found.parts() {
        let (purge, by, now) = (purge.clone(), by.clone(), clock.now());
        let (removed, files, bytes) = store.write(move |tx| {
            let removed = purge::remove(tx, &purge, &part, &by)?;
            for gone in &removed.experiments {
                gyre_traces::experiments::forget(tx, gone.id)?;
            }
            let (mut files, mut bytes) = (0, 0);
            for folder in folders(&removed) {
                let (of_files, of_bytes) = index::measure(tx, &folder)?;
                (files, bytes) = (files + of_files, bytes + of_bytes);
                index::remove_tree(tx, &folder, now)?;
            }
            Ok((removed, files, bytes))
        })?;
        report.runs.extend(removed.runs.into_iter().map(|gone| gone.id));
        report.logged_models.extend(removed.models.into_iter().map(|gone| gone.id));
        report.experiments.extend(removed.experiments.into_iter().map(|gone| gone.id));
        (report.files, report.bytes) = (report.files + files, report.bytes + bytes);
    }
    report.records = Some(store.write(provenance::remove_unused)?);
    report.freed = Some(artifacts.reclaim()?.bytes);
    Ok(report)
}

fn words(report: &Report, heading: &str) -> String {
    let row = |what: &str, count: u64| vec![what.to_owned(), count.to_string()];
    let mut rows = vec![
        row("runs", report.runs.len() as u64),
        row("experiments", report.experiments.len() as u64),
        row("logged models", report.logged_models.len() as u64),
        row("traces", report.traces),
        row("files", report.files),
        row("bytes of files", report.bytes),
    ];
    rows.extend(report.records.map(|records| row("records of origin", records)));
    rows.extend(report.freed.map(|freed| row("bytes freed", freed)));
    let mut said = show::table(&["WHAT", heading], &[1], rows);
    if !report.held.is_empty() {
        let count = report.held.len();
        let some: Vec<&str> = report.held.iter().take(5).map(String::as_str).collect();
        let more = if count > some.len() { ", …" } else { "" };
        said.push_str(&format!(
            "\n\nkept: {count} that registered model versions came from ({}{more}); delete those versions first",
            some.join(", ")
        ));
    }
    said
}

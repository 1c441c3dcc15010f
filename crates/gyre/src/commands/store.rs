//! `gyre store`: where the project's memory is, a copy of it, and moving it to PostgreSQL.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use gyre_core::Clock;
use gyre_core::time::SystemClock;
use gyre_loop::STATE_DIR;
use gyre_store::{Info, Step, StoreUrl, Transfer, move_to_postgres, plan_move};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::cli::{OutputArgs, ProjectArgs};
use crate::failure::Failure;
use crate::show;

#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Say which database it is, how large, and which versions its tables have.
    Info(InfoArgs),
    /// Copy the SQLite database, also while a server runs.
    Backup(BackupArgs),
    /// Move the store from SQLite to PostgreSQL: everything or nothing.
    #[command(after_help = "\
The server must be stopped, so that nothing it acknowledges is left behind. All tables are copied in one transaction, and
the journal is verified on the other side before it commits. Afterwards the project says where its store has gone; start
it with `gyre up --store URL`, or set GYRE_STORE. Models and logs stay in the project's folder.

Example: PGPASSWORD=… gyre store migrate-to postgres://gyre@db.example.org/gyre")]
    MigrateTo(MigrateArgs),
}

#[derive(Debug, Args)]
pub(crate) struct InfoArgs {
    #[command(flatten)]
    project: ProjectArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// Where to; otherwise `.gyre/backup/manual-<date>.db`.
    file: Option<PathBuf>,
    #[command(flatten)]
    project: ProjectArgs,
}

#[derive(Debug, Args)]
pub(crate) struct MigrateArgs {
    /// The database, in which there must be no store yet; the password better in PGPASSWORD, where `ps` does not show it.
    #[arg(value_name = "URL")]
    to: StoreUrl,
    /// Check everything that can be checked, and say what would be moved.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    project: ProjectArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(crate) fn run(command: &StoreCommand) -> Result<(), Failure> {
    match command {
        StoreCommand::Info(args) => info(args),
        StoreCommand::Backup(args) => backup(args),
        StoreCommand::MigrateTo(args) => migrate(args),
    }
}

fn info(args: &InfoArgs) -> Result<(), Failure> {
    let info = args.project.store()?.info()?;
    if args.output.json { show::json(&info) } else { show::say(text(&info)) }
}

fn text(info: &Info) -> String {
    let rows = info.tables.iter().map(|(room, version)| vec![room.clone(), version.to_string()]).collect();
    format!(
        "{} in {}, {:.1} MiB\njournal: {} entries, root {}\n\n{}",
        info.software,
        info.place,
        info.bytes as f64 / f64::from(1 << 20),
        info.journal.size,
        info.journal.root,
        show::table(&["TABLES OF", "VERSION"], &[1], rows)
    )
}

fn backup(args: &BackupArgs) -> Result<(), Failure> {
    let made = args.project.store()?.backup(args.file.as_deref(), SystemClock.now())?;
    show::say(made.display())
}

fn migrate(args: &MigrateArgs) -> Result<(), Failure> {
    let dir = args.project.project.join(STATE_DIR);
    let moved = if args.dry_run {
        plan_move(&dir, &args.to)?
    } else {
        let bar = Bar::new(args.output.json);
        let moved = move_to_postgres(&dir, &args.to, gyre_loop::rooms(), Arc::new(SystemClock), |step| {
            bar.show(step);
        });
        bar.0.finish_and_clear();
        moved?
    };
    if args.output.json {
        return show::json(&json!({ "dry_run": args.dry_run, "moved": moved }));
    }
    show::say(outcome(&moved, args.dry_run))
}

fn outcome(moved: &Transfer, dry_run: bool) -> String {
    let rows = moved.tables.iter().map(|(table, rows)| vec![table.clone(), rows.to_string()]).collect();
    let table = show::table(&["TABLE", "ROWS"], &[1], rows);
    let (size, root) = (moved.head.size, moved.head.root);
    let said = if dry_run {
        format!("would move {size} journal entries (root {root}) to {}", moved.to)
    } else {
        format!(
            "moved to {}: {size} journal entries verified there, root {root}\nstart it with `gyre up --store URL`, or set GYRE_STORE",
            moved.to
        )
    };
    format!("{table}\n\n{said}")
}

/// A bar on a terminal, nothing elsewhere.
struct Bar(ProgressBar);

impl Bar {
    fn new(silent: bool) -> Self {
        let bar = if silent { ProgressBar::hidden() } else { ProgressBar::no_length() };
        if let Ok(style) =
            ProgressStyle::with_template("{prefix:24} {wide_bar:.cyan/blue} {pos}/{len} {elapsed}")
        {
            bar.set_style(style);
        }
        Self(bar)
    }

    fn show(&self, step: Step<'_>) {
        self.0.set_prefix(step.table.to_owned());
        self.0.set_length(step.total);
        self.0.set_position(step.done);
    }
}

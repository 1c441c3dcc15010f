//! `gyre profile`: what tables hold.

mod html;
mod text;

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::Args;
use gyre_core::Diagnostic;
use gyre_profile::{ProfileError, profile};
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::OutputArgs;
use crate::failure::Failure;
use crate::show;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gyre profile train.parquet
  gyre profile train.csv --columns age,income --html profile.html
  gyre profile monday.parquet --output monday.json
  gyre profile monday.json tuesday.json wednesday.parquet --output week.json   # profiles merge, without their data

Every row is read once, and a column takes the same memory however many there are. docs/monitoring.md says how exact
the figures are.")]
pub(crate) struct ProfileArgs {
    /// Tables (Parquet, Arrow or CSV), and stored profiles (JSON); all of them together are told as one.
    #[arg(required = true, value_name = "DATA")]
    data: Vec<PathBuf>,
    /// Only these columns, separated by commas.
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    columns: Option<Vec<String>>,
    /// Store the profile, so that it can be shown or merged again.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Also write a report as one self-contained HTML file.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    #[command(flatten)]
    shown: OutputArgs,
}

pub(crate) fn run(args: &ProfileArgs) -> Result<(), Failure> {
    let bar = bar(args.shown.json);
    let found = profile(&args.data, args.columns.as_deref(), &|rows| bar.set_position(rows));
    bar.finish_and_clear();
    let found = found.map_err(|error| match error {
        ProfileError::NoColumn { .. } => {
            Failure::Input(vec![Diagnostic::new("--columns", error.to_string())])
        }
        error => Failure::because(error),
    })?;
    let figures = found.figures();
    if let Some(path) = &args.output {
        found.store(path)?;
    }
    if let Some(path) = &args.html {
        let page = gyre_report::profile_report::html(&html::document(&figures));
        gyre_data::files::write(path, page.as_bytes())?;
    }
    if args.shown.json {
        return show::json(&figures);
    }
    show::say(text::table(&figures))?;
    for (what, path) in [("profile", &args.output), ("report", &args.html)] {
        if let Some(path) = path {
            show::say(format!("{what}: {}", path.display()))?;
        }
    }
    Ok(())
}

/// Rows so far on a terminal, nothing elsewhere.
fn bar(quiet: bool) -> ProgressBar {
    if quiet || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner:.cyan} {human_pos} rows, {per_sec}");
    ProgressBar::no_length().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
}

//! `gyre drift`: what has changed between two tables, or between two periods of a model's inference log.

mod html;
mod periods;
mod segments;
mod text;

use std::fmt::Display;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::Args;
use gyre_core::{Diagnostic, ModelName};
use gyre_drift::multivariate::{Options, multivariate};
use gyre_drift::{Comparison, DriftError, Settings, compare};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::cli::{OutputArgs, ProjectArgs};
use crate::failure::Failure;
use crate::show;
use segments::BySegment;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gyre drift january.parquet february.parquet
  gyre drift train.csv today.csv --columns age,income --html drift.html
  gyre drift train.parquet today.parquet --fail     # exit code 1 when something drifts: for pipelines
  gyre drift train.parquet today.parquet --multivariate
  gyre drift train.parquet today.parquet --by region    # within each region, too
  gyre drift --model demand --reference 2013-01-01..2013-02-01 --current last:7d

A column drifts when its change is significant (all columns taken together, at the false discovery rate) and at least as
large as its floor. docs/monitoring.md explains every figure.")]
pub(crate) struct DriftArgs {
    /// What is normal: Parquet, Arrow or CSV.
    #[arg(value_name = "REFERENCE", required_unless_present = "model")]
    before: Option<PathBuf>,
    /// What is compared with it: Parquet, Arrow or CSV.
    #[arg(value_name = "CURRENT", required_unless_present = "model")]
    after: Option<PathBuf>,
    /// Compare two periods of this model's inference log instead: its features, predictions and labels.
    #[arg(long, value_name = "MODEL", conflicts_with_all = ["before", "after"], requires_all = ["reference", "current"])]
    model: Option<ModelName>,
    /// What is normal of the log: `FROM..TO` (dates or moments; TO itself does not belong to it), `FROM..` for all since, or `last:7d`.
    #[arg(long, value_name = "PERIOD", requires = "model")]
    reference: Option<periods::Named>,
    /// The period that is compared with it.
    #[arg(long, value_name = "PERIOD", requires = "model")]
    current: Option<periods::Named>,
    /// Look at all columns together, too: a change of what columns have to do with each other shows in none of them.
    #[arg(long)]
    multivariate: bool,
    /// Compare within each of the most frequent values of this column (names or whole numbers), too; in the table and the JSON.
    #[arg(long, value_name = "COLUMN")]
    by: Option<String>,
    /// Seeds the samples that `--multivariate` looks at.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    seed: u64,
    /// Compare only these columns, separated by commas.
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    columns: Option<Vec<String>>,
    /// The share of columns found that may be found by luck.
    #[arg(long, value_name = "RATE", default_value_t = Settings::default().false_discovery_rate, value_parser = share)]
    fdr: f64,
    /// Numbers: how far their mass must have moved to matter, in ranges of the reference's middle half.
    #[arg(long, value_name = "RANGES", default_value_t = Settings::default().shift, value_parser = floor)]
    min_shift: f64,
    /// Names, hours, weekdays (and numbers, where the reference is one value): how much the share of one must have changed to matter.
    #[arg(long, value_name = "SHARE", default_value_t = Settings::default().share, value_parser = floor)]
    min_share: f64,
    /// How much the share of missing or infinite values must have changed to matter.
    #[arg(long, value_name = "SHARE", default_value_t = Settings::default().missing, value_parser = floor)]
    min_missing: f64,
    /// How much the share of rows with a name that is not in the reference must have changed to matter.
    #[arg(long, value_name = "SHARE", default_value_t = Settings::default().unseen, value_parser = floor)]
    min_unseen: f64,
    /// Show stable columns too.
    #[arg(long)]
    all: bool,
    /// End with exit code 1 when a column drifts, vanished, or changed its type, and with 2 when nothing could be judged.
    #[arg(long)]
    fail: bool,
    /// Also write the report as one self-contained HTML file.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    #[command(flatten)]
    project: ProjectArgs,
    #[command(flatten)]
    output: OutputArgs,
}

fn share(text: &str) -> Result<f64, String> {
    number(text).and_then(|x| {
        if x > 0.0 && x < 1.0 { Ok(x) } else { Err("expected a share between 0 and 1".to_owned()) }
    })
}

fn floor(text: &str) -> Result<f64, String> {
    number(text).and_then(|x| if x >= 0.0 { Ok(x) } else { Err("expected 0 or more".to_owned()) })
}

fn number(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "expected a number".to_owned())?;
    if number.is_finite() { Ok(number) } else { Err("expected a finite number".to_owned()) }
}

pub(crate) fn run(args: &DriftArgs) -> Result<(), Failure> {
    let settings = Settings {
        false_discovery_rate: args.fdr,
        shift: args.min_shift,
        share: args.min_share,
        missing: args.min_missing,
        unseen: args.min_unseen,
    };
    let (found, segments) = find(args, &settings)?;
    if let Some(path) = &args.html {
        let page = gyre_report::drift_report::html(&html::document(&found));
        gyre_data::files::write(path, page.as_bytes())?;
    }
    if args.output.json {
        show::json(&Found { whole: &found, by: segments.as_ref() })?;
    } else {
        show::say(text::table(&found, args.all))?;
        if let Some(segments) = &segments {
            show::say(format!("\n{}", segments.table()))?;
        }
        if let Some(path) = &args.html {
            show::say(format!("\nreport: {}", path.display()))?;
        }
    }
    match args.fail {
        true if found.has_drift() || segments.as_ref().is_some_and(BySegment::has_drift) => {
            Err(Failure::because(format!("{} has drifted from {}", found.current, found.reference)))
        }
        // A pipeline must not go on because a window was empty.
        true if !found.is_judged() => Err(Failure::Input(vec![Diagnostic::new(
            found.current,
            "nothing could be judged: no column has 30 rows with a value on both sides".to_owned(),
        )])),
        _ => Ok(()),
    }
}

/// What `--json` prints.
#[derive(Serialize)]
struct Found<'a> {
    #[serde(flatten)]
    whole: &'a Comparison,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'a BySegment>,
}

/// Compares what was asked for.
fn find(args: &DriftArgs, settings: &Settings) -> Result<(Comparison, Option<BySegment>), Failure> {
    let by = |files: (&Path, &Path), columns: Option<&[String]>, whole: &Comparison| {
        args.by.as_deref().map(|column| segments::compare(column, files, columns, whole)).transpose()
    };
    if let (Some(model), Some(reference), Some(current)) = (&args.model, &args.reference, &args.current) {
        let exported = periods::export(&args.project, model, [reference, current])?;
        let columns = exported.columns(args.columns.as_deref())?;
        let files = (exported.before.as_path(), exported.after.as_path());
        let mut found = of_files(args, files, Some(&columns), settings)?;
        found.reference = format!("{model} {reference}");
        found.current = format!("{model} {current}");
        let segments = by(files, Some(&columns), &found)?;
        return Ok((found, segments));
    }
    match (&args.before, &args.after) {
        (Some(before), Some(after)) => {
            let files = (before.as_path(), after.as_path());
            let found = of_files(args, files, args.columns.as_deref(), settings)?;
            let segments = by(files, args.columns.as_deref(), &found)?;
            Ok((found, segments))
        }
        _ => Err(Failure::because("name two files, or --model with --reference and --current")),
    }
}

fn of_files(
    args: &DriftArgs,
    (before, after): (&Path, &Path),
    columns: Option<&[String]>,
    settings: &Settings,
) -> Result<Comparison, Failure> {
    let wrong = |error| match error {
        DriftError::Table(error) => refused(error),
        wrong => Failure::Input(vec![Diagnostic::new(after.display().to_string(), wrong.to_string())]),
    };
    let bar = bar(args.output.json);
    let tell = |done: usize, of: usize| {
        bar.set_length(of as u64);
        bar.set_position(done as u64);
    };
    let found = compare(before, after, columns, settings, &tell);
    bar.finish_and_clear();
    let mut found = found.map_err(wrong)?;
    if args.multivariate {
        let options = Options { seed: args.seed, level: settings.false_discovery_rate, ..Options::default() };
        found.multivariate = Some(multivariate(before, after, columns, &options).map_err(wrong)?);
    }
    Ok(found)
}

/// What is wrong with a table, which is no drift: the error begins with the file.
fn refused(error: impl Display) -> Failure {
    let text = error.to_string();
    let (file, message) = text.split_once(": ").unwrap_or(("drift", &text));
    Failure::Input(vec![Diagnostic::new(file, message)])
}

/// A bar on a terminal, nothing elsewhere.
fn bar(quiet: bool) -> ProgressBar {
    if quiet || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{wide_bar:.cyan/blue} {pos} of {len} columns");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

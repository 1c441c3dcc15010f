//! `gyre log`: a model's inference log, as it lies on disk: its end, all of it as a file, and SQL over it.
//!
//! Nothing is locked, so a running server goes on meanwhile. It is asked to bring to disk what it has answered first;
//! when it does not, the answer says what may be missing.

mod tail;

use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use gyre_core::time::Period;
use gyre_core::{Diagnostic, ModelName, Timestamp, Value};
use gyre_gateway::{LogError, LogView};
use gyre_logbook::export::{Form, object};
use gyre_logbook::{Book, BookError, Classes};
use gyre_loop::STATE_DIR;
use gyre_store::Store;
use serde_json::json;

use crate::cli::{OutputArgs, ProjectArgs};
use crate::client::Server;
use crate::failure::Failure;
use crate::show;

/// Rows of an answer that are shown as a table; aligned columns need all of them in memory.
const SHOWN: usize = 1_000;

#[derive(Debug, Subcommand)]
pub(crate) enum LogCommand {
    /// The predictions that were logged last.
    Tail(tail::TailArgs),
    /// All predictions with their features, scores and labels, as one file.
    Export(ExportArgs),
    /// Ask with SQL: the tables are `predictions` and `labels`.
    Sql(SqlArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  gyre log export air-time --output march.parquet --from 2013-03-01T00:00:00Z --to 2013-04-01T00:00:00Z

Columns: id, time, version, route, prediction, latency_us, one for each feature, `probability_CLASS` for each class, and
label and label_time where the label is known. Of several predictions of an id the first one counts.")]
pub(crate) struct ExportArgs {
    /// The model.
    model: ModelName,
    /// The file: .parquet, .csv or .jsonl.
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    period: PeriodArgs,
    #[command(flatten)]
    project: ProjectArgs,
    #[command(flatten)]
    output_as: OutputArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gyre log sql air-time \"SELECT version, count(*), avg(latency_us) FROM predictions GROUP BY version\"
  gyre log sql air-time \"SELECT p.carrier, avg(abs(p.prediction - l.label)) AS mae FROM predictions p
                        JOIN labels l ON l.id = p.id GROUP BY 1 ORDER BY mae DESC\" --from 2013-03-01T00:00:00Z

Tables: predictions (id, time, version, route, prediction, latency_us, one column for each feature, probability_CLASS) and
labels (id, time, label). It is SQLite: times are text such as 2013-03-01T05:15:00.000Z, which date functions read and which
sort; booleans are 0 and 1. The log is copied into a temporary file first, so name a period when it is long.")]
pub(crate) struct SqlArgs {
    /// The model.
    model: ModelName,
    /// One statement that reads.
    #[arg(value_name = "SELECT")]
    sql: String,
    #[command(flatten)]
    period: PeriodArgs,
    #[command(flatten)]
    project: ProjectArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Which predictions, by event time.
#[derive(Debug, Args)]
struct PeriodArgs {
    /// Begin with this moment, such as 2013-03-01T00:00:00Z.
    #[arg(long, value_name = "TIME")]
    from: Option<Timestamp>,
    /// End before this moment.
    #[arg(long, value_name = "TIME")]
    to: Option<Timestamp>,
}

impl PeriodArgs {
    fn period(&self) -> Result<Period, Failure> {
        let from = self.from.unwrap_or(Timestamp::from_millis(i64::MIN));
        let to = self.to.unwrap_or(Timestamp::from_millis(i64::MAX));
        if from < to {
            return Ok(Period { from, to });
        }
        let wrong = Diagnostic::new("--to", format!("{to} is not after --from {from}"));
        Err(Failure::Input(vec![wrong]))
    }
}

pub(crate) fn run(command: &LogCommand) -> Result<(), Failure> {
    match command {
        LogCommand::Tail(args) => tail::run(args),
        LogCommand::Export(args) => export(args),
        LogCommand::Sql(args) => sql(args),
    }
}

/// A model's log, as far as it is on disk, and the store that vouches for it.
pub(super) fn open(project: &ProjectArgs, model: &ModelName) -> Result<(Store, LogView), Failure> {
    if let Some(server) = Server::running(&project.project)
        && let Err(error) = server.post(&format!("/v1/models/{model}/flush"), &json!({}))
    {
        anstream::eprintln!(
            "not included: what the server answered in the last moments, which it did not bring to disk ({error})"
        );
    }
    let store = project.store()?;
    let view = LogView::open(&project.project.join(STATE_DIR).join("log"), &store, model);
    let view = view.map_err(|error| match error {
        LogError::UnknownModel { .. } => {
            let wrong = Diagnostic::new("MODEL", error.to_string());
            Failure::Input(vec![wrong.help("it begins with the first prediction that is served")])
        }
        other => other.into(),
    })?;
    Ok((store, view))
}

/// The log in a database, and the classes of each version from the registry.
fn book(project: &ProjectArgs, model: &ModelName, period: &PeriodArgs) -> Result<Book, Failure> {
    let period = period.period()?;
    fill(&open(project, model)?, model, period)
}

/// The same of a log that is open.
pub(super) fn fill(
    (store, view): &(Store, LogView),
    model: &ModelName,
    period: Period,
) -> Result<Book, Failure> {
    let versions = store.read(|tx| gyre_registry::versions(tx, model))?;
    let classes: Classes = versions
        .into_iter()
        .map(|record| (record.registered.version, record.registered.signature.classes))
        .collect();
    Ok(Book::fill(view, period, &classes)?)
}

fn export(args: &ExportArgs) -> Result<(), Failure> {
    let form = Form::of(&args.output).ok_or_else(|| {
        let wrong = Diagnostic::new(args.output.display().to_string(), "the extension names no kind of file");
        Failure::Input(vec![wrong.expected(".parquet, .csv or .jsonl")])
    })?;
    let book = book(&args.project, &args.model, &args.period)?;
    let rows = book.export(&args.output, form)?;
    if args.output_as.json {
        return show::json(&json!({"output": args.output, "predictions": rows, "labels": book.labels}));
    }
    let labels = book.labels;
    show::say(format!(
        "{}: {rows} predictions of {} ({labels} labels known)",
        args.output.display(),
        args.model
    ))
}

fn sql(args: &SqlArgs) -> Result<(), Failure> {
    let book = book(&args.project, &args.model, &args.period)?;
    let asked = if args.output.json { as_json(&book, &args.sql) } else { as_table(&book, &args.sql) };
    asked.map_err(|error| match error {
        BookError::NotARead { .. } | BookError::Statement(_) => {
            let tables = book.describe();
            Failure::Input(vec![Diagnostic::new("SELECT", error.to_string()).help(tables)])
        }
        other => other.into(),
    })
}

fn as_table(book: &Book, sql: &str) -> Result<(), BookError> {
    let (mut rows, mut more) = (Vec::new(), 0_u64);
    let names = book.query(sql, |_, row| {
        if rows.len() < SHOWN {
            rows.push(row);
        } else {
            more += 1;
        }
        Ok(())
    })?;
    let numeric = |column: &usize| {
        rows.iter()
            .all(|row: &Vec<Value>| matches!(row.get(*column), Some(Value::Number(_) | Value::Missing)))
    };
    let right: Vec<usize> = (0..names.len()).filter(numeric).collect();
    let cell = |value: &Value| match value {
        Value::Missing => "–".to_owned(),
        other => other.to_string(),
    };
    let cells = rows.iter().map(|row| row.iter().map(cell).collect()).collect();
    let header: Vec<&str> = names.iter().map(String::as_str).collect();
    say(show::table(&header, &right, cells))?;
    if more == 0 {
        return Ok(());
    }
    say(format!("and {more} more rows: --json gives all of them, LIMIT fewer"))
}

/// An array, written as its rows come.
fn as_json(book: &Book, sql: &str) -> Result<(), BookError> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let (mut first, mut gone) = (true, false);
    let mut taken = |written: std::io::Result<()>| {
        written.map_err(|error| {
            // Whoever closes the pipe has seen enough: that is no failure.
            gone |= error.kind() == ErrorKind::BrokenPipe;
            BookError::Taker(error.to_string())
        })
    };
    let asked = book.query(sql, |names, row| {
        let before = if std::mem::take(&mut first) { "[\n" } else { ",\n" };
        let row = object(names.iter().map(String::as_str), &row);
        taken(write!(out, "{before}{row}"))
    });
    let ended = asked.and_then(|_| {
        let end = if first { "[]" } else { "\n]" };
        taken(writeln!(out, "{end}").and_then(|()| out.flush()))
    });
    if gone { Ok(()) } else { ended }
}

fn say(text: String) -> Result<(), BookError> {
    show::say(text).map_err(|_| BookError::Taker("standard output cannot be written".to_owned()))
}

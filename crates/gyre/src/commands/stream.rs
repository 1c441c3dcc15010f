//! `gyre stream`: a stream of values, and the moment at which it changes.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use gyre_core::Diagnostic;
use gyre_drift::stream::{Detector, DetectorError, LineError, Lines, NAMES, Sample};
use gyre_stats::stream::Signal;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::cli::OutputArgs;
use crate::failure::Failure;
use crate::show;

/// The longest line, in bytes; no value is longer.
const LONGEST: u64 = 1 << 20;
/// Lines without a usable value that are told one by one; the others are counted.
const TOLD: u64 = 5;
/// How often the state is stored.
const EVERY: Duration = Duration::from_secs(1);
/// The state's format: 2 since `loss-drift` takes any loss after a reference of errors.
const FORMAT: u32 = 2;
/// How files begin that hold values, but not line by line.
const BINARY: [(&[u8], &str); 6] = [
    (b"PAR1", "a Parquet file"),
    (b"ARROW1", "an Arrow file"),
    (&[0x1f, 0x8b], "compressed with gzip"),
    (&[0x28, 0xb5, 0x2f, 0xfd], "compressed with zstd"),
    (b"PK\x03\x04", "a zip file"),
    (b"SQLite format 3\0", "an SQLite database"),
];

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gyre stream losses.txt                                       # a number a line
  tail -f predictions.ndjson | gyre stream --column loss --time at
  gyre stream sensor.csv --column wind --detector adwin,page-hinkley
  gyre stream errors.csv --column wrong --set alpha=0.001 --state watch.json    # goes on where it was

Detectors: loss-drift (the default: while nothing changes, the chance of ever alarming is at most `alpha`, 0.01; after an
alarm it learns anew what is usual, and watches on), adwin, page-hinkley, cusum, kswin; and of answers that are right (0) or
wrong (1): ddm, eddm, hddm-a, hddm-w, fhddm. What each promises, and what it takes for granted, is in docs/monitoring.md.")]
pub(crate) struct StreamArgs {
    /// Values, line by line: numbers, JSON objects, or a table with a header; `-` is the standard input.
    #[arg(value_name = "FILE", default_value = "-")]
    input: PathBuf,
    /// Which column of a table, or member of the objects, is watched.
    #[arg(long, value_name = "COLUMN")]
    column: Option<String>,
    /// Which column or member says when a value was: it is told with each change.
    #[arg(long, value_name = "COLUMN")]
    time: Option<String>,
    /// What watches, separated by commas.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    detector: Vec<String>,
    /// A setting, as NAME=VALUE, or DETECTOR.NAME=VALUE where several watch; can be given again.
    #[arg(long, value_name = "SETTING")]
    set: Vec<String>,
    /// Where what was learned is kept, once a second and at the end: the next run goes on from there.
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// End with exit code 1 when a change was found: for pipelines.
    #[arg(long)]
    fail: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// What watches a stream, and how far it has come.
#[derive(Debug, Serialize, Deserialize)]
struct Watch {
    format: u32,
    /// Values so far, with those that were missing.
    values: u64,
    missing: u64,
    /// Lines that held no value that can be watched.
    unusable: u64,
    watched: Vec<Watched>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Watched {
    #[serde(flatten)]
    detector: Detector,
    changes: u64,
    /// The value with which the last change was found, counted from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last: Option<u64>,
}

pub(crate) fn run(args: &StreamArgs) -> Result<(), Failure> {
    let mut watch = watch(args)?;
    let before: u64 = watch.watched.iter().map(|it| it.changes).sum();
    let mut reader: Box<dyn BufRead> = if args.input == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        let opened = File::open(&args.input);
        let opened =
            opened.map_err(|error| Failure::because(format!("{}: {error}", args.input.display())))?;
        Box::new(BufReader::new(opened))
    };
    let followed = follow(args, &mut reader, &mut watch);
    // Also of a stream that broke off: what was learned of it is worth keeping.
    keep(args, &watch)?;
    followed?;
    let found = watch.watched.iter().map(|it| it.changes).sum::<u64>() - before;
    if args.output.json {
        let line = json!({"end": true, "values": watch.values, "missing": watch.missing,
            "unusable": watch.unusable, "changes": found});
        show::say(line)?;
    } else {
        show::say(summary(&watch))?;
    }
    if args.fail && found > 0 {
        return Err(Failure::because(format!("{} has changed", args.input.display())));
    }
    Ok(())
}

/// Reads to the end, and says what is found as it is found.
fn follow(args: &StreamArgs, reader: &mut dyn BufRead, watch: &mut Watch) -> Result<(), Failure> {
    refuse_binary(args, reader)?;
    let mut lines: Option<Lines> = None;
    let (mut number, mut kept) = (0_u64, Instant::now());
    while let Some(line) = next_line(args, reader, &mut number)? {
        if line.trim().is_empty() {
            continue;
        }
        let how = match &lines {
            Some(how) => how,
            None => {
                let (how, is_header) = Lines::of(&line, args.column.as_deref(), args.time.as_deref())
                    .map_err(|error| at_line(args, number, &error))?;
                let how = &*lines.insert(how);
                if is_header {
                    continue;
                }
                how
            }
        };
        match how.read(&line) {
            Ok(sample) => take(args, watch, &sample, number)?,
            Err(error) => unusable(args, watch, number, &error),
        }
        if kept.elapsed() >= EVERY {
            keep(args, watch)?;
            kept = Instant::now();
        }
    }
    Ok(())
}

/// What is no text is told at once, by what it is: read as lines it would be nonsense.
fn refuse_binary(args: &StreamArgs, reader: &mut dyn BufRead) -> Result<(), Failure> {
    let begin = reader.fill_buf();
    let begin = begin.map_err(|error| Failure::because(format!("{}: {error}", args.input.display())))?;
    let known = BINARY.iter().find(|(magic, _)| begin.starts_with(magic)).map(|(_, what)| *what);
    let Some(what) = known.or_else(|| begin.contains(&0).then_some("no text in UTF-8")) else {
        return Ok(());
    };
    let told = Diagnostic::new(args.input.display().to_string(), format!("it is {what}"));
    let told = told.expected("text, a value a line: numbers, JSON objects, or a table with a header");
    Err(Failure::Input(vec![told.help("write the column that is to be watched as CSV, and read that")]))
}

fn next_line(
    args: &StreamArgs,
    reader: &mut dyn BufRead,
    number: &mut u64,
) -> Result<Option<String>, Failure> {
    let mut line = Vec::new();
    *number += 1;
    let read = reader.take(LONGEST).read_until(b'\n', &mut line);
    let read = read.map_err(|error| Failure::because(format!("{}: {error}", args.input.display())))?;
    if read as u64 == LONGEST && line.last() != Some(&b'\n') {
        let told = format!("line {number} is longer than 1 MiB");
        let told = Diagnostic::new(args.input.display().to_string(), told);
        return Err(Failure::Input(vec![told.expected("a value a line")]));
    }
    // A mark of the byte order is no part of the first column's name.
    let line = line.strip_prefix(b"\xef\xbb\xbf").filter(|_| *number == 1).unwrap_or(&line);
    Ok((read > 0).then(|| String::from_utf8_lossy(line).into_owned()))
}

fn take(args: &StreamArgs, watch: &mut Watch, sample: &Sample, line: u64) -> Result<(), Failure> {
    watch.values += 1;
    watch.missing += u64::from(sample.value.is_nan());
    let at = watch.values;
    let mut refused = None;
    for watched in &mut watch.watched {
        match watched.detector.observe(sample.value) {
            Ok(Signal::Change) => {
                watched.changes += 1;
                watched.last = Some(at);
                say_change(args, watched.detector.name(), at, sample)?;
            }
            Ok(Signal::Stable | Signal::Warning) => {}
            Err(error) => refused = Some(format!("{}: {error}", watched.detector.name())),
        }
    }
    if let Some(refused) = refused {
        unusable(args, watch, line, &refused);
    }
    Ok(())
}

fn say_change(args: &StreamArgs, detector: &str, at: u64, sample: &Sample) -> Result<(), Failure> {
    if args.output.json {
        let change = json!({"change": at, "detector": detector, "value": sample.value, "time": sample.time});
        return show::say(change);
    }
    let when = sample.time.as_ref().map(|time| format!(" ({time})")).unwrap_or_default();
    let value = show::number(sample.value);
    show::say(format!("{} with value {at}{when}, {value}: {detector}", show::bad("change")))
}

/// A line that cannot be watched is said and passed over: the stream goes on.
fn unusable(args: &StreamArgs, watch: &mut Watch, line: u64, reason: &dyn std::fmt::Display) {
    watch.unusable += 1;
    if watch.unusable <= TOLD {
        let rest = if watch.unusable == TOLD { "; further ones are only counted" } else { "" };
        anstream::eprintln!("{}:{line}: passed over: {reason}{rest}", args.input.display());
    }
}

fn summary(watch: &Watch) -> String {
    let mut told =
        format!("{} values, {} missing, {} lines passed over", watch.values, watch.missing, watch.unusable);
    for watched in &watch.watched {
        let last = watched.last.map_or_else(String::new, |at| format!(", the last with value {at}"));
        let learning = if watched.detector.is_learning() { "; still learning what is usual" } else { "" };
        told += &format!("\n{}: {} changes{last}{learning}", watched.detector.name(), watched.changes);
    }
    told
}

/// What was stored, or something new.
fn watch(args: &StreamArgs) -> Result<Watch, Failure> {
    let stored = args.state.as_ref().filter(|path| path.exists());
    let Some(path) = stored else {
        let names: Vec<&str> = match args.detector.as_slice() {
            [] => vec![NAMES[0]],
            named => named.iter().map(|name| name.trim()).collect(),
        };
        let watched = names.iter().map(|name| made(args, name, names.len() == 1));
        let watched = watched.collect::<Result<Vec<_>, Failure>>()?;
        check_settings(args, &names)?;
        return Ok(Watch { format: FORMAT, values: 0, missing: 0, unusable: 0, watched });
    };
    let wrong = |told: String, help: &str| {
        Failure::Input(vec![Diagnostic::new(path.display().to_string(), told).help(help)])
    };
    let none = |error: serde_json::Error| {
        wrong(format!("it is no state of `gyre stream`: {error}"), "remove the file to begin anew")
    };
    let stored: Value = serde_json::from_slice(&std::fs::read(path)?).map_err(none)?;
    // Before all else: what another format holds cannot be read as this one.
    if let Some(other) = stored.get("format").filter(|format| **format != json!(FORMAT)) {
        let told = format!("it is of format {other}, this gyre reads format {FORMAT}");
        return Err(wrong(told, "remove the file to begin anew"));
    }
    let watch: Watch = serde_json::from_value(stored).map_err(none)?;
    let names: Vec<&str> = watch.watched.iter().map(|it| it.detector.name()).collect();
    let asked: Vec<&str> = args.detector.iter().map(|name| name.trim()).collect();
    if !args.set.is_empty() || !(asked.is_empty() || asked == names) {
        let told = format!("it already has {} at work, with settings of its own", names.join(", "));
        return Err(wrong(told, "leave out --detector and --set, or remove the file to begin anew"));
    }
    Ok(watch)
}

/// The detector called `name`; `alone` when no other one watches.
fn made(args: &StreamArgs, name: &str, alone: bool) -> Result<Watched, Failure> {
    let mut set = Vec::new();
    for setting in &args.set {
        let Some((key, value)) = setting.split_once('=') else {
            let told = format!("`{setting}` sets nothing");
            let told = Diagnostic::new("--set", told).expected("NAME=VALUE, such as alpha=0.001");
            return Err(Failure::Input(vec![told]));
        };
        let own = key.strip_prefix(name).and_then(|rest| rest.strip_prefix('.'));
        // What is no JSON is a word.
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
        if let Some(own) = own.or_else(|| (alone && !key.contains('.')).then_some(key)) {
            set.push((own.to_owned(), value));
        }
    }
    let detector = Detector::named(name, &set).map_err(|error| {
        let told = |option| Diagnostic::new(option, error.to_string());
        Failure::Input(vec![match &error {
            DetectorError::Unknown(_) => told("--detector").nearest(name, NAMES),
            DetectorError::NoSetting { .. } => {
                told("--set").expected("NAME=VALUE, or DETECTOR.NAME=VALUE where several watch")
            }
            DetectorError::Kind { .. } | DetectorError::Range { .. } => told("--set"),
        }])
    })?;
    Ok(Watched { detector, changes: 0, last: None })
}

/// Every setting must be somebody's.
fn check_settings(args: &StreamArgs, names: &[&str]) -> Result<(), Failure> {
    let is_of =
        |setting: &str, name: &str| setting.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
    let nobodys = args.set.iter().find(|setting| {
        let key = setting.split('=').next().unwrap_or_default();
        let anybodys = names.len() == 1 && !key.contains('.');
        !anybodys && !names.iter().any(|name| is_of(key, name))
    });
    let Some(setting) = nobodys else { return Ok(()) };
    let told = format!("`{setting}` is a setting of none of {}", names.join(", "));
    let told =
        Diagnostic::new("--set", told).expected(format!("{}.NAME=VALUE", names.join(".NAME=VALUE or ")));
    Err(Failure::Input(vec![told]))
}

fn keep(args: &StreamArgs, watch: &Watch) -> Result<(), Failure> {
    if let Some(path) = &args.state {
        gyre_data::files::write(path, &serde_json::to_vec(watch)?)?;
    }
    Ok(())
}

fn at_line(args: &StreamArgs, line: u64, error: &LineError) -> Failure {
    let told = Diagnostic::new(args.input.display().to_string(), error.to_string()).at(line, 1);
    Failure::Input(vec![told.help("--column names the values, --time what says when they were")])
}

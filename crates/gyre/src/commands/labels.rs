//! `gyre labels`: what came true, from files, to the running server.

use std::io::IsTerminal;
use std::path::Path;

use clap::Args;
use gyre_core::record::Label;
use gyre_core::spec::Labels;
use gyre_core::time::SystemClock;
use gyre_core::{Clock, Diagnostic, ModelName};
use gyre_gateway::{Brought, Intake};
use gyre_labels::{Columns, LabelFile, LabelsError};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::bias::without_file;
use crate::cli::{OutputArgs, ProjectArgs};
use crate::client::Server;
use crate::failure::Failure;
use crate::show;

/// Bytes of a request, about; the server takes twice as many.
const REQUEST: usize = 4 << 20;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gyre labels air-time landed.parquet --id flight --label air_time --time landed
  gyre labels air-time 'landed/**/*.csv' --dry-run

Files are read some thousand rows at a time. A label that the log has already is not written again, so the same command can
be given again after whatever went wrong; another label of the same id replaces the one before.

  taken      written: new ones and corrections
  repeated   there already, with the same value (and time, with --time)
  outdated   a later label of the id is known: not written
  corrected  taken, of an id that had another label
  unknown    no prediction of that id yet; kept until it comes
  late       known later after its prediction than labels.expected_delay says

Rows without a label are passed over and counted. A dry run holds every label against the log alone, so that one which
stands in a file twice may count as taken twice.")]
pub(crate) struct LabelsArgs {
    /// The model.
    model: ModelName,
    /// Where the labels are: tables (.parquet, .csv), folders of them, patterns in quotes.
    #[arg(required = true, num_args = 1.., value_name = "FILE|DIR|GLOB")]
    files: Vec<String>,
    /// The column with the prediction's id; by default `labels.join` of gyre.yaml, or `id`.
    #[arg(long, value_name = "COLUMN")]
    id: Option<String>,
    /// The column with what came true; by default the model's target in gyre.yaml, or `label`.
    #[arg(long, value_name = "COLUMN")]
    label: Option<String>,
    /// The column that says when the label became known, in event time; without it, now.
    #[arg(long, value_name = "COLUMN")]
    time: Option<String>,
    /// Say what would become of the labels, and write nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    project: ProjectArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// What became of the rows of all files.
#[derive(Default)]
struct Done {
    files: usize,
    rows: u64,
    unlabelled: u64,
    intake: Intake,
}

pub(crate) fn run(args: &LabelsArgs) -> Result<(), Failure> {
    let files = gyre_batch::sources::files(&args.files).map_err(|error| told(Path::new(""), error.into()))?;
    let server = Server::expected(&args.project.project)?;
    let columns = args.columns()?;
    // Before anything is sent: a column that a file does not have is said at once.
    for file in &files {
        LabelFile::open(file, columns.clone(), SystemClock.now()).map_err(|error| told(file, error))?;
    }
    let bar = if !args.output.json && std::io::stderr().is_terminal() {
        let style = "{spinner} {human_pos} rows, {per_sec}";
        ProgressBar::new_spinner().with_style(
            ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_spinner()),
        )
    } else {
        ProgressBar::hidden()
    };
    let mut done = Done::default();
    for file in &files {
        let outcome = bring(args, &server, file, &columns, &mut done, &bar);
        outcome.map_err(|failure| failed(failure, file, &done, args.dry_run))?;
        done.files += 1;
    }
    bar.finish_and_clear();
    if args.output.json {
        let mut answer = json!(done.intake);
        if let Some(answer) = answer.as_object_mut() {
            answer.insert("files".to_owned(), json!(done.files));
            answer.insert("rows".to_owned(), json!(done.rows));
            answer.insert("unlabelled".to_owned(), json!(done.unlabelled));
            answer.insert("dry_run".to_owned(), json!(args.dry_run));
        }
        return show::json(&answer);
    }
    show::say(done.words(args.dry_run))
}

impl LabelsArgs {
    fn columns(&self) -> Result<Columns, Failure> {
        let project = self.project.read_if_any()?;
        let declared = project.models.get(&self.model);
        let undeclared = Labels::default();
        let join = declared.map_or(&undeclared, |spec| &spec.labels).join.clone();
        Ok(Columns {
            id: self.id.clone().or(join).unwrap_or_else(|| "id".to_owned()),
            label: self
                .label
                .clone()
                .or_else(|| declared.map(|spec| spec.target.clone()))
                .unwrap_or_else(|| "label".to_owned()),
            time: self.time.clone(),
        })
    }
}

fn bring(
    args: &LabelsArgs,
    server: &Server,
    file: &Path,
    columns: &Columns,
    done: &mut Done,
    bar: &ProgressBar,
) -> Result<(), Failure> {
    for part in
        LabelFile::open(file, columns.clone(), SystemClock.now()).map_err(|error| told(file, error))?
    {
        let part = part.map_err(|error| told(file, error))?;
        done.rows += part.rows;
        done.unlabelled += part.unlabelled;
        let (mut waiting, mut bytes) = (Vec::new(), 0);
        for Brought { label: Label { id, time, value }, timed } in part.labels {
            let label = match timed {
                true => json!({ "id": id, "value": value, "time": time }),
                // The server says when that is, in its own event time.
                false => json!({ "id": id, "value": value }),
            };
            bytes += label.to_string().len();
            waiting.push(label);
            if bytes > REQUEST {
                done.intake += send(args, server, std::mem::take(&mut waiting))?;
                bytes = 0;
            }
        }
        if !waiting.is_empty() {
            done.intake += send(args, server, waiting)?;
        }
        bar.inc(part.rows);
    }
    Ok(())
}

fn send(args: &LabelsArgs, server: &Server, labels: Vec<Value>) -> Result<Intake, Failure> {
    let body = json!({ "model": args.model, "labels": labels, "count": true, "dry_run": args.dry_run });
    Ok(serde_json::from_value(server.post_patiently("/v1/labels", &body)?)?)
}

impl Done {
    fn words(&self, dry_run: bool) -> String {
        let Intake { labels, taken, repeated, outdated, corrected, unknown, late } = self.intake;
        let verb = if dry_run { "would be taken" } else { "taken" };
        let mut words = format!(
            "{labels} labels in {} rows: {taken} {verb} ({corrected} corrected), {repeated} repeated, {outdated} outdated; {unknown} of ids that \
             nothing is predicted for yet, {late} late",
            self.rows
        );
        if self.unlabelled > 0 {
            words += &format!("; {} rows have no label", self.unlabelled);
        }
        words
    }
}

/// What is wrong with a file is wrong input.
fn told(file: &Path, error: LabelsError) -> Failure {
    let wrong = |what: String| Diagnostic::new(file.display().to_string(), what);
    match error {
        LabelsError::Files(gyre_batch::BatchError::Wrong(wrong)) => Failure::Input(wrong),
        LabelsError::Table(error) => Failure::Input(vec![wrong(without_file(file, &error))]),
        LabelsError::Row { row, found, expected, .. } => {
            Failure::Input(vec![wrong(format!("row {row}: {found}")).expected(expected)])
        }
        other => Failure::because(other),
    }
}

/// The same, with what becomes of what was done.
fn failed(failure: Failure, file: &Path, done: &Done, dry_run: bool) -> Failure {
    let taken = done.intake.taken;
    if taken == 0 || dry_run {
        return failure;
    }
    let help = format!(
        "{taken} labels were taken before, up to {}; give the same command again when it is mended: none is written twice",
        file.display()
    );
    match failure {
        Failure::Input(mut wrong) => {
            if let Some(last) = wrong.pop() {
                wrong.push(last.help(help));
            }
            Failure::Input(wrong)
        }
        Failure::Other(reason) => Failure::Other(format!("{reason}\n  help: {help}")),
    }
}

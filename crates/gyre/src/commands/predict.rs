//! `gyre predict`: scores files with a registered version, or with a model file.
//!
//! Only the store is read, which a running server allows: no prediction is logged, and no traffic is touched.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use gyre_batch::plan::PART_ROWS;
use gyre_batch::{BatchError, Kept, Plan, Progress, Report, Request, sources};
use gyre_core::{Diagnostic, Digest, ModelName, Version};
use gyre_onnxruntime::LocalModel;
use gyre_runtime::Hints;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::traffic::version;
use crate::cli::{OnnxruntimeArgs, OutputArgs, ProjectArgs};
use crate::failure::Failure;
use crate::show;

#[derive(Debug, Args)]
#[command(
    disable_version_flag = true,
    after_help = "\
Examples:
  gyre predict air-time --input flights.parquet --output scored.parquet --id flight
  gyre predict air-time --version 3 --input 'data/**/*.parquet' --output scored/ --keep flight,day
  gyre predict --file model.ubj --input rows.csv --output scored.csv --all-columns

The output has the kept columns, `prediction`, `probability_CLASS` for each class, and `model_version`, in the input's
order. A run that was killed goes on where it stopped when the same command is given again; a changed model or input
starts over. A folder keeps its shape: each input gets an output of its name."
)]
pub(crate) struct PredictArgs {
    /// The model of the project; its champion predicts unless --version says otherwise.
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    model: Option<ModelName>,
    /// A model file instead: ONNX, XGBoost JSON or UBJSON, LightGBM text, skops.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Which version predicts: `3` or `v3`.
    #[arg(id = "number", long = "version", value_name = "N", value_parser = version, conflicts_with = "file")]
    number: Option<Version>,
    /// The columns in the order of the model's features, when the model file does not name them.
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',', requires = "file")]
    features: Vec<String>,
    /// The classes in the order of the probabilities, when the model file only numbers them.
    #[arg(long, value_name = "CLASSES", value_delimiter = ',', requires = "file")]
    classes: Vec<String>,
    /// What to score: tables (.parquet, .csv), folders of them, patterns in quotes.
    #[arg(long, value_name = "FILE|DIR|GLOB", required = true, num_args = 1..)]
    input: Vec<String>,
    /// Where predictions go: a table, or a folder.
    #[arg(long, value_name = "FILE|DIR")]
    output: PathBuf,
    /// The column that names a row: it comes first in the output.
    #[arg(long, value_name = "COLUMN")]
    id: Option<String>,
    /// Columns that go along into the output, separated by commas.
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',', conflicts_with = "all_columns")]
    keep: Vec<String>,
    /// All columns go along.
    #[arg(long, conflicts_with = "id")]
    all_columns: bool,
    /// Threads that score; by default one for each core.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// Rows that are scored and kept as one: what a thread loses at most when it is killed.
    #[arg(long, value_name = "N", default_value_t = PART_ROWS, value_parser = clap::value_parser!(u64).range(1..))]
    part_rows: u64,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    onnxruntime: OnnxruntimeArgs,
    #[command(flatten)]
    project: ProjectArgs,
    #[command(flatten)]
    output_as: OutputArgs,
}

/// A model, and what it is called.
struct Model {
    name: String,
    version: Option<Version>,
    digest: Digest,
    scorer: LocalModel,
}

pub(crate) fn run(args: &PredictArgs) -> Result<(), Failure> {
    let pairs = sources::pairs(&args.input, &args.output).map_err(told)?;
    args.onnxruntime.apply(&args.project.project);
    let model = args.load()?;
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let request = Request {
        scorer: &model.scorer,
        model: model.digest,
        version: model.version,
        pairs,
        output: args.output.clone(),
        kept: args.kept(),
        part_rows: args.part_rows,
        threads: args.threads.map_or_else(cores, usize::from),
    };
    let plan = Plan::new(request).map_err(told)?;
    if args.dry_run {
        return would(args, &model, &plan);
    }
    let shown = Shown::new(plan.rows(), args.output_as.json);
    let started = Instant::now();
    let report = plan.run(&|progress| shown.tell(progress));
    shown.bar.finish_and_clear();
    let report = report.map_err(|error| unfinished(error, plan.folder()))?;
    done(args, &model, &report, started.elapsed().as_secs_f64())
}

impl PredictArgs {
    fn load(&self) -> Result<Model, Failure> {
        match (&self.model, &self.file) {
            (Some(name), _) => self.registered(name),
            (None, Some(path)) => self.in_file(path),
            (None, None) => Err(Failure::because("name a model, or a model file with --file")),
        }
    }

    /// A version of the store, which a running server may hold meanwhile.
    fn registered(&self, name: &ModelName) -> Result<Model, Failure> {
        let store = self.project.store()?;
        let (version, models) = store.read(|tx| {
            let version = match self.number {
                Some(version) => Some(version),
                None => gyre_registry::champion(tx, name)?,
            };
            let record = version.map(|version| gyre_registry::version(tx, name, version)).transpose()?;
            Ok((record, gyre_registry::models(tx)?))
        })?;
        let Some(record) = version else {
            let wrong = Diagnostic::new("MODEL", format!("`{name}` has no champion"));
            let known = models.iter().find(|model| model.name == *name && model.versions > 0);
            return Err(Failure::Input(vec![match known {
                Some(_) => {
                    wrong.help("name one of its versions with --version (`gyre model show` lists them)")
                }
                None => wrong
                    .help("train a version first; a model that a client registered is scored with --file")
                    .nearest(name.as_str(), models.iter().map(|model| model.name.as_str())),
            }]));
        };
        let registered = record.registered;
        if !registered.runtime.is_native() {
            return Err(Failure::because(format!(
                "version {} of {} runs as {}; whole files are scored by versions that run in process",
                registered.version, registered.model, registered.runtime
            )));
        }
        let bytes = store.blobs().get(&registered.artifact)?;
        let inputs = &registered.signature.inputs;
        let features: Vec<&str> = inputs.iter().map(|field| field.name.as_str()).collect();
        let classes: Vec<&str> = registered.signature.classes.iter().map(String::as_str).collect();
        let scorer = LocalModel::load(&bytes, &Hints { features: &features, classes: &classes })
            .map_err(|error| Failure::because(format!("{name} v{}: {error}", registered.version)))?;
        let (version, digest) = (Some(registered.version), registered.artifact);
        Ok(Model { name: format!("{name} v{}", registered.version), version, digest, scorer })
    }

    fn in_file(&self, path: &Path) -> Result<Model, Failure> {
        let wrong =
            |reason: String| Failure::Input(vec![Diagnostic::new(path.display().to_string(), reason)]);
        let bytes = std::fs::read(path).map_err(|error| wrong(format!("cannot read: {error}")))?;
        let features: Vec<&str> = self.features.iter().map(String::as_str).collect();
        let classes: Vec<&str> = self.classes.iter().map(String::as_str).collect();
        let hints = Hints { features: &features, classes: &classes };
        let scorer = LocalModel::load(&bytes, &hints).map_err(|error| wrong(error.to_string()))?;
        // The names are part of what the model is.
        let named = serde_json::to_vec(&(Digest::of(&bytes), &self.features, &self.classes))?;
        Ok(Model { name: path.display().to_string(), version: None, digest: Digest::of(&named), scorer })
    }

    fn kept(&self) -> Kept {
        if self.all_columns {
            return Kept::All;
        }
        Kept::Columns(self.id.iter().chain(&self.keep).cloned().collect())
    }
}

fn would(args: &PredictArgs, model: &Model, plan: &Plan<'_>) -> Result<(), Failure> {
    let planned = plan.planned();
    if args.output_as.json {
        return show::json(&json!({
            "model": model.name, "version": model.version, "format": model.scorer.format(),
            "rows": plan.rows(), "inputs": planned, "left": plan.left(),
        }));
    }
    let row = |one: &gyre_batch::Planned| {
        vec![
            one.input.display().to_string(),
            one.rows.to_string(),
            one.parts.to_string(),
            one.output.display().to_string(),
            one.columns.join(", "),
            one.ignored.join(", "),
        ]
    };
    let header = ["INPUT", "ROWS", "PARTS", "OUTPUT", "ITS COLUMNS", "NOT READ"];
    show::say(show::table(&header, &[1, 2], planned.iter().map(row).collect()))?;
    if let Some(left) = plan.left() {
        show::say(left)?;
    }
    let (rows, format) = (plan.rows(), model.scorer.format());
    show::say(format!("would score {rows} rows with {} ({format}); nothing was written", model.name))
}

fn done(args: &PredictArgs, model: &Model, report: &Report, seconds: f64) -> Result<(), Failure> {
    let scored = report.rows - report.rows_before;
    let rate = scored as f64 / seconds.max(1e-9);
    if args.output_as.json {
        return show::json(&json!({
            "model": model.name, "version": model.version, "rows": report.rows,
            "rows_before": report.rows_before, "seconds": seconds, "rows_per_second": rate.round(),
            "outputs": report.outputs,
        }));
    }
    for written in &report.outputs {
        show::say(format!(
            "{}: {} rows of {}",
            written.output.display(),
            written.rows,
            written.input.display()
        ))?;
    }
    let before = match report.rows_before {
        0 => String::new(),
        rows => format!("; {rows} more were scored by an earlier run"),
    };
    show::say(format!("{scored} rows by {} in {seconds:.1} s ({rate:.0} rows/s){before}", model.name))
}

/// What is wrong with files is wrong input; the rest could not be done.
fn told(error: BatchError) -> Failure {
    match error {
        BatchError::Wrong(wrong) => Failure::Input(wrong),
        other => Failure::because(other),
    }
}

/// The same, with what becomes of what was done.
fn unfinished(error: BatchError, folder: &Path) -> Failure {
    match told(error) {
        Failure::Other(reason) if folder.exists() => Failure::Other(format!(
            "{reason}\n  help: what is scored is kept in {}: the same command goes on from there",
            folder.display()
        )),
        other => other,
    }
}

/// A bar on a terminal, nothing elsewhere.
struct Shown {
    bar: ProgressBar,
    quiet: bool,
}

impl Shown {
    fn new(rows: u64, quiet: bool) -> Self {
        let bar = if !quiet && std::io::stderr().is_terminal() {
            let style = "{wide_bar:.cyan/blue} {human_pos} of {human_len} rows, {per_sec}, {eta} left";
            let style = ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(rows).with_style(style)
        } else {
            ProgressBar::hidden()
        };
        Self { bar, quiet }
    }

    fn tell(&self, progress: Progress) -> bool {
        match progress {
            Progress::Rows(rows) => self.bar.inc(rows),
            Progress::Before(rows) => {
                self.bar.inc(rows);
                self.bar.reset_eta();
                self.note(&format!("going on: {rows} rows were scored by an earlier run"));
            }
            Progress::Over(reason) => self.note(&reason),
        }
        true
    }

    fn note(&self, text: &str) {
        if !self.quiet {
            self.bar.suspend(|| anstream::eprintln!("{text}"));
        }
    }
}

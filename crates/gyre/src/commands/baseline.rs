//! `gyre baseline`: the reference trainer, for pipelines that need no Python and for comparing a candidate with.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand, ValueEnum};
use gyre_baseline::{Objective, Options, Target, Task, TrainTable, train};
use gyre_core::Value;
use gyre_core::spec::ColumnType;
use gyre_data::table::Table as File;
use gyre_runtime::{Column, Table};

use crate::failure::Failure;
use crate::show::say;

#[derive(Debug, Subcommand)]
pub(crate) enum BaselineCommand {
    /// Train gradient-boosted trees on a table and write them as ONNX.
    Train(TrainArgs),
}

#[derive(Debug, Args)]
pub(crate) struct TrainArgs {
    /// The table to train on: Parquet or CSV. Rows without a target are left out.
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// A table to measure on, withheld from training.
    #[arg(long, value_name = "FILE")]
    holdout: Option<PathBuf>,
    /// The column to predict.
    #[arg(long, value_name = "COLUMN")]
    target: String,
    /// The columns to predict from, separated by commas. Text columns are categories.
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',', required = true)]
    features: Vec<String>,
    /// What is predicted.
    #[arg(long, value_enum, default_value_t = TaskArg::Regression)]
    task: TaskArg,
    /// What a regression minimises.
    #[arg(long, value_enum, default_value_t = ObjectiveArg::Squared)]
    objective: ObjectiveArg,
    /// Boosting rounds.
    #[arg(long, default_value_t = Options::default().rounds)]
    rounds: usize,
    /// Share of each tree's correction that is taken.
    #[arg(long, default_value_t = Options::default().learning_rate)]
    learning_rate: f64,
    /// Most leaves of a tree.
    #[arg(long, default_value_t = Options::default().leaves)]
    leaves: usize,
    /// Seeds what is random; the same seed gives the same bytes.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Where the model goes.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Where the metrics on the withheld rows go, as JSON.
    #[arg(long, value_name = "FILE")]
    metrics: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum TaskArg {
    Regression,
    Binary,
    Multiclass,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ObjectiveArg {
    /// The mean.
    Squared,
    /// The median.
    Absolute,
}

pub(crate) fn run(command: &BaselineCommand) -> Result<(), Failure> {
    let BaselineCommand::Train(args) = command;
    let (task, regression) = match args.task {
        TaskArg::Regression => (Task::Regression, true),
        TaskArg::Binary => (Task::Binary, false),
        TaskArg::Multiclass => (Task::Multiclass, false),
    };
    let options = Options {
        seed: args.seed,
        rounds: args.rounds,
        learning_rate: args.learning_rate,
        leaves: args.leaves,
        objective: match args.objective {
            ObjectiveArg::Squared => Objective::Squared,
            ObjectiveArg::Absolute => Objective::Absolute,
        },
        ..Options::default()
    };
    let table = read(&args.data, args, regression)?;
    let holdout = args.holdout.as_deref().map(|path| read(path, args, regression)).transpose()?;
    let trained = train(&table, task, &options, holdout.as_ref())?;
    gyre_data::files::write(&args.out, &trained.onnx)?;
    if let Some(path) = &args.metrics {
        let mut metrics = serde_json::json!({"rows": trained.rows, "trees": trained.trees});
        if let (Some(measured), Some(metrics)) = (&trained.holdout, metrics.as_object_mut()) {
            metrics.insert("holdout".to_owned(), serde_json::to_value(measured)?);
        }
        gyre_data::files::write(path, format!("{metrics:#}\n").as_bytes())?;
    }
    say(format!("trained {} trees on {} rows: {}", trained.trees, trained.rows, args.out.display()))
}

/// Reads the features and the target; rows without a target are passed over.
fn read(path: &Path, args: &TrainArgs, regression: bool) -> Result<TrainTable, Failure> {
    let mut names: Vec<&str> = args.features.iter().map(String::as_str).collect();
    names.push(&args.target);
    let file = File::open_projected(path, &names)?;
    let kinds = file.columns();
    let text = |name: &str| {
        let kind = kinds.iter().find(|column| column.name == name).and_then(|column| column.kind);
        matches!(kind, Some(ColumnType::Text | ColumnType::Bool))
    };
    let mut columns: Vec<Column> = args
        .features
        .iter()
        .map(|name| if text(name) { Column::Text(Vec::new()) } else { Column::Numeric(Vec::new()) })
        .collect();
    let (mut numbers, mut labels) = (Vec::new(), Vec::new());
    for batch in file {
        let batch = batch?;
        let targets = batch.values(&args.target)?;
        let kept: Vec<bool> = targets.iter().map(|target| !matches!(target, Value::Missing)).collect();
        for (name, column) in args.features.iter().zip(&mut columns) {
            let values =
                batch.values(name)?.into_iter().zip(&kept).filter(|(_, kept)| **kept).map(|(value, _)| value);
            match column {
                Column::Numeric(into) => {
                    into.extend(values.map(|value| value.as_number().unwrap_or(f64::NAN)))
                }
                Column::Text(into) => into.extend(values.map(|value| value.as_category())),
            }
        }
        let targets = targets.into_iter().filter(|target| !matches!(target, Value::Missing));
        if regression {
            numbers.extend(targets.map(|target| target.as_number().unwrap_or(f64::NAN)));
        } else {
            labels.extend(targets.filter_map(|target| target.as_category()).map(|label| label.to_string()));
        }
    }
    let named = args.features.iter().map(|name| Arc::<str>::from(name.as_str())).zip(columns);
    let target = if regression { Target::Numeric(numbers) } else { Target::Labels(labels) };
    Ok(TrainTable { features: Table::new(named)?, target })
}

//! What is asked: from gyre.yaml, from the command line, or from both, where the command line has the last word.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use gyre_backtest::{Columns, Order, Settings};
use gyre_core::spec::{FILE, Metric, Model, Project, Task, Window};
use gyre_core::{Diagnostic, ModelName, Span};

use crate::failure::Failure;

#[derive(Debug, Args)]
pub(super) struct AskArgs {
    /// The column that is predicted.
    #[arg(long, value_name = "COLUMN", requires = "task", requires = "metric")]
    target: Option<String>,
    /// What is predicted.
    #[arg(long, value_enum)]
    task: Option<TaskArg>,
    /// What is measured; lower is better.
    #[arg(long, value_enum)]
    metric: Option<MetricArg>,
    /// The column with each row's event time.
    #[arg(long, value_name = "COLUMN", conflicts_with = "rows_per_day")]
    time: Option<String>,
    /// There is no such column, but the file is in time's order: so many rows make a day.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rows_per_day: Option<u32>,
    /// The column that says when a row's label became known; by default --delay after its time.
    #[arg(long, value_name = "COLUMN")]
    label_time: Option<String>,
    /// The columns to predict from, separated by commas; by default all others but moments, the key and --without.
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    features: Vec<String>,
    /// Columns not to predict from: keys, and what is known only afterwards.
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    without: Vec<String>,
    /// How long a window is; by default 7d.
    #[arg(long, value_name = "SPAN")]
    window: Option<Span>,
    /// How long labels take; by default 1d.
    #[arg(long, value_name = "SPAN")]
    delay: Option<Span>,
    /// How much history comes before the first training; by default as much as it may learn from, or 56d.
    #[arg(long, value_name = "SPAN")]
    warm_up: Option<Span>,
    /// The training windows to choose from, separated by commas: 28d, 8w, all. The first is that of the policies that do not choose.
    #[arg(long, value_name = "SPANS", value_delimiter = ',')]
    train_window: Vec<Window>,
    /// What a training costs, in days of the first model's promised loss.
    #[arg(long, value_name = "COST")]
    retrain_cost: Option<f64>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum TaskArg {
    Regression,
    Binary,
    Multiclass,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum MetricArg {
    Mae,
    Rmse,
    LogLoss,
    ErrorRate,
}

impl AskArgs {
    /// The question, and which columns answer it.
    pub(super) fn question(
        &self,
        file: Option<&Path>,
        model: Option<&ModelName>,
    ) -> Result<(Settings, Columns), Failure> {
        let declared = if file.is_some() || self.target.is_none() {
            Some(Declared::read(&path_of(file), model)?)
        } else {
            None
        };
        let mut settings = match (&declared, self.task, self.metric) {
            (Some(declared), ..) => declared.settings(),
            (None, Some(task), Some(metric)) => {
                let name = "history".parse().map_err(Failure::because)?;
                Settings::new(name, task.into(), metric.into())
            }
            // clap has seen to it.
            _ => return Err(wrong("--target", "--task and --metric are needed with it")),
        };
        if !self.train_window.is_empty() {
            settings = settings.with_candidates(self.train_window.clone());
        }
        if let Some(window) = self.window {
            settings = settings.with_window(window);
        }
        settings.delay = self.delay.unwrap_or(settings.delay);
        settings.warm_up = self.warm_up.unwrap_or(settings.warm_up);
        if let Some(cost) = self.retrain_cost {
            settings.cost.retrain = cost;
            settings.policy.patience = cost / settings.cost.error;
        }
        let columns = self.columns(&settings, declared.as_ref())?;
        Ok((settings, columns))
    }

    fn columns(&self, settings: &Settings, declared: Option<&Declared>) -> Result<Columns, Failure> {
        let dataset = declared.and_then(Declared::dataset);
        let time = self.time.clone().or_else(|| dataset?.time.clone());
        let order = match (self.rows_per_day, time) {
            (Some(rows), _) => Order::RowsPerDay(rows),
            (None, Some(time)) => Order::Column(time),
            (None, None) => {
                return Err(wrong("--time", "the column with each row's event time is not known"));
            }
        };
        let target = self.target.clone().or_else(|| Some(declared?.model.target.clone()));
        let mut without = self.without.clone();
        without.extend(dataset.and_then(|dataset| dataset.key.clone()));
        Ok(Columns {
            order,
            label_time: self.label_time.clone().or_else(|| dataset?.label_time.clone()),
            target: target.ok_or_else(|| wrong("--target", "the column to predict is not known"))?,
            task: settings.task,
            features: self.features.clone(),
            without,
            delay: settings.delay,
        })
    }
}

fn wrong(place: &str, reason: &str) -> Failure {
    let diagnostic = Diagnostic::new(place, reason);
    Failure::Input(vec![
        diagnostic
            .help("name a gyre.yaml, or give --target, --task, --metric and --time (or --rows-per-day)"),
    ])
}

fn path_of(file: Option<&Path>) -> PathBuf {
    match file {
        Some(path) if path.is_dir() => path.join(FILE),
        Some(path) => path.to_owned(),
        None => PathBuf::from(FILE),
    }
}

/// A model of a project file.
struct Declared {
    project: Project,
    name: ModelName,
    model: Model,
}

impl Declared {
    fn read(path: &Path, wanted: Option<&ModelName>) -> Result<Self, Failure> {
        let file = path.display().to_string();
        let say = |text: String| Diagnostic::new(file.clone(), text);
        let text = std::fs::read_to_string(path).map_err(|error| {
            let missing = say(format!("cannot be read: {error}"));
            Failure::Input(vec![
                missing
                    .help("name a project file, or say without one: --target, --task, --metric and --time"),
            ])
        })?;
        let project = Project::parse(&file, &text).map_err(Failure::Input)?;
        let names: Vec<&str> = project.models.keys().map(ModelName::as_str).collect();
        // Of several the only one that is ever repaired is meant.
        let repaired = || project.models.iter().filter(|(_, model)| !model.retrain.when.is_empty());
        let found = match wanted {
            Some(wanted) => project.models.get_key_value(wanted).ok_or_else(|| {
                say(format!("there is no model `{wanted}`"))
                    .expected(format!("one of {}", names.join(", ")))
                    .nearest(wanted.as_str(), names.iter().copied())
            }),
            None => match repaired().collect::<Vec<_>>().as_slice() {
                [only] => Ok(*only),
                _ => Err(say(format!("{} models are declared and repaired", repaired().count()))
                    .expected(format!("--model with one of {}", names.join(", ")))),
            },
        };
        let (name, model) = found.map_err(|diagnostic| Failure::Input(vec![diagnostic]))?;
        let (name, model) = (name.clone(), model.clone());
        Ok(Self { project, name, model })
    }

    fn settings(&self) -> Settings {
        let policy = gyre_loop::policy::policies(&self.project).remove(&self.name);
        Settings::of(&self.name, &self.model, policy.unwrap_or_else(gyre_loop::Policy::undeclared))
    }

    fn dataset(&self) -> Option<&gyre_core::spec::Dataset> {
        self.project.data.get(&self.model.train.data.value)
    }
}

impl From<TaskArg> for Task {
    fn from(task: TaskArg) -> Self {
        match task {
            TaskArg::Regression => Self::Regression,
            TaskArg::Binary => Self::Binary,
            TaskArg::Multiclass => Self::Multiclass,
        }
    }
}

impl From<MetricArg> for Metric {
    fn from(metric: MetricArg) -> Self {
        match metric {
            MetricArg::Mae => Self::Mae,
            MetricArg::Rmse => Self::Rmse,
            MetricArg::LogLoss => Self::LogLoss,
            MetricArg::ErrorRate => Self::ErrorRate,
        }
    }
}

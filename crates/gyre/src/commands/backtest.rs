//! `gyre backtest`: whether the repair policy would have been worth having, on history.

mod ask;
mod html;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::Args;
use gyre_backtest::known::Losses;
use gyre_backtest::outcome::run as replay;
use gyre_backtest::{Advice, Backtest, BacktestError, History, Matrix, Order, Outcome, Plan, Policy, advise};
use gyre_core::spec::Window;
use gyre_core::{Diagnostic, ModelName, Span};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::cli::OutputArgs;
use crate::failure::Failure;
use crate::show;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gyre backtest gyre.yaml --data data/flights.parquet
  gyre backtest --data flights.parquet --target air_time_min --task regression --metric mae \\
       --time scheduled_departure --label-time landed --without flight_id --html backtest.html
  gyre backtest --data electricity.csv --target class --task binary --metric error_rate \\
       --rows-per-day 48 --policy never,every:4,cara,gyre,oracle --json

Policies: never, every:N (windows), drift, decay, cara (Mahadevan & Mathioudakis 2024, three ways), gyre (the controller as it
runs), oracle (the best schedule in hindsight). Models are trained by the reference trainer (`gyre baseline`), once for each moment
and training window, and kept in --cache: a backtest that was broken off goes on where it was.")]
pub(crate) struct BacktestArgs {
    /// The project file; by default gyre.yaml in this folder, unless --target says that there is none.
    project: Option<PathBuf>,
    /// The history: labelled rows with their times, Parquet or CSV.
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// The model, when gyre.yaml declares several.
    #[arg(long, value_name = "NAME")]
    model: Option<ModelName>,
    /// The policies to replay, separated by commas; by default all of them.
    #[arg(long, value_name = "POLICIES", value_delimiter = ',')]
    policy: Vec<String>,
    #[command(flatten)]
    ask: ask::AskArgs,
    /// Also write the report, with curves, as one self-contained HTML file.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Where trained models' losses are kept.
    #[arg(long, value_name = "DIR", default_value = ".gyre/backtest")]
    cache: PathBuf,
    /// How many models are trained at a time; by default as many as there are processors.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    #[command(flatten)]
    output: OutputArgs,
}

pub(crate) fn run(args: &BacktestArgs) -> Result<(), Failure> {
    let (settings, columns) = args.ask.question(args.project.as_deref(), args.model.as_ref())?;
    let policies = policies(&args.policy)?;
    let history = History::read(&args.data, &columns).map_err(|error| wrong(&args.data, &error))?;
    let matrix =
        Matrix::new(&history, &settings, Some(&args.cache)).map_err(|error| wrong(&args.data, &error))?;
    let threads = args.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let bar = bar(args.output.json);
    matrix.prepare(&matrix.fits(), threads, &|done, of| {
        bar.set_length(of as u64);
        bar.set_position(done as u64);
    })?;
    bar.finish_and_clear();
    let found = replay(&matrix, &settings, &Plan { policies }).map_err(|error| wrong(&args.data, &error))?;
    let advice = advise(&matrix, &settings)?;
    matrix.finish()?;
    let untrained = untrained(&matrix, &settings);
    let shown = Shown {
        args,
        settings: &settings,
        history: &history,
        order: &columns.order,
        found: &found,
        advice: &advice,
        untrained: untrained.as_deref(),
    };
    if let Some(path) = &args.html {
        let page = gyre_report::backtest_report::html(&html::document(&shown));
        gyre_data::files::write(path, page.as_bytes())?;
    }
    if args.output.json {
        return show::json(&shown.json());
    }
    shown.say()
}

/// A backtest with all that it is told with.
struct Shown<'a> {
    args: &'a BacktestArgs,
    settings: &'a gyre_backtest::Settings,
    history: &'a History,
    order: &'a Order,
    found: &'a Backtest,
    advice: &'a Advice,
    /// Which models are missing, and why.
    untrained: Option<&'a str>,
}

impl Shown<'_> {
    fn json(&self) -> serde_json::Value {
        let features: Vec<&str> = self.features();
        json!({
            "policies": self.found.policies,
            "promised": self.found.promised,
            "windows": self.found.windows,
            "rows": self.history.rows(),
            "features": features,
            "unjudged_gates": self.advice.unjudged_gates,
            "untrained": self.untrained,
            "advice": self.advice,
        })
    }

    fn features(&self) -> Vec<&str> {
        self.history.features.columns().iter().map(|(name, _)| name.as_ref()).collect()
    }

    fn say(&self) -> Result<(), Failure> {
        let rows = self.found.policies.iter().map(row).collect();
        let metric = self.settings.metric.name().to_uppercase();
        let header = ["POLICY", metric.as_str(), "TRAININGS", "TOTAL COST", "REGRET", "RATIO"];
        show::say(show::table(&header, &[1, 2, 3, 4, 5], rows))?;
        show::say(format!("\n{}", self.currency()))?;
        show::say(format!("features: {}", self.features().join(", ")))?;
        if let Some(untrained) = self.untrained {
            show::say(untrained)?;
        }
        for gate in &self.advice.unjudged_gates {
            show::say(format!("not judged, for history does not hold it: {gate}"))?;
        }
        for sentence in self.advice.sentences() {
            show::say(sentence)?;
        }
        match &self.args.html {
            Some(path) => show::say(format!("report: {}", path.display())),
            None => Ok(()),
        }
    }

    fn currency(&self) -> String {
        let unit =
            if self.settings.unit.is_empty() { String::new() } else { format!(" {}", self.settings.unit) };
        format!(
            "Costs are days at the first model's promised {} of {}{unit}, times {}; a training costs {}.",
            self.settings.metric.name(),
            show::number(self.found.promised),
            self.settings.cost.error,
            self.settings.cost.retrain,
        )
    }

    fn settings(&self) -> Vec<(String, String)> {
        let windows: Vec<String> = self.settings.candidates.iter().map(Window::to_string).collect();
        let order = match self.order {
            Order::Column(time) => time.clone(),
            Order::RowsPerDay(rows) => format!("the file's order, {rows} rows a day"),
        };
        let span = |span: Span| span.to_string();
        [
            ("metric", self.settings.metric.name().to_owned()),
            ("time", order),
            ("features", self.features().join(", ")),
            ("monitor.window", span(self.settings.window)),
            ("labels.expected_delay", span(self.settings.delay)),
            ("before the first training", span(self.settings.warm_up)),
            ("training windows", windows.join(", ")),
            (
                "retrain.cost",
                format!("retrain: {}, error: {}", self.settings.cost.retrain, self.settings.cost.error),
            ),
            ("retrain.refit", self.settings.policy.refit.to_string()),
            ("gates", self.settings.gates.join("; ")),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }
}

/// Which models could not be trained, in the words of the trainer: no policy could have them.
fn untrained(matrix: &Matrix<'_>, settings: &gyre_backtest::Settings) -> Option<String> {
    let untrained = matrix.untrained();
    let (first, why) = untrained.first()?;
    let window = settings.candidates.get(first.choice).map(Window::to_string).unwrap_or_default();
    Some(format!(
        "not trained: {} of {} models; the first as of {} on {window}: {why}",
        untrained.len(),
        matrix.fits().len(),
        matrix.timeline().moment(first.at),
    ))
}

fn row(outcome: &Outcome) -> Vec<String> {
    let or_none = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), show::number);
    vec![
        outcome.policy.clone(),
        show::number(outcome.loss),
        outcome.retrains.to_string(),
        show::number(outcome.total_cost),
        or_none(outcome.regret),
        outcome.ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.3}")),
    ]
}

fn policies(asked: &[String]) -> Result<Vec<Policy>, Failure> {
    if asked.is_empty() {
        return Ok(Policy::DEFAULT.to_vec());
    }
    let mut policies = Vec::new();
    for name in asked {
        let named = Policy::named(name.trim());
        policies.extend(named.map_err(|error| {
            let names = Policy::DEFAULT.map(|policy| policy.to_string());
            let diagnostic = Diagnostic::new("--policy", error.to_string());
            Failure::Input(vec![diagnostic.nearest(name, names.iter().map(String::as_str))])
        })?);
    }
    policies.sort_unstable();
    policies.dedup();
    Ok(policies)
}

/// A history that cannot be used is wrong input; a disk that refuses is not.
fn wrong(path: &Path, error: &BacktestError) -> Failure {
    let told = error.to_string();
    let told = told.strip_prefix(&format!("{}: ", path.display())).unwrap_or(&told);
    match error {
        BacktestError::File(_) => Failure::because(error),
        BacktestError::Setting { .. } => Failure::Input(vec![Diagnostic::new("backtest", told)]),
        _ => Failure::Input(vec![Diagnostic::new(path.display().to_string(), told)]),
    }
}

/// A bar on a terminal, nothing elsewhere.
fn bar(silent: bool) -> ProgressBar {
    if silent || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::no_length();
    if let Ok(style) =
        ProgressStyle::with_template("training {wide_bar:.cyan/blue} {pos}/{len} models, {eta} left")
    {
        bar.set_style(style);
    }
    bar
}

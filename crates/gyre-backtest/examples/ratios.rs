//! Prints what each policy costs on a history: `ratios FILE TARGET TASK METRIC ORDER [key=value…]`, where ORDER is a time column or
//! rows a day. Keys: window, delay, warm_up, candidates (28d,56d,all), label_time, without, features, cache, gates (`;` between them),
//! try (one, all), refit (true, false), decisions (to print them), breaker (setbacks until it rests), patience.

use std::path::Path;
use std::time::Instant;

use gyre_backtest::known::{Known, Losses};
use gyre_backtest::outcome::{first, run};
use gyre_backtest::policies::{Gyre, Strategy};
use gyre_backtest::{BacktestError, Columns, History, Matrix, Order, Plan, Policy, Settings};
use gyre_core::spec::{Metric, Task, Window};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [file, target, task, metric, order, rest @ ..] = args.as_slice() else {
        return Err("FILE TARGET TASK METRIC ORDER".into());
    };
    let key =
        |name: &str| rest.iter().find_map(|pair| pair.strip_prefix(&format!("{name}=")).map(str::to_owned));
    let list = |name: &str| {
        key(name).map_or_else(Vec::new, |all| all.split(',').map(str::to_owned).collect::<Vec<_>>())
    };
    let task: Task = serde_json::from_str(&format!("\"{task}\""))?;
    let metric: Metric = serde_json::from_str(&format!("\"{metric}\""))?;
    let mut settings = Settings::new("history".parse()?, task, metric);
    if let Some(window) = key("window") {
        settings = settings.with_window(window.parse()?);
    }
    if let Some(delay) = key("delay") {
        settings.delay = delay.parse()?;
    }
    if let Some(warm_up) = key("warm_up") {
        settings.warm_up = warm_up.parse()?;
    }
    if let Some(attempt) = key("try") {
        settings.policy.try_all = attempt == "all";
    }
    if let Some(refit) = key("refit") {
        settings.policy.refit = refit.parse()?;
    }
    if let Some(after) = key("breaker") {
        settings.policy.breaker.after = after.parse()?;
    }
    if let Some(patience) = key("patience") {
        settings.policy.patience = patience.parse()?;
    }
    if let Some(gates) = key("gates") {
        settings.gates = gates.split(';').map(str::to_owned).collect();
    }
    let candidates =
        list("candidates").iter().map(|window| window.parse()).collect::<Result<Vec<Window>, _>>()?;
    if !candidates.is_empty() {
        settings = settings.with_candidates(candidates);
    }
    let order = order.parse().map_or_else(|_| Order::Column(order.clone()), Order::RowsPerDay);
    let columns = Columns {
        order,
        label_time: key("label_time"),
        target: target.clone(),
        task,
        features: list("features"),
        without: list("without"),
        delay: settings.delay,
    };
    let begun = Instant::now();
    let dump = key("dump");
    let history = History::read(Path::new(file), &columns)?;
    let cache = key("cache");
    let matrix = Matrix::new(&history, &settings, cache.as_deref().map(Path::new))?;
    eprintln!("{} rows read in {:.1} s", history.rows(), begun.elapsed().as_secs_f64());
    let fits = matrix.fits();
    matrix.prepare(&fits, 2, &|done, of| eprint!("\r{done}/{of}"))?;
    eprintln!(" models in {:.1} s", begun.elapsed().as_secs_f64());
    if let Some(path) = dump {
        let timeline = gyre_backtest::known::Losses::timeline(&matrix);
        let slices: Vec<_> = timeline
            .slices
            .iter()
            .map(|s| {
                serde_json::json!([
                    s.from.as_millis(),
                    s.day,
                    s.window,
                    s.era,
                    s.visible,
                    s.withheld,
                    s.seen,
                    s.late
                ])
            })
            .collect();
        let moments: Vec<_> = timeline.moments.iter().map(|m| m.as_millis()).collect();
        std::fs::write(path, serde_json::json!({"slices": slices, "moments": moments}).to_string())?;
    }
    if key("decisions").is_some() {
        decisions(&matrix, &settings)?;
    }
    let plan = Plan { policies: Policy::DEFAULT.to_vec() };
    let found = run(&matrix, &settings, &plan);
    matrix.finish()?;
    let found = found?;
    eprintln!("done in {:.1} s; promised {:.4}", begun.elapsed().as_secs_f64(), found.promised);
    for outcome in &found.policies {
        println!(
            "{:<16} loss {:>8.4}  retrains {:>3}  cost {:>8.2}  ratio {:.4}",
            outcome.policy,
            outcome.loss,
            outcome.retrains,
            outcome.total_cost,
            outcome.ratio.unwrap_or(f64::NAN)
        );
    }
    Ok(())
}

/// Prints what the controller decided, and why.
fn decisions(losses: &dyn Losses, settings: &Settings) -> Result<(), BacktestError> {
    let (first, _) = first(losses, settings)?;
    let known = |now| Known::at(losses, now, settings.metric);
    let mut gyre = Gyre::new(settings, &known(0), first);
    let mut serves = vec![first];
    for now in 1..losses.timeline().decisions() {
        serves.push(gyre.decide(&known(now), &serves).serve);
    }
    for (at, decision, reason) in gyre.decisions() {
        println!("{at} {decision:?}: {reason}");
    }
    Ok(())
}

//! From a file to a verdict: a small history with a break in it, read, trained on, replayed, kept and taken up again.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use gyre_backtest::known::{Fit, Losses};
use gyre_backtest::outcome::run;
use gyre_backtest::{BacktestError, Columns, History, Matrix, Order, Plan, Policy, Settings};
use gyre_core::Span;
use gyre_core::spec::{Metric, Task, Window};

/// 64 days of 12 rows: y = x until day 36, then y = −x. Every 100th label never comes.
fn write(path: &Path) {
    let mut text = "id,at,x,place,y\n".to_owned();
    for row in 0..64 * 12 {
        let (day, hour) = (row / 12, row % 12 * 2);
        let (month, of_month) = if day < 31 {
            (1, day + 1)
        } else if day < 59 {
            (2, day - 30)
        } else {
            (3, day - 58)
        };
        let x = f64::from((row * 37) % 101);
        let y = if day < 36 { x } else { -x };
        let y = if row % 100 == 99 { String::new() } else { y.to_string() };
        let place = ["a", "b"][row as usize % 2];
        text += &format!("{row},2013-{month:02}-{of_month:02}T{hour:02}:00:00Z,{x},{place},{y}\n");
    }
    std::fs::write(path, text).unwrap();
}

fn columns() -> Columns {
    Columns {
        order: Order::Column("at".to_owned()),
        label_time: None,
        target: "y".to_owned(),
        task: Task::Regression,
        features: Vec::new(),
        without: vec!["id".to_owned()],
        delay: Span::days(1),
    }
}

fn settings() -> Settings {
    let mut settings = Settings::new("kiln".parse().unwrap(), Task::Regression, Metric::Rmse)
        .with_candidates(vec![Window::Last(Span::days(14))]);
    settings.warm_up = Span::days(21);
    settings
}

#[test]
fn a_history_is_replayed_kept_and_taken_up_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("history.csv");
    write(&path);
    let history = History::read(&path, &columns()).unwrap();
    let names: Vec<&str> = history.features.columns().iter().map(|(name, _)| name.as_ref()).collect();
    assert_eq!((history.rows(), names), (768, vec!["x", "place"]));
    let settings = settings();
    let policies = vec![Policy::Never, Policy::Every(1), Policy::Decay, Policy::Gyre, Policy::Oracle];
    let trained = AtomicUsize::new(0);
    let backtest = |cache: Option<&Path>| {
        let matrix = Matrix::new(&history, &settings, cache).unwrap();
        let first = AtomicUsize::new(usize::MAX);
        let progress = |done: usize, of: usize| {
            let _ = first.compare_exchange(usize::MAX, of - done, Ordering::SeqCst, Ordering::SeqCst);
        };
        matrix.prepare(&matrix.fits(), 2, &progress).unwrap();
        trained.store(first.into_inner(), Ordering::SeqCst);
        let slices = matrix.timeline().slices.len();
        assert_eq!(matrix.fitted(Fit { at: 0, choice: 0 }).unwrap().seen.len(), slices);
        run(&matrix, &settings, &Plan { policies: policies.clone() }).unwrap()
    };
    let cache = dir.path().join("cache");
    let found = backtest(Some(&cache));
    let models = trained.load(Ordering::SeqCst);
    assert_eq!(models, 6, "the first model, and one at the close of each of five windows");
    let cost = |policy: &str| found.policies.iter().find(|it| it.policy == policy).unwrap().total_cost;
    assert!(cost("gyre") < 0.8 * cost("never"), "the break is worth a training: {found:?}");
    assert!(cost("oracle") <= cost("gyre"));

    // What is kept is the same to the last bit, and nothing is trained again.
    assert_eq!(backtest(Some(&cache)), found);
    assert_eq!(trained.load(Ordering::SeqCst), 0);
    // A line that was broken off costs its one model.
    let file = std::fs::read_dir(&cache).unwrap().next().unwrap().unwrap().path();
    let text = std::fs::read_to_string(&file).unwrap();
    let last = text.rfind("\"refit\":true").unwrap();
    std::fs::write(&file, &text[..last + 40]).unwrap();
    assert_eq!(backtest(Some(&cache)), found);
    assert_eq!(trained.load(Ordering::SeqCst), 1);
}

#[test]
fn what_cannot_be_backtested_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("history.csv");
    write(&path);
    let read = |columns: Columns| History::read(&path, &columns).map(|_| ()).unwrap_err().to_string();
    let told = read(Columns { features: vec!["plaice".to_owned()], ..columns() });
    assert!(told.contains("no column `plaice`") && told.contains("did you mean `place`?"), "{told}");
    let history = History::read(&path, &columns()).unwrap();
    let refused = |settings: &Settings| Matrix::new(&history, settings, None).map(|_| ()).unwrap_err();
    let told = refused(&Settings { warm_up: Span::days(60), ..settings() }).to_string();
    assert!(told.contains("64.0 days") || told.contains("63.9 days"), "{told}");
    assert!(told.contains("--warm-up"), "{told}");
    let wrong = refused(&Settings { metric: Metric::ErrorRate, ..settings() });
    assert!(matches!(wrong, BacktestError::Setting { name: "the metric", .. }), "{wrong}");
    assert!(Policy::named("sometimes").unwrap_err().to_string().contains("every:N"));
}

/// 64 days of 12 rows, each of the class that `class` says of its day and x.
fn classes(path: &Path, class: fn(u32, u32) -> &'static str) -> History {
    let mut text = "x,y\n".to_owned();
    for row in 0..64 * 12 {
        let x = (row * 37) % 101;
        text += &format!("{x},{}\n", class(row / 12, x));
    }
    std::fs::write(path, text).unwrap();
    let order = Order::RowsPerDay(12);
    History::read(path, &Columns { order, task: Task::Multiclass, without: Vec::new(), ..columns() }).unwrap()
}

fn of_classes(metric: Metric, warm_up: i64) -> Settings {
    Settings { task: Task::Multiclass, metric, warm_up: Span::days(warm_up), ..settings() }
}

#[test]
fn a_class_that_comes_later_is_lost_by_older_models_and_learnt_by_newer_ones() {
    let dir = tempfile::tempdir().unwrap();
    let class = |day, x| match (day, x) {
        // Now and then another one, as nothing foretells: no model is without loss.
        _ if (day * 7 + x) % 13 == 0 => "low",
        (36.., 70..) => "new",
        (_, 40..) => "high",
        _ => "low",
    };
    let history = classes(&dir.path().join("history.csv"), class);
    for metric in [Metric::ErrorRate, Metric::LogLoss] {
        let settings = of_classes(metric, 21);
        let matrix = Matrix::new(&history, &settings, None).unwrap();
        matrix.prepare(&matrix.fits(), 2, &|_, _| {}).unwrap();
        assert_eq!(matrix.untrained(), []);
        let plan = Plan { policies: vec![Policy::Never, Policy::Every(1)] };
        let found = run(&matrix, &settings, &plan).unwrap();
        let last = |policy: &str| {
            let outcome = found.policies.iter().find(|it| it.policy == policy).unwrap();
            outcome.windows.iter().rev().flatten().next().copied().unwrap()
        };
        let (never, every) = (last("never"), last("every:1"));
        assert!(never.is_finite() && never > 0.2 && never > 3.0 * every, "{metric:?}: {never} {every}");
    }
}

#[test]
fn what_could_not_be_trained_is_told_in_the_trainers_words() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    let class = |day, x| if x > 50 && !(28..46).contains(&day) { "high" } else { "low" };
    let history = classes(&dir.path().join("history.csv"), class);
    let words = "the target has 1 classes (low), the task needs 2 to 100";
    let settings = of_classes(Metric::LogLoss, 21);
    // The second time out of the cache.
    for _ in 0..2 {
        let matrix = Matrix::new(&history, &settings, Some(&cache)).unwrap();
        matrix.prepare(&matrix.fits(), 2, &|_, _| {}).unwrap();
        let untrained = matrix.untrained();
        assert!(!untrained.is_empty() && untrained.len() < matrix.fits().len(), "{untrained:?}");
        assert!(untrained.iter().all(|(fit, why)| fit.at > 0 && why == words), "{untrained:?}");
    }
    // Where the first model is such a one, nothing can be compared.
    let settings = of_classes(Metric::LogLoss, 44);
    let matrix = Matrix::new(&history, &settings, None).unwrap();
    let told = run(&matrix, &settings, &Plan { policies: vec![Policy::Never] }).unwrap_err().to_string();
    assert!(told.contains(words) && told.contains("--warm-up"), "{told}");
}

#[test]
fn a_file_without_times_is_in_times_order() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("history.csv");
    write(&path);
    let columns = Columns {
        order: Order::RowsPerDay(12),
        without: vec!["id".to_owned(), "at".to_owned()],
        ..columns()
    };
    let history = History::read(&path, &columns).unwrap();
    assert_eq!((history.times[0].day(), history.times[767].day()), (0, 63));
}

//! Estimates the rows of one CSV file, chunk by chunk, by those of another: `estimate_csv binary|multiclass|regression REFERENCE WINDOW ROWS`;
//! or measures how long a million rows take: `estimate_csv speed`.
//!
//! Columns `__score`, `__decision` (0 or 1) and `__label` are the model's answer and the truth, the rest are features; of
//! several classes there is a `__scoreCLASS` for each, and decision and label are names of classes. A column whose values are all numbers or empty is numeric; the rest are categories. No quoting. Prints a JSON line a chunk, the truth
//! left to whoever compares.
//!
//! `cargo run --release -p gyre-estimate --example estimate_csv -- binary reference.csv analysis.csv 5000`

use std::error::Error;
use std::time::Instant;

use gyre_estimate::{DirectLoss, DirectOptions, Pape, PapeOptions};
use gyre_runtime::{Column, Table};
use gyre_stats::estimate::{
    BinaryEstimates, BinaryRows, Calibration, Expected, MulticlassCalibration, MulticlassEstimates,
    MulticlassRows, Undefined, binary, multiclass,
};
use serde_json::{Value, json};

struct Rows {
    features: Table,
    /// One a row, or of several classes one a row and class.
    scores: Vec<f64>,
    /// 1 for yes, or the number of the class.
    decisions: Vec<f64>,
    labels: Vec<f64>,
    /// How many scores a row has.
    width: usize,
}

/// A column's name and cells.
type Cells = (String, Vec<String>);

fn read(path: &str) -> Result<Vec<Cells>, Box<dyn Error>> {
    let text = std::fs::read_to_string(path)?;
    let mut lines = text.lines();
    let header = lines.next().ok_or("empty file")?;
    let mut columns: Vec<Cells> = header.split(',').map(|name| (name.to_owned(), Vec::new())).collect();
    for line in lines {
        columns.iter_mut().zip(line.split(',')).for_each(|(column, cell)| column.1.push(cell.to_owned()));
    }
    Ok(columns)
}

/// The kinds of the columns come from the reference, so that both are read alike.
fn rows(cells: &[Cells], like: &[Cells]) -> Result<Rows, Box<dyn Error>> {
    let numbers =
        |cells: &[String]| cells.iter().map(|cell| cell.parse().unwrap_or(f64::NAN)).collect::<Vec<f64>>();
    let is_numeric =
        |cells: &[String]| cells.iter().all(|cell| cell.is_empty() || cell.parse::<f64>().is_ok());
    let of = |name: &str| -> Result<Vec<f64>, Box<dyn Error>> {
        let (_, cells) =
            cells.iter().find(|(column, _)| column == name).ok_or_else(|| format!("no column {name}"))?;
        Ok(numbers(cells))
    };
    let features = cells.iter().zip(like).filter(|((name, _), _)| !name.starts_with("__"));
    let features = features.map(|((name, cells), (_, first))| {
        let text = || cells.iter().map(|cell| (!cell.is_empty()).then(|| cell.as_str().into())).collect();
        let column = if is_numeric(first) { Column::Numeric(numbers(cells)) } else { Column::Text(text()) };
        (name.clone(), column)
    });
    let mut classes: Vec<&str> = cells.iter().filter_map(|(name, _)| name.strip_prefix("__score")).collect();
    classes.sort_unstable();
    let number = |name: &str| -> Result<Vec<f64>, Box<dyn Error>> {
        if classes.len() < 2 {
            return of(name);
        }
        let (_, cells) = cells.iter().find(|(column, _)| column == name).ok_or("no such column")?;
        let class = |cell: &String| classes.iter().position(|class| class == cell).map(|class| class as f64);
        cells.iter().map(|cell| class(cell).ok_or_else(|| format!("unknown class {cell}").into())).collect()
    };
    let by_class =
        classes.iter().map(|class| of(&format!("__score{class}"))).collect::<Result<Vec<_>, _>>()?;
    let rows = by_class.first().map_or(0, Vec::len);
    let scores = (0..rows).flat_map(|row| by_class.iter().filter_map(move |scores| scores.get(row).copied()));
    Ok(Rows {
        features: Table::new(features)?,
        scores: scores.collect(),
        decisions: number("__decision")?,
        labels: number("__label")?,
        width: classes.len().max(1),
    })
}

fn chunk(rows: &Rows, from: usize, to: usize) -> Result<Rows, Box<dyn Error>> {
    let features = rows.features.columns().iter().map(|(name, column)| {
        let column = match column {
            Column::Numeric(values) => Column::Numeric(values[from..to].to_vec()),
            Column::Text(values) => Column::Text(values[from..to].to_vec()),
        };
        (name.clone(), column)
    });
    Ok(Rows {
        features: Table::new(features)?,
        scores: rows.scores[from * rows.width..to * rows.width].to_vec(),
        decisions: rows.decisions[from..to].to_vec(),
        labels: rows.labels[from..to].to_vec(),
        width: rows.width,
    })
}

fn metric(of: Result<Expected, Undefined>) -> Value {
    match of {
        Ok(expected) => {
            let interval = expected.interval(0.95);
            json!({"value": expected.value, "lower": interval.lower, "upper": interval.upper})
        }
        Err(reason) => json!({"undefined": reason}),
    }
}

fn metrics(of: &BinaryEstimates) -> Value {
    json!({
        "roc_auc": metric(of.roc_auc), "f1": metric(of.f1), "accuracy": metric(of.accuracy),
        "log_loss": metric(of.log_loss), "brier": metric(of.brier),
    })
}

fn classifier(reference: &Rows, chunks: &[Rows]) -> Result<(), Box<dyn Error>> {
    let labels: Vec<bool> = reference.labels.iter().map(|label| *label == 1.0).collect();
    let start = Instant::now();
    let calibration = Calibration::of_probabilities(&reference.scores, &labels, None)?;
    let pape = Pape::binary(&reference.features, &reference.scores, &labels, PapeOptions::default())?;
    eprintln!(
        "fit {:.3} s, {:?}, corrected: {}",
        start.elapsed().as_secs_f64(),
        calibration.check(),
        calibration.is_applied()
    );
    let (mut of_plain, mut of_adapted) = (0.0, 0.0);
    for chunk in chunks {
        let decisions: Vec<bool> = chunk.decisions.iter().map(|decision| *decision == 1.0).collect();
        let window = BinaryRows { scores: &chunk.scores, decisions: &decisions, weights: None };
        let start = Instant::now();
        let plain = binary(&calibration, window)?;
        of_plain += start.elapsed().as_secs_f64();
        let start = Instant::now();
        let adapted = pape.estimate_binary(&chunk.features, window);
        of_adapted += start.elapsed().as_secs_f64();
        let adapted = match adapted {
            Ok(adapted) => {
                json!({"metrics": metrics(&adapted.estimates), "likeness": adapted.likeness, "share": adapted.share})
            }
            Err(error) => json!({"error": error.to_string()}),
        };
        println!("{}", json!({"rows": plain.rows, "cbpe": metrics(&plain), "pape": adapted}));
    }
    eprintln!("CBPE {of_plain:.3} s, PAPE {of_adapted:.3} s");
    Ok(())
}

fn several(of: &MulticlassEstimates) -> Value {
    json!({
        "roc_auc": metric(of.macro_auc), "f1": metric(of.macro_f1), "accuracy": metric(of.accuracy),
        "log_loss": metric(of.log_loss),
    })
}

fn classes(reference: &Rows, chunks: &[Rows]) -> Result<(), Box<dyn Error>> {
    let numbers = |values: &[f64]| values.iter().map(|value| *value as usize).collect::<Vec<usize>>();
    let (labels, width) = (numbers(&reference.labels), reference.width);
    let start = Instant::now();
    let calibration = MulticlassCalibration::fit(&reference.scores, &labels, width, None)?;
    let pape =
        Pape::multiclass(&reference.features, &reference.scores, &labels, width, PapeOptions::default())?;
    eprintln!("fit {:.3} s", start.elapsed().as_secs_f64());
    for chunk in chunks {
        let decisions = numbers(&chunk.decisions);
        let window = MulticlassRows { probabilities: &chunk.scores, decisions: &decisions, weights: None };
        let plain = multiclass(&calibration, window)?;
        let adapted = match pape.estimate_multiclass(&chunk.features, window) {
            Ok(adapted) => json!({"metrics": several(&adapted.estimates), "share": adapted.share}),
            Err(error) => json!({"error": error.to_string()}),
        };
        println!("{}", json!({"rows": plain.rows, "cbpe": several(&plain), "pape": adapted}));
    }
    Ok(())
}

fn regression(reference: &Rows, chunks: &[Rows]) -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let Rows { features, scores, labels, .. } = reference;
    let direct = DirectLoss::fit(features, scores, labels, DirectOptions::default())?;
    let bytes = serde_json::to_vec(&direct)?.len();
    eprintln!("fit {:.3} s, {bytes} bytes stored", start.elapsed().as_secs_f64());
    let start = Instant::now();
    for chunk in chunks {
        let found = direct.estimate(&chunk.features, &chunk.scores)?;
        println!(
            "{}",
            json!({"rows": found.rows, "dle": {"mae": metric(found.mae), "mse": metric(found.mse), "rmse": metric(found.rmse)}})
        );
    }
    eprintln!("DLE {:.3} s", start.elapsed().as_secs_f64());
    Ok(())
}

/// Numbers in 0..1 without a pattern, by a low-discrepancy sequence.
fn numbers(n: usize, step: f64) -> Vec<f64> {
    (0..n).map(|row| (row as f64 * step).fract()).collect()
}

fn speed() -> Result<(), Box<dyn Error>> {
    const ROWS: usize = 1_000_000;
    let (scores, chance) = (numbers(ROWS, 0.618_033_988_749_895), numbers(ROWS, 0.414_213_562_373_095));
    let labels: Vec<bool> =
        scores.iter().zip(&chance).map(|(score, chance)| *chance < score * score).collect();
    let decisions: Vec<bool> = scores.iter().map(|score| *score >= 0.5).collect();
    let start = Instant::now();
    let calibration = Calibration::of_probabilities(&scores, &labels, None)?;
    println!("calibration on {ROWS} rows: {:.3} s", start.elapsed().as_secs_f64());
    for _ in 0..3 {
        let start = Instant::now();
        let found =
            binary(&calibration, BinaryRows { scores: &scores, decisions: &decisions, weights: None })?;
        println!(
            "CBPE, 9 metrics, {ROWS} rows: {:.3} s ({:?})",
            start.elapsed().as_secs_f64(),
            found.roc_auc
        );
    }
    let steps = [
        0.732_050_8,
        0.236_068,
        0.645_751_3,
        0.316_624_8,
        0.605_551_3,
        0.123_105_6,
        0.358_898_9,
        0.795_831_5,
    ];
    let table = |n| {
        Table::new(
            steps.iter().enumerate().map(|(j, step)| (format!("x{j}"), Column::Numeric(numbers(n, *step)))),
        )
    };
    let n = 50_000;
    let truth: Vec<f64> =
        scores.iter().zip(&chance).map(|(score, chance)| score + score * (chance - 0.5)).collect();
    let start = Instant::now();
    let direct = DirectLoss::fit(&table(n)?, &scores[..n], &truth[..n], DirectOptions::default())?;
    println!("DLE fit on {n} rows of {} features: {:.3} s", steps.len(), start.elapsed().as_secs_f64());
    let window = table(ROWS)?;
    for _ in 0..3 {
        let start = Instant::now();
        let found = direct.estimate(&window, &scores)?;
        println!("DLE, {ROWS} rows: {:.3} s ({:?})", start.elapsed().as_secs_f64(), found.mae);
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (kind, reference, window, size) = match arguments.as_slice() {
        [kind] if kind == "speed" => return speed(),
        [kind, reference, window, size] => {
            (kind, read(reference)?, read(window)?, size.parse::<usize>()?.max(1))
        }
        _ => {
            return Err(
                "usage: estimate_csv binary|multiclass|regression REFERENCE WINDOW ROWS, or estimate_csv speed".into()
            );
        }
    };
    let (window, reference) = (rows(&window, &reference)?, rows(&reference, &reference)?);
    let starts = (0..window.labels.len()).step_by(size);
    let chunks = starts.map(|from| chunk(&window, from, (from + size).min(window.labels.len())));
    let chunks = chunks.collect::<Result<Vec<_>, _>>()?;
    match kind.as_str() {
        "binary" => classifier(&reference, &chunks),
        "multiclass" => classes(&reference, &chunks),
        "regression" => regression(&reference, &chunks),
        other => Err(format!("unknown {other}").into()),
    }
}

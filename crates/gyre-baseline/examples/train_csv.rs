//! Trains on one CSV file and scores another: `train_csv TRAIN TEST TARGET [squared|absolute|binary|multiclass] [OUT]`.
//! A column whose values are all numbers or empty is numeric; the rest are categories. No quoting.
//!
//! `cargo run --release -p gyre-baseline --example train_csv -- train.csv test.csv price absolute model.onnx`

use std::error::Error;
use std::time::Instant;

use gyre_baseline::{Objective, Options, Target, Task, TrainTable, train};
use gyre_runtime::{Column, Table};

/// A column's name and cells.
type Cells = (String, Vec<String>);

struct Csv(Vec<Cells>);

fn read(path: &str) -> Result<Csv, Box<dyn Error>> {
    let text = std::fs::read_to_string(path)?;
    let mut lines = text.lines();
    let header = lines.next().ok_or("empty file")?;
    let mut columns: Vec<_> = header.split(',').map(|n| (n.to_owned(), Vec::new())).collect();
    for line in lines {
        for (column, cell) in columns.iter_mut().zip(line.split(',')) {
            column.1.push(cell.to_owned());
        }
    }
    Ok(Csv(columns))
}

fn is_numeric(cells: &[String]) -> bool {
    cells.iter().all(|c| c.is_empty() || c.parse::<f64>().is_ok())
}

/// The kinds of the columns come from the training file, so that both are read alike.
fn table(csv: &Csv, like: &Csv, target: &str, regression: bool) -> Result<TrainTable, Box<dyn Error>> {
    let numbers =
        |cells: &[String]| cells.iter().map(|c| c.parse().unwrap_or(f64::NAN)).collect::<Vec<f64>>();
    let column = |((name, cells), (_, first)): (&Cells, &Cells)| {
        let column = if is_numeric(first) {
            Column::Numeric(numbers(cells))
        } else {
            Column::Text(cells.iter().map(|c| Some(c.as_str().into())).collect())
        };
        (name.clone(), column)
    };
    let pairs = csv.0.iter().zip(&like.0).filter(|(c, _)| c.0 != target);
    let (_, cells) = csv.0.iter().find(|c| c.0 == target).ok_or("no such target column")?;
    Ok(TrainTable {
        features: Table::new(pairs.map(column))?,
        target: if regression { Target::Numeric(numbers(cells)) } else { Target::Labels(cells.clone()) },
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [train_path, test_path, target, rest @ ..] = arguments.as_slice() else {
        return Err("usage: train_csv TRAIN TEST TARGET [squared|absolute|binary|multiclass] [OUT]".into());
    };
    let (task, objective) = match rest.first().map_or("squared", String::as_str) {
        "squared" => (Task::Regression, Objective::Squared),
        "absolute" => (Task::Regression, Objective::Absolute),
        "binary" => (Task::Binary, Objective::default()),
        "multiclass" => (Task::Multiclass, Objective::default()),
        other => return Err(format!("unknown {other}").into()),
    };
    let (training, testing) = (read(train_path)?, read(test_path)?);
    let regression = task == Task::Regression;
    let table_of = |csv| table(csv, &training, target, regression);
    let (training, testing) = (table_of(&training)?, table_of(&testing)?);
    let start = Instant::now();
    let trained = train(&training, task, &Options { objective, ..Options::default() }, Some(&testing))?;
    let seconds = start.elapsed().as_secs_f64();
    println!("{} rows, {} trees, {seconds:.2} s, {} bytes", trained.rows, trained.trees, trained.onnx.len());
    println!("{}", serde_json::to_string(&trained.holdout)?);
    println!("{:?}", trained.importances);
    if let Some(path) = rest.get(1) {
        std::fs::write(path, &trained.onnx)?;
    }
    Ok(())
}

//! Times a model: `score_bench MODEL FEATURES [ROWS]` prints the median time of one row and the rate of a batch, on random
//! numbers, one thread, from a table's columns to predictions. The model may be in any format; its features must be
//! numbers.
//!
//! `cargo run --release -p gyre-runtime --example score_bench -- model.ubj 20 256`

use std::time::Instant;

use gyre_runtime::{Column, Hints, Scorer, Table};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, features, rest @ ..] = arguments.as_slice() else {
        return Err("usage: score_bench MODEL FEATURES [ROWS]".into());
    };
    let features: usize = features.parse()?;
    let rows: usize = rest.first().map_or(Ok(256), |r| r.parse())?;
    let names: Vec<String> = (0..features).map(|i| format!("x{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let started = Instant::now();
    let scorer = Scorer::load(&std::fs::read(path)?, &Hints { features: &names, classes: &[] })?;
    let load = started.elapsed().as_secs_f64();

    let single = median_run(&scorer, &random(&scorer, 1)?, 20_000)?;
    let batch = median_run(&scorer, &random(&scorer, rows)?, 400)?;
    let explain = match scorer.unexplained() {
        Some(_) => f64::NAN,
        None => {
            let table = random(&scorer, rows)?;
            let started = Instant::now();
            std::hint::black_box(scorer.explain(&table, None)?);
            started.elapsed().as_secs_f64() / rows as f64
        }
    };
    println!(
        "{}: load {:.1} ms, one row {:.2} us, {rows} rows {:.1} us ({:.0} rows/s), explaining a row {:.1} us",
        scorer.format(),
        load * 1e3,
        single * 1e6,
        batch * 1e6,
        rows as f64 / batch,
        explain * 1e6,
    );
    Ok(())
}

/// Numbers in −2…2 from a fixed linear congruential sequence, row by row.
fn random(scorer: &Scorer, rows: usize) -> Result<Table, gyre_runtime::TableError> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from((state >> 8) as f32 / (1 << 22) as f32 - 2.0)
    };
    let mut columns = vec![Vec::with_capacity(rows); scorer.features().len()];
    for _ in 0..rows {
        columns.iter_mut().for_each(|column| column.push(next()));
    }
    let names = scorer.features().iter().map(|feature| feature.name.clone());
    Table::new(names.zip(columns.into_iter().map(Column::Numeric)))
}

/// Median seconds of scoring a table.
fn median_run(scorer: &Scorer, table: &Table, runs: usize) -> Result<f64, gyre_runtime::ScoreError> {
    let mut times = Vec::with_capacity(runs);
    for _ in 0..runs {
        let start = Instant::now();
        std::hint::black_box(scorer.score(table)?);
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Ok(times[runs / 2])
}

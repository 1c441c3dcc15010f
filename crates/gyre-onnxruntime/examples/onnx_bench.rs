//! Times a graph that onnxruntime runs: `onnx_bench MODEL [ROWS]` prints how long the library and the model take to load, one
//! row and a batch, on this thread and from a server's thread, from a table's columns to predictions on random numbers. The
//! file must name its columns and classes; the library is found as `gyre up` finds it (`GYRE_ONNXRUNTIME`, or the Python
//! environment that is active).
//!
//! `cargo run --release -p gyre-onnxruntime --example onnx_bench -- model.onnx 256`

use std::time::{Duration, Instant};

use gyre_onnxruntime::LocalModel;
use gyre_runtime::{Column, Hints, Table};

const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, rest @ ..] = arguments.as_slice() else { return Err("usage: onnx_bench MODEL [ROWS]".into()) };
    let rows: usize = rest.first().map_or(Ok(256), |rows| rows.parse())?;
    let file = std::fs::read(path)?;
    let load = || -> Result<(LocalModel, f64), gyre_onnxruntime::LoadError> {
        let started = Instant::now();
        let model = LocalModel::load(&file, &Hints::default())?;
        Ok((model, started.elapsed().as_secs_f64() * 1e3))
    };
    let (model, first) = load()?;
    let (_, second) = load()?;
    println!(
        "{}: {} bytes, loaded in {first:.1} ms with the library, {second:.1} ms without",
        model.format(),
        file.len()
    );

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    for (rows, runs) in [(1, 5_000), (rows, 200)] {
        let table = random(&model, rows)?;
        let here = median(runs, || model.score_within(&table, PATIENCE).map(drop))?;
        let served = runtime.block_on(async {
            let mut times = Vec::with_capacity(runs);
            for _ in 0..runs {
                let started = Instant::now();
                model.score(&table, started + PATIENCE).await?;
                times.push(started.elapsed().as_secs_f64());
            }
            Ok::<_, gyre_onnxruntime::AskError>(middle(times))
        })?;
        let rate = rows as f64 / here;
        let (here, served) = (here * 1e6, served * 1e6);
        println!(
            "{rows} rows: {here:.1} us on this thread ({rate:.0} rows/s), {served:.1} us from a server's"
        );
    }
    Ok(())
}

/// Numbers in −2…2 from a fixed linear congruential sequence, row by row.
fn random(model: &LocalModel, rows: usize) -> Result<Table, gyre_runtime::TableError> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from((state >> 8) as f32 / (1 << 22) as f32 - 2.0)
    };
    let mut columns = vec![Vec::with_capacity(rows); model.features().len()];
    for _ in 0..rows {
        columns.iter_mut().for_each(|column| column.push(next()));
    }
    let names = model.features().iter().map(|feature| feature.name.clone());
    Table::new(names.zip(columns.into_iter().map(Column::Numeric)))
}

/// Median seconds of `run`.
fn median<E>(runs: usize, mut run: impl FnMut() -> Result<(), E>) -> Result<f64, E> {
    let mut times = Vec::with_capacity(runs);
    for _ in 0..runs {
        let started = Instant::now();
        run()?;
        times.push(started.elapsed().as_secs_f64());
    }
    Ok(middle(times))
}

fn middle(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

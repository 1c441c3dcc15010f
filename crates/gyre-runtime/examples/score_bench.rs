//! Times a model: `score_bench MODEL.onnx FEATURES [ROWS]` prints the median time of one row and the rate of a batch, on
//! random numbers, one thread. The model must take one float matrix.
//!
//! `cargo run --release -p gyre-runtime --example score_bench -- model.onnx 20 256`

use std::time::Instant;

use gyre_runtime::{Data, Model, Tensor};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, features, rest @ ..] = arguments.as_slice() else {
        return Err("usage: score_bench MODEL.onnx FEATURES [ROWS]".into());
    };
    let features: usize = features.parse()?;
    let rows: usize = rest.first().map_or(Ok(256), |r| r.parse())?;
    let model = Model::load(&std::fs::read(path)?)?;

    let single = median_run(&model, &random(1, features)?, 20_000)?;
    let batch = median_run(&model, &random(rows, features)?, 400)?;
    println!(
        r#"{{"single_p50_us": {:.2}, "batch_rows": {rows}, "batch_p50_us": {:.1}, "rows_per_s": {:.0}}}"#,
        single * 1e6,
        batch * 1e6,
        rows as f64 / batch
    );
    Ok(())
}

/// Numbers in −2…2 from a fixed linear congruential sequence.
fn random(rows: usize, features: usize) -> Result<Tensor, &'static str> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 22) as f32 - 2.0
    };
    let data = Data::F32((0..rows * features).map(|_| next()).collect());
    Tensor::new(&[rows, features], data).ok_or("shape")
}

/// Median seconds of a run.
fn median_run(model: &Model, tensor: &Tensor, runs: usize) -> Result<f64, gyre_runtime::RunError> {
    let mut times = Vec::with_capacity(runs);
    for _ in 0..runs {
        let start = Instant::now();
        std::hint::black_box(model.run_ordered(&[tensor])?);
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Ok(times[runs / 2])
}

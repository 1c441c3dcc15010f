//! How long a prediction takes with the log on, and how fast the log makes predictions durable.
//!
//!     cargo run --release -p gyre-gateway --example infer
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use gyre_gateway::{LogOptions, Request};
use gyre_runtime::{Model, Scorer, Table};
use support::*;

const CALLS: usize = 50_000;

fn main() {
    let single: Vec<Request> = (0..CALLS as i64).map(|i| request(&[&format!("flight-{i:07}")], i)).collect();
    let scorer = Scorer::new(Model::load(&regression(1.0)).unwrap()).unwrap();
    let tables: Vec<Table> = single
        .iter()
        .map(|r| Table::new(r.inputs.iter().map(|i| (i.name.clone(), i.values.clone()))).unwrap())
        .collect();
    let started = Instant::now();
    tables.iter().for_each(|table| drop(scorer.score(table).unwrap()));
    report("model alone, one row", started.elapsed(), CALLS);

    let dir = tempfile::tempdir().unwrap();
    let gateway = serving(dir.path(), LogOptions::default());
    gateway.set_traffic(&name(), &[(1, 9_500), (2, 500)], 1).unwrap();
    let started = Instant::now();
    for request in single {
        gateway.infer("air-time", None, request).unwrap();
    }
    report("infer, one row, canary at 5 %, log on", started.elapsed(), CALLS);
    let position = gateway.flush("air-time").unwrap();
    let total = started.elapsed();
    report("  the same until durable", total, position.durable_records as usize);
    println!("  dropped {}", position.dropped);

    let ids: Vec<String> = (0..256).map(|i| format!("flight-{i:07}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let batches: Vec<Request> = (0..1_000).map(|i| request(&ids, CALLS as i64 + i)).collect();
    let (mut in_infer, before) = (Duration::ZERO, position.durable_records);
    let started = Instant::now();
    for (i, batch) in batches.into_iter().enumerate() {
        let asked = Instant::now();
        gateway.infer("air-time", None, batch).unwrap();
        in_infer += asked.elapsed();
        // Keeps within the queue, so that every record is measured.
        if i % 64 == 63 {
            gateway.flush("air-time").unwrap();
        }
    }
    let position = gateway.flush("air-time").unwrap();
    report("infer, a row of 256 over two arms", in_infer, 256_000);
    report(
        "256-row calls until durable, with segments",
        started.elapsed(),
        (position.durable_records - before) as usize,
    );
    println!("  dropped {}", position.dropped);

    let started = Instant::now();
    let rows = gateway.scan("air-time", period(0, 10_000)).unwrap().len();
    report("scan of 10,000 predictions of 306,000", started.elapsed(), rows);
    let started = Instant::now();
    gateway.find("air-time", "flight-0025000").unwrap().unwrap();
    report("find", started.elapsed(), 1);
}

fn report(what: &str, time: Duration, operations: usize) {
    let each = time.as_secs_f64() / operations as f64;
    println!("{what}: {:.2} µs each, {:.0} a second ({operations} in {time:.2?})", each * 1e6, 1.0 / each);
}

//! How many durable commits and rows a second the store takes, and how long a caller waits.
//!
//!     cargo run --release -p gyre-testing -- cargo run --release -p gyre-store --example store_bench [SECONDS]
//!
//! 1, 8 and 64 callers each submit a job and wait for it to be on disk before the next: a multi-row insert of 1, 10 or
//! 1,000 points. `fact` jobs append to the journal.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use gyre_core::Fact;
use gyre_core::time::{ManualClock, Timestamp};
use gyre_store::{Cell, NewFact, Room, Store, StoreError};
use gyre_testing::Place;

static ROOMS: [&Room; 1] = [&Room {
    name: "bench",
    migrations: &["
        CREATE TABLE bench_point (
            run INTEGER NOT NULL,
            key TEXT NOT NULL,
            step INTEGER NOT NULL,
            time INTEGER NOT NULL,
            value REAL NOT NULL,
            PRIMARY KEY (run, key, step)
        ) STRICT, WITHOUT ROWID;
    "],
    project: |_, _| Ok(()),
}];

fn main() {
    let seconds = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(3.0);
    println!(
        "{:10} {:>7} {:>6} {:>10} {:>11} {:>8} {:>8}",
        "database", "callers", "rows", "commits/s", "rows/s", "p50 ms", "p99 ms"
    );
    for (name, place) in [("sqlite", Place::sqlite as fn() -> Place), ("postgresql", Place::postgres)] {
        for callers in [1, 8, 64] {
            for rows in [0, 1, 10, 1_000] {
                let place = place();
                let store = place.open(&ROOMS, Arc::new(ManualClock::default()));
                let mut waits = measure(&store, callers, rows, Duration::from_secs_f64(seconds));
                waits.sort_unstable();
                let at = |share: f64| {
                    let index = (waits.len() as f64 * share) as usize;
                    waits.get(index.min(waits.len() - 1)).copied().unwrap_or_default().as_secs_f64() * 1e3
                };
                let rate = waits.len() as f64 / seconds;
                let what = if rows == 0 { "fact".to_owned() } else { rows.to_string() };
                let (all, p50, p99) = (rate * rows as f64, at(0.5), at(0.99));
                println!("{name:10} {callers:>7} {what:>6} {rate:>10.0} {all:>11.0} {p50:>8.2} {p99:>8.2}");
            }
        }
    }
}

/// How long each job took, from being handed over to being on disk.
fn measure(store: &Store, callers: usize, rows: i64, duration: Duration) -> Vec<Duration> {
    let (over, next) = (AtomicBool::new(false), AtomicI64::new(0));
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..callers)
            .map(|caller| {
                let (over, next) = (&over, &next);
                scope.spawn(move || {
                    let mut waits = Vec::new();
                    while !over.load(Ordering::Relaxed) {
                        let first = next.fetch_add(rows.max(1), Ordering::Relaxed);
                        let begun = Instant::now();
                        match rows {
                            0 => store.write(append).unwrap(),
                            _ => store.write(move |tx| insert(tx, caller as i64, first, rows)).unwrap(),
                        }
                        waits.push(begun.elapsed());
                    }
                    waits
                })
            })
            .collect();
        std::thread::sleep(duration);
        over.store(true, Ordering::Relaxed);
        callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect()
    })
}

fn insert(tx: &mut gyre_store::Tx<'_>, run: i64, first: i64, rows: i64) -> Result<(), StoreError> {
    let cells: Vec<Cell> = (first..first + rows)
        .flat_map(|step| {
            let time = 1_795_635_732_000 + step;
            [Cell::Int(run), Cell::from("accuracy"), Cell::Int(step), Cell::Int(time), Cell::Real(0.5)]
        })
        .collect();
    let head = "INSERT INTO bench_point (run, key, step, time, value)";
    tx.insert_rows(head, 5, &cells, "ON CONFLICT (run, key, step) DO NOTHING").map(drop)
}

fn append(tx: &mut gyre_store::Tx<'_>) -> Result<(), StoreError> {
    let fact = Fact::LoopResumed { model: "m".parse().map_err(|_| StoreError::Closed)? };
    tx.append(NewFact::new(Timestamp::default(), "user:bench", fact)).map(drop)
}

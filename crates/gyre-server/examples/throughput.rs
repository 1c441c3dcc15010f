//! Latency at one connection and throughput at sixteen, over real sockets, of a small model:
//! `cargo run --release -p gyre-server --example throughput [SECONDS]`.
//!
//! Client and server share the machine, so the throughput is what both reach together.
#![allow(clippy::unwrap_used)]

#[path = "../tests/server/support/mod.rs"]
mod support;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use support::{Client, Scene, good};

const INFER: &str = "/v2/models/demand/infer";

fn main() {
    let seconds: u64 = std::env::args().nth(1).map_or(5, |text| text.parse().unwrap());
    let scene = Scene::serving();
    let mut client = Client::to(scene.address);
    let mut latencies: Vec<f64> = (0..20_000)
        .map(|i| {
            let body = good(&format!("one-{i}"));
            let started = Instant::now();
            assert_eq!(client.send("POST", INFER, &[], body.as_bytes()).status, 200);
            started.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    latencies.sort_by(f64::total_cmp);
    let at = |share: f64| latencies[(latencies.len() as f64 * share) as usize];
    println!("1 connection: p50 {:.3} ms, p99 {:.3} ms", at(0.5), at(0.99));
    let answered = AtomicU64::new(0);
    let started = Instant::now();
    let until = started + Duration::from_secs(seconds);
    std::thread::scope(|threads| {
        for thread in 0..16 {
            let (answered, scene) = (&answered, &scene);
            threads.spawn(move || {
                let mut client = Client::to(scene.address);
                let body = good(&format!("thread-{thread}"));
                while Instant::now() < until {
                    assert_eq!(client.send("POST", INFER, &[], body.as_bytes()).status, 200);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let rate = answered.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64();
    let dropped = scene.gateway().log().dropped("demand").unwrap();
    println!("16 connections: {rate:.0} requests/s, {dropped} of them not logged");
}

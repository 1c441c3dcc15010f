//! Stores to test on, and small things to put into them.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::sync::Arc;

use gyre_core::Timestamp;
use gyre_core::time::ManualClock;
use gyre_store::{Room, Store, StoreError, Tx};
use gyre_testing::Place;
use gyre_tracking::batch::Metric;
use gyre_tracking::points::Point;
use gyre_tracking::runs::{self, NewRun};
use gyre_tracking::{By, RunInfo};

static ROOMS: [&Room; 1] = [&gyre_tracking::ROOM];

/// Runs `test` on a fresh store on SQLite, and on one on PostgreSQL.
pub fn on_each_store(test: impl Fn(&Store)) {
    for place in [Place::sqlite(), Place::postgres()] {
        let clock = Arc::new(ManualClock::at(Timestamp::from_millis(5)));
        test(&place.open(&ROOMS, clock));
    }
}

pub fn by(at: i64) -> By {
    By { actor: "user:test".to_owned(), origin: Some("127.0.0.1".to_owned()), at: Timestamp::from_millis(at) }
}

pub fn metric(key: &str, value: f64, step: i64) -> Metric {
    Metric { key: key.to_owned(), point: Point::new(step, step, value), about: None }
}

pub fn new_run(tx: &mut Tx<'_>, experiment: i64) -> Result<RunInfo, StoreError> {
    Ok(runs::create(tx, NewRun { experiment, user_id: "u".to_owned(), ..NewRun::default() })?.info)
}

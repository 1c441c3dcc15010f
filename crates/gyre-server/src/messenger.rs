//! Tells webhooks what happened: the thread that takes what they are to be told from the store and posts it.
//!
//! What is to be told and how often it was tried is in the store (`gyre_registry::deliveries`); this thread only carries.
//! It reaches out through [`Egress`] alone, and one webhook that does not answer holds up no other for longer than
//! [`TIMEOUT`], since it is left alone for a while then.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use gyre_access::egress::{Egress, EgressError};
use gyre_core::Clock;
use gyre_registry::deliveries::{self, Delivery, Failed, Letter, Pace};
use gyre_store::{Store, StoreError};

/// How long a webhook may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest time between two looks at what is due, and at whether to stop.
const PATIENCE: Duration = Duration::from_millis(250);
/// Deliveries taken at a time.
const BATCH: u64 = 50;

/// The thread; it ends when this is dropped.
pub(crate) struct Messenger {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Messenger {
    /// Starts telling what the store holds.
    pub(crate) fn start(
        store: Arc<Store>,
        egress: Arc<Egress>,
        clock: Arc<dyn Clock>,
        pace: Pace,
    ) -> std::io::Result<Self> {
        let stop = Arc::<AtomicBool>::default();
        let round = Round { store, egress, clock, pace, stop: Arc::clone(&stop) };
        let thread = std::thread::Builder::new().name("webhooks".to_owned()).spawn(move || round.run())?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Messenger {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It tells nobody of a panic but by having stopped; what is due stays due.
            let _ = thread.join();
        }
    }
}

struct Round {
    store: Arc<Store>,
    egress: Arc<Egress>,
    clock: Arc<dyn Clock>,
    pace: Pace,
    stop: Arc<AtomicBool>,
}

impl Round {
    fn run(&self) {
        while !self.stopped() {
            let seen = self.store.journal_size();
            // A store that cannot be written to at present (a full disk) is tried again in a moment.
            let patience = self.once().unwrap_or(PATIENCE);
            if !patience.is_zero() {
                self.store.wait_beyond(seen, patience);
            }
        }
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Collects, and tells what is due; returns how long there is nothing to do.
    fn once(&self) -> Result<Duration, StoreError> {
        if self.store.read(deliveries::is_behind)? && self.store.write(deliveries::collect)? {
            return Ok(Duration::ZERO);
        }
        let now = self.clock.now();
        let (due, next) = self.store.read(|tx| deliveries::due(tx, now, BATCH))?;
        let mut away: Vec<&str> = Vec::new();
        for delivery in &due {
            if self.stopped() {
                return Ok(Duration::ZERO);
            }
            if !away.contains(&delivery.webhook.as_str()) && !self.deliver(delivery)? {
                away.push(&delivery.webhook);
            }
        }
        if !due.is_empty() {
            return Ok(Duration::ZERO);
        }
        let until = next.map(|next| next.since(now).as_millis().max(1) as u64);
        Ok(until.map_or(PATIENCE, |millis| PATIENCE.min(Duration::from_millis(millis))))
    }

    /// Tells one event; says whether its webhook can be told more.
    fn deliver(&self, delivery: &Delivery) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let letter = self.store.read(|tx| deliveries::letter(tx, delivery, now))?;
        let outcome = letter.map_or(Ok(()), |letter| post(&self.egress, &letter));
        let (delivery, pace) = (delivery.clone(), self.pace);
        match outcome {
            Ok(()) => self.store.write(move |tx| deliveries::told(tx, &delivery)).map(|()| true),
            Err(failed) => {
                let (now, away) = (self.clock.now(), failed.away);
                let write = move |tx: &mut gyre_store::Tx<'_>| {
                    deliveries::failed(tx, &delivery, &failed, &pace, now, chance())
                };
                self.store.write(write).map(|()| !away)
            }
        }
    }
}

/// Posts a letter; why it did not arrive, otherwise. Of the address, the reason names no more than the host.
fn post(egress: &Egress, letter: &Letter) -> Result<(), Failed> {
    let headers: Vec<(&str, &str)> =
        letter.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    match egress.post(&letter.url, &headers, letter.body.as_bytes(), TIMEOUT) {
        Ok(status) if status.is_success() => Ok(()),
        Ok(status) => Err(Failed {
            reason: format!("it answered {status}"),
            away: matches!(status.as_u16(), 429 | 503),
        }),
        Err(error) => Err(Failed { reason: reason(&error), away: true }),
    }
}

/// Why a webhook was not reached, without its address, which may hold a key.
pub(crate) fn reason(error: &EgressError) -> String {
    match error {
        EgressError::Url { reason, .. } => format!("its URL cannot be asked: {reason}"),
        other => other.to_string(),
    }
}

/// A number from 0 to 1 that nobody can foresee; not for secrets.
fn chance() -> f64 {
    (RandomState::new().hash_one(0) >> 11) as f64 / (1_u64 << 53) as f64
}

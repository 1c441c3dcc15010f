//! The way of finished spans to the collector: a bounded queue, and one thread that sends what has gathered.
//!
//! Whoever has a span to give never waits: what does not fit is dropped and counted. A collector that does not answer is
//! told of once, and again when it answers; its spans are dropped too, since traces are worth no disk of ours.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use gyre_access::egress::Egress;
use gyre_traces::otlp::{self, Kind};
use gyre_traces::record::Span;
use serde_json::Value;
use tracing::{info, warn};

/// How spans are sent.
pub(super) struct Settings {
    pub(super) endpoint: String,
    pub(super) headers: Vec<(String, String)>,
    /// What describes this process.
    pub(super) resource: Vec<(String, Value)>,
    /// Spans that wait at most.
    pub(super) queue: usize,
    /// Spans of a request at most.
    pub(super) batch: usize,
    /// How long the first one waits for others.
    pub(super) pause: Duration,
    /// How long the collector may take.
    pub(super) timeout: Duration,
}

/// The queue and its thread; what waits is sent when it is dropped.
pub(super) struct Exporter {
    queue: Option<SyncSender<(Kind, Span)>>,
    /// Whether nothing more comes, so that a collector that does not answer is not waited for again.
    closing: Arc<AtomicBool>,
    dropped: Arc<AtomicU64>,
    endpoint: String,
    thread: Option<JoinHandle<()>>,
}

impl Exporter {
    pub(super) fn start(settings: Settings, egress: Egress) -> Self {
        let (queue, spans) = sync_channel(settings.queue);
        let dropped = Arc::new(AtomicU64::new(0));
        let closing = Arc::new(AtomicBool::new(false));
        let (endpoint, counted, over) =
            (settings.endpoint.clone(), Arc::clone(&dropped), Arc::clone(&closing));
        let sending = move || send_all(&spans, &settings, &egress, &counted, &over);
        let thread = std::thread::Builder::new().name("gyre-otlp".to_owned()).spawn(sending);
        let thread =
            thread.inspect_err(|error| warn!(%error, "no thread for traces: they are not sent")).ok();
        Self { queue: Some(queue), closing, dropped, endpoint, thread }
    }

    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    pub(super) fn take(&self, kind: Kind, span: Span) {
        let taken = self.queue.as_ref().is_some_and(|queue| queue.try_send((kind, span)).is_ok());
        if !taken {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::Relaxed);
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            // A panic there was reported when it happened.
            let _ = thread.join();
        }
    }
}

fn send_all(
    spans: &Receiver<(Kind, Span)>,
    settings: &Settings,
    egress: &Egress,
    dropped: &AtomicU64,
    closing: &AtomicBool,
) {
    let mut answers = true;
    while let Ok(first) = spans.recv() {
        let mut batch = vec![first];
        let until = Instant::now() + settings.pause;
        while batch.len() < settings.batch {
            match spans.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(span) => batch.push(span),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        match send(&batch, settings, egress) {
            Ok(()) if answers => {}
            Ok(()) => {
                info!(dropped = dropped.load(Ordering::Relaxed), "the collector of traces takes spans again");
                answers = true;
            }
            Err(reason) => {
                dropped.fetch_add(batch.len() as u64, Ordering::Relaxed);
                if answers {
                    warn!(
                        endpoint = settings.endpoint,
                        reason, "the collector of traces does not take spans"
                    );
                }
                answers = false;
                if closing.load(Ordering::Relaxed) {
                    return;
                }
            }
        }
    }
}

fn send(batch: &[(Kind, Span)], settings: &Settings, egress: &Egress) -> Result<(), String> {
    let body = otlp::to_protobuf(&settings.resource, batch);
    let own = settings.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let headers: Vec<(&str, &str)> =
        [("content-type", "application/x-protobuf")].into_iter().chain(own).collect();
    match egress.post(&settings.endpoint, &headers, &body, settings.timeout) {
        Ok(status) if status.is_success() => Ok(()),
        Ok(status) => Err(format!("it answers {status}")),
        Err(error) => Err(error.to_string()),
    }
}

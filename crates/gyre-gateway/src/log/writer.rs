//! The one thread that writes: groups records, syncs, acknowledges, and closes segments.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use gyre_core::record::Label;
use gyre_core::{Fact, Timestamp};
use gyre_store::{NewFact, Store};

use super::chunk::{self, Chunk};
use super::segment;
use super::wal::Wal;
use super::{LogOptions, LogPosition, ModelLog};
use crate::error::LogError;

/// Messages taken in before the disk is written.
const GROUP: usize = 4_096;
/// Records that are written without waiting for the time to be up.
pub(super) const ENOUGH: usize = 8_192;
/// How many times larger than asked the write-ahead file may become while segments cannot be closed.
const OVERDUE: usize = 4;

/// How often the journal hears of the log's troubles at most.
const TOLD_EVERY: Duration = Duration::from_secs(60);

type Reply<T> = SyncSender<Result<T, LogError>>;

/// What the thread is told.
pub(super) enum Message {
    Register(Box<ModelWriter>),
    /// Predictions wait in the model's log.
    Waiting {
        slot: usize,
    },
    Labels {
        slot: usize,
        labels: Vec<Label>,
        reply: Reply<()>,
    },
    Flush {
        slot: usize,
        reply: Reply<LogPosition>,
    },
    Close {
        slot: usize,
        reply: Reply<()>,
    },
    Stop,
}

/// The writer's side of one model's log.
pub(super) struct ModelWriter {
    log: Arc<ModelLog>,
    wal: Wal,
    /// Accepted, not yet on disk; stays here when the disk refuses.
    pending: Vec<Chunk>,
    labels: Vec<(Vec<Label>, Reply<()>)>,
    flushes: Vec<Reply<LogPosition>>,
    closes: Vec<Reply<()>>,
    /// When what is pending must be written, whether or not anybody asks.
    due: Option<Instant>,
    /// Records in the write-ahead file from which closing is tried next.
    close_at: Option<usize>,
    /// Why the disk refused, until the journal has heard of it.
    trouble: Option<LogError>,
    /// Predictions dropped of which the journal has heard.
    told_dropped: u64,
    /// When it last heard.
    told: Option<Instant>,
}

/// The thread's life.
pub(super) fn run(queue: &Receiver<Message>, options: &LogOptions, store: &Store) {
    let mut models: Vec<ModelWriter> = Vec::new();
    loop {
        let due = models.iter().filter_map(|model| model.due).min();
        let first = match due {
            None => queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(due) => queue.recv_timeout(due.saturating_duration_since(Instant::now())),
        };
        let mut stop = matches!(first, Err(RecvTimeoutError::Disconnected));
        for message in first.into_iter().chain(queue.try_iter().take(GROUP)) {
            stop |= take(&mut models, message, options);
        }
        let now = Instant::now();
        models.iter_mut().for_each(|model| model.settle(now, stop, options, store));
        if stop {
            return;
        }
    }
}

/// Takes a message in; whether it was the last.
fn take(models: &mut Vec<ModelWriter>, message: Message, options: &LogOptions) -> bool {
    match message {
        Message::Register(model) => models.push(*model),
        Message::Stop => return true,
        Message::Waiting { slot } => {
            if let Some(model) = models.get_mut(slot) {
                model.due.get_or_insert_with(|| Instant::now() + options.sync_every);
            }
        }
        // A slot is named only by who was given it after its registration; a reply that is dropped reads as closed.
        Message::Labels { slot, labels, reply } => {
            if let Some(model) = models.get_mut(slot) {
                model.labels.push((labels, reply));
            }
        }
        Message::Flush { slot, reply } => {
            if let Some(model) = models.get_mut(slot) {
                model.flushes.push(reply);
            }
        }
        Message::Close { slot, reply } => {
            if let Some(model) = models.get_mut(slot) {
                model.closes.push(reply);
            }
        }
    }
    false
}

impl ModelWriter {
    pub(super) fn new(log: Arc<ModelLog>, wal: Wal) -> Self {
        let (pending, labels, flushes, closes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (due, close_at, trouble, told_dropped, told) = (None, None, None, 0, None);
        Self { log, wal, pending, labels, flushes, closes, due, close_at, trouble, told_dropped, told }
    }

    /// Writes if it is time to or somebody waits, and tells those who wait.
    fn settle(&mut self, now: Instant, last: bool, options: &LogOptions, store: &Store) {
        let asked = !(self.labels.is_empty() && self.flushes.is_empty() && self.closes.is_empty());
        let time = self.due.is_some_and(|due| due <= now) || self.log.queued.load(Relaxed) >= ENOUGH;
        if !(asked || time || last) {
            return;
        }
        chunk::append(&mut self.pending, self.log.take_waiting());
        let committed = self.commit(options, store);
        match &committed {
            Ok(()) => self.tell(now, last, store),
            Err(error) => self.trouble = Some(error.clone()),
        }
        self.due = (!self.pending.is_empty()).then(|| now + options.sync_every);
        // Those who asked may have gone away; nobody else needs the answer.
        for flush in self.flushes.drain(..) {
            let _ = flush.send(committed.clone().map(|()| self.log.position()));
        }
        let closes = std::mem::take(&mut self.closes);
        let wanted = self.records() >= self.close_at.unwrap_or(options.segment_records);
        if closes.is_empty() && !wanted {
            return;
        }
        let closed = committed.and_then(|()| self.close(options, store));
        for close in closes {
            let _ = close.send(closed.clone());
        }
    }

    /// Has the journal hear that the log was in trouble, once it is out of it: at most once in [`TOLD_EVERY`].
    fn tell(&mut self, now: Instant, last: bool, store: &Store) {
        let all = self.log.dropped.load(Relaxed);
        let dropped = all - self.told_dropped;
        let lately = self.told.is_some_and(|told| now.duration_since(told) < TOLD_EVERY);
        if (dropped == 0 && self.trouble.is_none()) || (lately && !last) {
            return;
        }
        let (model, problem) = (self.log.model.clone(), self.trouble.as_ref().map(ToString::to_string));
        let fact = NewFact::new(self.latest(), "gateway", Fact::LogTroubled { model, dropped, problem });
        // A journal that refuses hears of it with the next records.
        if store.write(move |tx| tx.append(fact)).is_ok() {
            (self.trouble, self.told_dropped, self.told) = (None, all, Some(now));
        }
    }

    /// The event time of the newest record.
    fn latest(&self) -> Timestamp {
        let shown = self.log.shown();
        let waiting = shown.predictions.last().and_then(|chunk| chunk.times.last().copied());
        let closed = shown.segments.iter().map(|segment| segment.period.to).max();
        waiting.or(closed).or(shown.labels.last().map(|label| label.time)).unwrap_or_default()
    }

    /// Records in the write-ahead file.
    fn records(&self) -> usize {
        let shown = self.log.shown();
        chunk::count(&shown.predictions) + shown.labels.len()
    }

    /// Brings what is pending to disk, and then before readers. On failure predictions stay pending; labels are given
    /// back to those who brought them.
    fn commit(&mut self, options: &LogOptions, store: &Store) -> Result<(), LogError> {
        let labels = std::mem::take(&mut self.labels);
        let mut outcome = Ok(());
        if self.records() >= options.segment_records.saturating_mul(OVERDUE) {
            outcome = self.close(options, store);
        }
        if outcome.is_ok() && !(self.pending.is_empty() && labels.is_empty()) {
            let all = labels.iter().flat_map(|(labels, _)| labels);
            outcome = self.wal.append(&self.pending, all, options.disk_hook.as_ref());
        }
        if outcome.is_ok() {
            self.log.queued.fetch_sub(chunk::count(&self.pending), Relaxed);
            let mut shown = self.log.shown();
            chunk::append(&mut shown.predictions, self.pending.drain(..));
            shown.labels.extend(labels.iter().flat_map(|(labels, _)| labels.iter().cloned()));
        }
        for (_, reply) in labels {
            let _ = reply.send(outcome.clone());
        }
        outcome
    }

    /// Makes segments of the write-ahead file. On failure the file goes on growing, and it is tried again a quarter
    /// of a segment later.
    fn close(&mut self, options: &LogOptions, store: &Store) -> Result<(), LogError> {
        let records = self.records();
        if records == 0 {
            return Ok(());
        }
        let closed = self.close_now(store);
        self.close_at = closed.is_err().then(|| records + (options.segment_records / 4).max(1));
        self.log.shown().problem = closed.clone().err();
        closed
    }

    fn close_now(&mut self, store: &Store) -> Result<(), LogError> {
        let log = &*self.log;
        let number = self.wal.number;
        let files = {
            let shown = log.shown();
            segment::encode(&log.model, number, &shown.predictions, &shown.labels)?
        };
        let segments = segment::put(&log.dir, &files)?;
        // Made before the journal is told: afterwards nothing may go to the old file any more.
        let next = Wal::create(&log.dir, number + 1)?;
        segment::record(&log.model, files, store)?;
        let old = std::mem::replace(&mut self.wal, next);
        {
            let mut shown = log.shown();
            shown.segments.extend(segments);
            shown.predictions = Vec::new();
            shown.labels = Vec::new();
        }
        old.remove()
    }
}

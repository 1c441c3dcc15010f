//! The inference log: every prediction that was answered, and the labels that come later.
//!
//! For each model there is a folder. New records go to a write-ahead file of checked frames ([`wal`]); when it is full it
//! becomes Parquet segments ([`segment`]), which the journal vouches for by digest; then the file is removed. The
//! journal entry is the moment that counts: before it the write-ahead file is the truth, after it the segments are.
//! So a crash between any two steps loses nothing and doubles nothing.
//!
//! One thread writes ([`writer`]), fed by a queue that is bounded by records. Callers of [`Gateway::infer`] never wait
//! for it: what does not fit is dropped and counted. Labels are never dropped; who brings them waits for the disk.
//!
//! [`Gateway::infer`]: crate::Gateway::infer

mod chunk;
mod columns;
mod failures;
mod intake;
mod policy;
mod scan;
mod segment;
mod view;
mod wal;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use gyre_core::ids::nearest;
use gyre_core::record::{Label, Route, Signature, Value};
use gyre_core::time::Period;
use gyre_core::{ModelName, Span, Timestamp, Version};
use gyre_runtime::{Scores, Table};
use gyre_store::Store;

pub use intake::{Brought, Intake};
pub use policy::Policy;
pub(crate) use policy::gather;
pub use scan::{Found, Scan};
pub use view::{LogView, Row, Tail};

use crate::error::LogError;
use chunk::Chunk;
use failures::Failures;
use segment::Segment;
use writer::{ENOUGH, Message, ModelWriter};

/// Called after a group of records was written and before it is synced to disk. Tests stall or fail in it as a disk
/// would; an error is treated as the disk's.
pub type DiskHook = Arc<dyn Fn() -> std::io::Result<()> + Send + Sync>;

/// The log's limits.
#[derive(Clone)]
pub struct LogOptions {
    /// Records (predictions and labels) in the write-ahead file from which it becomes segments.
    pub segment_records: usize,
    /// Predictions of a model that may wait for the disk; more are dropped.
    pub queue_records: usize,
    /// The longest that a prediction waits to be synced when nobody asks.
    pub sync_every: Duration,
    /// Stands in for a slow or broken disk.
    pub disk_hook: Option<DiskHook>,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            segment_records: 65_536,
            queue_records: 65_536,
            sync_every: Duration::from_millis(100),
            disk_hook: None,
        }
    }
}

/// How far a model's log has come.
#[derive(Debug, Clone)]
pub struct LogPosition {
    /// Predictions on disk.
    pub durable_records: u64,
    /// Predictions answered but not logged since the log was opened, because the disk could not keep up.
    pub dropped: u64,
    /// Why the last attempt to close a segment failed, if it did; it is tried again, and nothing is lost.
    pub problem: Option<LogError>,
}

/// What was repaired when a model's log was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// The model.
    pub model: ModelName,
    /// Predictions and labels found in the write-ahead file.
    pub records: u64,
    /// Bytes of a half-written end that were cut off; none of it had been acknowledged.
    pub cut_bytes: u64,
}

/// The inference logs of all models.
pub struct InferenceLog {
    dir: PathBuf,
    store: Arc<Store>,
    options: LogOptions,
    queue: Sender<Message>,
    writer: Option<JoinHandle<()>>,
    models: Mutex<Vec<Arc<ModelLog>>>,
    recoveries: Vec<Recovery>,
}

/// The log of one model: the part that is shared between those who predict, the writer, and those who read.
pub(crate) struct ModelLog {
    model: ModelName,
    dir: PathBuf,
    /// Its place among the writer's models.
    slot: usize,
    queue: Sender<Message>,
    queue_records: usize,
    queued: AtomicUsize,
    /// Accepted, and not yet seen by the writer.
    waiting: Mutex<Vec<Chunk>>,
    dropped: AtomicU64,
    policy: ArcSwap<Policy>,
    /// Predictions that the policy does not keep.
    unkept: AtomicU64,
    /// Predictions that were asked for and not given.
    failures: Failures,
    shown: Mutex<Shown>,
    /// Held while labels are weighed and written, so that what two bring at a time is counted once.
    bringing: Mutex<()>,
}

/// What readers see: the closed segments, and the records after them. All of it is on disk.
#[derive(Default)]
struct Shown {
    segments: Vec<Arc<Segment>>,
    predictions: Vec<Chunk>,
    labels: Vec<Label>,
    problem: Option<LogError>,
}

/// Predictions of one version from one request, on their way into the log.
pub(crate) struct Batch {
    pub(crate) ids: Vec<Arc<str>>,
    pub(crate) time: Timestamp,
    pub(crate) version: Version,
    pub(crate) signature: Arc<Signature>,
    pub(crate) route: Route,
    /// Features, in the signature's order.
    pub(crate) table: Table,
    pub(crate) scores: Scores,
    pub(crate) latency_us: u32,
}

impl InferenceLog {
    /// Opens the logs that lie in `dir`, after repairing what a crash left.
    ///
    /// # Errors
    /// What the disk or the journal said; [`LogError::Damaged`] when a segment is not what the journal vouches for.
    pub fn open(dir: PathBuf, store: Arc<Store>, options: LogOptions) -> Result<Self, LogError> {
        std::fs::create_dir_all(&dir).map_err(|error| LogError::io("create", &dir, error))?;
        let (queue, jobs) = channel();
        let (writing_store, writing_options) = (Arc::clone(&store), options.clone());
        let writer = std::thread::Builder::new()
            .name("gyre-log".to_owned())
            .spawn(move || writer::run(&jobs, &writing_options, &writing_store))
            .map_err(|error| LogError::io("start the writing thread of", &dir, error))?;
        let models = Mutex::default();
        let mut log =
            Self { dir, store, options, queue, writer: Some(writer), models, recoveries: Vec::new() };
        for model in log.on_disk()? {
            let recovery = log.add(&mut log.models(), &model)?;
            log.recoveries.push(recovery);
        }
        Ok(log)
    }

    /// What was repaired when the log was opened, model by model.
    pub fn recoveries(&self) -> &[Recovery] {
        &self.recoveries
    }

    /// Returns once every prediction of `model` that was accepted before is on disk.
    ///
    /// # Errors
    /// Why the disk did not take them; they wait, and the next flush tries again.
    pub fn flush(&self, model: &str) -> Result<LogPosition, LogError> {
        let slot = self.find_model(model)?.slot;
        self.ask(|reply| Message::Flush { slot, reply })
    }

    /// Takes labels in, and returns once they are on disk. A later label of the same id replaces an earlier one. The
    /// model's labels should be of one kind: where they are mixed, a closed segment holds them as text.
    ///
    /// # Errors
    /// [`LogError::Label`] when one says nothing, or why the disk did not take them; then none of them is in the log.
    pub fn append_labels(&self, model: &str, labels: Vec<Label>) -> Result<(), LogError> {
        labels.iter().try_for_each(says_something)?;
        let slot = self.find_model(model)?.slot;
        if labels.is_empty() {
            return Ok(());
        }
        self.ask(|reply| Message::Labels { slot, labels, reply })
    }

    /// Weighs labels against the log, writes what is not there already, and returns once that is on disk. `expected` is how
    /// long after its prediction a label is not late. With `dry_run` nothing is written. Gives what was written, too.
    ///
    /// # Errors
    /// As [`InferenceLog::append_labels`]; none of the labels is in the log then.
    pub fn bring_labels(
        &self,
        model: &str,
        labels: Vec<Brought>,
        expected: Span,
        dry_run: bool,
    ) -> Result<(Vec<Label>, Intake), LogError> {
        let log = self.find_model(model)?;
        let _bringing = log.bringing.lock().unwrap_or_else(PoisonError::into_inner);
        labels.iter().try_for_each(|brought| says_something(&brought.label))?;
        // What was answered before is known.
        self.flush(model)?;
        let (written, intake) = intake::weigh(&log, labels, expected)?;
        if dry_run {
            return Ok((Vec::new(), intake));
        }
        self.append_labels(model, written.clone())?;
        Ok((written, intake))
    }

    /// Makes segments of what the write-ahead file of `model` holds. Without records it does nothing.
    ///
    /// # Errors
    /// What the disk or the journal said; nothing is lost then, and it can be tried again.
    pub fn close_segment(&self, model: &str) -> Result<(), LogError> {
        let slot = self.find_model(model)?.slot;
        self.ask(|reply| Message::Close { slot, reply })
    }

    /// Predictions of `model` that were answered but not logged since the log was opened.
    ///
    /// # Errors
    /// [`LogError::UnknownModel`].
    pub fn dropped(&self, model: &str) -> Result<u64, LogError> {
        Ok(self.find_model(model)?.dropped.load(Relaxed))
    }

    /// How many predictions of `model` failed in the minutes of event time that begin in `period`, since this process began.
    ///
    /// # Errors
    /// [`LogError::UnknownModel`].
    pub fn failures(&self, model: &str, period: Period) -> Result<u64, LogError> {
        Ok(self.find_model(model)?.failures.within(period))
    }

    /// Counts predictions that were asked for and not given; of a model without a log there is nothing to count.
    pub(crate) fn failed(&self, model: &str, time: Timestamp, rows: usize) {
        if let Ok(log) = self.find_model(model) {
            log.failures.add(time, rows as u64);
        }
    }

    /// The predictions of `model` with event time in `period` that are on disk, one an id, joined with their labels.
    /// See [`Scan`] for what counts when an id repeats.
    ///
    /// # Errors
    /// [`LogError::UnknownModel`], or what the disk said.
    pub fn scan(&self, model: &str, period: Period) -> Result<Scan, LogError> {
        scan::scan(&*self.find_model(model)?, period)
    }

    /// The first prediction of `id` that is on disk, with its label and the segment that it lies in.
    ///
    /// # Errors
    /// [`LogError::UnknownModel`], or what the disk said.
    pub fn find(&self, model: &str, id: &str) -> Result<Option<Found>, LogError> {
        scan::find(&*self.find_model(model)?, id)
    }

    /// Says what of a model's predictions is kept from now on.
    ///
    /// # Errors
    /// What the disk said, for a model that had no log yet.
    pub fn set_policy(&self, model: &ModelName, policy: Policy) -> Result<(), LogError> {
        self.of(model)?.policy.store(Arc::new(policy));
        Ok(())
    }

    /// Predictions since the log was opened that its policy did not keep.
    ///
    /// # Errors
    /// [`LogError::UnknownModel`].
    pub fn unkept(&self, model: &str) -> Result<u64, LogError> {
        Ok(self.find_model(model)?.unkept.load(Relaxed))
    }

    /// The log of `model`, made if there is none.
    pub(crate) fn of(&self, model: &ModelName) -> Result<Arc<ModelLog>, LogError> {
        let mut models = self.models();
        if !models.iter().any(|log| log.model == *model) {
            self.add(&mut models, model)?;
        }
        let found = models.iter().find(|log| log.model == *model);
        found.cloned().ok_or(LogError::Closed)
    }

    fn add(&self, models: &mut Vec<Arc<ModelLog>>, model: &ModelName) -> Result<Recovery, LogError> {
        let dir = self.dir.join(model.as_str());
        let (wal, shown, cut_bytes) = segment::recover(model, &dir, &self.store)?;
        let records = (chunk::count(&shown.predictions) + shown.labels.len()) as u64;
        let log = Arc::new(ModelLog {
            model: model.clone(),
            dir,
            slot: models.len(),
            queue: self.queue.clone(),
            queue_records: self.options.queue_records,
            queued: AtomicUsize::new(0),
            waiting: Mutex::default(),
            dropped: AtomicU64::new(0),
            policy: ArcSwap::default(),
            unkept: AtomicU64::new(0),
            failures: Failures::default(),
            shown: Mutex::new(shown),
            bringing: Mutex::default(),
        });
        // Registered before anybody can name its slot, so the writer knows it by then.
        let registered = Message::Register(Box::new(ModelWriter::new(Arc::clone(&log), wal)));
        self.queue.send(registered).map_err(|_| LogError::Closed)?;
        models.push(log);
        Ok(Recovery { model: model.clone(), records, cut_bytes })
    }

    /// The models that have a folder.
    fn on_disk(&self) -> Result<Vec<ModelName>, LogError> {
        let failed = |error| LogError::io("read", &self.dir, error);
        let mut models = Vec::new();
        for entry in std::fs::read_dir(&self.dir).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            // Whatever else lies there is not ours.
            let name = entry.file_name().to_str().and_then(|name| name.parse().ok());
            if let (Some(name), true) = (name, entry.path().is_dir()) {
                models.push(name);
            }
        }
        models.sort();
        Ok(models)
    }

    fn models(&self) -> MutexGuard<'_, Vec<Arc<ModelLog>>> {
        self.models.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find_model(&self, model: &str) -> Result<Arc<ModelLog>, LogError> {
        let models = self.models();
        if let Some(log) = models.iter().find(|log| log.model.as_str() == model) {
            return Ok(Arc::clone(log));
        }
        let nearest = nearest(model, models.iter().map(|log| log.model.as_str())).map(str::to_owned);
        Err(LogError::UnknownModel { model: model.to_owned(), nearest })
    }

    fn ask<T>(
        &self,
        message: impl FnOnce(SyncSender<Result<T, LogError>>) -> Message,
    ) -> Result<T, LogError> {
        let (reply, answer) = sync_channel(1);
        self.queue.send(message(reply)).map_err(|_| LogError::Closed)?;
        answer.recv().map_err(|_| LogError::Closed)?
    }
}

impl Drop for InferenceLog {
    fn drop(&mut self) {
        // What was accepted is written before the thread ends; a thread that is gone already has nothing to write.
        let _ = self.queue.send(Message::Stop);
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

impl ModelLog {
    /// Hands predictions to the writer, or drops them when too many wait already; never waits itself.
    pub(crate) fn submit(&self, batch: Batch) {
        let (batch, unkept) = self.policy.load().apply(batch);
        if unkept > 0 {
            self.unkept.fetch_add(unkept, Relaxed);
        }
        let Some(batch) = batch else { return };
        let rows = batch.ids.len();
        let before = self.queued.fetch_add(rows, Relaxed);
        if before + rows > self.queue_records {
            self.queued.fetch_sub(rows, Relaxed);
            self.dropped.fetch_add(rows as u64, Relaxed);
            return;
        }
        // Added up here rather than by the writer: what a request is made of is freed where it was made, and used again for
        // the next one while it is in the cache.
        let mut batch = batch;
        let first = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let first = waiting.is_empty();
            chunk::collect(&mut waiting, &mut batch);
            first
        };
        // Waking a thread costs many times what a prediction does, so the writer is woken once for all that wait, and
        // again whenever there is enough for it to write at once.
        if first || before / ENOUGH != (before + rows) / ENOUGH {
            // A writer that is gone takes nothing any more; what waits for it is bounded.
            let _ = self.queue.send(Message::Waiting { slot: self.slot });
        }
    }

    /// What was accepted since this was last asked.
    fn take_waiting(&self) -> Vec<Chunk> {
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn position(&self) -> LogPosition {
        let shown = self.shown();
        let closed: u64 = shown.segments.iter().map(|segment| segment.predictions()).sum();
        LogPosition {
            durable_records: closed + chunk::count(&shown.predictions) as u64,
            dropped: self.dropped.load(Relaxed),
            problem: shown.problem.clone(),
        }
    }
}

/// Refuses a label that says nothing.
fn says_something(label: &Label) -> Result<(), LogError> {
    let nothing = match &label.value {
        Value::Missing => true,
        Value::Number(number) => !number.is_finite(),
        Value::Bool(_) | Value::Text(_) => false,
    };
    if nothing {
        return Err(LogError::Label { id: label.id.to_string(), found: label.value.to_string() });
    }
    Ok(())
}

/// Makes the entries of `dir` durable: a new or renamed file is only there after a crash if its folder was synced.
fn sync_dir(dir: &Path) -> Result<(), LogError> {
    let synced = std::fs::File::open(dir).and_then(|folder| folder.sync_all());
    synced.map_err(|error| LogError::io("sync", dir, error))
}

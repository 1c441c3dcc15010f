//! The sessions of one model: as few as do.
//!
//! A session is used by one run at a time, and has the model's weights in memory. So there is one; while requests wait for
//! it, a thread of its own makes another one beside, until there are as many as cores or as the budget allows. No request
//! pays for that, and a model that is asked by nobody at once stays small.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ort::environment::Environment;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::error::AskError;
use crate::session::Session;
use crate::watchdog::{self, Act};

/// Bytes of model files that all sessions of a model may stand for, when it has more than one.
const BUDGET: usize = 256 << 20;
/// Requests that wait for a model at most.
const WAITING: usize = 1_024;
/// How long it may take to make a session.
pub(crate) const LOADING: Duration = Duration::from_secs(60);

pub(crate) struct Pool {
    environment: Environment,
    idle: Mutex<Vec<Session>>,
    /// As many permits as there are idle sessions.
    free: Arc<Semaphore>,
    waiting: AtomicUsize,
    made: AtomicUsize,
    most: usize,
    growing: AtomicBool,
    /// What more sessions are made of; none when there will be no more.
    file: Mutex<Option<Bytes>>,
}

/// A session that nobody else uses; goes back when it is dropped.
pub(crate) struct Taken {
    session: Option<Session>,
    pool: Arc<Pool>,
    /// Given back after the session.
    _permit: OwnedSemaphorePermit,
}

impl Pool {
    /// A pool of one session.
    pub(crate) fn new(environment: Environment, file: Bytes) -> Result<Arc<Self>, String> {
        let first = Session::make(&environment, &file, Instant::now() + LOADING)?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let most = (BUDGET / file.len().max(1)).clamp(1, cores);
        Ok(Arc::new(Self {
            environment,
            idle: Mutex::new(vec![first]),
            free: Arc::new(Semaphore::new(1)),
            waiting: AtomicUsize::new(0),
            made: AtomicUsize::new(1),
            most,
            growing: AtomicBool::new(false),
            file: Mutex::new((most > 1).then_some(file)),
        }))
    }

    /// How many sessions there are.
    pub(crate) fn sessions(&self) -> usize {
        self.made.load(SeqCst)
    }

    /// A session, as soon as one is free.
    ///
    /// # Errors
    /// None was free before `deadline`, or too many wait already.
    pub(crate) async fn take(self: &Arc<Self>, deadline: Instant) -> Result<Taken, AskError> {
        let permit = match Arc::clone(&self.free).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => self.wait(deadline).await?,
        };
        let session = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Ok(Taken { session, pool: Arc::clone(self), _permit: permit })
    }

    async fn wait(self: &Arc<Self>, deadline: Instant) -> Result<OwnedSemaphorePermit, AskError> {
        let _counted = Counted::one_more(&self.waiting)?;
        self.grow();
        let begun = Instant::now();
        let (wake, late) = oneshot::channel();
        // Tokio's own clock may not be there: a model is also asked by threads without a runtime.
        let _watch = watchdog::at(deadline, Act::Wake(wake));
        tokio::select! {
            biased;
            permit = Arc::clone(&self.free).acquire_owned() => {
                permit.map_err(|closed| AskError::Failed(closed.to_string()))
            }
            _ = late => Err(AskError::Late(begun.elapsed())),
        }
    }

    /// Begins to make another session, if there may be one more.
    fn grow(self: &Arc<Self>) {
        if self.sessions() >= self.most || self.growing.swap(true, SeqCst) {
            return;
        }
        let pool = Arc::clone(self);
        let thread = std::thread::Builder::new().name("gyre-onnxruntime-load".to_owned());
        let begun = thread.spawn(move || {
            pool.add();
            pool.growing.store(false, SeqCst);
        });
        if begun.is_err() {
            self.growing.store(false, SeqCst);
        }
    }

    /// What cannot be made is not tried again: those that are there go on.
    fn add(&self) {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(bytes) = file.as_ref().filter(|_| self.sessions() < self.most) else { return };
        match Session::make(&self.environment, bytes, Instant::now() + LOADING) {
            Ok(session) => {
                self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(session);
                if self.made.fetch_add(1, SeqCst) + 1 >= self.most {
                    *file = None;
                }
                self.free.add_permits(1);
            }
            Err(_) => *file = None,
        }
    }
}

impl Taken {
    /// The session.
    ///
    /// # Errors
    /// It is not there, which only a fault of ours could bring about.
    pub(crate) fn session(&mut self) -> Result<&mut Session, AskError> {
        self.session.as_mut().ok_or_else(|| AskError::Failed("a session is gone".to_owned()))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut idle = self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.extend(self.session.take());
    }
}

/// One who waits, for as long as this lives.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn one_more(waiting: &'a AtomicUsize) -> Result<Self, AskError> {
        let before = waiting.fetch_add(1, SeqCst);
        let counted = Self(waiting);
        if before >= WAITING { Err(AskError::Busy(before)) } else { Ok(counted) }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

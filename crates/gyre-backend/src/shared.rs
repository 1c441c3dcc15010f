//! What callers, batches and the supervisor of one backend share: the way of a call, and whether there is anybody to call.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gyre_core::record::{Kind, Signature};
use gyre_runtime::{Column, Name, Table};
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout_at};

use crate::error::BackendError;
use crate::lane::{Job, Lane, Slot};
use crate::peer::Peer;
use crate::promise::{Promise, Rows};
use crate::spec::Limits;
use crate::state::{Failure, State};
use crate::wire::{Outgoing, Wire, refused};

/// How long a process whose connection broke is given to be found dead.
const FOUND_DEAD: Duration = Duration::from_millis(500);

/// A server that is ready, and how to ask it.
pub(crate) struct Live {
    pub(crate) peer: Arc<Peer>,
    pub(crate) wire: Wire,
}

/// Whether there is anybody to ask.
#[derive(Clone)]
pub(crate) enum Phase {
    Starting,
    Ready(Arc<Live>),
    Idle,
    Waiting {
        reason: Failure,
        failures: u32,
        until: Instant,
        is_loop: bool,
    },
    /// What is at a URL could not be asked what it takes; the next request asks again.
    Unlearned(BackendError),
    /// Whoever looks after the server says that it is not there.
    Down(String),
    Stopped,
}

/// What is known of a process beside its phase.
#[derive(Debug, Default, Clone)]
pub(crate) struct Details {
    pub(crate) pid: Option<u32>,
    pub(crate) address: Option<String>,
    pub(crate) restarts: u64,
    pub(crate) last_failure: Option<Failure>,
    pub(crate) memory: Option<u64>,
    /// Why a URL could not be asked last.
    pub(crate) unreachable: Option<String>,
    /// What whoever looks after the server has to say of it.
    pub(crate) remark: Option<String>,
}

pub(crate) struct Shared {
    pub(crate) signature: Arc<Signature>,
    names: Vec<Name>,
    promise: Promise,
    limits: Limits,
    pub(crate) lane: Arc<Lane>,
    phase: watch::Sender<Phase>,
    /// Told when somebody needs a process that is idle.
    pub(crate) wake: Notify,
    details: Mutex<Details>,
}

impl Shared {
    /// Shared parts around a queue, in this phase.
    pub(crate) fn new(signature: Signature, limits: Limits, phase: Phase) -> Arc<Self> {
        let runtime = tokio::runtime::Handle::current();
        Arc::new_cyclic(|shared: &std::sync::Weak<Self>| {
            let shared = shared.clone();
            let start = move |slot: Slot, jobs: Vec<Job>| {
                if let Some(shared) = shared.upgrade() {
                    runtime.spawn(async move {
                        shared.serve(jobs).await;
                        drop(slot);
                    });
                }
            };
            Self {
                names: signature.inputs.iter().map(|field| field.name.as_str().into()).collect(),
                promise: Promise::new(&signature),
                signature: Arc::new(signature),
                lane: Lane::new(limits.clone(), Arc::new(start)),
                limits,
                phase: watch::Sender::new(phase),
                wake: Notify::new(),
                details: Mutex::default(),
            }
        })
    }

    pub(crate) fn set(&self, phase: Phase) {
        self.phase.send_replace(phase);
    }

    pub(crate) fn details<T>(&self, look: impl FnOnce(&mut Details) -> T) -> T {
        let mut details: MutexGuard<'_, Details> =
            self.details.lock().unwrap_or_else(PoisonError::into_inner);
        look(&mut details)
    }

    pub(crate) fn state(&self) -> State {
        match &*self.phase.borrow() {
            Phase::Starting => State::Starting,
            Phase::Ready(_) => match self.details(|details| details.unreachable.clone()) {
                Some(reason) => State::Unreachable { reason },
                None => State::Ready,
            },
            Phase::Down(reason) => State::Down { reason: reason.clone() },
            Phase::Unlearned(error) => State::Unreachable { reason: error.to_string() },
            Phase::Idle => State::Idle,
            Phase::Waiting { reason, failures, until, is_loop } => {
                let (reason, failures) = (reason.clone(), *failures);
                let retry_in = until.saturating_duration_since(Instant::now());
                match is_loop {
                    false => State::Restarting { reason, failures, retry_in },
                    true => State::CrashLoop { reason, failures, retry_in },
                }
            }
            Phase::Stopped => State::Stopped,
        }
    }

    /// Waits until it is stopped for good.
    pub(crate) async fn stopped(&self) {
        // The sender is ours, so it cannot be gone.
        let _ = self.phase.subscribe().wait_for(|phase| matches!(phase, Phase::Stopped)).await;
    }

    pub(crate) fn is_ready(&self) -> bool {
        matches!(&*self.phase.borrow(), Phase::Ready(_))
    }

    /// Somebody to ask: at once when ready; otherwise wakes whoever sleeps, and waits.
    pub(crate) async fn live(&self, deadline: Instant) -> Result<Arc<Live>, BackendError> {
        if let Phase::Ready(live) = &*self.phase.borrow() {
            return Ok(Arc::clone(live));
        }
        let mut phases = self.phase.subscribe();
        let mut asked = false;
        loop {
            let while_ = match &*phases.borrow_and_update() {
                Phase::Ready(live) => return Ok(Arc::clone(live)),
                Phase::Stopped => return Err(BackendError::Stopped),
                Phase::Waiting { reason, until, is_loop: true, .. } => {
                    return Err(BackendError::Unavailable {
                        reason: reason.to_string(),
                        retry_after: Some(until.saturating_duration_since(Instant::now())),
                    });
                }
                Phase::Down(reason) => {
                    let (reason, retry_after) = (reason.clone(), None);
                    return Err(BackendError::Unavailable { reason, retry_after });
                }
                Phase::Unlearned(error) if asked => return Err(error.clone()),
                Phase::Idle | Phase::Unlearned(_) => {
                    asked = true;
                    self.wake.notify_one();
                    "while the model was getting ready"
                }
                Phase::Starting => "while the model was getting ready",
                Phase::Waiting { .. } => "while the model was being restarted",
            };
            match timeout_at(deadline, phases.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(BackendError::Stopped),
                Err(_) => return Err(BackendError::Deadline { while_ }),
            }
        }
    }

    /// Gives the supervisor a moment to notice that whoever broke the connection off is dead.
    async fn after_loss(&self, lost: &Arc<Live>, deadline: Instant) {
        let is_other = |phase: &Phase| !matches!(phase, Phase::Ready(live) if Arc::ptr_eq(live, lost));
        let until = deadline.min(Instant::now() + FOUND_DEAD);
        let _ = timeout_at(until, self.phase.subscribe().wait_for(is_other)).await;
    }

    /// Asks for the rows of all jobs in one call, and answers each of them. When the call fails and one row may be to
    /// blame, the jobs are asked for in halves, so that it fails alone. When the server went away, they are asked for once
    /// more, in halves too: if a row of theirs kills it, half of them live.
    pub(crate) async fn serve(&self, jobs: Vec<Job>) {
        let mut work = vec![(jobs, 1_u8)];
        while let Some((mut jobs, mut again)) = work.pop() {
            jobs.retain(Job::is_wanted);
            let Some(deadline) = jobs.iter().map(|job| job.deadline).max() else { continue };
            let live = match self.live(deadline).await {
                Ok(live) => live,
                Err(error) => {
                    jobs.iter_mut().for_each(|job| job.answer(Err(error.clone())));
                    continue;
                }
            };
            let tables: Vec<&Table> = jobs.iter().map(|job| &job.table).collect();
            let parent = jobs.iter().find_map(|job| job.parent.as_ref());
            let outcome = self.call(&live.peer, &live.wire, &tables, parent, deadline).await;
            if live.peer.is_remote() {
                let unreachable = match &outcome {
                    Err(error @ (BackendError::Unavailable { .. } | BackendError::Lost(_))) => {
                        Some(error.to_string())
                    }
                    _ => None,
                };
                self.details(|details| details.unreachable = unreachable);
            }
            let error = match outcome {
                Ok(rows) => {
                    answer(&mut jobs, &rows);
                    continue;
                }
                Err(error) => error,
            };
            let is_lost = matches!(error, BackendError::Lost(_)) && again > 0;
            if is_lost {
                again -= 1;
                if !live.peer.is_remote() {
                    self.after_loss(&live, deadline).await;
                }
            }
            if jobs.len() > 1 && (is_lost || error.may_be_one_row()) {
                let second = jobs.split_off(jobs.len() / 2);
                work.push((second, again));
                work.push((jobs, again));
            } else if is_lost {
                work.push((jobs, again));
            } else {
                jobs.iter_mut().for_each(|job| job.answer(Err(error.clone())));
            }
        }
    }

    /// One call: the rows of these tables, predicted.
    pub(crate) async fn call(
        &self,
        peer: &Peer,
        wire: &Wire,
        tables: &[&Table],
        parent: Option<&HeaderValue>,
        deadline: Instant,
    ) -> Result<Rows, BackendError> {
        let outgoing: Outgoing = wire.request(tables)?;
        let rows = tables.iter().map(|table| table.rows()).sum();
        let began = Instant::now();
        let reply = peer.post(&outgoing, parent, self.limits.answer_bytes, deadline).await;
        if matches!(reply, Err(BackendError::Deadline { .. })) {
            // It takes at least so long, which those in line should know.
            self.lane.note(rows, began.elapsed());
        }
        let reply = reply?;
        self.lane.sign();
        match reply.status {
            StatusCode::OK => {
                self.lane.note(rows, began.elapsed());
                Ok(self.promise.read(&wire.outputs(&reply)?, rows)?)
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                Err(BackendError::Overloaded {
                    why: "its server says so",
                    retry_after: retry_after(&reply.headers),
                })
            }
            _ => Err(refused(&reply)),
        }
    }

    /// The table with the signature's columns alone, in its order.
    pub(crate) fn arrange(&self, table: Table) -> Result<Table, BackendError> {
        if table.rows() == 0 {
            return Err(BackendError::Input("there are no rows".into()));
        }
        let features = || self.names.iter().zip(&self.signature.inputs);
        for (name, field) in features() {
            let column = table.column(name);
            let column = column.ok_or_else(|| BackendError::Input(format!("feature {name:?} is missing")))?;
            if !matches!(
                (column, field.kind),
                (Column::Numeric(_), Kind::Number) | (Column::Text(_), Kind::Text)
            ) {
                let (found, expected) = (column.kind(), field.kind);
                return Err(BackendError::Input(format!(
                    "feature {name:?} is {found}, expected {expected:?}"
                )));
            }
        }
        if table.columns().iter().map(|(name, _)| name).eq(&self.names) {
            return Ok(table);
        }
        let column = |name: &Name| Some((name.clone(), table.column(name)?.clone()));
        Table::new(self.names.iter().filter_map(column))
            .map_err(|error| BackendError::Input(error.to_string()))
    }

    /// A row that nobody sent: zeros and empty texts.
    pub(crate) fn made_up_row(&self) -> Table {
        let column = |kind| match kind {
            Kind::Number => Column::Numeric(vec![0.0]),
            Kind::Text => Column::Text(vec![Some("".into())]),
        };
        let columns = self.names.iter().zip(&self.signature.inputs);
        let columns = columns.map(|(name, field)| (name.clone(), column(field.kind)));
        // A signature that names a feature twice was refused before.
        Table::new(columns).unwrap_or_default()
    }
}

/// Each caller's rows of a common answer.
fn answer(jobs: &mut [Job], rows: &Rows) {
    let mut from = 0;
    for job in jobs {
        let to = from + job.table.rows();
        job.answer(rows.scores(from..to).map_err(BackendError::from));
        from = to;
    }
}

/// When a server that is busy wants to be asked again; a second, when it does not say so in seconds.
fn retry_after(headers: &HeaderMap) -> Duration {
    let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    Duration::from_secs(seconds.unwrap_or(1))
}

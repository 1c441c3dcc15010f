//! Who is asked next: the queue in front of one model, its limits, and which requests share a call.
//!
//! While fewer calls are under way than may be, a request goes at once, in its caller's own task, and waits for nobody.
//! Otherwise it waits in line; whoever finishes a call takes what has gathered, up to the limit of rows and as much as
//! should be done before the earliest deadline, and sends it off together. So batches are as large as the load makes them,
//! and nobody waits for company.
//!
//! A request that has no chance, since the line is full or the estimate says that its deadline passes before its turn, is
//! turned away at once, while turning away is still cheap. One that has lost its chance while it waited is turned away when
//! its turn comes: a call whose answer comes too late would take the time of one that does not. Under lasting overload
//! ([`press`]) the newest go first, and nobody waits for long.

mod press;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gyre_runtime::{Scores, Table};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::error::BackendError;
use crate::pace::Pace;
use crate::spec::Limits;
use press::Press;

/// Why nobody is asked for an answer that would not be waited for.
const TOO_LATE: &str = "the answer would come after the deadline";
/// Why nobody waits for long while more comes than can be answered.
const TOO_MANY: &str = "more is asked than it can answer";
/// When nothing is known: how long until it is worth trying again.
const RETRY: Duration = Duration::from_secs(1);
/// Nobody is told to come back sooner.
const SOONEST: Duration = Duration::from_millis(50);

/// A caller's rows and where the answer goes.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) table: Table,
    pub(crate) deadline: Instant,
    /// The trace that it is part of.
    pub(crate) parent: Option<http::HeaderValue>,
    pub(crate) reply: Option<oneshot::Sender<Result<Scores, BackendError>>>,
}

impl Job {
    /// Gives the caller its answer; a caller that has gone needs none.
    pub(crate) fn answer(&mut self, answer: Result<Scores, BackendError>) {
        if let Some(reply) = self.reply.take() {
            let _ = reply.send(answer);
        }
    }

    /// Whether somebody still waits for it.
    pub(crate) fn is_wanted(&self) -> bool {
        self.reply.as_ref().is_some_and(|reply| !reply.is_closed()) && Instant::now() < self.deadline
    }
}

/// What a place in line is for.
#[derive(Debug)]
struct Waiting {
    since: Instant,
    what: What,
}

#[derive(Debug)]
enum What {
    Rows(Job),
    /// A call that the caller makes itself.
    Turn(oneshot::Sender<Result<Slot, BackendError>>),
}

impl Waiting {
    fn rows(&self) -> usize {
        match &self.what {
            What::Rows(job) => job.table.rows(),
            What::Turn(_) => 0,
        }
    }

    /// Whether somebody still waits for it.
    fn is_wanted(&self) -> bool {
        match &self.what {
            What::Rows(job) => job.is_wanted(),
            What::Turn(turn) => !turn.is_closed(),
        }
    }

    fn refuse(self, error: BackendError) {
        match self.what {
            What::Rows(mut job) => job.answer(Err(error)),
            // Who has gone needs no answer.
            What::Turn(turn) => drop(turn.send(Err(error))),
        }
    }
}

/// What is to be done with a slot that became free.
pub(crate) type Start = Arc<dyn Fn(Slot, Vec<Job>) + Send + Sync>;

/// The queue of one model.
pub(crate) struct Lane {
    limits: Limits,
    line: Mutex<Line>,
    /// Wakes whoever waits until all is done.
    quiet: Notify,
    /// Runs a batch in a task of its own.
    start: Start,
}

#[derive(Debug)]
struct Line {
    waiting: VecDeque<Waiting>,
    rows: usize,
    calls: usize,
    pace: Pace,
    press: Press,
    /// Calls whose answer is with the caller: nothing is expected of the server for them.
    away: usize,
    closed: bool,
    waited: Waited,
    /// When a call ended, or a sign of life came.
    last_used: Instant,
    last_sign: Instant,
}

impl Line {
    /// Frees the places of callers that have given up.
    fn forget_the_gone(&mut self) {
        self.waiting.retain(Waiting::is_wanted);
        self.rows = self.waiting.iter().map(Waiting::rows).sum();
    }

    fn push(&mut self, what: What) {
        let waiting = Waiting { since: Instant::now(), what };
        self.rows += waiting.rows();
        self.waiting.push_back(waiting);
    }

    /// Turns away who has waited too long; while there is no overload, nobody has.
    fn relieve(&mut self) {
        let Some(most) = self.pace.typical().and_then(|call| self.press.most(call)) else { return };
        let now = Instant::now();
        let waits = |waiting: &mut Waiting| now.saturating_duration_since(waiting.since) > most;
        while let Some(oldest) = self.waiting.pop_front_if(waits) {
            self.rows = self.rows.saturating_sub(oldest.rows());
            oldest.refuse(BackendError::Overloaded { why: TOO_MANY, retry_after: most.max(SOONEST) });
        }
    }

    /// Who is next.
    fn first(&self) -> Option<&Waiting> {
        if self.press.is_on() { self.waiting.back() } else { self.waiting.front() }
    }

    /// Takes note that a request that came at `since` is being answered.
    fn begins(&mut self, since: Instant, now: Instant) {
        self.waited.requests += 1;
        self.waited.time += now.saturating_duration_since(since);
    }

    fn pop(&mut self) -> Option<Waiting> {
        let popped = if self.press.is_on() { self.waiting.pop_back() } else { self.waiting.pop_front() }?;
        self.rows = self.rows.saturating_sub(popped.rows());
        Some(popped)
    }
}

/// The right to make one call, given back when it is dropped.
pub(crate) struct Slot {
    lane: Arc<Lane>,
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Slot")
    }
}

/// An answer that is with its caller.
pub(crate) struct Away {
    lane: Arc<Lane>,
}

impl Drop for Away {
    fn drop(&mut self) {
        let mut line = self.lane.line();
        line.away -= 1;
        // Only from now on is anything expected of the server.
        line.last_sign = Instant::now();
    }
}

/// What became of a request that entered.
#[derive(Debug)]
pub(crate) enum Entry {
    /// It goes at once.
    Now(Slot, Job),
    /// It waits in line.
    Later,
}

/// Requests for predictions that had to wait in line, since the lane was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Waited {
    /// Without those that were turned away or given up.
    pub requests: u64,
    /// How long they waited, all together.
    pub time: Duration,
}

/// How busy a lane is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) calls: usize,
    pub(crate) requests: usize,
    pub(crate) rows: usize,
    pub(crate) call_time: Option<Duration>,
    pub(crate) waited: Waited,
}

impl Lane {
    pub(crate) fn new(limits: Limits, start: Start) -> Arc<Self> {
        let now = Instant::now();
        let line = Line {
            waiting: VecDeque::new(),
            rows: 0,
            calls: 0,
            pace: Pace::default(),
            press: Press::default(),
            away: 0,
            closed: false,
            waited: Waited::default(),
            last_used: now,
            last_sign: now,
        };
        Arc::new(Self { limits, line: Mutex::new(line), quiet: Notify::new(), start })
    }

    /// Lets rows go, or has them wait. `is_ready` says whether calls are being made at all: while a process starts, how long
    /// calls take says nothing about how long a request waits.
    pub(crate) fn enter(self: &Arc<Self>, job: Job, is_ready: bool) -> Result<Entry, BackendError> {
        let mut line = self.line();
        if line.closed {
            return Err(BackendError::Stopped);
        }
        // While it is not known how long calls take, nobody can say what is too much.
        if let Some(call) = line.pace.typical().filter(|_| is_ready) {
            line.press.came(Instant::now(), call);
            line.relieve();
        }
        if line.waiting.is_empty() && line.calls < self.limits.calls {
            line.calls += 1;
            line.press.answered(1);
            drop(line);
            return Ok(Entry::Now(Slot { lane: Arc::clone(self) }, job));
        }
        let rows = job.table.rows();
        let too_full = |line: &Line| {
            // What is longer than the whole queue may wait alone.
            let rows_full = line.rows > 0 && line.rows.saturating_add(rows) > self.limits.queue_rows;
            line.waiting.len() >= self.limits.queue_requests || rows_full
        };
        if too_full(&line) {
            line.forget_the_gone();
        }
        let wait = self.wait(&line, rows);
        let full = |why| BackendError::Overloaded { why, retry_after: wait.unwrap_or(RETRY).max(SOONEST) };
        if too_full(&line) {
            return Err(full("too much waits already"));
        }
        if is_ready && wait.is_some_and(|wait| Instant::now() + wait > job.deadline) {
            return Err(full(TOO_LATE));
        }
        line.push(What::Rows(job));
        Ok(Entry::Later)
    }

    /// Waits for the right to make a call of one's own, in the same line as everybody.
    pub(crate) async fn turn(self: &Arc<Self>, deadline: Instant) -> Result<Slot, BackendError> {
        let turn = {
            let mut line = self.line();
            if line.closed {
                return Err(BackendError::Stopped);
            }
            if line.waiting.is_empty() && line.calls < self.limits.calls {
                line.calls += 1;
                return Ok(Slot { lane: Arc::clone(self) });
            }
            if line.waiting.len() >= self.limits.queue_requests {
                line.forget_the_gone();
            }
            if line.waiting.len() >= self.limits.queue_requests {
                let retry_after = self.wait(&line, 1).unwrap_or(RETRY).max(SOONEST);
                return Err(BackendError::Overloaded { why: "too much waits already", retry_after });
            }
            let (sender, turn) = oneshot::channel();
            line.push(What::Turn(sender));
            turn
        };
        match tokio::time::timeout_at(deadline, turn).await {
            Ok(slot) => slot.map_err(|_| BackendError::Stopped)?,
            Err(_) => Err(BackendError::Deadline { while_: "while others were being answered" }),
        }
    }

    /// How long a request of so many rows would take from now on, with all that is in front of it.
    fn wait(&self, line: &Line, rows: usize) -> Option<Duration> {
        let batch = self.limits.batch_rows.max(1);
        let calls = u32::try_from(self.limits.calls.max(1)).unwrap_or(u32::MAX);
        // Where the newest go first, nobody is in front of it.
        let in_front = if line.press.is_on() { 0 } else { line.rows };
        let whole = u32::try_from(in_front / batch).unwrap_or(u32::MAX);
        // It goes in the last batch, with what is left of the others.
        let own = line.pace.expect_at_most(rows.saturating_add(in_front % batch).min(batch.max(rows)))?;
        let before = line.pace.expect(batch)?.saturating_mul(whole) / calls;
        // Calls under way are half done, on average.
        let current = if line.calls >= self.limits.calls { line.pace.expect(1)? / 2 } else { Duration::ZERO };
        Some(own.saturating_add(before).saturating_add(current))
    }

    /// Takes note of a call that was answered.
    pub(crate) fn note(&self, rows: usize, took: Duration) {
        self.line().pace.note(rows, took);
    }

    /// Takes note that the server lives.
    pub(crate) fn sign(&self) {
        self.line().last_sign = Instant::now();
    }

    /// A call's answer is with its caller, until what is returned is dropped.
    pub(crate) fn away(self: &Arc<Self>) -> Away {
        let mut line = self.line();
        line.away += 1;
        line.last_sign = Instant::now();
        Away { lane: Arc::clone(self) }
    }

    /// How long ago the server last showed that it lives; no time at all while all that is asked of it waits for callers.
    pub(crate) fn silent(&self) -> Duration {
        let line = self.line();
        if line.away > 0 && line.away >= line.calls { Duration::ZERO } else { line.last_sign.elapsed() }
    }

    /// For how long nothing has been asked.
    pub(crate) fn idle(&self) -> Duration {
        let line = self.line();
        if line.calls > 0 || !line.waiting.is_empty() { Duration::ZERO } else { line.last_used.elapsed() }
    }

    pub(crate) fn load(&self) -> Load {
        let line = self.line();
        let (calls, requests, rows) = (line.calls, line.waiting.len(), line.rows);
        Load { calls, requests, rows, call_time: line.pace.expect(1), waited: line.waited }
    }

    /// Takes no more requests. Those in line are still answered.
    pub(crate) fn close(&self) {
        self.line().closed = true;
    }

    /// Turns away everybody in line.
    pub(crate) fn dismiss(&self) {
        let waiting = {
            let mut line = self.line();
            line.rows = 0;
            std::mem::take(&mut line.waiting)
        };
        waiting.into_iter().for_each(|waiting| waiting.refuse(BackendError::Stopped));
    }

    /// Waits until no call is under way and nobody in line.
    pub(crate) async fn quiet(&self) {
        loop {
            let quiet = self.quiet.notified();
            tokio::pin!(quiet);
            quiet.as_mut().enable();
            {
                let line = self.line();
                if line.calls == 0 && line.waiting.is_empty() {
                    return;
                }
            }
            quiet.await;
        }
    }

    /// The next calls, for a slot that became free: a batch, or a turn for somebody who calls himself.
    fn next(&self, line: &mut Line) -> Option<Next> {
        line.relieve();
        let next = self.gather(line);
        if let Some(Next::Batch(jobs)) = &next {
            line.press.answered(jobs.len());
        }
        next
    }

    fn gather(&self, line: &mut Line) -> Option<Next> {
        let mut jobs: Vec<Job> = Vec::new();
        let mut rows = 0;
        let mut until: Option<Instant> = None;
        let now = Instant::now();
        while let Some(first) = line.first() {
            match &first.what {
                What::Rows(job) => {
                    let more = rows + job.table.rows();
                    let until_all = until.map_or(job.deadline, |until| until.min(job.deadline));
                    let late = line.pace.expect(more).is_some_and(|time| now + time > until_all);
                    if !jobs.is_empty() && job.is_wanted() && (more > self.limits.batch_rows || late) {
                        break;
                    }
                }
                What::Turn(_) if !jobs.is_empty() => break,
                What::Turn(_) => {}
            }
            let Waiting { since, what } = line.pop()?;
            match what {
                What::Turn(turn) if !turn.is_closed() => return Some(Next::Turn(turn)),
                What::Rows(mut job) => {
                    let own = line.pace.expect_at_most(job.table.rows());
                    if job.is_wanted() && own.is_some_and(|own| now + own > job.deadline) {
                        let retry_after = self.wait(line, job.table.rows()).unwrap_or(RETRY).max(SOONEST);
                        job.answer(Err(BackendError::Overloaded { why: TOO_LATE, retry_after }));
                    } else if job.is_wanted() {
                        rows += job.table.rows();
                        until = Some(until.map_or(job.deadline, |until| until.min(job.deadline)));
                        line.begins(since, now);
                        jobs.push(job);
                    }
                }
                What::Turn(_) => {}
            }
        }
        (!jobs.is_empty()).then_some(Next::Batch(jobs))
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Next {
    Batch(Vec<Job>),
    Turn(oneshot::Sender<Result<Slot, BackendError>>),
}

impl Drop for Slot {
    fn drop(&mut self) {
        let lane = Arc::clone(&self.lane);
        let next = {
            let mut line = lane.line();
            let next = lane.next(&mut line);
            if next.is_none() {
                line.calls -= 1;
                line.last_used = Instant::now();
                if line.calls == 0 && line.waiting.is_empty() {
                    lane.quiet.notify_waiters();
                }
            }
            next
        };
        let slot = || Slot { lane: Arc::clone(&lane) };
        match next {
            Some(Next::Batch(jobs)) => (lane.start)(slot(), jobs),
            // Somebody who has gone away meanwhile drops it, and so passes it on.
            Some(Next::Turn(turn)) => drop(turn.send(Ok(slot()))),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests;

//! Keeps a process alive: starts it, waits until it is ready, watches it, starts it again when it fails, stops it.
//!
//! Signs of life are answers, to predictions as well as to probes. So a server that can do one thing at a time is never
//! taken for dead while it predicts, and one that hangs is found out by the silence, whether or not it is asked anything.

use std::future::{pending, ready};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use gyre_process::Group;
use gyre_runtime::Table;
use http::StatusCode;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::error::{AnswerError, BackendError};
use crate::logs::Logs;
use crate::peer::Peer;
use crate::process::{self, Running};
use crate::shared::{Live, Phase, Shared};
use crate::spec::{ProcessSpec, Protocol};
use crate::state::Failure;
use crate::wire::{Wire, probe};

/// Between the first two attempts to ask whether a process is ready; then half as long again each time.
const POLL: Duration = Duration::from_millis(10);
/// Between two attempts, at most.
const LONGEST_POLL: Duration = Duration::from_millis(250);
/// What one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(5);
/// How often memory is looked at.
const MEMORY: Duration = Duration::from_millis(500);
/// How often everything else is.
const LONGEST_TICK: Duration = Duration::from_secs(1);
/// How long the output of a process that has ended is waited for; one that left the group may hold it open.
const OUTPUT: Duration = Duration::from_millis(500);
/// The largest answer to a probe, in bytes.
const PROBE_ANSWER: usize = 64 << 10;

/// Supervises one process.
pub(crate) struct Supervisor {
    pub(crate) spec: ProcessSpec,
    pub(crate) shared: Arc<Shared>,
    pub(crate) logs: Arc<Logs>,
    /// Becomes true, or closes, when the process is to stop for good.
    pub(crate) stop: watch::Receiver<bool>,
}

/// How one life of the process ended.
enum End {
    Stop,
    Idle,
    Failed { reason: Failure, ready_for: Duration },
}

/// What ends a life from outside or inside.
enum Event {
    Stop,
    Exited(std::io::Result<ExitStatus>),
    Memory(u64),
    Ready(Result<Wire, Failure>),
    Hung(Duration),
    Idle,
}

impl Supervisor {
    /// Supervises until it is told to stop.
    pub(crate) async fn run(mut self) {
        let mut folder = None;
        let mut failures: u32 = 0;
        loop {
            self.shared.set(Phase::Starting);
            match self.life(&mut folder).await {
                End::Stop => break,
                End::Idle => {
                    failures = 0;
                    tokio::select! {
                        () = self.shared.wake.notified() => {}
                        () = stopped(&mut self.stop) => break,
                    }
                }
                End::Failed { reason, ready_for } => {
                    failures =
                        if ready_for >= self.spec.backoff.stable { 1 } else { failures.saturating_add(1) };
                    let delay = self.spec.backoff.delay(failures, chance());
                    let until = Instant::now() + delay;
                    let is_loop = failures >= self.spec.backoff.crash_loop;
                    self.shared.details(|details| {
                        details.restarts += 1;
                        details.last_failure = Some(reason.clone());
                    });
                    self.shared.set(Phase::Waiting { reason, failures, until, is_loop });
                    tokio::select! {
                        () = sleep_until(until) => {}
                        () = stopped(&mut self.stop) => break,
                    }
                }
            }
        }
        self.shared.lane.close();
        self.shared.set(Phase::Stopped);
        self.shared.lane.dismiss();
    }

    /// From the start of the process to its end.
    async fn life(&mut self, folder: &mut Option<TempDir>) -> End {
        let mut running = match process::start(&self.spec, &self.logs, folder).await {
            Ok(running) => running,
            Err(reason) => return End::Failed { reason, ready_for: Duration::ZERO },
        };
        let (pid, address) = (running.child.id(), running.address.clone());
        self.shared.details(|details| {
            details.pid = pid;
            details.address = Some(address);
        });
        let event = tokio::select! {
            biased;
            () = stopped(&mut self.stop) => Event::Stop,
            status = running.child.wait() => Event::Exited(status),
            held = over_limit(&self.spec, &self.shared, &running.group) => Event::Memory(held),
            ready = become_ready(&self.spec, &self.shared, &running.peer) => Event::Ready(ready),
        };
        let mut since = None;
        let event = match event {
            Event::Ready(Ok(wire)) => {
                since = Some(Instant::now());
                self.shared.lane.sign();
                self.shared.set(Phase::Ready(Arc::new(Live { peer: Arc::clone(&running.peer), wire })));
                tokio::select! {
                    biased;
                    () = stopped(&mut self.stop) => Event::Stop,
                    status = running.child.wait() => Event::Exited(status),
                    held = over_limit(&self.spec, &self.shared, &running.group) => Event::Memory(held),
                    event = watch_over(&self.spec, &self.shared, &running.peer) => event,
                }
            }
            event => event,
        };
        if !matches!(event, Event::Stop | Event::Idle) {
            // Whoever comes now waits for the next life.
            self.shared.set(Phase::Starting);
        }
        let ready_for = since.map_or(Duration::ZERO, |since| since.elapsed());
        let reason = match event {
            Event::Stop => {
                if since.is_none() {
                    // Nobody will ever be answered.
                    self.shared.set(Phase::Stopped);
                    self.shared.lane.dismiss();
                }
                self.end_gently(&mut running).await;
                self.bury(running).await;
                return End::Stop;
            }
            Event::Idle => {
                self.end_gently(&mut running).await;
                self.bury(running).await;
                return End::Idle;
            }
            Event::Exited(status) => {
                self.bury(running).await;
                exited(status, self.logs.last())
            }
            Event::Memory(held) => {
                self.bury(running).await;
                Failure::Memory { held, limit: self.spec.memory.unwrap_or(held) }
            }
            Event::Hung(silent) => {
                self.bury(running).await;
                Failure::Hung { silent }
            }
            Event::Ready(ready) => {
                self.bury(running).await;
                match ready {
                    Err(reason) => reason,
                    Ok(_) => Failure::System("readiness was lost".into()),
                }
            }
        };
        End::Failed { reason, ready_for }
    }

    /// Lets what is under way end, then asks the process to end.
    async fn end_gently(&self, running: &mut Running) {
        tokio::select! {
            _ = timeout(self.spec.drain, self.shared.lane.quiet()) => {}
            _ = running.child.wait() => {}
        }
        running.group.terminate();
        // Who is not gone by then is killed.
        let _ = timeout(self.spec.grace, running.child.wait()).await;
    }

    /// Ends whatever is left of the process, and reads the last of what it printed.
    async fn bury(&self, running: Running) {
        let Running { mut child, group, mut output, .. } = running;
        group.kill();
        // A killed process can only be held by the kernel; then there is nothing to be done about it.
        let _ = timeout(OUTPUT, child.wait()).await;
        drop(group);
        if timeout(OUTPUT, &mut output).await.is_err() {
            output.abort();
        }
        self.shared.details(|details| {
            details.pid = None;
            details.memory = None;
        });
    }
}

/// Waits until it is to stop.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // Closed: nobody is left who could want anything else.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Waits until the group holds more memory than it may.
async fn over_limit(spec: &ProcessSpec, shared: &Shared, group: &Arc<Group>) -> u64 {
    let Some(limit) = spec.memory else { return pending().await };
    loop {
        let group = Arc::clone(group);
        // Many small files are read.
        let held = tokio::task::spawn_blocking(move || group.memory()).await;
        if let Ok(Ok(held)) = held {
            shared.details(|details| details.memory = Some(held));
            if held > limit {
                return held;
            }
        }
        sleep(MEMORY).await;
    }
}

/// Asks until the process says that it is ready, learns what its model takes, and has it predict a row.
async fn become_ready(spec: &ProcessSpec, shared: &Shared, peer: &Peer) -> Result<Wire, Failure> {
    let started = Instant::now();
    let deadline = started + spec.start_within;
    let path = probe_path(spec);
    let mut wait = POLL;
    loop {
        let attempt = deadline.min(Instant::now() + ATTEMPT);
        let last = match ask(peer, &path, attempt).await {
            Err(problem) => problem,
            Ok(()) => match warm_up(&spec.protocol, spec.warm_up.as_ref(), shared, peer, deadline).await {
                Ok(wire) => return Ok(wire),
                Err(Warming::Unfit(problem)) => return Err(Failure::Unfit(problem)),
                Err(Warming::NotYet(problem)) => problem,
            },
        };
        if Instant::now() + wait >= deadline {
            return Err(Failure::NeverReady { within: spec.start_within, last });
        }
        sleep(wait).await;
        wait = (wait * 3 / 2).min(LONGEST_POLL);
    }
}

fn probe_path(spec: &ProcessSpec) -> String {
    spec.probe.clone().unwrap_or_else(|| probe(&spec.protocol))
}

async fn ask(peer: &Peer, path: &str, deadline: Instant) -> Result<(), String> {
    match peer.get(path, PROBE_ANSWER, deadline).await {
        Ok(reply) if reply.status == StatusCode::OK => Ok(()),
        Ok(reply) => Err(format!("GET {path} was answered with {}", reply.status)),
        Err(error) => Err(format!("GET {path}: {error}")),
    }
}

/// Why a first row was not predicted.
pub(crate) enum Warming {
    /// It may be, if it is asked again.
    NotYet(String),
    /// What answers is not what the signature promises.
    Unfit(String),
}

/// Learns what the model takes, and has it predict a row: `row`, or one that is made up.
pub(crate) async fn warm_up(
    protocol: &Protocol,
    row: Option<&Table>,
    shared: &Shared,
    peer: &Peer,
    deadline: Instant,
) -> Result<Wire, Warming> {
    let not_yet = |error: BackendError| match error {
        BackendError::Spec(_) | BackendError::Answer(_) => Warming::Unfit(error.to_string()),
        other => Warming::NotYet(other.to_string()),
    };
    let wire = Wire::learn(protocol, &shared.signature, peer, deadline).await.map_err(not_yet)?;
    let (table, is_made_up) = match row {
        Some(table) => (table.clone(), false),
        None => (shared.made_up_row(), true),
    };
    let outcome = match shared.call(peer, &wire, &[&table], None, deadline).await {
        Ok(rows) => rows.scores(0..table.rows()).map(drop).map_err(BackendError::from),
        Err(error) => Err(error),
    };
    match outcome {
        Ok(()) => Ok(wire),
        // That it does not like a row that nobody sent says nothing about the rows that somebody will.
        Err(
            BackendError::Refused { .. }
            | BackendError::Answer(AnswerError::NonFinite { .. })
            | BackendError::Input(_),
        ) if is_made_up => Ok(wire),
        Err(error @ (BackendError::Answer(_) | BackendError::Refused { .. } | BackendError::Input(_))) => {
            Err(Warming::Unfit(format!("the first prediction: {error}")))
        }
        Err(error) => Err(Warming::NotYet(format!("the first prediction: {error}"))),
    }
}

/// Waits until a ready process hangs, or has been idle for long enough.
async fn watch_over(spec: &ProcessSpec, shared: &Shared, peer: &Peer) -> Event {
    let path = probe_path(spec);
    let idle = spec.idle.unwrap_or(Duration::MAX);
    let tick = LONGEST_TICK.min(spec.probe_every / 2).min(spec.hang_after / 4).min(idle / 4);
    let tick = tick.max(Duration::from_millis(5));
    loop {
        sleep(tick).await;
        if shared.lane.idle() >= idle {
            // A wish to wake it that came while it was awake has been fulfilled.
            tokio::select! {
                biased;
                () = shared.wake.notified() => {}
                () = ready(()) => {}
            }
            shared.set(Phase::Idle);
            return Event::Idle;
        }
        let silent = shared.lane.silent();
        // Whoever is busy with a prediction need not be able to answer a probe as well.
        if silent >= spec.probe_every && shared.lane.load().calls == 0 {
            let deadline = Instant::now() + spec.hang_after.saturating_sub(silent).max(tick);
            if ask(peer, &path, deadline).await.is_ok() {
                shared.lane.sign();
            }
        }
        let silent = shared.lane.silent();
        if silent >= spec.hang_after {
            return Event::Hung(silent);
        }
    }
}

fn exited(status: std::io::Result<ExitStatus>, last_line: Option<String>) -> Failure {
    match status {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => Failure::Exited { code, last_line },
            (None, signal) => Failure::Signalled { signal: signal.unwrap_or_default(), last_line },
        },
        Err(error) => Failure::System(format!("its end cannot be waited for: {error}")),
    }
}

/// Random over its whole range. Without randomness there is no jitter, and nothing worse.
pub(crate) fn chance() -> u32 {
    getrandom::u32().unwrap_or(0)
}

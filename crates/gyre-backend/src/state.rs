//! What a backend is doing, for people to see.

use std::fmt;
use std::time::Duration;

use crate::lane::Waited;

/// Why a process was given up or did not start.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// It could not be started at all.
    Spawn {
        /// The program.
        program: String,
        /// What the system said.
        error: String,
    },
    /// Another process listens on the port that it was to have.
    PortTaken {
        /// The port.
        port: u16,
    },
    /// It ended by itself.
    Exited {
        /// The exit code.
        code: i32,
        /// The last line that it printed.
        last_line: Option<String>,
    },
    /// It was ended by a signal that we did not send.
    Signalled {
        /// The signal's number; 9 may be the kernel's, out of memory.
        signal: i32,
        /// The last line that it printed.
        last_line: Option<String>,
    },
    /// It was not ready in time.
    NeverReady {
        /// The time that it had.
        within: Duration,
        /// What the last attempt to ask it said.
        last: String,
    },
    /// It gave no sign of life.
    Hung {
        /// For how long.
        silent: Duration,
    },
    /// It held more memory than it may.
    Memory {
        /// What its group held, in bytes.
        held: u64,
        /// What it may hold, in bytes.
        limit: u64,
    },
    /// It is ready, but its answers are not what the signature promises.
    Unfit(String),
    /// The system refused something that supervision needs.
    System(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = |line: &Option<String>| match line {
            Some(line) => format!("; its last line was: {line}"),
            None => "; it printed nothing".to_owned(),
        };
        match self {
            Self::Spawn { program, error } => {
                write!(f, "`{program}` cannot be started: {error}; is it installed, and on the PATH?")
            }
            Self::PortTaken { port } => {
                write!(f, "port {port} is taken by another process; free it, or let gyre choose a port")
            }
            Self::Exited { code, last_line } => {
                write!(f, "the process ended with exit code {code}{}", last(last_line))
            }
            Self::Signalled { signal, last_line } => {
                let who = if *signal == 9 { ", perhaps the kernel's for want of memory" } else { "" };
                write!(f, "the process was ended by signal {signal}{who}{}", last(last_line))
            }
            Self::NeverReady { within, last } => {
                write!(f, "the process was not ready within {:.1} s: {last}", within.as_secs_f64())
            }
            Self::Hung { silent } => {
                write!(f, "the process gave no sign of life for {:.1} s", silent.as_secs_f64())
            }
            Self::Memory { held, limit } => {
                let mib = |bytes: &u64| bytes >> 20;
                write!(
                    f,
                    "the process and its children held {} MiB of memory, the limit is {} MiB",
                    mib(held),
                    mib(limit)
                )
            }
            Self::Unfit(problem) => {
                write!(f, "the process does not do what its signature promises: {problem}")
            }
            Self::System(problem) => f.write_str(problem),
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starting => f.write_str("starting"),
            Self::Ready => f.write_str("ready"),
            Self::Idle => f.write_str("idle"),
            Self::Restarting { reason, .. } => write!(f, "restarting: {reason}"),
            Self::CrashLoop { reason, failures, .. } => {
                write!(f, "failed {failures} times in a row: {reason}")
            }
            Self::Unreachable { reason } => write!(f, "unreachable: {reason}"),
            Self::Down { reason } => write!(f, "not ready: {reason}"),
            Self::Draining => f.write_str("draining"),
            Self::Stopped => f.write_str("stopped"),
        }
    }
}

/// What a backend is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// The process has been started, and is not ready yet. Requests wait for it.
    Starting,
    /// Requests are answered.
    Ready,
    /// Nobody needs it: the process has been stopped, or the URL has not been asked yet. The next request starts it, and
    /// waits for it.
    Idle,
    /// It failed, and is started again soon. Requests wait for it.
    Restarting {
        /// Why it failed.
        reason: Failure,
        /// How often in a row.
        failures: u32,
        /// When it is started again.
        retry_in: Duration,
    },
    /// It failed again and again. It goes on being started, more and more rarely; requests are refused until it is ready.
    CrashLoop {
        /// Why it failed last.
        reason: Failure,
        /// How often in a row.
        failures: u32,
        /// When it is started again.
        retry_in: Duration,
    },
    /// The URL could not be asked last time. Each request tries again.
    Unreachable {
        /// Why.
        reason: String,
    },
    /// Whoever looks after the server says that it is not there; requests are refused until it is.
    Down {
        /// Why.
        reason: String,
    },
    /// It is to stop: what is under way may end, nothing new is taken.
    Draining,
    /// It is stopped for good.
    Stopped,
}

impl State {
    /// One word, as a page shows it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Idle => "idle",
            Self::Restarting { .. } => "restarting",
            Self::CrashLoop { .. } => "crash loop",
            Self::Unreachable { .. } => "unreachable",
            Self::Down { .. } => "not ready",
            Self::Draining => "draining",
            Self::Stopped => "stopped",
        }
    }
}

/// What a backend is doing, with figures.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// What it is doing.
    pub state: State,
    /// The number of the process that runs; none for a URL.
    pub pid: Option<u32>,
    /// Where it listens, or its URL.
    pub address: Option<String>,
    /// How often it has been started again after a failure.
    pub restarts: u64,
    /// Why it failed last, also when it is ready again.
    pub last_failure: Option<Failure>,
    /// What whoever looks after the server has to say of it: what it waits for, who changed it.
    pub remark: Option<String>,
    /// The memory of the process's group when it was last looked at, in bytes; only with a limit.
    pub memory: Option<u64>,
    /// Calls under way.
    pub calls: usize,
    /// Requests that wait.
    pub waiting_requests: usize,
    /// Rows that wait.
    pub waiting_rows: usize,
    /// What is known of how long a call takes: the predicted time of a call with one row.
    pub call_time: Option<Duration>,
    /// Requests that had to wait until calls before theirs had ended.
    pub waited: Waited,
}

//! One command, and the certainty that nothing of it is left afterwards.
//!
//! Every command runs in a [`Group`] of its own, so a training script's children do not outlive the run, not even when
//! this process is killed.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use gyre_process::Group;

/// The shell that DVC uses when no other is set.
const SHELL: &str = "/bin/sh";
/// How often a request to stop is looked for.
const GLANCE: Duration = Duration::from_millis(50);
/// How long output is waited for that an escaped process holds open.
const DRAIN: Duration = Duration::from_secs(1);
const CHUNK: usize = 8_192;
/// Chunks under way; when they are full, the command waits.
const CHUNKS: usize = 32;

/// What a command runs with.
pub(crate) struct Setup<'a> {
    /// The working directory.
    pub dir: &'a Path,
    /// Variables added to the environment of this process.
    pub env: &'a [(OsString, OsString)],
    /// When it is stopped.
    pub deadline: Option<Instant>,
    /// How long it may take to end after it was asked to.
    pub grace: Duration,
    /// Becomes true when it is to stop.
    pub stop: Option<&'a AtomicBool>,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// With an exit code.
    Exited(i32),
    /// By a signal.
    Signalled(i32),
    /// It was stopped at its deadline.
    TimedOut,
    /// It was stopped on request.
    Stopped,
}

enum Event {
    Output(Vec<u8>),
    OutputClosed,
    Ended(io::Result<ExitStatus>),
}

/// Runs `command` by the shell and waits for its end. What it prints goes to `sink`, both streams in their order.
///
/// # Errors
/// When it cannot be started.
pub(crate) fn execute(command: &str, setup: &Setup<'_>, sink: &mut dyn FnMut(&[u8])) -> io::Result<Ending> {
    let group = Group::start()?;
    let (reader, writer) = io::pipe()?;
    let mut child = Command::new(SHELL)
        .args(["-c", command])
        .current_dir(setup.dir)
        .envs(setup.env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .process_group(group.id())
        .spawn()?;
    let (sender, events) = sync_channel(CHUNKS);
    let output = sender.clone();
    std::thread::spawn(move || forward(reader, &output));
    std::thread::spawn(move || {
        let _ = sender.send(Event::Ended(child.wait()));
    });
    let mut stopped = None;
    let mut closed = false;
    let status = loop {
        match wait(&events, setup, stopped.as_ref()) {
            Wake::Event(Event::Output(bytes)) => sink(&bytes),
            Wake::Event(Event::OutputClosed) => closed = true,
            Wake::Event(Event::Ended(status)) => break status?,
            Wake::Stop(why) => {
                group.terminate();
                stopped = Some((why, Instant::now() + setup.grace));
            }
            Wake::GraceOver => {
                group.kill();
                // Its end is all there is to wait for: only the kernel can hold a killed process.
                stopped = stopped.map(|(why, until)| (why, until + DRAIN));
            }
            Wake::Lost => return Err(io::Error::other("the threads that watch the command are gone")),
        }
    };
    drop(group);
    drain(&events, closed, sink);
    Ok(match (stopped, status.code(), status.signal()) {
        (Some((why, _)), _, _) => why,
        (None, Some(code), _) => Ending::Exited(code),
        (None, None, signal) => Ending::Signalled(signal.unwrap_or_default()),
    })
}

enum Wake {
    Event(Event),
    Stop(Ending),
    GraceOver,
    Lost,
}

/// The next event, or the reason to stop or kill the command.
fn wait(events: &Receiver<Event>, setup: &Setup<'_>, stopped: Option<&(Ending, Instant)>) -> Wake {
    loop {
        let now = Instant::now();
        let until = match stopped {
            Some((_, until)) => Some(*until),
            None => {
                if setup.stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
                    return Wake::Stop(Ending::Stopped);
                }
                if setup.deadline.is_some_and(|deadline| deadline <= now) {
                    return Wake::Stop(Ending::TimedOut);
                }
                setup.deadline
            }
        };
        let left = until.map_or(Duration::MAX, |until| until.saturating_duration_since(now));
        let glance = if setup.stop.is_some() { GLANCE } else { Duration::from_secs(3_600) };
        match events.recv_timeout(left.min(glance)) {
            Ok(event) => return Wake::Event(event),
            Err(RecvTimeoutError::Disconnected) => return Wake::Lost,
            Err(RecvTimeoutError::Timeout) if stopped.is_some_and(|(_, until)| *until <= Instant::now()) => {
                return Wake::GraceOver;
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// What was printed and not read yet when the command ended.
fn drain(events: &Receiver<Event>, mut closed: bool, sink: &mut dyn FnMut(&[u8])) {
    let until = Instant::now() + DRAIN;
    while !closed {
        match events.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(Event::Output(bytes)) => sink(&bytes),
            Ok(Event::OutputClosed) | Err(_) => closed = true,
            Ok(Event::Ended(_)) => {}
        }
    }
}

fn forward(mut reader: impl Read, events: &SyncSender<Event>) {
    let mut buffer = [0; CHUNK];
    loop {
        let event = match reader.read(&mut buffer) {
            Ok(read) if read > 0 => Event::Output(buffer.get(..read).unwrap_or_default().to_vec()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Ok(_) | Err(_) => Event::OutputClosed,
        };
        let last = matches!(event, Event::OutputClosed);
        if events.send(event).is_err() || last {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Pid, test_kill_process};

    fn setup(dir: &Path) -> Setup<'_> {
        Setup { dir, env: &[], deadline: None, grace: Duration::from_secs(5), stop: None }
    }

    fn run(command: &str, setup: &Setup<'_>) -> (Ending, String) {
        let mut output = Vec::new();
        let ending = execute(command, setup, &mut |bytes| output.extend_from_slice(bytes)).unwrap();
        (ending, String::from_utf8(output).unwrap())
    }

    /// Waits until a process is gone; a zombie that its parent has not waited for yet counts as gone.
    fn gone(pid: &str) -> bool {
        let raw = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
        for _ in 0..500 {
            let state = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
            if test_kill_process(raw).is_err()
                || state.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z'))
            {
                return true;
            }
            std::thread::yield_now();
            std::thread::sleep(Duration::from_millis(2));
        }
        false
    }

    #[test]
    fn output_of_both_streams_comes_in_order_with_the_exit_code() {
        let dir = tempfile::tempdir().unwrap();
        let (ending, output) = run("echo 1; echo 2 >&2; echo 3; exit 7", &setup(dir.path()));
        assert_eq!((ending, output.as_str()), (Ending::Exited(7), "1\n2\n3\n"));
        assert_eq!(run("kill -9 $$", &setup(dir.path())).0, Ending::Signalled(9));
    }

    #[test]
    fn what_a_command_leaves_in_the_background_is_killed() {
        let dir = tempfile::tempdir().unwrap();
        let (ending, output) = run("sleep 1000 & echo $!", &setup(dir.path()));
        assert_eq!(ending, Ending::Exited(0));
        assert!(gone(&output));
    }

    #[test]
    fn at_the_deadline_the_whole_group_is_gone_even_when_it_ignores_term() {
        let dir = tempfile::tempdir().unwrap();
        let setup = Setup {
            deadline: Some(Instant::now() + Duration::from_millis(200)),
            grace: Duration::from_millis(50),
            ..setup(dir.path())
        };
        let (ending, output) =
            run("trap '' TERM; sh -c 'trap \"\" TERM; echo $$; sleep 1000; sleep 1000'", &setup);
        assert_eq!(ending, Ending::TimedOut);
        assert!(gone(&output));
    }

    #[test]
    fn a_command_may_tidy_up_when_it_is_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let stop = AtomicBool::new(false);
        let setup = Setup { stop: Some(&stop), ..setup(dir.path()) };
        let mut output = Vec::new();
        let command = "trap 'echo tidy; exit 0' TERM; echo ready; sleep 1000 & wait";
        let ending = execute(command, &setup, &mut |bytes| {
            output.extend_from_slice(bytes);
            stop.store(true, Ordering::Relaxed);
        });
        assert_eq!(ending.unwrap(), Ending::Stopped);
        assert_eq!(String::from_utf8(output).unwrap(), "ready\ntidy\n");
    }

    #[test]
    fn much_output_does_not_block() {
        let dir = tempfile::tempdir().unwrap();
        let mut bytes = 0;
        let command = "head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2";
        execute(command, &setup(dir.path()), &mut |chunk| bytes += chunk.len()).unwrap();
        assert_eq!(bytes, 6_000_000);
    }
}

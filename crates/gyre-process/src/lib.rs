//! A group of processes, and the certainty that nothing of it is left afterwards.
//!
//! Why this room exists: gyre runs commands of other people, stages of a pipeline for a while and model servers for weeks,
//! and whatever happens to gyre, none of their children may go on eating memory or holding a port.
//!
//! A [`Group`] is led by a small guard, a shell that waits on a pipe whose other end only this process holds. When that
//! end closes, because the group is dropped or because this process was killed, the guard kills the whole group and
//! itself with it. So nothing outlives us, not even after `kill -9`; only a process that leaves the group on purpose
//! (`setsid`) escapes.
//!
//! Linux only: [`Group::memory`] reads `/proc`.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod memory;

use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};

/// Says that it listens, reads until the pipe closes, then kills its group: itself and all that was left in it.
const GUARD: &str = "trap '' TERM INT HUP; echo; read -r _; kill -KILL 0";

/// A process group that ends with this value, at the latest.
#[derive(Debug)]
pub struct Group {
    guard: Child,
    id: Pid,
}

impl Group {
    /// A group with nobody in it but its guard. Takes a millisecond or two, the time that a shell needs to start.
    ///
    /// # Errors
    /// When `/bin/sh` cannot be started.
    pub fn start() -> io::Result<Self> {
        let mut guard = Command::new("/bin/sh")
            .args(["-c", GUARD])
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        let id = i32::try_from(guard.id()).ok().and_then(Pid::from_raw);
        let id = id.ok_or_else(|| io::Error::other("the system gave out a process id that is none"))?;
        let ready = guard.stdout.take().map(|mut stdout| stdout.read_exact(&mut [0]));
        // From here on, dropping the group ends the guard.
        let group = Self { guard, id };
        // A signal to the group must not find a guard that does not ignore it yet.
        ready.unwrap_or_else(|| Err(io::Error::other("the guard has no output")))?;
        Ok(group)
    }

    /// The number that a command joins the group by: `Command::process_group(group.id())`.
    pub fn id(&self) -> i32 {
        self.id.as_raw_nonzero().get()
    }

    /// Asks everybody in the group to end (SIGTERM).
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Ends everybody in the group (SIGKILL).
    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// The memory that everybody in the group holds together: the sum of their resident sets, in bytes. Pages that
    /// several of them share count once for each. Whoever ends while this counts is left out.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub fn memory(&self) -> io::Result<u64> {
        memory::of_group(self.id())
    }

    fn signal(&self, signal: Signal) {
        // Fails when nobody is left in it, which is what it is for.
        let _ = kill_process_group(self.id, signal);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // As long as the leader is not waited for, the group's number belongs to nobody else.
        self.kill();
        let _ = self.guard.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::test_kill_process;
    use std::io::{BufRead, BufReader};
    use std::time::{Duration, Instant};

    /// A shell that leaves a child behind, and the child's number.
    fn family(group: &Group, script: &str) -> (Child, Pid) {
        let mut shell = Command::new("/bin/sh")
            .args(["-c", script])
            .stdout(Stdio::piped())
            .process_group(group.id())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(shell.stdout.take().unwrap()).read_line(&mut line).unwrap();
        (shell, Pid::from_raw(line.trim().parse().unwrap()).unwrap())
    }

    /// Waits until a process is gone; one that only its parent has to take note of counts as gone.
    fn gone(pid: Pid) -> bool {
        let until = Instant::now() + Duration::from_secs(20);
        while Instant::now() < until {
            let stat = format!("/proc/{}/stat", pid.as_raw_nonzero());
            let state = std::fs::read_to_string(stat).unwrap_or_default();
            if test_kill_process(pid).is_err()
                || state.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z'))
            {
                return true;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        false
    }

    #[test]
    fn nothing_is_left_of_a_dropped_group() {
        let group = Group::start().unwrap();
        let (mut shell, child) = family(&group, "trap '' TERM; sleep 1000 & echo $!; wait");
        group.terminate();
        drop(group);
        assert!(gone(child));
        assert!(!shell.wait().unwrap().success());
    }

    #[test]
    fn the_guard_survives_what_ends_the_others() {
        let mut group = Group::start().unwrap();
        let (mut shell, child) = family(&group, "sleep 1000 & echo $!; wait");
        group.terminate();
        shell.wait().unwrap();
        assert!(gone(child));
        assert!(group.guard.try_wait().unwrap().is_none());
    }

    #[test]
    fn the_memory_of_children_counts() {
        let group = Group::start().unwrap();
        let before = group.memory().unwrap();
        // A shell variable of 16 MiB, in a child; without the colon the shell would become the last command.
        let script = "(v=$(head -c 16777216 /dev/zero | tr '\\0' x); echo $$; sleep 1000; :) & wait";
        let (mut shell, _) = family(&group, script);
        let after = group.memory().unwrap();
        assert!(before > 0 && after > before + (16 << 20), "{before} {after}");
        drop(group);
        shell.wait().unwrap();
    }
}

//! One thread that does at a moment what was asked for it: ends runs and loads that take too long, wakes who waited long
//! enough. Runs are many and short, so keeping an eye on one costs two short locks and, as a rule, wakes nobody.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ort::session::builder::LoadCanceler;
use tokio::sync::oneshot;

use crate::leash::Leash;

/// What is done at the moment.
pub(crate) enum Act {
    /// A run ends with its next node.
    Stop(Arc<Leash>),
    /// A load ends.
    Cancel(LoadCanceler),
    /// Whoever listens goes on.
    Wake(oneshot::Sender<()>),
}

/// A promise that something is done at a moment, for as long as this lives.
pub(crate) struct Watch {
    key: (Instant, u64),
}

#[derive(Default)]
struct Due {
    acts: BTreeMap<(Instant, u64), Act>,
    next: u64,
    /// Until when the thread sleeps; none when until somebody wakes it.
    sleeps: Option<Instant>,
}

#[derive(Default)]
struct Watchdog {
    due: Mutex<Due>,
    sooner: Condvar,
}

/// None when no thread could be had.
static WATCHDOG: LazyLock<Option<&'static Watchdog>> = LazyLock::new(|| {
    let watchdog: &Watchdog = Box::leak(Box::default());
    let thread = std::thread::Builder::new().name("gyre-onnxruntime".to_owned());
    thread.spawn(|| watchdog.run()).ok().map(|_| watchdog)
});

/// Has `act` done at `moment`, unless the answer is dropped before; none when the system gave no thread for it.
pub(crate) fn at(moment: Instant, act: Act) -> Option<Watch> {
    let watchdog = (*WATCHDOG)?;
    let mut due = watchdog.lock();
    due.next += 1;
    let key = (moment, due.next);
    due.acts.insert(key, act);
    if due.sleeps.is_none_or(|until| moment < until) {
        watchdog.sooner.notify_one();
    }
    Some(Watch { key })
}

impl Watch {
    /// Calls it off; says whether it was too late.
    pub(crate) fn call_off(self) -> bool {
        self.remove().is_none()
    }

    fn remove(&self) -> Option<Act> {
        (*WATCHDOG)?.lock().acts.remove(&self.key)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.remove();
    }
}

impl Watchdog {
    fn lock(&self) -> MutexGuard<'_, Due> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut due = self.lock();
        loop {
            let now = Instant::now();
            match due.acts.first_key_value().map(|((moment, _), _)| *moment) {
                Some(moment) if moment <= now => {
                    if let Some((_, act)) = due.acts.pop_first() {
                        act.done();
                    }
                }
                Some(moment) => {
                    due.sleeps = Some(moment);
                    let slept = self.sooner.wait_timeout(due, moment - now);
                    due = slept.unwrap_or_else(PoisonError::into_inner).0;
                }
                None => {
                    due.sleeps = None;
                    due = self.sooner.wait(due).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }
}

impl Act {
    /// What cannot be ended goes on; its caller is answered all the same.
    fn done(self) {
        match self {
            Act::Stop(run) => run.stop(),
            Act::Cancel(load) => drop(load.cancel()),
            Act::Wake(listener) => drop(listener.send(())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn acts_are_done_in_time_in_their_order_and_not_when_called_off() {
        let now = Instant::now();
        let (late, later) = oneshot::channel();
        let (soon, sooner) = oneshot::channel();
        let (never, called_off) = oneshot::channel();
        let far = at(now + Duration::from_millis(40), Act::Wake(late)).unwrap();
        let near = at(now + Duration::from_millis(5), Act::Wake(soon)).unwrap();
        assert!(!at(now + Duration::from_millis(20), Act::Wake(never)).unwrap().call_off());
        sooner.blocking_recv().unwrap();
        assert!(now.elapsed() >= Duration::from_millis(5));
        later.blocking_recv().unwrap();
        assert!(now.elapsed() >= Duration::from_millis(40));
        assert!(far.call_off() && near.call_off());
        called_off.blocking_recv().unwrap_err();
    }
}

//! The driver: the thread that keeps the engine turning, in event time.
//!
//! It takes facts in, sets actions going on threads of their own (so that a long training of one model never holds up the
//! rollback of another), looks at the gateway and the inference log whenever event time has come further, and says when
//! everything that follows from a moment is done. Whoever replays history waits for that; production never does.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use gyre_core::Timestamp;
use gyre_store::Store;

use crate::engine::{Engine, Failure, Hands, LoopError};
use crate::policy::Policies;
use crate::state::State;

/// How long the driver rests after the store refused, before it tries again.
const AFTER_TROUBLE: Duration = Duration::from_secs(1);

/// What is said of an action that panicked.
const PANICKED: &str = "gyre itself has a bug here; what it printed on standard error says where";

/// The running loop.
pub struct Driver {
    shared: Arc<Shared>,
    hands: Arc<dyn Hands>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    desk: Mutex<Desk>,
    bell: Condvar,
}

/// What the driver's thread and the others tell each other.
#[derive(Default)]
struct Desk {
    /// How far event time has come.
    watermark: Timestamp,
    /// Up to where everything that follows is done.
    settled: Timestamp,
    /// Whether there may be something to do that the driver has not looked at.
    news: bool,
    /// Whether nothing is left to do at the present moment.
    idle: bool,
    /// Keys of the actions that are being carried out.
    running: BTreeSet<String>,
    /// What the loop knew when it last looked.
    state: State,
    /// Why the loop cannot go on at present.
    trouble: Option<String>,
    /// Policies that hold from the next round on.
    policies: Option<Policies>,
    /// Why the result of an action could not be recorded.
    refused: Option<String>,
    stop: bool,
}

impl Shared {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(&self, change: impl FnOnce(&mut Desk)) {
        let mut desk = self.desk();
        change(&mut desk);
        desk.news = true;
        desk.idle = false;
        self.bell.notify_all();
    }
}

impl Driver {
    /// Starts the loop where it stopped, at the event time `watermark`.
    ///
    /// # Errors
    /// [`LoopError`] when what was remembered cannot be read, or no thread can be started.
    pub fn start(
        store: Arc<Store>,
        policies: Policies,
        hands: Arc<dyn Hands>,
        watermark: Timestamp,
    ) -> Result<Self, LoopError> {
        let engine = Engine::open(Arc::clone(&store), policies)?;
        let desk = Desk { watermark, news: true, state: engine.state().clone(), ..Desk::default() };
        let shared = Arc::new(Shared { desk: Mutex::new(desk), bell: Condvar::new() });
        let listening = Arc::downgrade(&shared);
        store.listen(move |_| {
            if let Some(shared) = listening.upgrade() {
                shared.ring(|_| {});
            }
        });
        let (turning, turned) = (Arc::clone(&shared), Arc::clone(&hands));
        let thread = std::thread::Builder::new()
            .name("gyre-loop".to_owned())
            .spawn(move || turn(&turning, &store, engine, &turned))
            .map_err(LoopError::Thread)?;
        Ok(Self { shared, hands, thread: Some(thread) })
    }

    /// How far event time has come.
    pub fn watermark(&self) -> Timestamp {
        self.shared.desk().watermark
    }

    /// What the loop knew when it last looked.
    pub fn state(&self) -> State {
        self.shared.desk().state.clone()
    }

    /// Why the loop cannot go on at present.
    pub fn trouble(&self) -> Option<String> {
        self.shared.desk().trouble.clone()
    }

    /// From now on models are repaired by `policies`.
    pub fn follow(&self, policies: Policies) {
        self.shared.ring(|desk| desk.policies = Some(policies));
    }

    /// Event time has come to `moment`; it never goes back.
    pub fn advance(&self, moment: Timestamp) {
        let mut desk = self.shared.desk();
        if moment > desk.watermark {
            desk.watermark = moment;
            desk.news = true;
            desk.idle = false;
            self.shared.bell.notify_all();
        }
    }

    /// Waits until `seen` is so, looking whenever the loop has done something; not longer than `patience`.
    pub fn wait_for(&self, patience: Duration, seen: impl Fn() -> bool) {
        let waited = self.shared.bell.wait_timeout_while(self.shared.desk(), patience, |desk| {
            !desk.stop && desk.trouble.is_none() && !seen()
        });
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// Waits until everything that follows from event time having come to `moment` is done.
    ///
    /// # Errors
    /// Why the loop cannot go on, when it cannot.
    pub fn settle(&self, moment: Timestamp) -> Result<(), LoopError> {
        let desk = self.shared.desk();
        let desk = self.shared.bell.wait_while(desk, |desk| {
            !desk.stop && desk.trouble.is_none() && (desk.settled < moment.min(desk.watermark) || !desk.idle)
        });
        let desk = desk.unwrap_or_else(PoisonError::into_inner);
        match &desk.trouble {
            Some(trouble) => Err(LoopError::Stuck(trouble.clone())),
            None => Ok(()),
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.shared.ring(|desk| desk.stop = true);
        self.hands.stop();
        if let Some(thread) = self.thread.take() {
            // A panic on the loop's thread was reported when it happened.
            let _ = thread.join();
        }
        let ended = self.shared.bell.wait_while(self.shared.desk(), |desk| !desk.running.is_empty());
        drop(ended.unwrap_or_else(PoisonError::into_inner));
    }
}

fn turn(shared: &Arc<Shared>, store: &Arc<Store>, mut engine: Engine, hands: &Arc<dyn Hands>) {
    let mut observed = None;
    loop {
        let watermark = {
            let desk = shared.desk();
            let woken = shared.bell.wait_while(desk, |desk| !desk.news && !desk.stop);
            let mut desk = woken.unwrap_or_else(PoisonError::into_inner);
            if desk.stop {
                return;
            }
            desk.news = false;
            desk.watermark
        };
        let turned = catch_unwind(AssertUnwindSafe(|| {
            turn_once(shared, store, &mut engine, hands, watermark, &mut observed)
        }));
        match turned.unwrap_or_else(|_| Err(LoopError::Stuck(PANICKED.to_owned()))) {
            Ok(idle) => {
                let mut desk = shared.desk();
                desk.trouble = None;
                desk.state.clone_from(engine.state());
                if !idle && desk.running.is_empty() {
                    desk.news = true;
                } else if desk.running.is_empty() && !desk.news {
                    desk.settled = desk.settled.max(watermark);
                    desk.idle = true;
                    shared.bell.notify_all();
                }
            }
            Err(error) => {
                shared.ring(|desk| desk.trouble = Some(error.to_string()));
                let desk = shared.desk();
                let rested = shared.bell.wait_timeout_while(desk, AFTER_TROUBLE, |desk| !desk.stop);
                drop(rested.unwrap_or_else(PoisonError::into_inner));
            }
        }
    }
}

/// One round: facts in, actions off, eyes open. Says whether nothing is left to do but to wait for running actions.
fn turn_once(
    shared: &Arc<Shared>,
    store: &Arc<Store>,
    engine: &mut Engine,
    hands: &Arc<dyn Hands>,
    watermark: Timestamp,
    observed: &mut Option<Timestamp>,
) -> Result<bool, LoopError> {
    if let Some(refused) = shared.desk().refused.take() {
        return Err(LoopError::Stuck(refused));
    }
    let policies = shared.desk().policies.take();
    if let Some(policies) = policies {
        engine.follow(policies);
    }
    while engine.take_in()? > 0 {}
    // Looked at before what is pending: an action that ends in between is in both, and is not begun again.
    let running = shared.desk().running.clone();
    for pending in engine.pending()? {
        if running.contains(&pending.key) {
            continue;
        }
        let key = pending.key.clone();
        shared.desk().running.insert(key.clone());
        let desk = Arc::clone(shared);
        let (shared, store, hands) = (Arc::clone(shared), Arc::clone(store), Arc::clone(hands));
        let name = format!("gyre-{}", pending.action.name());
        let spawned = std::thread::Builder::new().name(name).spawn(move || {
            let outcome = catch_unwind(AssertUnwindSafe(|| hands.perform(&pending.key, &pending.action)));
            // An action that nobody ends would be waited for for ever.
            let outcome = outcome.unwrap_or_else(|_| Err(Failure::because(PANICKED)));
            // What was cut short is no failure.
            let recorded = if outcome.is_err() && shared.desk().stop {
                Ok(())
            } else {
                Engine::put_down(&store, &pending, outcome)
            };
            // Who sees that nothing runs any more may open the store anew.
            drop((store, hands));
            shared.ring(|desk| {
                desk.running.remove(&pending.key);
                // The result is in the store, or the action is still pending and is tried again.
                if let Err(error) = recorded {
                    desk.refused = Some(error.to_string());
                }
            });
        });
        if let Err(error) = spawned {
            desk.desk().running.remove(&key);
            return Err(LoopError::Thread(error));
        }
    }
    let busy = !shared.desk().running.is_empty();
    // A step of a rollout may end between two moments of event time, so the eyes open also without a new one, but
    // never while actions run: what they change is looked at when they are done.
    if *observed == Some(watermark) || busy {
        return Ok(!busy);
    }
    let facts =
        hands.observe(engine.state(), watermark).map_err(|failure| LoopError::Stuck(failure.reason))?;
    *observed = Some(watermark);
    if facts.is_empty() {
        return Ok(true);
    }
    store.write(move |tx| facts.into_iter().try_for_each(|fact| tx.append(fact).map(drop)))?;
    Ok(false)
}

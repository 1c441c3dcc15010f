//! Connections at a time, and who has to go when there are too many.
//!
//! Each connection takes a file descriptor and some memory, so their number is bounded: by what the system gives the process
//! (`RLIMIT_NOFILE`, raised to its hard limit), and by [`MOST`]. A server that would only let the next one wait could be
//! closed by anybody who opens connections and says nothing. So when all places are taken, those that have gone longest
//! without a request leave: first those that never made one. A connection with a request or an answer under way stays.
//!
//! There is no bound by address: behind a proxy, and on loopback, all come from one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// The most connections, however many files the process may open.
const MOST: u64 = 16_384;
/// The fewest, however few.
const FEWEST: u64 = 64;
/// Files that are kept for everything else: the store, logs, models.
const RESERVE: u64 = 512;
/// How long it is waited for a place when every connection is at work, before it is looked again.
const AGAIN: Duration = Duration::from_millis(50);
/// The count of requests of a connection that has to go: nothing begins on it any more.
const LEAVING: u32 = u32::MAX;

/// How many connections there may be, once the process has been given as many files as it may have.
pub(crate) fn most() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    // Where it may not be raised, what there is has to do.
    let files = if raised.is_ok() { maximum } else { current }.unwrap_or(u64::MAX);
    let places = files.saturating_sub(RESERVE).max(files / 2).clamp(FEWEST, MOST);
    usize::try_from(places).unwrap_or(usize::MAX)
}

/// The places of a server.
#[derive(Debug)]
pub(crate) struct Places {
    free: Arc<Semaphore>,
    most: usize,
    taken: Mutex<HashMap<u64, Arc<Seat>>>,
    next: AtomicU64,
    begun: Instant,
}

/// One connection, as the others see it.
#[derive(Debug)]
pub(crate) struct Seat {
    /// Requests under way, or [`LEAVING`].
    busy: AtomicU32,
    /// Since when none is, in milliseconds since the beginning.
    since: AtomicU64,
    /// Whether there was one.
    spoke: AtomicBool,
    begun: Instant,
    leave: Notify,
}

/// A place, until it is dropped.
pub(crate) struct Place {
    places: Arc<Places>,
    number: u64,
    pub(crate) seat: Arc<Seat>,
    _permit: OwnedSemaphorePermit,
}

/// A request under way, until it is dropped.
pub(crate) struct AtWork(Arc<Seat>);

impl Places {
    /// `most` places.
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            free: Arc::new(Semaphore::new(most)),
            most,
            taken: Mutex::default(),
            next: AtomicU64::new(0),
            begun: Instant::now(),
        })
    }

    /// How many there are.
    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// A place, at the cost of whoever has had nothing to do for longest. Waits while all are at work.
    pub(crate) async fn take(self: &Arc<Self>) -> Place {
        loop {
            let permit = match Arc::clone(&self.free).try_acquire_owned() {
                Ok(permit) => permit,
                Err(_) => {
                    self.make_room();
                    let place = tokio::time::timeout(AGAIN, Arc::clone(&self.free).acquire_owned());
                    // The semaphore is never closed.
                    let Ok(Ok(permit)) = place.await else { continue };
                    permit
                }
            };
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let seat = Arc::new(Seat {
                busy: AtomicU32::new(0),
                since: AtomicU64::new(millis(self.begun)),
                spoke: AtomicBool::new(false),
                begun: self.begun,
                leave: Notify::new(),
            });
            self.taken().insert(number, Arc::clone(&seat));
            return Place { places: Arc::clone(self), number, seat, _permit: permit };
        }
    }

    /// Asks a few at once to leave, so that a flood does not cost a look at all of them for each newcomer.
    fn make_room(&self) {
        let mut idle: Vec<((bool, u64), Arc<Seat>)> = self
            .taken()
            .values()
            .filter(|seat| seat.busy.load(Ordering::Acquire) == 0)
            .map(|seat| {
                let rank = (seat.spoke.load(Ordering::Relaxed), seat.since.load(Ordering::Relaxed));
                (rank, Arc::clone(seat))
            })
            .collect();
        let few = (self.most / 256).max(1);
        if idle.len() > few {
            idle.select_nth_unstable_by_key(few, |(rank, _)| *rank);
        }
        for (_, seat) in idle.iter().take(few) {
            // One that has begun a request meanwhile stays.
            if seat.busy.compare_exchange(0, LEAVING, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                seat.leave.notify_one();
            }
        }
    }

    fn taken(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Arc<Seat>>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken().remove(&self.number);
    }
}

impl Seat {
    /// Begins a request; none when the connection has to go.
    pub(crate) fn work(self: &Arc<Self>) -> Option<AtWork> {
        let more = |busy| if busy == LEAVING { None } else { Some(busy + 1) };
        self.busy.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).ok()?;
        self.spoke.store(true, Ordering::Relaxed);
        Some(AtWork(Arc::clone(self)))
    }

    /// Resolves when the connection has to go.
    pub(crate) async fn leaves(&self) {
        self.leave.notified().await;
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.since.store(millis(self.0.begun), Ordering::Relaxed);
        self.0.busy.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the connection was asked to go.
    async fn gone(place: &Place) -> bool {
        tokio::time::timeout(Duration::ZERO, place.seat.leaves()).await.is_ok()
    }

    #[tokio::test]
    async fn who_never_spoke_goes_before_who_is_quiet_and_who_works_stays() {
        let places = Places::new(3);
        let (quiet, silent, working) = (places.take().await, places.take().await, places.take().await);
        drop(quiet.seat.work());
        let work = working.seat.work().unwrap();
        // A newcomer waits until somebody has gone, and each look asks for one more.
        let mut newcomer = Box::pin(places.take());
        assert!(tokio::time::timeout(Duration::from_millis(1), &mut newcomer).await.is_err());
        assert!(gone(&silent).await && !gone(&quiet).await);
        assert!(silent.seat.work().is_none(), "nothing begins on it any more");
        drop(silent);
        let _newcomer = newcomer.await;
        let mut newcomer = Box::pin(places.take());
        assert!(tokio::time::timeout(Duration::from_millis(1), &mut newcomer).await.is_err());
        drop(_newcomer);
        let third = newcomer.await;
        assert!(!gone(&working).await);
        drop((work, working, quiet, third));
        assert!(places.taken().is_empty());
        assert_eq!(places.free.available_permits(), 3);
    }

    #[test]
    fn there_are_places_whatever_the_system_gives() {
        assert!((64..=16_384).contains(&most()));
    }
}

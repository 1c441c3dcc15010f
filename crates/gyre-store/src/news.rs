//! News of the journal: who waits for it to grow hears of it.
//!
//! What this process writes is told by its writing thread. What other processes write to the same PostgreSQL is found by a
//! look at the journal's end, four times a second. PostgreSQL's `NOTIFY` would tell sooner, but it takes a lock on the whole
//! server in every commit, is lost with the connection, and does not pass through connection poolers; a look costs one
//! index entry and needs nothing.

use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::{Store, StoreError, Tx};

/// How often the journal is looked at for what other processes wrote.
const EVERY: Duration = Duration::from_millis(250);

/// Tells those who wait that the journal has grown.
#[derive(Default)]
pub(crate) struct News {
    size: Mutex<u64>,
    grown: Condvar,
    listeners: Mutex<Vec<Listener>>,
}

/// Called with the journal's new size after each commit that made it grow.
type Listener = Box<dyn Fn(u64) + Send>;

impl News {
    pub(crate) fn size(&self) -> u64 {
        *self.size.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The journal holds `size` entries. Sizes may come out of order; the journal never shrinks.
    pub(crate) fn announce(&self, size: u64) {
        {
            let mut known = self.size.lock().unwrap_or_else(PoisonError::into_inner);
            if size <= *known {
                return;
            }
            *known = size;
        }
        self.grown.notify_all();
        self.listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .for_each(|listener| listener(size));
    }

    pub(crate) fn listen(&self, listener: Listener) {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner).push(listener);
    }

    pub(crate) fn wait_beyond(&self, seen: u64, patience: Duration) -> u64 {
        let size = self.size.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.grown.wait_timeout_while(size, patience, |size| *size <= seen);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Looks for what other processes write, as long as it lives.
pub(crate) struct Follower {
    end: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Follower {
    pub(crate) fn start(
        news: Arc<News>,
        read: impl Fn() -> Result<u64, StoreError> + Send + 'static,
    ) -> Result<Self, StoreError> {
        let (end, ended) = sync_channel(0);
        let thread = std::thread::Builder::new()
            .name("gyre-store-news".to_owned())
            .spawn(move || {
                while ended.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                    // A database that does not answer now is asked again the next time.
                    if let Ok(size) = read() {
                        news.announce(size);
                    }
                }
            })
            .map_err(|error| StoreError::io("start a thread of", std::path::Path::new("the store"), error))?;
        Ok(Self { end: Some(end), thread: Some(thread) })
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// How many entries the journal holds.
pub(crate) fn journal_size(tx: &mut Tx<'_>) -> Result<u64, StoreError> {
    let rows = tx.query("SELECT coalesce(max(seq), 0) FROM journal", &[])?;
    rows.first().map_or(Ok(0), |row| row.get(0))
}

impl Store {
    /// The number of entries that this process knows to be in the journal.
    pub fn journal_size(&self) -> u64 {
        self.news.size()
    }

    /// Has `listener` called with the journal's size after each commit that made it grow, on the writing thread or the one
    /// that looks for what other processes wrote: it must be quick. Calls may come out of order.
    pub fn listen(&self, listener: impl Fn(u64) + Send + 'static) {
        self.news.listen(Box::new(listener));
    }

    /// Waits until the journal holds more than `seen` entries or `patience` is over, and says how many it holds.
    pub fn wait_beyond(&self, seen: u64, patience: Duration) -> u64 {
        self.news.wait_beyond(seen, patience)
    }
}

//! Looking into the processes of clients, aside, and telling their runs.
//!
//! A client that makes a run waits for the answer, so it is looked for meanwhile: one thread finds the process behind the
//! connection and collects its record. What is known of a process is good for [`FRESH`]; within that time further runs of it
//! bear the record from the start, in the transaction that makes them. A run that was made before its record was known is
//! told afterwards. Neither making a run nor ending one ever waits for this. What cannot be done is not done, and the reason
//! is remembered: queue and memory are bounded.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use gyre_provenance::{Client, Collector, Connection, Unseen};
use gyre_store::{Store, StoreError};
use gyre_tracking::By;
use gyre_tracking::provenance::{self, Origin};

/// How long a record is good for: the files of a process that runs on, a notebook's say, change.
const FRESH: Duration = Duration::from_secs(3);
/// Jobs that wait; beyond that, runs get no record, and it is said why.
const QUEUE: usize = 8_192;
/// Runs that are told in one transaction.
const BATCH: usize = 256;
/// Processes that are known at a time.
const CLIENTS: usize = 256;
/// Runs of which it is remembered why they have no record.
const REASONS: usize = 1_000;

/// Whoever is at the other end of a connection; looked for once.
#[derive(Debug)]
pub(crate) struct Peer {
    connection: Connection,
    client: OnceLock<Result<Client, Unseen>>,
    /// Whether it is in the queue to be looked at.
    asked: AtomicBool,
}

impl Peer {
    /// The peer of a connection that the server accepted.
    pub(crate) fn new(peer: SocketAddr, local: SocketAddr) -> Self {
        let connection = Connection { peer, local };
        Self { connection, client: OnceLock::new(), asked: AtomicBool::new(false) }
    }

    fn find(&self) -> &Result<Client, Unseen> {
        self.client.get_or_init(|| Client::find(self.connection))
    }
}

/// The watch over clients.
#[derive(Debug)]
pub(crate) struct Watch {
    jobs: Option<SyncSender<Job>>,
    known: Arc<Known>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
enum Job {
    /// Somebody makes a run.
    Look(Arc<Peer>),
    /// They made it, and it has no record yet.
    Tell(Arc<Peer>, String, By),
    /// Somebody waits until all that came before is done.
    Settle(SyncSender<()>),
}

/// What is known, shared with the thread.
#[derive(Debug, Default)]
struct Known {
    clients: Mutex<HashMap<Client, (Instant, Arc<Origin>)>>,
    reasons: Mutex<VecDeque<(String, String)>>,
    /// Nothing more is to be looked at.
    closing: AtomicBool,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Known {
    fn fresh(&self, client: Client) -> Option<Arc<Origin>> {
        let clients = locked(&self.clients);
        clients.get(&client).filter(|(at, _)| at.elapsed() < FRESH).map(|(_, origin)| Arc::clone(origin))
    }

    fn learn(&self, client: Client, origin: &Arc<Origin>) {
        let mut clients = locked(&self.clients);
        if clients.len() >= CLIENTS {
            clients.retain(|_, (at, _)| at.elapsed() < FRESH);
        }
        if clients.len() < CLIENTS {
            clients.insert(client, (Instant::now(), Arc::clone(origin)));
        }
    }

    fn excuse(&self, run: String, reason: String) {
        let mut reasons = locked(&self.reasons);
        if reasons.len() >= REASONS {
            reasons.pop_front();
        }
        reasons.push_back((run, reason));
    }
}

impl Watch {
    /// Begins to watch; records go to `store`.
    ///
    /// # Errors
    /// When no thread can be had.
    pub(crate) fn start(store: Arc<Store>) -> io::Result<Self> {
        let (jobs, waiting) = sync_channel(QUEUE);
        let known = Arc::<Known>::default();
        let worker = Worker { store, known: Arc::clone(&known), collector: Collector::default() };
        let thread =
            std::thread::Builder::new().name("provenance".to_owned()).spawn(move || worker.work(&waiting))?;
        Ok(Self { jobs: Some(jobs), known, thread: Some(thread) })
    }

    /// The record of whoever makes a run now, when it is known already; otherwise it is looked for.
    pub(crate) fn glance(&self, peer: &Arc<Peer>) -> Option<Arc<Origin>> {
        let known = match peer.client.get() {
            Some(Ok(client)) => self.known.fresh(*client),
            Some(Err(_)) => return None,
            None => None,
        };
        if known.is_none()
            && !peer.asked.swap(true, Ordering::Relaxed)
            && !self.send(Job::Look(Arc::clone(peer)))
        {
            peer.asked.store(false, Ordering::Relaxed);
        }
        known
    }

    /// Has the run that `by` made told, as soon as it is known where it came from.
    pub(crate) fn tell(&self, peer: &Arc<Peer>, run: String, by: By) {
        if let Some(Err(unseen)) = peer.client.get() {
            return self.known.excuse(run, unseen.to_string());
        }
        if !self.send(Job::Tell(Arc::clone(peer), run.clone(), by)) {
            self.known.excuse(run, format!("{QUEUE} runs wait for their records already"));
        }
    }

    /// Waits until every run that was made before is told, or until `patience` is over.
    pub(crate) fn settle(&self, patience: Duration) {
        let (done, settled) = sync_channel(1);
        if self.send(Job::Settle(done)) {
            // What is not done by then is not known yet, which the answer says.
            let _ = settled.recv_timeout(patience);
        }
    }

    /// Why `run` has no record, if that is known.
    pub(crate) fn reason(&self, run: &str) -> Option<String> {
        let reasons = locked(&self.known.reasons);
        reasons.iter().rev().find(|(of, _)| of == run).map(|(_, reason)| reason.clone())
    }

    fn send(&self, job: Job) -> bool {
        self.jobs.as_ref().is_some_and(|jobs| jobs.try_send(job).is_ok())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // What is known is still told; nothing more is looked for.
        self.known.closing.store(true, Ordering::Relaxed);
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by the thread itself.
            let _ = thread.join();
        }
    }
}

struct Worker {
    store: Arc<Store>,
    known: Arc<Known>,
    collector: Collector,
}

/// A run and what is to be told of it.
type Told = (String, Arc<Origin>, By);

impl Worker {
    fn work(mut self, jobs: &Receiver<Job>) {
        let mut batch: Vec<Told> = Vec::new();
        loop {
            let job = match jobs.try_recv() {
                Ok(job) => job,
                Err(TryRecvError::Empty) => {
                    self.write(&mut batch);
                    match jobs.recv() {
                        Ok(job) => job,
                        Err(_) => return,
                    }
                }
                Err(TryRecvError::Disconnected) => return self.write(&mut batch),
            };
            match job {
                Job::Look(peer) => {
                    // Why not is said of the run, if one is made.
                    let _ = self.look(&peer);
                    peer.asked.store(false, Ordering::Relaxed);
                }
                Job::Settle(done) => {
                    self.write(&mut batch);
                    // Whoever waited may have lost patience.
                    let _ = done.try_send(());
                }
                Job::Tell(peer, run, by) => match self.look(&peer) {
                    Ok(origin) => batch.push((run, origin, by)),
                    Err(reason) => self.known.excuse(run, reason),
                },
            }
            if batch.len() >= BATCH {
                self.write(&mut batch);
            }
        }
    }

    /// Where the runs of `peer` come from, or why that is not known.
    fn look(&mut self, peer: &Peer) -> Result<Arc<Origin>, String> {
        let closing = || "the server was stopped before it was looked at".to_owned();
        if peer.client.get().is_none() && self.known.closing.load(Ordering::Relaxed) {
            return Err(closing());
        }
        let client = peer.find().clone().map_err(|unseen| unseen.to_string())?;
        if let Some(origin) = self.known.fresh(client) {
            return Ok(origin);
        }
        if self.known.closing.load(Ordering::Relaxed) {
            return Err(closing());
        }
        let collected = self.collector.look(client);
        let collected = collected.ok_or("the client had ended before it was looked at")?;
        let failed = |error: StoreError| format!("its record cannot be kept: {error}");
        for part in [collected.diff.as_deref(), collected.packages.as_deref().map(str::as_bytes)]
            .into_iter()
            .flatten()
        {
            self.store.blobs().put(part).map_err(failed)?;
        }
        let origin = Arc::new(super::origin(&collected.record));
        // Runs refer to it from now on, so it has to be there.
        let kept = Arc::clone(&origin);
        self.store.write(move |tx| provenance::keep(tx, &kept)).map_err(failed)?;
        self.known.learn(client, &origin);
        Ok(origin)
    }

    /// Tells the runs in `batch`, and empties it.
    fn write(&self, batch: &mut Vec<Told>) {
        if batch.is_empty() {
            return;
        }
        let told = std::mem::take(batch);
        let runs: Vec<String> = told.iter().map(|(run, _, _)| run.clone()).collect();
        let written = self.store.write(move |tx| {
            for (run, origin, by) in &told {
                match provenance::attach(tx, run, origin, by) {
                    // It was removed for good meanwhile.
                    Err(StoreError::NotFound { .. }) => {}
                    other => other?,
                }
            }
            Ok(())
        });
        if let Err(error) = written {
            let reason = format!("its record cannot be kept: {error}");
            runs.into_iter().for_each(|run| self.known.excuse(run, reason.clone()));
        }
    }
}

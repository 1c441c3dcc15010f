//! The one thread that writes, with group commit.
//!
//! Syncing to disk is what a durable write costs, and it costs the same for one write as for a hundred. So the
//! thread takes all the jobs that are waiting, runs each in a savepoint of its own, syncs once, and only then tells
//! each caller. A job that fails takes nobody else down.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;

use gyre_core::Clock;
use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::journal::Journal;
use crate::schema::Room;
use crate::sql::Tx;
use crate::{News, StoreError};

/// How many jobs share a commit at most.
const GROUP: usize = 256;

/// How many jobs may wait; beyond that, callers wait to hand theirs over.
const QUEUE: usize = 1024;

/// A job: does its work in the savepoint (there is none when no transaction could be begun), and returns whether to keep it,
/// with what tells its caller once the fate of the commit is known.
type Job = Box<dyn FnOnce(Option<&mut Tx<'_>>) -> (bool, Tell) + Send>;
type Tell = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

pub(crate) struct Writer {
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(crate) fn start(
        mut connection: Connection,
        rooms: &'static [&'static Room],
        clock: Arc<dyn Clock>,
        news: Arc<News>,
    ) -> Result<Self, StoreError> {
        let mut journal = Journal::load(&mut Tx::reading(&connection), rooms, clock)?;
        *news.size.lock().unwrap_or_else(PoisonError::into_inner) = journal.frontier.size();
        let (jobs, queue) = sync_channel::<Job>(QUEUE);
        let thread = std::thread::Builder::new()
            .name("gyre-store".to_owned())
            .spawn(move || {
                while let Ok(first) = queue.recv() {
                    commit_group(&mut connection, &mut journal, first, &queue, &news);
                }
            })
            .map_err(|error| {
                StoreError::io("start the writing thread of", std::path::Path::new("the store"), error)
            })?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    pub(crate) fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, outcome) = sync_channel(1);
        // A caller that has gone away does not need the answer.
        let boxed = boxed(job, move |result| drop(answer.send(result)));
        let jobs = self.jobs.as_ref().ok_or(StoreError::Closed)?;
        jobs.send(boxed).map_err(|_| StoreError::Closed)?;
        outcome.recv().map_err(|_| StoreError::Closed)?
    }

    pub(crate) fn submit<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
        tell: impl FnOnce(Result<T, StoreError>) + Send + 'static,
    ) -> Result<(), StoreError> {
        let jobs = self.jobs.as_ref().ok_or(StoreError::Closed)?;
        jobs.try_send(boxed(job, tell)).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::Busy,
            TrySendError::Disconnected(_) => StoreError::Closed,
        })
    }
}

/// `job` as the writing thread takes it: its result is told once the fate of the commit is known.
fn boxed<T: Send + 'static>(
    job: impl FnOnce(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    tell: impl FnOnce(Result<T, StoreError>) + Send + 'static,
) -> Job {
    Box::new(move |tx| {
        let result = tx.map_or(Err(StoreError::Closed), job);
        let keep = result.is_ok();
        let tell: Tell = Box::new(move |committed| tell(committed.and(result)));
        (keep, tell)
    })
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // The thread ends when the queue is empty and closed; a panic in it has nobody left to tell.
            let _ = thread.join();
        }
    }
}

fn commit_group(
    connection: &mut Connection,
    journal: &mut Journal,
    first: Job,
    queue: &Receiver<Job>,
    news: &News,
) {
    let before = journal.clone();
    let mut tellers = Vec::new();
    let outcome = run_group(connection, journal, first, queue, &mut tellers);
    match outcome {
        Ok(()) => {
            news.announce(journal.frontier.size());
            tellers.into_iter().for_each(|tell| tell(Ok(())));
        }
        Err(error) => {
            *journal = before;
            let reason = error.to_string();
            let full = matches!(error, StoreError::Full);
            for tell in tellers {
                tell(Err(if full { StoreError::Full } else { StoreError::Commit(reason.clone()) }));
            }
        }
    }
}

fn run_group(
    connection: &mut Connection,
    journal: &mut Journal,
    first: Job,
    queue: &Receiver<Job>,
    tellers: &mut Vec<Tell>,
) -> Result<(), StoreError> {
    let transaction = match connection.transaction_with_behavior(TransactionBehavior::Immediate) {
        Ok(transaction) => transaction,
        Err(error) => {
            tellers.push(first(None).1);
            return Err(error.into());
        }
    };
    let mut next = Some(first);
    while let Some(job) = next.take() {
        run_one(&transaction, journal, job, tellers)?;
        if tellers.len() < GROUP {
            next = queue.try_recv().ok();
        }
    }
    transaction.commit()?;
    Ok(())
}

/// Runs a job in a savepoint of its own. Its teller is kept whatever happens: nobody is left without an answer.
fn run_one(
    transaction: &Transaction<'_>,
    journal: &mut Journal,
    job: Job,
    tellers: &mut Vec<Tell>,
) -> Result<(), StoreError> {
    let before = journal.frontier.clone();
    if let Err(error) = cached(transaction, "SAVEPOINT job") {
        tellers.push(job(None).1);
        return Err(error);
    }
    let (keep, tell) = job(Some(&mut Tx::writing(transaction, journal)));
    tellers.push(tell);
    if keep {
        cached(transaction, "RELEASE job")?;
    } else {
        journal.frontier = before;
        cached(transaction, "ROLLBACK TO job")?;
        cached(transaction, "RELEASE job")?;
    }
    Ok(())
}

fn cached(transaction: &Transaction<'_>, sql: &str) -> Result<(), StoreError> {
    transaction.prepare_cached(sql)?.execute([])?;
    Ok(())
}

//! The one thread that writes, with group commit.
//!
//! Syncing to disk is what a durable write costs, and it costs the same for one write as for a hundred. So the
//! thread takes all the jobs that are waiting, runs each in a savepoint of its own, syncs once, and only then tells
//! each caller. A job that fails takes nobody else down.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use rusqlite::Connection;

use crate::journal::Journal;
use crate::news::News;
use crate::postgres::Remote;
use crate::tx::{Link, Tx};
use crate::{StoreError, sqlite};

/// How many jobs share a commit at most.
const GROUP: usize = 256;

/// How many jobs may wait; beyond that, callers wait to hand theirs over.
const QUEUE: usize = 1024;

/// A job: does its work in the savepoint (there is none when no transaction could be begun), and returns whether to keep it,
/// with what tells its caller once the fate of the commit is known.
type Job = Box<dyn FnOnce(Option<&mut Tx<'_>>) -> (Verdict, Tell) + Send>;
type Tell = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// What is to become of what a job did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Keep,
    Undo,
    /// To be undone, for the disk is full.
    Full,
}

pub(crate) struct Writer {
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(crate) fn start(pen: Pen, mut journal: Journal, news: Arc<News>) -> Result<Self, StoreError> {
        let (jobs, queue) = sync_channel::<Job>(QUEUE);
        let mut pen = pen;
        let thread = std::thread::Builder::new()
            .name("gyre-store".to_owned())
            .spawn(move || {
                while let Ok(first) = queue.recv() {
                    commit_group(&mut pen, &mut journal, first, &queue, &news);
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
        let verdict = match &result {
            Ok(_) => Verdict::Keep,
            Err(StoreError::Full) => Verdict::Full,
            Err(_) => Verdict::Undo,
        };
        let tell: Tell = Box::new(move |committed| tell(committed.and(result)));
        (verdict, tell)
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

fn commit_group(pen: &mut Pen, journal: &mut Journal, first: Job, queue: &Receiver<Job>, news: &News) {
    let before = journal.frontier.clone();
    let mut tellers = Vec::new();
    match run_group(pen, journal, first, queue, &mut tellers) {
        Ok(()) => {
            news.announce(journal.frontier.size());
            tellers.into_iter().for_each(|tell| tell(Ok(())));
        }
        Err(error) => {
            pen.abandon();
            (journal.frontier, journal.grown) = (before, false);
            // Those who wait would meet the same: a database that is away costs each of them one wait, not one after another.
            if matches!(error, StoreError::Unavailable(_)) {
                tellers.extend(queue.try_iter().take(QUEUE).map(|job| job(None).1));
            }
            tellers.into_iter().for_each(|tell| tell(Err(error.shared())));
        }
    }
}

fn run_group(
    pen: &mut Pen,
    journal: &mut Journal,
    first: Job,
    queue: &Receiver<Job>,
    tellers: &mut Vec<Tell>,
) -> Result<(), StoreError> {
    if let Err(error) = pen.begin(journal) {
        tellers.push(first(None).1);
        return Err(error);
    }
    let mut next = Some(first);
    while let Some(job) = next.take() {
        run_one(pen, journal, job, tellers)?;
        if tellers.len() < GROUP {
            next = queue.try_recv().ok();
        }
    }
    journal.put_head(&mut Tx::reading(pen.link()?))?;
    pen.commit()
}

/// Runs a job in a savepoint of its own. Its teller is kept whatever happens: nobody is left without an answer.
fn run_one(
    pen: &mut Pen,
    journal: &mut Journal,
    job: Job,
    tellers: &mut Vec<Tell>,
) -> Result<(), StoreError> {
    let before = (journal.frontier.clone(), journal.grown);
    let link = match pen.mark().and_then(|()| pen.link()) {
        Ok(link) => link,
        Err(error) => {
            tellers.push(job(None).1);
            return Err(error);
        }
    };
    let (verdict, tell) = job(Some(&mut Tx::writing(link, journal)));
    if verdict != Verdict::Keep {
        tellers.push(tell);
        (journal.frontier, journal.grown) = before;
        return pen.undo(verdict == Verdict::Full);
    }
    match pen.keep() {
        Ok(true) => tellers.push(tell),
        Ok(false) => {
            (journal.frontier, journal.grown) = before;
            let reason = "a statement of it had failed".to_owned();
            tellers.push(Box::new(move |committed| tell(committed.and(Err(StoreError::Commit(reason))))));
        }
        Err(error) => {
            tellers.push(tell);
            return Err(error);
        }
    }
    Ok(())
}

/// What the writing thread writes with.
pub(crate) enum Pen {
    Sqlite { connection: Connection, dir: PathBuf },
    Postgres(Box<Remote>),
}

impl Pen {
    pub(crate) fn link(&mut self) -> Result<Link<'_>, StoreError> {
        match self {
            Self::Sqlite { connection, .. } => Ok(Link::Sqlite(connection)),
            Self::Postgres(remote) => remote.session().map(Link::Postgres),
        }
    }

    /// Begins the transaction of a group.
    fn begin(&mut self, journal: &mut Journal) -> Result<(), StoreError> {
        match self {
            Self::Sqlite { connection, dir } => {
                sqlite::run(connection, "BEGIN IMMEDIATE").map_err(|error| error.or_full(dir))
            }
            // Another process may have appended since.
            Self::Postgres(remote) => remote.begin().and_then(|frontier| journal.take_up(&frontier)),
        }
    }

    /// Sets the savepoint of a job.
    fn mark(&mut self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite { connection, .. } => sqlite::run(connection, "SAVEPOINT job"),
            Self::Postgres(remote) => remote.mark(),
        }
    }

    /// Keeps what the job did; says no when it could not be kept, and was undone.
    fn keep(&mut self) -> Result<bool, StoreError> {
        match self {
            Self::Sqlite { connection, .. } => sqlite::run(connection, "RELEASE job").map(|()| true),
            Self::Postgres(remote) => remote.keep(),
        }
    }

    /// Takes back what the job did; `full` says that it met a full disk.
    fn undo(&mut self, full: bool) -> Result<(), StoreError> {
        match self {
            // SQLite rolls the whole transaction back by itself when the disk is full, and after some other failures.
            Self::Sqlite { connection, .. } if connection.is_autocommit() => Err(match full {
                true => StoreError::Full,
                false => StoreError::Commit("the database rolled the transaction back".to_owned()),
            }),
            Self::Sqlite { connection, .. } => {
                sqlite::run(connection, "ROLLBACK TO job")?;
                sqlite::run(connection, "RELEASE job")
            }
            Self::Postgres(remote) => remote.undo(),
        }
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite { connection, dir } => {
                sqlite::run(connection, "COMMIT").map_err(|error| error.or_full(dir))
            }
            Self::Postgres(remote) => remote.commit(),
        }
    }

    fn abandon(&mut self) {
        match self {
            // Some failures have rolled back already; then there is nothing to roll back.
            Self::Sqlite { connection, .. } if connection.is_autocommit() => {}
            Self::Sqlite { connection, .. } => drop(sqlite::run(connection, "ROLLBACK")),
            Self::Postgres(remote) => remote.abandon(),
        }
    }
}

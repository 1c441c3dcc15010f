//! The writing thread's connection to PostgreSQL: groups, savepoints, and what to do when the server goes away.
//!
//! Several processes may write to one database. A group therefore begins by locking the row that holds the journal's
//! head: whoever has it writes alone, as the one writing thread does on SQLite, so that what a job has read still holds when
//! it writes, and the Merkle tree grows in one order. The lock ends with the transaction, however the process ends.

use std::time::{Duration, Instant};

use super::{Address, Session};
use crate::StoreError;

/// How long a group waits for a server that has gone away, before its jobs are refused: longer than a restart of an idle
/// server takes.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long the outcome of a broken commit is asked for.
const CLARIFY: Duration = Duration::from_secs(10);

/// The first and the longest pause between two attempts to connect.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// A holder of the lock that no longer speaks (a machine that was cut off) is thrown out after this long.
const WRITER: &str = "SET idle_in_transaction_session_timeout = '60s'";

/// Locks the head and names the transaction; its savepoint for the first job comes with it, in one round trip.
const BEGIN: &str = "BEGIN;
    SELECT frontier, txid_current() FROM journal_head WHERE one = 1 FOR UPDATE;
    SAVEPOINT job";

pub(crate) struct Remote {
    address: Address,
    session: Option<Session>,
    transaction: i64,
    /// Whether a savepoint stands that no job has used.
    marked: bool,
}

impl Remote {
    pub(crate) fn new(address: Address) -> Self {
        Self { address, session: None, transaction: 0, marked: false }
    }

    /// The connection, of which there is none after a failure.
    pub(crate) fn session(&mut self) -> Result<&mut Session, StoreError> {
        let gone = || StoreError::Unavailable(format!("PostgreSQL at {}: no connection", self.address.shown));
        self.session.as_mut().ok_or_else(gone)
    }

    /// Begins a group and returns the journal's frontier, as JSON, under lock.
    pub(crate) fn begin(&mut self) -> Result<String, StoreError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.connect(deadline)?;
            let answer = self.session()?.ask(BEGIN);
            match answer {
                Ok(row) => {
                    let mut cells = row.into_iter().flatten();
                    let (Some(frontier), Some(number)) = (cells.next(), cells.next()) else {
                        self.session = None;
                        let reason = "the table is empty".to_owned();
                        return Err(StoreError::Corrupt { table: "journal_head", reason });
                    };
                    self.transaction = number.parse().unwrap_or_default();
                    self.marked = true;
                    self.session()?.take_failed();
                    return Ok(frontier);
                }
                // Nothing was asked of it yet: a connection that died while it lay idle costs nobody anything.
                Err(StoreError::Unavailable(_)) if Instant::now() < deadline => self.session = None,
                Err(error) => {
                    self.session = None;
                    return Err(error);
                }
            }
        }
    }

    fn connect(&mut self, deadline: Instant) -> Result<(), StoreError> {
        if self.session.as_ref().is_some_and(|session| !session.is_closed()) {
            return Ok(());
        }
        let (mut pause, longest) = PAUSES;
        loop {
            let session = Session::connect(&self.address).and_then(|mut session| {
                session.run(WRITER)?;
                Ok(session)
            });
            match session {
                Ok(session) => {
                    self.session = Some(session);
                    return Ok(());
                }
                Err(StoreError::Unavailable(_)) if Instant::now() + pause < deadline => {
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(longest);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Sets a savepoint for the next job.
    pub(crate) fn mark(&mut self) -> Result<(), StoreError> {
        if !std::mem::replace(&mut self.marked, true) {
            self.session()?.run("RELEASE SAVEPOINT job; SAVEPOINT job")?;
        }
        Ok(())
    }

    /// Keeps what the job did. Says no when one of its statements had failed: then nothing of it can be kept.
    pub(crate) fn keep(&mut self) -> Result<bool, StoreError> {
        self.marked = false;
        if self.session()?.take_failed() {
            self.undo()?;
            return Ok(false);
        }
        Ok(true)
    }

    /// Takes back what the job did. The savepoint stands for the next one.
    pub(crate) fn undo(&mut self) -> Result<(), StoreError> {
        self.session()?.run("ROLLBACK TO SAVEPOINT job")?;
        self.session()?.take_failed();
        self.marked = true;
        Ok(())
    }

    /// Commits the group. When the connection breaks meanwhile, the server is asked, once it is back, what became of it: only
    /// a commit that is known is reported as one.
    pub(crate) fn commit(&mut self) -> Result<(), StoreError> {
        // In a failed transaction `COMMIT` would quietly roll back; releasing the savepoint fails there.
        match self.session()?.run("RELEASE SAVEPOINT job; COMMIT") {
            Ok(()) => Ok(()),
            Err(StoreError::Unavailable(reason)) => {
                self.session = None;
                self.clarify(&reason)
            }
            Err(error) => {
                self.session = None;
                Err(error)
            }
        }
    }

    fn clarify(&mut self, reason: &str) -> Result<(), StoreError> {
        let deadline = Instant::now() + CLARIFY;
        let unknown = || {
            StoreError::Unavailable(format!(
                "{reason}; the connection broke during the commit, and whether this was written is not known"
            ))
        };
        let (mut pause, longest) = PAUSES;
        while Instant::now() < deadline {
            self.connect(deadline).map_err(|_| unknown())?;
            let sql = format!("SELECT txid_status({})", self.transaction);
            let status = self.session()?.ask(&sql).map(|row| row.into_iter().flatten().next());
            match status {
                Ok(Some(status)) if status == "committed" => return Ok(()),
                Ok(Some(status)) if status == "aborted" => {
                    return Err(StoreError::Unavailable(format!("{reason}; nothing of this was written")));
                }
                // The server has not noticed yet that we are gone, or is gone again itself.
                Ok(Some(_)) => {}
                Ok(None) => return Err(unknown()),
                Err(_) => self.session = None,
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(longest);
        }
        Err(unknown())
    }

    /// Gives the group up.
    pub(crate) fn abandon(&mut self) {
        // The server rolls back what a closed connection leaves; a connection in doubt is not used again.
        if self.session.as_mut().is_none_or(|session| session.run("ROLLBACK").is_err()) {
            self.session = None;
        }
    }
}

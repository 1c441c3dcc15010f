//! Connections for reading: a bounded number, made when needed, kept while they work.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::{Address, Session};
use crate::StoreError;

/// How many connections one process reads by.
const MOST: usize = 16;

/// How many of them stay open when nobody reads.
const IDLE: usize = 4;

/// How long a reader waits for a connection to come free.
const PATIENCE: Duration = Duration::from_secs(10);

/// A snapshot: everything in it is read as of one moment.
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

pub(crate) struct Pool {
    address: Address,
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Default)]
struct State {
    idle: Vec<Session>,
    out: usize,
}

impl Pool {
    pub(crate) fn new(address: Address) -> Self {
        Self { address, state: Mutex::default(), freed: Condvar::new() }
    }

    /// Runs `job` on a connection, in a snapshot of its own.
    pub(crate) fn read<T>(
        &self,
        job: impl FnOnce(&mut Session) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let place = self.place()?;
        let mut session = self.begun()?;
        let outcome = job(&mut session);
        if !session.is_closed() && session.run("ROLLBACK").is_ok() {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.idle.len() < IDLE {
                state.idle.push(session);
            }
        }
        drop(place);
        outcome
    }

    fn place(&self) -> Result<Place<'_>, StoreError> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut state, waited) = self
            .freed
            .wait_timeout_while(state, PATIENCE, |state| state.out >= MOST)
            .unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            return Err(StoreError::Busy);
        }
        state.out += 1;
        Ok(Place(self))
    }

    /// A connection with a snapshot. Those that lie ready may have died with the server; then a new one is made.
    fn begun(&self) -> Result<Session, StoreError> {
        loop {
            let idle = self.state.lock().unwrap_or_else(PoisonError::into_inner).idle.pop();
            let fresh = idle.is_none();
            let mut session = match idle {
                Some(session) => session,
                None => Session::connect(&self.address)?,
            };
            match session.run(BEGIN) {
                Ok(()) => return Ok(session),
                Err(error) if fresh => return Err(error),
                Err(_) => {}
            }
        }
    }
}

/// The right to one connection.
struct Place<'a>(&'a Pool);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).out -= 1;
        self.0.freed.notify_one();
    }
}

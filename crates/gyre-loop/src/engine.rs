//! The engine: feeds the controller from the journal, and sees that every action is done, once.
//!
//! Two commits carry the whole. One takes an entry in: the controller's new state, its facts, its actions and the cursor.
//! The other puts an action's result down: its facts, and that it is done. Between the two an action may be interrupted at
//! any point; it is then begun again under the same key. Nothing else is remembered anywhere.

use std::sync::Arc;

use gyre_core::fact::Fact;
use gyre_core::{Entry, Timestamp};
use gyre_store::{NewFact, Room, Store, StoreError, Tx, journal};

use crate::action::Action;
use crate::controller::{self, ACTOR};
use crate::policy::Policies;
use crate::state::State;

/// How many entries are taken in at once.
const BATCH: u64 = 500;

/// The longest reason of a failure that goes into the journal, in characters.
const MOST_REASON: usize = 4000;

/// The loop's tables.
pub static ROOM: Room = Room {
    name: "loop",
    migrations: &["
        CREATE TABLE loop_cursor (one INTEGER PRIMARY KEY CHECK (one = 1), cursor INTEGER NOT NULL, state TEXT NOT NULL) STRICT;
        CREATE TABLE loop_action (
            key TEXT PRIMARY KEY,
            cause INTEGER NOT NULL,
            at INTEGER NOT NULL,
            action TEXT NOT NULL,
            done INTEGER NOT NULL DEFAULT 0
        ) STRICT;
        CREATE INDEX loop_action_open ON loop_action (done, cause);
    "],
    project: |_, _| Ok(()),
};

/// Carries actions out.
pub trait Hands: Send + Sync {
    /// Carries `action` out and returns the facts that came of it. Called again with the same `key` after a crash or a
    /// failure to record, so it must find its own traces.
    ///
    /// # Errors
    /// Why it could not be done, in words for the journal, with the facts that stay true all the same.
    fn perform(&self, key: &str, action: &Action) -> Result<Vec<Fact>, Failure>;

    /// What can be seen now that event time has come to `watermark`: windows that close, steps of rollouts that have shown
    /// enough. Each fact bears a key, since the same may be seen again.
    ///
    /// # Errors
    /// Why nothing can be seen; the loop tries again.
    fn observe(&self, state: &State, watermark: Timestamp) -> Result<Vec<NewFact>, Failure> {
        let _ = (state, watermark);
        Ok(Vec::new())
    }

    /// The loop ends: what is being carried out is to come to an end soon. It may fail then; it is begun again when the
    /// loop starts the next time.
    fn stop(&self) {}
}

/// Why an action came to nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// In words.
    pub reason: String,
    /// Facts to record all the same.
    pub facts: Vec<Fact>,
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { reason: error.to_string(), facts: Vec::new() }
    }
}

/// Why the loop cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum LoopError {
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What was remembered cannot be read.
    #[error("the loop's memory cannot be read: {0}")]
    Memory(#[from] serde_json::Error),
    /// No thread can be started.
    #[error("no thread can be started: {0}")]
    Thread(std::io::Error),
    /// The surroundings do not answer.
    #[error("the loop cannot go on: {0}")]
    Stuck(String),
}

/// An action that is not done yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Pending {
    /// The entry that caused it, and its place among those that this entry caused.
    pub key: String,
    /// The entry that caused it.
    pub cause: u64,
    /// Event time of the decision.
    pub at: Timestamp,
    /// What is to be done.
    pub action: Action,
}

/// The controller with its memory.
pub struct Engine {
    store: Arc<Store>,
    policies: Policies,
    state: State,
    cursor: u64,
}

impl Engine {
    /// Takes up where the store says that the loop stopped.
    ///
    /// # Errors
    /// [`LoopError`] when the store or the memory in it cannot be read.
    pub fn open(store: Arc<Store>, policies: Policies) -> Result<Self, LoopError> {
        let rows = store.read(|tx| tx.query("SELECT cursor, state FROM loop_cursor", &[]))?;
        let (cursor, state) = match rows.first() {
            Some(row) => (row.get(0)?, serde_json::from_str(&row.get::<String>(1)?)?),
            None => (0, State::default()),
        };
        Ok(Self { store, policies, state, cursor })
    }

    /// From now on decides by `policies`.
    pub fn follow(&mut self, policies: Policies) {
        self.policies = policies;
    }

    /// What the controller knows.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// How far it has read.
    pub fn cursor(&self) -> u64 {
        self.cursor
    }

    /// Takes the next entries in, each with all that follows from it in one commit. Returns how many.
    ///
    /// # Errors
    /// [`LoopError`]; what was not committed is taken in again the next time.
    pub fn take_in(&mut self) -> Result<usize, LoopError> {
        let after = self.cursor;
        let mut entries = self.store.read(|tx| journal::entries(tx, after, BATCH))?;
        let read = entries.len();
        let Some(last) = entries.last().map(|entry| entry.seq) else { return Ok(0) };
        let whole = entries.len() < BATCH as usize;
        // What a person does to the traffic comes before what the loop would do in the same moment: a step that was seen
        // just before a rollback must not undo it.
        entries.sort_by_key(|entry| !controller::moves_traffic_by_hand(entry));
        let mut state = self.state.clone();
        let steps: Vec<(Entry, controller::Step)> = entries
            .into_iter()
            .map(|entry| {
                let step = controller::step(&self.policies, &mut state, &entry);
                (entry, step)
            })
            .collect();
        let memory = serde_json::to_string(&state)?;
        let actions = steps.iter().flat_map(|(entry, step)| {
            let numbered = step.actions.iter().enumerate();
            numbered.map(|(i, action)| Ok((entry.seq, entry.at, i, serde_json::to_string(action)?)))
        });
        let actions: Vec<(u64, Timestamp, usize, String)> =
            actions.collect::<Result<_, serde_json::Error>>()?;
        let current = self.store.write(move |tx| {
            // What came meanwhile may change the decision; it is taken anew with it.
            if whole && journal::head(tx)?.size != last {
                return Ok(false);
            }
            for (entry, step) in steps {
                for (i, fact) in step.facts.into_iter().enumerate() {
                    let new = NewFact::new(entry.at, ACTOR, fact).because_of(entry.seq);
                    tx.append(new.once(format!("{}.{i}", entry.seq)))?;
                }
            }
            for (cause, at, i, action) in actions {
                let sql = "INSERT INTO loop_action (key, cause, at, action) VALUES (?1, ?2, ?3, ?4)";
                let key = format!("{cause}.{i}");
                tx.execute(sql, &[key.into(), cause.into(), at.as_millis().into(), action.into()])?;
            }
            let sql = "INSERT INTO loop_cursor VALUES (1, ?1, ?2)
                ON CONFLICT (one) DO UPDATE SET cursor = excluded.cursor, state = excluded.state";
            tx.execute(sql, &[last.into(), memory.into()])?;
            Ok(true)
        })?;
        if current {
            (self.state, self.cursor) = (state, last);
        }
        Ok(read)
    }

    /// The actions that are not done yet, oldest first.
    ///
    /// # Errors
    /// [`LoopError`] when they cannot be read.
    pub fn pending(&self) -> Result<Vec<Pending>, LoopError> {
        let sql = "SELECT key, cause, at, action FROM loop_action WHERE done = 0 ORDER BY cause, key";
        let rows = self.store.read(|tx| tx.query(sql, &[]))?;
        let pending = rows.iter().map(|row| {
            let action = serde_json::from_str(&row.get::<String>(3)?)?;
            Ok(Pending {
                key: row.get(0)?,
                cause: row.get(1)?,
                at: Timestamp::from_millis(row.get(2)?),
                action,
            })
        });
        pending.collect()
    }

    /// Carries one action out and records what came of it.
    ///
    /// # Errors
    /// [`LoopError`] when the result could not be recorded: the action stays pending.
    pub fn perform(store: &Store, hands: &dyn Hands, pending: &Pending) -> Result<(), LoopError> {
        Self::put_down(store, pending, hands.perform(&pending.key, &pending.action))
    }

    /// Records what came of an action.
    ///
    /// # Errors
    /// [`LoopError`] when it could not be recorded: the action stays pending.
    pub(crate) fn put_down(
        store: &Store,
        pending: &Pending,
        outcome: Result<Vec<Fact>, Failure>,
    ) -> Result<(), LoopError> {
        let (facts, failure) = match outcome {
            Ok(facts) => (facts, None),
            Err(failure) => (failure.facts, Some(failure.reason)),
        };
        let put = |facts: Vec<Fact>, failure: Option<String>| {
            let Pending { key, cause, at, action } = pending.clone();
            store.write(move |tx| record(tx, &key, cause, at, &action, facts, failure))
        };
        match put(facts, failure) {
            // It would be too large the next time too: that it came to nothing is what can be said.
            Err(error @ StoreError::TooLarge { .. }) => Ok(put(Vec::new(), Some(error.to_string()))?),
            other => Ok(other?),
        }
    }
}

fn record(
    tx: &mut Tx<'_>,
    key: &str,
    cause: u64,
    at: Timestamp,
    action: &Action,
    mut facts: Vec<Fact>,
    failure: Option<String>,
) -> Result<(), StoreError> {
    if tx.execute("UPDATE loop_action SET done = 1 WHERE key = ?1 AND done = 0", &[key.into()])? == 0 {
        return Ok(());
    }
    // A failed run speaks for itself; any other failure gets a fact of its own.
    let told = facts.iter().any(|fact| matches!(fact, Fact::RunFailed { .. }));
    if let Some(reason) = failure.filter(|_| !told) {
        let model = action.model().clone();
        let reason = reason.chars().take(MOST_REASON).collect();
        facts.push(Fact::ActionFailed { model, action: action.name().to_owned(), reason });
    }
    for (i, fact) in facts.into_iter().enumerate() {
        tx.append(NewFact::new(at, "loop", fact).because_of(cause).once(format!("{key}/{i}")))?;
    }
    Ok(())
}

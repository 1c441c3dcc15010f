//! What models there are: their runs, their versions, which one is champion, and who gets how much traffic.
//!
//! A newcomer who wants to know "what is in production, since when, and why may it be there" asks this room. The words
//! are MLflow's (run, params, metrics, model version, alias), the truth is the journal: every table here is a
//! projection of facts, changed only by [`ROOM`]'s projection inside the transaction that appends the fact, and could be
//! thrown away and made anew from the journal.
//!
//! Invariants
//! - Nothing here writes but the projection. Whoever wants a version promoted appends a fact.
//! - A fact about a version that was never registered, or a second registration of one, does not enter the journal: the
//!   projection refuses, and with it the transaction.
//! - A version's number is never used again, whatever became of the version.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod columns;
mod projection;
mod query;
mod record;

pub use projection::ROOM;
pub use query::{
    alias, champion, models, next_version, previous_champion, run, runs, traffic, version, versions,
};
pub use record::{
    CHALLENGER, CHAMPION, Judgement, ModelRecord, Moment, RunRecord, RunStatus, VersionRecord, VersionStatus,
};

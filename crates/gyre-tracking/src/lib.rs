//! What was tried: experiments, runs, what they logged, and the search over all of it.
//!
//! The words and their meaning are MLflow's tracking protocol's; the store below is gyre's. A newcomer who asks "what did
//! this run log", "which runs reached 0.9", "what became of that metric over a million steps" asks this room.
//!
//! | module | what lives there |
//! | --- | --- |
//! | [`experiments`], [`runs`], [`logged_models`] | their lives |
//! | [`batch`] | logging, checked and packed before the writing thread sees it |
//! | [`bulk`] | whole runs at once, as an importer brings them |
//! | [`points`], [`history`] | a metric's history as bytes, and back, whole or sampled |
//! | [`inputs`] | datasets and models that went in and came out |
//! | [`data`] | what runs logged, a page at a time |
//! | [`filter`] | MLflow's filter grammar (pure) |
//! | [`search`], [`page`] | searching, and the tokens of pages |
//! | [`provenance`] | where runs came from |
//! | [`seal`] | the digest of all that a run logged |
//! | [`purge`] | removing for good |
//! | [`limits`] | what may be a name, a key, a value (pure) |
//!
//! Invariants
//! - Metrics, parameters and tags are written beside the journal, not through it: they come at a high rate. The journal
//!   tells when a run ended, with its seal, and whatever was put aside, restored or removed.
//! - Writing the same thing twice changes nothing: clients retry.
//! - Text from outside never becomes part of a statement.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod batch;
pub mod bulk;
mod by;
pub mod data;
pub mod experiments;
pub mod filter;
pub mod history;
pub mod inputs;
pub mod limits;
pub mod logged_models;
mod names;
pub mod page;
pub mod points;
pub mod provenance;
pub mod purge;
mod room;
pub mod runs;
mod seal;
pub mod search;
pub mod tags;

pub use by::By;
pub use page::Page;
pub use room::ROOM;
pub use runs::{RunInfo, RunStatus};
pub use seal::seal;

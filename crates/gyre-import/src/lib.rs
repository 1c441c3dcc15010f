//! Moving over: what an MLflow server holds into gyre's store, all of it or a list of what not and why.
//!
//! A [`source::Source`] is where it comes from: MLflow's SQLite database, its
//! folder `mlruns/`, or a running server. [`plan`]
//! says which experiment becomes which before anything is written. [`import`] then moves it in large transactions, each of
//! which also says in the tables of [`ROOM`] how far it has come. So a killed import goes on where it stopped, and an
//! import that is run again brings what is new.
//!
//! | module | what lives there |
//! | --- | --- |
//! | [`record`] | what comes: experiments, runs, registered models |
//! | [`source`], [`sqlite`], [`files`], [`http`] | where it comes from |
//! | [`plan`] | which experiment becomes which, and what clashes (pure) |
//! | [`mover`], `registered`, `artifacts` | the import |
//! | [`place`] | where artifacts were, and where they will be (pure) |
//! | [`export`] | the way back |
//! | [`report`] | what was found, what came, what did not and why |
//! | [`room`] | how far an import has come |
//!
//! Invariants
//! - A source is only read.
//! - A run comes whole or not at all; nothing comes twice.
//! - What does not come is counted and named.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod artifacts;
mod error;
pub mod export;
pub mod files;
mod folders;
pub mod http;
pub mod mover;
pub mod place;
pub mod plan;
pub mod record;
mod registered;
pub mod report;
pub mod room;
pub mod source;
pub mod sqlite;

pub use artifacts::{Found, Sink};
pub use error::ImportError;
pub use mover::{Options, Progress, import, survey};
pub use report::{Kind, Report};
pub use room::ROOM;

//! Traces: what a generative application did on the way to each of its answers, and what people and judges thought of it.
//!
//! A newcomer who wants to know "which answers were bad, and at which step did they go wrong" asks this room. The words
//! are MLflow's: a *trace* is one answer, made of *spans* (OpenTelemetry); an *assessment* is a judgement of a trace
//! (feedback) or what the answer should have been (expectation); an *evaluation dataset* is a collection of inputs with
//! their expectations; a *scorer* is a versioned recipe that judges. What came is stored, searched and given back:
//! nothing here calls a model, runs a scorer or reads an artifact.
//!
//! The way through it: `otlp` turns what came over the wire into [`record::Span`]s, [`spans::log`] stores them and brings
//! the trace's info up to them, [`infos::start`] says the last word on it, [`search()`] finds it by the grammar of
//! [`filter`].
//!
//! Invariants
//! - Traces come at a high rate and are not in the journal; what takes them away is ([`infos::delete`],
//!   [`datasets::delete`]).
//! - Every write may be repeated: clients try again.
//! - Text of a request reaches the database only as a parameter, never inside a statement.
//! - Text patterns are matched here and not by the database, because `LIKE` means different things in SQLite and in
//!   PostgreSQL; rows come in batches, so that memory is bounded.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod assessments;
pub mod bulk;
pub mod correlation;
pub mod datasets;
pub mod experiments;
pub mod filter;
pub mod infos;
pub mod limits;
pub mod metrics;
pub mod otlp;
pub mod pattern;
mod preview;
pub mod record;
mod schema;
pub mod scorers;
mod search;
mod semconv;
pub mod spaced;
pub mod spans;
mod usage;

pub use schema::ROOM;
pub use search::{Page, Search, search};

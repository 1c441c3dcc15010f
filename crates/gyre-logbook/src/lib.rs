//! The inference log of a model as two tables, `predictions` and `labels`: asked with SQL, or written to a file.
//!
//! Why this room exists: whoever wants to know what a model answered last Tuesday to the rows that came out wrong asks in
//! SQL, or wants them in a file for a notebook. Both need the log deduplicated and joined with its labels, in bounded
//! memory, and SQLite does all of that: a [`Book`] is a database in a temporary file, filled from a
//! [`LogView`](gyre_gateway::LogView), and gone when it is dropped.
//!
//! | module | what lives there |
//! | --- | --- |
//! | [`book`] | the database: layout, filling |
//! | [`query`] | one statement that reads, and its rows |
//! | [`export`] | the predictions with their labels as a file |
//!
//! Invariants
//! - Of several predictions of an id in the period the first one logged is there; of its labels the last one logged, unless it
//!   was known before the period began: as everywhere in gyre.
//! - A statement can only read, and only the book.
//! - Memory is bounded by SQLite's page cache and a batch of rows.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod book;
mod error;
pub mod export;
pub mod query;

pub use book::{Book, Classes};
pub use error::BookError;

//! Two tables compared column by column: what changed, how surely, how much, and whether it matters.
//!
//! Why this room exists: before anything is deployed, and whenever an alarm is to be understood, somebody has last month's
//! table and this month's and asks what is different. The answer is exact (every row is looked at), takes seconds for
//! millions of rows, and keeps apart what is sure from what is large.
//!
//! The way through it: files → columns ([`read`]) → counts and numbers ([`sample`]) → tests and distances ([`measure`]) →
//! verdicts over all columns together ([`verdict`]), all of it by [`compare`]. What no column shows by itself is looked for in a
//! sample of whole rows ([`multivariate`]). Values that still come are watched one by one ([`stream`]).
//!
//! Invariants
//! - `measure` and `verdict` are pure; no input panics, and what is undefined is absent.
//! - Memory holds the columns at hand, one a core, and of names a bounded number; a CSV file is held as numbers and counts.
//! - A missing value is never dropped in silence: shares of missing, infinite and unseen values are compared like the rest.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod compare;
mod error;
pub mod measure;
pub mod multivariate;
pub mod read;
pub mod sample;
pub mod stream;
pub mod vectors;
pub mod verdict;

pub use compare::{Column, Comparison, Unmatched, Why, compare};
pub use error::DriftError;
pub use measure::Measured;
pub use multivariate::{Multivariate, multivariate};
pub use verdict::{Settings, Verdict};

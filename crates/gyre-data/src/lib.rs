//! Data versions: which bytes a model was trained on, and whether they were fit for it.
//!
//! A model can only be repaired, compared or explained when the rows behind it can be found again. This crate
//! reads tables as streams ([`table`]) or in parts ([`parts`]), refuses bad ones with reasons ([`checks`]), cuts out what may be trained
//! on at a moment in event time ([`mod@cut`]) or has a value ([`mod@divide`]), names the result by its content ([`hash`]) and keeps it in the files
//! that DVC users already have ([`dvc`]), beside the commit of the code ([`git`]).
//!
//! Invariants: I/O is blocking (callers bring threads); memory is bounded by a batch of rows, whatever the size
//! of the file; every file appears whole or not at all ([`files`]); the system's clock is not read.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod checks;
pub mod cut;
pub mod divide;
pub mod dvc;
pub mod files;
pub mod git;
pub mod hash;
pub mod parts;
pub mod table;
pub mod yaml;

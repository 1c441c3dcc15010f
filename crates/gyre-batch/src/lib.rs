//! Scores whole files: rows of Parquet or CSV in, predictions in the same order out.
//!
//! Why this room exists: a year of rows to be scored overnight is no matter for a gateway, which answers one caller at a
//! time, checks each request and logs it. What counts here is rows a second, bounded memory, and that a job that was
//! killed in the middle goes on where it stopped.
//!
//! The way through it: a [`Request`] is made into a [`Plan`] (every file is opened, every column found, every input cut
//! into parts; whatever is wrong is said before the first row is scored) → [`Plan::run`] hands the parts to threads; each
//! part is read in chunks, scored, and written to a file of its own → when the parts of an input are all there they are
//! put together, and the whole takes its name in one step.
//!
//! | module | what lives there |
//! | --- | --- |
//! | [`sources`] | which files are meant: files, folders, patterns; and what the outputs are called |
//! | `glob` | patterns of file names: pure |
//! | `columns` | which columns the model reads and which go along: pure |
//! | `input`, `parquet_in`, `csv_in` | a file cut into parts; a part read in chunks |
//! | `cells` | Arrow's columns as the model takes them: pure |
//! | `scored` | predictions as columns: pure |
//! | `output` | parts written, and put together without being encoded again |
//! | `work` | the folder that remembers what is done |
//! | [`plan`], `run` | the whole job |
//!
//! Invariants
//! - Memory is bounded by threads × (a chunk of rows and the encoded part that it goes to), whatever the sizes of files.
//! - Where an input is cut follows from the input alone. So the output has the same bytes whether the job was interrupted or
//!   not, and however many threads did it.
//! - An output appears whole or not at all. What is half done lies in a folder beside it, which goes when the job is done.
//! - What was scored with another model, from other inputs or for other columns is never taken over.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod cells;
mod columns;
mod csv_in;
mod error;
mod glob;
mod input;
mod output;
mod parquet_in;
pub mod plan;
mod run;
mod scored;
pub mod sources;
mod work;

pub use columns::Kept;
pub use error::BatchError;
pub use plan::{Plan, Planned, Request};
pub use run::{Progress, Report, Written};
pub use sources::Pair;

//! Where a run came from: the commit and what was changed since, the command, the packages, the machine, the data.
//!
//! Clients of MLflow's protocol say little of this. But one that talks over loopback is a process of this machine, and the
//! system knows it: its socket leads to its process, its process to its folder, its folder to a Git repository. So an
//! unmodified client needs no plug-in.
//!
//! | module | what lives there |
//! | --- | --- |
//! | [`record`] | what is recorded (pure) |
//! | [`scrub`] | taking secrets out of what is recorded (pure) |
//! | [`proc`] | the system's files about sockets and processes (pure) |
//! | [`python`] | the files that describe packages and environments (pure) |
//! | [`porcelain`] | what `git status` says (pure) |
//! | [`client`] | from a connection to the process at its other end |
//! | [`collect`] | from a process to its record |
//!
//! Invariants
//! - Only processes of the user who runs this one are looked into, and only those that hold the other end of a connection.
//! - Of the environment only the variables named in [`proc::VARIABLES`] are read; everything else of it is dropped unseen.
//! - Nothing of what is found is run: Git is the only program that is started, with everything switched off by which a
//!   repository could run a program of its own.
//! - Whatever is read has a limit. What was cut off or could not be read is said in the record.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod client;
pub mod collect;
mod data;
mod files;
mod git;
mod hardware;
mod packages;
pub mod porcelain;
pub mod proc;
pub mod python;
pub mod record;
pub mod scrub;

pub use client::{Client, Connection, Unseen};
pub use collect::{Collected, Collector};
pub use record::Record;

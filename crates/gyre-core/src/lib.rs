//! The words that every other room of gyre speaks.
//!
//! Identifiers, digests, event time, the project file `gyre.yaml`, the facts of the journal and the Merkle
//! tree over them, the records of the inference log, and gate expressions. Everything here is pure: no file
//! is opened, no clock is read but through [`time::Clock`], no thread is started. A room that needs to name a
//! model version, a moment or a decision finds the type here and nowhere else.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod diagnostic;
pub mod digest;
pub mod expr;
pub mod fact;
pub mod ids;
mod kubernetes;
pub mod merkle;
pub mod record;
pub mod runtime;
pub mod spec;
pub mod time;

pub use diagnostic::Diagnostic;
pub use digest::Digest;
pub use fact::{Entry, Fact};
pub use ids::{ModelName, Version};
pub use record::{Label, Value};
pub use time::{Clock, Span, Timestamp};

//! Where did this come from, and what came of it?
//!
//! [`back`] goes from a prediction (or a version, a run, a data version, a journal entry) to the data, the code, the run
//! and the decisions behind it; [`forward`] goes from a data version to the runs and versions that it went into and the
//! times at which those served. Both read the journal when they are asked, so that lineage can neither be forgotten nor
//! contradict the audit log. Predictions are too many for edges of their own: each names its version and its time, which
//! is all that is needed to find the rest.

mod back;
mod describe;
mod forward;
mod reference;
mod service;
mod tree;

use gyre_store::StoreError;

pub use back::{Answered, back};
pub use forward::{Influence, forward};
pub use reference::{InvalidRef, Ref};
pub use service::{Served, Service};
pub use tree::{Node, NodeKind, Tree};

/// Why there is no lineage.
#[derive(Debug, thiserror::Error)]
pub enum LineageError {
    /// The store said no.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What was asked about is not there.
    #[error("there is no {what} `{name}`{hint}")]
    Unknown {
        /// What kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
        /// What to do, beginning with a separator; or nothing.
        hint: String,
    },
    /// A digest's beginning fits several data versions.
    #[error("`{prefix}` begins the digests of {count} data versions ({some}): give more digits")]
    Ambiguous {
        /// What was given.
        prefix: String,
        /// How many it fits.
        count: usize,
        /// Some of them.
        some: String,
    },
}

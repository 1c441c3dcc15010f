//! What runs and models leave behind: files under paths, whose bytes are kept once, by content.
//!
//! MLflow's clients know artifacts by URIs such as `mlflow-artifacts:/3/RUN/artifacts/model/MLmodel`. Here that is a path
//! in one tree. The tree is a table of the store; the bytes lie under their SHA-256 in a folder or in a bucket, so the same
//! model logged a hundred times takes the room of one.
//!
//! The way in: [`ArtifactPath`] checks the path, [`Artifacts::begin`] opens an upload, which is hashed while it is written, and
//! [`Artifacts::settle`] makes it visible. The way out: [`index::file`] finds it, [`Artifacts::open`] streams it.
//!
//! Invariants
//! - A path is visible only when its bytes are durable; an upload that breaks off leaves nothing visible.
//! - A path of a client never becomes a path of this machine: files are named by digests.
//! - A whole file that comes out is what went in, or an error.
//! - Only what this room put there is ever deleted: it has a folder (or a prefix of a bucket) of its own.
//! - Memory is bounded by chunks, whatever the size of a file.
//! - This room knows no HTTP.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod artifacts;
mod bucket;
mod collect;
mod depot;
mod download;
mod error;
mod hashing;
pub mod index;
mod location;
mod parts;
mod path;
mod upload;

pub use artifacts::Artifacts;
pub use collect::Collected;
pub use download::{CHUNK, Download};
pub use error::ArtifactError;
pub use hashing::Checksum;
pub use index::ROOM;
pub use location::{Bucket, InvalidLocation, Location, Provider};
pub use parts::MAX_PARTS;
pub use path::{ArtifactPath, Flaw, Folder, InvalidPath, MAX_PATH, MAX_SEGMENT};
pub use upload::Upload;

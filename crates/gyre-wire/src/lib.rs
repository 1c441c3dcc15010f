//! What both ends of the serving protocols have in common on the wire.
//!
//! gyre answers the Open Inference Protocol and MLflow's scoring, and it asks models in them that live outside. The
//! datatypes, the tensors in binary and the words of Python that are no JSON are the same in both directions; they stand here,
//! once, and know neither HTTP nor gRPC.
//!
//! Pure: bytes in, values out. Nothing panics, whatever the bytes, and nothing is allocated on the word of a length field.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod binary;
mod datatype;
mod python;

pub use binary::{Elements, HEADER_LENGTH, read, write_text};
pub use datatype::{Datatype, UnknownDatatype};
pub use python::{MISSING, NOT_FINITE, nulled};

//! Streams of numbers, watched value by value: which detector, and how lines become values.
//!
//! Two tables are compared after the fact; of a stream of losses or readings somebody wants to hear when it changes, with the
//! value at which it does. Reading the stream, and saying what was found, is left to who calls; both parts here are pure.

mod detector;
mod lines;

pub use detector::{Detector, DetectorError, NAMES};
pub use lines::{LineError, Lines, Sample};

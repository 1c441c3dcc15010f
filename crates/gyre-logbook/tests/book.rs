//! A log that lies partly in segments and partly in the write-ahead file, asked and written.
#![allow(clippy::unwrap_used)]

//! Data versions.

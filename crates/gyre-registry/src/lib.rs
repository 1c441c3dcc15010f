//! Runs and model versions.

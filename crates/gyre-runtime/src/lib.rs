//! Loads and runs models in process.

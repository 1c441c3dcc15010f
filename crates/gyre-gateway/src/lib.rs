//! Routes, rollouts, inference log.

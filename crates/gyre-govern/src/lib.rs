//! Answering for models: what may serve, how it treats people, and where each answer came from.
//!
//! Whoever must explain a prediction to a regulator, or refuse a model that would be hard to explain, works here.
//!
//! | module | answers |
//! | --- | --- |
//! | [`gates`] | may this version take traffic? |
//! | [`bias`] | does it treat groups of people alike, and how sure is that? |
//! | [`incidents`] | what was wrong, why most likely, and who took note of it? |
//! | [`lineage`] | from a prediction back to data, code and decision; from data forward to what it influenced |
//!
//! Invariants
//! - What was not measured never passes a gate, and what is undefined is absent, never 0.
//! - Lineage adds nothing to what is stored: it is read from the journal when it is asked for.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod bias;
pub mod gates;
pub mod incidents;
pub mod lineage;

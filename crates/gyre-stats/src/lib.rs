//! Statistics of drift, performance and fairness: pure functions of numbers.
//!
//! A loop that repairs models by itself acts on numbers, so each number here says how far it can be trusted: it comes
//! with an interval or a p-value, with how many rows it rests on, or with the reason why there is no number at all.
//! The rest of the workspace decides; this crate only measures.
//!
//! | module | answers |
//! | --- | --- |
//! | [`profile`] | what did a column look like at training time, and what does it look like in this window? |
//! | [`drift`] | is the difference real (p-value), and is it large (effect)? |
//! | [`adjust`] | how many of these fifty alarms are luck? |
//! | [`performance`] | how wrong is the model, and is model A better than model B on the same rows? |
//! | [`estimate`] | how wrong is the model probably, while its labels have not arrived? |
//! | [`sequential`] | may this rollout be stopped *now*, although we looked after every request? |
//! | [`bandit`] | which of several versions is best, and which share should each have while that is not known? |
//! | [`stream`] | has it changed *now*, value by value, and how often is such an alarm wrong? |
//! | [`recalibration`] | which few numbers put a model's answers right? |
//! | [`fairness`] | do groups of people get different outcomes or different errors? |
//! | [`proportion`], [`moments`], [`shape`] | the binomial and moment arithmetic below all of them |
//!
//! Invariants
//! - No I/O, no clock, no threads, no randomness but from a given seed: the same numbers in give the same numbers out.
//! - What is undefined (0/0, an empty window) is `None` or a reason, never `0` and never NaN.
//! - No input panics: NaN counts as a missing value, infinities are counted apart.
//! - Everything that accumulates has fixed memory, merges, and serialises.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod adjust;
pub mod bandit;
pub mod confusion;
pub mod drift;
pub mod estimate;
pub mod fairness;
pub mod moments;
pub mod performance;
pub mod profile;
pub mod proportion;
pub mod recalibration;
pub mod sequential;
pub mod shape;
mod special;
pub mod stream;

/// Property tests try the same cases on every run.
#[cfg(test)]
fn seeded() -> proptest::test_runner::Config {
    use proptest::test_runner::{Config, RngSeed};
    Config { rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..Config::default() }
}

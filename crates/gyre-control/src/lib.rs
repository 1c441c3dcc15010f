//! The controller: what gyre decides, apart from everything that it does.
//!
//! [`controller::step`] is a pure function `(policy, state, fact) -> (state, facts, actions)`: it opens nothing, waits for
//! nothing, and reads no clock, for the time is in the fact. So the same decisions can be taken in production, where
//! `gyre-loop` feeds it from the journal, and in a backtest, where `gyre-backtest` answers its actions out of history: what
//! was proven there is what runs here.
//!
//! | module | what lives there |
//! | --- | --- |
//! | [`controller`] | the one step |
//! | [`policy`] | `gyre.yaml` in the controller's terms |
//! | [`state`] | what the controller remembers |
//! | [`worth`] | what age has been shown to cost |
//! | [`foresight`] | losses that are expected, before their labels come |
//! | [`incidents`] | what is told of the windows of late, and what keeps the loop from training on them |
//! | [`costs`] | what each option is expected to cost |
//! | [`coverage`] | windows whose labels are mostly missing |
//! | [`triggers`] | what asks for a training besides losses and age |
//! | [`waiting`] | what has to wait, and when it may begin |
//! | [`attempt`] | from a decision to train until the gates have spoken |
//! | [`breaker`] | what comes to nothing again and again |
//! | [`action`] | what it wants done |
//!
//! Invariants: no I/O, no clock, no thread, no randomness; a version that did not pass its gates never becomes champion; while
//! anything is under way for a model, nothing else begins for it.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod action;
pub mod attempt;
pub mod breaker;
pub mod controller;
pub mod costs;
pub mod coverage;
mod explore;
pub mod foresight;
pub mod incidents;
pub mod policy;
pub mod state;
pub mod triggers;
pub mod waiting;
pub mod worth;

pub use action::Action;
pub use policy::{Policies, Policy};
pub use state::State;

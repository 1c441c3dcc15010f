//! The loop: what gyre exists for.
//!
//! Facts come in, decisions go out. What is decided lives in `gyre-control`, apart from everything that is done:
//! [`controller::step`] is a pure function `(policy, state, fact) -> (state, facts, actions)`. The [`Engine`] feeds it
//! from the journal and commits, in one transaction, its new state, its facts, its actions and the cursor; so a crash
//! at any moment neither loses nor repeats a decision. [`Hands`] carry the actions out, and do so idempotently: an action
//! is named by the entry that caused it, and whoever performs it a second time finds the first one's traces.
//!
//! Invariants, each held by a seeded simulation in `tests/`: a version that did not pass its gates never becomes champion;
//! no action is done twice or forgotten; no more trainings of its own than the limit allows; while anything is under way for a model,
//! nothing else begins for it.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod desk;
mod driver;
mod engine;
mod workshop;

pub use desk::{
    Desk, DeskError, NewVersion, Reload, TimeSource, open_store, project_in, read_project, rooms,
};
pub use driver::Driver;
pub use engine::{Engine, Failure, Hands, LoopError, Pending, ROOM};
pub use gyre_control::{Action, Policies, Policy, State, action, controller, policy, state};
pub use workshop::{Abroad, STATE_DIR, Workshop};

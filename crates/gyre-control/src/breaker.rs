//! The circuit breaker: what comes to nothing again and again is left for a while.
//!
//! Two things are counted, each as long as nothing goes well in between. *Failures*: actions that broke. *Setbacks*: candidates that
//! were refused by their gates, or sent back out of a rollout. Too many of either pause the loop for the model; the champion keeps
//! serving, and windows go on being watched. After a rest the breaker is half open: one repair is tried, and its outcome either
//! closes the breaker or begins another rest. A person may let the loop go on at any time.

use gyre_core::Timestamp;
use gyre_core::fact::Fact;
use serde::{Deserialize, Serialize};

use crate::controller::{MAX_FAILURES, Turn};
use crate::state::ModelState;

/// What is remembered of setbacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Breaker {
    /// Setbacks in a row.
    #[serde(default)]
    pub setbacks: u32,
    /// When a pause ends by itself; none while there is none, or only a person ends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rests_until: Option<Timestamp>,
}

impl Breaker {
    /// Whether nothing is remembered.
    pub fn is_fresh(&self) -> bool {
        *self == Self::default()
    }
}

impl ModelState {
    /// Whether the loop has rested long enough to try one repair, although it is paused.
    pub fn may_try_again(&self, now: Timestamp) -> bool {
        self.breaker.rests_until.is_some_and(|until| until <= now)
    }
}

impl Turn<'_> {
    /// An action broke.
    pub(crate) fn failed(&mut self, reason: &str) {
        self.model.failures = self.model.failures.saturating_add(1);
        if self.model.failures >= MAX_FAILURES {
            self.pause(&format!("{} failures in a row, the last one: {reason}", self.model.failures));
        }
    }

    /// A candidate came to nothing.
    pub(crate) fn setback(&mut self, reason: &str) {
        self.model.breaker.setbacks = self.model.breaker.setbacks.saturating_add(1);
        let setbacks = self.model.breaker.setbacks;
        if setbacks >= self.policy.breaker.after {
            self.pause(&format!("{setbacks} candidates in a row came to nothing, the last one: {reason}"));
        }
    }

    /// A repair went well: the breaker closes.
    pub(crate) fn went_well(&mut self) {
        self.model.breaker = Breaker::default();
    }

    fn pause(&mut self, why: &str) {
        if self.model.paused {
            return;
        }
        self.model.paused = true;
        let rest = self.policy.breaker.rest;
        self.model.breaker.rests_until = Some(self.now + rest);
        let reason = format!(
            "{why}. The champion keeps serving. When the cause is mended: gyre resume {}; otherwise one repair is tried after {rest}",
            self.name
        );
        self.follows.facts.push(Fact::LoopPaused { model: self.name.clone(), reason });
    }

    /// A repair begins: a loop that has rested tries it.
    pub(crate) fn try_again(&mut self) {
        if self.model.paused && self.model.may_try_again(self.now) {
            self.model.paused = false;
            self.model.breaker.rests_until = None;
            self.follows.facts.push(Fact::LoopResumed { model: self.name.clone() });
        }
    }

    /// A person lets the loop go on.
    pub(crate) fn resumed(&mut self) {
        self.model.paused = false;
        self.model.failures = 0;
        self.model.breaker = Breaker::default();
    }
}

//! Drift of a step's inputs, remembered for a while: it takes a look at all rows of the step, and the loop looks every second.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use gyre_core::time::Period;
use gyre_core::{ModelName, Span, Timestamp};

use crate::engine::Failure;

/// How long, in event time, a look is good for.
const GOOD_FOR: Span = Span::minutes(1);

/// The last look at each model's step.
#[derive(Default)]
pub(super) struct Drifted {
    looks: Mutex<BTreeMap<ModelName, Look>>,
}

#[derive(Clone, Copy)]
struct Look {
    /// The entry that began the rollout, and when the step began.
    step: (u64, Timestamp),
    at: Timestamp,
    found: Option<f64>,
}

impl Drifted {
    /// What was found lately of the step over `period` in the rollout that entry `since` began, or what `look` finds now.
    pub(super) fn of(
        &self,
        (model, since, period): (&ModelName, u64, Period),
        look: impl FnOnce() -> Result<Option<f64>, Failure>,
    ) -> Result<Option<f64>, Failure> {
        let step = (since, period.from);
        let known = self.looks.lock().unwrap_or_else(PoisonError::into_inner).get(model).copied();
        let good = |known: &Look| known.step == step && period.to.since(known.at) < GOOD_FOR;
        if let Some(known) = known.filter(good) {
            return Ok(known.found);
        }
        let found = look()?;
        let look = Look { step, at: period.to, found };
        self.looks.lock().unwrap_or_else(PoisonError::into_inner).insert(model.clone(), look);
        Ok(found)
    }
}

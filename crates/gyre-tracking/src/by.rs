//! By whom, from where and when something is done, as the journal will tell it.

use gyre_core::fact::TrackingChange;
use gyre_core::{Fact, Timestamp};
use gyre_store::{NewFact, StoreError, Tx};

/// By whom, from where and when.
#[derive(Debug, Clone)]
pub struct By {
    /// Who: `user:NAME`.
    pub actor: String,
    /// From where: address, and what the client calls itself.
    pub origin: Option<String>,
    /// When.
    pub at: Timestamp,
}

impl By {
    pub(crate) fn tell(&self, tx: &mut Tx<'_>, change: TrackingChange) -> Result<(), StoreError> {
        let fact = NewFact::new(self.at, self.actor.clone(), Fact::Tracking(change));
        tx.append(fact.from_where(self.origin.clone())).map(drop)
    }

    pub(crate) fn millis(&self) -> i64 {
        self.at.as_millis()
    }
}

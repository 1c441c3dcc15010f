//! Who changes something, when, and from where: what every fact of this room bears.

use gyre_core::fact::AccessChange;
use gyre_core::{Fact, Timestamp};
use gyre_store::{Appended, NewFact, StoreError, Tx};

/// The author of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct By {
    /// When.
    pub at: Timestamp,
    /// Who, as the journal names them: `user:NAME`.
    pub actor: String,
    /// From where: address, and what the client calls itself.
    pub origin: Option<String>,
}

impl By {
    /// Puts `change` into the journal, and with it into the tables.
    pub(crate) fn append(&self, tx: &mut Tx<'_>, change: AccessChange) -> Result<Appended, StoreError> {
        let fact = NewFact::new(self.at, self.actor.clone(), Fact::Access(change));
        tx.append(fact.from_where(self.origin.clone()))
    }
}

//! MLflow's filter grammar, read into clauses: `metrics.acc > 0.9 AND params.lr = '0.1'`.
//!
//! A filter is clauses joined by AND; there is no OR, no NOT, and there are no parentheses but around the list of IN. What
//! may be compared with what differs by what is searched, and is data: a [`Vocabulary`]. The text of a filter never
//! becomes part of a statement: it ends as clauses, whose keys and values travel as parameters.

mod clause;
mod lexer;
mod order;
mod vocabulary;

pub use clause::{Clause, Comparator, Operand, parse};
pub use order::{Direction, Order, parse_order};
pub use vocabulary::{Attribute, EXPERIMENTS, Entity, Kind, LOGGED_MODELS, RUNS, Vocabulary};

/// Why a filter or an order is not understood: what was found, where, and what was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterError(String);

impl FilterError {
    fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl std::fmt::Display for FilterError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for FilterError {}

impl From<FilterError> for gyre_store::StoreError {
    fn from(error: FilterError) -> Self {
        Self::Invalid(error.0)
    }
}

/// Text of a filter as it may stand in an error.
fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(80).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

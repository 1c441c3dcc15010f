//! Searching runs: a filter, an order, a page.
//!
//! A search over a million runs must not look at a million runs. Three ways are tried, the cheapest first:
//!
//! 1. *Driven*: a clause that few runs satisfy (by an estimate from the index, cut off early) leads; the rest is checked on
//!    those runs only.
//! 2. *Walked*: where many runs satisfy each clause, the index of what the answer is ordered by is walked from the right end
//!    until the page is full; a walk has a budget, which grows a few times.
//! 3. *Sorted*: all candidates of the best clause, or of the experiments, are sorted by the database.
//!
//! All three give the same answer. Pages continue after the last row's place in the order ([`crate::page`]), so they stay
//! where they are while new runs come in.

mod condition;
mod others;
mod plan;
mod sorting;

use gyre_store::{Cell, Row, StoreError, Tx};

pub(crate) use condition::Statement;
pub use others::{ExperimentSearch, ModelOrder, ModelSearch, experiments, logged_models};
pub(crate) use sorting::SortKey;

use crate::data::{self, Run};
use crate::experiments::Stage;
use crate::filter::{self, Clause, Order};
use crate::limits::shown;
use crate::page::{self, Page};
use crate::runs::{self, RunInfo};

/// What of a thing's life is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum View {
    /// What is there.
    #[default]
    Active,
    /// What was put aside.
    Deleted,
    /// Both.
    All,
}

impl View {
    /// The view of that name, or of that number in MLflow's protocol.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "ACTIVE_ONLY" | "1" => Some(Self::Active),
            "DELETED_ONLY" | "2" => Some(Self::Deleted),
            "ALL" | "3" => Some(Self::All),
            _ => None,
        }
    }

    pub(crate) const fn stages(self) -> &'static [Stage] {
        match self {
            Self::Active => &[Stage::Active],
            Self::Deleted => &[Stage::Deleted],
            Self::All => &[Stage::Active, Stage::Deleted],
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Deleted => "deleted",
            Self::All => "all",
        }
    }
}

/// A search for runs.
#[derive(Debug, Clone, Default)]
pub struct RunSearch {
    /// The experiments, by number.
    pub experiments: Vec<i64>,
    /// A filter, as MLflow writes it.
    pub filter: String,
    /// Orders, as MLflow writes them; the first counts most.
    pub order_by: Vec<String>,
    /// What of their lives.
    pub view: View,
    /// How many at most.
    pub limit: usize,
    /// Where the page before ended.
    pub page_token: Option<String>,
}

/// The most runs of a page.
pub const MOST_RUNS: usize = 50_000;

/// A search that is understood.
pub(crate) struct Asked {
    pub(crate) experiments: Vec<i64>,
    pub(crate) stages: &'static [Stage],
    pub(crate) clauses: Vec<Clause>,
    pub(crate) orders: Vec<Order>,
    pub(crate) after: Option<Vec<Cell>>,
    pub(crate) limit: usize,
}

/// A run and its place in the order.
pub(crate) struct Found {
    pub(crate) info: RunInfo,
    pub(crate) place: Vec<Cell>,
}

impl RunSearch {
    fn fingerprint(&self) -> String {
        let mut experiments = self.experiments.clone();
        experiments.sort_unstable();
        page::fingerprint(&("runs", experiments, &self.filter, &self.order_by, self.view.name()))
    }

    fn understood(&self) -> Result<Asked, StoreError> {
        if self.limit == 0 || self.limit > MOST_RUNS {
            return Err(StoreError::Invalid(format!(
                "max_results is {}, expected 1 to {MOST_RUNS}",
                self.limit
            )));
        }
        let mut experiments = self.experiments.clone();
        experiments.sort_unstable();
        experiments.dedup();
        let orders = orders(&self.order_by, &filter::RUNS)?;
        // Of each order the place and the value, and the two that always decide at the end.
        let kinds = sorting::kinds(&sorting::keys(&orders));
        let after = match &self.page_token {
            Some(token) => Some(page::read(token, &self.fingerprint(), &kinds)?),
            None => None,
        };
        Ok(Asked {
            experiments,
            stages: self.view.stages(),
            clauses: filter::parse(&self.filter, &filter::RUNS)?,
            orders,
            after,
            limit: self.limit,
        })
    }
}

/// Orders of one search, at most: each is a join, of which databases take a few dozen.
const ORDERS: usize = 30;

pub(crate) fn check_orders(count: usize) -> Result<(), StoreError> {
    if count > ORDERS {
        return Err(StoreError::Invalid(format!("order_by has {count} items, expected at most {ORDERS}")));
    }
    Ok(())
}

/// Orders, as MLflow writes them; nothing may stand twice.
pub(crate) fn orders(texts: &[String], vocabulary: &filter::Vocabulary) -> Result<Vec<Order>, StoreError> {
    check_orders(texts.len())?;
    let mut orders: Vec<Order> = Vec::new();
    for text in texts {
        let order = filter::parse_order(text, vocabulary)?;
        if orders.iter().any(|before| before.entity == order.entity && before.key == order.key) {
            return Err(StoreError::Invalid(format!(
                "order_by has `{}` twice, expected each once",
                shown(&order.key)
            )));
        }
        orders.push(order);
    }
    Ok(orders)
}

/// A page of runs, with what they logged.
///
/// # Errors
/// [`StoreError::Invalid`] for a filter, an order or a token that is not understood.
pub fn runs(tx: &mut Tx<'_>, search: &RunSearch) -> Result<Page<Run>, StoreError> {
    let infos = infos(tx, search)?;
    Ok(Page { items: data::fill(tx, infos.items)?, next: infos.next })
}

/// A page of runs, without what they logged.
///
/// # Errors
/// As [`runs`].
pub fn infos(tx: &mut Tx<'_>, search: &RunSearch) -> Result<Page<RunInfo>, StoreError> {
    let mut asked = search.understood()?;
    if asked.experiments.is_empty() {
        return Ok(Page { items: Vec::new(), next: None });
    }
    // One more than asked for tells whether there is a next page.
    asked.limit += 1;
    let mut found = plan::carry_out(tx, &asked)?;
    let more = found.len() > search.limit;
    found.truncate(search.limit);
    let next = match found.last() {
        Some(last) if more => Some(page::write(&search.fingerprint(), &last.place)?),
        _ => None,
    };
    Ok(Page { items: found.into_iter().map(|found| found.info).collect(), next })
}

fn found(row: &Row, keys: &[SortKey]) -> Result<Found, StoreError> {
    let place = (0..keys.len()).map(|key| row.cell(runs::WIDTH + key)).collect();
    Ok(Found { info: runs::from_row(row)?, place })
}

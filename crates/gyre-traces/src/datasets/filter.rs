//! Datasets, found by name, time, person and tags.

use std::cmp::Ordering;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gyre_core::Digest;
use gyre_store::{StoreError, Tx};
use serde_json::json;

use super::{COLUMNS, Dataset};
use crate::filter::{Comparison, Rest, Right, TextTest, Token};
use crate::limits::{invalid, shown};

/// The most datasets that are looked through; people make them by hand.
const LOOKED: u64 = 100_000;
/// The most datasets of a page.
const PAGE: usize = 50_000;

/// A search.
#[derive(Debug, Clone)]
pub struct Search {
    experiments: Vec<i64>,
    tests: Vec<(Field, Test)>,
    order: Vec<(Field, bool)>,
    identity: String,
}

/// Some of what was found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Found {
    /// The datasets, in order.
    pub datasets: Vec<Dataset>,
    /// Where the next page begins; nothing when this is the last.
    pub next: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Field {
    Name,
    Created,
    Updated,
    CreatedBy,
    UpdatedBy,
    Tag(String),
}

#[derive(Debug, Clone)]
enum Test {
    Text(TextTest),
    Number(Comparison, i64),
}

impl Search {
    /// A search among the datasets of experiments (of all, when there are none), by the text of a filter and those of an
    /// order. Without an order the latest come first.
    ///
    /// # Errors
    /// [`StoreError::Invalid`].
    pub fn new(experiments: Vec<i64>, filter: &str, order: &[String]) -> Result<Self, StoreError> {
        let identity = Digest::of(format!("{experiments:?}\n{filter}\n{order:?}").as_bytes());
        let identity = identity.to_hex().chars().take(16).collect();
        let mut rest = Rest::new(filter)?;
        let mut tests = Vec::new();
        while rest.peek().is_some() {
            if !tests.is_empty() {
                rest.keyword("AND", "AND before the next clause")?;
            }
            let (kind, name) = rest.name()?;
            let field = Field::named(kind.as_deref(), &name)?;
            let test = field.test(rest.right()?)?;
            tests.push((field, test));
        }
        let mut order: Vec<(Field, bool)> =
            order.iter().map(|text| read_order(text)).collect::<Result<_, _>>()?;
        if order.is_empty() {
            order.push((Field::Created, false));
        }
        Ok(Self { experiments, tests, order, identity })
    }

    fn compare(&self, a: &Dataset, b: &Dataset) -> Ordering {
        let by = |(field, ascending): &(Field, bool)| {
            let order = match field {
                Field::Created | Field::Updated => field.number(a).cmp(&field.number(b)),
                _ => field.text(a).cmp(&field.text(b)),
            };
            if *ascending { order } else { order.reverse() }
        };
        let by_id = || b.dataset_id.cmp(&a.dataset_id);
        self.order.iter().map(by).find(|order| order.is_ne()).unwrap_or_else(by_id)
    }
}

fn read_order(text: &str) -> Result<(Field, bool), StoreError> {
    let wrong = || {
        invalid(format!(
            "order_by: found {}, expected name, created_time or last_update_time and perhaps ASC or DESC",
            shown(text)
        ))
    };
    let mut rest = Rest::new(text).map_err(|_| wrong())?;
    let (kind, name) = rest.name().map_err(|_| wrong())?;
    let field = Field::named(kind.as_deref(), &name).map_err(|_| wrong())?;
    let ascending = match (rest.next(), rest.next()) {
        (None, _) => true,
        (Some(Token::Word(word)), None) if word.eq_ignore_ascii_case("ASC") => true,
        (Some(Token::Word(word)), None) if word.eq_ignore_ascii_case("DESC") => false,
        _ => return Err(wrong()),
    };
    if matches!(field, Field::Name | Field::Created | Field::Updated) {
        Ok((field, ascending))
    } else {
        Err(wrong())
    }
}

impl Field {
    fn named(kind: Option<&str>, name: &str) -> Result<Self, StoreError> {
        Ok(match (kind, name) {
            (Some("tag" | "tags"), key) if !key.is_empty() => Self::Tag(key.to_owned()),
            (None | Some("attribute" | "attributes"), "name") => Self::Name,
            (None | Some("attribute" | "attributes"), "created_time") => Self::Created,
            (None | Some("attribute" | "attributes"), "last_update_time") => Self::Updated,
            (None | Some("attribute" | "attributes"), "created_by") => Self::CreatedBy,
            (None | Some("attribute" | "attributes"), "last_updated_by") => Self::UpdatedBy,
            _ => {
                return Err(invalid(format!(
                    "the filter: there is no attribute {}; expected name, created_time, last_update_time, created_by, \
                     last_updated_by or tags. and a key",
                    shown(name)
                )));
            }
        })
    }

    fn test(&self, right: Right) -> Result<Test, StoreError> {
        let wrong = |expected: &str| Err(invalid(format!("the filter: {expected}")));
        if matches!(self, Self::Created | Self::Updated) {
            let number = match right {
                Right::Number(comparison, number) => Some((comparison, number)),
                Right::Text(comparison, text) => text.trim().parse().ok().map(|number| (comparison, number)),
                _ => None,
            };
            return match number.filter(|(_, number)| number.fract() == 0.0 && number.abs() < 9.0e15) {
                Some((comparison, number)) => Ok(Test::Number(comparison, number as i64)),
                None => {
                    wrong("times are compared with =, !=, <, <=, > or >= and a whole number of milliseconds")
                }
            };
        }
        Ok(Test::Text(match right {
            Right::Text(Comparison::Equal, text) => TextTest::Equal(text),
            Right::Text(Comparison::Differs, text) => TextTest::Differs(text),
            Right::Pattern(pattern) => TextTest::Fits(pattern),
            Right::List(true, list) if *self == Self::Name => TextTest::In(list),
            _ => return wrong("text is compared with =, !=, LIKE or ILIKE, a name with IN, too"),
        }))
    }

    fn text<'a>(&self, dataset: &'a Dataset) -> Option<&'a str> {
        match self {
            Self::Name => Some(&dataset.name),
            Self::CreatedBy => dataset.created_by.as_deref(),
            Self::UpdatedBy => dataset.updated_by.as_deref(),
            Self::Tag(key) => dataset.tags.get(key).map(String::as_str),
            Self::Created | Self::Updated => None,
        }
    }

    fn number(&self, dataset: &Dataset) -> i64 {
        if *self == Self::Updated { dataset.updated_ms } else { dataset.created_ms }
    }
}

impl Test {
    fn holds(&self, field: &Field, dataset: &Dataset) -> bool {
        match self {
            Self::Text(test) => field.text(dataset).is_some_and(|text| test.holds(text)),
            Self::Number(comparison, number) => {
                let found = field.number(dataset);
                match comparison {
                    Comparison::Equal => found == *number,
                    Comparison::Differs => found != *number,
                    Comparison::Below => found < *number,
                    Comparison::AtMost => found <= *number,
                    Comparison::Above => found > *number,
                    Comparison::AtLeast => found >= *number,
                }
            }
        }
    }
}

/// The page that `token` names, or the first; of at most `limit` datasets.
///
/// # Errors
/// [`StoreError::Invalid`] for a limit out of range, or the token of another search.
pub fn search(
    tx: &mut Tx<'_>,
    search: &Search,
    limit: usize,
    token: Option<&str>,
) -> Result<Found, StoreError> {
    if !(1..=PAGE).contains(&limit) {
        return Err(invalid(format!("max_results is {limit}, expected a whole number from 1 to {PAGE}")));
    }
    let after = token.map(|token| place(token, &search.identity)).transpose()?;
    let mut found = all(tx, &search.experiments)?;
    found.retain(|dataset| search.tests.iter().all(|(field, test)| test.holds(field, dataset)));
    found.sort_by(|a, b| search.compare(a, b));
    if let Some(after) = after {
        found.retain(|dataset| search.compare(dataset, &after).is_gt());
    }
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|last| {
        let place = json!([search.identity, last.name, last.created_ms, last.updated_ms, last.dataset_id]);
        URL_SAFE_NO_PAD.encode(place.to_string())
    });
    Ok(Found { datasets: found, next })
}

/// The place where a page ended: a dataset, as far as orders look at one.
fn place(token: &str, identity: &str) -> Result<Dataset, StoreError> {
    let read = || {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (of, name, created_ms, updated_ms, dataset_id): (String, String, i64, i64, String) =
            serde_json::from_slice(&bytes).ok()?;
        (of == identity).then(|| Dataset { name, created_ms, updated_ms, dataset_id, ..Dataset::default() })
    };
    read().ok_or_else(|| {
        invalid("the page token is none that was given out for this search; begin with the first page")
    })
}

fn all(tx: &mut Tx<'_>, experiments: &[i64]) -> Result<Vec<Dataset>, StoreError> {
    let mut found = Vec::new();
    if experiments.is_empty() {
        let sql = format!("SELECT {COLUMNS} FROM traces_datasets LIMIT ?1");
        for row in tx.query(&sql, &[LOOKED.into()])? {
            found.push(super::read(&row)?);
        }
    }
    for experiment in experiments {
        let sql = format!(
            "SELECT {COLUMNS} FROM traces_datasets WHERE dataset_id IN \
             (SELECT l.dataset_id FROM traces_dataset_experiments l WHERE l.experiment = ?1) LIMIT ?2"
        );
        for row in tx.query(&sql, &[(*experiment).into(), LOOKED.into()])? {
            found.push(super::read(&row)?);
        }
    }
    found.sort_by(|a, b| a.dataset_id.cmp(&b.dataset_id));
    found.dedup_by(|a, b| a.dataset_id == b.dataset_id);
    for dataset in &mut found {
        dataset.tags = super::tags(tx, &dataset.dataset_id)?;
    }
    Ok(found)
}

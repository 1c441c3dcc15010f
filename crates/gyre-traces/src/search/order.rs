//! What the traces that are found are ordered by.

use gyre_store::{Cell, Row, StoreError};

use crate::filter::{Attribute, Field, Rest, Token, field};
use crate::limits::{invalid, shown};
use crate::record::key;

/// The most keys that an order has.
const KEYS: usize = 20;

/// One key of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) by: Field,
    pub(super) ascending: bool,
}

/// What kind of value an order's key has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Int,
    Text,
}

impl Kind {
    pub(super) fn cell(self, row: &Row, column: usize) -> Result<Cell, StoreError> {
        Ok(match self {
            Self::Int => row.get::<Option<i64>>(column)?.into(),
            Self::Text => row.get::<Option<String>>(column)?.into(),
        })
    }
}

/// Reads the texts of an order, such as `timestamp_ms DESC`, and adds what makes it total.
pub(super) fn read(texts: &[String]) -> Result<Vec<Order>, StoreError> {
    if texts.len() > KEYS {
        return Err(invalid(format!("order_by has {} keys, at most {KEYS} go", texts.len())));
    }
    let mut order: Vec<Order> = Vec::new();
    for text in texts {
        let next = one(text)?;
        if order.iter().any(|known| known.by == next.by) {
            return Err(invalid(format!("order_by names {} more than once", shown(text))));
        }
        order.push(next);
    }
    for (attribute, ascending) in [(Attribute::Time, false), (Attribute::Id, true)] {
        let by = Field::Attribute(attribute);
        if !order.iter().any(|known| known.by == by) {
            order.push(Order { by, ascending });
        }
    }
    Ok(order)
}

fn one(text: &str) -> Result<Order, StoreError> {
    let wrong = || {
        invalid(format!(
            "order_by: found {}, expected a name and perhaps ASC or DESC, as in timestamp_ms DESC or tags.`key` ASC",
            shown(text)
        ))
    };
    let mut rest = Rest::new(text).map_err(|_| wrong())?;
    let (kind, name) = rest.name().map_err(|_| wrong())?;
    let ascending = match (rest.next(), rest.next()) {
        (None, _) => true,
        (Some(Token::Word(word)), None) if word.eq_ignore_ascii_case("ASC") => true,
        (Some(Token::Word(word)), None) if word.eq_ignore_ascii_case("DESC") => false,
        _ => return Err(wrong()),
    };
    let by = match field(kind.as_deref(), &name)? {
        Field::Run => Field::Metadata(key::RUN.to_owned()),
        by @ (Field::Attribute(_) | Field::Tag(_) | Field::Metadata(_)) => by,
        _ => return Err(wrong()),
    };
    Ok(Order { by, ascending })
}

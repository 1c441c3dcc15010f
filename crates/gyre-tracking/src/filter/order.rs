//! Orders: something, and up or down.

use super::lexer::{Token, tokens};
use super::vocabulary::{Entity, Kind, Vocabulary};
use super::{FilterError, clause, shown};

/// Up or down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "they are what their names say")]
pub enum Direction {
    Ascending,
    Descending,
}

/// What an answer is ordered by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Order {
    /// What it is about.
    pub entity: Entity,
    /// Which: an attribute's first name, or any key.
    pub key: String,
    /// Up or down.
    pub direction: Direction,
}

/// Reads `metrics.acc DESC`; up, when nothing is said.
///
/// # Errors
/// What is not understood, and what was expected there.
pub fn parse_order(text: &str, vocabulary: &Vocabulary) -> Result<Order, FilterError> {
    let wrong = || {
        FilterError::new(format!(
            "the order `{}` is not understood, expected {} and then ASC or DESC",
            shown(text),
            vocabulary.words()
        ))
    };
    let mut words = tokens(text)?.into_iter().map(|placed| placed.token);
    let Some(Token::Name { first, rest }) = words.next() else { return Err(wrong()) };
    let direction = match (words.next(), words.next()) {
        (None, None) => Direction::Ascending,
        (Some(Token::Name { first, rest: None }), None) if first.eq_ignore_ascii_case("asc") => {
            Direction::Ascending
        }
        (Some(Token::Name { first, rest: None }), None) if first.eq_ignore_ascii_case("desc") => {
            Direction::Descending
        }
        _ => return Err(wrong()),
    };
    let (entity, key, _kind, _lists): (Entity, String, Kind, bool) =
        clause::resolve(&first, rest.as_deref(), vocabulary)?;
    if entity == Entity::Dataset {
        return Err(wrong());
    }
    Ok(Order { entity, key, direction })
}

#[cfg(test)]
mod tests {
    use super::super::vocabulary::RUNS;
    use super::*;

    #[test]
    fn orders_are_read_in_every_spelling() {
        let order = |text| parse_order(text, &RUNS).map(|order| (order.entity, order.key, order.direction));
        let acc = "acc".to_owned();
        assert_eq!(order("metrics.acc DESC"), Ok((Entity::Metric, acc.clone(), Direction::Descending)));
        assert_eq!(order("metric.`acc`"), Ok((Entity::Metric, acc, Direction::Ascending)));
        assert_eq!(
            order("Created desc"),
            Ok((Entity::Attribute, "start_time".to_owned(), Direction::Descending))
        );
        for text in ["", "metrics.a sideways", "metrics.a DESC DESC", "nothing DESC", "dataset.name", "'x'"] {
            assert!(order(text).is_err(), "{text}");
        }
    }
}

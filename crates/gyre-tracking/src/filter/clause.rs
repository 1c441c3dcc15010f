//! Clauses: something, a comparator, and what it is compared with.

use super::lexer::{Placed, Token, tokens};
use super::vocabulary::{Entity, Kind, Vocabulary};
use super::{FilterError, shown};

/// How two things are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "they are what their names say")]
pub enum Comparator {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    /// `%` stands for any text, `_` for any character; case matters.
    Like,
    /// The same, and case does not matter.
    ILike,
    In,
    NotIn,
    IsNull,
    IsNotNull,
}

/// What something is compared with.
#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    /// Nothing: for `IS NULL`.
    None,
    /// A number.
    Number(f64),
    /// Text.
    Text(String),
    /// A list of texts.
    List(Vec<String>),
}

/// One condition of a filter.
#[derive(Debug, Clone, PartialEq)]
pub struct Clause {
    /// What it is about.
    pub entity: Entity,
    /// Which: an attribute's first name, or any key of a metric, parameter or tag.
    pub key: String,
    /// How it is compared.
    pub comparator: Comparator,
    /// With what.
    pub operand: Operand,
}

/// The most clauses of a filter, and the most items of a list.
const CLAUSES: usize = 100;
const ITEMS: usize = 10_000;

/// Reads a filter over what `vocabulary` names. A filter of blanks has no clauses.
///
/// # Errors
/// What is not understood, and what was expected there.
pub fn parse(text: &str, vocabulary: &Vocabulary) -> Result<Vec<Clause>, FilterError> {
    let tokens = tokens(text)?;
    let mut reader = Reader { tokens: tokens.into_iter().peekable(), vocabulary };
    let mut clauses = Vec::new();
    while reader.tokens.peek().is_some() {
        if !clauses.is_empty() {
            reader.and()?;
        }
        clauses.push(reader.clause()?);
        if clauses.len() > CLAUSES {
            return Err(FilterError::new(format!("the filter has more than {CLAUSES} clauses")));
        }
    }
    Ok(clauses)
}

/// What `first.rest` means.
pub(super) fn resolve(
    first: &str,
    rest: Option<&str>,
    vocabulary: &Vocabulary,
) -> Result<(Entity, String, Kind, bool), FilterError> {
    let unknown = |name: &str| {
        FilterError::new(format!(
            "`{}` is nothing that {} can be searched by, expected {}",
            shown(name),
            vocabulary.what,
            vocabulary.words()
        ))
    };
    let entity = match rest {
        Some(_) => vocabulary.entity(first).ok_or_else(|| unknown(first))?,
        None => Entity::Attribute,
    };
    let key = rest.unwrap_or(first);
    match entity {
        Entity::Attribute => {
            let attribute = vocabulary.attribute(key).ok_or_else(|| unknown(key))?;
            let name = attribute.names.first().copied().unwrap_or(key);
            Ok((entity, name.to_owned(), attribute.kind, attribute.lists))
        }
        Entity::Dataset => {
            let field = match key {
                "name" | "digest" | "context" => key,
                other => return Err(unknown(&format!("dataset.{other}"))),
            };
            Ok((entity, field.to_owned(), Kind::Text, true))
        }
        Entity::Metric => Ok((entity, key.to_owned(), Kind::Number, false)),
        Entity::Param | Entity::Tag => Ok((entity, key.to_owned(), Kind::Text, false)),
    }
}

struct Reader<'a> {
    tokens: std::iter::Peekable<std::vec::IntoIter<Placed>>,
    vocabulary: &'a Vocabulary,
}

impl Reader<'_> {
    fn next(&mut self, expected: &str) -> Result<Placed, FilterError> {
        let ended = || FilterError::new(format!("the filter ends where {expected} was expected"));
        self.tokens.next().ok_or_else(ended)
    }

    fn and(&mut self) -> Result<(), FilterError> {
        let Placed { at, token } = self.next("AND")?;
        match &token {
            Token::Name { first, rest: None } if first.eq_ignore_ascii_case("and") => Ok(()),
            other => Err(FilterError::new(format!(
                "{} at byte {at} of the filter, expected AND: clauses are joined by AND only",
                described(other)
            ))),
        }
    }

    fn clause(&mut self) -> Result<Clause, FilterError> {
        let Placed { at, token } = self.next("something to compare")?;
        let Token::Name { first, rest } = &token else {
            return Err(FilterError::new(format!(
                "{} at byte {at} of the filter, expected {}",
                described(&token),
                self.vocabulary.words()
            )));
        };
        let (entity, key, kind, lists) = resolve(first, rest.as_deref(), self.vocabulary)?;
        let lists = lists || (self.vocabulary.lists_anywhere && kind == Kind::Text);
        let (comparator, at) = self.comparator()?;
        let allowed = match (comparator, kind) {
            (Comparator::Equal | Comparator::NotEqual, _) => true,
            (
                Comparator::Greater | Comparator::GreaterOrEqual | Comparator::Less | Comparator::LessOrEqual,
                kind,
            ) => kind == Kind::Number,
            (Comparator::Like | Comparator::ILike, kind) => kind == Kind::Text,
            (Comparator::In | Comparator::NotIn, _) => lists,
            (Comparator::IsNull | Comparator::IsNotNull, _) => matches!(entity, Entity::Param | Entity::Tag),
        };
        if !allowed {
            let expected = expected(kind, lists, entity);
            return Err(FilterError::new(format!(
                "the comparator at byte {at} of the filter does not fit `{}`, expected {expected}",
                shown(&key)
            )));
        }
        let operand = match comparator {
            Comparator::IsNull | Comparator::IsNotNull => Operand::None,
            Comparator::In | Comparator::NotIn => Operand::List(self.list()?),
            _ => self.value(&key, kind)?,
        };
        Ok(Clause { entity, key, comparator, operand })
    }

    fn word(&mut self, word: &str) -> Result<(), FilterError> {
        let Placed { at, token } = self.next(word)?;
        match &token {
            Token::Name { first, rest: None } if first.eq_ignore_ascii_case(word) => Ok(()),
            other => Err(FilterError::new(format!(
                "{} at byte {at} of the filter, expected {word}",
                described(other)
            ))),
        }
    }

    fn comparator(&mut self) -> Result<(Comparator, usize), FilterError> {
        let Placed { at, token } = self.next("a comparator")?;
        let comparator = match &token {
            Token::Sign("=") => Comparator::Equal,
            Token::Sign("!=") => Comparator::NotEqual,
            Token::Sign(">") => Comparator::Greater,
            Token::Sign(">=") => Comparator::GreaterOrEqual,
            Token::Sign("<") => Comparator::Less,
            Token::Sign("<=") => Comparator::LessOrEqual,
            Token::Name { first, rest: None } => match first.to_ascii_uppercase().as_str() {
                "LIKE" => Comparator::Like,
                "ILIKE" => Comparator::ILike,
                "IN" => Comparator::In,
                "NOT" => {
                    self.word("IN")?;
                    Comparator::NotIn
                }
                "IS" => self.null()?,
                _ => return Err(no_comparator(&token, at)),
            },
            _ => return Err(no_comparator(&token, at)),
        };
        Ok((comparator, at))
    }

    fn null(&mut self) -> Result<Comparator, FilterError> {
        let not = matches!(self.tokens.peek(), Some(Placed { token: Token::Name { first, rest: None }, .. })
            if first.eq_ignore_ascii_case("not"));
        if not {
            self.word("NOT")?;
        }
        self.word("NULL")?;
        Ok(if not { Comparator::IsNotNull } else { Comparator::IsNull })
    }

    fn value(&mut self, key: &str, kind: Kind) -> Result<Operand, FilterError> {
        let expected = match kind {
            Kind::Text => "text in quotes",
            Kind::Number => "a number",
        };
        let Placed { at, token } = self.next(expected)?;
        match (token, kind) {
            (Token::Text(text), Kind::Text) => Ok(Operand::Text(text)),
            (Token::Number(number), Kind::Number) => Ok(Operand::Number(number)),
            // Times and ids are sometimes written in quotes.
            (Token::Text(text), Kind::Number) if text.trim().parse::<f64>().is_ok_and(f64::is_finite) => {
                Ok(Operand::Number(text.trim().parse().unwrap_or_default()))
            }
            (other, _) => Err(FilterError::new(format!(
                "{} at byte {at} of the filter, expected {expected} to compare `{}` with",
                described(&other),
                shown(key)
            ))),
        }
    }

    fn list(&mut self) -> Result<Vec<String>, FilterError> {
        let Placed { at, token } = self.next("a list in parentheses")?;
        if token != Token::Open {
            return Err(FilterError::new(format!(
                "{} at byte {at} of the filter, expected a list such as ('a', 'b')",
                described(&token)
            )));
        }
        let mut items = Vec::new();
        loop {
            let Placed { at, token } = self.next("text in quotes")?;
            let Token::Text(text) = token else {
                return Err(FilterError::new(format!(
                    "{} at byte {at} of the filter, expected text in quotes",
                    described(&token)
                )));
            };
            items.push(text);
            if items.len() > ITEMS {
                return Err(FilterError::new(format!("a list of the filter has more than {ITEMS} items")));
            }
            let Placed { at, token } = self.next("a comma or a closing parenthesis")?;
            match token {
                Token::Comma => {}
                Token::Close => return Ok(items),
                other => {
                    return Err(FilterError::new(format!(
                        "{} at byte {at} of the filter, expected a comma or a closing parenthesis",
                        described(&other)
                    )));
                }
            }
        }
    }
}

fn expected(kind: Kind, lists: bool, entity: Entity) -> String {
    let mut words = match kind {
        Kind::Number => vec!["=", "!=", ">", ">=", "<", "<="],
        Kind::Text => vec!["=", "!=", "LIKE", "ILIKE"],
    };
    if lists {
        words.extend(["IN", "NOT IN"]);
    }
    if matches!(entity, Entity::Param | Entity::Tag) {
        words.extend(["IS NULL", "IS NOT NULL"]);
    }
    format!("one of {}", words.join(", "))
}

fn no_comparator(token: &Token, at: usize) -> FilterError {
    FilterError::new(format!(
        "{} at byte {at} of the filter, expected a comparator: =, !=, >, >=, <, <=, LIKE, ILIKE, IN, NOT IN, IS NULL",
        described(token)
    ))
}

fn described(token: &Token) -> String {
    match token {
        Token::Name { first, rest: None } => format!("`{}`", shown(first)),
        Token::Name { first, rest: Some(rest) } => format!("`{}.{}`", shown(first), shown(rest)),
        Token::Text(text) => format!("the text '{}'", shown(text)),
        Token::Number(number) => format!("the number {number}"),
        Token::Sign(sign) => format!("`{sign}`"),
        Token::Open => "an opening parenthesis".to_owned(),
        Token::Close => "a closing parenthesis".to_owned(),
        Token::Comma => "a comma".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::vocabulary::{EXPERIMENTS, LOGGED_MODELS, RUNS};
    use super::*;
    use proptest::prelude::*;

    fn runs(text: &str) -> Result<Vec<Clause>, String> {
        parse(text, &RUNS).map_err(|error| error.to_string())
    }

    fn one(text: &str) -> Clause {
        let mut clauses = runs(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(clauses.len(), 1, "{text}");
        clauses.remove(0)
    }

    #[test]
    fn every_spelling_means_the_same() {
        let expected = one("metrics.acc > 0.9");
        for text in
            ["metric.acc>0.9", "METRICS.`acc` > .9", "metrics.\"acc\" > 9e-1", "  metrics.acc   >  +0.9 "]
        {
            assert_eq!(one(text), expected, "{text}");
        }
        let expected = one("params.lr = '0.1'");
        for text in ["param.lr='0.1'", "parameters.`lr` = \"0.1\"", "parameter.lr == '0.1'"] {
            assert_eq!(one(text), expected, "{text}");
        }
        for text in [
            "status = 'FINISHED'",
            "attributes.status = 'FINISHED'",
            "attr.status='FINISHED'",
            "run.status = \"FINISHED\"",
        ] {
            assert_eq!((one(text).entity, one(text).key.as_str()), (Entity::Attribute, "status"), "{text}");
        }
        assert_eq!(one("tags.mlflow.user = 'ann'").key, "mlflow.user");
        assert_eq!(one("metrics.train/loss-1 < -1.5e3").key, "train/loss-1");
        assert_eq!(one("tags.`a key.with 'all'` != 'it''s'").operand, Operand::Text("it's".to_owned()));
        assert_eq!(one("created > 5").key, "start_time");
    }

    #[test]
    fn clauses_are_joined_by_and() {
        let clauses = runs("metrics.a > 1 AND params.b LIKE '%x' and tags.c IS NOT NULL").unwrap();
        let comparators: Vec<_> = clauses.iter().map(|clause| clause.comparator).collect();
        assert_eq!(comparators, [Comparator::Greater, Comparator::Like, Comparator::IsNotNull]);
        assert_eq!(runs("  ").unwrap(), []);
        assert_eq!(
            one("run_id NOT IN ('a', 'b')").operand,
            Operand::List(vec!["a".to_owned(), "b".to_owned()])
        );
        assert_eq!(one("dataset.name IN ('x')").entity, Entity::Dataset);
    }

    #[test]
    fn what_makes_no_sense_is_told_with_its_place() {
        let cases = [
            ("metrics.a > 1 OR metrics.b > 1", "expected AND"),
            ("(metrics.a > 1)", "an opening parenthesis at byte 0"),
            ("NOT metrics.a > 1", "`NOT` is nothing"),
            ("metrics.a > 'x'", "expected a number"),
            ("params.a = 1", "expected text in quotes"),
            ("params.a > '1'", "expected one of =, !=, LIKE"),
            ("metrics.a LIKE '1'", "does not fit `a`"),
            ("metrics.a BETWEEN 1 AND 2", "expected a comparator"),
            ("nothing = 'x'", "`nothing` is nothing that runs can be searched by"),
            ("params.a IN ('x')", "does not fit"),
            ("run_id IN ()", "expected text in quotes"),
            ("run_id IN ('a'", "the filter ends"),
            ("params.a = 'x", "never closed"),
            ("params.a", "the filter ends where a comparator"),
            ("= 1", "`=` at byte 0"),
            ("metrics.a = 1 AND", "the filter ends"),
            ("metrics. = 1", "expected a name"),
            ("metrics.a = 1; DROP TABLE runs", "expected a name"),
            ("dataset.source = 'x'", "dataset.source"),
        ];
        for (text, expected) in cases {
            let error = runs(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn each_search_has_its_own_words() {
        assert!(parse("name LIKE 'a%' AND tags.x = 'y'", &EXPERIMENTS).is_ok());
        assert!(parse("metrics.a > 1", &EXPERIMENTS).is_err());
        assert!(parse("name IN ('a', 'b') AND params.x IN ('1')", &LOGGED_MODELS).is_ok());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,200}") {
            let _ = parse(&text, &RUNS);
        }

        #[test]
        fn no_words_make_it_panic(words in prop::collection::vec(
            prop::sample::select(vec!["metrics.a", "params.`b`", "=", "!=", ">", "'x'", "\"y\"", "1", "-", "AND", "OR", "(", ")", ",",
                "IS", "NOT", "NULL", "IN", "LIKE", "tags", ".", "`", "'", "\"", "run_id", "é", "1e999"]), 0..12)) {
            let _ = parse(&words.join(" "), &RUNS);
            let _ = parse(&words.concat(), &RUNS);
        }
    }
}

//! The grammar in which traces are searched: comparisons joined by `AND`.
//!
//! ```text
//! filter  = clause { AND clause }
//! clause  = name ( = | != | > | >= | < | <= ) ( "text" | number )
//!         | name ( LIKE | ILIKE | RLIKE ) "text"
//!         | name [ NOT ] IN ( "text" { , "text" } )
//!         | name IS [ NOT ] NULL
//! ```
//!
//! A name is `status`, `timestamp_ms`, … (with or without `trace.` or `attributes.` before it), or begins with `tags.`,
//! `metadata.`, `span.`, `feedback.`, `expectation.`, `issue.`. Text stands in single or double quotes; a quote inside is
//! written twice. There is no OR, no NOT and there are no parentheses, as in MLflow. Reading a filter is pure and never
//! fails other than with an error that says where, what was found and what was expected.

mod clause;
mod lexer;

use gyre_store::StoreError;

pub(crate) use clause::field;
pub use clause::{AssessmentKind, Attribute, Clause, Comparison, Field, Filter, SpanField, Test, TextTest};
use lexer::{Place, tokens};
pub(crate) use lexer::{Token, split};

use crate::limits::{FILTER, invalid, shown};
use crate::pattern::Pattern;

/// The most clauses of a filter.
const CLAUSES: usize = 100;
/// The most values of a list.
const LIST: usize = 1_000;

/// Reads a filter. One that is empty lets everything through.
///
/// # Errors
/// [`StoreError::Invalid`] with the place, what was found and what was expected.
pub fn parse(text: &str) -> Result<Filter, StoreError> {
    let mut rest = Rest::new(text)?;
    let mut clauses = Vec::new();
    while rest.peek().is_some() {
        if !clauses.is_empty() {
            rest.keyword("AND", "AND before the next clause (OR, NOT and parentheses are not supported)")?;
        }
        clauses.push(clause::read(&mut rest)?);
        if clauses.len() > CLAUSES {
            return Err(invalid(format!("the filter has more than {CLAUSES} clauses")));
        }
    }
    Ok(Filter { clauses })
}

/// The tokens that are not read yet.
pub(crate) struct Rest<'a> {
    tokens: Vec<(Place, Token<'a>)>,
    at: usize,
    end: usize,
}

/// What stands to the right of a name.
#[derive(Debug, Clone)]
pub(crate) enum Right {
    /// `IS NULL` (true) or `IS NOT NULL`.
    Null(bool),
    /// A comparison with text.
    Text(Comparison, String),
    /// A comparison with a number.
    Number(Comparison, f64),
    /// One of a list (true), or none of it.
    List(bool, Vec<String>),
    /// `LIKE` and its kind.
    Pattern(Pattern),
}

impl<'a> Rest<'a> {
    pub(crate) fn new(text: &'a str) -> Result<Self, StoreError> {
        if text.len() > FILTER {
            return Err(invalid(format!("the filter has {} bytes, at most {FILTER} go", text.len())));
        }
        Ok(Self { tokens: tokens(text)?, at: 0, end: text.len() })
    }

    pub(crate) fn peek(&self) -> Option<&Token<'a>> {
        self.tokens.get(self.at).map(|(_, token)| token)
    }

    pub(crate) fn next(&mut self) -> Option<Token<'a>> {
        let token = self.peek().cloned();
        self.at += 1;
        token
    }

    /// An error at the token that was read last.
    pub(crate) fn wrong(&self, expected: &str) -> StoreError {
        let found = self.at.checked_sub(1).and_then(|at| self.tokens.get(at));
        let (place, found) = match found {
            Some((place, token)) => (place.0, token.to_string()),
            None => (self.end, "the end".to_owned()),
        };
        invalid(format!("the filter, at character {}: found {found}, expected {expected}", place + 1))
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Some(Token::Word(found)) if found.eq_ignore_ascii_case(word))
    }

    fn takes(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        self.at += usize::from(found);
        found
    }

    pub(crate) fn keyword(&mut self, word: &str, expected: &str) -> Result<(), StoreError> {
        if self.takes(word) {
            return Ok(());
        }
        self.at += 1;
        Err(self.wrong(expected))
    }

    fn text(&mut self) -> Result<String, StoreError> {
        match self.next() {
            Some(Token::Text(text)) => Ok(text),
            _ => Err(self.wrong("text in quotes")),
        }
    }

    /// A name, as its parts: what stands before the first dot, and the rest.
    pub(crate) fn name(&mut self) -> Result<(Option<String>, String), StoreError> {
        match self.next() {
            Some(Token::Word(word)) => Ok(lexer::split(word)),
            _ => Err(self.wrong("a name such as status, tags.`key` or span.name")),
        }
    }

    /// An operator and what it compares with.
    pub(crate) fn right(&mut self) -> Result<Right, StoreError> {
        const EXPECTED: &str =
            "an operator: =, !=, <, <=, >, >=, LIKE, ILIKE, RLIKE, IN, NOT IN, IS NULL, IS NOT NULL";
        if self.takes("IS") {
            let not = self.takes("NOT");
            self.keyword("NULL", "NULL, as in IS NULL or IS NOT NULL")?;
            return Ok(Right::Null(!not));
        }
        if self.takes("LIKE") {
            return Ok(Right::Pattern(Pattern::like(&self.text()?)?));
        }
        if self.takes("ILIKE") {
            return Ok(Right::Pattern(Pattern::ilike(&self.text()?)?));
        }
        if self.takes("RLIKE") {
            return Ok(Right::Pattern(Pattern::regex(&self.text()?)?));
        }
        if self.takes("IN") {
            return Ok(Right::List(true, self.list()?));
        }
        if self.takes("NOT") {
            self.keyword("IN", "IN, as in NOT IN ('a', 'b')")?;
            return Ok(Right::List(false, self.list()?));
        }
        let Some(Token::Operator(comparison)) = self.next() else { return Err(self.wrong(EXPECTED)) };
        match self.next() {
            Some(Token::Text(text)) => Ok(Right::Text(comparison, text)),
            Some(Token::Number(number)) => Ok(Right::Number(comparison, number)),
            _ => Err(self.wrong("text in quotes, or a number")),
        }
    }

    fn list(&mut self) -> Result<Vec<String>, StoreError> {
        if self.next() != Some(Token::Open) {
            return Err(self.wrong("a list of texts in parentheses, as in ('a', 'b')"));
        }
        let mut list = vec![self.text()?];
        loop {
            match self.next() {
                Some(Token::Close) => return Ok(list),
                Some(Token::Comma) => list.push(self.text()?),
                _ => return Err(self.wrong("`,` or `)`")),
            }
            if list.len() > LIST {
                return Err(invalid(format!("the list has more than {LIST} values: {}…", shown(&list[0]))));
            }
        }
    }
}

#[cfg(test)]
mod tests;

//! A filter's text as tokens.

use std::fmt;

use gyre_store::StoreError;

use super::Comparison;
use crate::limits::{invalid, shown};

/// Where a token begins, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place(pub(crate) usize);

/// A piece of a filter.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Token<'a> {
    /// A name or a keyword, as it was written.
    Word(&'a str),
    /// Text that stood in quotes.
    Text(String),
    /// A number.
    Number(f64),
    /// `=` and its kind.
    Operator(Comparison),
    /// `(`.
    Open,
    /// `)`.
    Close,
    /// `,`.
    Comma,
}

impl fmt::Display for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => f.write_str(&shown(word)),
            Self::Text(text) => write!(f, "the text {}", shown(text)),
            Self::Number(number) => write!(f, "the number {number}"),
            Self::Operator(comparison) => write!(f, "`{}`", comparison.sql()),
            Self::Open => f.write_str("`(`"),
            Self::Close => f.write_str("`)`"),
            Self::Comma => f.write_str("`,`"),
        }
    }
}

/// Takes `text` apart.
pub(crate) fn tokens(text: &str) -> Result<Vec<(Place, Token<'_>)>, StoreError> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let place = Place(text.len() - rest.len());
        let (token, after) = match first {
            '(' => (Token::Open, skip(rest, 1)),
            ')' => (Token::Close, skip(rest, 1)),
            ',' => (Token::Comma, skip(rest, 1)),
            '\'' | '"' => {
                quoted(rest, first).map(|(text, after)| (Token::Text(text), after)).ok_or_else(|| {
                    wrong(
                        place,
                        format!("the quote {first} is never closed; expected another at the end of the text"),
                    )
                })?
            }
            '=' | '!' | '<' | '>' => operator(rest).ok_or_else(|| {
                wrong(place, format!("found `{first}`, expected one of the operators =, !=, <, <=, >, >="))
            })?,
            '-' | '+' | '0'..='9' => number(rest)
                .ok_or_else(|| wrong(place, format!("found {}, expected a number", shown(word(rest).0))))?,
            c if c.is_alphabetic() || matches!(c, '_' | '`') => {
                let (found, after) = word(rest);
                (Token::Word(found), after)
            }
            other => {
                return Err(wrong(
                    place,
                    format!(
                        "found `{}`, expected clauses joined by AND, as in status = 'OK' AND tags.k = 'v'",
                        other.escape_debug()
                    ),
                ));
            }
        };
        tokens.push((place, token));
        rest = after.trim_start();
    }
    Ok(tokens)
}

fn wrong(place: Place, message: String) -> StoreError {
    invalid(format!("the filter, at character {}: {message}", place.0 + 1))
}

fn skip(text: &str, bytes: usize) -> &str {
    text.get(bytes..).unwrap_or_default()
}

/// The text in quotes that `text` begins with, and what follows it. A quote inside is written twice.
fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut found = String::new();
    let mut rest = skip(text, 1);
    loop {
        let (inside, after) = rest.split_once(quote)?;
        found.push_str(inside);
        let Some(doubled) = after.strip_prefix(quote) else { return Some((found, after)) };
        found.push(quote);
        rest = doubled;
    }
}

fn operator(text: &str) -> Option<(Token<'_>, &str)> {
    [
        ("!=", Comparison::Differs),
        ("<>", Comparison::Differs),
        ("<=", Comparison::AtMost),
        (">=", Comparison::AtLeast),
        ("<", Comparison::Below),
        (">", Comparison::Above),
        ("=", Comparison::Equal),
    ]
    .into_iter()
    .find_map(|(sign, comparison)| Some((Token::Operator(comparison), text.strip_prefix(sign)?)))
}

fn number(text: &str) -> Option<(Token<'_>, &str)> {
    let end = text
        .char_indices()
        .find(|&(at, c)| {
            let exponent = matches!(text.as_bytes().get(at.wrapping_sub(1)), Some(b'e' | b'E'));
            !(c.is_ascii_alphanumeric() || c == '.' || matches!(c, '+' | '-') && (at == 0 || exponent))
        })
        .map_or(text.len(), |(at, _)| at);
    let (digits, after) = text.split_at_checked(end)?;
    let number: f64 = digits.parse().ok()?;
    // `inf` and `nan` begin with a letter; `1e999` does not.
    number.is_finite().then_some((Token::Number(number), after))
}

/// A word: letters, digits and what keys are made of, with quoted parts anywhere after the first dot or in backticks.
fn word(text: &str) -> (&str, &str) {
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let begins = rest.len() == text.len();
        let after_dot = text.get(..text.len() - rest.len()).is_some_and(|before| before.ends_with('.'));
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '/' | ':' | '$' | '@');
        rest = match first {
            '`' if begins || after_dot => match skip(rest, 1).split_once('`') {
                Some((_, after)) => after,
                None => break,
            },
            '"' | '\'' if after_dot => match quoted(rest, first) {
                Some((_, after)) => after,
                None => break,
            },
            c if plain(c) => skip(rest, c.len_utf8()),
            _ => break,
        };
    }
    if rest.len() == text.len() {
        // A backtick that is never closed: taken with all that follows it, so that reading goes on to its end.
        return (text, "");
    }
    text.split_at_checked(text.len() - rest.len()).unwrap_or((text, ""))
}

/// A word's part before the first dot, and its rest, both without the quotes around them.
pub(crate) fn split(word: &str) -> (Option<String>, String) {
    if let Some(inside) = word.strip_prefix('`').and_then(|rest| rest.strip_suffix('`'))
        && !inside.contains('`')
    {
        return match inside.split_once('.') {
            Some((kind, name)) => (Some(kind.to_owned()), name.to_owned()),
            None => (None, inside.to_owned()),
        };
    }
    match word.split_once('.') {
        Some((kind, name)) => (Some(bare(kind)), bare(name)),
        None => (None, bare(word)),
    }
}

/// `text` without the quotes around it.
pub(super) fn bare(text: &str) -> String {
    for quote in ['`', '"', '\''] {
        if let Some(inside) = text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            return inside.replace(&format!("{quote}{quote}"), &quote.to_string());
        }
    }
    text.to_owned()
}

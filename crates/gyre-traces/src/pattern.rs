//! Text patterns, matched the same way whatever database is beneath.
//!
//! `LIKE` knows `%` (any text) and `_` (any one character) and nothing else, and cares for case; `ILIKE` does not. `RLIKE`
//! is a regular expression that may match anywhere; it takes time linear in the text (the `regex` crate), and its size is
//! limited.

use gyre_store::StoreError;
use regex::{Regex, RegexBuilder};

use crate::limits::{invalid, shown};

/// The longest pattern, in bytes.
const LONGEST: usize = 4_096;

/// A pattern for text.
#[derive(Debug, Clone)]
pub enum Pattern {
    /// `LIKE`.
    Like(Like),
    /// `ILIKE`.
    Ilike(Like),
    /// `RLIKE`.
    Regex(Regex),
}

/// The pieces of a `LIKE` pattern between its `%`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Like {
    pieces: Vec<Vec<char>>,
}

/// A `_` in a piece. No text of a database holds it.
const ANY_ONE: char = '\0';

impl Pattern {
    /// Reads the pattern of `LIKE`.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] when it is too long.
    pub fn like(text: &str) -> Result<Self, StoreError> {
        Ok(Self::Like(Like::read(text)?))
    }

    /// Reads the pattern of `ILIKE`.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] when it is too long.
    pub fn ilike(text: &str) -> Result<Self, StoreError> {
        Ok(Self::Ilike(Like::read(&text.to_lowercase())?))
    }

    /// Reads the regular expression of `RLIKE`.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] when it is none, or too large.
    pub fn regex(text: &str) -> Result<Self, StoreError> {
        check_length(text)?;
        RegexBuilder::new(text).size_limit(1 << 20).dfa_size_limit(1 << 20).build().map(Self::Regex).map_err(
            |error| invalid(format!("RLIKE expects a regular expression, found {}: {error}", shown(text))),
        )
    }

    /// Whether `text` fits.
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Self::Like(like) => like.matches(text),
            Self::Ilike(like) => like.matches(&text.to_lowercase()),
            Self::Regex(regex) => regex.is_match(text),
        }
    }
}

fn check_length(text: &str) -> Result<(), StoreError> {
    if text.len() <= LONGEST {
        return Ok(());
    }
    Err(invalid(format!("the pattern {} has {} bytes, at most {LONGEST} go", shown(text), text.len())))
}

impl Like {
    fn read(text: &str) -> Result<Self, StoreError> {
        check_length(text)?;
        let piece = |piece: &str| piece.chars().map(|c| if c == '_' { ANY_ONE } else { c }).collect();
        Ok(Self { pieces: text.split('%').map(piece).collect() })
    }

    /// The first piece stands at the beginning, the last at the end, the others in between as early as they fit.
    fn matches(&self, text: &str) -> bool {
        let [first, middle @ .., last] = self.pieces.as_slice() else {
            return self.pieces.first().is_some_and(|only| begins(text, only) == Some(""));
        };
        let Some(mut rest) = begins(text, first) else { return false };
        for piece in middle {
            let Some(after) = find(rest, piece) else { return false };
            rest = after;
        }
        ends(rest, last)
    }
}

/// What follows `piece`, when `text` begins with it.
fn begins<'a>(text: &'a str, piece: &[char]) -> Option<&'a str> {
    let mut chars = text.chars();
    for wanted in piece {
        let found = chars.next()?;
        if *wanted != ANY_ONE && *wanted != found {
            return None;
        }
    }
    Some(chars.as_str())
}

fn find<'a>(text: &'a str, piece: &[char]) -> Option<&'a str> {
    if !piece.contains(&ANY_ONE) {
        // The usual case takes time linear in the text.
        let piece: String = piece.iter().collect();
        return text.find(&piece).and_then(|at| text.get(at + piece.len()..));
    }
    let mut from = text;
    loop {
        if let Some(after) = begins(from, piece) {
            return Some(after);
        }
        let mut chars = from.chars();
        chars.next()?;
        from = chars.as_str();
    }
}

fn ends(text: &str, piece: &[char]) -> bool {
    let mut chars = text.chars().rev();
    piece.iter().rev().all(|wanted| chars.next().is_some_and(|c| *wanted == ANY_ONE || *wanted == c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn like_cares_for_case_and_knows_two_wildcards() {
        let like = |pattern: &str, text: &str| Pattern::like(pattern).unwrap().matches(text);
        for (pattern, text) in [
            ("abc", "abc"),
            ("a%", "a"),
            ("%c", "abc"),
            ("%b%", "abc"),
            ("a_c", "a\u{fc}c"),
            ("%", ""),
            ("%%", "x"),
            ("a%a", "aba"),
            ("%a_c%d", "xxabcyyd"),
            ("", ""),
            ("%_%", "x"),
        ] {
            assert!(like(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in
            [("abc", "ABC"), ("a%a", "a"), ("abc", "abcd"), ("_", ""), ("%_%", ""), ("", "x"), ("a\\%", "a%")]
        {
            assert!(!like(pattern, text), "{pattern} {text}");
        }
        assert!(Pattern::ilike("%\u{dc}B_R%").unwrap().matches("x\u{fc}ber"));
        assert!(Pattern::regex("^o.+r$").unwrap().matches("outer"));
    }

    #[test]
    fn what_is_no_regular_expression_or_too_large_is_refused() {
        for pattern in ["(", "\\", "(a{1000}){1000}", &"a".repeat(5000)] {
            assert!(matches!(Pattern::regex(pattern), Err(StoreError::Invalid(_))), "{pattern}");
        }
        assert!(Pattern::like(&"%".repeat(5000)).is_err());
    }

    proptest! {
        /// The regular expression that says the same is the oracle.
        #[test]
        fn like_agrees_with_the_regular_expression(pattern in "[ab%_\u{fc}]{0,8}", text in "[abA\u{fc}]{0,10}") {
            let oracle: String = pattern.chars().map(|c| match c {
                '%' => ".*".to_owned(),
                '_' => ".".to_owned(),
                other => other.to_string(),
            }).collect();
            let oracle = Regex::new(&format!("(?s)^{oracle}$")).unwrap();
            prop_assert_eq!(Pattern::like(&pattern).unwrap().matches(&text), oracle.is_match(&text));
        }
    }
}

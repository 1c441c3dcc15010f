//! Words of a filter, each with its place.

use super::{FilterError, shown};

/// A word of a filter.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// Letters, digits, `_`, `-`, `/`, `.`, and parts in backticks or double quotes, as its parts between the dots.
    Name {
        first: String,
        rest: Option<String>,
    },
    /// Text in single or double quotes.
    Text(String),
    /// A number.
    Number(f64),
    /// `=`, `!=`, `>`, `>=`, `<`, `<=`.
    Sign(&'static str),
    Open,
    Close,
    Comma,
}

/// A word, and the byte at which it begins.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Placed {
    pub(super) at: usize,
    pub(super) token: Token,
}

/// The longest filter, in bytes.
const LONGEST: usize = 64 << 10;

pub(super) fn tokens(text: &str) -> Result<Vec<Placed>, FilterError> {
    if text.len() > LONGEST {
        return Err(FilterError::new(format!(
            "the filter has {} bytes, expected at most {LONGEST}",
            text.len()
        )));
    }
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(next) = text.get(at..).and_then(|rest| rest.chars().next()) {
        if next.is_whitespace() {
            at += next.len_utf8();
            continue;
        }
        let (token, end) = word(text, at, next, found.last().map(|placed: &Placed| &placed.token))?;
        found.push(Placed { at, token });
        at = end;
    }
    Ok(found)
}

fn word(text: &str, at: usize, next: char, before: Option<&Token>) -> Result<(Token, usize), FilterError> {
    let rest = &text[at..];
    for (spelling, sign) in [
        ("!=", "!="),
        ("<>", "!="),
        (">=", ">="),
        ("<=", "<="),
        ("==", "="),
        ("=", "="),
        (">", ">"),
        ("<", "<"),
    ] {
        if rest.starts_with(spelling) {
            return Ok((Token::Sign(sign), at + spelling.len()));
        }
    }
    match next {
        '(' => Ok((Token::Open, at + 1)),
        ')' => Ok((Token::Close, at + 1)),
        ',' => Ok((Token::Comma, at + 1)),
        '\'' => quoted(text, at, '\'').map(|(text, end)| (Token::Text(text), end)),
        // A name may begin with a quoted part; after a comparator, double quotes are text.
        '"' if !matches!(
            before,
            None | Some(Token::Name { .. } | Token::Text(_) | Token::Number(_) | Token::Close)
        ) =>
        {
            quoted(text, at, '"').map(|(text, end)| (Token::Text(text), end))
        }
        '0'..='9' | '-' | '+' | '.' => number(text, at),
        _ => name(text, at),
    }
}

/// Text in quotes; a doubled quote stands for one.
fn quoted(text: &str, at: usize, quote: char) -> Result<(String, usize), FilterError> {
    let mut inside = String::new();
    let mut chars = text[at + quote.len_utf8()..].char_indices().peekable();
    while let Some((offset, c)) = chars.next() {
        if c != quote {
            inside.push(c);
            continue;
        }
        if chars.next_if(|(_, next)| *next == quote).is_some() {
            inside.push(quote);
            continue;
        }
        return Ok((inside, at + quote.len_utf8() + offset + quote.len_utf8()));
    }
    let found = shown(&text[at..]);
    Err(FilterError::new(format!("the quote that opens at byte {at} of the filter is never closed: {found}")))
}

fn number(text: &str, at: usize) -> Result<(Token, usize), FilterError> {
    let rest = &text[at..];
    let belongs = |(index, c): &(usize, char)| {
        c.is_ascii_alphanumeric()
            || matches!(c, '.' | '_')
            || (matches!(c, '+' | '-') && (*index == 0 || rest[..*index].ends_with(['e', 'E'])))
    };
    let length = rest.char_indices().find(|place| !belongs(place)).map_or(rest.len(), |(index, _)| index);
    let digits = &rest[..length];
    match digits.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok((Token::Number(value), at + length)),
        // `1st_run`, say: a name that begins with a digit.
        _ if digits.starts_with(|c: char| c.is_ascii_digit()) && length > 0 => name(text, at),
        _ => Err(FilterError::new(format!("`{}` at byte {at} of the filter is no number", shown(digits)))),
    }
}

fn name(text: &str, at: usize) -> Result<(Token, usize), FilterError> {
    let (first, mut end) = part(text, at, false)?;
    let rest = if text[end..].starts_with('.') {
        let (rest, after) = part(text, end + 1, true)?;
        end = after;
        Some(rest)
    } else {
        None
    };
    Ok((Token::Name { first, rest }, end))
}

/// A part of a name: in backticks, in double quotes, or bare. The last part may hold dots.
fn part(text: &str, at: usize, last: bool) -> Result<(String, usize), FilterError> {
    let rest = text.get(at..).unwrap_or_default();
    if let Some(quote) = rest.chars().next().filter(|c| matches!(c, '`' | '"')) {
        return quoted(text, at, quote);
    }
    let belongs = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '/' | ':') || (last && c == '.');
    let length = rest.find(|c: char| !belongs(c)).unwrap_or(rest.len());
    if length == 0 {
        let found = rest.chars().next().map_or("the end".to_owned(), |c| format!("`{c}`"));
        return Err(FilterError::new(format!(
            "{found} at byte {at} of the filter, expected a name such as metrics.accuracy"
        )));
    }
    Ok((rest[..length].to_owned(), at + length))
}

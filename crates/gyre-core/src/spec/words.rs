//! The small words of `gyre.yaml`: `5%`, `3/week`, `{window: 28d}`, `decay`; and what is said when one is wrong.

use std::fmt;
use std::str::FromStr;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Diagnostic, Span};

/// A share, in percent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Percent(f64);

impl Percent {
    /// A share given in percent.
    pub const fn new(percent: f64) -> Self {
        Self(percent)
    }

    /// The share, from 0 to 1.
    pub fn share(self) -> f64 {
        self.0 / 100.0
    }

    /// The share in hundredths of a percent: 5 % is 500.
    pub fn basis_points(self) -> u32 {
        (self.0 * 100.0).round() as u32
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

impl Serialize for Percent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let number = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
        match number {
            Some(percent) if (0.0..=100.0).contains(&percent) => Ok(Self(percent)),
            _ => Err(D::Error::custom(format!("`{text}` is not a share (expected 5%, from 0% to 100%)"))),
        }
    }
}

/// How often in how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// How often.
    pub count: u32,
    /// In how long.
    pub per: Span,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.count, self.per)
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parsed = text.split_once('/').and_then(|(count, per)| {
            let per = match per.trim() {
                "hour" => Span::hours(1),
                "day" => Span::days(1),
                "week" => Span::days(7),
                "month" => Span::days(30),
                other => other.parse().ok()?,
            };
            Some(Self { count: count.trim().parse().ok()?, per })
        });
        parsed.ok_or_else(|| {
            D::Error::custom(format!("`{text}` is not a limit (expected 3/week, 1/day or 2/14d)"))
        })
    }
}

/// The rows that a training reaches back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Window {
    /// Those of the last so many days.
    Last(Span),
    /// All.
    #[default]
    All,
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Last(span) => span.fmt(f),
            Self::All => f.write_str("all"),
        }
    }
}

impl FromStr for Window {
    type Err = crate::time::InvalidTime;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "all" { Ok(Self::All) } else { text.parse().map(Self::Last) }
    }
}

impl Serialize for Window {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Window {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// A word, or a map of one key: the two ways to write a trigger or a candidate.
pub(super) struct WordOrPair<T> {
    pub(super) expecting: &'static str,
    pub(super) word: fn(&str) -> Option<T>,
    pub(super) pair: fn(&str, &str) -> Option<Result<T, String>>,
}

impl<'de, T> Visitor<'de> for WordOrPair<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expecting)
    }

    fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<T, E> {
        (self.word)(word)
            .ok_or_else(|| E::custom(format!("unknown word `{word}` (expected {})", self.expecting)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        let entry = map.next_entry::<String, String>()?;
        let (key, value) = entry.ok_or_else(|| A::Error::custom(format!("expected {}", self.expecting)))?;
        let found = (self.pair)(&key, &value)
            .ok_or_else(|| A::Error::custom(format!("unknown key `{key}` (expected {})", self.expecting)))?
            .map_err(A::Error::custom)?;
        if map.next_key::<String>()?.is_some() {
            return Err(A::Error::custom("expected one key only"));
        }
        Ok(found)
    }
}

/// Puts the YAML reader's error about `text` into our words.
pub(super) fn explain(file: &str, text: &str, error: &serde_saphyr::Error) -> Diagnostic {
    use serde_saphyr::Error;
    let place = error.location();
    let at = |diagnostic: Diagnostic| match place {
        Some(place) => diagnostic.at(place.line(), place.column()),
        None => diagnostic,
    };
    let one_of = |names: &[&'static str]| format!("one of {}", names.join(", "));
    let found = || place.map_or("", |place| scalar_at(text, place.line(), place.column()));
    match error.without_snippet() {
        Error::InvalidScalar { ty, .. } => {
            at(Diagnostic::new(file, format!("`{}` is of the wrong type", found()))).expected(type_name(ty))
        }
        Error::Unexpected { expected, .. } => {
            at(Diagnostic::new(file, format!("found `{}`", found()))).expected(*expected)
        }
        Error::SerdeInvalidType { unexpected, expected, .. } => {
            at(Diagnostic::new(file, format!("found {unexpected}"))).expected(expected.clone())
        }
        Error::SerdeUnknownField { field, expected, .. } => {
            at(Diagnostic::new(file, format!("unknown key `{field}`")))
                .expected(one_of(expected))
                .nearest(field, expected.iter().copied())
        }
        Error::SerdeUnknownVariant { variant, expected, .. } => {
            at(Diagnostic::new(file, format!("unknown value `{variant}`")))
                .expected(one_of(expected))
                .nearest(variant, expected.iter().copied())
        }
        Error::SerdeMissingField { field, .. } => {
            at(Diagnostic::new(file, format!("the key `{field}` is missing here")))
                .help(format!("add `{field}: …`"))
        }
        other => {
            let text = other.to_string();
            let message = text.lines().next().unwrap_or("it is not valid YAML");
            at(Diagnostic::new(file, message))
        }
    }
}

/// What stands at a place (both counted from 1), as far as a plain value goes.
fn scalar_at(text: &str, line: u64, column: u64) -> &str {
    let nth = |n: u64| usize::try_from(n.saturating_sub(1)).unwrap_or(usize::MAX);
    let line = text.lines().nth(nth(line)).unwrap_or_default();
    let rest = line.char_indices().nth(nth(column)).and_then(|(at, _)| line.get(at..)).unwrap_or_default();
    let value = rest.split(" #").next().unwrap_or_default();
    value.split([',', '}', ']']).next().unwrap_or_default().trim()
}

/// A Rust type, as people call it.
fn type_name(ty: &str) -> String {
    match ty {
        "bool" => "true or false",
        "f32" | "f64" => "a number",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, not negative",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        other => other,
    }
    .to_owned()
}

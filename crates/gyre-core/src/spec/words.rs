//! The small words of `gyre.yaml`: `5%`, `3/week`, `{window: 28d}`, `decay`; and what is said when one is wrong.

use std::fmt;
use std::str::FromStr;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::time::InvalidTime;
use crate::{Diagnostic, Span, Timestamp};

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
    /// All, the older the fewer: half of those that are so old, a quarter of those that are twice as old.
    Fading(Span),
    /// All.
    #[default]
    All,
}

/// The word before a half-life.
const FADING: &str = "fading";

impl Window {
    /// Where it begins, as of a moment; none where it takes rows of any age.
    pub fn since(self, as_of: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Last(span) => Some(as_of - span),
            Self::Fading(_) | Self::All => None,
        }
    }

    /// Whether it reaches back to `time`, as of a moment.
    pub fn reaches(self, time: Timestamp, as_of: Timestamp) -> bool {
        time < as_of && self.since(as_of).is_none_or(|since| since <= time)
    }

    /// Whether a row from `time`, the `row`-th of its table, is among those that a training as of a moment learns from.
    ///
    /// What fades is thinned out: every trainer, in whatever language, takes fewer rows, while not all take weights. Which rows
    /// are left follows from their time and number, so that the same table gives the same rows.
    pub fn takes(self, time: Timestamp, row: u64, as_of: Timestamp) -> bool {
        let left = match self {
            Self::Fading(half_life) => {
                let half_lives = as_of.since(time).as_millis() as f64 / half_life.as_millis() as f64;
                chance(time.as_millis() as u64 ^ row.rotate_left(32)) < (-half_lives).exp2()
            }
            Self::Last(_) | Self::All => true,
        };
        left && self.reaches(time, as_of)
    }
}

/// A number in 0..1 that follows from `n` and looks random (the finaliser of SplitMix64, Steele, Lea and Flood 2014).
fn chance(n: u64) -> f64 {
    let mut z = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Last(span) => span.fmt(f),
            Self::Fading(half_life) => write!(f, "{FADING} {half_life}"),
            Self::All => f.write_str("all"),
        }
    }
}

impl FromStr for Window {
    type Err = InvalidTime;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(' ') {
            _ if text == "all" => Ok(Self::All),
            Some((FADING, half_life)) => match half_life.trim_start().parse::<Span>()? {
                none if none <= Span::default() => Err(InvalidTime::Span(half_life.to_owned())),
                half_life => Ok(Self::Fading(half_life)),
            },
            _ => text.parse().map(Self::Last),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fades_is_halved_with_every_half_life_and_always_the_same() {
        let window: Window = "fading 10d".parse().unwrap();
        assert_eq!((window, window.to_string()), (Window::Fading(Span::days(10)), "fading 10d".to_owned()));
        let as_of = Timestamp::from_millis(0) + Span::days(1_000);
        let taken = |age: i64| {
            let rows = 0..20_000_u64;
            rows.filter(|row| window.takes(as_of - Span::days(age), *row, as_of)).count() as f64 / 20_000.0
        };
        for (age, share) in [(10, 0.5), (20, 0.25), (30, 0.125)] {
            assert!((taken(age) - share).abs() < 0.01, "{age}: {}", taken(age));
        }
        assert_eq!(taken(10), taken(10));
        assert!(!window.takes(as_of, 1, as_of), "not from the future");
        assert!("fading".parse::<Window>().is_err() && "fading soon".parse::<Window>().is_err());
        assert!("fading 0d".parse::<Window>().is_err());
    }
}

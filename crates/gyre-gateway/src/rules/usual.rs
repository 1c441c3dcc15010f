//! What is usual in a column: a range, a set of values, or anything; and what stands in for the rest.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use gyre_core::ids::nearest;
use gyre_core::record::{Kind, Value};
use gyre_core::spec::{Feature, Odd, Substitute};
use gyre_runtime::Column;
use gyre_stats::profile::ColumnReference;

/// Values that are named when one is not among them.
const NAMED: usize = 8;

/// What a column is expected to hold.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Usual {
    /// Numbers from the first to the second.
    Range(f64, f64),
    /// These numbers, ascending.
    Numbers(Vec<f64>),
    /// These categories.
    Categories(HashSet<Arc<str>>),
    /// Any number.
    AnyNumber,
    /// Any text.
    AnyText,
}

impl Usual {
    /// What `feature` declares, as far as it is of the column's kind.
    pub(super) fn declared(feature: &Feature, kind: Kind) -> Option<Self> {
        match (kind, feature.range, &feature.one_of) {
            (Kind::Number, Some((low, high)), _) => Some(Self::range(low, high)),
            (Kind::Number, None, Some(values)) => {
                let mut numbers: Vec<f64> =
                    values.iter().filter_map(Value::as_number).map(|number| number + 0.0).collect();
                numbers.sort_unstable_by(f64::total_cmp);
                Some(Self::Numbers(numbers))
            }
            (Kind::Text, _, Some(values)) => {
                Some(Self::Categories(values.iter().filter_map(Value::as_category).collect()))
            }
            _ => None,
        }
    }

    /// What the training rows held; none when that is not known whole.
    pub(super) fn trained(reference: &ColumnReference, kind: Kind) -> Option<Self> {
        match (reference, kind) {
            (ColumnReference::Numeric(numbers), Kind::Number) => {
                let moments = numbers.histogram().moments();
                Some(Self::range(moments.min()?, moments.max()?))
            }
            // Of a long tail the profile keeps the front only: what is not there may well have been seen.
            (ColumnReference::Categorical(categories), Kind::Text) if categories.is_complete() => {
                let known = categories.histogram().categories().iter();
                Some(Self::Categories(known.map(|name| Arc::from(name.as_str())).collect()))
            }
            _ => None,
        }
    }

    /// Nothing in particular.
    pub(super) fn anything(kind: Kind) -> Self {
        match kind {
            Kind::Number => Self::AnyNumber,
            Kind::Text => Self::AnyText,
        }
    }

    /// A range whose ends a caller may send in single precision.
    fn range(low: f64, high: f64) -> Self {
        let single = |end: f64| Some(f64::from(end as f32)).filter(|end| end.is_finite());
        Self::Range(
            single(low).map_or(low, |end| low.min(end)),
            single(high).map_or(high, |end| high.max(end)),
        )
    }

    /// Calls `odd` for each row whose value is not as usual: of `rows`, or of all.
    pub(super) fn scan(&self, column: &Column, rows: Option<&[usize]>, mut odd: impl FnMut(usize, Odd)) {
        match (self, column) {
            (Self::Range(low, high), Column::Numeric(values)) => each(values, rows, |row, value| {
                if !(*low <= *value && *value <= *high) {
                    odd(row, if value.is_nan() { Odd::Missing } else { Odd::OutOfRange });
                }
            }),
            (Self::Numbers(known), Column::Numeric(values)) => each(values, rows, |row, value| {
                if value.is_nan() {
                    odd(row, Odd::Missing);
                } else if known.binary_search_by(|number| number.total_cmp(&(value + 0.0))).is_err() {
                    odd(row, Odd::Unseen);
                }
            }),
            (Self::Categories(known), Column::Text(values)) => each(values, rows, |row, value| match value {
                None => odd(row, Odd::Missing),
                Some(name) if !known.contains(name) => odd(row, Odd::Unseen),
                Some(_) => {}
            }),
            (_, Column::Numeric(values)) => each(values, rows, |row, value| {
                if value.is_nan() {
                    odd(row, Odd::Missing);
                }
            }),
            (_, Column::Text(values)) => each(values, rows, |row, value| {
                if value.is_none() {
                    odd(row, Odd::Missing);
                }
            }),
        }
    }

    /// A name of the usual values that is near `found`.
    pub(super) fn nearest(&self, found: &str) -> Option<String> {
        let Self::Categories(known) = self else { return None };
        nearest(found, known.iter().map(|name| &**name)).map(str::to_owned)
    }
}

/// For people; names are as they are, a long list is cut.
impl fmt::Display for Usual {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, names: &mut dyn Iterator<Item = String>, all: usize| {
            let some: Vec<String> = names.take(NAMED).map(|name| short(&name)).collect();
            let more = if all > NAMED { format!(", … ({all} in all)") } else { String::new() };
            write!(f, "one of {}{more}", some.join(", "))
        };
        match self {
            Self::Range(low, high) => write!(f, "{low} to {high}"),
            Self::Numbers(known) => list(f, &mut known.iter().map(f64::to_string), known.len()),
            Self::Categories(known) => {
                let mut names: Vec<&Arc<str>> = known.iter().collect();
                names.sort_unstable();
                list(f, &mut names.into_iter().map(ToString::to_string), known.len())
            }
            Self::AnyNumber => f.write_str("a number"),
            Self::AnyText => f.write_str("a text"),
        }
    }
}

/// The values of `rows`, or of all rows.
fn each<T>(values: &[T], rows: Option<&[usize]>, mut seen: impl FnMut(usize, &T)) {
    match rows {
        None => values.iter().enumerate().for_each(|(row, value)| seen(row, value)),
        Some(rows) => rows.iter().for_each(|row| {
            if let Some(value) = values.get(*row) {
                seen(*row, value);
            }
        }),
    }
}

/// What callers sent may be long.
pub(super) fn short(text: &str) -> String {
    /// Characters that are shown.
    const SHOWN: usize = 60;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// What is put in place of a value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    Number(f64),
    Text(Arc<str>),
}

impl Cell {
    /// What `said` means for a column; none when there is nothing to take it from.
    pub(super) fn of(
        said: Option<&Substitute>,
        kind: Kind,
        reference: Option<&ColumnReference>,
    ) -> Option<Self> {
        match (said, kind, reference) {
            (Some(Substitute::Value(value)), Kind::Number, _) => value.as_number().map(Self::Number),
            (Some(Substitute::Value(value)), Kind::Text, _) => value.as_category().map(Self::Text),
            (None | Some(Substitute::Median), Kind::Number, Some(ColumnReference::Numeric(numbers))) => {
                numbers.quartiles().map(|quartiles| Self::Number(quartiles.median))
            }
            (None | Some(Substitute::Mode), Kind::Text, Some(ColumnReference::Categorical(categories))) => {
                let seen = categories.histogram();
                let most =
                    seen.categories().iter().zip(seen.counts()).rev().max_by_key(|(_, count)| **count)?;
                Some(Self::Text(most.0.as_str().into()))
            }
            _ => None,
        }
    }

    /// Puts itself into a row.
    pub(super) fn put(&self, column: &mut Column, row: usize) {
        match (self, column) {
            (Self::Number(number), Column::Numeric(values)) => {
                if let Some(value) = values.get_mut(row) {
                    *value = *number;
                }
            }
            (Self::Text(text), Column::Text(values)) => {
                if let Some(value) = values.get_mut(row) {
                    *value = Some(Arc::clone(text));
                }
            }
            // It was made for a column of this kind.
            _ => {}
        }
    }
}

impl From<&Cell> for Value {
    fn from(cell: &Cell) -> Self {
        match cell {
            Cell::Number(number) => Self::Number(*number),
            Cell::Text(text) => Self::Text(Arc::clone(text)),
        }
    }
}

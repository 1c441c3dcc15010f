//! A column's values as the reference takes them, in the order of time.

use std::sync::Arc;

use gyre_stats::profile::ColumnReference;

use super::OTHER_KIND;
use crate::columns::Values;

/// The share of numbers that must be known names where names are expected.
const KNOWN: f64 = 0.9;

/// Values in order of time, of the reference's kind.
pub(super) enum Cells<'a> {
    Numbers(Vec<f64>),
    Names(Vec<Option<&'a str>>),
}

/// Values of another kind.
pub(super) struct OtherKind {
    pub(super) found: &'static str,
    pub(super) expected: &'static str,
    pub(super) rows: u64,
}

impl<'a> Cells<'a> {
    /// The values of `rows`. Numbers that were written as text are numbers: a feature that is text to one version of a
    /// model is kept as text.
    pub(super) fn of(
        reference: &ColumnReference,
        values: &Values<'a>,
        rows: &[usize],
    ) -> Result<Self, OtherKind> {
        match (reference, values) {
            (ColumnReference::Numeric(_), Values::Numbers(values)) => Ok(Self::Numbers(
                rows.iter().map(|row| values.get(*row).copied().unwrap_or(f64::NAN)).collect(),
            )),
            (ColumnReference::Categorical(_), Values::Text(names)) => {
                Ok(Self::Names(rows.iter().map(|row| names.get(*row).and_then(Option::as_deref)).collect()))
            }
            (ColumnReference::Numeric(_), Values::Text(names)) => read_as_numbers(names, rows),
            (ColumnReference::Categorical(reference), Values::Numbers(values)) => {
                let present = rows.iter().filter_map(|row| values.get(*row)).filter(|value| !value.is_nan());
                let known = |value: &f64| {
                    let categories = reference.histogram().categories();
                    categories.binary_search_by(|name| name.as_str().cmp(&value.to_string())).is_ok()
                };
                let (all, known) = present
                    .fold((0_u64, 0_u64), |(all, sum), value| (all + 1, sum + u64::from(known(value))));
                if known as f64 >= KNOWN * all as f64 {
                    // Numbers that name what names did: nothing is wrong, and nothing more is said of them here.
                    return Ok(Self::Names(Vec::new()));
                }
                Err(OtherKind { found: "numbers", expected: "the names of training", rows: all - known })
            }
        }
    }

    /// Which rows have no value.
    pub(super) fn missing(&self) -> Vec<bool> {
        match self {
            Self::Numbers(values) => values.iter().map(|value| value.is_nan()).collect(),
            Self::Names(names) => names.iter().map(Option::is_none).collect(),
        }
    }
}

fn read_as_numbers<'a>(names: &[Option<Arc<str>>], rows: &[usize]) -> Result<Cells<'a>, OtherKind> {
    let mut other = 0_u64;
    let mut present = 0_u64;
    let numbers = rows.iter().map(|row| {
        let Some(Some(text)) = names.get(*row) else { return f64::NAN };
        present += 1;
        text.trim().parse::<f64>().unwrap_or_else(|_| {
            other += 1;
            f64::NAN
        })
    });
    let numbers = numbers.collect();
    if other > 0 && other as f64 >= OTHER_KIND * present as f64 {
        return Err(OtherKind { found: "text", expected: "numbers", rows: other });
    }
    Ok(Cells::Numbers(numbers))
}

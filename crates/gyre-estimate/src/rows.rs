//! Tables by row: which rows are learnt from, which are withheld, and tables on top of each other.

use std::ops::Range;

use gyre_runtime::{Column, Table};
use gyre_stats::performance::InputError;

use crate::EstimateError;

/// Parts of a cross-fit: each row is predicted by a learner that has not seen its part.
pub(crate) const PARTS: u64 = 5;

/// The part that a row is withheld from: SplitMix64 of its index (Steele et al. 2014), so that no period in the order of the
/// rows becomes a pattern of the parts.
pub(crate) fn part_of(row: usize) -> u64 {
    let z = (row as u64).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (z ^ (z >> 31)) % PARTS
}

/// At most `most` of `rows` rows, evenly spread over their order.
pub(crate) fn spread(rows: usize, most: usize) -> Vec<usize> {
    if rows <= most {
        return (0..rows).collect();
    }
    (0..most).map(|place| (place as u128 * rows as u128 / most as u128) as usize).collect()
}

pub(crate) fn same_length(expected: usize, found: usize) -> Result<(), InputError> {
    if expected == found { Ok(()) } else { Err(InputError::Lengths { expected, found }) }
}

/// The values at `rows`.
pub(crate) fn take<T: Clone>(values: &[T], rows: &[usize]) -> Vec<T> {
    rows.iter().filter_map(|row| values.get(*row)).cloned().collect()
}

/// The table's rows at `rows`.
pub(crate) fn select(table: &Table, rows: &[usize]) -> Result<Table, EstimateError> {
    let column = |column: &Column| match column {
        Column::Numeric(values) => Column::Numeric(take(values, rows)),
        Column::Text(values) => Column::Text(take(values, rows)),
    };
    Ok(Table::of_distinct(table.columns().iter().map(|(name, values)| (name.clone(), column(values))))?)
}

/// The table's rows in `range`; none beyond its end.
pub(crate) fn slice(table: &Table, range: Range<usize>) -> Result<Table, EstimateError> {
    let column = |column: &Column| match column {
        Column::Numeric(values) => Column::Numeric(values.get(range.clone()).unwrap_or_default().to_vec()),
        Column::Text(values) => Column::Text(values.get(range.clone()).unwrap_or_default().to_vec()),
    };
    Ok(Table::of_distinct(table.columns().iter().map(|(name, values)| (name.clone(), column(values))))?)
}

/// The table with more columns of numbers to its right.
pub(crate) fn beside(table: &Table, more: &[(&str, Vec<f64>)]) -> Result<Table, EstimateError> {
    let columns = table.columns().iter().cloned();
    let more = more.iter().map(|(name, values)| ((*name).into(), Column::Numeric(values.clone())));
    Ok(Table::new(columns.chain(more))?)
}

/// The upper table's rows, then those of the lower, in the upper's columns.
pub(crate) fn stack(upper: &Table, lower: &Table) -> Result<Table, EstimateError> {
    let mut columns = Vec::with_capacity(upper.columns().len());
    for (name, above) in upper.columns() {
        let below = lower.column(name).ok_or_else(|| EstimateError::MissingColumn(name.to_string()))?;
        let column = match (above, below) {
            (Column::Numeric(above), Column::Numeric(below)) => {
                Column::Numeric([above.as_slice(), below].concat())
            }
            (Column::Text(above), Column::Text(below)) => Column::Text([above.as_slice(), below].concat()),
            _ => {
                return Err(EstimateError::Kind {
                    column: name.to_string(),
                    found: below.kind(),
                    expected: above.kind(),
                });
            }
        };
        columns.push((name.clone(), column));
    }
    Ok(Table::of_distinct(columns)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_covers_the_whole_order() {
        assert_eq!(spread(3, 10), [0, 1, 2]);
        assert_eq!(spread(10, 4), [0, 2, 5, 7]);
        assert!(spread(0, 4).is_empty() && spread(4, 0).is_empty());
    }

    #[test]
    fn parts_are_about_equal() {
        for part in 0..PARTS {
            let share = (0..10_000).filter(|row| part_of(*row) == part).count();
            assert!((1900..2100).contains(&share), "{part}: {share}");
        }
    }

    #[test]
    fn tables_that_do_not_fit_are_refused_by_name() {
        let table = |name: &str, column| Table::new([(name, column)]).unwrap();
        let numbers = table("a", Column::Numeric(vec![1.0]));
        let text = table("a", Column::Text(vec![None]));
        let error = stack(&numbers, &text).unwrap_err().to_string();
        assert_eq!(error, "column \"a\" is text, expected numeric as in the reference");
        let error = stack(&numbers, &table("b", Column::Numeric(vec![]))).unwrap_err().to_string();
        assert_eq!(error, "column \"a\" of the reference is missing");
        assert!(beside(&numbers, &[("a", vec![2.0])]).is_err());
        assert!(beside(&numbers, &[("b", vec![])]).is_err());
    }
}

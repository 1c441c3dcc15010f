//! Data checks: whether a batch of data may be trained on, with the reasons when it may not.
//!
//! All checks of a dataset run in one pass over the rows. Everything that fails is reported, each with its
//! numbers and the first row that shows it, so that one look is enough to know what broke upstream.

mod tally;
mod words;

use std::path::Path;

use gyre_core::spec::DataCheck;

use crate::table::{Table, TableError};
use tally::Tally;

/// What the checks found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Rows that were read.
    pub rows: u64,
    /// Each condition that does not hold, in words with numbers; none when the data may be used.
    pub failures: Vec<String>,
}

impl Report {
    /// Whether the data may be used.
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }
}

/// Runs `checks` over the table at `path`. A table without rows never passes.
///
/// Memory is bounded by a batch of rows, but for `unique`, which keeps 16 bytes of every value.
///
/// # Errors
/// When the table cannot be read; data that is readable but wrong is a [`Report`] with failures.
pub fn run<'a>(path: &Path, checks: impl IntoIterator<Item = &'a DataCheck>) -> Result<Report, TableError> {
    let mut table = Table::open(path)?;
    let columns = table.columns();
    let mut tallies: Vec<Tally<'_>> = checks.into_iter().map(|check| Tally::new(check, &columns)).collect();
    let mut rows = 0;
    for batch in &mut table {
        let batch = batch?;
        rows += batch.rows() as u64;
        for tally in &mut tallies {
            tally.add(&batch)?;
        }
    }
    let mut failures: Vec<String> = tallies.iter().flat_map(|tally| tally.failures(rows)).collect();
    if rows == 0 {
        failures.insert(0, "the data is empty: 0 rows".to_owned());
    }
    Ok(Report { rows, failures })
}

#[cfg(test)]
mod tests {
    use super::*;
    use gyre_core::Value;
    use gyre_core::spec::ColumnType;

    fn check(column: &str) -> DataCheck {
        let column = (!column.is_empty()).then(|| column.to_owned());
        DataCheck { column, kind: None, range: None, nulls: None, one_of: None, unique: false, rows: None }
    }

    fn report(text: &str, checks: &[DataCheck]) -> Report {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        run(file.path(), checks).unwrap()
    }

    /// 51,000 flights, three of them over an impossible distance.
    fn flights() -> String {
        let mut text = "id,distance_miles,origin,when\n".to_owned();
        for row in 1..=51_000 {
            let distance = if [17, 400, 50_999].contains(&row) { 99_999 } else { row % 6000 + 1 };
            let origin = ["EWR", "JFK", "LGA"][row % 3];
            text += &format!("{row},{distance},{origin},2013-01-01T00:00:00\n");
        }
        text
    }

    #[test]
    fn good_data_passes() {
        let checks = [
            DataCheck { kind: Some(ColumnType::Int), nulls: Some(0.0), unique: true, ..check("id") },
            DataCheck {
                kind: Some(ColumnType::Float),
                range: Some((1.0, 99_999.0)),
                ..check("distance_miles")
            },
            DataCheck {
                one_of: Some(["EWR", "JFK", "LGA"].map(|t| Value::Text(t.into())).to_vec()),
                ..check("origin")
            },
            DataCheck { kind: Some(ColumnType::Time), ..check("when") },
            DataCheck { rows: Some((1, 100_000)), ..check("") },
        ];
        assert_eq!(report(&flights(), &checks), Report { rows: 51_000, failures: vec![] });
    }

    #[test]
    fn every_failure_is_told_with_its_numbers() {
        let checks = [
            DataCheck { range: Some((1.0, 6000.0)), ..check("distance_miles") },
            DataCheck {
                one_of: Some(["EWR", "JFK"].map(|t| Value::Text(t.into())).to_vec()),
                ..check("origin")
            },
            DataCheck { unique: true, ..check("distance_miles") },
            DataCheck { kind: Some(ColumnType::Int), ..check("origin") },
            DataCheck { nulls: Some(0.0), ..check("distance") },
            DataCheck { rows: Some((100_000, 200_000)), ..check("") },
        ];
        assert_eq!(
            report(&flights(), &checks).failures,
            [
                "column distance_miles: 3 of 51,000 values outside 1..6000, first 99999 at row 17",
                "column origin: 17,000 of 51,000 values not among EWR, JFK, first LGA at row 2",
                "column distance_miles: 44,999 of 51,000 values occur before, first 99999 at row 400",
                "column origin: holds text, expected whole numbers",
                "column distance: missing from the data",
                "51,000 rows, expected 100,000 to 200,000",
            ]
        );
    }

    #[test]
    fn nulls_are_counted_as_a_share_and_are_never_out_of_range() {
        let text = "x\n1\nNA\nNA\n2\n";
        let limits = DataCheck { nulls: Some(0.25), range: Some((0.0, 5.0)), ..check("x") };
        assert_eq!(
            report(text, &[limits]).failures,
            ["column x: 2 of 4 values missing (50 %), allowed 25 %, first at row 2"]
        );
        assert!(report(text, &[DataCheck { nulls: Some(0.5), ..check("x") }]).passed());
    }

    #[test]
    fn text_where_a_range_was_asked_for_is_a_failure_in_words() {
        let found = report("x\na\n", &[DataCheck { range: Some((0.0, 1.0)), ..check("x") }]);
        assert_eq!(found.failures, ["column x: holds text, so the range 0..1 cannot hold"]);
    }

    #[test]
    fn empty_data_never_passes() {
        assert_eq!(report("a,b\n", &[]).failures, ["the data is empty: 0 rows"]);
    }
}

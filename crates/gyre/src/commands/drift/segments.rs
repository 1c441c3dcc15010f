//! The same comparison within each value of a column: what holds on the whole need not hold in a part, and the other way about.

use std::path::Path;

use gyre_core::Diagnostic;
use gyre_data::divide::{divide, frequent};
use gyre_drift::{Comparison, Settings, Verdict, Why};
use serde::Serialize;

use super::{refused, text};
use crate::failure::Failure;
use crate::show;

/// Values that are looked at one by one.
const MOST: usize = 20;

/// The comparisons by segment.
#[derive(Debug, Serialize)]
pub(super) struct BySegment {
    /// The column that divides the rows.
    column: String,
    /// Values of it beyond the most frequent ones, which were not looked at.
    others: usize,
    /// The most frequent values of the reference, and what has changed among their rows.
    segments: Vec<OfSegment>,
}

#[derive(Debug, Serialize)]
struct OfSegment {
    segment: String,
    reference_rows: u64,
    current_rows: u64,
    #[serde(flatten)]
    found: Comparison,
}

/// Compares the rows of each of the most frequent values of `column`. The rate of false discoveries is divided among them.
pub(super) fn compare(
    column: &str,
    (before, after): (&Path, &Path),
    columns: Option<&[String]>,
    whole: &Comparison,
) -> Result<BySegment, Failure> {
    let wrong = |told: &str| {
        Failure::Input(vec![Diagnostic::new(before.display().to_string(), format!("--by {column}: {told}"))])
    };
    if columns.is_some_and(|columns| columns.iter().all(|name| name == column)) {
        return Err(wrong("no other column is compared within its values"));
    }
    let frequent = frequent(before, column, MOST).map_err(refused)?;
    let frequent = frequent.ok_or_else(|| {
        wrong("it has more than 100,000 values; expected a column that divides the rows into groups")
    })?;
    if frequent.values.is_empty() {
        return Err(wrong("it has no values, so there is nothing to divide by"));
    }
    let values: Vec<String> = frequent.values.into_iter().map(|(value, _)| value).collect();
    let folder = tempfile::tempdir()?;
    let parts = |path: &Path, name: &str| {
        divide(path, (column, &values), columns, (folder.path(), name)).map_err(refused)
    };
    let (old, new) = (parts(before, "before")?, parts(after, "after")?);
    let rate = whole.settings.false_discovery_rate / values.len() as f64;
    let settings = Settings { false_discovery_rate: rate, ..whole.settings };
    let mut segments = Vec::new();
    for (old, new) in old.iter().zip(&new) {
        let mut found = gyre_drift::compare(&old.path, &new.path, columns, &settings, &|_, _| {})
            .map_err(Failure::because)?;
        // Within a segment the column that divides is one value.
        found.columns.retain(|of| of.name != column);
        let named = |whole: &str| format!("{whole}, {column} = {}", old.value);
        (found.reference, found.current) = (named(&whole.reference), named(&whole.current));
        let (segment, reference_rows, current_rows) = (old.value.clone(), old.rows, new.rows);
        segments.push(OfSegment { segment, reference_rows, current_rows, found });
    }
    Ok(BySegment { column: column.to_owned(), others: frequent.others, segments })
}

impl BySegment {
    /// Whether a column drifts in one of them.
    pub(super) fn has_drift(&self) -> bool {
        self.segments.iter().any(|of| of.found.has_drift())
    }

    /// A row for each segment.
    pub(super) fn table(&self) -> String {
        let row = |of: &OfSegment| {
            let drifting = of.found.columns.iter().filter(|column| column.judged.verdict == Verdict::Drift);
            let mut told: Vec<String> =
                drifting.map(|column| format!("{}: {}", column.name, text::why(column))).collect();
            let vanished = of.found.unmatched(Why::Vanished) + of.found.unmatched(Why::Retyped);
            if of.current_rows > 0 && vanished > 0 {
                told.push(format!("{vanished} columns vanished or of another type"));
            }
            let told = match (told.is_empty(), of.found.is_judged()) {
                (true, true) => "nothing".to_owned(),
                (true, false) => "too few rows".to_owned(),
                (false, _) => told.join("\n"),
            };
            vec![of.segment.clone(), of.reference_rows.to_string(), of.current_rows.to_string(), told]
        };
        let name = self.column.to_uppercase();
        let header = [name.as_str(), "REFERENCE ROWS", "CURRENT ROWS", "WHAT DRIFTS"];
        let table = show::table(&header, &[1, 2], self.segments.iter().map(row).collect());
        match self.others {
            0 => table,
            others => format!("{table}\nand {others} rarer values of {}, not looked at", self.column),
        }
    }
}

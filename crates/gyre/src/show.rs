//! How answers look: tables for people, JSON for programs.

use std::fmt::Display;
use std::io::{ErrorKind, Write};

use comfy_table::{CellAlignment, Table, presets};
use gyre_core::{Timestamp, Version};
use serde::Serialize;

use crate::failure::Failure;

/// Writes a line or several to standard output; styles are taken away where it is no terminal. Whoever closes the pipe
/// has seen enough: that is no failure.
pub(crate) fn say(text: impl Display) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Writes `value` as JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    say(serde_json::to_string_pretty(value)?)
}

/// Aligned columns under a header; the columns whose numbers are in `right` are flush right.
pub(crate) fn table(header: &[&str], right: &[usize], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.iter().copied());
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    for index in right {
        if let Some(column) = table.column_mut(*index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut lines = table.lines();
    let header = lines.next().map(|line| strong(line.trim_end())).unwrap_or_default();
    let rest = lines.map(|line| format!("\n{}", line.trim_end()));
    std::iter::once(header).chain(rest).collect()
}

/// Bold on a terminal.
pub(crate) fn strong(text: &str) -> String {
    format!("\u{1b}[1m{text}\u{1b}[0m")
}

/// Green on a terminal.
pub(crate) fn good(text: &str) -> String {
    format!("\u{1b}[32m{text}\u{1b}[0m")
}

/// Red on a terminal.
pub(crate) fn bad(text: &str) -> String {
    format!("\u{1b}[31m{text}\u{1b}[0m")
}

/// A share of traffic, from hundredths of a percent.
pub(crate) fn share(hundredths: u32) -> String {
    format!("{}%", f64::from(hundredths) / 100.0)
}

/// Who takes how much traffic: `v3 95%, v4 5%`.
pub(crate) fn shares(weights: impl IntoIterator<Item = (Version, u32)>) -> String {
    let each = weights.into_iter().filter(|(_, weight)| *weight > 0);
    let told: Vec<String> = each.map(|(version, weight)| format!("v{version} {}", share(weight))).collect();
    if told.is_empty() { "–".to_owned() } else { told.join(", ") }
}

/// A version that may not be there.
pub(crate) fn version(version: Option<Version>) -> String {
    version.map_or_else(|| "–".to_owned(), |version| format!("v{version}"))
}

/// A moment to the minute, in UTC: `2013-03-01 05:15`.
pub(crate) fn minute(moment: Timestamp) -> String {
    moment.to_string().chars().take(16).collect::<String>().replacen('T', " ", 1)
}

/// A number to four significant digits.
pub(crate) fn number(value: f64) -> String {
    gyre_report::format::number(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_without_trailing_blanks() {
        let rows = [["air-time", "7"], ["x", "12"]].map(|row| row.map(str::to_owned).to_vec()).to_vec();
        let shown = table(&["MODEL", "VERSIONS"], &[1], rows);
        let plain = shown.replace("\u{1b}[1m", "").replace("\u{1b}[0m", "");
        assert_eq!(plain, "MODEL     VERSIONS\nair-time         7\nx               12");
    }

    #[test]
    fn shares_and_moments_read_well() {
        assert_eq!(shares([(3, 9_500), (4, 500), (5, 0)]), "v3 95%, v4 5%");
        assert_eq!(shares([]), "–");
        assert_eq!(minute("2013-03-01T05:15:09Z".parse().unwrap()), "2013-03-01 05:15");
    }
}

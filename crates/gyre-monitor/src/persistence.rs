//! From windows that drifted to an alarm: what lasts is told, what comes and goes is not.
//!
//! A single window can be odd for reasons that are gone with the next one. A column is in alarm when it drifted in
//! [`ENOUGH`] of the last [`REMEMBERED`] windows, and out of it when it drifted in none of them: what it takes to raise an
//! alarm is more than what it takes to keep it, so that a column at the edge does not ring at every other window.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Of the last windows, how many must have drifted.
pub const ENOUGH: u32 = 2;
/// How many windows are remembered.
pub const REMEMBERED: u32 = 3;

/// The windows of late, column by column.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Persistence(BTreeMap<String, Column>);

/// A column that drifted of late.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Column {
    /// A bit a window, the newest lowest.
    recent: u8,
    in_alarm: bool,
}

/// What a window changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Turned {
    /// Columns that are in alarm from now on.
    pub raised: Vec<String>,
    /// Columns that are in alarm no more.
    pub cleared: Vec<String>,
}

impl Persistence {
    /// Takes note of the columns that drifted in a window.
    pub fn window<'a>(&mut self, drifted: impl IntoIterator<Item = &'a str>) -> Turned {
        for column in self.0.values_mut() {
            column.recent = (column.recent << 1) & ((1 << REMEMBERED) - 1);
        }
        for name in drifted {
            match self.0.get_mut(name) {
                Some(column) => column.recent |= 1,
                None => drop(self.0.insert(name.to_owned(), Column { recent: 1, in_alarm: false })),
            }
        }
        let mut turned = Turned::default();
        for (name, column) in &mut self.0 {
            if !column.in_alarm && column.recent.count_ones() >= ENOUGH {
                column.in_alarm = true;
                turned.raised.push(name.clone());
            } else if column.in_alarm && column.recent == 0 {
                column.in_alarm = false;
                turned.cleared.push(name.clone());
            }
        }
        self.0.retain(|_, column| column.recent > 0);
        turned
    }

    /// The columns in alarm.
    pub fn in_alarm(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|(_, column)| column.in_alarm).map(|(name, _)| name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lasts_is_told_once_and_what_comes_and_goes_never() {
        let mut persistence = Persistence::default();
        let mut window = |drifted: &[&str]| persistence.window(drifted.iter().copied());
        assert_eq!(window(&["wind", "odd"]), Turned::default());
        assert_eq!(window(&[]), Turned::default());
        assert_eq!(window(&["wind"]).raised, ["wind"]);
        assert_eq!(window(&["wind", "odd"]), Turned::default());
        // Once in three keeps it; it is told when all three were calm.
        for _ in 0..2 {
            assert_eq!(window(&[]), Turned::default());
        }
        assert_eq!(window(&[]), Turned { raised: vec![], cleared: vec!["wind".to_owned()] });
        assert_eq!(persistence, Persistence::default(), "nothing is kept of what is over");
    }
}

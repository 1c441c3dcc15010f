//! Whether two things that are said of traces go together: normalised pointwise mutual information.
//!
//! NPMI is ln(p12 / (p1 p2)) / -ln p12: 1 when the two always come together, 0 when they are independent, -1 when they
//! never do (Bouma 2009). The smoothed figure adds one half to each cell of the table first (Jeffreys' prior), so that few
//! traces do not shout.

use std::collections::HashSet;

use gyre_core::Digest;
use gyre_store::{StoreError, Tx};

use crate::limits::invalid;
use crate::search::{Search, all};

/// The most traces that a filter may find here.
const TRACES: usize = 1_000_000;

/// How two filters go together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Correlation {
    /// NPMI; NaN when one of the filters finds nothing.
    pub npmi: f64,
    /// The same, smoothed.
    pub smoothed: f64,
    /// How many traces the first filter finds.
    pub first: u64,
    /// How many traces the second finds.
    pub second: u64,
    /// How many both find.
    pub both: u64,
    /// How many there are.
    pub total: u64,
}

/// Counts what filters find in experiments among the traces that `base` finds, and says how they go together.
///
/// # Errors
/// [`StoreError::Invalid`] for a filter that is none, or that finds more than a million traces.
pub fn correlation(
    tx: &mut Tx<'_>,
    experiments: &[i64],
    [first, second]: [&str; 2],
    base: Option<&str>,
) -> Result<Correlation, StoreError> {
    let base = base.filter(|base| !base.trim().is_empty());
    let with_base = |filter: &str| match base {
        Some(base) if filter.trim().is_empty() => base.to_owned(),
        Some(base) => format!("{base} AND {filter}"),
        None => filter.to_owned(),
    };
    let mut found = |filter: &str| -> Result<HashSet<[u8; 8]>, StoreError> {
        let mut ids = HashSet::new();
        let search = Search::new(experiments.to_vec(), filter, &[])?;
        let mut many = false;
        all(tx, &search, |id| {
            many = ids.len() >= TRACES;
            // Eight bytes of a digest tell a million ids apart, and need a fraction of their room.
            ids.insert(short(&id));
            !many
        })?;
        if many {
            Err(invalid(format!("a filter finds more than {TRACES} traces; narrow it by time")))
        } else {
            Ok(ids)
        }
    };
    let total = found(base.unwrap_or_default())?.len();
    let (first, second) = (found(&with_base(first))?, found(&with_base(second))?);
    let both = first.intersection(&second).count();
    Ok(of_counts(both as u64, first.len() as u64, second.len() as u64, total as u64))
}

fn short(id: &str) -> [u8; 8] {
    let digest = Digest::of(id.as_bytes()).to_hex();
    let mut short = [0; 8];
    for (to, from) in short.iter_mut().zip(digest.bytes()) {
        *to = from;
    }
    short
}

fn of_counts(both: u64, first: u64, second: u64, total: u64) -> Correlation {
    let cells = [
        Some(both),
        first.checked_sub(both),
        second.checked_sub(both),
        (total + both).checked_sub(first + second),
    ];
    let (npmi, smoothed) = match cells {
        [Some(n11), Some(n10), Some(n01), Some(n00)] if first > 0 && second > 0 => {
            let cells = [n11 as f64, n10 as f64, n01 as f64, n00 as f64];
            let plain = if both == 0 { -1.0 } else { npmi(cells) };
            (plain, npmi(cells.map(|cell| cell + 0.5)))
        }
        _ => (f64::NAN, f64::NAN),
    };
    Correlation { npmi, smoothed, first, second, both, total }
}

fn npmi([n11, n10, n01, n00]: [f64; 4]) -> f64 {
    if n10 == 0.0 && n01 == 0.0 && n00 == 0.0 {
        return 1.0;
    }
    let total = n11 + n10 + n01 + n00;
    let joint = (n11 / total).ln();
    let mutual = joint - ((n11 + n10) / total).ln() - ((n11 + n01) / total).ln();
    (mutual / -joint).clamp(-1.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_the_definition() {
        // ln(0.1 / (0.2 * 0.15)) / -ln(0.1), by hand.
        let found = of_counts(10, 20, 15, 100);
        assert!((found.npmi - 0.522_878_745_280_337_6).abs() < 1e-12, "{}", found.npmi);
        assert!(found.smoothed < found.npmi && found.smoothed > 0.0);
        assert_eq!(of_counts(0, 5, 5, 10).npmi, -1.0);
        assert_eq!(of_counts(10, 10, 10, 10).npmi, 1.0);
        assert!(of_counts(0, 0, 5, 10).npmi.is_nan());
        assert!((of_counts(25, 50, 50, 100).npmi).abs() < 1e-12);
    }
}

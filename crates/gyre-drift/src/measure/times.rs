//! Times: by the hour of the day and the day of the week.

use gyre_stats::drift::{MINIMUM_ROWS, chi_square};

use super::{Bin, Kind, Measured, Side, Test, largest_change, share};

const HOUR: f64 = 3_600.0;
const DAY: f64 = 24.0 * HOUR;
const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

/// Compares two columns of times (seconds since 1970, UTC), of each the missing rows and the values.
pub(super) fn measure(before: (u64, &[f64]), after: (u64, &[f64])) -> Measured {
    let ((missing_before, before), (missing_after, after)) = (before, after);
    let enough = (before.len().min(after.len()) as u64) >= MINIMUM_ROWS;
    let (mut tests, mut distances) = (Vec::new(), Vec::new());
    for (test, distance, bins, cycle) in [
        ("chi_square_hour", "l_infinity_hour", 24, DAY),
        ("chi_square_weekday", "l_infinity_weekday", 7, 7.0 * DAY),
    ] {
        let (old, new) = (folded(before, bins, cycle), folded(after, bins, cycle));
        let found = chi_square(&old, &new).map(|found| (found.statistic, found.p_value));
        // Where all rows of both fall into one part of the cycle, it has not changed, although there is nothing to test.
        let used = old.iter().zip(&new).filter(|(old, new)| **old + **new > 0).count();
        let found = found.or((used == 1).then_some((0.0, 1.0))).filter(|_| enough);
        let test = |(statistic, p_value)| Test { name: test, statistic, p_value, decides: true };
        tests.extend(found.map(test));
        distances.extend(largest_change(distance, &old, &new).filter(|_| enough));
    }
    let (old, new) = (folded(before, 7, 7.0 * DAY), folded(after, 7, 7.0 * DAY));
    let bin =
        |(name, (reference, current)): (&str, (u64, u64))| Bin { name: name.to_owned(), reference, current };
    Measured {
        kind: Kind::Times,
        reference: side(missing_before, before),
        current: side(missing_after, after),
        tests,
        distances,
        shares: vec![share(
            "missing",
            (missing_before, missing_before + before.len() as u64),
            (missing_after, missing_after + after.len() as u64),
        )],
        bins: DAYS.into_iter().zip(old.into_iter().zip(new)).map(bin).collect(),
    }
}

/// Rows in each part of a cycle of so many seconds that began with 1970.
fn folded(seconds: &[f64], bins: usize, cycle: f64) -> Vec<u64> {
    let mut counts = vec![0; bins];
    for second in seconds.iter().filter(|second| second.is_finite()) {
        let at = second.rem_euclid(cycle) / cycle * bins as f64;
        counts[(at as usize).min(bins - 1)] += 1;
    }
    counts
}

fn side(missing: u64, seconds: &[f64]) -> Side {
    Side {
        rows: missing + seconds.len() as u64,
        missing,
        least: seconds.iter().copied().reduce(f64::min),
        greatest: seconds.iter().copied().reduce(f64::max),
        ..Side::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_times_are_no_drift_and_other_hours_are() {
        // Every quarter of an hour of two weeks, and of the two that follow; then only by night.
        let quarter = |from: i32| (from..from + 1_344).map(|at| f64::from(at) * 900.0).collect::<Vec<_>>();
        let later = measure((0, &quarter(0)), (0, &quarter(1_344)));
        assert_eq!((later.p_value(), later.is_earlier()), (Some(1.0), false));
        assert!(measure((0, &quarter(1_344)), (0, &quarter(0))).is_earlier());
        let night: Vec<f64> =
            quarter(1_344).into_iter().filter(|at| at.rem_euclid(DAY) < 6.0 * HOUR).collect();
        let found = measure((0, &quarter(0)), (0, &night));
        assert!(found.tests[0].p_value < 1e-9 && found.tests[1].p_value > 0.9, "{found:?}");
        assert_eq!(folded(&[0.0, -1.0], 7, 7.0 * DAY), [1, 0, 0, 0, 0, 0, 1], "1970 began on a Thursday");
    }
}

//! A metric's history, whole or sampled.

use gyre_store::{StoreError, Tx};

use crate::limits::shown;
use crate::points::{Point, arrange, decode};
use crate::runs;

/// All points that the run with the number `run` logged under `key`: by timestamp, step and value, without repeats.
///
/// # Errors
/// What the store said.
pub fn all(tx: &mut Tx<'_>, run: i64, key: &str) -> Result<Vec<Point>, StoreError> {
    let mut points = Vec::new();
    let sql = "SELECT points FROM tracking_points WHERE run = ?1 AND key = ?2 ORDER BY chunk";
    tx.query_each(sql, &[run.into(), key.into()], |row| {
        let bytes: Vec<u8> = row.get(0)?;
        decode(&bytes, &mut points).ok_or_else(|| StoreError::Corrupt {
            table: "tracking_points",
            reason: format!("a chunk of `{}` is not made of blocks", shown(key)),
        })
    })?;
    arrange(&mut points);
    Ok(points)
}

/// All points of the run `run_id`; none for an unknown run, as MLflow has it.
///
/// # Errors
/// What the store said.
pub fn of_run(tx: &mut Tx<'_>, run_id: &str, key: &str) -> Result<Vec<Point>, StoreError> {
    match runs::find(tx, run_id)? {
        Some(run) => all(tx, run.run, key),
        None => Ok(Vec::new()),
    }
}

/// At most `most` points, evenly over those whose step lies within `steps` (both ends included), in the order of step,
/// timestamp and value; the first and the last are always among them (the last alone, when only one is asked for).
pub fn sample(mut points: Vec<Point>, steps: Option<(i64, i64)>, most: usize) -> Vec<Point> {
    if let Some((from, to)) = steps {
        points.retain(|point| (from..=to).contains(&point.step));
    }
    if !points.is_sorted_by_key(Point::rank) {
        points.sort_by_key(Point::rank);
    }
    let (count, most) = (points.len(), most.max(1));
    if count <= most {
        return points;
    }
    if most == 1 {
        return points.pop().into_iter().collect();
    }
    // Even steps through the ranks; in 128 bits nothing overflows.
    let rank = |place: usize| ((place as u128 * (count as u128 - 1)) / (most as u128 - 1)) as usize;
    (0..most).filter_map(|place| points.get(rank(place)).copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_even_and_keeps_both_ends() {
        let points: Vec<Point> = (0..1000).map(|i| Point::new(i, i, 0.0)).collect();
        let steps = |points: Vec<Point>| points.iter().map(|p| p.step).collect::<Vec<_>>();
        let sampled = steps(sample(points.clone(), None, 4));
        assert_eq!(sampled, [0, 333, 666, 999]);
        assert_eq!(steps(sample(points.clone(), Some((10, 12)), 4)), [10, 11, 12]);
        assert_eq!(steps(sample(points.clone(), None, 1)), [999]);
        assert_eq!(sample(points, None, 320).len(), 320);
        let one_step: Vec<Point> = (0..100).map(|i| Point::new(i, 0, 0.0)).collect();
        assert_eq!(sample(one_step, None, 10).len(), 10);
        assert!(sample(Vec::new(), None, 10).is_empty());
    }
}

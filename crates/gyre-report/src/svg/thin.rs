//! Fewer points, same picture. A screen has about a thousand columns; of ten thousand points most would be drawn over
//! each other. Min/max bucketing keeps the first, lowest, highest and last point of each bucket, so that no spike and no
//! jump disappears. (The idea is that of M4: Jugel et al., "M4: A Visualization-Oriented Time Series Data Aggregation",
//! VLDB 2014.)

use super::{Point, scale::drawable};

/// The most points of one series that are drawn.
pub(crate) const MOST_POINTS: usize = 1_000;

/// An unbroken stretch of a series: UTC milliseconds and finite values, in time order.
pub(crate) type Stretch = Vec<(i64, f64)>;

/// Sorts by time, splits at gaps (no value, NaN, infinite) and thins to at most [`MOST_POINTS`] points in all. Points on
/// the two sides of a gap never end up in the same stretch.
pub(crate) fn stretches(points: &[Point]) -> Vec<Stretch> {
    let mut sorted: Vec<(i64, Option<f64>)> = points.iter().map(|p| (p.at_ms, drawable(p.value))).collect();
    sorted.sort_by_key(|&(at_ms, _)| at_ms);

    let mut out: Vec<Stretch> = Vec::new();
    let mut broken = true;
    let bucket = if sorted.len() <= MOST_POINTS { 1 } else { sorted.len().div_ceil(MOST_POINTS / 4) };
    for chunk in sorted.chunks(bucket) {
        let kept = extremes(chunk);
        for (i, &(at_ms, value)) in chunk.iter().enumerate() {
            let Some(value) = value else {
                broken = true;
                continue;
            };
            if !kept.contains(&Some(i)) {
                continue;
            }
            match out.last_mut() {
                Some(stretch) if !broken => stretch.push((at_ms, value)),
                _ => out.push(vec![(at_ms, value)]),
            }
            broken = false;
        }
    }
    out
}

/// Where the first, lowest, highest and last values of the bucket stand.
fn extremes(chunk: &[(i64, Option<f64>)]) -> [Option<usize>; 4] {
    let valued = || chunk.iter().enumerate().filter_map(|(i, &(_, v))| v.map(|v| (i, v)));
    [
        valued().next().map(|(i, _)| i),
        valued().min_by(|a, b| a.1.total_cmp(&b.1)).map(|(i, _)| i),
        valued().max_by(|a, b| a.1.total_cmp(&b.1)).map(|(i, _)| i),
        valued().next_back().map(|(i, _)| i),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(at_ms: i64, value: f64) -> Point {
        Point { at_ms, value: Some(value) }
    }

    #[test]
    fn ten_thousand_points_become_a_thousand_and_keep_the_spike() {
        let mut points: Vec<Point> = (0..10_000).map(|i| point(i, (i as f64 / 500.0).sin())).collect();
        points[7_777].value = Some(42.0);
        points[3_333].value = Some(-42.0);
        let thinned = stretches(&points);
        assert_eq!(thinned.len(), 1);
        let drawn = &thinned[0];
        assert!(drawn.len() <= MOST_POINTS && drawn.len() > 500, "{}", drawn.len());
        assert!(drawn.contains(&(7_777, 42.0)) && drawn.contains(&(3_333, -42.0)));
        assert_eq!((drawn[0].0, drawn[drawn.len() - 1].0), (0, 9_999));
        assert!(drawn.is_sorted_by_key(|p| p.0));
    }

    #[test]
    fn a_gap_is_never_bridged() {
        let mut points: Vec<Point> = (0..10_000).map(|i| point(i, 1.0)).collect();
        points[5_001].value = None;
        let thinned = stretches(&points);
        assert_eq!(thinned.len(), 2);
        assert!(thinned[0].iter().all(|p| p.0 < 5_001) && thinned[1].iter().all(|p| p.0 > 5_001));
        for hole in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(stretches(&[point(0, 1.0), point(1, hole), point(2, 1.0)]).len(), 2);
        }
    }

    #[test]
    fn few_points_are_kept_as_they_are_and_put_in_order() {
        assert_eq!(stretches(&[point(2, 5.0), point(1, 4.0)]), [vec![(1, 4.0), (2, 5.0)]]);
        assert!(stretches(&[]).is_empty());
    }

    #[test]
    fn all_gaps_stay_bounded() {
        let points: Vec<Point> =
            (0..10_000).map(|i| Point { at_ms: i, value: (i % 2 == 0).then_some(1.0) }).collect();
        let drawn: usize = stretches(&points).iter().map(Vec::len).sum();
        assert!(drawn <= MOST_POINTS);
    }
}

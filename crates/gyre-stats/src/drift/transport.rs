//! Wasserstein-1 between two histograms on the cut points of a reference.

use crate::profile::NumericWindow;

/// Wasserstein-1 distance of the finite values, in their unit, with mass spread evenly within each bin.
///
/// The open outer bins end at the smallest and the largest value of each side. `None` when the bins differ or when
/// either side has no finite values. The error against the raw samples is at most the width of a bin, and small where
/// bins are narrow or atoms.
#[must_use]
pub fn wasserstein_binned(reference: &NumericWindow, current: &NumericWindow) -> Option<f64> {
    if !reference.same_bins(current) {
        return None;
    }
    let (f, g) = (distribution(reference)?, distribution(current)?);
    let mut knots: Vec<f64> = f.iter().chain(&g).map(|(x, _)| *x).collect();
    knots.sort_unstable_by(f64::total_cmp);
    knots.dedup();
    let apart: Vec<(f64, f64)> = knots.iter().map(|x| (*x, at(&f, *x) - at(&g, *x))).collect();
    let area: f64 = apart.windows(2).map(|pair| between(pair[0], pair[1])).sum();
    area.is_finite().then_some(area)
}

/// Knots (x, F(x)) of the piecewise linear distribution function of the finite values.
fn distribution(window: &NumericWindow) -> Option<Vec<(f64, f64)>> {
    let (min, max) = (window.moments().min()?, window.moments().max()?);
    let total = window.moments().count() as f64;
    let mut knots = vec![(min.next_down(), 0.0)];
    let mut below = 0;
    for (cut, count) in window.cuts().iter().zip(window.counts()) {
        below += count;
        if *cut >= min && *cut < max {
            knots.push((*cut, below as f64 / total));
        }
    }
    knots.push((max, 1.0));
    Some(knots)
}

fn at(knots: &[(f64, f64)], x: f64) -> f64 {
    let above = knots.partition_point(|knot| knot.0 < x);
    match (above.checked_sub(1).and_then(|below| knots.get(below)), knots.get(above)) {
        (None, _) => 0.0,
        (Some(_), None) => 1.0,
        (Some((x0, y0)), Some((x1, y1))) => y0 + (y1 - y0) * ((x - x0) / (x1 - x0)),
    }
}

/// ∫|h| over a piece where h is linear.
fn between((x0, h0): (f64, f64), (x1, h1): (f64, f64)) -> f64 {
    let width = x1 - x0;
    if h0 * h1 >= 0.0 {
        return width * 0.5 * (h0.abs() + h1.abs());
    }
    width * 0.5 * (h0 * h0 + h1 * h1) / (h0.abs() + h1.abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::NumericReference;

    fn window(reference: &NumericReference, values: impl IntoIterator<Item = f64>) -> NumericWindow {
        let mut window = NumericWindow::new(reference);
        values.into_iter().for_each(|value| window.push(value));
        window
    }

    #[test]
    fn a_shift_of_a_uniform_column_is_its_length() {
        let reference = NumericReference::from_values(&(0..10_000).map(f64::from).collect::<Vec<_>>());
        let shifted = window(&reference, (0..10_000).map(|i| f64::from(i) + 500.0));
        let distance = wasserstein_binned(reference.histogram(), &shifted).unwrap();
        assert!((distance - 500.0).abs() < 5.0, "{distance}");
        // Wholly outside of the reference, the mass of the last bin ends at the window's own range.
        let outside = window(&reference, (0..10_000).map(|i| f64::from(i) + 30_000.0));
        let distance = wasserstein_binned(reference.histogram(), &outside).unwrap();
        assert!((distance - 30_000.0).abs() < 5.0, "{distance}");
    }

    #[test]
    fn atoms_are_exact() {
        let reference = NumericReference::from_values(&[vec![0.0; 500], vec![10.0; 500]].concat());
        let current = window(&reference, [vec![0.0; 250], vec![10.0; 750]].concat());
        let distance = wasserstein_binned(reference.histogram(), &current).unwrap();
        assert!((distance - 2.5).abs() < 1e-9, "{distance}");
    }

    #[test]
    fn nothing_to_compare_is_none() {
        let reference = NumericReference::from_values(&[1.0, 2.0]);
        assert_eq!(wasserstein_binned(reference.histogram(), &window(&reference, [f64::NAN])), None);
    }
}

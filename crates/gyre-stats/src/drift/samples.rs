//! Distances between two raw samples: exact, for audits and for data that fits into memory.
//!
//! NaN is dropped here (compare missing rates apart); infinities are ordered like any other value.

use super::KolmogorovSmirnov;

/// Two-sample Kolmogorov–Smirnov test with the exact statistic; `None` when either sample is empty.
#[must_use]
pub fn kolmogorov_smirnov(reference: &[f64], current: &[f64]) -> Option<KolmogorovSmirnov> {
    let (reference, current) = (ascending(reference), ascending(current));
    if reference.is_empty() || current.is_empty() {
        return None;
    }
    let (n, m) = (reference.len() as f64, current.len() as f64);
    let mut statistic = 0.0_f64;
    walk(&reference, &current, |below_reference, below_current, _, _| {
        statistic = statistic.max((below_reference as f64 / n - below_current as f64 / m).abs());
    });
    Some(KolmogorovSmirnov::new(statistic, n, m))
}

/// Wasserstein-1 (earth mover's) distance in the unit of the values; `None` when either sample is empty or has
/// infinities, where it is not finite.
#[must_use]
pub fn wasserstein(reference: &[f64], current: &[f64]) -> Option<f64> {
    let (reference, current) = (ascending(reference), ascending(current));
    let infinite = |sample: &[f64]| sample.iter().any(|value| value.is_infinite());
    if reference.is_empty() || current.is_empty() || infinite(&reference) || infinite(&current) {
        return None;
    }
    let (n, m) = (reference.len() as f64, current.len() as f64);
    let mut area = 0.0;
    walk(&reference, &current, |below_reference, below_current, value, next| {
        if let Some(next) = next {
            area += (below_reference as f64 / n - below_current as f64 / m).abs() * (next - value);
        }
    });
    area.is_finite().then_some(area)
}

fn ascending(sample: &[f64]) -> Vec<f64> {
    let mut sorted: Vec<f64> =
        sample.iter().copied().filter(|value| !value.is_nan()).map(|value| value + 0.0).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
}

/// Visits each distinct value of two ascending samples with how many of each sample are at or below it, and the next
/// distinct value.
fn walk(a: &[f64], b: &[f64], mut visit: impl FnMut(usize, usize, f64, Option<f64>)) {
    let (mut i, mut j) = (0, 0);
    let smallest = |i: usize, j: usize| match (a.get(i), b.get(j)) {
        (Some(x), Some(y)) => Some(x.min(*y)),
        (x, y) => x.or(y).copied(),
    };
    while let Some(value) = smallest(i, j) {
        while a.get(i).is_some_and(|x| *x <= value) {
            i += 1;
        }
        while b.get(j).is_some_and(|y| *y <= value) {
            j += 1;
        }
        visit(i, j, value, smallest(i, j));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undefined_is_none() {
        assert_eq!(kolmogorov_smirnov(&[], &[1.0]), None);
        assert_eq!(kolmogorov_smirnov(&[f64::NAN], &[1.0]), None);
        assert_eq!(wasserstein(&[1.0], &[f64::INFINITY]), None);
    }

    #[test]
    fn infinities_are_ordered() {
        let found = kolmogorov_smirnov(&[f64::NEG_INFINITY, 0.0], &[0.0, f64::INFINITY]).unwrap();
        assert_eq!(found.statistic, 0.5);
    }
}

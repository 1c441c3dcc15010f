//! Exact p-values by counting: every order of the pooled values is a lattice path, all equally likely without drift.
//!
//! A path goes from (0, 0) to (n, m), a step to the right for a value of the reference, a step up for one of the current
//! sample. A statistic is a function of the points that the path visits, so its distribution follows from the left lower
//! corner point by point.

use std::cmp::Ordering;

use super::smirnov::common_divisor;

/// Share of the paths on which |m·i − n·j|/gcd(n, m) reaches `height`: the p-value of the Kolmogorov–Smirnov statistic
/// (Hodges 1957, "The significance probability of the Smirnov two-sample test").
///
/// A path drawn backwards from (i, j) came from (i − 1, j) with probability i/(i + j), so the share of paths that touched
/// the boundary before is a mean of those of the two neighbours. Only sums of positive terms: small values keep their
/// digits. Equal sizes have a closed form (Gnedenko & Korolyuk 1951).
pub(super) fn p_of_height(n: u64, m: u64, height: u64) -> f64 {
    if height == 0 {
        return 1.0;
    }
    if n == m {
        return p_of_equal_sizes(n, height);
    }
    let divisor = common_divisor(n, m).max(1);
    let (across, up) = (n.max(m), n.min(m));
    let (weight_i, weight_j) = (up / divisor, across / divisor);
    // Touched[j]: share of the paths to (i, j) that reached the boundary; all of them where (i, j) is at or beyond it.
    let mut touched = vec![1.0_f64; up as usize + 2];
    let inside = |i: u64| -> (u64, u64) {
        let middle = weight_i * i;
        // The smallest and one more than the largest j with |weight_i·i − weight_j·j| < height.
        let from = middle.checked_sub(height).map_or(0, |low| low / weight_j + 1);
        (from, ((middle + height - 1) / weight_j + 1).min(up + 1))
    };
    let (from, to) = inside(0);
    for j in from..to {
        touched[j as usize] = 0.0;
    }
    let mut before = (from, to);
    for i in 1..=across {
        let (from, to) = inside(i);
        if from >= to {
            return 1.0;
        }
        // What fell out of the band since the last column is beyond the boundary now.
        for j in before.0..from.min(before.1) {
            touched[j as usize] = 1.0;
        }
        let mut below = if from == 0 { 0.0 } else { 1.0 };
        let mut j_as_number = from as f64;
        let i_as_number = i as f64;
        for left in &mut touched[from as usize..to as usize] {
            below = (*left * i_as_number + below * j_as_number) / (i_as_number + j_as_number);
            *left = below;
            j_as_number += 1.0;
        }
        before = (from, to);
    }
    touched[up as usize].clamp(0.0, 1.0)
}

/// 2·Σₖ(−1)ᵏ⁺¹·C(2n, n + k·h)/C(2n, n) with h = height, by reflection.
fn p_of_equal_sizes(n: u64, height: u64) -> f64 {
    let mut sum = 0.0;
    for k in (1..=n / height).rev() {
        // C(2n, n + s + h)/C(2n, n + s) with s = (k − 1)·h, so that the series nests.
        let start = (k - 1) * height;
        let ratio: f64 =
            (0..height).map(|step| (n - start - step) as f64 / (n + start + step + 1) as f64).product();
        sum = ratio * (1.0 - sum);
    }
    (2.0 * sum).clamp(0.0, 1.0)
}

/// Share of the paths whose Cramér–von Mises sum Σ(a·i − b·j)² over the points visited reaches `least`, where a and b are
/// lcm(n, m)/n and lcm(n, m)/m (Xiao, Gordon & Yakovlev 2006, "A C++ program for the Cramér–von Mises two-sample test").
///
/// Keeps the sums that occur with their numbers of paths for each point, so it is meant for up to about 20 rows a side;
/// numbers of paths are exact up to C(40, 20).
pub(super) fn p_of_squares(n: u64, m: u64, least: u64) -> f64 {
    let common = n / common_divisor(n, m).max(1) * m;
    let (a, b) = (common / n.max(1), common / m.max(1));
    // One column of points: for each i, ascending (sum, paths).
    let mut column: Vec<Vec<(u64, f64)>> = vec![Vec::new(); n as usize + 1];
    column[0].push((0, 1.0));
    for j in 0..=m {
        let mut left = Vec::new();
        for (i, below) in (0_u64..).zip(&mut column) {
            let mut here = merged(&left, below);
            let square = (a * i).abs_diff(b * j).pow(2);
            here.iter_mut().for_each(|(sum, _)| *sum += square);
            left.clone_from(&here);
            *below = here;
        }
    }
    let of = |kept: &dyn Fn(u64) -> bool| -> f64 {
        let last = column.last().into_iter().flatten();
        last.filter(|(sum, _)| kept(*sum)).map(|(_, paths)| paths).sum()
    };
    of(&|sum| sum >= least) / of(&|_| true)
}

/// Two ascending tables of (sum, paths) as one, equal sums added up.
fn merged(a: &[(u64, f64)], b: &[(u64, f64)]) -> Vec<(u64, f64)> {
    let mut both = Vec::with_capacity(a.len() + b.len());
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    while let (Some(x), Some(y)) = (a.peek(), b.peek()) {
        let (x, y) = (**x, **y);
        match x.0.cmp(&y.0) {
            Ordering::Less => both.extend(a.next()),
            Ordering::Greater => both.extend(b.next()),
            Ordering::Equal => {
                both.push((x.0, x.1 + y.1));
                a.next();
                b.next();
            }
        }
    }
    both.extend(a.chain(b));
    both
}

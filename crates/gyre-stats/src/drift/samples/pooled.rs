//! What a single walk over two sorted samples in common order gives: the sums behind six tests.
//!
//! At each distinct value the walk knows how many values of either sample lie below and at it. With *i* and *j* those counts
//! and *n* and *m* the sizes, everything is a sum of functions of m·i − n·j, which is nm times the distance between the two
//! distribution functions and an exact integer in a double.

use super::{Sorted, cumulants::Tied, smirnov::Extremes};

/// Sums along the common order of two samples. Ask it for its tests and distances; each costs next to nothing.
///
/// Infinities take part in [`kolmogorov_smirnov`](Self::kolmogorov_smirnov), as largest and smallest of all values; all
/// else is about the finite values.
#[derive(Clone, Debug, PartialEq)]
pub struct Pooled {
    /// Finite values of the reference.
    pub(super) n: f64,
    /// Finite values of the current sample.
    pub(super) m: f64,
    pub(super) all: Extremes,
    pub(super) finite: Extremes,
    /// ∫|F − G|.
    pub(super) area: f64,
    /// ∫(F − G)².
    pub(super) squared_area: f64,
    /// Σ t·(m·i − n·j)² over blocks of t equal values, i and j at their middle.
    pub(super) squares: f64,
    /// What ties and steps add to `squares` in the Cramér–von Mises statistic.
    pub(super) tied_squares: f64,
    /// Anderson–Darling sums of the two variants, without their common factors.
    pub(super) weighted_middle: f64,
    pub(super) weighted_right: f64,
    /// Pairs in which the reference is larger, ties counting half.
    pub(super) won: f64,
    /// Σ(t³ − t) over blocks of t equal values.
    pub(super) tied: f64,
    /// Whether the finite values are not all equal.
    pub(super) vary: bool,
    /// What ties do to the sums without drift; `None` without ties.
    pub(super) law: Option<Tied>,
}

impl Pooled {
    /// Walks over both samples, in time proportional to their sizes; `None` when either has no value at all.
    #[must_use]
    pub fn new(reference: &Sorted, current: &Sorted) -> Option<Self> {
        if reference.present() == 0 || current.present() == 0 {
            return None;
        }
        let (a, b) = (reference.finite(), current.finite());
        let (n, m) = (a.len() as f64, b.len() as f64);
        let total = n + m;
        let infinite = reference.infinite() + current.infinite() > 0;
        let (low_a, low_b) = (reference.negative_infinite() as f64, current.negative_infinite() as f64);
        let mut all = Extremes::new(reference.present() as f64, current.present() as f64);
        let mut finite = Extremes::new(n, m);
        if low_a + low_b > 0.0 {
            all.step(f64::NEG_INFINITY, low_a, low_b, low_a > 0.0);
        }
        let share = if n * m > 0.0 { 1.0 / (n * m) } else { 0.0 };
        let (mut area, mut squared_area, mut squares, mut tied_squares) = (0.0, 0.0, 0.0, 0.0);
        let (mut weighted_middle, mut weighted_right, mut won, mut tied) = (0.0, 0.0, 0.0, 0.0);
        let mut vary = false;
        walk(a, b, |step| {
            let (f, g, block) = (step.of_a, step.of_b, step.of_a + step.of_b);
            let right = m * step.below_a - n * step.below_b;
            // At the middle of the block: half of its values below.
            let middle = right - 0.5 * (m * f - n * g);
            let below = step.below_a + step.below_b;
            finite.step(step.value, step.below_a, step.below_b, f > 0.0);
            if infinite {
                all.step(step.value, low_a + step.below_a, low_b + step.below_b, f > 0.0);
            }
            squares += block * middle * middle;
            won += f * (step.below_b - 0.5 * g);
            let centre = below - 0.5 * block;
            weighted_middle += block * middle * middle / (centre * (total - centre) - 0.25 * total * block);
            if block > 1.0 {
                let (f3, g3) = (f * f * f, g * g * g);
                tied += block * block * block - block;
                tied_squares += (m * m * f3 + n * n * g3 + total * (n * (f3 - f) + m * (g3 - g))) / 12.0
                    - 0.25 * n * m * f * g * block;
            } else {
                tied_squares += if f > 0.0 { m * m / 12.0 } else { n * n / 12.0 };
            }
            if let Some(next) = step.next {
                vary = true;
                let (width, apart) = (next - step.value, right * share);
                area += apart.abs() * width;
                squared_area += apart * apart * width;
                weighted_right += block * right * right / (below * (total - below));
            }
        });
        if reference.positive_infinite() + current.positive_infinite() > 0 {
            let (above_a, above_b) = (reference.present() as f64, current.present() as f64);
            all.step(f64::INFINITY, above_a, above_b, reference.positive_infinite() > 0);
        }
        if !infinite {
            all = finite.clone();
        }
        Some(Self {
            n,
            m,
            all,
            finite,
            area,
            squared_area,
            squares,
            tied_squares,
            weighted_middle,
            weighted_right,
            won,
            tied,
            vary,
            law: (tied > 0.0).then(|| Tied::of(a, b)),
        })
    }

    /// Whether both samples have finite values.
    pub(super) fn both(&self) -> bool {
        self.n > 0.0 && self.m > 0.0
    }

    /// Wasserstein-1 (earth mover's) distance of the finite values, ∫|F − G|, in their unit; `None` without finite values
    /// on both sides and where it overflows.
    #[must_use]
    pub fn wasserstein(&self) -> Option<f64> {
        (self.both() && self.area.is_finite()).then_some(self.area)
    }

    /// Energy distance of the finite values, √(2·∫(F − G)²), in the root of their unit (Székely & Rizzo 2013; the form of
    /// scipy); `None` without finite values on both sides and where it overflows.
    #[must_use]
    pub fn energy_distance(&self) -> Option<f64> {
        let distance = (2.0 * self.squared_area).sqrt();
        (self.both() && distance.is_finite()).then_some(distance)
    }
}

/// One distinct value of two samples.
pub(super) struct Step {
    pub(super) value: f64,
    /// The next distinct value.
    pub(super) next: Option<f64>,
    /// How often either sample holds the value.
    pub(super) of_a: f64,
    pub(super) of_b: f64,
    /// How many of either sample are at or below it.
    pub(super) below_a: f64,
    pub(super) below_b: f64,
}

/// Visits the distinct values of two ascending samples in order.
pub(super) fn walk(a: &[f64], b: &[f64], mut visit: impl FnMut(Step)) {
    let (mut i, mut j) = (0, 0);
    let smallest = |i: usize, j: usize| match (a.get(i), b.get(j)) {
        (Some(x), Some(y)) => Some(if x < y { *x } else { *y }),
        (x, y) => x.or(y).copied(),
    };
    let mut here = smallest(0, 0);
    while let Some(value) = here {
        let (before_a, before_b) = (i, j);
        while a.get(i).is_some_and(|x| *x <= value) {
            i += 1;
        }
        while b.get(j).is_some_and(|y| *y <= value) {
            j += 1;
        }
        here = smallest(i, j);
        visit(Step {
            value,
            next: here,
            of_a: (i - before_a) as f64,
            of_b: (j - before_b) as f64,
            below_a: i as f64,
            below_b: j as f64,
        });
    }
}

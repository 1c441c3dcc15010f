//! Are the newest values of a window distributed otherwise than the older ones?

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{BadSetting, Signal, require};

/// Differences of the distribution functions up to this are never called a change, as in River.
const LEAST_DISTANCE: f64 = 0.1;

/// Largest window: each value costs time in proportion to it, and the critical value its square, once.
const LARGEST_WINDOW: u32 = 4096;

/// Parameters of [`Kswin`]; the defaults are River's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct KswinSettings {
    /// Level of each test, in (0, 1). A stream has a test at every value: choose it far below the level that you want.
    pub alpha: f64,
    /// Values in the window, 2 to 4,096.
    pub window_size: u32,
    /// The newest so many are compared with the rest, from 1 and fewer than the window's.
    pub stat_size: u32,
}

impl Default for KswinSettings {
    fn default() -> Self {
        Self { alpha: 0.005, window_size: 100, stat_size: 30 }
    }
}

/// Kolmogorov–Smirnov windowing (Raab, Heusinger & Schleif, "Reactive soft prototype computing for concept drift
/// streams", Neurocomputing 416, 2020), without its randomness.
///
/// The original compares the newest values with as many drawn at random from the older ones, so that its alarms depend
/// on a seed. Here they are compared with all of the older ones, with the exact two-sided p-value of Kolmogorov–Smirnov
/// for samples without ties. After a change the newest values are kept as the beginning of a new window. Infinities are
/// values like others here, for only the order counts. On independent values without change it alarms about once in
/// 1,000 values at the defaults: use it to look for changes of shape, not to call people at night.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kswin {
    settings: KswinSettings,
    /// Smallest difference of the distribution functions, in units of 1/lcm of the sizes, that is significant.
    critical: u64,
    /// The values in order of arrival.
    window: VecDeque<f64>,
    /// The newest `stat_size` of them, sorted.
    newest: Vec<f64>,
    /// The others, sorted.
    older: Vec<f64>,
}

impl Kswin {
    /// An empty window.
    ///
    /// # Errors
    /// [`BadSetting`] when a parameter is outside its range.
    pub fn new(settings: KswinSettings) -> Result<Self, BadSetting> {
        let KswinSettings { alpha, window_size: window, stat_size: newest } = settings;
        require(alpha > 0.0 && alpha < 1.0, "alpha", alpha, "above 0 and below 1")?;
        require((2..=LARGEST_WINDOW).contains(&window), "window_size", f64::from(window), "2 to 4096")?;
        let fewer = (1..window).contains(&newest);
        require(fewer, "stat_size", f64::from(newest), "1 or more, and fewer than window_size")?;
        let critical = critical_distance(u64::from(window - newest), u64::from(newest), alpha);
        Ok(Self { settings, critical, window: VecDeque::new(), newest: Vec::new(), older: Vec::new() })
    }

    /// Takes in a value, which may be infinite; NaN is passed over.
    pub fn observe(&mut self, value: f64) -> Signal {
        if value.is_nan() {
            return Signal::Stable;
        }
        // What is stored must be finite; the order is what counts.
        let value = value.clamp(f64::MIN, f64::MAX);
        let (size, newest) = (self.settings.window_size as usize, self.settings.stat_size as usize);
        self.window.push_back(value);
        insert(&mut self.newest, value);
        let aged = self.window.len().checked_sub(newest + 1).and_then(|at| self.window.get(at));
        if let Some(&aged) = aged {
            remove(&mut self.newest, aged);
            insert(&mut self.older, aged);
        }
        if self.window.len() > size
            && let Some(gone) = self.window.pop_front()
        {
            remove(&mut self.older, gone);
        }
        if self.window.len() < size || !self.differ() {
            return Signal::Stable;
        }
        self.window.drain(..size.saturating_sub(newest));
        self.older.clear();
        Signal::Change
    }

    fn differ(&self) -> bool {
        let (n, m) = (self.older.len() as u64, self.newest.len() as u64);
        let common = n * m / greatest_common_divisor(n, m).max(1);
        let (per_older, per_newest) = (common / n.max(1), common / m.max(1));
        let (mut below_older, mut below_newest, mut distance) = (0_u64, 0_u64, 0_u64);
        let (mut older, mut newest) = (self.older.iter().peekable(), self.newest.iter().peekable());
        while let Some(&&at) = match (older.peek(), newest.peek()) {
            (Some(a), Some(b)) => Some(if **a <= **b { a } else { b }),
            (a, b) => a.or(b),
        } {
            while older.next_if(|value| **value <= at).is_some() {
                below_older += per_older;
            }
            while newest.next_if(|value| **value <= at).is_some() {
                below_newest += per_newest;
            }
            distance = distance.max(below_older.abs_diff(below_newest));
        }
        distance >= self.critical && distance as f64 / common as f64 > LEAST_DISTANCE
    }
}

fn insert(sorted: &mut Vec<f64>, value: f64) {
    let at = sorted.partition_point(|other| *other < value);
    sorted.insert(at, value);
}

fn remove(sorted: &mut Vec<f64>, value: f64) {
    let at = sorted.partition_point(|other| *other < value);
    if at < sorted.len() {
        sorted.remove(at);
    }
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

/// Smallest distance, in units of 1/lcm(n, m), that two samples of `n` and `m` values from one continuous distribution
/// reach with probability `alpha` at most.
fn critical_distance(n: u64, m: u64, alpha: f64) -> u64 {
    let common = n * m / greatest_common_divisor(n, m).max(1);
    let (mut low, mut high) = (0, common + 1);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if chance_of_distance(n, m, middle) <= alpha {
            high = middle;
        } else {
            low = middle;
        }
    }
    high
}

/// P(D ≥ distance/lcm(n, m)). The merged order of the samples is a random walk from (0, 0) to (n, m), all of whose
/// paths are equally likely (Hodges 1958): the chance to have been outside, step by step over the lattice.
fn chance_of_distance(n: u64, m: u64, distance: u64) -> f64 {
    let divisor = greatest_common_divisor(n, m).max(1);
    let (per_n, per_m) = (m / divisor, n / divisor);
    let mut row: Vec<f64> = Vec::with_capacity(m as usize + 1);
    for i in 0..=n {
        let mut left = 0.0;
        for j in 0..=m {
            let above = row.get(j as usize).copied().unwrap_or(0.0);
            let outside = if (i * per_n).abs_diff(j * per_m) >= distance {
                1.0
            } else if i + j == 0 {
                0.0
            } else {
                (above * i as f64 + left * j as f64) / (i + j) as f64
            };
            match row.get_mut(j as usize) {
                Some(cell) => *cell = outside,
                None => row.push(outside),
            }
            left = outside;
        }
    }
    row.last().copied().unwrap_or(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    // The orders are counted by hand; larger lattices are checked against scipy in tests/stream_oracle.rs.
    #[test]
    fn small_lattices_are_counted_by_hand() {
        // Of the six orders of two and two, aabb and bbaa have D = 1, the others D = 1/2.
        assert!((chance_of_distance(2, 2, 2) - 1.0 / 3.0).abs() < 1e-15);
        assert!((chance_of_distance(2, 2, 1) - 1.0).abs() < 1e-15);
        // One and three: D = 1 in two of four orders.
        assert!((chance_of_distance(3, 1, 3) - 0.5).abs() < 1e-15);
    }

    #[test]
    fn ties_and_infinities_are_no_trouble() {
        let mut constant = Kswin::new(KswinSettings::default()).unwrap();
        assert!((0..500).all(|_| constant.observe(1.0) == Signal::Stable));
        let changed = (0..100).position(|_| constant.observe(f64::INFINITY) == Signal::Change);
        assert!(changed.is_some_and(|at| at < 30), "{changed:?}");
        assert_eq!(constant.observe(f64::NAN), Signal::Stable);
    }
}

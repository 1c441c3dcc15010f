//! From data to coordinates: linear scales and round tick values. Kept free of infinities, because a model that has
//! gone wrong may well report an error of 1e308, and the chart of it should still open.

/// Beyond this size a value is drawn at the edge: differences of two such values still fit into an `f64`.
const LARGEST: f64 = 1e300;

/// The value if it can be drawn: finite, and held within ±1e300.
pub(crate) fn drawable(value: Option<f64>) -> Option<f64> {
    value.filter(|v| v.is_finite()).map(|v| v.clamp(-LARGEST, LARGEST))
}

/// A linear map from a data interval onto a coordinate interval.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Linear {
    domain: (f64, f64),
    range: (f64, f64),
}

impl Linear {
    pub(crate) fn new(domain: (f64, f64), range: (f64, f64)) -> Self {
        Linear { domain, range }
    }

    /// The coordinate of a value, held within the range. An empty domain maps to the middle.
    pub(crate) fn at(&self, value: f64) -> f64 {
        let (lo, hi) = self.domain;
        let share = (value - lo) / (hi - lo);
        let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.5 };
        self.range.0 + share * (self.range.1 - self.range.0)
    }

    pub(crate) fn at_ms(&self, at_ms: i64) -> f64 {
        self.at(at_ms as f64)
    }
}

/// Round tick values and the domain that they span.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ticks {
    pub(crate) domain: (f64, f64),
    pub(crate) values: Vec<f64>,
    step: f64,
}

impl Ticks {
    /// About `target` round values that cover all `values` (steps of 1, 2, 2.5 or 5 times a power of ten).
    /// No value at all gives 0 to 1; a single value is widened around itself.
    pub(crate) fn cover(values: impl IntoIterator<Item = f64>, target: usize) -> Ticks {
        let (mut lo, mut hi) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.into_iter().filter_map(|v| drawable(Some(v))) {
            lo = lo.min(value);
            hi = hi.max(value);
        }
        if lo > hi {
            (lo, hi) = (0.0, 1.0);
        }
        if hi - lo <= hi.abs() * 1e-9 {
            let room = if hi == 0.0 { 0.5 } else { hi.abs() * 0.1 };
            (lo, hi) = (lo - room, hi + room);
        }
        let step = nice_step((hi - lo) / target.max(1) as f64);
        let (first, last) = ((lo / step).floor(), (hi / step).ceil());
        let steps = (last - first).clamp(1.0, 64.0) as usize;
        let values: Vec<f64> = (0..=steps).map(|i| (first + i as f64) * step).collect();
        Ticks { domain: (first * step, (first + steps as f64) * step), values, step }
    }

    /// The tick's label, with as many decimals as the step needs.
    pub(crate) fn label(&self, value: f64) -> String {
        if value.abs() >= 1e6 || (value != 0.0 && self.step < 1e-4) {
            return format!("{value:.1e}");
        }
        // A step of 2.5 needs one decimal more than its power of ten says.
        let decimals = (0..=5).find(|&d| {
            let scaled = self.step * 10f64.powi(d);
            (scaled - scaled.round()).abs() < 1e-6 * scaled.max(1.0)
        });
        let decimals = decimals.unwrap_or(5) as usize;
        let value = if value.abs() < self.step * 1e-6 { 0.0 } else { value };
        format!("{value:.decimals$}")
    }
}

fn nice_step(raw: f64) -> f64 {
    let power = 10f64.powf(raw.log10().floor());
    let power = if power.is_finite() && power > 0.0 { power } else { f64::MIN_POSITIVE };
    let factor = match raw / power {
        m if m <= 1.0 => 1.0,
        m if m <= 2.0 => 2.0,
        m if m <= 2.5 => 2.5,
        m if m <= 5.0 => 5.0,
        _ => 10.0,
    };
    factor * power
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(values: &[f64]) -> Vec<String> {
        let ticks = Ticks::cover(values.iter().copied(), 4);
        ticks.values.iter().map(|&v| ticks.label(v)).collect()
    }

    #[test]
    fn ticks_are_round_and_cover_the_data() {
        assert_eq!(labels(&[0.0, 18.4]), ["0", "5", "10", "15", "20"]);
        assert_eq!(labels(&[0.0, 0.21]), ["0.0", "0.1", "0.2", "0.3"]);
        assert_eq!(labels(&[-3.0, 7.0]), ["-5.0", "-2.5", "0.0", "2.5", "5.0", "7.5"]);
    }

    #[test]
    fn odd_input_still_gives_a_domain() {
        for values in [
            vec![],
            vec![f64::NAN],
            vec![5.0],
            vec![0.0],
            vec![f64::MAX, f64::MIN],
            vec![1e-310],
            vec![1e300, 1e300],
        ] {
            let ticks = Ticks::cover(values.iter().copied(), 5);
            assert!(ticks.domain.0 < ticks.domain.1, "{values:?} gave {ticks:?}");
            assert!(ticks.values.len() <= 65);
            assert!(ticks.values.iter().all(|v| v.is_finite()));
        }
    }

    #[test]
    fn a_value_outside_is_held_at_the_edge() {
        let scale = Linear::new((0.0, 10.0), (100.0, 0.0));
        assert_eq!(scale.at(5.0), 50.0);
        assert_eq!(scale.at(99.0), 0.0);
        assert_eq!(Linear::new((1.0, 1.0), (0.0, 10.0)).at(1.0), 5.0);
    }
}

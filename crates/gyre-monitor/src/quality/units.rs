//! Columns in other units: degrees Fahrenheit where there were degrees Celsius, grams where there were kilograms.
//!
//! A change of units maps every value by the same line, so all quantiles move by it together: those of the window lie on
//! those of the reference, times a factor plus an offset. Only lines that stand for units are tried, and powers of ten. What
//! moved far beyond its own spread along such a line is in other units; what moved less may be a world that grows, and it is
//! the loss that says which (see [`crate::seen::Seen::tainted_by`]).

use gyre_stats::profile::{NumericReference, NumericWindow};

use super::{FEWEST_ROWS, percent, sample};

/// Factor, offset, and what they stand for.
const LINES: [(f64, f64, &str); 41] = [
    (10.0, 0.0, "a decimal place"),
    (0.1, 0.0, "a decimal place"),
    (100.0, 0.0, "percent for shares, cents, centimetres"),
    (0.01, 0.0, "shares for percent, whole for hundredths"),
    (1e3, 0.0, "thousandths, such as grams or milliseconds"),
    (1e-3, 0.0, "thousands, such as kilograms or seconds"),
    (1e4, 0.0, "a factor of 10,000"),
    (1e-4, 0.0, "a factor of 1/10,000"),
    (1e6, 0.0, "millionths"),
    (1e-6, 0.0, "millions"),
    (1e9, 0.0, "billionths"),
    (1e-9, 0.0, "billions"),
    (0.3048, 0.0, "metres for feet"),
    (3.280_84, 0.0, "feet for metres"),
    (2.54, 0.0, "centimetres for inches"),
    (0.393_701, 0.0, "inches for centimetres"),
    (25.4, 0.0, "millimetres for inches"),
    (0.039_370_1, 0.0, "inches for millimetres"),
    (1.609_344, 0.0, "kilometres for miles"),
    (0.621_371, 0.0, "miles for kilometres"),
    (1.852, 0.0, "kilometres for nautical miles"),
    (0.539_957, 0.0, "nautical miles for kilometres"),
    (0.453_592, 0.0, "kilograms for pounds"),
    (2.204_623, 0.0, "pounds for kilograms"),
    (3.785_412, 0.0, "litres for gallons"),
    (0.264_172, 0.0, "gallons for litres"),
    (4.184, 0.0, "joules for calories"),
    (0.239_006, 0.0, "calories for joules"),
    (3.6, 0.0, "km/h for m/s, or MJ for kWh"),
    (0.277_778, 0.0, "m/s for km/h, or kWh for MJ"),
    (1.8, 32.0, "degrees Fahrenheit for Celsius"),
    (0.555_556, -17.777_778, "degrees Celsius for Fahrenheit"),
    (1.0, 273.15, "kelvins for degrees Celsius"),
    (1.0, -273.15, "degrees Celsius for kelvins"),
    (60.0, 0.0, "minutes for hours, or seconds for minutes"),
    (0.016_666_667, 0.0, "hours for minutes, or minutes for seconds"),
    (3_600.0, 0.0, "seconds for hours"),
    (2.777_778e-4, 0.0, "hours for seconds"),
    (57.295_78, 0.0, "degrees for radians"),
    (0.017_453_29, 0.0, "radians for degrees"),
    (-1.0, 0.0, "the opposite sign"),
];

/// How far the quantiles may be from the line, on average, in the spread of the reference on that line.
const NEAR: f64 = 0.1;
/// How many times nearer than without a change they must be.
const NEARER: f64 = 6.0;
/// The same for a part of the rows, which the bounds of the range cut.
const NEAR_OF_PART: f64 = 0.25;
/// The least share of rows that may make a part, and how far beyond the range it must lie, in ranges.
const PART: (f64, f64) = (0.1, 0.5);
/// The least factor, either way, that a part is explained by: a smaller one leaves it within the range.
const LEAST_OF_PART: f64 = 9.0;

/// How far the quantiles must have moved, in the spread of the reference from the first to the last of them, for it to be
/// units and nothing else. Prices grow by 60 %, too, and are not in kilometres for it.
const FAR: f64 = 2.0;

/// The quantiles that are compared, in hundredths.
const PLACES: [f64; 17] =
    [0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9];

/// A column in other units.
pub(super) struct Changed {
    pub(super) factor: f64,
    offset: f64,
    name: &'static str,
    pub(super) rows: u64,
    share: f64,
    /// Whether it is farther away than the world is likely to move.
    pub(super) is_far: bool,
}

impl Changed {
    pub(super) fn words(&self) -> String {
        let offset = match self.offset {
            0.0 => String::new(),
            offset if offset < 0.0 => format!(" less {}", -offset),
            offset => format!(" plus {offset}"),
        };
        format!(
            "is {} times what it was{offset} in {} of the rows: other units? ({})",
            self.factor,
            percent(self.share),
            self.name
        )
    }
}

/// Whether the values, or a part of them far out of range, are those of the reference in other units.
pub(super) fn changed(reference: &NumericReference, values: &[f64]) -> Option<Changed> {
    let finite = sample(values);
    let before = of_histogram(reference.histogram())?;
    let all = values.iter().filter(|value| value.is_finite()).count();
    let now = quantiles(&finite)?;
    if let Some((factor, offset, name)) = line(&before, &now, NEAR, 0.0) {
        let is_far = moved(&before, &now) >= FAR * (before.last()? - before.first()?);
        return Some(Changed { factor, offset, name, rows: all as u64, share: 1.0, is_far });
    }
    let moments = reference.histogram().moments();
    let (least, most) = (moments.min()?, moments.max()?);
    let margin = PART.1 * (most - least);
    let outside: Vec<f64> =
        finite.iter().copied().filter(|value| *value < least - margin || *value > most + margin).collect();
    let share = outside.len() as f64 / finite.len() as f64;
    if share < PART.0 {
        return None;
    }
    let (factor, offset, name) = line(&before, &quantiles(&outside)?, NEAR_OF_PART, LEAST_OF_PART)?;
    let rows = (share * all as f64).round() as u64;
    Some(Changed { factor, offset, name, rows, share, is_far: true })
}

/// How far the quantiles moved, on average.
fn moved(before: &[f64], now: &[f64]) -> f64 {
    before.iter().zip(now).map(|(before, now)| (now - before).abs()).sum::<f64>() / before.len() as f64
}

/// The line of units that maps the quantiles `before` to `now`, when one does: the nearest.
fn line(before: &[f64], now: &[f64], near: f64, least: f64) -> Option<(f64, f64, &'static str)> {
    let spread = before.last()? - before.first()?;
    if !(spread > 0.0 && spread.is_finite()) {
        return None;
    }
    let unchanged = moved(before, now);
    // A part may be those beyond the range on one side only, so a line with the opposite sign is for whole columns.
    let lines = LINES.into_iter().filter(|(factor, ..)| factor.abs().ln().abs() >= f64::max(least, 1.0).ln());
    let fits = lines.filter_map(|(factor, offset, name)| {
        // The quantiles of a mirrored column are those from the other end.
        let mirrored =
            |at: usize| if factor < 0.0 { before.get(before.len() - 1 - at) } else { before.get(at) };
        let distances = now
            .iter()
            .enumerate()
            .filter_map(|(at, now)| Some((now - (factor * mirrored(at)? + offset)).abs()));
        let distance = distances.sum::<f64>() / now.len() as f64;
        // In the spread on that line, or a column that was made small would be near to everything.
        let scale = factor.abs() * spread;
        (distance <= near * scale && distance * NEARER <= unchanged)
            .then_some((distance / scale, (factor, offset, name)))
    });
    fits.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, line)| line)
}

/// Quantiles of sorted values.
fn quantiles(sorted: &[f64]) -> Option<Vec<f64>> {
    let last = (sorted.len() >= FEWEST_ROWS).then(|| sorted.len() - 1)?;
    PLACES.iter().map(|place| sorted.get((place * last as f64).round() as usize).copied()).collect()
}

/// Quantiles of binned values: straight within a bin.
fn of_histogram(histogram: &NumericWindow) -> Option<Vec<f64>> {
    let moments = histogram.moments();
    let (least, most, all) = (moments.min()?, moments.max()?, moments.count() as f64);
    let place = |place: f64| {
        let wanted = place * all;
        let mut below = 0.0;
        for (bin, count) in histogram.counts().iter().enumerate() {
            let count = *count as f64;
            if below + count >= wanted && count > 0.0 {
                let lower =
                    if bin == 0 { least } else { histogram.cuts().get(bin - 1).copied().unwrap_or(least) };
                let upper = histogram.cuts().get(bin).copied().unwrap_or(most);
                return lower + (upper - lower) * ((wanted - below) / count).clamp(0.0, 1.0);
            }
            below += count;
        }
        most
    };
    (all > 0.0).then(|| PLACES.iter().map(|at| place(*at)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Like a normal around `centre`, without randomness: the logistic quantiles of evenly spread shares.
    fn bell(rows: usize, centre: f64, scale: f64, start: f64) -> Vec<f64> {
        (0..rows)
            .map(|row| {
                let share = (row as f64 * 0.618_033_988_749_895 + start).fract().clamp(1e-4, 1.0 - 1e-4);
                centre + scale * (share / (1.0 - share)).ln()
            })
            .collect()
    }

    #[test]
    fn other_units_are_named() {
        let reference = NumericReference::from_values(&bell(5_000, 12.0, 4.0, 0.0));
        let window = bell(1_000, 12.0, 4.0, 0.3);
        let of = |line: &dyn Fn(f64) -> f64| {
            let values: Vec<f64> = window.iter().map(|value| line(*value)).collect();
            changed(&reference, &values).map(|changed| (changed.factor, changed.rows))
        };
        for factor in [100.0, 1e3, 0.3048, 3.6, 0.01, 2.204_623] {
            assert_eq!(of(&|value| value * factor), Some((factor, 1_000)));
        }
        assert_eq!(of(&|value| value * 1.8 + 32.0), Some((1.8, 1_000)));
        assert_eq!(of(&|value| value + 273.15), Some((1.0, 1_000)));
        assert_eq!(of(&|value| value), None);
        // The world moves, too, and not along a line of units.
        for shift in [2.0, 8.0, 20.0, -30.0] {
            assert_eq!(of(&|value| value + shift), None, "{shift}");
        }
        assert_eq!(of(&|value| value * 1.3), None);
    }

    #[test]
    fn one_caller_of_three_in_other_units_is_found() {
        let reference = NumericReference::from_values(&bell(5_000, 12.0, 4.0, 0.0));
        let mut window = bell(900, 12.0, 4.0, 0.3);
        window.iter_mut().step_by(3).for_each(|value| *value *= 1_000.0);
        let found = changed(&reference, &window).unwrap();
        assert_eq!(found.factor, 1e3);
        assert!((found.share - 1.0 / 3.0).abs() < 0.02, "{}", found.share);
        assert!(found.words().contains("33 %"), "{}", found.words());
    }
}

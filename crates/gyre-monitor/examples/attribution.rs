//! How well a change of the loss is divided, in worlds where its parts are known: the mean error of each part, how often its
//! interval holds the truth, and how long it takes.
//!
//! Loss: 5, 4 more where it rains, 3 more for one carrier; a wet road goes with the rain and does nothing by itself; days are
//! easier and harder by 0.5 (standard deviation). Reference 8,000 rows of 40 days, window 4,000 rows of 20 days.
//!
//! `cargo run --release -p gyre-monitor --example attribution -- [WORLDS]`

use std::error::Error;
use std::time::Instant;

use gyre_core::fact::{Attribution, Part};
use gyre_core::record::Route;
use gyre_core::spec::Metric;
use gyre_core::time::Period;
use gyre_core::{ModelName, Span, Timestamp};
use gyre_monitor::{LossReference, Predictions, Values, WindowInput, attribute};

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.next()).sum::<f64>() - 6.0
    }
}

/// Shares of rainy rows and of the carrier's, and what is added to every loss.
#[derive(Clone, Copy)]
struct Climate {
    rain: f64,
    carrier: f64,
    concept: f64,
}

const USUAL: Climate = Climate { rain: 0.2, carrier: 0.3, concept: 0.0 };

/// Columns rain, road, carrier, hour; losses; days.
struct Rows {
    columns: Vec<(String, Vec<f64>)>,
    losses: Vec<f64>,
    times: Vec<Timestamp>,
}

fn rows(n: usize, days: usize, climate: Climate, noise: usize, random: &mut Random) -> Rows {
    let mut columns: Vec<(String, Vec<f64>)> =
        ["rain", "road", "carrier", "hour"].map(|name| (name.to_owned(), Vec::new())).into();
    columns.extend((0..noise).map(|at| (format!("noise{at}"), Vec::new())));
    let of_day: Vec<f64> = (0..days).map(|_| 0.5 * random.normal()).collect();
    let (mut losses, mut times) = (Vec::new(), Vec::new());
    for row in 0..n {
        let day = row * days / n;
        let (rains, is_theirs) = (random.next() < climate.rain, random.next() < climate.carrier);
        let is_wet = if random.next() < 0.9 { rains } else { random.next() < 0.5 };
        let flag = |is: bool| f64::from(u8::from(is));
        let usual = 5.0 + 4.0 * flag(rains) + 3.0 * flag(is_theirs) + climate.concept + of_day[day];
        losses.push(usual * (0.5 + random.next()));
        times.push(Timestamp::default() + Span::days(day as i64));
        let values = [flag(rains), flag(is_wet), flag(is_theirs), (random.next() * 24.0).floor()];
        for (at, (_, column)) in columns.iter_mut().enumerate() {
            column.push(values.get(at).copied().unwrap_or_else(|| random.next()));
        }
    }
    Rows { columns, losses, times }
}

fn features(rows: &Rows) -> Vec<(&str, Values<'_>)> {
    rows.columns.iter().map(|(name, values)| (name.as_str(), Values::Numbers(values))).collect()
}

fn learn(rows: &Rows) -> Result<LossReference, Box<dyn Error>> {
    let days: Vec<i64> = rows.times.iter().map(|time| time.day()).collect();
    Ok(LossReference::learn(Metric::Mae, features(rows), &rows.losses, &days)?.ok_or("too few rows")?)
}

fn divide(rows: &Rows, reference: &LossReference) -> Result<Attribution, Box<dyn Error>> {
    let n = rows.losses.len();
    let (model, zeros): (ModelName, Vec<f64>) = ("model".parse()?, vec![0.0; n]);
    let (versions, routes) = (vec![1; n], vec![Route::Champion; n]);
    let input = WindowInput {
        model: &model,
        period: Period { from: Timestamp::default(), to: Timestamp::default() + Span::days(400) },
        champion: 1,
        times: &rows.times,
        versions: &versions,
        routes: &routes,
        predictions: Predictions { outputs: Values::Numbers(&zeros), scores: &[], classes: &[] },
        labels: Values::Numbers(&rows.losses),
        features: &features(rows),
        latencies_us: &[],
        errors: 0,
    };
    Ok(attribute(&input, reference, Metric::Mae)?.ok_or("nothing to divide")?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let worlds: u32 = std::env::args().nth(1).map_or(Ok(200), |text| text.parse())?;
    println!("{worlds} worlds each; mean error of the part, and share of 95 % intervals that hold the truth");
    println!("{:<26} {:>16} {:>16} {:>16} {:>16}", "", "rain", "road", "carrier", "concept");
    for (what, climate) in [
        ("nothing changed", USUAL),
        ("40 points more rain", Climate { rain: 0.6, ..USUAL }),
        ("and 40 more of a carrier", Climate { rain: 0.6, carrier: 0.7, ..USUAL }),
        ("every loss + 1", Climate { concept: 1.0, ..USUAL }),
        ("rain and every loss + 1", Climate { rain: 0.6, concept: 1.0, ..USUAL }),
    ] {
        let truth = [
            4.0 * (climate.rain - USUAL.rain),
            0.0,
            3.0 * (climate.carrier - USUAL.carrier),
            climate.concept,
        ];
        let mut found: [(f64, u32); 4] = Default::default();
        for world in 0..worlds {
            let mut random = Random(u64::from(world) + 1);
            let reference = learn(&rows(8_000, 40, USUAL, 0, &mut random))?;
            let divided = divide(&rows(4_000, 20, climate, 0, &mut random), &reference)?;
            let of = |name: &str| divided.columns.iter().find(|column| column.column == name);
            let shift = |name: &str| of(name).map(|column| column.shift);
            let parts: [Option<Part>; 4] =
                [shift("rain"), shift("road"), shift("carrier"), Some(divided.concept)];
            for ((sum, held), (part, truth)) in found.iter_mut().zip(parts.iter().zip(truth)) {
                let Some(part) = part else { continue };
                *sum += part.amount - truth;
                *held += u32::from(part.interval.is_some_and(|(low, high)| low <= truth && truth <= high));
            }
        }
        let cell = |(sum, held): (f64, u32)| {
            let n = f64::from(worlds);
            format!("{:+.3}  {:.1} %", sum / n, 100.0 * f64::from(held) / n)
        };
        let cells = found.map(cell);
        println!("{what:<26} {:>16} {:>16} {:>16} {:>16}", cells[0], cells[1], cells[2], cells[3]);
    }
    let mut random = Random(7);
    let reference = rows(100_000, 60, USUAL, 96, &mut random);
    let begun = Instant::now();
    let learned = learn(&reference)?;
    let (took, bytes) = (begun.elapsed(), serde_json::to_vec(&learned)?.len());
    let window = rows(10_000, 7, USUAL, 96, &mut random);
    let begun = Instant::now();
    divide(&window, &learned)?;
    println!(
        "100 features: learned from 100,000 rows in {:.2} s, {} KiB kept; a window of 10,000 rows in {:.1} ms",
        took.as_secs_f64(),
        bytes / 1024,
        begun.elapsed().as_secs_f64() * 1e3
    );
    Ok(())
}

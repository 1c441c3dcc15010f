//! Two worlds whose truth is known: a number, and a class of two.
//!
//! Six features: `temp` (where it is hot, nobody can say much), `load` (of no use), `sensor` (what counts most), `flow`
//! (counts differently in each regime), `hour` and `site`. Two versions: version 1 was made in an old regime, version 2,
//! the champion, in the present one. Means move by 0.03 standard deviations from week to week, the number of rows by 10 %.

use std::sync::Arc;

use gyre_core::spec::Metric;
use gyre_core::{Span, Timestamp};
use gyre_monitor::Values;

pub(crate) const ROWS: usize = 800;
pub(crate) const NAMES: [&str; 6] = ["temp", "load", "sensor", "flow", "hour", "site"];
const SITES: [(&str, f64); 4] = [("north", 0.0), ("south", 0.4), ("east", -0.3), ("west", 0.2)];
/// Above this nobody can say much.
const HOT: f64 = 22.0;

/// SplitMix64.
#[derive(Debug, Clone)]
pub(crate) struct Random(pub u64);

impl Random {
    pub(crate) fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Box and Muller, one of the two.
    pub(crate) fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.next()).ln()).sqrt() * (std::f64::consts::TAU * self.next()).cos()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    Number,
    Class,
}

impl Task {
    pub(crate) fn metric(self) -> Metric {
        if self == Self::Number { Metric::Mae } else { Metric::LogLoss }
    }
}

/// How the world is in a week.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Truth {
    /// What flow counts: 1 in the old regime, 0 in the present one.
    pub(crate) old: f64,
    /// What sensor counts less than it did, as a share.
    pub(crate) turned: f64,
    /// By how many standard deviations temp and load have moved.
    pub(crate) hotter: f64,
    pub(crate) heavier: f64,
    /// Which share of the rows with low outcomes does not happen.
    pub(crate) tilted: f64,
}

pub(crate) const PRESENT: Truth = Truth { old: 0.0, turned: 0.0, hotter: 0.0, heavier: 0.0, tilted: 0.0 };

/// One row: numbers in the order of [`NAMES`] without the site, which is an index.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub(crate) time: Timestamp,
    pub(crate) numbers: [f64; 5],
    pub(crate) site: usize,
    /// The number, or 1 for the class `yes`.
    pub(crate) label: f64,
}

/// What is known of a row's outcome: a number, or the log-odds of `yes`.
fn signal(task: Task, old: f64, turned: f64, [temp, _, sensor, flow, hour]: [f64; 5], site: usize) -> f64 {
    let sensor = (1.0 - turned) * (sensor - 50.0) / 10.0;
    let flow = (flow - 50.0) / 29.0;
    let offset = SITES.get(site).map_or(0.0, |(_, offset)| *offset);
    let hour = (hour / 4.0).sin();
    match task {
        Task::Number => {
            100.0 + 20.0 * sensor + (3.0 + 15.0 * old) * flow + 0.4 * temp + 4.0 * offset + 2.0 * hour
        }
        Task::Class => {
            let certain = if temp > HOT { 0.15 } else { 1.0 };
            certain * (2.0 * sensor + (2.6 * old - 0.6) * flow + offset + 0.3 * hour)
        }
    }
}

/// What a version answers: the number, or the probability of `yes`. Version 1 was made in the old regime. What is missing
/// is taken for the usual.
pub(crate) fn answer(task: Task, version: u32, numbers: [f64; 5], site: usize) -> f64 {
    let usual = [15.0, 22.0, 50.0, 50.0, 11.0];
    let mut given = usual;
    for (given, number) in given.iter_mut().zip(numbers) {
        if number.is_finite() {
            *given = number;
        }
    }
    let old = if version == 1 { 1.0 } else { 0.0 };
    let signal = signal(task, old, 0.0, given, site);
    match task {
        Task::Number => signal + 2.0 * (given[2] / 5.0).sin(),
        Task::Class => 1.0 / (1.0 + (-0.95 * signal).exp()),
    }
}

/// A week of the world, in the order of time.
pub(crate) fn week(task: Task, truth: &Truth, rows: usize, from: Timestamp, random: &mut Random) -> Vec<Row> {
    let jitter: [f64; 4] = std::array::from_fn(|_| 0.03 * random.normal());
    let length = Span::days(7).as_millis() as f64;
    let mut week = Vec::with_capacity(rows);
    while week.len() < rows {
        let temp = 15.0 + 6.0 * (random.normal() + jitter[0] + truth.hotter);
        let load = (3.0 + 0.5 * (random.normal() + jitter[1] + truth.heavier)).exp();
        let sensor = 50.0 + 10.0 * (random.normal() + jitter[2]);
        let flow = 100.0 * random.next() + 29.0 * jitter[3];
        let numbers = [temp, load, sensor, flow, (24.0 * random.next()).floor()];
        let site = (4.0 * random.next()) as usize;
        let signal = signal(task, truth.old, truth.turned, numbers, site);
        let label = match task {
            Task::Number => signal + if temp > HOT { 24.0 } else { 8.0 } * random.normal(),
            Task::Class => f64::from(u8::from(random.next() < 1.0 / (1.0 + (-signal).exp()))),
        };
        let is_low = if task == Task::Number { label < 106.0 } else { label < 0.5 };
        if is_low && random.next() < truth.tilted {
            continue;
        }
        let time = from + Span::from_millis((random.next() * length) as i64);
        week.push(Row { time, numbers, site, label });
    }
    week.sort_by_key(|row| row.time);
    week
}

/// A feature's values.
#[derive(Debug, Clone)]
pub(crate) enum Column {
    Numbers(Vec<f64>),
    Names(Vec<Option<Arc<str>>>),
}

impl Column {
    pub(crate) fn values(&self) -> Values<'_> {
        match self {
            Self::Numbers(numbers) => Values::Numbers(numbers),
            Self::Names(names) => Values::Text(names),
        }
    }
}

/// Rows as a log has them: features, what came true (NaN where no label came), and when.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    pub(crate) times: Vec<Timestamp>,
    pub(crate) columns: Vec<Column>,
    pub(crate) sites: Vec<usize>,
    pub(crate) labels: Vec<f64>,
    pub(crate) latencies_us: Vec<u32>,
    pub(crate) errors: u64,
}

impl Log {
    pub(crate) fn of(rows: &[Row], random: &mut Random) -> Self {
        let number = |at: usize| Column::Numbers(rows.iter().map(|row| row.numbers[at]).collect());
        let names = SITES.map(|(name, _)| Arc::<str>::from(name));
        let site = rows.iter().map(|row| Some(Arc::clone(&names[row.site]))).collect();
        let mut columns: Vec<Column> = (0..5).map(number).collect();
        columns.push(Column::Names(site));
        let latency = |random: &mut Random| (3_000.0 * (0.35 * random.normal()).exp()) as u32;
        Self {
            times: rows.iter().map(|row| row.time).collect(),
            columns,
            sites: rows.iter().map(|row| row.site).collect(),
            labels: rows.iter().map(|row| row.label).collect(),
            latencies_us: rows.iter().map(|_| latency(random)).collect(),
            errors: (rows.len() as f64 * 0.004 * random.next()) as u64,
        }
    }

    pub(crate) fn rows(&self) -> usize {
        self.times.len()
    }

    /// What was sent in a row; NaN for what is no number.
    pub(crate) fn numbers(&self, row: usize) -> [f64; 5] {
        std::array::from_fn(|at| match &self.columns[at] {
            Column::Numbers(numbers) => numbers[row],
            Column::Names(names) => {
                names[row].as_ref().and_then(|name| name.parse().ok()).unwrap_or(f64::NAN)
            }
        })
    }

    pub(crate) fn features(&self) -> Vec<(&'static str, Values<'_>)> {
        NAMES.into_iter().zip(self.columns.iter().map(Column::values)).collect()
    }
}

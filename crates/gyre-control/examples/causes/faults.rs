//! What can go wrong, and what an incident should call it.

use std::sync::Arc;

use gyre_core::fact::Cause;

use crate::world::{Column, Log, PRESENT, Random, Truth};

/// A fault, and how it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    Hundredfold,
    Fahrenheit,
    FeetToMetres,
    SomeInGrams,
    StuckAtOnce,
    StuckForDays,
    Retyped,
    Gone,
    Nulls,
    LateLabels,
    Hotter,
    HotterSlowly,
    Turned,
    TurnedSlowly,
    Tilted,
    OldRegime,
    Attack,
    Slow,
    Failing,
    Heavier,
    HeavierSlowly,
    Twice,
    Fewer,
}

impl Fault {
    pub(crate) const ALL: [Self; 23] = [
        Self::Hundredfold,
        Self::Fahrenheit,
        Self::FeetToMetres,
        Self::SomeInGrams,
        Self::StuckAtOnce,
        Self::StuckForDays,
        Self::Retyped,
        Self::Gone,
        Self::Nulls,
        Self::LateLabels,
        Self::Hotter,
        Self::HotterSlowly,
        Self::Turned,
        Self::TurnedSlowly,
        Self::Tilted,
        Self::OldRegime,
        Self::Attack,
        Self::Slow,
        Self::Failing,
        Self::Heavier,
        Self::HeavierSlowly,
        Self::Twice,
        Self::Fewer,
    ];

    /// What it is, for people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "nothing",
            Self::Hundredfold => "load times 100",
            Self::Fahrenheit => "temp in Fahrenheit",
            Self::FeetToMetres => "sensor times 0.3048",
            Self::SomeInGrams => "load times 1,000 in a quarter of the rows",
            Self::StuckAtOnce => "sensor stuck",
            Self::StuckForDays => "sensor stuck for two days of seven",
            Self::Retyped => "sensor sent as text",
            Self::Gone => "flow no longer sent",
            Self::Nulls => "sensor missing in 15 to 35 %",
            Self::LateLabels => "labels late (10 to 40 % come in time)",
            Self::Hotter => "temp up 1 to 1.8 sd",
            Self::HotterSlowly => "temp up, over five weeks",
            Self::Turned => "sensor counts less",
            Self::TurnedSlowly => "sensor counts less, over five weeks",
            Self::Tilted => "40 to 70 % of low outcomes gone",
            Self::OldRegime => "the old regime is back",
            Self::Attack => "4 to 8 times the rows, few of them over and over",
            Self::Slow => "answers take 3 to 6 times as long",
            Self::Failing => "5 to 15 % of the requests fail",
            Self::Heavier => "load up 0.5 to 1.5 sd (of no use to the model)",
            Self::HeavierSlowly => "load up, over five weeks",
            Self::Twice => "20 to 40 % of the rows sent twice",
            Self::Fewer => "a tenth to a third of the rows",
        }
    }

    pub(crate) fn cause(self) -> Option<Cause> {
        Some(match self {
            Self::None => return None,
            Self::Hundredfold | Self::Fahrenheit | Self::FeetToMetres | Self::SomeInGrams => {
                Cause::UnitChange
            }
            Self::StuckAtOnce | Self::StuckForDays => Cause::StuckSensor,
            Self::Retyped | Self::Gone => Cause::SchemaBreak,
            Self::Nulls => Cause::UpstreamNull,
            Self::LateLabels => Cause::LabelDelay,
            Self::Hotter | Self::HotterSlowly => Cause::Covariate,
            Self::Turned | Self::TurnedSlowly => Cause::Concept,
            Self::Tilted => Cause::PriorShift,
            Self::OldRegime => Cause::SeasonalReturn,
            Self::Attack => Cause::AttackSpike,
            Self::Slow | Self::Failing => Cause::Service,
            Self::Heavier | Self::HeavierSlowly => Cause::Harmless,
            Self::Twice => Cause::Duplicates,
            Self::Fewer => Cause::Volume,
        })
    }

    /// How far it has come in the `age`th week of it, 0 to 1.
    fn reached(self, age: usize) -> f64 {
        match self {
            Self::HotterSlowly | Self::TurnedSlowly | Self::HeavierSlowly => {
                ((age + 1) as f64 / 5.0).min(1.0)
            }
            _ => 1.0,
        }
    }

    /// The world in the `age`th week of it; `size` is between 0 and 1.
    pub(crate) fn truth(self, age: usize, size: f64) -> Truth {
        let far = self.reached(age);
        match self {
            Self::Hotter | Self::HotterSlowly => Truth { hotter: far * (1.0 + 0.8 * size), ..PRESENT },
            Self::Turned | Self::TurnedSlowly => Truth { turned: far * (0.5 + 0.5 * size), ..PRESENT },
            Self::Tilted => Truth { tilted: 0.4 + 0.3 * size, ..PRESENT },
            Self::OldRegime => Truth { old: 0.8 + 0.2 * size, ..PRESENT },
            Self::Heavier | Self::HeavierSlowly => Truth { heavier: far * (0.5 + size), ..PRESENT },
            _ => PRESENT,
        }
    }

    /// How many rows there are, as a multiple of the usual.
    pub(crate) fn volume(self, size: f64) -> f64 {
        if self == Self::Fewer { 0.1 + 0.23 * size } else { 1.0 }
    }

    /// Breaks what is sent.
    pub(crate) fn breaks(self, log: &mut Log, size: f64, random: &mut Random) {
        match self {
            Self::Hundredfold => map(log, 1, |_, value| value * 100.0),
            Self::Fahrenheit => map(log, 0, |_, value| value * 1.8 + 32.0),
            Self::FeetToMetres => map(log, 2, |_, value| value * 0.3048),
            Self::SomeInGrams => {
                map(log, 1, |_, value| if random.next() < 0.25 { value * 1e3 } else { value })
            }
            Self::StuckAtOnce => map(log, 2, |_, _| 47.0 + size),
            Self::StuckForDays => {
                let (from, to) = (log.rows() * 3 / 7, log.rows() * 5 / 7);
                map(log, 2, |row, value| if (from..to).contains(&row) { 61.5 } else { value });
            }
            Self::Retyped => {
                let text = |value: f64| Some(Arc::from(format!("{value:.1} bar")));
                let numbers: Vec<f64> = (0..log.rows()).map(|row| log.numbers(row)[2]).collect();
                log.columns[2] = Column::Names(numbers.into_iter().map(text).collect());
            }
            Self::Gone => map(log, 3, |_, _| f64::NAN),
            Self::Nulls => {
                let share = 0.15 + 0.2 * size;
                map(log, 2, |_, value| if random.next() < share { f64::NAN } else { value });
            }
            Self::LateLabels => {
                let share = 0.1 + 0.3 * size;
                log.labels.iter_mut().filter(|_| random.next() >= share).for_each(|label| *label = f64::NAN);
            }
            Self::Attack => repeat(log, (log.rows() as f64 * (3.0 + 4.0 * size)) as usize, 12, random),
            Self::Twice => {
                let rows = (log.rows() as f64 * (0.2 + 0.2 * size)) as usize;
                let kept = log.rows() - rows;
                keep(log, kept);
                repeat(log, rows, usize::MAX, random);
            }
            Self::Slow => {
                let times = 3.0 + 3.0 * size;
                log.latencies_us
                    .iter_mut()
                    .for_each(|latency| *latency = (f64::from(*latency) * times) as u32);
            }
            Self::Failing => log.errors = (log.rows() as f64 * (0.05 + 0.1 * size)) as u64,
            _ => {}
        }
    }
}

fn map(log: &mut Log, at: usize, mut to: impl FnMut(usize, f64) -> f64) {
    if let Column::Numbers(numbers) = &mut log.columns[at] {
        numbers.iter_mut().enumerate().for_each(|(row, value)| *value = to(row, *value));
    }
}

fn keep(log: &mut Log, rows: usize) {
    let every = |at: usize| at * log.times.len() / rows;
    let order: Vec<usize> = (0..rows).map(every).collect();
    pick(log, &order);
}

/// Adds `more` rows that repeat one of `of` rows each, and puts all in the order of time.
fn repeat(log: &mut Log, more: usize, of: usize, random: &mut Random) {
    let of = of.min(log.rows());
    let rows = log.rows();
    let choose = |random: &mut Random| (random.next() * of as f64) as usize * rows / of;
    let repeated: Vec<usize> = (0..more).map(|_| choose(random)).collect();
    let order: Vec<usize> = (0..rows).chain(repeated).collect();
    pick(log, &order);
    for time in log.times.iter_mut().skip(rows) {
        *time = *time + gyre_core::Span::from_millis((random.next() * 3_600_000.0) as i64);
    }
    let last = log.times.iter().take(rows).max().copied().unwrap_or_default();
    log.times.iter_mut().for_each(|time| *time = (*time).min(last));
    let mut order: Vec<usize> = (0..log.rows()).collect();
    order.sort_by_key(|row| log.times[*row]);
    pick(log, &order);
}

fn pick(log: &mut Log, order: &[usize]) {
    log.times = order.iter().map(|row| log.times[*row]).collect();
    log.sites = order.iter().map(|row| log.sites[*row]).collect();
    log.labels = order.iter().map(|row| log.labels[*row]).collect();
    log.latencies_us = order.iter().map(|row| log.latencies_us[*row]).collect();
    for column in &mut log.columns {
        *column = match column {
            Column::Numbers(numbers) => Column::Numbers(order.iter().map(|row| numbers[*row]).collect()),
            Column::Names(names) => Column::Names(order.iter().map(|row| names[*row].clone()).collect()),
        };
    }
}

//! The flights, in the order of the schedule, and their labels, in the order of landing.

use std::path::Path;
use std::sync::Arc;

use gyre_core::Timestamp;
use gyre_data::table::Table;

use crate::failure::Failure;

/// When the first model begins to serve: what lies before is what it learns from.
pub(super) const FIRST_DAY: &str = "2013-03-01T00:00:00Z";

/// A flight as its airline announces it.
pub(super) struct Flight {
    pub(super) id: u32,
    pub(super) time: Timestamp,
    pub(super) carrier: Arc<str>,
    pub(super) origin: Arc<str>,
    pub(super) dest: Arc<str>,
    pub(super) distance: u32,
    pub(super) hour: u8,
    pub(super) dow: u8,
}

/// How long a flight was in the air, known when it has landed.
pub(super) struct Landing {
    pub(super) id: u32,
    pub(super) time: Timestamp,
    pub(super) air_time: f32,
}

/// All that comes from outside.
pub(super) struct Flights {
    /// By scheduled departure.
    pub(super) flights: Vec<Flight>,
    /// By landing; cancelled flights never land.
    pub(super) landings: Vec<Landing>,
}

/// Reads the flights from the first day on, up to `until`.
pub(super) fn read(dir: &Path, until: Option<Timestamp>) -> Result<Flights, Failure> {
    let first: Timestamp = FIRST_DAY.parse()?;
    let (mut flights, mut landings) = (Vec::new(), Vec::new());
    for batch in Table::open(&dir.join("data/flights.parquet"))? {
        let batch = batch?;
        let numbers = |column: &str| batch.numbers(column);
        let (ids, distances, hours, dows) =
            (numbers("flight_id")?, numbers("distance_miles")?, numbers("hour")?, numbers("dow")?);
        let (air_times, times, landed) =
            (numbers("air_time_min")?, batch.timestamps("scheduled_departure")?, batch.timestamps("landed")?);
        let (carriers, origins, dests) =
            (batch.categories("carrier")?, batch.categories("origin")?, batch.categories("dest")?);
        for row in 0..batch.rows() {
            let Some(time) =
                times[row].filter(|time| *time >= first && until.is_none_or(|until| *time <= until))
            else {
                continue;
            };
            let whole = |values: &[Option<f64>]| values[row].unwrap_or_default() as u32;
            let text = |values: &[Option<Arc<str>>]| values[row].clone().unwrap_or_default();
            let id = whole(&ids);
            flights.push(Flight {
                id,
                time,
                carrier: text(&carriers),
                origin: text(&origins),
                dest: text(&dests),
                distance: whole(&distances),
                hour: whole(&hours) as u8,
                dow: whole(&dows) as u8,
            });
            if let (Some(air_time), Some(time)) = (air_times[row], landed[row]) {
                landings.push(Landing { id, time, air_time: air_time as f32 });
            }
        }
    }
    landings.sort_by_key(|landing| (landing.time, landing.id));
    Ok(Flights { flights, landings })
}

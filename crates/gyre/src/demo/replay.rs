//! The replaying client: predictions, labels and event time, over HTTP, as fast as the machine allows.
//!
//! The year goes by in ticks of a few hours. In each, the flights of these hours are asked for, every one as a request of
//! its own for the managed model, all in one request for the twin that is left alone; the inference log is flushed, which
//! is the acknowledgement that they are on disk; the labels of the flights that landed are brought; and the server is told
//! how far event time has come, and answers when all that follows from it is done. Only then is the tick remembered. After
//! a crash the last tick is sent once more; the log counts each prediction once.

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use gyre_core::{Fact, Span, Timestamp};
use gyre_store::journal;

use super::client::Connection;
use super::flights::{FIRST_DAY, Flight, Flights, Landing};
use super::progress::Progress;
use super::site::{Cursor, Site};
use super::{Models, SharedDesk};
use crate::failure::Failure;

/// How long a tick is.
const TICK: Span = Span::hours(6);

/// Connections that ask at the same time.
const CONNECTIONS: usize = 16;

/// How long after the last flight event time goes on, so that the last windows close.
const AFTERMATH: Span = Span::days(8);

/// The replay of one demo.
pub(super) struct Replay<'a> {
    pub(super) address: SocketAddr,
    pub(super) models: &'a Models,
    pub(super) flights: Flights,
    pub(super) site: &'a Site,
    pub(super) desk: &'a SharedDesk,
    pub(super) progress: &'a Progress,
}

impl Replay<'_> {
    /// Lives through the year, from where it stopped. Returns how many requests failed, with the seconds of earlier attempts.
    pub(super) async fn live(&self) -> Result<Cursor, Failure> {
        let mut cursor = self.site.cursor()?;
        let begun = Instant::now();
        let earlier = cursor.seconds;
        let mut control = Connection::open(self.address).await?;
        let mut crew = Vec::with_capacity(CONNECTIONS);
        for _ in 0..CONNECTIONS {
            crew.push(Connection::open(self.address).await?);
        }
        self.progress.length(self.flights.flights.len());
        let mut from = match cursor.time {
            Some(time) => time,
            None => self.first_models(&mut control).await?,
        };
        let last = self.flights.flights.last().map_or(from, |flight| flight.time);
        while from <= last + AFTERMATH {
            let to = from + TICK;
            let sent = self.flights.flights.partition_point(|flight| flight.time < from);
            let next = self.flights.flights.partition_point(|flight| flight.time < to);
            let flights = &self.flights.flights[sent..next];
            cursor.failed += self.ask(flights, &mut crew).await?;
            self.ask_twin(flights, &mut control).await?;
            for model in [&self.models.managed, &self.models.unmanaged] {
                control.ask(&format!("/v1/models/{model}/flush"), String::new()).await?;
            }
            self.bring_labels(from, to, &mut control).await?;
            control.ask("/v1/watermark", format!(r#"{{"time":"{to}","wait":true}}"#)).await?;
            from = to;
            cursor.time = Some(to);
            cursor.seconds = earlier + begun.elapsed().as_secs_f64();
            self.site.advance(cursor)?;
            self.progress.day(to, next);
            self.news()?;
        }
        Ok(cursor)
    }

    /// A bad batch is offered and refused; then the first version of each model is trained on what is known by now.
    async fn first_models(&self, control: &mut Connection) -> Result<Timestamp, Failure> {
        let first: Timestamp = FIRST_DAY.parse()?;
        control.ask("/v1/watermark", format!(r#"{{"time":"{first}","wait":true}}"#)).await?;
        let bad = self.site.dir().join("data/broken-batch.parquet");
        tokio::task::block_in_place(|| self.desk.examine("flights", &bad, "feed"))?;
        for model in [&self.models.managed, &self.models.unmanaged] {
            // What an interrupted demo had asked for is done by now.
            if self.desk.gateway().traffic(model.as_str()).is_some() {
                continue;
            }
            self.progress.say(format!("training the first version of {model}"));
            let body = format!(r#"{{"window":"all","as_of":"{first}"}}"#);
            control.ask(&format!("/v1/models/{model}/train"), body).await?;
            control.ask("/v1/watermark", format!(r#"{{"time":"{first}","wait":true}}"#)).await?;
            if self.desk.gateway().traffic(model.as_str()).is_none() {
                let path = self.site.dir().display();
                return Err(Failure::because(format!(
                    "{model} was not trained; `gyre journal -C {path}` says why"
                )));
            }
        }
        Ok(first)
    }

    /// Asks for every flight by itself, on all connections at once; returns how many requests failed.
    async fn ask(&self, flights: &[Flight], crew: &mut [Connection]) -> Result<u64, Failure> {
        let path = format!("/v2/models/{}/infer", self.models.managed);
        let (next, failed) = (AtomicUsize::new(0), AtomicU64::new(0));
        let work = crew.iter_mut().map(|connection| async {
            while let Some(flight) = flights.get(next.fetch_add(1, Ordering::Relaxed)) {
                let (status, _) = connection.post(&path, single(flight)).await?;
                if !status.is_success() {
                    failed.fetch_add(1, Ordering::Relaxed);
                }
            }
            Ok::<_, Failure>(())
        });
        for outcome in futures_util::future::join_all(work).await {
            outcome?;
        }
        Ok(failed.into_inner())
    }

    /// Asks the twin for all flights of a day in one request, under the event time of the first.
    async fn ask_twin(&self, flights: &[Flight], control: &mut Connection) -> Result<(), Failure> {
        let path = format!("/v2/models/{}/infer", self.models.unmanaged);
        for together in flights.chunk_by(|a, b| a.time.day() == b.time.day()) {
            control.ask(&path, batch(together)).await?;
        }
        Ok(())
    }

    /// Brings the air time of the flights that landed in these hours, to both models.
    async fn bring_labels(
        &self,
        from: Timestamp,
        to: Timestamp,
        control: &mut Connection,
    ) -> Result<(), Failure> {
        let landings = &self.flights.landings;
        let begin = landings.partition_point(|landing| landing.time < from);
        let end = landings.partition_point(|landing| landing.time < to);
        if begin == end {
            return Ok(());
        }
        for model in [&self.models.managed, &self.models.unmanaged] {
            let labels = self::labels(&landings[begin..end]);
            control.ask("/v1/labels", format!(r#"{{"model":"{model}","labels":{labels}}}"#)).await?;
        }
        Ok(())
    }

    /// Shows the last decision.
    fn news(&self) -> Result<(), Failure> {
        let model = self.models.managed.as_str();
        let latest = self.desk.store().read(|tx| journal::latest_of_kind(tx, "decision_taken", model))?;
        if let Some(Fact::DecisionTaken { reason, .. }) = latest.as_ref().map(|entry| &entry.fact) {
            let at = latest.as_ref().map(|entry| entry.at.date()).unwrap_or_default();
            self.progress.say(format!("{at} {reason}"));
        }
        Ok(())
    }
}

/// A request for one flight, in the Open Inference Protocol.
fn single(flight: &Flight) -> String {
    let Flight { id, time, carrier, origin, dest, distance, hour, dow } = flight;
    let column = |name: &str, value: String| {
        let datatype = if value.starts_with('"') { "BYTES" } else { "FP64" };
        format!(r#"{{"name":"{name}","shape":[1],"datatype":"{datatype}","data":[{value}]}}"#)
    };
    let columns = [
        column("carrier", format!("\"{carrier}\"")),
        column("origin", format!("\"{origin}\"")),
        column("dest", format!("\"{dest}\"")),
        column("distance_miles", distance.to_string()),
        column("hour", hour.to_string()),
        column("dow", dow.to_string()),
    ];
    format!(r#"{{"id":"{id}","parameters":{{"event_time":"{time}"}},"inputs":[{}]}}"#, columns.join(","))
}

/// A request for several flights of a day, each row under its own id.
fn batch(flights: &[Flight]) -> String {
    let shape = flights.len();
    let column = |name: &str, datatype: &str, role: &str, value: &dyn Fn(&Flight) -> String| {
        let values = flights.iter().map(value).collect::<Vec<_>>().join(",");
        format!(r#"{{"name":"{name}","shape":[{shape}],"datatype":"{datatype}"{role},"data":[{values}]}}"#)
    };
    let columns = [
        column("id", "BYTES", r#","parameters":{"role":"id"}"#, &|flight| format!("\"{}\"", flight.id)),
        column("carrier", "BYTES", "", &|flight| format!("\"{}\"", flight.carrier)),
        column("origin", "BYTES", "", &|flight| format!("\"{}\"", flight.origin)),
        column("dest", "BYTES", "", &|flight| format!("\"{}\"", flight.dest)),
        column("distance_miles", "FP64", "", &|flight| flight.distance.to_string()),
        column("hour", "FP64", "", &|flight| flight.hour.to_string()),
        column("dow", "FP64", "", &|flight| flight.dow.to_string()),
    ];
    let time = flights.first().map(|flight| flight.time).unwrap_or_default();
    format!(r#"{{"parameters":{{"event_time":"{time}"}},"inputs":[{}]}}"#, columns.join(","))
}

fn labels(landings: &[Landing]) -> String {
    let mut json = String::from("[");
    for (at, Landing { id, time, air_time }) in landings.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        // Writing to a string cannot fail.
        let _ = write!(json, r#"{comma}{{"id":"{id}","value":{air_time},"time":"{time}"}}"#);
    }
    json + "]"
}

//! A small plant with a real desk: kilns that fire pots, a table of past firings, a pipeline of one stage, and a client
//! that asks, brings labels and says how late it is.
//!
//! How long a firing takes (`minutes`) follows from `heat` and `clay`, by one of two laws; a [`Plant`] says on which days
//! which law holds. One firing in five is cold (`heat` 0): it is asked about, and never measured.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

pub mod models;

use std::fmt::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gyre_core::fact::{Entry, Fact};
use gyre_core::record::{Label, Value};
use gyre_core::spec::Window;
use gyre_core::time::ManualClock;
use gyre_core::{ModelName, Span, Timestamp, Version};
use gyre_gateway::{Input, Request};
use gyre_loop::{Desk, DeskError, TimeSource};
use gyre_store::{StoreUrl, journal};
use gyre_testing::Place;

/// Firings a day.
pub const DAILY: u32 = 120;
/// Ticks a day: the client's rhythm.
const TICKS: i64 = 4;
/// The first day in the table: 2013-01-01.
const FIRST: i64 = 15_706;
/// How long after a firing its time is known.
const DELAY: Span = Span::hours(3);
/// Days of history before anything serves.
pub const HISTORY: u32 = 14;

const SPEC: &str = "
version: 1
project: plant
data:
  firings:
    source: firings.csv
    time: begun
    label_time: known
    key: id
    checks:
      - {column: id, type: int, unique: true, nulls: 0}
      - {column: heat, range: [0, 1000], nulls: 0}
pipeline: dvc.yaml
models:
  kiln:
    task: regression
    target: minutes
    artifact: out/model.onnx
    metric: mae
    unit: min
    train: {data: firings, holdout: {every: 2, last: 8d}}
    labels: {join: id, expected_delay: 1d}
    gates: [candidate.mae < 1.5 * champion.mae]
    deploy: {strategy: canary, steps: [5%, 25%, 50%, 100%], min_requests: 5, rollback_on: [errors > 0.02]}
    monitor: {window: 4d, tolerance: 0.5}
    retrain: {when: [decay], candidates: [recall, {window: 4d}], refit: false, cost: {retrain: 2, error: 1}, significance: 0.05, cooldown: 1d, limit: 20/week, timeout: 5s}
";

const PIPELINE: &str = "
stages:
  train:
    cmd: sh train.sh
    deps: [train.sh, data/train.parquet]
    outs: [out/model.onnx]
";

/// One firing, as the world makes it.
struct Firing {
    id: u32,
    begun: Timestamp,
    heat: f64,
    clay: &'static str,
    minutes: Option<f64>,
}

/// The laws by which firings take their time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Law {
    Summer,
    Winter,
    /// Summer, and everything takes half as long again.
    Damp,
    /// Summer, and three firings in five are cold.
    Frost,
    /// Summer, and the hottest firings take six minutes more.
    Glaze,
}

/// The law of each day, counted from the first in the table.
pub type Laws = fn(u32) -> Law;

/// A project in a folder of its own, its running desk, and how far the client has come.
pub struct Plant {
    dir: PathBuf,
    /// Where the store is, when that is not in the folder.
    url: Option<StoreUrl>,
    desk: Option<Desk>,
    laws: Laws,
    now: Timestamp,
    /// Requests that were not answered.
    pub failed: u32,
}

impl Plant {
    /// A plant in a place, with a table of `days` days, whose pipeline trains the reference model.
    pub fn new(place: &Place, days: u32, laws: Laws) -> Self {
        Self::make(place.dir(), place.url(), days, laws)
    }

    /// The same in the folder `dir`.
    pub fn in_folder(dir: &Path, days: u32, laws: Laws) -> Self {
        Self::make(dir, None, days, laws)
    }

    fn make(dir: &Path, url: Option<StoreUrl>, days: u32, laws: Laws) -> Self {
        std::fs::write(dir.join("gyre.yaml"), SPEC).unwrap();
        std::fs::write(dir.join("dvc.yaml"), PIPELINE).unwrap();
        let now = moment(HISTORY, 0);
        let mut plant = Self { dir: dir.to_owned(), url, desk: None, laws, now, failed: 0 };
        plant.record(days, |_, heat| heat);
        plant.train_by(&trainer());
        plant.open().unwrap();
        plant
    }

    /// Writes the table of firings; `seen` is what the sensor says of a day's heat.
    pub fn record(&self, days: u32, seen: impl Fn(u32, f64) -> f64) {
        let mut table = String::from("id,begun,known,heat,clay,minutes\n");
        for day in 0..days {
            for Firing { id, begun, heat, clay, minutes } in firings(self.laws, day) {
                let (heat, known) = (seen(day, heat), begun + DELAY);
                let (known, minutes) =
                    minutes.map(|minutes| (known.to_string(), minutes.to_string())).unwrap_or_default();
                writeln!(table, "{id},{begun},{known},{heat},{clay},{minutes}").unwrap();
            }
        }
        std::fs::write(self.dir.join("firings.csv"), table).unwrap();
    }

    /// Makes `script` the train stage's command, run by `/bin/sh` in the run's folder.
    pub fn train_by(&self, script: &str) {
        std::fs::write(self.dir.join("train.sh"), format!("set -e\nmkdir -p out\n{script}\n")).unwrap();
    }

    /// Makes the train stage "train" these bytes.
    pub fn train_into(&self, model: &[u8]) {
        std::fs::write(self.dir.join("prepared.onnx"), model).unwrap();
        self.train_by("cp prepared.onnx out/model.onnx");
    }

    /// Changes a part of `gyre.yaml`; in force from the next opening on.
    pub fn declare(&mut self, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.dir.join("gyre.yaml")).unwrap();
        assert!(text.contains(from), "{from}");
        std::fs::write(self.dir.join("gyre.yaml"), text.replace(from, to)).unwrap();
        self.reopen();
    }

    pub fn desk(&self) -> &Desk {
        self.desk.as_ref().unwrap()
    }

    pub fn open(&mut self) -> Result<(), DeskError> {
        let clock = Arc::new(ManualClock::at(Timestamp::from_millis(7)));
        self.desk = Some(Desk::open_with(&self.dir, self.url.as_ref(), clock, TimeSource::Replay)?);
        Ok(())
    }

    /// Ends the desk and opens the project again.
    pub fn reopen(&mut self) {
        self.desk = None;
        self.open().unwrap();
    }

    /// The first version: trained on all that is known, as an operator would ask for.
    pub fn first_version(&self) {
        self.train(Window::All);
    }

    /// Asks for a training and waits for what comes of it.
    pub fn train(&self, window: Window) {
        self.desk().train(&kiln(), Some(window), Some(self.now), "user:ada", None).unwrap();
        self.desk().advance(self.now, true).unwrap();
    }

    /// The day that has come.
    pub fn day(&self) -> u32 {
        (self.now.day() - FIRST) as u32
    }

    /// Lives on until `day` begins.
    pub fn live_to(&mut self, day: u32) {
        self.live_until(day, |_| false);
    }

    /// Lives on, tick by tick, until `seen` says so, at most until `day` begins. Says whether it was seen.
    pub fn live_until(&mut self, day: u32, seen: impl Fn(&Self) -> bool) -> bool {
        while self.now < moment(day, 0) {
            if seen(self) {
                return true;
            }
            self.tick().unwrap();
        }
        seen(self)
    }

    /// Nobody asks, brings labels or watches until `day` begins.
    pub fn be_away_to(&mut self, day: u32) {
        self.desk = None;
        self.now = moment(day, 0);
        self.open().unwrap();
    }

    /// Six hours: asks, brings the labels that became known, and says how late it is.
    pub fn tick(&mut self) -> Result<(), DeskError> {
        let (from, to) = (self.now, self.now + Span::hours(24 / TICKS));
        self.ask(from..to);
        self.desk().gateway().flush("kiln")?;
        self.bring_labels(from..to)?;
        self.desk().advance(to, true)?;
        self.now = to;
        Ok(())
    }

    /// Asks about the firings begun in `hours`, one by one; counts what is not answered.
    pub fn ask(&mut self, hours: Range<Timestamp>) {
        for firing in self.around(&hours).into_iter().filter(|firing| hours.contains(&firing.begun)) {
            self.failed += u32::from(self.answer(&firing).is_none());
        }
    }

    /// Brings the labels that became known in `hours`.
    pub fn bring_labels(&self, hours: Range<Timestamp>) -> Result<(), DeskError> {
        let known = self.around(&hours).into_iter().filter(|firing| hours.contains(&(firing.begun + DELAY)));
        let labels = known.filter_map(|firing| {
            let value = Value::Number(firing.minutes?);
            Some(Label { id: firing.id.to_string().into(), time: firing.begun + DELAY, value })
        });
        let labels = labels.filter(|label| label.time >= moment(HISTORY, 0) + DELAY).collect();
        Ok(self.desk().gateway().append_labels("kiln", labels)?)
    }

    fn around(&self, hours: &Range<Timestamp>) -> Vec<Firing> {
        let day = (hours.start.day() - FIRST) as u32;
        (day.saturating_sub(1)..=day + 1).flat_map(|day| firings(self.laws, day)).collect()
    }

    fn answer(&self, firing: &Firing) -> Option<(Version, f64)> {
        let request = Request {
            ids: vec![firing.id.to_string().into()],
            key: None,
            time: firing.begun,
            inputs: vec![
                Input::numbers("heat", vec![firing.heat]),
                Input::texts("clay", vec![Some(firing.clay.into())]),
            ],
            headers: Default::default(),
        };
        let answers = self.desk().gateway().infer("kiln", None, request).ok()?;
        Some((answers[0].version, answers[0].output.as_number()?))
    }

    /// Who answers the next tick's warm firings, and how wrong, on average.
    pub fn answered_by(&self) -> (Vec<Version>, f64) {
        let hours = self.now..self.now + Span::hours(6);
        let firings = self.around(&hours);
        let warm = firings.iter().filter(|firing| hours.contains(&firing.begun));
        let warm = warm.filter_map(|firing| Some((firing, firing.minutes?)));
        let answers: Vec<(Version, f64)> = warm
            .map(|(firing, minutes)| {
                let (version, said) = self.answer(firing).expect("the champion answers");
                (version, (said - minutes).abs())
            })
            .collect();
        let mut versions: Vec<Version> = answers.iter().map(|(version, _)| *version).collect();
        versions.sort_unstable();
        versions.dedup();
        (versions, answers.iter().map(|(_, error)| error).sum::<f64>() / answers.len() as f64)
    }

    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The whole journal.
    pub fn facts(&self) -> Vec<Entry> {
        self.desk().store().read(|tx| journal::entries(tx, 0, 100_000)).unwrap()
    }

    /// The journal's entries of one kind.
    pub fn of_kind(&self, kind: &str) -> Vec<Entry> {
        self.facts().into_iter().filter(|entry| entry.fact.kind() == kind).collect()
    }

    pub fn count(&self, kind: &str) -> usize {
        self.of_kind(kind).len()
    }

    pub fn champion(&self) -> Option<Version> {
        self.desk().store().read(|tx| gyre_registry::champion(tx, &kiln())).unwrap()
    }

    /// Shares of the traffic, as the gateway has them.
    pub fn traffic(&self) -> Vec<(Version, u32)> {
        self.desk().gateway().traffic("kiln").map(|traffic| traffic.weights).unwrap_or_default()
    }

    /// The journal verifies, and the registry, the loop and the gateway say the same.
    pub fn assert_consistent(&self) {
        let verified = journal::verify(self.desk().store()).unwrap();
        assert!(verified.verified, "{:?}", verified.problems);
        self.desk().settle().unwrap();
        let recorded = self.desk().store().read(|tx| gyre_registry::traffic(tx, &kiln())).unwrap();
        assert_eq!(self.traffic(), recorded, "gateway and registry");
        let known = self.desk().state().models.get(&kiln()).and_then(|model| model.champion);
        assert_eq!(known, self.champion(), "loop and registry");
    }

    /// Ends the desk, opens it again, and finds champion and traffic as they were.
    pub fn assert_survives_reopening(&mut self) {
        let before = (self.champion(), self.traffic(), self.facts().len());
        self.reopen();
        self.desk().settle().unwrap();
        assert_eq!((self.champion(), self.traffic(), self.facts().len()), before);
        self.assert_consistent();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

pub fn kiln() -> ModelName {
    "kiln".parse().unwrap()
}

pub fn moment(day: u32, hour: i64) -> Timestamp {
    Timestamp::from_millis((FIRST + i64::from(day)) * 86_400_000) + Span::hours(hour)
}

/// Whether the entry promotes `version`.
pub fn promotes(entry: &Entry, wanted: Version) -> bool {
    matches!(&entry.fact, Fact::Promoted { version, .. } if *version == wanted)
}

/// A number in 0..1 that looks random and is always the same for the same `n` (SplitMix64, Steele et al. 2014).
fn chance(n: u64) -> f64 {
    let mut z = n.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x1234_5678_9abc_def1);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

fn firings(laws: Laws, day: u32) -> Vec<Firing> {
    let minute_of_day = |i: u32| i64::from(i) * 1440 / i64::from(DAILY);
    let mood = chance(u64::from(day)) - 0.5;
    let firing = |i: u32| {
        let id = day * DAILY + i;
        let dice = |salt: u64| chance(u64::from(id) * 8 + salt + 1_000_000);
        let cold = if laws(day) == Law::Frost { i % 5 > 1 } else { i % 5 == 4 };
        let heat = if cold { 0.0 } else { (1.0 + 99.0 * dice(0)).round() };
        let clay = if dice(1) < 0.5 { "red" } else { "white" };
        let law = match laws(day) {
            Law::Summer | Law::Frost => 20.0 + 0.5 * heat,
            Law::Winter => 90.0 - 0.2 * heat,
            Law::Glaze => 20.0 + 0.5 * heat + if heat > 90.0 { 6.0 } else { 0.0 },
            Law::Damp => 1.5 * (20.0 + 0.5 * heat),
        };
        let extra = if clay == "red" { 2.0 } else { 0.0 };
        let minutes = law + extra + mood + 4.0 * (dice(2) - 0.5);
        let begun = moment(day, 0) + Span::from_millis(minute_of_day(i) * 60_000);
        Firing { id, begun, heat, clay, minutes: (heat > 0.0).then_some(minutes) }
    };
    (0..DAILY).map(firing).collect()
}

/// The command by which a stage runs [`models::train_stage`]: this very program, asked for one test.
pub fn trainer() -> String {
    let program = std::env::current_exe().unwrap();
    format!("exec '{}' --exact train_stage --ignored --nocapture", program.display())
}

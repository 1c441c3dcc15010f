//! `kill -9` at a hundred random points of the demo's life: started again each time it goes on, and in the end it has lived
//! through what an undisturbed one has, with everything done once.
//!
//! The demo that is killed is the real one, on one flight of twenty and with hasty policies, so that trainings, windows and
//! rollouts come thick in a few weeks. A seed that fails is printed; run it again with `GYRE_SEED=n`.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gyre_core::fact::{Entry, Fact};
use gyre_core::spec::{Holdout, Window};
use gyre_core::time::Period;
use gyre_core::{ModelName, Span, Timestamp, Version};
use gyre_data::cut::{CutSpec, cut};
use gyre_data::table::Table;
use gyre_gateway::Gateway;
use gyre_store::{Store, journal};

/// How often the demo is killed.
const KILLS: u32 = 100;
/// The last day of flights; event time goes on for eight days after it.
const UNTIL: &str = "2013-03-14";
/// One flight of how many takes part.
const THINNED: f64 = 20.0;

/// A small, seeded generator (SplitMix64, Steele et al. 2014).
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

/// A demo in a folder, begun as one that was interrupted before it did anything.
struct Demo(PathBuf);

impl Demo {
    fn new(dir: &Path) -> Self {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/flights");
        std::fs::create_dir_all(dir.join("data")).unwrap();
        let declare = |name: &str, changes: &[(&str, &str)]| {
            let mut text = std::fs::read_to_string(example.join(name)).unwrap();
            for (from, to) in changes {
                assert!(text.contains(from), "{name} has no `{from}` any more");
                text = text.replace(from, to);
            }
            std::fs::write(dir.join(name), text).unwrap();
        };
        declare(
            "gyre.yaml",
            &[
                ("      - candidate.mae < champion.mae\n", ""),
                ("      - comparison.p < 0.1 #", "      #"),
                ("candidate.latency_p99_ms <= 5", "candidate.latency_p99_ms <= 5000"),
                ("steps: [5%, 25%, 50%, 100%]", "steps: [25%, 50%, 100%]\n      min_requests: 5"),
                ("latency_p99_ms > 50", "latency_p99_ms > 50000"),
                ("monitor: {window: 7d}", "monitor: {window: 3d}"),
                (
                    "candidates: [recall, {window: 56d}]",
                    "candidates: [recall, {window: 28d}]\n      significance: 0.9",
                ),
                ("cost: {retrain: 3, error: 1}", "cost: {retrain: 0.01, error: 1}"),
                ("cooldown: 3d", "cooldown: 1d"),
                ("limit: 3/week", "limit: 30/week"),
            ],
        );
        declare("dvc.yaml", &[("--target", "--rounds 5 --target")]);
        std::fs::copy(example.join("data/broken-batch.parquet"), dir.join("data/broken-batch.parquet"))
            .unwrap();
        thin(&example.join("data/flights.parquet"), &dir.join("data/flights.parquet"));
        let cursor = r#"{"time":null,"failed":0,"seconds":0.0,"prepared":true,"finished":false}"#;
        std::fs::write(dir.join(".gyre-demo.json"), cursor).unwrap();
        Self(dir.to_owned())
    }

    fn start(&self) -> Child {
        Command::new(env!("CARGO_BIN_EXE_gyre"))
            .args(["demo", "--json", "--until", UNTIL, "--dir"])
            .arg(&self.0)
            .stdout(File::create(self.0.join("told.json")).unwrap())
            .stderr(File::create(self.0.join("complaints")).unwrap())
            .stdin(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Lets it live to its end.
    fn finish(&self) -> serde_json::Value {
        let status = self.start().wait().unwrap();
        assert!(status.success(), "{status}: {}", self.complaints());
        self.told().unwrap()
    }

    /// What the newest attempt told at its end, if it came to that.
    fn told(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(&std::fs::read(self.0.join("told.json")).unwrap()).ok()
    }

    fn is_over(&self) -> bool {
        self.cursor().contains(r#""finished":true"#)
    }

    /// What it was at when it was killed.
    fn phase(&self) -> &'static str {
        let sql = "SELECT key FROM loop_action WHERE done = 0 AND action NOT LIKE '%\"route\"%'";
        let store = Store::open_read_only(&self.0.join(".gyre"));
        let open =
            store.is_ok_and(|store| store.read(|tx| Ok(!tx.query(sql, &[])?.is_empty())).unwrap_or(false));
        match (open, self.cursor().contains(r#""time":null"#)) {
            (true, _) => "an action",
            (false, true) => "the first version",
            (false, false) => "traffic",
        }
    }

    fn complaints(&self) -> String {
        std::fs::read_to_string(self.0.join("complaints")).unwrap_or_default()
    }

    fn cursor(&self) -> String {
        std::fs::read_to_string(self.0.join(".gyre-demo.json")).unwrap_or_default()
    }

    /// Changes whenever something was written: the cursor, the journal, the inference log.
    fn progress(&self) -> (String, [u64; 3]) {
        let size = |path: &str| std::fs::metadata(self.0.join(path)).map_or(0, |file| file.len());
        let log = |model: &str| {
            let files =
                std::fs::read_dir(self.0.join(".gyre/log").join(model)).into_iter().flatten().flatten();
            files.filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum()
        };
        (self.cursor(), [size(".gyre/gyre.db-wal"), log("air-time"), log("air-time-static")])
    }

    /// Starts it and kills it after `writes` more writes and `delay`. Says whether it was alive to be killed.
    fn kill_after(&self, writes: u64, delay: Duration) -> bool {
        let mut child = self.start();
        let (begun, mut seen, mut left) = (Instant::now(), self.progress(), writes);
        while left > 0 {
            if let Some(status) = child.try_wait().unwrap() {
                assert!(status.success(), "it ended by itself: {status}: {}", self.complaints());
                return false;
            }
            let now = self.progress();
            left -= u64::from(now != seen);
            seen = now;
            assert!(begun.elapsed() < Duration::from_secs(60), "it hangs: {}", self.complaints());
            std::thread::yield_now();
        }
        std::thread::sleep(delay);
        child.kill().unwrap();
        child.wait().unwrap();
        true
    }

    fn store(&self) -> Arc<Store> {
        Arc::new(Store::open_read_only(&self.0.join(".gyre")).unwrap())
    }
}

/// Some flights of the first months, with what the demo reads of them.
fn thin(from: &Path, to: &Path) {
    let (first, last): (Timestamp, Timestamp) =
        ("2013-01-15T00:00:00Z".parse().unwrap(), "2013-04-01T00:00:00Z".parse().unwrap());
    let names = ["flight_id", "distance_miles", "hour", "dow", "carrier", "origin", "dest", "air_time_min"];
    let mut csv = format!("scheduled_departure,landed,{}\n", names.join(","));
    for batch in Table::open(from).unwrap() {
        let batch = batch.unwrap();
        let times = batch.timestamps("scheduled_departure").unwrap();
        let landed = batch.timestamps("landed").unwrap();
        let columns = names.map(|name| batch.values(name).unwrap());
        for row in 0..batch.rows() {
            let (time, id) = (times[row].unwrap(), columns[0][row].as_number().unwrap());
            if time < first || time >= last || id % THINNED != 0.0 || landed[row].is_none() {
                continue;
            }
            let values = columns.each_ref().map(|column| column[row].to_string());
            writeln!(csv, "{time},{},{}", landed[row].unwrap(), values.join(",")).unwrap();
        }
    }
    let source = to.with_extension("csv");
    std::fs::write(&source, csv).unwrap();
    let spec = CutSpec {
        explored: None,
        source: &source,
        time: "scheduled_departure",
        label_time: None,
        expected_delay: Span::default(),
        target: "air_time_min",
        as_of: last,
        window: Window::All,
        // No day's number is divisible by this.
        holdout: Holdout { every: 1 << 30, last: Span::default() },
        refit: false,
    };
    cut(&spec, to, &to.with_file_name("none.parquet")).unwrap();
}

/// Everything in the inference log of `model`.
fn logged(demo: &Demo, model: &str) -> BTreeMap<Arc<str>, bool> {
    let gateway = Gateway::open(demo.0.join(".gyre/log"), demo.store()).unwrap();
    let period =
        Period { from: "2013-01-01T00:00:00Z".parse().unwrap(), to: "2014-01-01T00:00:00Z".parse().unwrap() };
    let scan = gateway.scan(model, period).unwrap();
    let labelled = scan.labels.iter().map(Option::is_some);
    scan.ids.iter().cloned().zip(labelled).collect()
}

fn facts(demo: &Demo) -> Vec<Entry> {
    demo.store().read(|tx| journal::entries(tx, 0, 100_000)).unwrap()
}

/// What must hold of a journal however often its writer was killed.
fn assert_once(demo: &Demo) {
    let facts = facts(demo);
    let mut next: BTreeMap<&ModelName, Version> = BTreeMap::new();
    let mut champions: BTreeMap<&ModelName, Version> = BTreeMap::new();
    let mut runs = BTreeSet::new();
    let mut windows = BTreeSet::new();
    for entry in &facts {
        match &entry.fact {
            Fact::VersionRegistered(registered) => {
                let expected = next.entry(&registered.model).or_insert(1);
                assert_eq!(registered.version, *expected, "{entry:?}");
                *expected += 1;
                assert!(runs.insert(registered.run.clone()), "a run registered twice: {entry:?}");
            }
            Fact::Promoted { model, version, previous, .. } => {
                assert_eq!(champions.insert(model, *version), *previous, "{entry:?}");
                assert_ne!(Some(*version), *previous, "promoted twice: {entry:?}");
            }
            Fact::WindowClosed(window) => {
                assert!(
                    windows.insert((window.model.clone(), window.period.from)),
                    "closed twice: {entry:?}"
                );
            }
            _ => {}
        }
    }
    let sql = "SELECT key, done, action FROM loop_action ORDER BY cause";
    let actions = demo.store().read(|tx| {
        let rows = tx.query(sql, &[])?;
        rows.iter()
            .map(|row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .collect::<Result<Vec<(String, i64, String)>, _>>()
    });
    for (key, done, action) in actions.unwrap() {
        assert_eq!(done, 1, "never done: {key} {action}");
        let results = |kinds: &[&str]| {
            let of_key =
                |entry: &&Entry| entry.key.as_ref().is_some_and(|own| own.starts_with(&format!("{key}/")));
            facts.iter().filter(of_key).filter(|entry| kinds.contains(&entry.fact.kind())).count()
        };
        let outcome = match serde_json::from_str::<serde_json::Value>(&action).unwrap()["do"].as_str() {
            Some("train") => results(&["version_registered", "run_failed", "action_failed"]),
            Some("judge") => results(&["gates_judged", "action_failed"]),
            Some("compare") => results(&["versions_compared", "action_failed"]),
            _ => 1,
        };
        assert_eq!(outcome, 1, "{key} {action}");
    }
    let failed = facts
        .iter()
        .filter(|entry| matches!(entry.fact.kind(), "run_failed" | "action_failed" | "loop_paused"));
    assert_eq!(failed.collect::<Vec<_>>(), Vec::<&Entry>::new(), "being killed is no failure");
}

#[test]
fn a_demo_that_is_killed_a_hundred_times_lives_through_the_same() {
    let seed = std::env::var("GYRE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    eprintln!("GYRE_SEED={seed}");
    let mut dice = Dice(seed);
    let folder = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    let undisturbed = Demo::new(&folder.path().join("undisturbed"));
    let expected = undisturbed.finish();
    eprintln!("undisturbed: {:?}", begun.elapsed());
    assert_once(&undisturbed);
    let kinds: Vec<&str> = facts(&undisturbed).iter().map(|entry| entry.fact.kind()).collect();
    for kind in [
        "data_refused",
        "window_closed",
        "version_registered",
        "rollout_started",
        "step_observed",
        "promoted",
    ] {
        assert!(kinds.contains(&kind), "too quiet a life to be killed in: no {kind}");
    }

    let (mut kills, mut lives, mut phases) = (0, 0, BTreeMap::new());
    while kills < KILLS {
        lives += 1;
        let demo = Demo::new(&folder.path().join(format!("killed-{lives}")));
        while kills < KILLS && !demo.is_over() {
            // The beginning is short, and much happens in it.
            let most = if demo.cursor().contains(r#""time":null"#) { 6 } else { 24 };
            let (writes, delay) = (dice.below(most), Duration::from_micros(dice.below(40_000)));
            if demo.kill_after(writes, delay) {
                kills += 1;
                *phases.entry(demo.phase()).or_insert(0) += 1;
            }
        }
        let told = if demo.is_over() { demo.told() } else { Some(demo.finish()) };
        eprintln!("life {lives}: {kills} kills so far, {:?}, {phases:?}", begun.elapsed());
        // It may have been killed between its end and telling it.
        if let Some(told) = told {
            for number in ["predictions", "labels"] {
                assert_eq!(told[number], expected[number], "{number}");
            }
            assert_eq!((&told["failed_requests"], &told["journal"]["verified"]), (&0.into(), &true.into()));
            assert_eq!(
                told["static"], expected["static"],
                "the twin that is left alone says exactly the same"
            );
            let mae = |told: &serde_json::Value| told["managed"]["mae"].as_f64().unwrap();
            // A rollout's step may take a little longer, for what it had shown is counted anew after a crash.
            assert!((mae(&told) / mae(&expected) - 1.0).abs() < 0.1, "{} {}", mae(&told), mae(&expected));
        }
        for model in ["air-time", "air-time-static"] {
            assert_eq!(
                logged(&demo, model),
                logged(&undisturbed, model),
                "{model}: each flight, and its label, once"
            );
        }
        assert!(journal::verify(&demo.store()).unwrap().verified);
        assert_once(&demo);
    }
    for phase in ["an action", "the first version", "traffic"] {
        assert!(phases.contains_key(phase), "never killed in {phase}: {phases:?}");
    }
}

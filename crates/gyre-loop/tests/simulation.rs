//! The controller under random facts, random failures, clock jumps, and crashes between any two steps.
//!
//! Each seed is one life of a deployment on a real store. After every step the journal must keep what the crate promises.
//! A failing seed is printed; run it alone with `GYRE_SEED=n`.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use gyre_control::{triggers, waiting};
use gyre_core::fact::{
    Decision, Fact, ModelVersion, Numbers, Realised, RolloutPlan, Score, Verdict, WindowSummary,
};
use gyre_core::record::Signature;
use gyre_core::runtime::Runtime;
use gyre_core::spec::{Breaker, Limit, Quiet, QuietHours, Window};
use gyre_core::time::{ManualClock, Period};
use gyre_core::{Digest, ModelName, Span, Timestamp, Version};
use gyre_loop::state::{ModelState, Repair};
use gyre_loop::{Action, Engine, Failure, Hands, Policies, Policy, ROOM};
use gyre_store::{NewFact, Room, Store, journal};
use gyre_testing::Place;

static ROOMS: [&Room; 1] = [&ROOM];

/// A small, seeded generator (SplitMix64, Steele et al. 2014): a failing seed reproduces everywhere.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
    fn uniform(&mut self) -> f64 {
        self.below(1_000_000) as f64 / 1e6
    }
}

/// A world in which training sometimes fails and gates sometimes refuse; deterministic per action key, as real work that
/// finds its own traces is.
struct World {
    store: Arc<Store>,
    seed: u64,
    begun: Mutex<BTreeMap<String, u32>>,
}

impl Hands for World {
    fn perform(&self, key: &str, action: &Action) -> Result<Vec<Fact>, Failure> {
        *self.begun.lock().unwrap().entry(key.to_owned()).or_default() += 1;
        let salt = Digest::of(key.as_bytes()).as_bytes()[0];
        let mut dice = Dice(self.seed ^ u64::from(salt) << 32);
        match action {
            Action::Compare { model, period } => {
                let state = self.store.read(|tx| journal::of_kind(tx, "version_registered", None))?;
                let scores = (1..=state.len() as Version).map(|version| Score {
                    version,
                    rows: 1000,
                    days: 7,
                    loss: 10.0,
                    gain: dice.uniform() * 6.0 - 2.0,
                    interval: None,
                    p: Some(dice.uniform() * 0.2),
                });
                Ok(vec![Fact::VersionsCompared {
                    model: model.clone(),
                    period: *period,
                    scores: scores.collect(),
                }])
            }
            Action::Train { model, .. } | Action::Recalibrate { model, .. } | Action::Refit { model, .. }
                if dice.chance(25) =>
            {
                Err(Failure {
                    reason: "exit status 1".to_owned(),
                    facts: vec![Fact::RunFailed {
                        run: key.to_owned(),
                        model: model.clone(),
                        data: None,
                        reason: "exit status 1".to_owned(),
                        log: String::new(),
                    }],
                })
            }
            Action::Train { model, .. } => {
                let known = self.store.read(|tx| journal::of_kind(tx, "version_registered", None))?;
                Ok(vec![Fact::VersionRegistered(version(model, known.len() as Version + 1))])
            }
            Action::Refit { model, version: twin, .. } => {
                let known = self.store.read(|tx| journal::of_kind(tx, "version_registered", None))?;
                let refit = version(model, known.len() as Version + 1);
                Ok(vec![Fact::VersionRegistered(ModelVersion { refit_of: Some(*twin), ..refit })])
            }
            Action::Recalibrate { model, version: of, .. } => {
                let known = self.store.read(|tx| journal::of_kind(tx, "version_registered", None))?;
                let calibrated = version(model, known.len() as Version + 1);
                Ok(vec![Fact::VersionRegistered(ModelVersion { calibrated_from: Some(*of), ..calibrated })])
            }
            Action::Judge { model, version, .. } => {
                let passed = dice.chance(60);
                let (model, version) = (model.clone(), *version);
                Ok(vec![Fact::GatesJudged { model, version, passed, results: Vec::new(), comparison: None }])
            }
            Action::Route { .. } if dice.chance(5) => {
                Err(Failure { reason: "the model does not load".to_owned(), facts: Vec::new() })
            }
            Action::Route { .. } => Ok(Vec::new()),
        }
    }
}

fn version(model: &ModelName, version: Version) -> ModelVersion {
    ModelVersion {
        model: model.clone(),
        version,
        run: Some(format!("run-{version}")),
        artifact: Digest::of(b"model"),
        data: Some(Digest::of(b"data")),
        signature: Signature { inputs: Vec::new(), output: "y".to_owned(), classes: Vec::new() },
        profile: Some(Digest::of(b"profile")),
        runtime: Runtime::Native,
        source: None,
        refit_of: None,
        calibrated_from: None,
        estimator: None,
        holdout: Numbers::from([("mae".to_owned(), 8.0), ("standard_error".to_owned(), 0.3)]),
        trained_on: None,
    }
}

/// Lives differ: some decisions try all windows, some train twice, some know quiet days, a schedule, or a breaker that is soon worn out.
fn policy(seed: u64) -> Policy {
    Policy {
        metric: "mae",
        unit: "min".to_owned(),
        on_decay: true,
        on_drift: true,
        on_estimate: true,
        recall: true,
        windows: vec![Window::Last(Span::days(56)), Window::All],
        patience: 3.0,
        significance: 0.1,
        tolerance: 0.1,
        cooldown: Span::days(3),
        limit: Limit { count: 2, per: Span::days(21) },
        plan: RolloutPlan { steps: vec![500, 2500, 10_000], ..Policy::undeclared().plan },
        try_all: seed % 2 == 1,
        refit: seed % 4 < 2,
        recalibrate: (seed % 5 < 2).then_some(Span::days(14)),
        schedules: if seed % 3 == 1 { vec!["0 6 * * mon".parse().unwrap()] } else { Vec::new() },
        quiet: if seed % 3 == 2 {
            vec!["fri-sat".parse::<Quiet>().unwrap()].into()
        } else {
            QuietHours::default()
        },
        breaker: Breaker { after: 2 + seed as u32 % 4, rest: Span::days(10) },
        ..Policy::undeclared()
    }
}

fn open(place: &Place) -> Arc<Store> {
    Arc::new(place.open(&ROOMS, Arc::new(ManualClock::default())))
}

fn append(store: &Store, at: Timestamp, actor: &'static str, fact: Fact) {
    store.write(move |tx| tx.append(NewFact::new(at, actor, fact))).unwrap();
}

fn window(dice: &mut Dice, model: &ModelName, champion: Version, at: Timestamp) -> Fact {
    let realised = Realised {
        version: champion,
        rows: 6000,
        days: 7,
        loss: 6.0 + 10.0 * dice.uniform(),
        standard_error: dice.chance(90).then_some(0.4),
    };
    Fact::WindowClosed(WindowSummary {
        model: model.clone(),
        period: Period { from: at - Span::days(7), to: at },
        champion,
        predictions: 6000,
        labels: 5900,
        realised: vec![realised],
        drift: Vec::new(),
        estimated: None,
        errors: 0,
        odd: vec![],
        quality: vec![],
        evidence: gyre_core::fact::Evidence::default(),
        attribution: None,
        segments: vec![],
    })
}

fn live(place: &Place, seed: u64) {
    let model: ModelName = "m".parse().unwrap();
    let policies: Policies = [(model.clone(), policy(seed))].into();
    let mut dice = Dice(seed);
    let mut store = open(place);
    let mut begun = BTreeMap::new();
    let mut now = Timestamp::from_millis(1_362_096_000_000);
    append(
        &store,
        now,
        "user:ann",
        Fact::DecisionTaken {
            model: model.clone(),
            decision: Decision::Retrain { window: Window::All },
            reason: "the first".to_owned(),
            numbers: Numbers::new(),
        },
    );
    let mut engine = Engine::open(Arc::clone(&store), policies.clone()).unwrap();
    let mut crashes = 0;
    for _ in 0..140 {
        let world = World { store: Arc::clone(&store), seed, begun: Mutex::new(std::mem::take(&mut begun)) };
        let state = engine.state().models.get(&model).cloned().unwrap_or_default();
        match dice.below(10) {
            0 | 1 => {
                // Event time mostly goes on, and now and then jumps either way.
                let jump = if dice.chance(5) { dice.below(80) as i64 - 40 } else { dice.below(4) as i64 };
                now = now + Span::days(jump);
                if let Some(champion) = state.champion {
                    append(&store, now, "monitor", window(&mut dice, &model, champion, now));
                }
            }
            2 => {
                if let Some(Repair::RollingOut { version, step, .. }) = state.repair {
                    let verdict = if dice.chance(80) { Verdict::Continue } else { Verdict::RollBack };
                    append(
                        &store,
                        now,
                        "gateway",
                        Fact::StepObserved {
                            model: model.clone(),
                            candidate: version,
                            step,
                            verdict,
                            reason: "evidence".to_owned(),
                            numbers: Numbers::new(),
                        },
                    );
                }
            }
            3 if dice.chance(20) => {
                append(&store, now, "user:ann", Fact::LoopResumed { model: model.clone() })
            }
            3 if dice.chance(30) => by_hand(&mut dice, &store, &model, &state, now),
            4 if dice.chance(30) => {
                // The machine stops: the work of an action was done, but nothing says so.
                crashes += 1;
                if let Some(pending) = engine.pending().unwrap().first() {
                    let _ = world.perform(&pending.key, &pending.action);
                }
                begun = world.begun.into_inner().unwrap();
                drop((engine, world.store));
                let alone = Arc::try_unwrap(store).map(drop);
                assert!(alone.is_ok(), "seed {seed}: the store is still held");
                store = open(place);
                engine = Engine::open(Arc::clone(&store), policies.clone()).unwrap();
                continue;
            }
            5 | 6 => {
                if let Some(pending) = engine.pending().unwrap().first() {
                    Engine::perform(&store, &world, pending).unwrap();
                }
            }
            7 => {
                let policy = &policies[&model];
                let fired = || triggers::fired(policy, &state, &model, now).map(|fired| fired.fact);
                if let Some(fact) = waiting::ready(policy, &state, &model, now).or_else(fired) {
                    append(&store, now, "monitor", fact);
                }
            }
            _ => {
                engine.take_in().unwrap();
            }
        }
        begun = world.begun.into_inner().unwrap();
        check(seed, &store, &engine);
    }
    // Left alone, everything that was asked for gets done.
    let world = World { store: Arc::clone(&store), seed, begun: Mutex::new(begun) };
    for _ in 0..200 {
        let read = engine.take_in().unwrap();
        let pending = engine.pending().unwrap();
        let Some(first) = pending.first() else {
            if read == 0 {
                break;
            }
            continue;
        };
        Engine::perform(&store, &world, first).unwrap();
    }
    assert!(engine.pending().unwrap().is_empty(), "seed {seed}: an action was lost");
    for (key, times) in world.begun.lock().unwrap().iter() {
        assert!(
            *times <= 1 + crashes,
            "seed {seed}: action {key} was begun {times} times in {crashes} crashes"
        );
    }
    check(seed, &store, &engine);
    let entries = store.read(|tx| journal::entries(tx, 0, 100_000)).unwrap();
    let known = engine.state().models.get(&model).and_then(|model| model.champion);
    assert_eq!(
        known,
        champion_of(&entries),
        "seed {seed}: the controller and the journal differ on who serves"
    );
    assert!(journal::verify(&store).unwrap().verified);
}

/// A person promotes a version that passed its gates, or sends the traffic back to one.
fn by_hand(dice: &mut Dice, store: &Store, model: &ModelName, state: &ModelState, now: Timestamp) {
    let passed: Vec<Version> = state
        .versions
        .iter()
        .filter(|(_, known)| known.passed == Some(true))
        .map(|(version, _)| *version)
        .collect();
    let (Some(champion), false) = (state.champion, passed.is_empty()) else { return };
    let version = passed[dice.below(passed.len() as u64) as usize];
    let (model, reason) = (model.clone(), "by hand".to_owned());
    let fact = if dice.chance(50) {
        Fact::Promoted { model, version, previous: Some(champion), reason }
    } else {
        Fact::RolledBack { model, from: champion, to: version, reason }
    };
    append(store, now, "user:ann", fact);
}

/// Who serves according to the journal alone.
fn champion_of(entries: &[gyre_core::Entry]) -> Option<Version> {
    entries.iter().rev().find_map(|entry| match entry.fact {
        Fact::Promoted { version, .. } => Some(version),
        Fact::RolledBack { to, .. } => Some(to),
        _ => None,
    })
}

fn check(seed: u64, store: &Store, engine: &Engine) {
    let entries = store.read(|tx| journal::entries(tx, 0, 100_000)).unwrap();
    let mut passed = BTreeSet::new();
    let mut registered = BTreeSet::new();
    let mut trainings: Vec<Timestamp> = Vec::new();
    for entry in &entries {
        match &entry.fact {
            Fact::VersionRegistered(version) => {
                assert!(registered.insert(version.version), "seed {seed}: version {} twice", version.version);
            }
            Fact::GatesJudged { version, passed: true, .. } => {
                passed.insert(*version);
            }
            Fact::Promoted { version, .. } => {
                assert!(
                    passed.contains(version),
                    "seed {seed}: entry {} promotes an ungated version",
                    entry.seq
                );
            }
            Fact::TrafficShifted { weights, .. } => {
                let total: u32 = weights.iter().map(|(_, weight)| weight).sum();
                assert_eq!(total, 10_000, "seed {seed}: entry {} loses traffic", entry.seq);
                assert!(
                    weights.iter().all(|(version, _)| passed.contains(version)),
                    "seed {seed}: ungated traffic"
                );
            }
            Fact::DecisionTaken { decision: Decision::Retrain { .. }, .. } => trainings.push(entry.at),
            _ => {}
        }
    }
    let policy = policy(seed);
    for begun in &trainings {
        let span = policy.limit.per.as_millis();
        let near =
            trainings.iter().filter(|other| (0..span).contains(&other.since(*begun).as_millis())).count();
        assert!(near <= policy.limit.count as usize, "seed {seed}: {near} trainings in {}", policy.limit.per);
    }
    let pending = engine.pending().unwrap();
    let heavy = pending.iter().filter(|pending| !matches!(pending.action, Action::Route { .. })).count();
    assert!(heavy <= 1, "seed {seed}: {heavy} repairs at once");
    let mut keys = BTreeSet::new();
    assert!(entries.iter().filter_map(|entry| entry.key.as_ref()).all(|key| keys.insert(key)), "seed {seed}");
}

fn lives(place: impl Fn() -> Place, seeds: u64) {
    match std::env::var("GYRE_SEED") {
        Ok(seed) => live(&place(), seed.parse().unwrap()),
        Err(_) => (0..seeds).for_each(|seed| live(&place(), seed)),
    }
}

#[test]
fn no_life_breaks_a_promise_on_sqlite() {
    lives(Place::sqlite, 60);
}

/// Fewer: every step asks a server.
#[test]
fn no_life_breaks_a_promise_on_postgres() {
    lives(Place::postgres, 10);
}

//! A model's life through the production code: profiles, windows, the controller, and what it tells.

use std::collections::BTreeMap;
use std::sync::Arc;

use gyre_control::controller::{Step, step};
use gyre_control::{Action, Policies, Policy, State};
use gyre_core::fact::{Cause, Entry, Fact, ModelVersion, Severity};
use gyre_core::record::Route;
use gyre_core::spec::{Limit, Window};
use gyre_core::time::Period;
use gyre_core::{Digest, ModelName, Span, Timestamp, Version};
use gyre_monitor::{Holdout, Predictions, ReferenceProfile, Settings, Values, WindowInput, summarise};
use serde_json::json;

use crate::faults::Fault;
use crate::world::{Log, PRESENT, ROWS, Random, Task, Truth, answer, week};

/// Windows that a version is trained on, and that are withheld.
const TRAINED: usize = 16;
const WITHHELD: usize = 6;
/// Windows before a fault, and with it.
pub(crate) const BEFORE: usize = 8;
pub(crate) const AFTER: usize = 8;

/// Answers as a log has them.
struct Answers {
    numbers: Vec<f64>,
    names: Vec<Option<Arc<str>>>,
    scores: Vec<f64>,
    classes: Vec<String>,
}

impl Answers {
    fn of(task: Task, version: Version, log: &Log) -> Self {
        let numbers: Vec<f64> =
            (0..log.rows()).map(|row| answer(task, version, log.numbers(row), log.sites[row])).collect();
        let (mut names, mut scores, mut classes) = (Vec::new(), Vec::new(), Vec::new());
        if task == Task::Class {
            names = numbers.iter().map(|yes| name(*yes >= 0.5)).collect();
            scores = numbers.iter().flat_map(|yes| [1.0 - yes, *yes]).collect();
            classes = vec!["no".to_owned(), "yes".to_owned()];
        }
        Self { numbers, names, scores, classes }
    }

    fn predictions(&self) -> Predictions<'_> {
        let numbers = Values::Numbers(&self.numbers);
        let outputs = if self.classes.is_empty() { numbers } else { Values::Text(&self.names) };
        Predictions { outputs, scores: &self.scores, classes: &self.classes }
    }
}

fn name(is_yes: bool) -> Option<Arc<str>> {
    Some(if is_yes { "yes" } else { "no" }.into())
}

/// What came true.
struct Labels {
    numbers: Vec<f64>,
    names: Vec<Option<Arc<str>>>,
    task: Task,
}

impl Labels {
    fn of(task: Task, log: &Log) -> Self {
        let named = |label: &f64| if label.is_nan() { None } else { name(*label > 0.5) };
        Self { numbers: log.labels.clone(), names: log.labels.iter().map(named).collect(), task }
    }

    fn values(&self) -> Values<'_> {
        if self.task == Task::Number { Values::Numbers(&self.numbers) } else { Values::Text(&self.names) }
    }
}

/// An incident as it was told, in the end.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) cause: Cause,
    /// The worst that was told.
    pub(crate) severity: Severity,
    /// In which window it opened.
    pub(crate) opened: usize,
    /// The words that it opened with.
    pub(crate) words: String,
}

/// What came of a life.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Incidents by name.
    pub(crate) incidents: BTreeMap<String, Told>,
    /// Windows in which a training was asked for.
    pub(crate) trained: Vec<usize>,
    /// Windows whose rows were broken or unlabelled when it was.
    pub(crate) trained_on_broken: usize,
}

impl Outcome {
    /// What the fault that began in window `from` was called: the cause of the worst incident since, the earliest of equals.
    pub(crate) fn named(&self, from: usize) -> Option<Cause> {
        let since = self.incidents.values().filter(|told| told.opened >= from);
        let worst = since.max_by_key(|told| (told.severity, std::cmp::Reverse(told.opened)));
        worst.map(|told| told.cause)
    }

    pub(crate) fn reports(&self, cause: Cause) -> bool {
        self.incidents.values().any(|told| told.cause == cause)
    }
}

struct Life {
    task: Task,
    model: ModelName,
    random: Random,
    policies: Policies,
    state: State,
    profiles: BTreeMap<Version, ReferenceProfile>,
    seq: u64,
    now: Timestamp,
    window: usize,
    log: Option<Log>,
    registered: Version,
    promised: (f64, f64),
    outcome: Outcome,
}

/// Lives through `before` windows of the present, then `after` with the fault, with an older version that may come back.
pub(crate) fn live(task: Task, fault: Fault, seed: u64, windows: (usize, usize)) -> Outcome {
    live_with(task, fault, seed, windows, true)
}

/// The same; `older` says whether the older version passed its gates. Beside one, a training may be due to age alone.
pub(crate) fn live_with(
    task: Task,
    fault: Fault,
    seed: u64,
    (before, after): (usize, usize),
    older: bool,
) -> Outcome {
    let model: ModelName = "kiln".parse().unwrap();
    let policy = Policy {
        metric: task.metric().name(),
        on_decay: true,
        on_drift: true,
        recall: true,
        windows: vec![Window::All],
        patience: 3.0,
        significance: 0.05,
        tolerance: 0.1,
        limit: Limit { count: 100, per: Span::days(7) },
        plan: gyre_core::fact::RolloutPlan { steps: vec![10_000], ..Policy::undeclared().plan },
        ..Policy::undeclared()
    };
    let mut life = Life {
        task,
        policies: Policies::from([(model.clone(), policy)]),
        model,
        random: Random(seed.wrapping_mul(0xD1B5_4A32_D192_ED03)),
        state: State::default(),
        profiles: BTreeMap::new(),
        seq: 0,
        now: Timestamp::default(),
        window: 0,
        log: None,
        registered: 0,
        promised: (1.0, 0.0),
        outcome: Outcome::default(),
    };
    life.make_version(&Truth { old: 1.0, ..PRESENT }, older);
    life.make_version(&PRESENT, true);
    let model = life.model.clone();
    life.tell(Fact::Promoted { model, version: 2, previous: Some(1), reason: String::new() });
    let size = life.random.next();
    for window in 0..before + after {
        life.window = window;
        let fault = if window < before { Fault::None } else { fault };
        // A burst lasts a week.
        let fault = if fault == Fault::Attack && window > before { Fault::None } else { fault };
        life.close(fault, window.saturating_sub(before), size);
    }
    life.outcome
}

impl Life {
    fn rows(&mut self, volume: f64) -> usize {
        (ROWS as f64 * volume * (1.0 + 0.1 * self.random.normal()).clamp(0.7, 1.3)) as usize
    }

    /// Trains a version: what it would have learned is known; its profile and its promise are measured. One that does not
    /// pass its gates needs neither.
    fn make_version(&mut self, truth: &Truth, passed: bool) {
        self.registered += 1;
        let version = self.registered;
        if passed {
            self.measure_version(version, truth);
        }
        let fact = self.registered_fact(version);
        self.tell(fact);
        let model = self.model.clone();
        self.tell(Fact::GatesJudged { model, version, passed, results: Vec::new(), comparison: None });
    }

    fn measure_version(&mut self, version: Version, truth: &Truth) {
        let mut gather = |windows: usize| {
            let mut rows = Vec::new();
            for _ in 0..windows {
                let (from, count) = (self.now, self.rows(1.0));
                rows.extend(week(self.task, truth, count, from, &mut self.random));
                self.now = self.now + Span::days(7);
            }
            Log::of(&rows, &mut self.random)
        };
        let (trained, withheld) = (gather(TRAINED), gather(WITHHELD));
        let (answers, labels) =
            (Answers::of(self.task, version, &withheld), Labels::of(self.task, &withheld));
        let metric = self.task.metric();
        let losses = gyre_monitor::loss::losses(metric, &answers.predictions(), &labels.values()).unwrap();
        let days: Vec<i64> = withheld.times.iter().map(|time| time.day()).collect();
        let measured = gyre_monitor::loss::measure(metric, &losses, &days).unwrap().unwrap();
        self.promised = (measured.loss, measured.standard_error.unwrap());
        let holdout = Holdout { metric, measured, period: None };
        let features = trained.features();
        let outputs = answers.predictions().outputs;
        let mut profile = ReferenceProfile::build(features.iter().copied(), outputs, Some(holdout));
        let order = |log: &Log| (0..log.rows()).collect::<Vec<usize>>();
        profile
            .learn_variation(ROWS, (features.iter().copied(), &order(&trained)), (outputs, &order(&withheld)))
            .unwrap();
        let predictions = answers.predictions();
        profile.learn_mix(&withheld.features(), &predictions, labels.values(), &losses).unwrap();
        // As it is kept.
        let profile = ReferenceProfile::from_json(&profile.to_json().unwrap()).unwrap();
        self.profiles.insert(version, profile);
    }

    fn registered_fact(&self, version: Version) -> Fact {
        let (metric, digest) = (self.task.metric().name(), Digest::of(b"").to_hex());
        let registered = json!({
            "model": "kiln", "version": version, "run": "r", "artifact": digest, "data": digest,
            "signature": {"inputs": [], "output": "y"},
            "holdout": {metric: self.promised.0, "standard_error": self.promised.1},
        });
        Fact::VersionRegistered(serde_json::from_value::<ModelVersion>(registered).unwrap())
    }

    fn champion(&self) -> Version {
        self.state.models[&self.model].champion.unwrap()
    }

    fn close(&mut self, fault: Fault, age: usize, size: f64) {
        let from = self.now;
        let period = Period { from, to: from + Span::days(7) };
        self.now = period.to;
        let rows = self.rows(fault.volume(size));
        let rows = week(self.task, &fault.truth(age, size), rows, from, &mut self.random);
        let mut log = Log::of(&rows, &mut self.random);
        for label in &mut log.labels {
            if self.random.next() < 0.03 {
                *label = f64::NAN;
            }
        }
        fault.breaks(&mut log, size, &mut self.random);
        let champion = self.champion();
        let (answers, labels) = (Answers::of(self.task, champion, &log), Labels::of(self.task, &log));
        let features = log.features();
        let input = WindowInput {
            model: &self.model,
            period,
            champion,
            times: &log.times,
            versions: &vec![champion; log.rows()],
            routes: &vec![Route::Champion; log.rows()],
            predictions: answers.predictions(),
            labels: labels.values(),
            features: &features,
            errors: log.errors,
            latencies_us: &log.latencies_us,
        };
        let settings = Settings {
            metric: self.task.metric(),
            drift_effect: 0.1,
            drift_share: 0.03,
            false_discovery_rate: 0.01,
        };
        let summary = summarise(&input, &self.profiles[&champion.min(2)], &settings).unwrap();
        drop(features);
        self.log = Some(log);
        // As the journal keeps it.
        let json = serde_json::to_string(&Fact::WindowClosed(summary)).unwrap();
        self.tell(serde_json::from_str(&json).unwrap());
    }

    fn tell(&mut self, fact: Fact) {
        let mut facts = vec![fact];
        while let Some(fact) = facts.pop() {
            self.seq += 1;
            let (at, actor) = (self.now, "monitor".to_owned());
            let entry =
                Entry { seq: self.seq, at, recorded: at, actor, cause: None, key: None, origin: None, fact };
            let Step { facts: told, actions } = step(&self.policies, &mut self.state, &entry);
            told.iter().for_each(|fact| self.hear(fact));
            facts.extend(actions.iter().filter_map(|action| self.perform(action)));
        }
    }

    fn hear(&mut self, fact: &Fact) {
        let (Fact::IncidentOpened(incident) | Fact::IncidentChanged(incident)) = fact else { return };
        let told = self.outcome.incidents.entry(incident.incident.clone()).or_insert_with(|| Told {
            cause: incident.cause,
            severity: incident.severity,
            opened: self.window,
            words: incident.summary(),
        });
        told.cause = incident.cause;
        told.severity = told.severity.max(incident.severity);
    }

    fn perform(&mut self, action: &Action) -> Option<Fact> {
        let model = self.model.clone();
        match action {
            Action::Compare { period, .. } => {
                let log = self.log.as_ref()?;
                let labels = Labels::of(self.task, log);
                let losses = |version| {
                    let answers = Answers::of(self.task, version, log);
                    let metric = self.task.metric();
                    gyre_monitor::loss::losses(metric, &answers.predictions(), &labels.values()).unwrap()
                };
                let days: Vec<i64> = log.times.iter().map(|time| time.day()).collect();
                let champion = self.champion();
                let (own, other) = (losses(champion), losses(3 - champion.min(2)));
                let others = [(3 - champion.min(2), other.as_slice())];
                let metric = self.task.metric();
                let scores =
                    gyre_monitor::comparison::scores(metric, (champion, &own), &others, &days).unwrap();
                Some(Fact::VersionsCompared { model, period: *period, scores })
            }
            Action::Train { .. } => {
                self.outcome.trained.push(self.window);
                let broken = self.state.models[&self.model].incidents.obstacle();
                self.outcome.trained_on_broken += usize::from(broken.is_some());
                // Nothing better comes of it: whatever the incident is, it stays.
                self.registered += 1;
                Some(self.registered_fact(self.registered))
            }
            Action::Judge { version, .. } => Some(Fact::GatesJudged {
                model,
                version: *version,
                passed: false,
                results: Vec::new(),
                comparison: None,
            }),
            // Nothing passes its gates here.
            Action::Recalibrate { .. } | Action::Refit { .. } | Action::Route { .. } => None,
        }
    }
}

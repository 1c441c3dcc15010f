//! Incidents in the middle of a story: what is told, how often, and what is not trained on meanwhile.

use gyre_core::fact::{Check, Drift, Entry, Evidence, Finding, ModelVersion, Realised, Score};
use gyre_core::spec::{Limit, Window};
use gyre_core::time::Period;
use gyre_core::{Digest, Span};
use serde_json::json;

use super::*;
use crate::action::Action;
use crate::controller::{Step, step};
use crate::policy::Policies;
use crate::state::State;

struct Story {
    policies: Policies,
    state: State,
    seq: u64,
    week: i64,
}

fn kiln() -> ModelName {
    "kiln".parse().unwrap()
}

fn drift() -> Vec<Drift> {
    let column = "wind".to_owned();
    let statistic = "wasserstein_over_iqr".to_owned();
    vec![Drift { column, statistic, effect: 0.6, floor: Some(0.1), p: 1e-9, usual: None, drifted: true }]
}

fn units() -> Vec<Finding> {
    let words = "`wind` is 100 times what it was".to_owned();
    let numbers = (Some(100.0), Some(1.0));
    vec![Finding {
        check: Check::Units,
        column: Some("wind".to_owned()),
        found: numbers.0,
        expected: numbers.1,
        rows: 700,
        words,
    }]
}

impl Story {
    /// Version 1 promised a loss of 10 and serves; a training pays at once.
    fn begin() -> Self {
        let policy = Policy {
            metric: "mae",
            unit: "min".to_owned(),
            on_decay: true,
            recall: true,
            windows: vec![Window::All],
            patience: 1.0,
            significance: 0.05,
            tolerance: 0.1,
            limit: Limit { count: 100, per: Span::days(7) },
            plan: gyre_core::fact::RolloutPlan { steps: vec![10_000], ..Policy::undeclared().plan },
            ..Policy::undeclared()
        };
        let mut story =
            Self { policies: Policies::from([(kiln(), policy)]), state: State::default(), seq: 0, week: 0 };
        story.version(1);
        story.tell(Fact::Promoted { model: kiln(), version: 1, previous: None, reason: String::new() });
        story
    }

    fn version(&mut self, version: Version) {
        let registered = json!({
            "model": "kiln", "version": version, "run": "r", "artifact": Digest::of(b"").to_hex(),
            "data": Digest::of(b"").to_hex(), "signature": {"inputs": [], "output": "y"},
            "holdout": {"mae": 10.0, "standard_error": 0.1},
        });
        self.tell(Fact::VersionRegistered(serde_json::from_value::<ModelVersion>(registered).unwrap()));
        let (model, results) = (kiln(), Vec::new());
        self.tell(Fact::GatesJudged { model, version, passed: true, results, comparison: None });
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(0) + Span::days(7 * self.week)
    }

    fn tell(&mut self, fact: Fact) -> Step {
        self.seq += 1;
        let (at, actor) = (self.now(), "monitor".to_owned());
        let entry =
            Entry { seq: self.seq, at, recorded: at, actor, cause: None, key: None, origin: None, fact };
        step(&self.policies, &mut self.state, &entry)
    }

    fn week(&mut self, loss: f64, drift: Vec<Drift>, quality: Vec<Finding>) -> Step {
        self.week += 1;
        let to = self.now();
        let champion = self.state.models[&kiln()].champion.unwrap();
        let realised =
            vec![Realised { version: champion, rows: 700, loss, days: 7, standard_error: Some(0.2) }];
        self.tell(Fact::WindowClosed(WindowSummary {
            model: kiln(),
            period: Period { from: to - Span::days(7), to },
            champion,
            predictions: 700,
            labels: 700,
            realised,
            drift,
            estimated: None,
            attribution: None,
            segments: Vec::new(),
            errors: 0,
            odd: Vec::new(),
            quality,
            evidence: Evidence::default(),
        }))
    }

    fn quiet_week(&mut self) -> Step {
        self.week(10.0, Vec::new(), Vec::new())
    }

    fn incidents(&self) -> &Incidents {
        &self.state.models[&kiln()].incidents
    }
}

/// What was told of incidents, as `+cause severity`, `~cause severity`, `-cause`.
fn told(step: &Step) -> Vec<String> {
    let line = |fact: &Fact| match fact {
        Fact::IncidentOpened(of) => Some(format!("+{} {}", of.cause.name(), of.severity.name())),
        Fact::IncidentChanged(of) => Some(format!("~{} {}", of.cause.name(), of.severity.name())),
        Fact::IncidentClosed { cause, .. } => Some(format!("-{}", cause.name())),
        _ => None,
    };
    step.facts.iter().filter_map(line).collect()
}

fn opened(step: &Step) -> Incident {
    let of = step.facts.iter().find_map(|fact| match fact {
        Fact::IncidentOpened(incident) | Fact::IncidentChanged(incident) => Some(incident.clone()),
        _ => None,
    });
    of.unwrap()
}

fn trains(step: &Step) -> bool {
    step.actions.iter().any(|action| matches!(action, Action::Train { .. }))
}

#[test]
fn nothing_is_trained_on_broken_rows_and_the_loop_goes_on_when_they_are_mended() {
    let mut story = Story::begin();
    let broken = story.week(30.0, drift(), units());
    assert_eq!(told(&broken), ["+unit_change critical"]);
    let incident = opened(&broken);
    assert_eq!(
        (incident.columns.as_slice(), incident.since),
        (&["wind".to_owned()][..], Timestamp::from_millis(0))
    );
    assert!(incident.changed.contains("100 times"), "{}", incident.changed);
    assert!(incident.cost.contains("700 labelled rows have lost 20.000 min more each"), "{}", incident.cost);
    assert!(incident.next.contains("mend the source"), "{}", incident.next);
    for _ in 0..3 {
        let step = story.week(30.0, drift(), units());
        assert!(!trains(&step) && told(&step).is_empty());
        let kept = step.facts.iter().find_map(|fact| match fact {
            Fact::DecisionTaken { reason, .. } => Some(reason.clone()),
            _ => None,
        });
        assert!(kept.unwrap().contains("nothing is trained while a column is in other units (incident"));
    }
    // What was lost meanwhile sets off no training on those rows.
    assert!(!trains(&story.quiet_week()));
    let over = story.quiet_week();
    assert_eq!((told(&over), trains(&over)), (vec!["-unit_change".to_owned()], false));
    // A loss for another reason is repaired again.
    assert!((0..3).any(|_| trains(&story.week(15.0, Vec::new(), Vec::new()))));
}

#[test]
fn nothing_is_trained_while_labels_are_missing() {
    let mut story = Story::begin();
    let late = || {
        let words = "10 % of the predictions have a label, where 97 % are usual".to_owned();
        vec![Finding {
            check: Check::Labels,
            column: None,
            found: Some(0.1),
            expected: Some(0.97),
            rows: 630,
            words,
        }]
    };
    let step = story.week(20.0, Vec::new(), late());
    assert_eq!((told(&step), trains(&step)), (vec!["+label_delay critical".to_owned()], false));
    assert!(story.incidents().obstacle().unwrap().contains("labels are late"));
}

#[test]
fn harmless_drift_is_told_once_and_becomes_what_it_is_when_the_loss_follows() {
    let mut story = Story::begin();
    assert_eq!(told(&story.week(10.0, drift(), Vec::new())), [""; 0]);
    let step = story.week(10.0, drift(), Vec::new());
    assert_eq!(told(&step), ["+harmless info"]);
    assert!(opened(&step).cost.starts_with("nothing so far"), "{}", opened(&step).cost);
    for _ in 0..3 {
        let step = story.week(10.0, drift(), Vec::new());
        assert!(told(&step).is_empty() && !trains(&step));
    }
    // Training is refused, so that the incident stays.
    story.policies.get_mut(&kiln()).unwrap().windows.clear();
    story.week(13.0, drift(), Vec::new());
    let step = story.week(13.0, drift(), Vec::new());
    assert_eq!(told(&step), ["~covariate warning"]);
    assert_eq!(
        told(&story.week(16.0, drift(), Vec::new())),
        ["~covariate critical"],
        "worse is told at once"
    );
    assert_eq!(told(&story.week(13.0, drift(), Vec::new())), [""; 0], "better must last");
    assert_eq!(told(&story.week(13.0, drift(), Vec::new())), ["~covariate warning"]);
}

#[test]
fn what_comes_back_soon_is_the_same_incident() {
    let mut story = Story::begin();
    let first = opened(&story.week(10.0, Vec::new(), units())).incident;
    story.quiet_week();
    assert_eq!(told(&story.quiet_week()), ["-unit_change"]);
    let again = story.week(10.0, Vec::new(), units());
    assert_eq!(
        (told(&again), opened(&again).incident),
        (vec!["~unit_change warning".to_owned()], first.clone())
    );
    (0..8).for_each(|_| drop(story.quiet_week()));
    let later = story.week(10.0, Vec::new(), units());
    assert_eq!(told(&later), ["+unit_change warning"]);
    assert_ne!(opened(&later).incident, first);
}

#[test]
fn what_is_silenced_is_recorded_and_not_told_until_the_silence_ends() {
    let mut story = Story::begin();
    let incident = opened(&story.week(10.0, Vec::new(), units())).incident;
    let until = Some(story.now() + Span::days(28));
    let by = "ada".to_owned();
    story.tell(Fact::IncidentAcknowledged { model: kiln(), incident, until, by, reason: String::new() });
    assert!(story.incidents().open().all(|open| open.acknowledged));
    let worse = story.week(30.0, Vec::new(), units());
    assert_eq!(told(&worse), ["~unit_change critical"]);
    assert!(opened(&worse).silenced);
    story.quiet_week();
    let over = story.quiet_week();
    assert!(over.facts.iter().any(|fact| matches!(fact, Fact::IncidentClosed { silenced: true, .. })));
    let loud = story.week(10.0, Vec::new(), units());
    assert!(!opened(&loud).silenced);
}

#[test]
fn an_older_version_that_is_proven_better_names_the_cause_and_its_promotion_ends_it() {
    let mut story = Story::begin();
    story.version(2);
    story.tell(Fact::Promoted { model: kiln(), version: 2, previous: Some(1), reason: String::new() });
    let closed = story.week(15.0, Vec::new(), Vec::new());
    let period = closed.actions.iter().find_map(|action| match action {
        Action::Compare { period, .. } => Some(*period),
        _ => None,
    });
    let score =
        |version, gain, p| Score { version, rows: 700, days: 7, loss: 15.0 - gain, gain, interval: None, p };
    let scores = vec![score(2, 0.0, None), score(1, 4.0, Some(1e-6))];
    let step = story.tell(Fact::VersionsCompared { model: kiln(), period: period.unwrap(), scores });
    assert_eq!(told(&step), ["+seasonal_return critical", "-seasonal_return"]);
    assert!(
        opened(&step).changed.contains("version 1, made earlier, is better"),
        "{}",
        opened(&step).changed
    );
    assert_eq!(story.state.models[&kiln()].champion, Some(1));
}

#[test]
fn the_state_comes_back_from_storage_as_it_was() {
    let mut story = Story::begin();
    story.week(30.0, drift(), units());
    let json = serde_json::to_string(&story.state).unwrap();
    assert_eq!(serde_json::from_str::<State>(&json).unwrap(), story.state);
}

//! The controller in the middle of a story: what it asks for, and what it has learnt from what came of it.

use gyre_core::fact::{EstimateMethod, LossEstimate, LossForecast, ModelVersion, Realised};
use gyre_core::spec::{Limit, Window};
use gyre_core::{Digest, Span};
use serde_json::json;

use super::*;

mod deciding;
mod recalibrating;
mod refitting;

/// A model with one version in service that promised a loss of 10, and weeks that close one after another.
struct Story {
    policies: Policies,
    state: State,
    seq: u64,
    week: i64,
    /// What comparisons show of the other versions; none when they are not answered.
    gain: Option<f64>,
    /// What was expected of the weeks before their labels came.
    expected: Option<LossForecast>,
    /// The standard error of a week's loss.
    error: f64,
}

fn kiln() -> ModelName {
    "kiln".parse().unwrap()
}

fn registered(version: Version, promised: f64) -> Fact {
    let registered = json!({
        "model": "kiln", "version": version, "run": "r", "artifact": Digest::of(b"").to_hex(), "data": Digest::of(b"").to_hex(),
        "signature": {"inputs": [], "output": "y"}, "holdout": {"mae": promised, "standard_error": 0.1},
    });
    Fact::VersionRegistered(serde_json::from_value::<ModelVersion>(registered).unwrap())
}

fn judged(version: Version, passed: bool, p: Option<f64>) -> Fact {
    let score = |p| Score { version, rows: 100, days: 7, loss: 10.0, gain: 1.0, interval: None, p: Some(p) };
    Fact::GatesJudged { model: kiln(), version, passed, results: Vec::new(), comparison: p.map(score) }
}

fn score(version: Version, gain: f64, p: Option<f64>) -> Score {
    Score { version, rows: 700, days: 7, loss: 15.0 - gain, gain, interval: None, p }
}

impl Story {
    fn begin() -> Self {
        let policy = Policy {
            metric: "mae",
            on_decay: true,
            recall: true,
            windows: vec![Window::All],
            patience: 3.0,
            significance: 0.1,
            limit: Limit { count: 100, per: Span::days(7) },
            plan: RolloutPlan { steps: vec![10_000], ..Policy::undeclared().plan },
            ..Policy::undeclared()
        };
        let policies = Policies::from([(kiln(), policy)]);
        let state = State::default();
        let mut story =
            Self { policies, state, seq: 0, week: 0, gain: Some(0.0), expected: None, error: 0.2 };
        story.tell(registered(1, 10.0));
        story.tell(judged(1, true, None));
        story.tell(Fact::Promoted { model: kiln(), version: 1, previous: None, reason: String::new() });
        story
    }

    fn tell(&mut self, fact: Fact) -> Step {
        self.seq += 1;
        let at = Timestamp::from_millis(0) + Span::days(7 * self.week);
        let actor = "monitor".to_owned();
        let entry =
            Entry { seq: self.seq, at, recorded: at, actor, cause: None, key: None, origin: None, fact };
        step(&self.policies, &mut self.state, &entry)
    }

    /// A week closes in which the champion lost so much; says what is asked for.
    fn week(&mut self, loss: f64) -> Vec<&'static str> {
        self.week += 1;
        let champion = self.state.models[&kiln()].champion.unwrap();
        let to = Timestamp::from_millis(0) + Span::days(7 * self.week);
        let realised =
            vec![Realised { version: champion, rows: 700, loss, days: 7, standard_error: Some(self.error) }];
        let window = WindowSummary {
            model: kiln(),
            period: Period { from: to - Span::days(7), to },
            champion,
            predictions: 700,
            labels: 700,
            realised,
            estimated: self.expected,
            drift: Vec::new(),
            errors: 0,
            odd: Vec::new(),
            quality: Vec::new(),
            evidence: gyre_core::fact::Evidence::default(),
            attribution: None,
            segments: Vec::new(),
        };
        let actions = self.tell(Fact::WindowClosed(window)).actions;
        self.answered(actions)
    }

    /// Where a comparison was asked for nothing is proven, and `gain` is seen of the others; says what is asked for besides.
    fn answered(&mut self, actions: Vec<Action>) -> Vec<&'static str> {
        let mut asked: Vec<&'static str> = actions.iter().map(Action::name).collect();
        let period = actions.iter().find_map(|action| match action {
            Action::Compare { period, .. } => Some(*period),
            _ => None,
        });
        if let (Some(period), Some(gain)) = (period, self.gain) {
            let champion = self.state.models[&kiln()].champion.unwrap();
            let others = 1..=self.state.models[&kiln()].versions.len() as Version;
            let others = others.filter(|version| *version != champion);
            let scores = std::iter::once(score(champion, 0.0, None))
                .chain(others.map(|version| score(version, gain, Some(0.5))))
                .collect();
            let follows = self.tell(Fact::VersionsCompared { model: kiln(), period, scores });
            asked.extend(follows.actions.iter().map(Action::name));
        }
        asked
    }

    /// Weeks of a loss of 15 until a training is asked for: a regret of 3.5 each.
    fn weeks_until_training(&mut self) -> u32 {
        (1..100).find(|_| self.week(15.0).contains(&"train")).unwrap()
    }
}

fn estimate(loss: f64, standard_error: f64) -> Fact {
    let forecast = LossForecast { loss, standard_error, rows: 700, method: EstimateMethod::DirectLoss };
    let at = Timestamp::from_millis(0);
    Fact::LossEstimated(LossEstimate {
        model: kiln(),
        period: Period { from: at, to: at },
        version: 1,
        predictions: 700,
        forecast: Some(forecast),
        reason: None,
    })
}

#[test]
fn a_loss_that_is_expected_twice_rings_before_any_label_and_trains_only_where_that_is_wanted() {
    for wanted in [false, true] {
        let mut story = Story::begin();
        let policy = story.policies.get_mut(&kiln()).unwrap();
        (policy.on_estimate, policy.tolerance) = (wanted, 0.1);
        let alarm = |step: &Step| {
            step.facts.iter().find_map(|fact| match fact {
                Fact::AlarmRaised { alarm, .. } => Some((*alarm, true)),
                Fact::AlarmCleared { alarm, .. } => Some((*alarm, false)),
                _ => None,
            })
        };
        assert_eq!(story.tell(estimate(15.0, 0.3)), Step::default(), "one window is none");
        let second = story.tell(estimate(15.0, 0.3));
        assert_eq!(alarm(&second), Some((Alarm::DecayExpected, true)));
        assert_eq!(second.actions.iter().any(|action| action.name() == "train"), wanted);
        for _ in 0..2 {
            assert_eq!(alarm(&story.tell(estimate(10.1, 0.3))), None);
        }
        assert_eq!(alarm(&story.tell(estimate(10.1, 0.3))), Some((Alarm::DecayExpected, false)));
    }
}

#[test]
fn estimates_that_were_wrong_before_are_not_believed() {
    let mut story = Story::begin();
    story.policies.get_mut(&kiln()).unwrap().tolerance = 0.1;
    for week in 0..6 {
        // Half of what is expected never comes true.
        let realised = if week % 2 == 0 { 6.0 } else { 14.0 };
        story.expected = Some(LossForecast {
            loss: 10.0,
            standard_error: 0.1,
            rows: 700,
            method: EstimateMethod::DirectLoss,
        });
        story.week(realised);
    }
    let known = &story.state.models[&kiln()].foresight;
    assert_eq!(known.record().mean_absolute_error(), Some(4.0));
    for _ in 0..3 {
        assert_eq!(story.tell(estimate(13.0, 0.1)), Step::default());
    }
}

#[test]
fn after_each_training_in_vain_the_next_takes_twice_the_regret() {
    let mut story = Story::begin();
    let mut waited = Vec::new();
    for version in 2..6 {
        waited.push(story.weeks_until_training());
        story.tell(registered(version, 10.0));
        story.tell(judged(version, false, Some(0.6)));
    }
    // Regrets of 3, 6, 12 and 24.
    assert_eq!(waited, [1, 2, 4, 7]);
    assert_eq!(story.state.models[&kiln()].patience(3.0), 48.0);
}

#[test]
fn what_no_week_proves_several_do() {
    let mut story = Story::begin();
    // A quarter more, give or take the same: one week might be luck.
    story.error = 2.5;
    assert_eq!((1..100).find(|_| story.week(12.5).contains(&"train")), Some(2), "a regret of 3.5, and proof");
    // With less to go by it takes a regret of 4.5.
    let mut story = Story::begin();
    story.error = 9.0;
    assert_eq!((1..100).find(|_| story.week(12.5).contains(&"train")), Some(3));
    // Weeks that are as good as promised in between prove nothing.
    let mut story = Story::begin();
    story.error = 4.0;
    assert!((0..20).all(|week| !story.week(if week % 2 == 0 { 15.0 } else { 5.0 }).contains(&"train")));
}

#[test]
fn a_training_that_proves_itself_sets_the_patience_back() {
    let mut story = Story::begin();
    for (version, p) in [(2, 0.6), (3, 0.01)] {
        story.weeks_until_training();
        story.tell(registered(version, 10.0));
        story.tell(judged(version, p < 0.1, Some(p)));
    }
    let model = &story.state.models[&kiln()];
    assert_eq!((model.champion, model.futile), (Some(3), 0));
}

#[test]
fn another_version_is_looked_for_at_every_close_and_recalled_when_it_is_proven() {
    let mut story = Story::begin();
    // Version 2 passes its gates by luck, and nothing is proven.
    story.weeks_until_training();
    story.tell(registered(2, 10.0));
    story.tell(judged(2, true, Some(0.4)));
    story.gain = None;
    assert_eq!(story.week(9.0), ["compare"], "although nothing is worse than promised");
    let period = Period { from: Timestamp::from_millis(0), to: Timestamp::from_millis(1) };
    let scores = vec![score(2, 0.0, None), score(1, 0.5, Some(0.001))];
    let follows = story.tell(Fact::VersionsCompared { model: kiln(), period, scores });
    assert!(matches!(
        follows.facts[0],
        Fact::DecisionTaken { decision: Decision::Recall { version: 1 }, .. }
    ));
    let model = &story.state.models[&kiln()];
    assert_eq!((model.champion, model.futile), (Some(1), 0));
}

#[test]
fn a_training_pays_when_age_has_cost_as_much_although_the_promise_is_kept() {
    let mut story = Story::begin();
    story.week += 8;
    story.weeks_until_training();
    story.tell(registered(2, 10.0));
    story.tell(judged(2, true, Some(0.01)));
    // The older version loses 3 a day more, week after week; the champion keeps its promise.
    story.gain = Some(-3.0);
    let weeks = (1..60).find(|_| story.week(9.5).contains(&"train"));
    assert!(weeks.is_some_and(|weeks| (5..20).contains(&weeks)), "{weeks:?}");
    // Where age has cost nothing no training follows.
    let mut story = Story::begin();
    story.weeks_until_training();
    story.tell(registered(2, 10.0));
    story.tell(judged(2, true, Some(0.01)));
    assert!((1..60).all(|_| !story.week(9.5).contains(&"train")));
}

#[test]
fn whoever_is_not_to_be_repaired_is_left_alone() {
    let mut story = Story::begin();
    story.weeks_until_training();
    story.tell(registered(2, 10.0));
    story.tell(judged(2, true, Some(0.01)));
    let policy = story.policies.get_mut(&kiln()).unwrap();
    (policy.on_decay, policy.on_drift) = (false, false);
    assert!((0..10).all(|_| story.week(20.0).is_empty()));
}

#[test]
fn what_a_person_brings_does_not_count_as_a_training_in_vain() {
    let mut story = Story::begin();
    story.tell(registered(2, 10.0));
    let asked = Fact::RolloutAsked { model: kiln(), version: 2, plan: None, reason: "why".to_owned() };
    assert_eq!(story.tell(asked).actions.iter().map(Action::name).collect::<Vec<_>>(), ["judge"]);
    story.tell(judged(2, false, Some(0.6)));
    assert_eq!(story.state.models[&kiln()].futile, 0);
}

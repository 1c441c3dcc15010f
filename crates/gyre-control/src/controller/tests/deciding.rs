//! What is decided beside losses: windows without labels, triggers, quiet hours, setbacks, and several training windows at once.

use gyre_core::spec::NewData;

use super::*;
use crate::triggers::{self, SCHEDULE};
use crate::waiting;

/// Decisions and what else was told, by what they are; incidents have tests of their own.
fn told(step: &Step) -> Vec<String> {
    let word = |fact: &Fact| match fact {
        Fact::DecisionTaken { decision, .. } => {
            serde_json::to_value(decision).unwrap()["do"].as_str().unwrap().to_owned()
        }
        other => other.kind().to_owned(),
    };
    let told = step.facts.iter().map(word);
    told.filter(|word| !word.starts_with("incident")).collect()
}

fn decided(step: &Step) -> (&Decision, &str, &Numbers) {
    let decided = step.facts.iter().find_map(|fact| match fact {
        Fact::DecisionTaken { decision, reason, numbers, .. } => Some((decision, reason.as_str(), numbers)),
        _ => None,
    });
    decided.unwrap()
}

fn reasons(step: &Step) -> String {
    let reason = |fact: &Fact| match fact {
        Fact::DecisionTaken { reason, .. } | Fact::LoopPaused { reason, .. } => Some(reason.clone()),
        _ => None,
    };
    step.facts.iter().filter_map(reason).collect::<Vec<_>>().join("\n")
}

impl Story {
    fn policy(&mut self) -> &mut Policy {
        self.policies.get_mut(&kiln()).unwrap()
    }

    fn model(&self) -> &ModelState {
        &self.state.models[&kiln()]
    }

    fn tell_at(&mut self, at: Timestamp, fact: Fact) -> Step {
        self.seq += 1;
        let actor = "monitor".to_owned();
        let entry =
            Entry { seq: self.seq, at, recorded: at, actor, cause: None, key: None, origin: None, fact };
        step(&self.policies, &mut self.state, &entry)
    }

    /// What is seen at a moment is told; says what followed.
    fn look(&mut self, at: Timestamp) -> Step {
        let (policy, model) = (&self.policies[&kiln()], self.model());
        let fact = waiting::ready(policy, model, &kiln(), at)
            .or_else(|| triggers::fired(policy, model, &kiln(), at).map(|fired| fired.fact));
        fact.map_or_else(Step::default, |fact| self.tell_at(at, fact))
    }

    /// A week in which the champion lost 15 instead of 10, and so many of 700 predictions got labels.
    fn week_with(&mut self, labels: u64) -> Step {
        self.week += 1;
        let champion = self.model().champion.unwrap();
        let to = Timestamp::from_millis(0) + Span::days(7 * self.week);
        let realised =
            Realised { version: champion, rows: labels, loss: 15.0, days: 7, standard_error: Some(0.2) };
        self.tell(Fact::WindowClosed(WindowSummary {
            model: kiln(),
            period: Period { from: to - Span::days(7), to },
            champion,
            predictions: 700,
            labels,
            realised: if labels > 0 { vec![realised] } else { Vec::new() },
            estimated: None,
            drift: Vec::new(),
            errors: 0,
            odd: Vec::new(),
            quality: Vec::new(),
            evidence: gyre_core::fact::Evidence::default(),
            attribution: None,
            segments: Vec::new(),
        }))
    }

    fn refused(&mut self, version: Version) -> Step {
        self.tell(registered(version, 10.0));
        self.tell(judged(version, false, Some(0.6)))
    }
}

fn day(day: i64) -> Timestamp {
    Timestamp::from_millis(0) + Span::days(day)
}

#[test]
fn a_window_that_is_mostly_unlabelled_is_neither_judged_nor_trained_for() {
    let mut story = Story::begin();
    (story.policy().min_coverage, story.policy().labels_expected) = (0.5, true);
    for labels in [0, 300, 349] {
        let step = story.week_with(labels);
        assert_eq!((told(&step), step.actions.len()), (vec!["keep".to_owned()], 0));
        let (_, reason, numbers) = decided(&step);
        assert!(reason.starts_with("labels are mostly missing") && reason.contains("50%"), "{reason}");
        assert_eq!((numbers["labels"], numbers["min_coverage"]), (labels as f64, 0.5));
        assert_eq!((story.model().regret, story.model().alarms.len()), (0.0, 0));
    }
    // What asks for a training by other reasons waits for a window with labels, too.
    let step = story.tell(Fact::TrainingDue {
        model: kiln(),
        trigger: SCHEDULE.to_owned(),
        reason: "monday".to_owned(),
        numbers: Numbers::new(),
    });
    assert!(step.actions.is_empty() && reasons(&step).contains("mostly missing"), "{step:?}");
    // Half of them are enough.
    assert!(told(&story.week_with(350)).contains(&"retrain".to_owned()));
}

#[test]
fn labels_that_nobody_expects_are_not_missed_and_sampled_ones_may_be_few() {
    let mut story = Story::begin();
    story.policy().min_coverage = 0.5;
    assert_eq!(story.week_with(0), Step::default(), "no label was ever promised");
    assert!(!story.model().unlabelled);
    story.policy().min_coverage = 0.01;
    assert!(told(&story.week_with(14)).contains(&"retrain".to_owned()), "2% are what is sampled");
}

#[test]
fn the_cost_of_every_option_stands_in_each_decision_and_agrees_with_it() {
    let mut story = Story::begin();
    story.policy().patience = 6.0;
    let mut weeks = Vec::new();
    for _ in 0..2 {
        let step = story.week_with(700);
        let (decision, reason, numbers) = decided(&step);
        let (keep, retrain) = (numbers["cost_keep"], numbers["cost_retrain"]);
        assert!(reason.contains(&format!("keep {keep:.1}, retrain {retrain:.1}")), "{reason}");
        weeks.push((matches!(decision, Decision::Retrain { .. }), keep >= retrain, numbers["horizon_days"]));
    }
    assert_eq!(weeks, [(false, false, 7.0), (true, true, 14.0)]);
}

#[test]
fn a_recall_tells_what_it_was_held_against() {
    let mut story = Story::begin();
    story.weeks_until_training();
    story.tell(registered(2, 10.0));
    story.tell(judged(2, true, Some(0.01)));
    story.gain = None;
    story.week(15.0);
    let period = Period { from: day(0), to: day(7) };
    let better = Score { interval: Some((4.0, 6.0)), ..score(1, 5.0, Some(0.001)) };
    let step = story.tell(Fact::VersionsCompared {
        model: kiln(),
        period,
        scores: vec![score(2, 0.0, None), better],
    });
    let (decision, reason, numbers) = decided(&step);
    assert_eq!(*decision, Decision::Recall { version: 1 });
    assert!(
        numbers["cost_recall"] < numbers["cost_keep"] && numbers["cost_recall"] < numbers["cost_retrain"]
    );
    assert!(numbers["risk_recall"] < 0.01 && numbers["recall_version"] == 1.0, "{numbers:?}");
    assert!(reason.contains("recall 1 "), "{reason}");
}

#[test]
fn a_schedule_fires_once_however_many_moments_were_missed_and_makes_a_candidate_only() {
    let mut story = Story::begin();
    // 1970-01-01 was a Thursday: the Mondays are the days 4, 11, 18 …
    story.policy().schedules = vec!["0 3 * * mon".parse().unwrap()];
    assert_eq!(story.look(day(4)), Step::default(), "three hours early");
    let step = story.look(day(30));
    assert_eq!(told(&step), ["retrain"]);
    assert!(reasons(&step).contains("fell due at 1970-01-05T03:00:00Z"), "{step:?}");
    let step = story.refused(2);
    assert_eq!(told(&step), ["refuse"]);
    let model = story.model();
    assert_eq!(
        (model.champion, model.futile, model.breaker.setbacks),
        (Some(1), 0, 0),
        "nothing had to be mended"
    );
    assert_eq!(story.look(day(31)), Step::default(), "the others that were missed do not fire");
    assert_eq!(told(&story.look(day(33))), ["retrain"], "the next one does");
}

#[test]
fn new_data_is_counted_in_labels_or_in_time_since_the_last_training() {
    let mut story = Story::begin();
    story.policy().on_decay = false;
    story.policy().new_data = vec![NewData::Rows(1_500)];
    for enough in [false, false, true] {
        story.week_with(700);
        let step = story.look(day(7 * story.week));
        assert_eq!(told(&step).contains(&"retrain".to_owned()), enough, "{step:?}");
    }
    story.refused(2);
    assert_eq!(story.model().new_rows, 0);
    let mut story = Story::begin();
    story.policy().on_decay = false;
    story.policy().new_data = vec![NewData::After(Span::days(10))];
    assert_eq!(story.look(day(11)), Step::default(), "time has passed, and nothing is new");
    story.week_with(700);
    assert_eq!(story.look(day(9)), Step::default());
    assert_eq!(told(&story.look(day(11))), ["retrain"]);
}

#[test]
fn what_is_due_in_quiet_hours_begins_when_they_end() {
    let mut story = Story::begin();
    let quiet: gyre_core::spec::Quiet = "thu-sun".parse().unwrap();
    story.policy().quiet = vec![quiet].into();
    // The week closes on a Thursday, the day 7; the quiet lasts until Monday, the day 11.
    let step = story.week_with(700);
    assert!(step.actions.is_empty() && reasons(&step).contains("until 1970-01-12T00:00:00Z"), "{step:?}");
    assert_eq!(story.look(day(10)), Step::default());
    let step = story.look(day(11));
    assert_eq!(told(&step), ["retrain"]);
    assert!(reasons(&step).contains("regret 3.5 of 3"), "the reason is what it was: {step:?}");
    // What passed its gates does not take traffic by night either: neither at once, nor when it is looked at.
    let step = story.tell_at(day(11), registered(2, 10.0));
    assert_eq!(step.actions.len(), 1);
    let step = story.tell_at(day(11), judged(2, true, Some(0.01)));
    assert_eq!((told(&step), story.model().champion), (vec!["roll_out".to_owned()], Some(1)));
    assert_eq!(story.look(day(14)), Step::default());
    let step = story.look(day(18));
    assert!(told(&step).contains(&"promoted".to_owned()), "{step:?}");
    assert_eq!(story.model().champion, Some(2));
}

#[test]
fn a_person_need_not_wait_for_the_quiet_to_end() {
    let mut story = Story::begin();
    story.policy().quiet = vec!["mon-sat".parse::<gyre_core::spec::Quiet>().unwrap()].into();
    let retrain = Decision::Retrain { window: Window::All };
    let asked = Fact::DecisionTaken {
        model: kiln(),
        decision: retrain,
        reason: String::new(),
        numbers: Numbers::new(),
    };
    assert_eq!(story.tell(asked).actions.len(), 1);
    story.tell(registered(2, 10.0));
    story.tell(judged(2, true, Some(0.01)));
    assert_eq!(story.model().champion, Some(1));
    let asked = Fact::RolloutAsked { model: kiln(), version: 2, plan: None, reason: "now".to_owned() };
    story.tell(asked);
    assert_eq!(story.model().champion, Some(2));
}

#[test]
fn setbacks_in_a_row_pause_the_loop_until_it_has_rested_and_a_success_closes_the_breaker() {
    let mut story = Story::begin();
    story.policy().breaker = gyre_core::spec::Breaker { after: 2, rest: Span::days(28) };
    story.weeks_until_training();
    assert_eq!(told(&story.refused(2)), ["refuse"]);
    story.weeks_until_training();
    let step = story.refused(3);
    assert_eq!(told(&step), ["refuse", "loop_paused"]);
    assert!(reasons(&step).contains("2 candidates in a row came to nothing"), "{step:?}");
    // It rests for four weeks, then one training is tried.
    let paused = story.week;
    story.weeks_until_training();
    assert!(story.week - paused >= 4, "{}", story.week - paused);
    assert!(!story.model().paused);
    let step = story.refused(4);
    assert!(told(&step).contains(&"loop_paused".to_owned()), "one more is enough: {step:?}");
    // A person may go on at once, and what goes well is forgotten.
    story.tell(Fact::LoopResumed { model: kiln() });
    story.weeks_until_training();
    story.tell(registered(5, 10.0));
    story.tell(judged(5, true, Some(0.01)));
    let model = story.model();
    assert_eq!((model.champion, model.paused, model.breaker.setbacks), (Some(5), false, 0));
}

fn judged_with(version: Version, passed: bool, gain: f64) -> Fact {
    let score = Score { version, rows: 100, days: 7, loss: 10.0, gain, interval: None, p: Some(0.2) };
    Fact::GatesJudged { model: kiln(), version, passed, results: Vec::new(), comparison: Some(score) }
}

/// A decision to try a short window, a long one and all, with these gains and verdicts; which version serves then.
fn contest(gains: [(bool, f64); 3]) -> Story {
    let mut story = Story::begin();
    story.policy().windows = vec![Window::Last(Span::days(28)), Window::All, Window::Last(Span::days(56))];
    story.policy().try_all = true;
    story.policy().limit.count = 1;
    story.weeks_until_training();
    for (version, (passed, gain)) in (2..).zip(gains) {
        let step = story.tell(registered(version, 10.0));
        assert_eq!(step.actions.iter().map(Action::name).collect::<Vec<_>>(), ["judge"]);
        let step = story.tell(judged_with(version, passed, gain));
        let trains = step.actions.iter().any(|action| action.name() == "train");
        assert_eq!(trains, version < 4, "{step:?}");
    }
    story
}

#[test]
fn of_several_windows_the_best_that_passes_serves_and_of_equals_the_largest() {
    for (gains, champion) in [
        ([(true, 1.0), (true, 2.0), (true, 1.5)], 3),
        ([(true, 1.0), (false, 2.0), (true, 1.5)], 4),
        ([(true, 1.0), (true, 1.0), (true, 1.0)], 3),
        ([(true, 1.0), (false, 0.0), (true, 1.0)], 4),
        ([(false, -1.0), (false, -2.0), (false, -3.0)], 1),
    ] {
        let story = contest(gains);
        let model = story.model();
        assert_eq!(
            (model.champion, model.repair, &model.attempt),
            (Some(champion), None, &None),
            "{gains:?}"
        );
        assert_eq!((model.futile, model.trainings.len()), (1, 1), "it is one decision");
    }
}

#[test]
fn a_window_that_cannot_be_trained_on_does_not_spoil_the_others() {
    let mut story = Story::begin();
    story.policy().windows = vec![Window::Last(Span::days(28)), Window::All];
    story.policy().try_all = true;
    story.weeks_until_training();
    let broke = |reason: &str| Fact::RunFailed {
        run: "r".to_owned(),
        model: kiln(),
        data: None,
        reason: reason.to_owned(),
        log: String::new(),
    };
    let step = story.tell(broke("no rows"));
    assert!(matches!(step.actions[..], [Action::Train { window: Window::All, .. }]), "{step:?}");
    story.tell(registered(2, 10.0));
    story.tell(judged_with(2, true, 1.0));
    assert_eq!((story.model().champion, story.model().failures), (Some(2), 0));
    // When none can, it is a failure, and the loop is free again.
    story.weeks_until_training();
    story.tell(broke("no rows"));
    story.tell(broke("no rows"));
    assert_eq!((story.model().repair, story.model().failures), (None, 1));
}

#[test]
fn a_model_that_makes_its_own_labels_is_watched_and_trained_by_people_only() {
    let mut story = Story::begin();
    (story.policy().by_own_action, story.policy().tolerance) = (true, 0.1);
    let step = story.week_with(700);
    assert_eq!(told(&step), ["alarm_raised", "keep"]);
    assert!(step.actions.is_empty() && reasons(&step).contains("labels.caused_by_action"), "{step:?}");
    let retrain = Decision::Retrain { window: Window::All };
    let asked = Fact::DecisionTaken {
        model: kiln(),
        decision: retrain,
        reason: String::new(),
        numbers: Numbers::new(),
    };
    assert_eq!(story.tell(asked).actions.len(), 1);
}

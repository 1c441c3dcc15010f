//! The closed loop on a real desk, in event time: what an operator of a small plant would notice of decay, repair, recall,
//! a candidate that breaks, and of moving traffic by hand.

#![allow(clippy::unwrap_used)]

mod support;

use gyre_core::Digest;
use gyre_core::fact::{Alarm, Cause, Decision, Entry, Fact, ModelVersion, Severity};
use gyre_core::spec::Window;
use gyre_loop::DeskError;
use gyre_testing::Place;
use support::{Law, Plant, kiln, models, promotes, trainer};

gyre_testing::on_both!(
    a_candidate_that_leaves_a_group_worse_off_does_not_pass,
    a_candidate_that_breaks_under_traffic_goes_back_by_itself,
    a_part_of_the_rows_that_gets_worse_is_an_incident_although_the_whole_is_tolerable,
    a_person_moves_traffic_and_every_state_survives_an_end,
    a_second_training_that_breaks_leaves_the_first,
    a_model_that_begins_to_fail_is_an_incident_of_the_service_until_it_answers_again,
    a_model_that_fails_is_no_flood_where_the_log_keeps_a_share_of_what_is_answered,
    a_schedule_that_was_missed_twice_fires_once_and_nothing_begins_in_quiet_hours,
    decay_is_repaired_by_training_and_the_return_of_the_old_world_by_recall,
    what_a_few_numbers_put_right_is_not_trained_and_what_they_do_not_is,
    what_passed_its_gates_learns_from_the_withheld_days_too_before_it_serves,
    what_somebody_expects_of_a_column_stands_above_what_was_learned_of_it,
);

#[test]
#[ignore = "the train stage of the other tests' pipelines"]
fn train_stage() {
    models::train_stage();
}

/// Winter comes on day 30 and goes on day 54; both begin a window.
fn a_winter(day: u32) -> Law {
    if (30..54).contains(&day) { Law::Winter } else { Law::Summer }
}

/// It gets damp on day 30, and then winter comes on day 46.
fn a_damp_autumn(day: u32) -> Law {
    match day {
        0..30 => Law::Summer,
        30..46 => Law::Damp,
        _ => Law::Winter,
    }
}

fn summer(_: u32) -> Law {
    Law::Summer
}

/// The shares that `version` was given, in order.
fn shares_of(plant: &Plant, version: u32) -> Vec<u32> {
    let shares = plant.of_kind("traffic_shifted").into_iter().filter_map(|entry| match entry.fact {
        Fact::TrafficShifted { weights, .. } => weights.iter().find(|(of, _)| *of == version).copied(),
        _ => None,
    });
    shares.map(|(_, share)| share).collect()
}

/// The kinds of the entries that led to `entry`, the nearest first.
fn causes(facts: &[Entry], entry: &Entry) -> Vec<&'static str> {
    let cause = |entry: &&Entry| facts.iter().find(|other| Some(other.seq) == entry.cause);
    let first = facts.iter().find(|other| other.seq == entry.seq).unwrap();
    std::iter::successors(Some(first), cause).map(|entry| entry.fact.kind()).collect()
}

/// The alarms that say that predictions have become worse.
fn decays(plant: &Plant) -> Vec<Entry> {
    let decay = |entry: &Entry| matches!(entry.fact, Fact::AlarmRaised { alarm: Alarm::Decay, .. });
    plant.of_kind("alarm_raised").into_iter().filter(decay).collect()
}

fn only(entries: Vec<Entry>, is: impl Fn(&Entry) -> bool) -> Entry {
    let mut found = entries.into_iter().filter(|entry| is(entry));
    let entry = found.next().expect("an entry");
    assert_eq!(found.next(), None, "only one");
    entry
}

fn decay_is_repaired_by_training_and_the_return_of_the_old_world_by_recall(place: &Place) {
    let mut plant = Plant::new(place, 75, a_winter);
    plant.first_version();
    assert_eq!((plant.champion(), plant.traffic()), (Some(1), vec![(1, 10_000)]));
    plant.live_to(30);
    let (by, error) = plant.answered_by();
    assert!(by == [1] && error > 30.0, "on the first day of winter the old model is wrong by {error}");
    assert_eq!((plant.failed, decays(&plant).len()), (0, 0), "nothing was wrong before");

    // Winter: the first window of it closes on day 35.
    assert!(plant.live_until(50, |plant| plant.champion() == Some(2)), "repaired");
    assert!(plant.day() <= 39, "took until day {}", plant.day());
    let (by, error) = plant.answered_by();
    assert!(by == [2] && error < 6.0, "the new model is wrong by {error}");
    let facts = plant.facts();
    let alarm = only(decays(&plant), |_| true);
    let decided = only(plant.of_kind("decision_taken"), |entry| {
        entry.actor == "controller"
            && matches!(entry.fact, Fact::DecisionTaken { decision: Decision::Retrain { .. }, .. })
    });
    let Fact::DecisionTaken { reason, numbers, .. } = &decided.fact else { unreachable!() };
    let (loss, promised) = (numbers["loss"], numbers["promised"]);
    assert!(
        loss > 5.0 * promised && numbers["p"] < 0.1 && numbers["regret"] > numbers["patience"],
        "{numbers:?}"
    );
    assert!(reason.contains(&format!("mae {loss:.2} min, promised {promised:.2}")), "{reason}");
    assert_eq!(alarm.cause, decided.cause, "the same window raised the alarm and led to the decision");
    assert_eq!(shares_of(&plant, 2), [500, 2_500, 5_000, 10_000]);
    let promoted = only(plant.of_kind("promoted"), |entry| promotes(entry, 2));
    assert_eq!(
        causes(&facts, &promoted),
        ["promoted", "step_observed", "gates_judged", "version_registered", "window_closed"]
    );
    // Windows and incidents are told by the way; what was done is asked for here.
    let by_the_way = |entry: &&Entry| {
        let kind = entry.fact.kind();
        kind == "window_closed" || kind.starts_with("incident_")
    };
    let since = facts.iter().filter(|entry| entry.seq >= alarm.seq && !by_the_way(entry));
    let told: Vec<&str> = since.filter(|entry| !keeps(entry)).map(|entry| entry.fact.kind()).collect();
    let step = ["step_observed", "traffic_shifted"];
    let training = ["data_recorded", "data_recorded", "run_finished", "version_registered"];
    let judging = ["gates_judged", "decision_taken", "rollout_started", "traffic_shifted"];
    let ending = ["step_observed", "promoted", "traffic_shifted"];
    let expected =
        [&["alarm_raised", "decision_taken"], &training[..], &judging, &step, &step, &ending].concat();
    assert_eq!(told, expected);
    plant.assert_survives_reopening();

    // Summer comes back: nobody needs to train what is already there.
    assert!(plant.live_until(72, |plant| plant.champion() == Some(1)), "recalled");
    assert!(plant.day() <= 63, "took until day {}", plant.day());
    let recalled = only(plant.of_kind("decision_taken"), |entry| {
        matches!(entry.fact, Fact::DecisionTaken { decision: Decision::Recall { version: 1 }, .. })
    });
    let facts = plant.facts();
    assert_eq!(causes(&facts, &recalled), ["decision_taken", "versions_compared", "window_closed"]);
    let Fact::DecisionTaken { numbers, .. } = &recalled.fact else { unreachable!() };
    assert!(numbers["gain"] > 20.0 && numbers["p"] < 0.05, "{numbers:?}");
    assert_eq!(
        shares_of(&plant, 1)[1..],
        [9_500, 7_500, 5_000, 500, 2_500, 5_000, 10_000],
        "out, and back in"
    );
    let decided = plant.of_kind("decision_taken");
    let trains =
        |entry: &&Entry| matches!(entry.fact, Fact::DecisionTaken { decision: Decision::Retrain { .. }, .. });
    assert_eq!(
        decided.iter().filter(trains).filter(|entry| entry.at >= recalled.at).count(),
        0,
        "no training"
    );
    // That a model was wrong after some weeks was held against the age of the next one, once: its successor was no better.
    let by_age = only(
        decided,
        |entry| matches!(&entry.fact, Fact::DecisionTaken { reason, .. } if reason.starts_with("the age of version 2")),
    );
    assert!(by_age.at < recalled.at);
    assert_eq!(plant.count("alarm_cleared"), 1, "the first alarm ended with the first repair");
    assert!(plant.answered_by().1 < 6.0);
    assert_eq!(plant.failed, 0, "no request failed in all that time");
    plant.assert_survives_reopening();
}

fn keeps(entry: &Entry) -> bool {
    matches!(entry.fact, Fact::DecisionTaken { decision: Decision::Keep, .. } | Fact::AlarmCleared { .. })
}

fn a_candidate_that_leaves_a_group_worse_off_does_not_pass(place: &Place) {
    let mut plant = Plant::new(place, 30, summer);
    plant.declare("    task: regression\n", "    task: regression\n    protected: [clay]\n");
    plant.declare("tolerance: 0.5", "tolerance: 0.1");
    plant.first_version();
    plant.live_to(16);
    plant.train_into(&models::blind_to_clay());
    plant.train(Window::All);
    let judged = plant.of_kind("gates_judged").pop().unwrap();
    let Fact::GatesJudged { passed: false, results, .. } = judged.fact else { panic!("{judged:?}") };
    assert!(results[0].passed, "good enough on the whole: {}", results[0].because);
    let refused = &results[1];
    assert_eq!((refused.passed, &*refused.gate), (false, "no group of clay worse off than with version 1"));
    assert!(refused.because.starts_with("red: mae = 2."), "{}", refused.because);
    assert_eq!((plant.champion(), plant.traffic()), (Some(1), vec![(1, 10_000)]));
    // Whoever minds only the whole says so.
    plant.declare("    protected: [clay]\n", "");
    plant.train(Window::All);
    assert_eq!(plant.traffic(), [(1, 9_500), (3, 500)]);
}

fn a_candidate_that_breaks_under_traffic_goes_back_by_itself(place: &Place) {
    let mut plant = Plant::new(place, 30, summer);
    plant.first_version();
    plant.live_to(16);
    plant.train_into(&models::breaks_on_cold());
    plant.train(Window::All);
    assert_eq!(
        plant.traffic(),
        [(1, 9_500), (2, 500)],
        "it passed its gates, for no cold firing has a label"
    );
    plant.assert_survives_reopening();
    assert!(plant.live_until(26, |plant| plant.count("rolled_back") == 1), "it went back");
    assert_eq!((plant.champion(), plant.traffic()), (Some(1), vec![(1, 10_000)]));
    let back = only(plant.of_kind("rolled_back"), |_| true);
    let Fact::RolledBack { from: 2, to: 1, reason, .. } = &back.fact else { panic!("{back:?}") };
    assert!(reason.starts_with("`errors > 0.02` after"), "{reason}");
    assert_eq!(back.actor, "controller");
    let failed = plant.failed;
    assert!((1..=10).contains(&failed), "few met it: {failed}");
    plant.live_to(28);
    assert_eq!(plant.failed, failed, "nothing fails any more");
    assert_eq!(plant.answered_by().0, [1]);
    plant.assert_survives_reopening();
}

/// Frost comes on day 38 and goes on day 46; both begin a window.
fn a_frost(day: u32) -> Law {
    if (38..46).contains(&day) { Law::Frost } else { Law::Summer }
}

fn a_model_that_begins_to_fail_is_an_incident_of_the_service_until_it_answers_again(place: &Place) {
    let mut plant = Plant::new(place, 70, a_frost);
    plant.train_into(&models::breaks_on_cold());
    plant.first_version();
    plant.live_to(38);
    let usual = plant.failed;
    assert!(usual > 500, "one firing in five is cold, and not answered: {usual}");
    assert_eq!(plant.count("incident_opened"), 0, "as it always was");

    assert!(plant.live_until(48, |plant| plant.count("incident_opened") == 1), "noticed");
    let opened = only(plant.of_kind("incident_opened"), |_| true);
    let Fact::IncidentOpened(incident) = opened.fact else { unreachable!() };
    assert_eq!((incident.cause, incident.severity), (Cause::Service, Severity::Critical));
    assert_eq!(incident.changed, "60 % of the requests failed, where 20 % are usual");
    assert_eq!(incident.since, support::moment(38, 0));
    plant.assert_survives_reopening();
    assert!(plant.live_until(66, |plant| plant.count("incident_closed") == 1), "over");
    assert_eq!(plant.count("incident_opened"), 1, "and nothing else was");
    assert_eq!(plant.count("version_registered"), 1, "a training would not have helped");
}

/// Something is different about hot firings from day 30 on, which begins a window.
fn a_new_glaze(day: u32) -> Law {
    if day < 30 { Law::Summer } else { Law::Glaze }
}

fn a_model_that_fails_is_no_flood_where_the_log_keeps_a_share_of_what_is_answered(place: &Place) {
    let mut plant = Plant::new(place, 60, a_frost);
    plant.declare("    monitor: {window: 4d,", "    log: {share: 40%}\n    monitor: {window: 4d,");
    plant.train_into(&models::breaks_on_cold());
    plant.first_version();
    assert!(plant.live_until(48, |plant| plant.count("incident_opened") > 0), "noticed");
    let opened = only(plant.of_kind("incident_opened"), |_| true);
    let Fact::IncidentOpened(incident) = opened.fact else { unreachable!() };
    assert_eq!(incident.cause, Cause::Service, "{}", incident.changed);
    assert_eq!(incident.since, support::moment(38, 0));
}

fn a_part_of_the_rows_that_gets_worse_is_an_incident_although_the_whole_is_tolerable(place: &Place) {
    let mut plant = Plant::new(place, 50, a_new_glaze);
    plant.declare("monitor: {window: 4d,", "monitor: {segments: [clay, {heat: [40, 90]}], window: 4d,");
    plant.first_version();
    plant.live_to(30);
    let told = |plant: &Plant| {
        let all = plant.of_kind("incident_opened").into_iter().chain(plant.of_kind("incident_changed"));
        let mut all = all.filter_map(|entry| match entry.fact {
            Fact::IncidentOpened(incident) | Fact::IncidentChanged(incident) => Some(incident),
            _ => None,
        });
        all.find(|incident| incident.cause == Cause::Segment)
    };
    assert_eq!(told(&plant), None, "nothing was wrong before");
    assert!(plant.live_until(42, |plant| told(plant).is_some()), "noticed");
    let incident = told(&plant).unwrap();
    assert_eq!(incident.severity, Severity::Warning);
    assert_eq!((incident.columns, incident.since), (vec!["heat".to_owned()], support::moment(30, 0)));
    assert!(incident.changed.starts_with("heat > 90: the loss of "), "{}", incident.changed);
    plant.assert_survives_reopening();
}

fn a_person_moves_traffic_and_every_state_survives_an_end(place: &Place) {
    let mut plant = Plant::new(place, 40, summer);
    let refused = |outcome: Result<_, DeskError>| match outcome {
        Err(DeskError::Refused(reason)) => reason,
        Ok(_) => panic!("not refused"),
        Err(other) => panic!("{other}"),
    };
    assert!(refused(plant.desk().roll_back(&kiln(), "user:ada", "?")).contains("no version to go back to"));
    plant.assert_survives_reopening();
    plant.first_version();
    plant.assert_survives_reopening();
    assert!(refused(plant.desk().roll_back(&kiln(), "user:ada", "?")).contains("no version to go back to"));
    assert!(refused(plant.desk().promote(&kiln(), 1, "user:ada", "?")).contains("champion already"));
    plant.live_to(16);

    // A rollout is under way, and somebody does not like it.
    plant.train(Window::All);
    assert!(plant.live_until(20, |plant| plant.traffic() == [(1, 7_500), (2, 2_500)]));
    plant.assert_survives_reopening();
    plant.desk().roll_back(&kiln(), "user:ada", "the pots look odd").unwrap();
    assert_eq!((plant.champion(), plant.traffic()), (Some(1), vec![(1, 10_000)]), "at once");
    plant.assert_survives_reopening();
    plant.live_to(19);
    assert_eq!((plant.traffic(), plant.answered_by().0), (vec![(1, 10_000)], vec![1]), "and it stays so");

    // The person changes their mind, and changes it again.
    plant.desk().promote(&kiln(), 2, "user:ada", "they were fine").unwrap();
    assert_eq!((plant.champion(), plant.answered_by().0), (Some(2), vec![2]));
    plant.assert_survives_reopening();
    plant.live_to(20);
    plant.desk().roll_back(&kiln(), "user:ada", "no, odd").unwrap();
    assert_eq!((plant.champion(), plant.answered_by().0), (Some(1), vec![1]));
    plant.assert_survives_reopening();
    plant.live_to(21);
    assert_eq!(plant.answered_by().0, [1]);

    // What did not pass its gates never takes traffic, whoever asks.
    plant.declare("gates: [candidate.mae < 1.5 * champion.mae]", "gates: [candidate.mae < 0.001]");
    plant.train(Window::All);
    assert_eq!(plant.count("version_registered"), 3);
    let refusal = refused(plant.desk().promote(&kiln(), 3, "user:ada", "please"));
    assert!(refusal.contains("version 3 of `kiln` has not passed its gates"), "{refusal}");
    plant.desk().promote(&kiln(), 9, "user:ada", "please").unwrap_err();
    assert_eq!((plant.champion(), plant.traffic()), (Some(1), vec![(1, 10_000)]));
    let by_hand = plant.facts().into_iter().filter(|entry| entry.actor == "user:ada");
    let by_hand: Vec<&str> = by_hand.map(|entry| entry.fact.kind()).collect();
    let moves =
        ["rolled_back", "traffic_shifted", "promoted", "traffic_shifted", "rolled_back", "traffic_shifted"];
    assert_eq!(by_hand, [&["decision_taken"; 2][..], &moves, &["decision_taken"]].concat());
    assert_eq!(plant.failed, 0);
    plant.assert_survives_reopening();
}

fn what_a_few_numbers_put_right_is_not_trained_and_what_they_do_not_is(place: &Place) {
    let mut plant = Plant::new(place, 75, a_damp_autumn);
    plant.declare("[recall, {window: 4d}], refit: false", "[recall, {recalibrate: 6d}, {window: 4d}]");
    plant.first_version();
    assert_eq!(plant.champion(), Some(2), "trained, and once more");
    assert!(plant.live_until(45, |plant| plant.champion() == Some(3)), "put right");
    assert!(plant.day() <= 39, "took until day {}", plant.day());
    let (by, error) = plant.answered_by();
    assert!(by == [3] && error < 6.0, "wrong by {error}");
    let registered = |plant: &Plant| -> Vec<ModelVersion> {
        let registered = plant.of_kind("version_registered").into_iter();
        let version = registered.filter_map(|entry| match entry.fact {
            Fact::VersionRegistered(version) => Some(version),
            _ => None,
        });
        version.collect()
    };
    let third = registered(&plant).pop().unwrap();
    assert_eq!((third.calibrated_from, third.refit_of), (Some(2), None));
    assert!(third.holdout["mae"] < 6.0, "it promises what it shows on rows that it was not fitted to");
    let decided = |plant: &Plant, wanted: fn(&Decision) -> bool| {
        let decided = plant.of_kind("decision_taken").into_iter();
        let is =
            |entry: &Entry| matches!(&entry.fact, Fact::DecisionTaken { decision, .. } if wanted(decision));
        decided.filter(|entry| entry.actor == "controller" && is(entry)).count()
    };
    let trains = |decision: &Decision| matches!(decision, Decision::Retrain { .. });
    assert_eq!(decided(&plant, trains), 0);
    let Fact::RunFinished(run) = plant.of_kind("run_finished").pop().unwrap().fact else { unreachable!() };
    assert_eq!(run.params["calibrated_from"], "2");
    plant.assert_survives_reopening();

    // Of winter, when hot firings are quick, no line through the answers tells.
    let repaired = |plant: &Plant| {
        registered(plant)
            .last()
            .is_some_and(|it| it.refit_of.is_some() && plant.champion() == Some(it.version))
    };
    assert!(plant.live_until(62, repaired), "trained: {:?}", plant.champion());
    assert!(decided(&plant, |decision| matches!(decision, Decision::Recalibrate { .. })) >= 2);
    assert!(decided(&plant, trains) >= 1);
    let (_, error) = plant.answered_by();
    assert!(error < 6.0, "the new model is wrong by {error}");
    assert_eq!(plant.failed, 0);
    plant.assert_survives_reopening();
}

fn what_passed_its_gates_learns_from_the_withheld_days_too_before_it_serves(place: &Place) {
    let mut plant = Plant::new(place, 45, a_winter);
    plant.declare("refit: false", "refit: true");
    let told = plant.path("told");
    plant.train_by(&format!("echo ${{GYRE_REFIT_OF:-first}} >> '{}'\n{}", told.display(), trainer()));
    plant.first_version();
    assert_eq!(std::fs::read_to_string(told).unwrap(), "first\n1\n", "the pipeline can tell");
    assert_eq!((plant.champion(), plant.traffic()), (Some(2), vec![(2, 10_000)]), "the second training's");
    let registered = |version: u32| {
        plant.of_kind("version_registered").into_iter().find_map(|entry| match entry.fact {
            Fact::VersionRegistered(it) if it.version == version => Some(it),
            _ => None,
        })
    };
    let (judged, serves) = (registered(1).unwrap(), registered(2).unwrap());
    assert_eq!((judged.refit_of, serves.refit_of), (None, Some(1)));
    assert_eq!(serves.holdout, judged.holdout, "it promises what was measured on rows that nobody had seen");
    assert_ne!((serves.artifact, serves.data), (judged.artifact, judged.data));
    let rows = |wanted: Option<Digest>| {
        let recorded = plant.of_kind("data_recorded").into_iter();
        let mut rows = recorded.filter_map(|entry| match entry.fact {
            Fact::DataRecorded(data) if Some(data.digest) == wanted => Some(data.rows),
            _ => None,
        });
        rows.next().unwrap()
    };
    let Fact::RunFinished(run) = plant.of_kind("run_finished").pop().unwrap().fact else { unreachable!() };
    let withheld: u64 = run.params["holdout_rows"].parse().unwrap();
    assert_eq!((rows(serves.data), run.params["refit_of"].as_str()), (rows(judged.data) + withheld, "1"));
    let last_of = |plant: &Plant| {
        let judged = plant.of_kind("gates_judged").pop().unwrap();
        let Fact::GatesJudged { results, .. } = judged.fact else { unreachable!() };
        results
    };
    let results = last_of(&plant);
    assert!(
        results.iter().any(|it| it.passed && it.gate.starts_with("no worse than version 1")),
        "{results:?}"
    );

    // Winter: what is trained is compared with the version that has not seen the withheld days, and then trained once more.
    assert!(plant.live_until(42, |plant| plant.champion() == Some(4)), "repaired");
    let decided: Vec<_> = plant.of_kind("decision_taken").into_iter().map(|entry| entry.fact).collect();
    let refits = decided.iter().filter(|fact| {
        matches!(fact, Fact::DecisionTaken { decision: Decision::Refit { version: 1 | 3 }, .. })
    });
    assert_eq!(refits.count(), 2);
    let (by, error) = plant.answered_by();
    assert!(by == [4] && error < 6.0, "the new model is wrong by {error}");
    // Of the versions that are compared with who serves the judged ones are not, for others stand for them.
    assert!(plant.live_until(45, |plant| plant.count("versions_compared") > 0) || plant.day() >= 45);
    for entry in plant.of_kind("versions_compared") {
        let Fact::VersionsCompared { scores, .. } = entry.fact else { unreachable!() };
        assert!(scores.iter().all(|score| [2, 4].contains(&score.version)), "{scores:?}");
    }
    assert_eq!(plant.failed, 0);
    plant.assert_survives_reopening();
}

fn a_second_training_that_breaks_leaves_the_first(place: &Place) {
    let mut plant = Plant::new(place, 30, summer);
    plant.declare("refit: false", "refit: true");
    let once = plant.path("once");
    plant.train_by(&format!("test ! -e '{0}' || exit 3\ntouch '{0}'\n{1}", once.display(), trainer()));
    plant.first_version();
    assert_eq!((plant.champion(), plant.count("run_failed"), plant.count("gates_judged")), (Some(1), 1, 2));
    let told = plant.of_kind("decision_taken").into_iter().any(|entry| {
        matches!(&entry.fact, Fact::DecisionTaken { reason, .. } if reason.contains("goes on as it is, not trained once more"))
    });
    assert!(told);
}

fn what_somebody_expects_of_a_column_stands_above_what_was_learned_of_it(place: &Place) {
    let mut plant = Plant::new(place, 30, summer);
    plant.declare("monitor: {window: 4d,", "monitor: {window: 4d, quality: {heat: {range: [0, 50]}},");
    plant.first_version();
    plant.live_to(20);
    let closed = only(plant.of_kind("window_closed"), |_| true);
    let Fact::WindowClosed(window) = &closed.fact else { unreachable!() };
    let words: Vec<&str> = window.quality.iter().map(|finding| finding.words.as_str()).collect();
    assert!(words.iter().any(|words| words.contains("outside of 0 to 50, the range expected")), "{words:?}");
}

fn a_schedule_that_was_missed_twice_fires_once_and_nothing_begins_in_quiet_hours(place: &Place) {
    let mut plant = Plant::new(place, 45, summer);
    plant.declare("when: [decay]", "when: [{schedule: \"0 6 * * mon UTC\"}], quiet: [mon-tue]");
    plant.first_version();
    assert_eq!(plant.champion(), Some(1), "what a person asks for does not wait, although it is a Tuesday");
    // 2013-01-21 and 2013-01-28, the days 20 and 27, are Mondays; day 28 is a quiet Tuesday.
    plant.live_to(19);
    let before = plant.facts().len();
    plant.be_away_to(28);
    plant.live_to(29);
    let foreseen = plant.of_kind("loss_estimated").into_iter();
    let foreseen = foreseen.filter_map(|entry| match entry.fact {
        Fact::LossEstimated(estimate) if estimate.predictions == 0 => estimate.reason,
        _ => None,
    });
    let foreseen: Vec<String> = foreseen.collect();
    assert_eq!(foreseen, ["it was asked for no prediction"], "of the window in which everybody was away");
    let due = only(plant.of_kind("training_due"), |_| true);
    let Fact::TrainingDue { trigger, reason, .. } = &due.fact else { unreachable!() };
    assert_eq!((trigger.as_str(), reason.contains("fell due at 2013-01-21T06:00:00Z")), ("schedule", true));
    assert!(plant.live_until(33, |plant| plant.champion() == Some(2)), "trained, judged and rolled out");
    let quiet = |entry: &Entry| entry.at < support::moment(29, 0);
    let begun = ["run_finished", "rollout_started", "traffic_shifted", "promoted"];
    let facts = plant.facts();
    let begun: Vec<&Entry> = facts.iter().skip(before).filter(|it| begun.contains(&it.fact.kind())).collect();
    assert!(begun.len() >= 5 && !begun.iter().any(|entry| quiet(entry)), "{begun:?}");
    plant.assert_survives_reopening();
    // The next Monday is the day 34.
    plant.live_to(35);
    assert_eq!(plant.count("training_due"), 2);
    assert_eq!(plant.count("run_finished"), 2, "and waits for Wednesday");
}

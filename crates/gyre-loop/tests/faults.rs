//! Trainings that go wrong: the champion never notices, the journal says what happened, and after three failures the loop
//! stops trying until a person says otherwise.

#![allow(clippy::unwrap_used)]

mod support;

use gyre_core::fact::{Decision, Entry, Fact};
use gyre_core::spec::Window;
use gyre_testing::Place;
use support::{Law, Plant, kiln, models};

gyre_testing::on_both!(
    a_damaged_model_is_named_and_does_not_keep_the_project_from_opening,
    a_training_that_goes_wrong_leaves_the_champion_serving_and_says_why,
    after_three_failures_in_a_row_the_loop_stops_until_it_is_told_to_go_on,
    bad_data_is_refused_with_reasons_and_nothing_is_trained_on_it,
);

#[test]
#[ignore = "the train stage of the other tests' pipelines"]
fn train_stage() {
    models::train_stage();
}

fn summer(_: u32) -> Law {
    Law::Summer
}

/// Winter comes on day 18, with a window.
fn early_winter(day: u32) -> Law {
    if day < 18 { Law::Summer } else { Law::Winter }
}

/// The reason and the log of the newest run that failed.
fn last_failure(plant: &Plant) -> (String, String) {
    match plant.of_kind("run_failed").pop().map(|entry| entry.fact) {
        Some(Fact::RunFailed { reason, log, data, .. }) => {
            assert!(data.is_some(), "the data version is named");
            (reason, log)
        }
        _ => panic!("no run failed"),
    }
}

fn champion_serves(plant: &Plant) {
    assert_eq!((plant.champion(), plant.traffic()), (Some(1), vec![(1, 10_000)]));
    assert_eq!(plant.answered_by().0, [1]);
}

fn a_training_that_goes_wrong_leaves_the_champion_serving_and_says_why(place: &Place) {
    type Break = fn(&Plant);
    // What goes wrong, what the reason says, what the log says.
    let faults: [(Break, &str, &str); 7] = [
        (|plant| plant.train_by("echo mixing clay; echo no more clay >&2; exit 1"), "exit", "no more clay"),
        (|plant| plant.train_by("echo stirring; sleep 600"), "longer than 1 s", "stirring"),
        (|plant| plant.train_by("echo all done"), "out/model.onnx", "all done"),
        (|plant| plant.train_by("head -c 5000 /dev/zero > out/model.onnx"), "out/model.onnx", ""),
        (|plant| plant.train_into(&models::unknown_operator()), "PyOp", ""),
        (|plant| plant.train_into(&models::external_data()), "another file", ""),
        (|plant| plant.train_into(&models::never_a_number()), "NaN", ""),
    ];
    let mut plant = Plant::new(place, 30, summer);
    plant.declare("timeout: 5s", "timeout: 1s");
    plant.first_version();
    plant.live_to(15);
    for (at, (break_it, reason, log)) in faults.into_iter().enumerate() {
        break_it(&plant);
        plant.train(Window::All);
        assert_eq!(plant.count("run_failed"), at + 1);
        let told = last_failure(&plant);
        assert!(told.0.contains(reason), "fault {at}: {told:?}");
        assert!(told.1.contains(log), "fault {at}: {told:?}");
        champion_serves(&plant);
        plant.tick().unwrap();
    }
    assert_eq!((plant.count("version_registered"), plant.failed), (1, 0));
    let paused = plant.of_kind("loop_paused");
    let Some(Fact::LoopPaused { reason, .. }) = paused.first().map(|entry| &entry.fact) else { panic!() };
    assert!(reason.starts_with("3 failures in a row") && reason.contains("gyre resume kiln"), "{reason}");
    assert_eq!(paused.len(), 1);
    plant.assert_survives_reopening();
}

fn after_three_failures_in_a_row_the_loop_stops_until_it_is_told_to_go_on(place: &Place) {
    let mut plant = Plant::new(place, 60, early_winter);
    plant.first_version();
    plant.train_by("exit 1");
    assert!(plant.live_until(45, |plant| plant.count("loop_paused") == 1), "it gives up");
    assert_eq!(plant.count("run_failed"), 3);
    let gave_up = plant.day();
    plant.assert_survives_reopening();
    plant.live_to(gave_up + 9);
    assert_eq!(plant.count("run_failed"), 3, "no further attempt");
    let decided = plant.of_kind("decision_taken").pop().map(|entry: Entry| entry.fact);
    let Some(Fact::DecisionTaken { decision: Decision::Keep, reason, .. }) = decided else {
        panic!("{decided:?}")
    };
    assert!(reason.contains("the loop is paused for this model"), "{reason}");
    champion_serves(&plant);
    assert_eq!(plant.failed, 0);

    plant.train_by(&support::trainer());
    plant.desk().resume(&kiln(), "user:ada").unwrap();
    plant.assert_survives_reopening();
    assert!(plant.live_until(gave_up + 18, |plant| plant.champion() == Some(2)), "repaired");
    assert!(plant.answered_by().1 < 6.0);
    plant.assert_consistent();
}

fn bad_data_is_refused_with_reasons_and_nothing_is_trained_on_it(place: &Place) {
    let mut plant = Plant::new(place, 30, summer);
    plant.first_version();
    plant.live_to(17);
    // The sensor reports kelvins, thousandfold, on one day.
    plant.record(30, |day, heat| if day == 15 { heat * 1000.0 + 273_150.0 } else { heat });
    plant.train(Window::All);
    let refused = plant.of_kind("data_refused");
    let Some(Fact::DataRefused { reasons, dataset, .. }) = refused.first().map(|entry| &entry.fact) else {
        panic!()
    };
    assert!(dataset == "firings" && reasons.len() == 1 && reasons[0].contains("heat"), "{reasons:?}");
    assert!(reasons[0].contains("1000"), "what was allowed stands there: {reasons:?}");
    let failed = plant.of_kind("action_failed");
    assert!(
        matches!(&failed[0].fact, Fact::ActionFailed { reason, .. } if reason.contains("refused")),
        "{failed:?}"
    );
    assert_eq!((plant.count("run_finished"), plant.count("version_registered")), (1, 1));
    champion_serves(&plant);
    plant.assert_survives_reopening();

    plant.record(30, |_, heat| heat);
    plant.train(Window::All);
    assert_eq!(plant.count("version_registered"), 2, "the mended table is trained on");
}

fn a_damaged_model_is_named_and_does_not_keep_the_project_from_opening(place: &Place) {
    let mut plant = Plant::new(place, 30, summer);
    plant.first_version();
    assert_eq!(plant.desk().trouble(), None);
    let registered = plant.of_kind("version_registered");
    let Some(Fact::VersionRegistered(version)) = registered.first().map(|entry| &entry.fact) else {
        panic!()
    };
    let file = plant.desk().store().blobs().path(&version.artifact);
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, b"damaged").unwrap();
    plant.reopen();
    let trouble = plant.desk().trouble().unwrap();
    assert!(trouble.contains("kiln is not served") && trouble.contains("not what was written"), "{trouble}");
    std::fs::write(&file, whole).unwrap();
    plant.reopen();
    assert_eq!(plant.desk().trouble(), None);
    champion_serves(&plant);
}

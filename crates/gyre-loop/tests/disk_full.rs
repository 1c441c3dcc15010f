//! A full disk: errors that say so, nothing half done, and everything goes on once there is room again.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

mod support;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use gyre_core::Span;
use gyre_core::fact::Entry;
use gyre_core::spec::Window;
use gyre_testing::Ballast;
use support::{Law, Plant, kiln, models};

/// Where the small disk is mounted: set for the process that lives on it.
const DISK: &str = "GYRE_TEST_DISK";

#[test]
#[ignore = "the train stage of the other tests' pipelines"]
fn train_stage() {
    models::train_stage();
}

#[test]
fn a_full_disk_is_said_and_survived() {
    gyre_testing::live_on_a_small_disk(12, DISK);
}

fn summer(_: u32) -> Law {
    Law::Summer
}

#[test]
#[ignore = "lives on the small disk that the test above mounts"]
fn on_a_small_disk() {
    let disk = PathBuf::from(std::env::var_os(DISK).expect("a disk to live on"));
    let mut plant = Plant::in_folder(&disk, 20, summer);
    plant.first_version();
    plant.live_to(17);
    let before: Vec<Entry> = plant.facts();
    let logged = predictions(&plant);
    assert!(logged > 300);

    let ballast = Ballast::fill(&disk);
    let hours = plant.now()..plant.now() + Span::hours(6);
    plant.ask(hours.clone());
    assert_eq!(plant.failed, 0, "the champion answers all the same");
    let said = [
        plant.desk().gateway().flush("kiln").unwrap_err().to_string(),
        plant.bring_labels(hours).unwrap_err().to_string(),
        plant.desk().train(&kiln(), Some(Window::All), None, "user:ada", None).unwrap_err().to_string(),
        plant.desk().resume(&kiln(), "user:ada").unwrap_err().to_string(),
        plant.desk().advance(support::moment(25, 0), true).unwrap_err().to_string(),
    ];
    for said in &said {
        assert!(said.contains("disk is full") || said.contains("No space left"), "{said:?}");
    }
    assert!(
        plant.desk().trouble().is_some_and(|trouble| trouble.contains("full")),
        "{:?}",
        plant.desk().trouble()
    );
    assert_eq!(plant.facts(), before, "nothing of it is in the journal");
    drop(ballast);

    plant.desk().gateway().flush("kiln").unwrap();
    assert_eq!(predictions(&plant), logged + 30, "what was answered meanwhile is logged now, once");
    recovers(&plant);
    assert_eq!(plant.facts()[..before.len()], before, "what was acknowledged is there");
    plant.assert_survives_reopening();
    assert_eq!(predictions(&plant), logged + 30);

    // The disk fills up while a model is being trained, and the result finds no room.
    let (full, dump) = (disk.join("full"), disk.join("dump"));
    std::fs::write(&full, "").unwrap();
    let train = support::trainer().replace("exec ", "");
    let fill = format!("head -c 100000000 /dev/zero > '{}' || true", dump.display());
    plant.train_by(&format!("{train}\nif test -e '{}'; then {fill}; fi", full.display()));
    plant.desk().train(&kiln(), Some(Window::All), None, "user:ada", None).unwrap();
    let refused = plant.desk().settle().unwrap_err().to_string();
    assert!(refused.contains("full"), "{refused}");
    assert_eq!(plant.answered_by().0, [1], "the champion serves");
    std::fs::remove_file(full).unwrap();
    std::fs::remove_file(dump).unwrap();
    recovers(&plant);
    let registered = plant.count("version_registered");
    assert_eq!(
        (registered, plant.count("run_failed")),
        (2, 0),
        "the training was begun again, and is there once"
    );
    plant.assert_survives_reopening();
}

/// The loop finds by itself that there is room again.
fn recovers(plant: &Plant) {
    let begun = Instant::now();
    while let Err(error) = plant.desk().settle() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{error}");
        std::thread::yield_now();
    }
}

/// Predictions that the log has on disk.
fn predictions(plant: &Plant) -> u64 {
    let period = gyre_core::time::Period { from: support::moment(0, 0), to: support::moment(100, 0) };
    plant.desk().gateway().scan("kiln", period).unwrap().len() as u64
}

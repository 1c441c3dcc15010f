//! A few lives of the suite `examples/causes`: the cause of a fault is named, and nothing is told when nothing happens.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, dead_code)]

#[path = "../examples/causes/faults.rs"]
mod faults;
#[path = "../examples/causes/life.rs"]
mod life;
#[path = "../examples/causes/world.rs"]
mod world;

use faults::Fault;
use life::{AFTER, BEFORE, live};
use world::Task;

#[test]
fn the_causes_of_faults_are_named() {
    for (at, fault) in Fault::ALL.into_iter().enumerate() {
        let task = [Task::Number, Task::Class][at % 2];
        let outcome = live(task, fault, 1 + at as u64, (BEFORE, AFTER));
        assert_eq!(outcome.named(BEFORE), fault.cause(), "{fault:?}: {:?}", outcome.incidents);
        assert_eq!(outcome.trained_on_broken, 0, "{fault:?}");
    }
}

#[test]
fn nothing_is_told_when_nothing_happens() {
    for task in [Task::Number, Task::Class] {
        let outcome = live(task, Fault::None, 7, (20, 0));
        assert!(outcome.incidents.is_empty(), "{:?}", outcome.incidents);
    }
}

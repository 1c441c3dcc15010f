//! A few lives of the suite `examples/causes`: the cause of a fault is named, and nothing is told when nothing happens.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, dead_code)]

#[path = "../examples/causes/faults.rs"]
mod faults;
#[path = "../examples/causes/life.rs"]
mod life;
#[path = "../examples/causes/world.rs"]
mod world;

use faults::Fault;
use life::{BEFORE, live_with};
use world::Task;

fn is_named(faults: [Fault; 6]) {
    for (at, fault) in faults.into_iter().enumerate() {
        let task = [Task::Number, Task::Class][at % 2];
        let outcome = live_with(task, fault, 1 + at as u64, (BEFORE, 4), fault == Fault::OldRegime);
        assert_eq!(outcome.named(BEFORE), fault.cause(), "{fault:?}: {:?}", outcome.incidents);
        assert_eq!(outcome.trained_on_broken, 0, "{fault:?}");
    }
}

#[test]
fn what_is_broken_is_named() {
    use Fault::{Attack, Hundredfold, LateLabels, Nulls, Retyped, StuckForDays};
    is_named([Hundredfold, StuckForDays, Retyped, Nulls, LateLabels, Attack]);
}

#[test]
fn what_has_changed_is_named() {
    use Fault::{Heavier, Hotter, OldRegime, Slow, Tilted, Turned};
    is_named([Hotter, Turned, Tilted, OldRegime, Slow, Heavier]);
}

#[test]
fn nothing_is_told_when_nothing_happens() {
    let outcome = live_with(Task::Number, Fault::None, 7, (20, 0), false);
    assert!(outcome.incidents.is_empty(), "{:?}", outcome.incidents);
}

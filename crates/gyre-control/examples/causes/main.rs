//! How often an incident names the cause, over faults whose cause is known.
//!
//!     cargo run --release -p gyre-control --example causes -- [FIRST_SEED] [SEEDS] [QUIET_WINDOWS]
//!
//! Each fault begins after 8 quiet windows and lasts for 8; rows go through the production code (profile, summary,
//! controller) in two worlds, a number and a class of two. Thresholds were chosen on seeds 1 to 40 and are reported on
//! seeds from 1,001. What an incident is called in the end counts, the worst one where there are several. Beside them:
//! 200 harmless drifts, which must be told and never trained on, and windows in which nothing happens.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod faults;
mod life;
mod speed;
mod world;

use std::collections::BTreeMap;

use faults::Fault;
use gyre_core::fact::Cause;
use life::{AFTER, BEFORE, live, live_with};
use world::Task;

const TASKS: [Task; 2] = [Task::Number, Task::Class];

fn main() {
    let argument = |at: usize, default: usize| {
        std::env::args().nth(at).map_or(default, |text| text.parse().expect("a whole number"))
    };
    let (first, seeds, quiet) = (argument(1, 1_001), argument(2, 50), argument(3, 20_000));
    let mut right = (0, 0);
    let mut confusion: BTreeMap<Cause, BTreeMap<Option<Cause>, usize>> = BTreeMap::new();
    println!("{:<52} {:>7} {:>7}  otherwise called", "fault", "number", "class");
    for fault in Fault::ALL {
        let cause = fault.cause().unwrap();
        let (mut shares, mut others) = ([0; 2], BTreeMap::<Option<Cause>, usize>::new());
        let (mut broken, mut early) = (0, 0);
        for (at, task) in TASKS.into_iter().enumerate() {
            for seed in first..first + seeds {
                let outcome = live(task, fault, seed as u64, (BEFORE, AFTER));
                let named = outcome.named(BEFORE);
                broken += outcome.trained_on_broken;
                early += outcome.incidents.values().filter(|told| told.opened < BEFORE).count();
                *confusion.entry(cause).or_default().entry(named).or_default() += 1;
                if named == Some(cause) {
                    shares[at] += 1;
                } else {
                    *others.entry(named).or_default() += 1;
                }
            }
        }
        right = (right.0 + shares.iter().sum::<usize>(), right.1 + 2 * seeds);
        let percent = |share: usize| format!("{:.0} %", 100.0 * share as f64 / seeds as f64);
        let others: Vec<String> =
            others.iter().map(|(named, count)| format!("{} {count}", called(*named))).collect();
        let notes = [(broken, "trained on broken rows"), (early, "incidents before the fault")];
        let notes =
            notes.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("; {count} {what}"));
        println!(
            "{:<52} {:>7} {:>7}  {}{}",
            fault.name(),
            percent(shares[0]),
            percent(shares[1]),
            others.join(", "),
            notes.collect::<String>()
        );
    }
    println!(
        "\ncause named: {} of {} ({:.1} %)\n",
        right.0,
        right.1,
        100.0 * right.0 as f64 / right.1 as f64
    );
    print_confusion(&confusion);
    harmless(first);
    nothing(first, quiet);
    [1_000, 10_000].into_iter().for_each(speed::print);
}

fn called(cause: Option<Cause>) -> &'static str {
    cause.map_or("nothing", Cause::name)
}

fn print_confusion(confusion: &BTreeMap<Cause, BTreeMap<Option<Cause>, usize>>) {
    println!("true cause, and what it was called:");
    for (cause, named) in confusion {
        let all: usize = named.values().sum();
        let of = |(name, count): (&Option<Cause>, &usize)| format!("{} {count}", called(*name));
        let right = named.get(&Some(*cause)).copied().unwrap_or(0);
        let share = 100.0 * right as f64 / all as f64;
        println!(
            "{:<16} {share:>5.1} %  {}",
            cause.name(),
            named.iter().map(of).collect::<Vec<_>>().join(", ")
        );
    }
}

/// Harmless drift: reported, and never trained on. There is no older version here: beside one, what age has been shown to
/// cost would be a reason to train that has nothing to do with drift.
fn harmless(first: usize) {
    let (mut reported, mut trained) = (0, 0);
    for case in 0..200 {
        let (task, fault) = (TASKS[case % 2], [Fault::Heavier, Fault::HeavierSlowly][case / 2 % 2]);
        let outcome = live_with(task, fault, (first + 10_000 + case) as u64, (BEFORE, AFTER), false);
        let is_trained = outcome.trained.iter().any(|window| *window >= BEFORE);
        trained += usize::from(is_trained);
        reported += usize::from(outcome.reports(Cause::Harmless) && !is_trained);
    }
    println!(
        "\nharmless drift, 200 cases: reported and not trained on in {reported}, trained on in {trained}"
    );
}

/// Nothing happens.
fn nothing(first: usize, windows: usize) {
    let each = 100;
    let lives = (windows / each).max(1);
    let mut told: BTreeMap<Cause, usize> = BTreeMap::new();
    for at in 0..lives {
        let seed = (first + 20_000 + at) as u64;
        for told_of in live(TASKS[at % 2], Fault::None, seed, (each, 0)).incidents.values() {
            *told.entry(told_of.cause).or_default() += 1;
            println!("  told in vain: {}", told_of.words);
        }
    }
    let all: usize = told.values().sum();
    let rate = 1_000.0 * all as f64 / (lives * each) as f64;
    println!(
        "nothing happens, {} windows: {all} incidents, {rate:.2} per 1,000 windows {told:?}",
        lives * each
    );
}

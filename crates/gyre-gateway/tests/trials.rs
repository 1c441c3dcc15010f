//! Simulated rollouts, looked at after every request: how often a healthy candidate is sent back, and how soon a broken one.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use gyre_core::fact::{SplitRule, SplitRules, Target};
use gyre_core::record::{Label, Value};
use gyre_core::{Timestamp, Version};
use gyre_gateway::routing::{Split, WHOLE};
use gyre_gateway::trial::{ALPHA, Terms, Trial};
use gyre_gateway::{LogOptions, Rules};
use support::{hopeless, label, name, request, serving};

/// SplitMix64 (Steele, Lea & Flood 2014): a seed gives the same rollout on every machine.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn happens(&mut self, probability: f64) -> bool {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64 <= probability
    }
}

/// Walks a rollout through `steps` of (requests, share of the candidate in hundredths of a percent), where each version
/// fails with its own probability; returns after how many requests the candidate was convicted.
fn rollout(seed: u64, steps: &[(u32, u32)], failing: [f64; 2]) -> Option<u32> {
    let (mut chance, trial) = (Chance(seed), Trial::new(2, 1, ALPHA));
    let mut requests = 0;
    for (length, share) in steps {
        let split = Split::new("model", &[(1, WHOLE - share), (2, *share)], 1);
        for _ in 0..*length {
            requests += 1;
            // Ids as they come, routed as the gateway routes them.
            let id = format!("{:x}", chance.next());
            let version = split.version_for(&id);
            let fails = chance.happens(failing[version as usize - 1]);
            let took = Duration::from_micros(50 + chance.next() % 50);
            if trial.observe(version, f64::from(*share) / f64::from(WHOLE), &id, took, !fails) {
                return Some(requests);
            }
        }
    }
    None
}

const STEPS: &[(u32, u32)] = &[(1_000, 500), (1_000, 2_500), (1_000, 5_000)];

#[test]
fn a_candidate_that_is_no_worse_is_hardly_ever_sent_back() {
    const ROLLOUTS: u64 = 2_000;
    for failing in [0.01, 0.2] {
        let convicted = (0..ROLLOUTS).filter(|seed| rollout(*seed, STEPS, [failing; 2]).is_some()).count();
        let share = convicted as f64 / ROLLOUTS as f64;
        // Three standard deviations above alpha would be luck; the promise is alpha.
        let luck = 3.0 * (ALPHA * (1.0 - ALPHA) / ROLLOUTS as f64).sqrt();
        assert!(share <= ALPHA + luck, "{convicted} of {ROLLOUTS} healthy candidates went back");
        println!("failing {failing}: {convicted} of {ROLLOUTS} healthy candidates went back");
    }
}

#[test]
fn a_candidate_that_always_fails_is_sent_back_within_thirty_requests() {
    let mut requests: Vec<u32> =
        (0..2_000).map(|seed| rollout(seed, &[(5_000, 1_000)], [0.001, 1.0]).unwrap()).collect();
    requests.sort_unstable();
    let median = requests[requests.len() / 2];
    println!("median {median}, 95% {}", requests[requests.len() * 95 / 100]);
    assert!(median <= 30, "{median}");
}

#[test]
fn a_candidate_that_fails_five_times_as_often_is_found_out() {
    let found = (0..200).filter(|seed| rollout(*seed, &[(20_000, 1_000)], [0.01, 0.05]).is_some()).count();
    assert!(found >= 190, "{found} of 200");
}

/// Walks a rollout in which every answer gets its label some answers later; both are wrong by exponential amounts, the
/// candidate by `worse` times as much. Returns after how many labels the candidate was convicted.
fn labelled(seed: u64, answers: u32, worse: f64) -> Option<u32> {
    let (mut chance, trial) = (Chance(seed), Trial::new(2, 1, ALPHA));
    let mut coming = std::collections::VecDeque::new();
    for answer in 0..answers {
        let share = [500, 2_500, 5_000][(answer / 300).min(2) as usize];
        let split = Split::new("model", &[(1, WHOLE - share), (2, share)], 1);
        let id = format!("{:x}", chance.next());
        let version = split.version_for(&id);
        let uniform = (chance.next() >> 11) as f64 / (1_u64 << 53) as f64;
        let wrong = -(1.0 - uniform).ln() * if version == 2 { worse } else { 1.0 };
        let weight = f64::from(share) / f64::from(WHOLE);
        trial.predicted(version, weight, (&id, &id), &Value::Number(wrong), &[]);
        coming.push_back(Label { id: id.into(), time: Timestamp::default(), value: Value::Number(0.0) });
        if coming.len() > 50 && coming.pop_front().is_some_and(|label| trial.labelled(&[label])) {
            return Some(answer);
        }
    }
    None
}

#[test]
fn a_candidate_whose_answers_are_no_worse_is_hardly_ever_sent_back_and_others_are() {
    const ROLLOUTS: u64 = 2_000;
    let convicted = (0..ROLLOUTS).filter(|seed| labelled(*seed, 1_200, 1.0).is_some()).count();
    println!("{convicted} of {ROLLOUTS} candidates that are as good went back for their labels");
    assert!(convicted as f64 <= ROLLOUTS as f64 * ALPHA / 2.0, "{convicted}");
    let mut found: Vec<u32> = (0..200).filter_map(|seed| labelled(seed, 4_000, 1.5)).collect();
    found.sort_unstable();
    println!(
        "half as wrong again: {} of 200 found, median {:?} labels",
        found.len(),
        found.get(found.len() / 2)
    );
    assert!(found.len() >= 190, "{}", found.len());
}

#[test]
fn what_a_rule_decided_is_no_evidence() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = serving(dir.path(), LogOptions::default());
    gateway.set_traffic(&name(), &[(1, 9_000), (2, 1_000)], 1).unwrap();
    let rule = SplitRule { when: "hour == 0".to_owned(), to: Target::Version(2) };
    let split = SplitRules { rules: vec![rule], headers: Vec::new() };
    gateway.set_rules(&name(), Some(Rules::new(split).unwrap()));
    // Whatever has hour 0 fails, by whichever version; the rule sends all of it to the candidate.
    for at in 0..200 {
        gateway.infer("air-time", None, hopeless(&format!("ruled-{at}"))).unwrap_err();
        gateway.infer("air-time", None, request(&[&format!("good-{at}")], 0)).unwrap();
    }
    let finding = gateway.finding(&name(), 2).unwrap();
    assert_eq!((finding.calls.0 + finding.calls.1, finding.failed), (200, (0, 0)), "{finding:?}");
    assert_eq!((gateway.convicted(&name()).len(), gateway.rules("air-time")[0].matched), (0, 200));
    gateway.append_labels("air-time", vec![label("ruled-0", 9, 1.0), label("good-0", 9, 0.0)]).unwrap();
    let labels = gateway.finding(&name(), 2).unwrap().labels;
    assert_eq!(labels.0 + labels.1, 1, "a label of what a rule decided is none either");

    // The same failures, had chance dealt them, would have convicted it.
    gateway.set_rules(&name(), None);
    let split = Split::new("air-time", &[(1, 9_000), (2, 1_000)], 1);
    let dealt = (0..).map(|at| format!("dealt-{at}")).filter(|id| split.version_for(id) == 2);
    for id in dealt.take(5) {
        let _ = gateway.infer("air-time", None, hopeless(&id));
    }
    assert_eq!(gateway.convicted(&name())[0].0, 2);
    assert_eq!(gateway.traffic("air-time").unwrap().weights, [(1, 10_000)]);
}

#[test]
fn several_candidates_are_each_on_trial_and_one_that_fails_leaves_the_others_their_shares() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = serving(dir.path(), LogOptions::default());
    let weights = [(1, 6_000), (2, 3_000), (3, 1_000)];
    gateway.set_traffic(&name(), &weights, 1).unwrap();
    let split = Split::new("air-time", &weights, 1);
    for at in 0..400 {
        let id = format!("id-{at}");
        let row = if split.version_for(&id) == 3 { hopeless(&id) } else { request(&[&id], 0) };
        let _ = gateway.infer("air-time", None, row);
    }
    let convicted: Vec<Version> =
        gateway.convicted(&name()).into_iter().map(|(version, _)| version).collect();
    assert_eq!(convicted, [3]);
    assert_eq!(gateway.traffic("air-time").unwrap().weights, [(1, 7_000), (2, 3_000)]);
    assert!(!gateway.finding(&name(), 2).unwrap().convicts());
}

#[test]
fn while_shares_move_both_ways_whoever_met_a_version_keeps_it() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = serving(dir.path(), LogOptions::default());
    let terms = Terms { learns: true, ..Terms::default() };
    let share = |weights: &[(Version, u32)]| gateway.set_traffic_at(&name(), weights, 1, &terms).unwrap();
    let ask = |id: &str| gateway.infer("air-time", None, request(&[id], 0)).unwrap()[0].version;
    share(&[(1, 3_400), (2, 3_300), (3, 3_300)]);
    let ids: Vec<String> = (0..300).map(|at| format!("id-{at}")).collect();
    let first: Vec<Version> = ids.iter().map(|id| ask(id)).collect();
    let calls = gateway.finding(&name(), 2).unwrap().calls;
    share(&[(1, 500), (2, 9_000), (3, 500)]);
    assert_eq!(ids.iter().map(|id| ask(id)).collect::<Vec<_>>(), first);
    assert_eq!(gateway.finding(&name(), 2).unwrap().calls, calls, "chance did not deal them anew");
    let new = (0..300).filter(|at| ask(&format!("new-{at}")) == 2).count();
    assert!(new > 240, "{new} of 300 new ids went by the new shares");
    share(&[(1, 5_000), (2, 5_000)]);
    let third = ids.iter().zip(&first).filter(|(_, version)| **version == 3);
    assert!(third.clone().count() > 50 && third.clone().all(|(id, _)| ask(id) != 3));
}

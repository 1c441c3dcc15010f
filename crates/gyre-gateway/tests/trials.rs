//! Simulated rollouts, looked at after every request: how often a healthy candidate is sent back, and how soon a broken one.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use gyre_gateway::routing::{Split, WHOLE};
use gyre_gateway::trial::{ALPHA, Trial};

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

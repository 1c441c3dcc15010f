//! Whole rollouts, simulated with fixed seeds: how often a healthy candidate is blamed, how fast a broken one is found.
#![allow(clippy::unwrap_used)]

use gyre_stats::sequential::{Arm, ErrorShare, MeanDifference};

/// SplitMix64 (Steele, Lea & Flood 2014).
struct Random(u64);

impl Random {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn chance(&mut self, probability: f64) -> bool {
        self.uniform() < probability
    }
}

const RUNS: u64 = 400;
const ALPHA: f64 = 0.01;

/// The request at which the candidate is called worse, if ever, looking after every single one.
fn stopped_at(
    seed: u64,
    requests: u64,
    weight: impl Fn(u64) -> f64,
    champion: f64,
    candidate: f64,
) -> Option<u64> {
    let mut random = Random(seed);
    let mut test = ErrorShare::new();
    for request in 1..=requests {
        let weight = weight(request);
        let (arm, failure) =
            if random.chance(weight) { (Arm::Candidate, candidate) } else { (Arm::Champion, champion) };
        if random.chance(failure) {
            test.observe_error(arm, weight).unwrap();
            if test.is_worse(ALPHA) {
                return Some(request);
            }
        }
    }
    None
}

fn median(mut stops: Vec<u64>) -> u64 {
    stops.sort_unstable();
    stops[stops.len() / 2]
}

#[test]
fn a_healthy_candidate_is_blamed_at_most_at_alpha() {
    let blamed = (0..RUNS).filter(|seed| stopped_at(*seed, 20_000, |_| 0.1, 0.05, 0.05).is_some()).count();
    println!("A/A at 10 %, 5 % errors: {blamed} of {RUNS} blamed");
    assert!(blamed as f64 <= ALPHA * RUNS as f64, "{blamed} of {RUNS}");
}

#[test]
fn steps_in_the_weight_do_not_change_that() {
    let steps = |request: u64| [0.05, 0.25, 0.5, 0.9][(request / 2_500).min(3) as usize];
    let blamed =
        (0..RUNS).filter(|seed| stopped_at(1_000 + seed, 10_000, steps, 0.05, 0.05).is_some()).count();
    println!("A/A in steps: {blamed} of {RUNS} blamed");
    assert!(blamed as f64 <= ALPHA * RUNS as f64, "{blamed} of {RUNS}");
}

#[test]
fn a_broken_candidate_is_found_within_forty_requests() {
    let stops: Vec<u64> = (0..RUNS)
        .map(|seed| stopped_at(2_000 + seed, 20_000, |_| 0.1, 0.0, 1.0).unwrap_or(u64::MAX))
        .collect();
    let middle = median(stops);
    println!("canary failing always, at 10 %: median {middle} requests");
    assert!(middle <= 40, "{middle}");
}

#[test]
fn a_candidate_at_five_times_the_errors_is_found() {
    let stops: Vec<u64> = (0..RUNS)
        .map(|seed| stopped_at(3_000 + seed, 50_000, |_| 0.1, 0.01, 0.05).unwrap_or(u64::MAX))
        .collect();
    let middle = median(stops);
    println!("5 % against 1 % errors, at 10 %: median {middle} requests");
    assert!(middle <= 2_500, "{middle}");
}

/// Whether the interval ever excludes the true difference, looking after every answer; and the last interval's width.
fn misses(seed: u64, answers: u64, difference: f64) -> (bool, f64) {
    let mut random = Random(seed);
    let mut sequence = MeanDifference::new();
    let mut missed = false;
    for answer in 0..answers {
        let weight = if answer < answers / 2 { 0.1 } else { 0.5 };
        let arm = if random.chance(weight) { Arm::Candidate } else { Arm::Champion };
        // Skewed like latencies: exponential around 1.
        let noise = -(1.0 - random.uniform()).ln();
        let value = noise + if arm == Arm::Candidate { difference } else { 0.0 };
        sequence.observe(arm, weight, value).unwrap();
        if let Some(interval) = sequence.interval(0.05) {
            missed |= difference < interval.lower || interval.upper < difference;
        }
    }
    let last = sequence.interval(0.05).unwrap();
    (missed, last.upper - last.lower)
}

#[test]
fn the_confidence_sequence_covers_at_all_times() {
    for difference in [0.0, 0.3] {
        let (missed, widths): (Vec<bool>, Vec<f64>) =
            (0..RUNS).map(|seed| misses(seed, 5_000, difference)).unzip();
        let missed = missed.into_iter().filter(|missed| *missed).count();
        let width = widths.iter().sum::<f64>() / RUNS as f64;
        println!(
            "difference {difference}: {missed} of {RUNS} ever missed; mean width at 5,000 answers {width:.3}"
        );
        assert!(missed as f64 <= 0.05 * RUNS as f64, "{missed} of {RUNS}");
        assert!(width < 0.35, "{width}");
    }
}

#[test]
fn state_survives_storage() {
    let mut random = Random(7);
    let (mut errors, mut means) = (ErrorShare::new(), MeanDifference::new());
    for _ in 0..1_000 {
        let arm = if random.chance(0.25) { Arm::Candidate } else { Arm::Champion };
        errors.observe_error(arm, 0.25).unwrap();
        means.observe(arm, 0.25, random.uniform()).unwrap();
    }
    let stored = serde_json::to_string(&(&errors, &means)).unwrap();
    let (again, means_again): (ErrorShare, MeanDifference) = serde_json::from_str(&stored).unwrap();
    assert!((again.log_e() - errors.log_e()).abs() < 1e-9);
    assert_eq!(again.errors(), errors.errors());
    assert!((means_again.difference().unwrap() - means.difference().unwrap()).abs() < 1e-12);
}

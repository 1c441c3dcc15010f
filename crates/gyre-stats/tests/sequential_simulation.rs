//! Whole rollouts, simulated with fixed seeds: how often a healthy candidate is blamed, how fast a broken one is found.
#![allow(clippy::unwrap_used)]

use gyre_stats::bandit::{Posterior, odds, shares};
use gyre_stats::sequential::{Arm, DistributionShift, ErrorShare, MeanDifference, MistakeShare};

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

/// Where the candidate's share of traffic stands after so many labelled answers.
fn in_steps(answer: u64) -> f64 {
    [0.05, 0.25, 0.5][(answer / 300).min(2) as usize]
}

/// The labelled answer at which the candidate is called worse at half of alpha, if ever, looking after every one. `loss`
/// makes a loss of an arm.
fn worse_at(seed: u64, answers: u64, loss: impl Fn(&mut Random, Arm) -> f64) -> Option<u64> {
    let mut random = Random(seed);
    let mut test = MeanDifference::new();
    (1..=answers).find(|answer| {
        let weight = in_steps(*answer);
        let arm = if random.chance(weight) { Arm::Candidate } else { Arm::Champion };
        let value = loss(&mut random, arm);
        test.observe(arm, weight, value).unwrap();
        test.p_above() <= ALPHA / 2.0
    })
}

fn exponential(random: &mut Random) -> f64 {
    -(1.0 - random.uniform()).ln()
}

/// Of a normal error: by Box and Muller (1958).
fn squared_normal(random: &mut Random) -> f64 {
    let angle = (std::f64::consts::TAU * random.uniform()).cos();
    2.0 * exponential(random) * angle * angle
}

#[test]
fn losses_that_are_alike_convict_nobody() {
    const ROLLOUTS: u64 = 2_000;
    type Loss = fn(&mut Random) -> f64;
    for (name, loss) in [("exponential", exponential as Loss), ("squared normal", squared_normal as Loss)] {
        let convicted = (0..ROLLOUTS)
            .filter(|seed| worse_at(5_000 + seed, 1_500, |random, _| loss(random)).is_some())
            .count();
        println!("{name} losses: {convicted} of {ROLLOUTS} convicted at alpha {}", ALPHA / 2.0);
        assert!(convicted as f64 <= ALPHA / 2.0 * ROLLOUTS as f64, "{name}: {convicted} of {ROLLOUTS}");
    }
}

#[test]
fn losses_that_are_a_third_larger_are_found_out() {
    let mut found: Vec<u64> = (0..300)
        .filter_map(|seed| {
            worse_at(9_000 + seed, 6_000, |random, arm| {
                exponential(random) * if arm == Arm::Candidate { 1.33 } else { 1.0 }
            })
        })
        .collect();
    let share = found.len();
    found.push(u64::MAX);
    println!("a third worse: {share} of 300, median {} answers", median(found));
    assert!(share >= 285, "{share} of 300");
}

/// The labelled answer at which the candidate is said to be wrong more often, if ever.
fn wrong_at(seed: u64, answers: u64, wrong: [f64; 2]) -> Option<u64> {
    let mut random = Random(seed);
    let mut test = MistakeShare::new();
    (1..=answers).find(|answer| {
        let weight = in_steps(*answer);
        let (arm, wrong) =
            if random.chance(weight) { (Arm::Candidate, wrong[1]) } else { (Arm::Champion, wrong[0]) };
        // The hour moves both alike.
        let hour = if answer % 500 < 250 { 1.0 } else { 0.5 };
        test.observe(arm, weight, random.chance(wrong * hour)).unwrap();
        test.p_value() <= ALPHA / 2.0
    })
}

#[test]
fn mistakes_that_are_alike_convict_nobody_and_others_are_found_out() {
    for level in [0.05, 0.3, 0.9] {
        let convicted = (0..2_000).filter(|seed| wrong_at(*seed, 1_500, [level; 2]).is_some()).count();
        println!("wrong {level}: {convicted} of 2000 convicted at alpha {}", ALPHA / 2.0);
        // Three standard deviations above would be luck.
        assert!(convicted as f64 <= 2_000.0 * 0.005 + 3.0 * (2_000.0 * 0.005_f64).sqrt(), "{convicted}");
    }
    for (wrong, answers) in [([0.2, 0.3], 6_000), ([0.05, 0.15], 3_000), ([0.1, 0.9], 800)] {
        let found: Vec<u64> =
            (0..300).map(|seed| wrong_at(seed, answers, wrong).unwrap_or(u64::MAX)).collect();
        let share = found.iter().filter(|at| **at < u64::MAX).count();
        println!("wrong {wrong:?}: {share} of 300 found, median {} answers", median(found));
        assert!(share >= 285, "{wrong:?}: {share} of 300");
    }
}

/// Whether the arms are ever called different; ten bins, the candidate's values shifted by `shift` of a bin.
fn shifted(seed: u64, values: u64, shift: f64) -> bool {
    let mut random = Random(seed);
    let mut test = DistributionShift::new(10);
    for value in 1..=values {
        let weight = in_steps(value);
        let arm = if random.chance(weight) { Arm::Candidate } else { Arm::Champion };
        let at = random.uniform() * 10.0 + if arm == Arm::Candidate { shift } else { 0.0 };
        test.observe(arm, weight, at as usize).unwrap();
        if test.p_value() <= ALPHA {
            return true;
        }
    }
    false
}

#[test]
fn noise_is_no_drift_and_drift_is_told() {
    let told = |shift: f64, runs: u64| (0..runs).filter(|seed| shifted(*seed, 1_500, shift)).count();
    let (noise, drift) = (told(0.0, 2_000), told(1.0, 200));
    println!("no shift: {noise} of 2000 told; a shift of a bin in ten: {drift} of 200");
    assert!(noise as f64 <= 2_000.0 * ALPHA + 3.0 * (2_000.0 * ALPHA).sqrt(), "{noise}");
    assert!(drift >= 195, "{drift}");
}

/// A bandit over 20 rounds of 400 requests, whose rewards come a round later: the regret, the final shares, and the least
/// share that the best arm ever had.
fn bandit(seed: u64, means: [f64; 3]) -> (f64, Vec<u32>, u32) {
    let mut random = Random(seed);
    let best = means.iter().copied().fold(0.0, f64::max);
    let at_best = means.iter().position(|mean| *mean == best).unwrap();
    let (mut known, mut coming) = ([(0_u64, 0_u64); 3], [(0_u64, 0_u64); 3]);
    let (mut regret, mut least, mut weights) = (0.0, 10_000, vec![3_334, 3_333, 3_333]);
    for _ in 0..20 {
        for ((known, fresh), _) in known.iter_mut().zip(&mut coming).zip(means) {
            *known = (known.0 + fresh.0, known.1 + fresh.1);
            *fresh = (0, 0);
        }
        for _ in 0..400 {
            let mut left = random.uniform() * 10_000.0;
            let arm = weights.iter().position(|weight| {
                left -= f64::from(*weight);
                left < 0.0
            });
            let arm = arm.unwrap_or(2);
            regret += best - means[arm];
            coming[arm] = (coming[arm].0 + u64::from(random.chance(means[arm])), coming[arm].1 + 1);
        }
        let posteriors = known.map(|(successes, rewards)| Posterior::of_shares(successes, rewards));
        weights = shares(&odds(&posteriors), 300);
        least = least.min(weights[at_best]);
    }
    (regret, weights, least)
}

#[test]
fn a_bandit_loses_less_than_an_even_split_finds_the_best_arm_and_starves_none() {
    for means in [[0.80, 0.86, 0.70], [0.20, 0.10, 0.30]] {
        let best = means.iter().copied().fold(0.0, f64::max);
        let even: f64 = 20.0 * 400.0 * means.iter().map(|mean| (best - mean) / 3.0).sum::<f64>();
        let at_best = means.iter().position(|mean| *mean == best).unwrap();
        let runs: Vec<_> = (0..200).map(|seed| bandit(seed, means)).collect();
        let regret = runs.iter().map(|(regret, _, _)| regret).sum::<f64>() / 200.0;
        let found = runs.iter().filter(|(_, weights, _)| weights[at_best] >= 9_000).count();
        let least = runs.iter().map(|(_, _, least)| *least).min().unwrap();
        let starved = runs.iter().flat_map(|(_, weights, _)| weights).filter(|share| **share < 300).count();
        println!(
            "{means:?}: regret {regret:.0}, even split {even:.0}; best arm {found} of 200, least share {least}"
        );
        assert!(regret < 0.4 * even, "{regret} {even}");
        assert!(found >= 190 && least >= 300 && starved == 0, "{found} {least} {starved}");
    }
}

//! Whole deployments, simulated with fixed seeds: how often an unchanged model alarms, how soon a changed one does.
//!
//! The figures in the documentation of `LossDrift` are printed by the last test, which takes a minute:
//!
//!     cargo test --release -p gyre-stats --test stream_simulation -- --ignored --nocapture
#![allow(clippy::unwrap_used)]

use gyre_stats::stream::{
    Direction, Guarantee, LossDrift, LossDriftSettings, RateChange, Signal, ValueChange,
};

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

    /// Standard normal, by Box and Muller (1958).
    fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.uniform()).ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

/// A seed's own random numbers: neighbouring seeds must not share them.
fn random(seed: u64) -> Random {
    Random(seed.wrapping_add(1).wrapping_mul(0x1234_5678_9ABC_DEF1))
}

const LIVES: u64 = 2_000;
const ALPHA: f64 = 0.05;
const LIFETIME: Guarantee = Guarantee::Lifetime { alpha: ALPHA };

fn median(mut delays: Vec<u64>) -> u64 {
    delays.sort_unstable();
    delays[delays.len() / 2]
}

#[test]
fn an_unchanged_error_rate_alarms_at_most_at_alpha_however_short_the_reference() {
    for (rate, labels, life) in [(0.2, 60, 200), (0.02, 300, 200)] {
        let alarmed = (0..LIVES)
            .filter(|seed| {
                let mut random = random(*seed);
                let errors = (0..labels).filter(|_| random.chance(rate)).count() as u64;
                let mut test = RateChange::new(LIFETIME, Direction::Up, labels, errors, *seed).unwrap();
                (0..life).any(|_| test.observe(random.chance(rate)) == Signal::Change)
            })
            .count();
        println!("rate {rate}, {labels} reference labels: {alarmed} of {LIVES} alarmed");
        assert!(alarmed as f64 <= ALPHA * LIVES as f64, "{rate}: {alarmed} of {LIVES}");
    }
}

#[test]
fn losses_of_equal_mean_alarm_at_most_at_alpha_though_their_spread_changes() {
    let alarmed = (0..LIVES)
        .filter(|seed| {
            let mut random = random(90_000 + *seed);
            let errors = (0..100).filter(|_| random.chance(0.3)).count() as u64;
            let mut test = RateChange::new(LIFETIME, Direction::Both, 100, errors, *seed).unwrap();
            (0..200).any(|at| {
                let loss =
                    if at < 100 { 0.6 * random.uniform() } else { f64::from(u8::from(random.chance(0.3))) };
                test.observe_loss(loss).unwrap() == Signal::Change
            })
        })
        .count();
    println!("losses: {alarmed} of {LIVES} alarmed");
    assert!(alarmed as f64 <= ALPHA * LIVES as f64, "{alarmed} of {LIVES}");
}

/// The value of the stream, after 200 reference values, at which a change of the distribution is found.
fn value_alarm(seed: u64, life: u64, changed: impl Fn(&mut Random) -> f64, from: u64) -> Option<u64> {
    let mut random = random(30_000 + seed);
    // Heavy tails: only the order may count.
    let reference: Vec<f64> = (0..200).map(|_| random.normal().powi(3)).collect();
    let mut test = ValueChange::new(LIFETIME, Direction::Both, &reference, seed).unwrap();
    (1..=life).find(|at| {
        let value = if *at > from { changed(&mut random) } else { random.normal().powi(3) };
        test.observe(value) == Signal::Change
    })
}

#[test]
fn unchanged_values_alarm_at_most_at_alpha_and_changed_ones_soon() {
    let alarmed = (0..LIVES).filter(|seed| value_alarm(*seed, 120, |_| 0.0, 120).is_some()).count();
    println!("values: {alarmed} of {LIVES} alarmed");
    assert!(alarmed as f64 <= ALPHA * LIVES as f64, "{alarmed} of {LIVES}");
    type Change = fn(&mut Random) -> f64;
    let changes: [(&str, Change, u64); 3] = [
        ("up by a deviation", |random| (random.normal() + 1.0).powi(3), 40),
        ("down by half", |random| (random.normal() - 0.5).powi(3), 150),
        ("twice the spread", |random| (2.0 * random.normal()).powi(3), 60),
    ];
    for (name, change, soon) in changes {
        let delays = (0..60)
            .map(|seed| value_alarm(seed, 600, change, 200).map_or(u64::MAX, |at| at.saturating_sub(200)));
        let delay = median(delays.collect());
        println!("{name}: median delay {delay}");
        assert!(delay <= soon, "{name}: {delay}");
    }
}

#[test]
fn run_lengths_are_as_long_as_asked_for() {
    let asked = 300.0;
    let runs = 400;
    let lengths: Vec<u64> = (0..runs)
        .map(|seed| {
            let mut random = random(60_000 + seed);
            let errors = (0..200).filter(|_| random.chance(0.2)).count() as u64;
            let guarantee = Guarantee::RunLength { values: asked };
            let mut test = RateChange::new(guarantee, Direction::Both, 200, errors, seed).unwrap();
            (1..=2_000).find(|_| test.observe(random.chance(0.2)) == Signal::Change).unwrap_or(2_000)
        })
        .collect();
    // Cut off at 2,000, the mean can only be too low.
    let mean = lengths.iter().sum::<u64>() as f64 / runs as f64;
    println!("mean run length {mean:.0}, asked for {asked}");
    assert!(mean >= asked, "{mean}");
    assert!(lengths.iter().any(|length| *length < 2_000), "over a long life there are false alarms");
}

/// How losses depend on those before them.
#[derive(Clone, Copy, Debug)]
enum Losses {
    /// Independent errors.
    Errors,
    /// An error while a normal autoregression with φ = 0.9 is below a threshold.
    Runs,
    /// Errors whose log-odds are such an autoregression, with deviation 1.5.
    Moods,
    /// A normal autoregression with this φ and variance 1.
    Autoregression(f64),
    /// Independent, exponential.
    Exponential,
}

/// Losses of a mean `level`: an error rate, or a shift.
struct Stream {
    random: Random,
    state: f64,
    losses: Losses,
}

impl Stream {
    fn new(seed: u64, losses: Losses) -> Self {
        let mut random = random(seed);
        let state = random.normal();
        Self { random, state, losses }
    }

    /// `level` is 0.2, 0.3 or 0.4 for errors.
    fn next(&mut self, level: f64) -> f64 {
        let strength = if let Losses::Autoregression(strength) = self.losses { strength } else { 0.9 };
        self.state = strength * self.state + (1.0 - strength * strength).sqrt() * self.random.normal();
        // Quantiles of the normal distribution; and log-odds at which the mean over the state is the level.
        let (threshold, log_odds) = match level {
            0.2 => (-0.841_621_233_572_914_3, -1.916_310_118_577_310_4),
            0.3 => (-0.524_400_512_708_040_7, -1.187_691_319_998_485_5),
            _ => (-0.253_347_103_135_799_7, -0.572_340_128_388_986_4),
        };
        let wrong = |wrong: bool| f64::from(u8::from(wrong));
        match self.losses {
            Losses::Errors => wrong(self.random.chance(level)),
            Losses::Runs => wrong(self.state < threshold),
            Losses::Moods => wrong(self.random.chance(1.0 / (1.0 + (-(log_odds + 1.5 * self.state)).exp()))),
            Losses::Autoregression(_) => self.state + level,
            Losses::Exponential => -(1.0 - self.random.uniform()).ln() * level,
        }
    }
}

/// The label at which default [`LossDrift`] alarms; the level changes after label `change`.
fn loss_alarm(seed: u64, losses: Losses, levels: [f64; 2], labels: u64, change: u64) -> Option<u64> {
    let mut stream = Stream::new(seed, losses);
    let mut drift = LossDrift::new(LossDriftSettings { seed, ..LossDriftSettings::default() }).unwrap();
    for label in 0..labels {
        let loss = stream.next(levels[usize::from(label >= change)]);
        if drift.observe(loss).unwrap() == Signal::Change {
            return drift.alarm();
        }
    }
    None
}

/// Of so many streams: how many alarmed before the change, and the median delay of the others.
fn delays(losses: Losses, levels: [f64; 2], streams: u64, labels: u64, change: u64) -> (usize, u64) {
    let alarms: Vec<Option<u64>> =
        (0..streams).map(|seed| loss_alarm(seed, losses, levels, labels, change)).collect();
    let early = alarms.iter().flatten().filter(|at| **at <= change).count();
    let later = alarms.iter().filter(|at| at.is_none_or(|at| at > change));
    (early, median(later.map(|at| at.map_or(u64::MAX, |at| at - change)).collect()))
}

#[test]
fn errors_that_rise_by_half_are_found_within_440_labels() {
    let (early, delay) = delays(Losses::Errors, [0.2, 0.3], 101, 7_000, 5_000);
    println!("0.2 to 0.3: {early} early, median delay {delay}");
    assert!(early <= 1 && delay <= 440, "{early} {delay}");
}

#[test]
fn unchanged_losses_rarely_alarm_even_if_they_come_in_runs() {
    for (losses, level, streams) in [
        (Losses::Errors, 0.2, 60),
        (Losses::Runs, 0.2, 40),
        (Losses::Moods, 0.2, 40),
        (Losses::Autoregression(0.9), 0.0, 40),
    ] {
        let alarmed = (0..streams)
            .filter(|seed| loss_alarm(500 + seed, losses, [level; 2], 10_000, 0).is_some())
            .count();
        println!("{losses:?}: {alarmed} of {streams} alarmed");
        assert!(alarmed <= 1, "{losses:?}: {alarmed} of {streams}");
    }
}

/// What an unchanged stream is made of.
type Next = fn(&mut Random) -> f64;

#[test]
fn whatever_follows_a_reference_of_errors_the_bound_holds() {
    let streams: [(&str, Next); 5] =
        [
            ("errors", |random| f64::from(u8::from(random.chance(0.2)))),
            ("rare errors", |random| f64::from(u8::from(random.chance(0.005)))),
            // Of a hundred losses often none, and the reference looks like one of errors.
            ("errors, and now and then a loss of any size", |random| {
                let wrong = f64::from(u8::from(random.chance(0.2)));
                if random.chance(0.01) { 5.0 * random.normal() } else { wrong }
            }),
            ("nothing, and now and then a loss", |random| {
                if random.chance(0.01) { -random.uniform().ln() } else { 0.0 }
            }),
            ("losses", |random| -(1.0 - random.uniform()).ln()),
        ];
    for (name, next) in streams {
        // Falls too, where losses may be outside of the reference's range on either side.
        let also = name.starts_with("errors, and").then_some(Direction::Both);
        for direction in std::iter::once(Direction::Up).chain(also) {
            let lives = (0..LIVES).filter(|seed| {
                let mut random = random(120_000 + *seed);
                let settings = LossDriftSettings { alpha: ALPHA, direction, reference: 100, seed: *seed };
                let mut drift = LossDrift::new(settings).unwrap();
                (0..400).any(|_| drift.observe(next(&mut random)).unwrap() == Signal::Change)
            });
            let alarmed = lives.count();
            println!("{name}, {direction:?}: {alarmed} of {LIVES} alarmed");
            assert!(alarmed as f64 <= ALPHA * LIVES as f64, "{name}: {alarmed} of {LIVES}");
        }
    }
}

#[test]
fn each_life_after_an_alarm_spends_alpha_anew_and_no_more() {
    let alpha = 0.3;
    let (mut first, mut second) = (0, 0);
    let streams = LIVES / 2;
    for seed in 0..streams {
        let mut random = random(150_000 + seed);
        let settings = LossDriftSettings { alpha, direction: Direction::Both, reference: 100, seed };
        let mut drift = LossDrift::new(settings).unwrap();
        let mut lives = 0;
        for _ in 0..800 {
            if drift.observe(f64::from(u8::from(random.chance(0.2)))).unwrap() == Signal::Change {
                lives += 1;
                drift = drift.renewed();
            }
        }
        first += u32::from(lives > 0);
        second += u32::from(lives > 1);
    }
    println!("of {streams} streams {first} alarmed, {second} of them again");
    assert!(f64::from(first) <= alpha * streams as f64 && f64::from(second) <= alpha * f64::from(first));
}

#[test]
#[ignore = "a minute, in a release build"]
fn the_figures_of_the_documentation() {
    for (losses, level) in [
        (Losses::Errors, 0.2),
        (Losses::Exponential, 1.0),
        (Losses::Runs, 0.2),
        (Losses::Moods, 0.2),
        (Losses::Autoregression(0.1), 0.0),
        (Losses::Autoregression(0.5), 0.0),
        (Losses::Autoregression(0.9), 0.0),
    ] {
        let streams = 2_000;
        let alarmed =
            (0..streams).filter(|seed| loss_alarm(*seed, losses, [level; 2], 10_000, 0).is_some()).count();
        println!("unchanged, {losses:?}: {:.2} % alarmed", 100.0 * alarmed as f64 / streams as f64);
    }
    for (losses, levels, change) in [
        (Losses::Errors, [0.2, 0.3], 2_000),
        (Losses::Errors, [0.2, 0.3], 5_000),
        (Losses::Errors, [0.2, 0.4], 5_000),
        (Losses::Runs, [0.2, 0.3], 5_000),
        (Losses::Runs, [0.2, 0.4], 5_000),
        (Losses::Moods, [0.2, 0.3], 5_000),
        (Losses::Moods, [0.2, 0.4], 5_000),
        (Losses::Autoregression(0.9), [0.0, 1.0], 5_000),
    ] {
        let (early, delay) = delays(losses, levels, 1_001, change + 30_000, change);
        println!("{losses:?} {levels:?} after {change}: median delay {delay}, {early} early");
    }
}

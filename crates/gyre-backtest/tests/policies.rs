//! Policies on small worlds: what each does, that none sees the future, and that the oracle is the best.
#![allow(clippy::unwrap_used)]

use gyre_backtest::cost::{Prices, Schedule};
use gyre_backtest::known::{Fit, Fitted, Losses};
use gyre_backtest::outcome::{first, run};
use gyre_backtest::policies::{Way, replay};
use gyre_backtest::synthetic::{Kind, World};
use gyre_backtest::timeline::Timeline;
use gyre_backtest::{Backtest, Plan, Policy, Settings};
use gyre_core::Span;
use gyre_core::fact::Drift;
use gyre_core::spec::{Metric, Task, Window};

fn settings() -> Settings {
    Settings::new("kiln".parse().unwrap(), Task::Regression, Metric::Mae)
}

fn world(kind: Kind, days: i64, seed: u64) -> World {
    World::new(kind, days, &settings().candidates, seed)
}

fn backtest(world: &World) -> Backtest {
    run(world, &settings(), &Plan { policies: Policy::DEFAULT.to_vec() }).unwrap()
}

fn schedule(world: &World, policy: Policy) -> Schedule {
    let settings = settings();
    let (fit, promised) = first(world, &settings).unwrap();
    let prices = Prices::new(world, settings.metric, settings.cost, promised);
    replay(policy, world, &settings, &prices, fit, promised)
}

const GUESSING: [Policy; 9] = [
    Policy::Never,
    Policy::Every(1),
    Policy::Every(3),
    Policy::Drift,
    Policy::Decay,
    Policy::Cara(Way::Threshold),
    Policy::Cara(Way::Cumulative),
    Policy::Cara(Way::Periodic),
    Policy::Gyre,
];

#[test]
fn no_policy_sees_the_future() {
    for kind in [Kind::Abrupt, Kind::Gradual, Kind::Recurring] {
        let (one, other) = (world(kind, 300, 5), world(kind, 300, 5).with_another_future(200));
        let moments = one.timeline().moments.clone();
        // A decision at day d knows of labels up to the day before.
        let same = moments.iter().filter(|moment| moment.day() <= 200).count();
        let mut differ = 0;
        for policy in GUESSING {
            let (one, other) = (schedule(&one, policy), schedule(&other, policy));
            assert_eq!(one.serves[..same], other.serves[..same], "{policy} on {kind:?}");
            assert_eq!(one.trainings[..same], other.trainings[..same], "{policy} on {kind:?}");
            differ += usize::from(one != other);
        }
        assert!(differ > 0, "the other future must be another");
    }
}

#[test]
fn the_simple_policies_train_as_often_as_they_say() {
    let still = world(Kind::Still, 300, 1);
    let decisions = still.timeline().decisions() as u32;
    assert_eq!(schedule(&still, Policy::Never).retrains(), 0);
    assert_eq!(schedule(&still, Policy::Every(1)).retrains(), decisions - 1);
    assert_eq!(schedule(&still, Policy::Every(4)).retrains(), (decisions - 1) / 4);
    assert_eq!(schedule(&still, Policy::Drift).retrains(), 0);
    assert!(schedule(&world(Kind::Harmless, 300, 1), Policy::Drift).retrains() >= decisions / 2 - 1);
}

/// All schedules of a small world, tried one by one.
fn brute_force(world: &World, prices: &Prices, choices: usize) -> f64 {
    let decisions = world.timeline().decisions();
    let ways = (choices + 1).pow(decisions as u32 - 1);
    let cost = |mut way: usize| {
        let mut schedule = Schedule { serves: vec![Fit { at: 0, choice: 0 }], trainings: vec![0] };
        for at in 1..decisions {
            let choice = way % (choices + 1);
            way /= choices + 1;
            let last = *schedule.serves.last().unwrap();
            let serve = if choice == 0 { last } else { Fit { at, choice: choice - 1 } };
            schedule.serves.push(serve);
            schedule.trainings.push(u32::from(choice > 0));
        }
        prices.total(world, &schedule)
    };
    (0..ways).map(cost).fold(f64::INFINITY, f64::min)
}

#[test]
fn the_oracle_is_the_best_of_all_schedules() {
    for (kind, seed) in [(Kind::Abrupt, 3), (Kind::Gradual, 4), (Kind::Recurring, 5)] {
        let world = world(kind, 110, seed);
        let settings = settings();
        let (fit, promised) = first(&world, &settings).unwrap();
        let prices = Prices::new(&world, settings.metric, settings.cost, promised);
        let found = replay(Policy::Oracle, &world, &settings, &prices, fit, promised);
        let least = brute_force(&world, &prices, 2);
        assert!((prices.total(&world, &found) - least).abs() < 1e-9, "{kind:?}");
    }
}

#[test]
fn costs_are_losses_in_days_of_the_promise_and_trainings() {
    let still = world(Kind::Still, 126, 2);
    let found = backtest(&still);
    let never = found.policies.iter().find(|outcome| outcome.policy == "never").unwrap();
    // 70 days whose loss is what was promised, but for luck.
    assert!((never.total_cost / (70.0 * never.loss / found.promised) - 1.0).abs() < 1e-9);
    let every = found.policies.iter().find(|outcome| outcome.policy == "every:1").unwrap();
    assert!(
        (every.total_cost - 3.0 * f64::from(every.retrains) - 70.0 * every.loss / found.promised).abs()
            < 1e-6
    );
    let oracle = found.policies.iter().find(|outcome| outcome.policy == "oracle").unwrap();
    assert_eq!(oracle.total_cost, found.policies[0].total_cost);
    assert!(found.policies.iter().all(|outcome| outcome.regret.unwrap() >= 0.0));
}

#[test]
fn whatever_the_world_the_controller_costs_little_more_than_hindsight() {
    for kind in Kind::ALL {
        let mut sums = (0.0, 0.0);
        for seed in 0..4 {
            let found = backtest(&world(kind, 420, seed));
            let cost = |policy: &str| {
                found.policies.iter().find(|outcome| outcome.policy == policy).unwrap().total_cost
            };
            sums = (sums.0 + cost("gyre"), sums.1 + cost("oracle"));
            // Each training in vain doubles the regret that the next one takes: in a year there is room for six.
            assert!(cost("gyre") <= cost("never") + 6.0 * 3.0, "{kind:?}, seed {seed}");
        }
        assert!(sums.0 <= 1.15 * sums.1, "{kind:?}: {:.3}", sums.0 / sums.1);
    }
}

/// A world whose every model loses a fifth more, or less, once it has learnt from the withheld rows too.
struct Refitted<'a> {
    world: &'a World,
    refits: Vec<Vec<Fitted>>,
}

impl Losses for Refitted<'_> {
    fn timeline(&self) -> &Timeline {
        self.world.timeline()
    }

    fn fitted(&self, fit: Fit) -> Option<&Fitted> {
        self.world.fitted(fit)
    }

    fn served(&self, fit: Fit) -> Option<&Fitted> {
        self.refits.get(fit.at)?.get(fit.choice)
    }

    fn drift(&self, fit: Fit, window: usize) -> Vec<Drift> {
        self.world.drift(fit, window)
    }
}

#[test]
fn what_a_refit_is_worth_is_told_and_advised_where_it_is_worth_something() {
    let world = world(Kind::Gradual, 420, 1);
    let settings = settings();
    assert!(settings.policy.refit, "the default");
    for (times, words) in
        [(0.8, "(refit: true). With refit: false it would have cost"), (1.2, ", refit: false}")]
    {
        let scaled = |fitted: &Fitted| {
            let mut fitted = fitted.clone();
            fitted.seen.iter_mut().for_each(|sum| *sum *= times);
            fitted
        };
        let decisions = world.timeline().decisions();
        let fits = (0..decisions).map(|at| (0..2).map(move |choice| Fit { at, choice }));
        let refits = fits.map(|of| of.map(|fit| scaled(world.fitted(fit).unwrap())).collect()).collect();
        let refitted = Refitted { world: &world, refits };
        let advice = gyre_backtest::advise(&refitted, &settings).unwrap();
        let without: Vec<_> = advice.variants.iter().filter(|variant| !variant.refit).collect();
        let [without] = without.as_slice() else { panic!("{advice:?}") };
        let set = &advice.variants[0];
        assert_eq!(without.total_cost > set.total_cost, times < 1.0);
        assert!(without.yaml.ends_with(", refit: false}") && !set.yaml.contains("refit"), "{advice:?}");
        let told = advice.sentences().join("\n");
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn a_training_window_that_is_better_is_advised() {
    let candidates = vec![Window::Last(Span::days(28)), Window::All];
    let settings = settings().with_candidates(candidates.clone());
    let gradual = World::new(Kind::Gradual, 420, &candidates, 1);
    let advice = gyre_backtest::advise(&gradual, &settings).unwrap();
    let set = &advice.variants[0];
    let advised = &advice.variants[advice.advised];
    assert!(advised.total_cost <= set.total_cost && advised.halves.0 <= set.halves.0);
    assert!(!advice.sentences().is_empty());
    assert_eq!(advice.unjudged_gates, Vec::<String>::new());
}

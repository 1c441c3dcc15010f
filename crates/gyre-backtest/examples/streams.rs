//! Prints what each policy costs on synthetic streams of every kind, as a multiple of the oracle's cost: mean over seeds.

use gyre_backtest::outcome::run;
use gyre_backtest::synthetic::{Kind, World};
use gyre_backtest::{Plan, Policy, Settings};
use gyre_core::spec::{Metric, Task};

/// Worlds of each kind.
const SEEDS: u64 = 40;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let settings = Settings::new("stream".parse()?, Task::Regression, Metric::Mae);
    let policies = Policy::DEFAULT.to_vec();
    print!("{:<10}", "");
    policies.iter().for_each(|policy| print!("{:>16}", policy.to_string()));
    println!();
    for kind in Kind::ALL {
        let mut sums = vec![(0.0, 0); policies.len()];
        for seed in 0..SEEDS {
            let world = World::new(kind, 420, &settings.candidates, 1000 + seed);
            let found = run(&world, &settings, &Plan { policies: policies.clone() })?;
            for (policy, sum) in policies.iter().zip(&mut sums) {
                let name = policy.to_string();
                for outcome in found.policies.iter().filter(|outcome| outcome.policy == name) {
                    sum.0 += outcome.ratio.unwrap_or(f64::NAN) / SEEDS as f64;
                    sum.1 += outcome.retrains;
                }
            }
        }
        print!("{:<10}", format!("{kind:?}"));
        for (ratio, retrains) in sums {
            print!("{:>16}", format!("{ratio:.3} ({:.1})", f64::from(retrains) / SEEDS as f64));
        }
        println!();
    }
    Ok(())
}

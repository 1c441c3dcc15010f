//! The oracle: the schedule that nobody could have kept, because it knows what came.
//!
//! At each decision it keeps the model that serves or trains anew, on whichever training window turns out best; it pays for each
//! training as everybody does, and passes no gate. It does *not* bring older models back (a policy that recalls can beat it where
//! the world repeats itself) and waits for no label. Dynamic programming over the last training finds the cheapest schedule:
//! with V(d) the least cost from decision d on, given a training at d, and C(f, d, e) what model f costs between decisions,
//! V(d) = min over windows w and the next training e of C((d, w), d, e) + cost of a training + V(e).

use crate::cost::{Prices, Schedule};
use crate::known::{Fit, Losses};

/// The cheapest schedule that begins with `first`; `choices` training windows may be used. O(decisions² × windows).
pub fn cheapest(losses: &dyn Losses, prices: &Prices, first: Fit, choices: usize) -> Schedule {
    let decisions = losses.timeline().decisions();
    // From each decision on: the cost, on which window, and the next training; the last entry is the end.
    let mut best: Vec<(f64, Fit, usize)> = vec![(0.0, first, decisions); decisions + 1];
    for at in (0..decisions).rev() {
        let mut found = (f64::INFINITY, Fit { at, choice: 0 }, decisions);
        let choices = if at == 0 { first.choice..first.choice + 1 } else { 0..choices };
        for choice in choices {
            let fit = Fit { at, choice };
            let Some(fitted) = losses.served(fit) else { continue };
            let eras = prices.eras(losses, fitted);
            let mut served = 0.0;
            for next in at + 1..=decisions {
                served += eras.get(next - 1).copied().unwrap_or_default();
                let rest = best.get(next).map_or(0.0, |(cost, ..)| *cost);
                let training = if next < decisions { prices.training } else { 0.0 };
                if served + training + rest < found.0 {
                    found = (served + training + rest, fit, next);
                }
            }
        }
        if let Some(slot) = best.get_mut(at) {
            *slot = found;
        }
    }
    let mut schedule = Schedule { serves: vec![first; decisions], trainings: vec![0; decisions] };
    let mut at = 0;
    while let Some((_, fit, next)) = best.get(at).copied().filter(|_| at < decisions) {
        schedule.serves.iter_mut().take(next).skip(at).for_each(|serves| *serves = fit);
        if let Some(trained) = schedule.trainings.get_mut(at).filter(|_| at > 0) {
            *trained = 1;
        }
        at = next;
    }
    schedule
}

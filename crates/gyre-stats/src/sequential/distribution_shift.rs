//! Are the candidate's predictions distributed otherwise than the champion's?

use serde::{Deserialize, Serialize};

use super::{Arm, Impossible, possible};
use crate::drift::counts::jensen_shannon_debiased;

/// How many observations of an arm its own shares must outweigh: until then they are drawn towards those of both arms
/// together, so that noise is not taken for a difference.
const SHRINKAGE: f64 = 30.0;

/// Anytime-valid test whether two arms' values fall into bins with the same frequencies, and how far apart they are.
///
/// *Given the bin of a value*, under "no difference" it came from the candidate with probability exactly `w`, its share of
/// traffic, whatever the frequencies are and however they move in time. The alternative is learnt: before each value the
/// arms' frequencies `p₁`, `p₀` are estimated from those before it, and the likelihood ratio
///
/// ```text
/// p₁(b) / (w·p₁(b) + (1 − w)·p₀(b))   the candidate's value in bin b
/// p₀(b) / (w·p₁(b) + (1 − w)·p₀(b))   the champion's
/// ```
///
/// has mean 1 under "no difference", for any estimates made beforehand. The product is a test martingale (the plug-in of
/// Wald 1947, §10; Ramdas et al. 2023), so it ever reaches `1/alpha` with probability at most `alpha`. The memory is the
/// counts, whatever the traffic. Bins may depend on the values of both arms, not on the arms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DistributionShift {
    champion: Vec<u64>,
    candidate: Vec<u64>,
    log_ratio: f64,
    peak: f64,
}

impl DistributionShift {
    /// Nothing seen, in `bins` bins (one at least).
    #[must_use]
    pub fn new(bins: usize) -> Self {
        let empty = vec![0; bins.max(1)];
        Self { champion: empty.clone(), candidate: empty, log_ratio: 0.0, peak: 0.0 }
    }

    /// Takes in a value of `arm` that fell into `bin` (those past the last are the last), routed while the candidate's
    /// share was `weight`.
    ///
    /// # Errors
    /// [`Impossible`] when `arm` had no traffic at that share; the state is then unchanged.
    pub fn observe(&mut self, arm: Arm, weight: f64, bin: usize) -> Result<(), Impossible> {
        possible(arm, weight, bin as f64)?;
        let bins = self.champion.len();
        let bin = bin.min(bins - 1);
        let of =
            |counts: &[u64]| (counts.iter().sum::<u64>() as f64, counts.get(bin).map_or(0.0, |n| *n as f64));
        let ((champions, in_champions), (candidates, in_candidates)) =
            (of(&self.champion), of(&self.candidate));
        let pooled = (in_champions + in_candidates + 0.5) / (champions + candidates + 0.5 * bins as f64);
        let share = |all: f64, here: f64| (here + SHRINKAGE * pooled) / (all + SHRINKAGE);
        let (p0, p1) = (share(champions, in_champions), share(candidates, in_candidates));
        let own = if arm == Arm::Candidate { p1 } else { p0 };
        self.log_ratio += (own / (weight * p1 + (1.0 - weight) * p0)).ln();
        self.peak = self.peak.max(self.log_ratio);
        let counts = if arm == Arm::Candidate { &mut self.candidate } else { &mut self.champion };
        if let Some(count) = counts.get_mut(bin) {
            *count += 1;
        }
        Ok(())
    }

    /// Anytime-valid p-value that both arms' values are distributed alike: 1 / the largest ratio so far.
    #[must_use]
    pub fn p_value(&self) -> f64 {
        (-self.peak).exp().min(1.0)
    }

    /// How far the arms are apart: Jensen–Shannon distance (square root, base 2; 0 is alike, 1 is nothing in common), less
    /// what chance alone makes of it; `None` before there is a value of each.
    #[must_use]
    pub fn distance(&self) -> Option<f64> {
        let nats = jensen_shannon_debiased(&self.champion, &self.candidate)?;
        Some((nats.max(0.0) / std::f64::consts::LN_2).sqrt().min(1.0))
    }

    /// Values seen of the champion and of the candidate.
    #[must_use]
    pub fn values(&self) -> (u64, u64) {
        (self.champion.iter().sum(), self.candidate.iter().sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_apart_is_told_with_its_distance() {
        let mut test = DistributionShift::new(4);
        for at in 0..400_usize {
            test.observe(Arm::Champion, 0.5, at % 4).unwrap();
            test.observe(Arm::Candidate, 0.5, at % 2).unwrap();
        }
        assert!(test.p_value() < 1e-6, "{}", test.p_value());
        // Half of the champion's mass has no counterpart: JSD = 1 − (¾·log₂ 3 − ½)… = 0.3113 bits.
        let distance = test.distance().unwrap();
        assert!((distance - 0.311_278_124_f64.sqrt()).abs() < 0.01, "{distance}");
        assert_eq!(test.values(), (400, 400));
    }

    #[test]
    fn at_full_traffic_there_is_nothing_to_compare() {
        let mut test = DistributionShift::new(3);
        (0..100).for_each(|at| test.observe(Arm::Candidate, 1.0, at % 3).unwrap());
        assert!(test.p_value() > 0.999 && test.distance().is_none());
        assert!(test.observe(Arm::Champion, 1.0, 0).is_err());
    }
}

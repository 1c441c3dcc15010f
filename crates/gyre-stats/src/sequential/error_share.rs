//! Does the candidate fail more often than the champion?

use serde::{Deserialize, Serialize};

use super::{Arm, Impossible, possible};

/// Relative risks that the alternative mixes over, with equal prior weight: from "half as often again" to "always".
const RELATIVE_RISKS: [f64; 9] = [1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 200.0, 1000.0];

/// Anytime-valid test whether a candidate fails more often than the champion, from the errors alone.
///
/// Requests are routed at random, the candidate's with probability `w`. *Given that a request fails*, under "no
/// difference" it was the candidate's with probability exactly `w`, whatever the failure rate is and however it moves
/// with load or with the hour, and whatever `w` is at that moment. If the candidate fails `r` times as often, that
/// probability is `w·r / (1 − w + w·r)`. So each error multiplies the likelihood ratio of "r" to "no difference" by
///
/// ```text
/// r / (1 − w + w·r)   the candidate's error
/// 1 / (1 − w + w·r)   the champion's error
/// ```
///
/// Under "no difference" each factor has mean 1, so the ratio is a non-negative martingale, and so is its average over a
/// grid of `r > 1`: an e-process. By Ville's inequality it ever reaches `1/alpha` with probability at most `alpha`: the
/// test is exact at any sample size (Robbins 1970; Ramdas, Grünwald, Vovk & Shafer 2023 for the e-process view).
///
/// What must hold: `w` was fixed before the request was routed, and requests are routed independently. Where routing is
/// sticky by user, errors of one user are one event and should be counted once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ErrorShare {
    /// Log likelihood ratio of each of [`RELATIVE_RISKS`].
    log_ratios: [f64; RELATIVE_RISKS.len()],
    /// Largest log e-value so far; evidence once reached is not taken back.
    peak: f64,
    champion_errors: u64,
    candidate_errors: u64,
}

impl Default for ErrorShare {
    fn default() -> Self {
        Self::new()
    }
}

impl ErrorShare {
    /// No errors seen.
    #[must_use]
    pub fn new() -> Self {
        Self { log_ratios: [0.0; RELATIVE_RISKS.len()], peak: 0.0, champion_errors: 0, candidate_errors: 0 }
    }

    /// Takes in one failed request of `arm`, routed while the candidate's share of traffic was `weight`.
    ///
    /// # Errors
    /// [`Impossible`] when `arm` had no traffic at that share; the state is then unchanged.
    pub fn observe_error(&mut self, arm: Arm, weight: f64) -> Result<(), Impossible> {
        possible(arm, weight, 1.0)?;
        for (log_ratio, risk) in self.log_ratios.iter_mut().zip(RELATIVE_RISKS) {
            *log_ratio -= (1.0 - weight + weight * risk).ln();
            if arm == Arm::Candidate {
                *log_ratio += risk.ln();
            }
        }
        match arm {
            Arm::Champion => self.champion_errors += 1,
            Arm::Candidate => self.candidate_errors += 1,
        }
        self.peak = self.peak.max(self.log_e());
        Ok(())
    }

    /// Logarithm of the e-value now: how many times better "fails more often" explains the errors than "no difference".
    #[must_use]
    pub fn log_e(&self) -> f64 {
        super::log_mean_exp(&self.log_ratios)
    }

    /// Anytime-valid p-value that the candidate fails no more often: 1 / the largest e-value so far.
    #[must_use]
    pub fn p_value(&self) -> f64 {
        (-self.peak).exp().min(1.0)
    }

    /// Whether "no more often" has been refuted at `alpha`, now or before.
    #[must_use]
    pub fn is_worse(&self, alpha: f64) -> bool {
        self.p_value() <= alpha
    }

    /// Errors seen of the champion and of the candidate.
    #[must_use]
    pub fn errors(&self) -> (u64, u64) {
        (self.champion_errors, self.candidate_errors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_factors_have_mean_one_under_no_difference() {
        for weight in [0.01, 0.1, 0.5, 0.9] {
            let mut after_candidate = ErrorShare::new();
            after_candidate.observe_error(Arm::Candidate, weight).unwrap();
            let mut after_champion = ErrorShare::new();
            after_champion.observe_error(Arm::Champion, weight).unwrap();
            let mean = weight * after_candidate.log_e().exp() + (1.0 - weight) * after_champion.log_e().exp();
            assert!((mean - 1.0).abs() < 1e-12, "{weight}: {mean}");
        }
    }

    #[test]
    fn an_arm_without_traffic_cannot_fail() {
        let mut test = ErrorShare::new();
        assert!(test.observe_error(Arm::Candidate, 0.0).is_err());
        assert!(test.observe_error(Arm::Champion, 1.0).is_err());
        assert!(test.observe_error(Arm::Candidate, f64::NAN).is_err());
        assert_eq!(test, ErrorShare::new());
    }

    #[test]
    fn at_full_traffic_errors_say_nothing() {
        let mut test = ErrorShare::new();
        (0..100).for_each(|_| test.observe_error(Arm::Candidate, 1.0).unwrap());
        assert!(test.log_e().abs() < 1e-9 && !test.is_worse(0.05));
    }

    #[test]
    fn evidence_once_reached_stays() {
        let mut test = ErrorShare::new();
        (0..5).for_each(|_| test.observe_error(Arm::Candidate, 0.1).unwrap());
        assert!(test.is_worse(0.01));
        (0..500).for_each(|_| test.observe_error(Arm::Champion, 0.1).unwrap());
        assert!(test.is_worse(0.01) && test.log_e() < 0.0);
    }
}

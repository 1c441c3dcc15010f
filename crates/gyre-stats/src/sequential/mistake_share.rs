//! Is the candidate wrong more often than the champion, among answers whose truth is known?

use serde::{Deserialize, Serialize};

use super::{Arm, Impossible, possible};

/// Relative risks of being wrong that the alternative mixes over, with equal prior weight. Finer than for failures:
/// models that all err now and then differ by tenths, not by orders of magnitude.
const RELATIVE_RISKS: [f64; 11] = [1.03, 1.06, 1.1, 1.15, 1.25, 1.4, 1.7, 2.2, 3.0, 6.0, 20.0];

/// The least that the chance of being right may shrink to under an alternative, as a share of what it was: keeps one
/// right answer from wiping out an alternative for good.
const LEAST_RIGHT: f64 = 0.05;

/// Anytime-valid test whether a candidate gives the wrong class more often than the champion.
///
/// It is [`ErrorShare`](super::ErrorShare) with both outcomes: *given that an answer was wrong* (or right), under "no
/// difference" it was the candidate's with probability exactly `w`, its share of traffic. Each alternative says how many
/// times as often the candidate is wrong, `r > 1`, and therefore right, `q = (1 − r·p)/(1 − p) < 1`, where `p` is the share of
/// wrong answers of both arms so far, known before the answer. The likelihood ratio of an answer with outcome
/// `x ∈ {r, q}` is
///
/// ```text
/// x / (1 − w + w·x)   the candidate's
/// 1 / (1 − w + w·x)   the champion's
/// ```
///
/// Its mean is 1 where the arms are wrong equally often, and less where the candidate is wrong less often (it is the outcome
/// "wrong" that makes the ratio grow for the candidate's answers), whatever their common level is at that moment. So the
/// average over the grid is a non-negative supermartingale under "no more often", and ever reaches `1/alpha` with
/// probability at most `alpha` (Ville's inequality; Ramdas, Grünwald, Vovk & Shafer, "Game-theoretic statistics and safe
/// anytime-valid inference", Statistical Science 2023).
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct MistakeShare {
    /// Log likelihood ratio of each of [`RELATIVE_RISKS`].
    log_ratios: [f64; RELATIVE_RISKS.len()],
    /// Largest log e-value so far.
    peak: f64,
    answers: u64,
    wrong: u64,
}

impl MistakeShare {
    /// Nothing known.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in an answer of `arm`, routed while the candidate's share was `weight`, once it is known whether it was wrong.
    ///
    /// # Errors
    /// [`Impossible`] when `arm` had no traffic at that share; the state is then unchanged.
    pub fn observe(&mut self, arm: Arm, weight: f64, wrong: bool) -> Result<(), Impossible> {
        possible(arm, weight, f64::from(u8::from(wrong)))?;
        // Known before this answer, and never 0 or 1 (Krichevsky & Trofimov's estimate).
        let level = (self.wrong as f64 + 0.5) / (self.answers as f64 + 1.0);
        for (log_ratio, risk) in self.log_ratios.iter_mut().zip(RELATIVE_RISKS) {
            let outcome =
                if wrong { risk } else { ((1.0 - risk * level) / (1.0 - level)).clamp(LEAST_RIGHT, 1.0) };
            *log_ratio -= (1.0 - weight + weight * outcome).ln();
            if arm == Arm::Candidate {
                *log_ratio += outcome.ln();
            }
        }
        self.answers += 1;
        self.wrong += u64::from(wrong);
        self.peak = self.peak.max(self.log_e());
        Ok(())
    }

    /// Logarithm of the e-value now.
    #[must_use]
    pub fn log_e(&self) -> f64 {
        super::log_mean_exp(&self.log_ratios)
    }

    /// Anytime-valid p-value that the candidate is wrong no more often: 1 / the largest e-value so far.
    #[must_use]
    pub fn p_value(&self) -> f64 {
        (-self.peak).exp().min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_factors_have_mean_one_where_both_are_wrong_equally_often_and_less_where_the_candidate_is_not() {
        for (weight, champion, candidate) in [(0.1, 0.3, 0.3), (0.5, 0.05, 0.05), (0.5, 0.3, 0.2)] {
            let mut before = MistakeShare::new();
            (0..20).for_each(|at| before.observe(Arm::Champion, weight, at % 4 == 0).unwrap());
            let mut mean = 0.0;
            for (arm, share, wrong) in
                [(Arm::Candidate, weight, candidate), (Arm::Champion, 1.0 - weight, champion)]
            {
                for (outcome, chance) in [(true, wrong), (false, 1.0 - wrong)] {
                    let mut after = before.clone();
                    after.observe(arm, weight, outcome).unwrap();
                    mean += share * chance * (after.log_e() - before.log_e()).exp();
                }
            }
            let alike = (candidate - champion).abs() < 1e-12;
            assert!(if alike { (mean - 1.0).abs() < 1e-12 } else { mean < 1.0 }, "{weight}: {mean}");
        }
    }

    #[test]
    fn an_arm_without_traffic_cannot_be_wrong() {
        let mut test = MistakeShare::new();
        assert!(test.observe(Arm::Candidate, 0.0, true).is_err());
        assert_eq!(test, MistakeShare::new());
        (0..100).for_each(|_| test.observe(Arm::Candidate, 1.0, true).unwrap());
        assert!(test.p_value() > 0.99, "at full traffic it says nothing");
    }
}

//! Is the candidate's mean (latency, loss, score) different from the champion's?

use serde::{Deserialize, Serialize};

use super::{Arm, Impossible, possible};
use crate::{moments::Moments, proportion::Interval};

/// Answers of each arm before anything is said: below, the asymptotics do not hold.
const BURN_IN: u64 = 100;

/// Total answers at which the interval is made tightest.
const TIGHTEST_AT: f64 = 1_000.0;

/// The alpha for which the sequence behind p-values is tightest; they hold at every alpha.
const REFERENCE_ALPHA: f64 = 0.01;

/// ρ² that makes the interval tightest at [`TIGHTEST_AT`], Waudby-Smith et al. (see [`MeanDifference`]), appendix B.2.
fn tightest(alpha: f64) -> f64 {
    (-2.0 * alpha.ln() + (-2.0 * alpha.ln() + 1.0).ln()) / TIGHTEST_AT
}

/// Asymptotic confidence sequence for the mean of the candidate less the mean of the champion.
///
/// Each answer becomes an unbiased estimate of the difference by inverse-probability weighting around running means
/// (AIPW), which allows the traffic share `w` to change:
///
/// ```text
/// f = m₁ − m₀ + (y − m₁)/w         the candidate's answer
/// f = m₁ − m₀ − (y − m₀)/(1 − w)   the champion's answer
/// ```
///
/// with `m₁`, `m₀` the means of the arms *before* this answer. Around the mean of `f` the sequence has half-width
/// σ̂·√(2(tρ² + 1)/(t²ρ²)·ln(√(tρ² + 1)/α)), Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas, "Time-uniform central limit
/// theory and asymptotic confidence sequences" (2021; Annals of Statistics 2024), theorem 2.2, with their ρ that is
/// tightest at a given `t`. Coverage is asymptotic: nothing is said before 100 answers of each arm, which was enough for
/// exponential latencies in simulation; heavier tails want more, or a logarithm.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MeanDifference {
    champion: Moments,
    candidate: Moments,
    /// Of the estimates `f`.
    estimates: Moments,
    /// Smallest p-value of "no higher" so far, in logarithms; evidence once reached is not taken back.
    #[serde(default)]
    log_p_above: f64,
}

impl MeanDifference {
    /// No answers seen.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in the measured `value` of one answer of `arm`, routed while the candidate's share was `weight`.
    ///
    /// # Errors
    /// [`Impossible`] when `arm` had no traffic at that share or the value is not finite; the state is then unchanged.
    /// Answers at a share of 0 or 1 are refused, for either arm: without the other arm they say nothing.
    pub fn observe(&mut self, arm: Arm, weight: f64, value: f64) -> Result<(), Impossible> {
        possible(arm, weight, value)?;
        if weight <= 0.0 || weight >= 1.0 {
            return Err(Impossible { arm, weight, value });
        }
        // An arm not yet heard is presumed to be like the other one; the very first answer only sets the level.
        let champion = self.champion.mean().or(self.candidate.mean());
        let candidate = self.candidate.mean().or(self.champion.mean());
        if let (Some(champion), Some(candidate)) = (champion, candidate) {
            let correction = match arm {
                Arm::Candidate => (value - candidate) / weight,
                Arm::Champion => -(value - champion) / (1.0 - weight),
            };
            self.estimates.push(candidate - champion + correction);
        }
        match arm {
            Arm::Champion => self.champion.push(value),
            Arm::Candidate => self.candidate.push(value),
        }
        self.log_p_above = self.log_p_above.min(self.log_p_above_now());
        Ok(())
    }

    /// Anytime-valid p-value, asymptotically, that the candidate's mean is no higher than the champion's: the smallest alpha
    /// at which the confidence sequence (tightest at 1,000 answers for alpha = 0.01) has ever lain above 0; 1 before 100
    /// answers of each arm.
    #[must_use]
    pub fn p_above(&self) -> f64 {
        self.log_p_above.min(0.0).exp()
    }

    /// The half-width that just reaches 0, solved for ln alpha: ½·ln(tρ² + 1) − z²·t²ρ²/(2(tρ² + 1)), z = mean/σ̂.
    fn log_p_above_now(&self) -> f64 {
        let (Some(difference), Some(deviation)) = (self.difference(), self.estimates.standard_deviation())
        else {
            return 0.0;
        };
        if difference <= 0.0 {
            return 0.0;
        }
        let t = self.estimates.count() as f64;
        let scaled = t * tightest(REFERENCE_ALPHA);
        // Where nothing varies (both arms always answer the same), any difference is certain.
        let z2 = (difference / deviation.max(f64::MIN_POSITIVE)).powi(2);
        let log_p = 0.5 * (scaled + 1.0).ln() - z2 * t * scaled / (2.0 * (scaled + 1.0));
        if log_p.is_nan() { 0.0 } else { log_p.max(f64::MIN) }
    }

    /// The estimated difference, candidate − champion; `None` before 100 answers of each arm.
    #[must_use]
    pub fn difference(&self) -> Option<f64> {
        (self.champion.count().min(self.candidate.count()) >= BURN_IN).then(|| self.estimates.mean())?
    }

    /// Interval that covers the true difference at all times together with probability `1 − alpha`, asymptotically;
    /// `None` before 100 answers of each arm.
    #[must_use]
    pub fn interval(&self, alpha: f64) -> Option<Interval> {
        let difference = self.difference()?;
        let alpha = alpha.clamp(1e-12, 0.5);
        let t = self.estimates.count() as f64;
        let rho2 = tightest(alpha);
        let scale = 2.0 * (t * rho2 + 1.0) / (t * t * rho2) * ((t * rho2 + 1.0).sqrt() / alpha).ln();
        let half = self.estimates.standard_deviation()? * scale.sqrt();
        Some(Interval { lower: difference - half, upper: difference + half, level: 1.0 - alpha })
    }

    /// Answers seen of the champion and of the candidate.
    #[must_use]
    pub fn answers(&self) -> (u64, u64) {
        (self.champion.count(), self.candidate.count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_said_too_early() {
        let mut sequence = MeanDifference::new();
        for i in 0..99 {
            sequence.observe(Arm::Champion, 0.5, f64::from(i % 2)).unwrap();
            sequence.observe(Arm::Candidate, 0.5, f64::from(i % 3)).unwrap();
        }
        assert_eq!(sequence.interval(0.05), None);
    }

    #[test]
    fn the_impossible_is_refused() {
        let mut sequence = MeanDifference::new();
        assert!(sequence.observe(Arm::Candidate, 0.0, 1.0).is_err());
        assert!(sequence.observe(Arm::Candidate, 1.0, 1.0).is_err());
        assert!(sequence.observe(Arm::Champion, 0.5, f64::NAN).is_err());
        assert_eq!(sequence, MeanDifference::new());
    }
}

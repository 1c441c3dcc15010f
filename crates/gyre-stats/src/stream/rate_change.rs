//! Is the model wrong more often than on the reference labels?

use serde::{Deserialize, Serialize};

use super::{
    BadSetting, Direction, Guarantee, Signal, Unusable,
    conformal::{Ranks, Ties},
    evidence::{Evidence, HORIZON},
    require,
};

/// Odds ratios that the alternative mixes over, with equal stakes; their inverses for falls.
const ODDS_RATIOS: [f64; 7] = [1.25, 1.5, 1.8, 2.3, 3.5, 8.0, 30.0];

/// Reference labels that only say where to bet, as a share of all.
const AIMING_SHARE: u64 = 2;

/// … and how many at most: more do not aim better.
pub(super) const AIMING_MOST: u64 = 2_000;

/// A change of an error rate, or of a mean loss in [0, 1], against a reference rate that is itself only estimated.
///
/// What holds, without approximation: while every label, of the reference as of the stream, is wrong with one and the
/// same probability whatever came before, the [`Guarantee`] holds, for any reference rate and any number of reference
/// labels. For losses it is enough that each has the same conditional mean. It does *not* hold for labels that depend
/// on one another; [`LossDrift`](super::LossDrift) is for those.
///
/// How: a loss `x` becomes an error with probability `x`. The rank of each label among all so far, reference and
/// stream, with ties broken at random, is uniform while nothing changes (Vovk, Gammerman & Shafer, "Algorithmic
/// Learning in a Random World", 2005), so that "the rank is below c" has probability c exactly. With `c` near the
/// reference rate (a random half of the reference chooses it, which the ranks then leave out), the ranks below it are
/// nearly those of the errors. Against "probability c" it bets on odds that differ by a factor of 1.25 to 30, from any
/// moment on ([`Guarantee`]): conformal test martingales for change (Volkhonskiy, Burnaev, Nouretdinov, Gammerman &
/// Vovk, "Inductive conformal martingales for change-point detection", COPA 2017), with the bets of a Bernoulli
/// likelihood ratio.
///
/// What it cannot do: find a change that is small against what is known of the reference. Labels after the change join
/// those that later ones are ranked among, so that a small change either is found while they are few, or becomes the
/// normal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RateChange {
    direction: Direction,
    /// Probability of "the rank is below it" while nothing changes.
    cut: f64,
    /// Right and wrong.
    ranks: Ranks,
    ties: Ties,
    evidence: Evidence,
}

impl RateChange {
    /// Watches for a change from the rate that `errors` of `labels` reference labels show. `seed` breaks ties: the same
    /// seed and values give the same alarms.
    ///
    /// # Errors
    /// [`BadSetting`] when there are more errors than labels, or a number of the guarantee is outside its range.
    pub fn new(
        guarantee: Guarantee,
        direction: Direction,
        labels: u64,
        errors: u64,
        seed: u64,
    ) -> Result<Self, BadSetting> {
        require(errors <= labels, "errors", errors as f64, "no more errors than labels")?;
        let mut ties = Ties::new(seed);
        // Which of the reference labels aim is drawn at random, one by one, for only their numbers are known.
        let (mut left, mut errors_left) = (labels, errors);
        let aiming = (labels / AIMING_SHARE).min(AIMING_MOST);
        let mut aiming_errors = 0;
        for _ in 0..aiming {
            let wrong = u64::from(ties.next() * left as f64 <= errors_left as f64);
            aiming_errors += wrong;
            errors_left -= wrong.min(errors_left);
            left -= 1;
        }
        Self::aimed(
            guarantee,
            direction,
            cut(aiming_errors, aiming),
            [left - errors_left.min(left), errors_left],
            ties,
        )
    }

    /// Bets on ranks below `cut`, which must not depend on the `counted` reference labels, right and wrong ones.
    pub(super) fn aimed(
        guarantee: Guarantee,
        direction: Direction,
        cut: f64,
        counted: [u64; 2],
        ties: Ties,
    ) -> Result<Self, BadSetting> {
        let mut ranks = Ranks::new(2);
        for (class, labels) in counted.into_iter().enumerate() {
            ranks.add(class, labels);
        }
        let ratios = if direction == Direction::Both { 2 } else { 1 } * ODDS_RATIOS.len();
        Ok(Self { direction, cut, ranks, ties, evidence: Evidence::new(guarantee, ratios, HORIZON)? })
    }

    /// Takes in whether a prediction was wrong.
    pub fn observe(&mut self, wrong: bool) -> Signal {
        if self.evidence.is_over() {
            return Signal::Stable;
        }
        let below = self.ranks.upper_rank(usize::from(wrong), &mut self.ties) <= self.cut;
        let cut = self.cut;
        let factor = |odds: f64| if below { odds } else { 1.0 } / (1.0 - cut + cut * odds);
        let up = (self.direction != Direction::Down).then_some(ODDS_RATIOS.into_iter());
        let down =
            (self.direction != Direction::Up).then_some(ODDS_RATIOS.into_iter().map(|odds| 1.0 / odds));
        let factors = up.into_iter().flatten().chain(down.into_iter().flatten()).map(factor);
        if self.evidence.multiply(factors) { Signal::Change } else { Signal::Stable }
    }

    /// Takes in a loss in [0, 1]; NaN is passed over.
    ///
    /// # Errors
    /// [`Unusable`] for anything outside [0, 1]; the state is then unchanged.
    pub fn observe_loss(&mut self, loss: f64) -> Result<Signal, Unusable> {
        if loss.is_nan() {
            return Ok(Signal::Stable);
        }
        if !(0.0..=1.0).contains(&loss) {
            return Err(Unusable { value: loss, expected: "a loss from 0 to 1" });
        }
        let wrong = becomes_error(loss, &mut self.ties);
        Ok(self.observe(wrong))
    }

    /// The evidence for a change, from 0 to 1 (alarm), as a share of what an alarm needs in logarithms.
    #[must_use]
    pub fn strength(&self) -> f64 {
        self.evidence.strength()
    }

    /// Alarms so far; over a lifetime, one at most.
    #[must_use]
    pub fn alarms(&self) -> u64 {
        self.evidence.alarms()
    }

    /// Labels of the stream taken in, up to the alarm that ended a lifetime.
    #[must_use]
    pub fn labels(&self) -> u64 {
        self.evidence.values()
    }
}

/// Where to bet, after so many errors of so many labels: near their rate, and neither at 0 nor at 1.
pub(super) fn cut(errors: u64, labels: u64) -> f64 {
    (errors as f64 + 0.5) / (labels as f64 + 1.0)
}

/// Whether a loss in [0, 1] becomes an error, which it does with its own probability.
pub(super) fn becomes_error(loss: f64, ties: &mut Ties) -> bool {
    if loss > 0.0 && loss < 1.0 { ties.next() <= loss } else { loss > 0.0 }
}

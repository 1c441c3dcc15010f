//! Are there more errors than in the reference, or losses that are no errors at all?

use serde::{Deserialize, Serialize};

use super::{
    BadSetting, Direction, Guarantee, RateChange, Signal, Unusable,
    conformal::Ties,
    rate_change::{AIMING_MOST, becomes_error, cut},
    value_change,
};

/// One in so many reference losses only says where to bet, of as many as [`AIMING_MOST`].
const AIMING_SHARE: usize = 2;

/// Share of alpha that is for losses outside of the reference's range. So little delays the rate by a tenth of a nat of
/// evidence, and such losses, which are much evidence each, by one or two of them.
const BEYOND_SHARE: f64 = 0.1;

/// The bet on losses outside of the range wins on each of about the first so many, and ever more rarely on later ones.
const CERTAIN: f64 = 10.0;

/// A change of losses that were nothing but errors, 0 or 1, so far.
///
/// Two bets share alpha. One is on the error rate ([`RateChange`]), to which a loss below 0 is a right answer and one above
/// 1 an error. But where 1 becomes 2, the rate stays what it was: the other bet is on losses above the reference's largest
/// (or below its smallest, for falls), of which the reference has next to none. While losses are independent and alike,
/// so is what is made of each alone; each bet then alarms with its share of alpha at most, and either of them with alpha
/// at most (Boole's inequality: the two are not one martingale, for each looks at ranks of its own).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct ErrorChange {
    direction: Direction,
    rate: RateChange,
    /// The smallest and the largest of the losses that say where to bet.
    range: [f64; 2],
    beyond: RateChange,
}

impl ErrorChange {
    /// Whether the `reference` is one of errors. Only losses are asked that nothing is ranked among, be it here or in
    /// [`ValueChange`](super::ValueChange): the choice between the two costs none of alpha.
    pub(super) fn suits(reference: &[f64]) -> bool {
        let asked = reference.iter().step_by(value_change::AIMING_SHARE);
        let mut asked = asked.take(AIMING_MOST as usize * AIMING_SHARE / value_change::AIMING_SHARE);
        asked.all(|value| *value == 0.0 || *value == 1.0)
    }

    /// Watches for a change from the `reference`, losses without NaN. `seed` breaks ties.
    ///
    /// # Errors
    /// [`BadSetting`] when alpha is outside its range.
    pub(super) fn new(
        alpha: f64,
        direction: Direction,
        reference: &[f64],
        seed: u64,
    ) -> Result<Self, BadSetting> {
        let (mut aiming, mut counted) = (Vec::new(), Vec::new());
        for (at, loss) in reference.iter().enumerate() {
            let aims = at % AIMING_SHARE == 0 && aiming.len() < AIMING_MOST as usize;
            if aims { &mut aiming } else { &mut counted }.push(*loss);
        }
        let smallest = aiming.iter().copied().fold(f64::INFINITY, f64::min);
        let largest = aiming.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let range = [smallest, largest];
        let lifetime = |share: f64| Guarantee::Lifetime { alpha: alpha * share };

        let mut ties = Ties::new(seed);
        let mut errors = |losses: &[f64]| {
            losses.iter().filter(|loss| becomes_error(loss.clamp(0.0, 1.0), &mut ties)).count() as u64
        };
        let labels = counted.len() as u64;
        let (aiming_errors, counted_errors) = (errors(&aiming), errors(&counted));
        let rate = RateChange::aimed(
            lifetime(1.0 - BEYOND_SHARE),
            direction,
            cut(aiming_errors, aiming.len() as u64),
            [labels - counted_errors, counted_errors],
            ties.clone(),
        )?;
        let outside = counted.iter().filter(|loss| is_beyond(direction, range, **loss)).count() as u64;
        let beyond = RateChange::aimed(
            lifetime(BEYOND_SHARE),
            Direction::Up,
            (CERTAIN / (labels as f64 + CERTAIN)).min(0.5),
            [labels - outside, outside],
            ties,
        )?;
        Ok(Self { direction, rate, range, beyond })
    }

    /// Takes in a loss.
    pub(super) fn observe(&mut self, loss: f64) -> Result<Signal, Unusable> {
        let rate = self.rate.observe_loss(loss.clamp(0.0, 1.0))?;
        let beyond = self.beyond.observe(is_beyond(self.direction, self.range, loss));
        let changed = rate == Signal::Change || beyond == Signal::Change;
        Ok(if changed { Signal::Change } else { Signal::Stable })
    }

    /// The stronger evidence of the two.
    pub(super) fn strength(&self) -> f64 {
        self.rate.strength().max(self.beyond.strength())
    }
}

fn is_beyond(direction: Direction, [smallest, largest]: [f64; 2], loss: f64) -> bool {
    let (above, below) = (loss > largest, loss < smallest);
    match direction {
        Direction::Up => above,
        Direction::Down => below,
        Direction::Both => above || below,
    }
}

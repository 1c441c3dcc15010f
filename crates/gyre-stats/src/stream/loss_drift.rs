//! Has the model become worse, label by label, although errors come in runs?

use serde::{Deserialize, Serialize};

use super::{
    BadSetting, Direction, Guarantee, Signal, Unusable, ValueChange, dependence::dependence,
    error_change::ErrorChange, evidence::HORIZON, require, usable,
};
use crate::moments::Moments;

/// Blocks that the reference must fill; it grows until it does.
const BLOCKS: usize = 10;

/// … or until it is so many times as long as asked for.
const LONGEST: usize = 8;

/// Classes of block means lie within so many standard deviations of their mean, evenly.
const REACH: f64 = 6.0;

/// Edges of those classes.
const EDGES: u32 = 63;

/// Parameters of [`LossDrift`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LossDriftSettings {
    /// Probability of ever alarming while nothing changes, in (0, 1).
    pub alpha: f64,
    /// Which changes count.
    pub direction: Direction,
    /// Labels at the beginning of the stream that are the reference, 100 to 100,000.
    pub reference: u32,
    /// Breaks ties.
    pub seed: u64,
}

impl Default for LossDriftSettings {
    fn default() -> Self {
        Self { alpha: 0.01, direction: Direction::Up, reference: 1_000, seed: 1 }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Phase {
    /// The reference so far, and how long it must be.
    Learning { values: Vec<f64>, wanted: usize },
    /// Independent losses, after a reference of errors of 0 and 1.
    Errors(ErrorChange),
    /// Means of blocks, of one value if they are independent.
    Blocks { length: u64, sum: f64, filled: u64, change: ValueChange },
}

/// A detector for the losses of a model (errors of 0 and 1, or any numbers), which watches from the first label on and
/// needs to know nothing.
///
/// The first labels are its reference. From their autocorrelation it learns how many neighbouring labels must be taken
/// together for their means to be nearly independent. If that is one, losses go to [`ValueChange`], label by label; but
/// after errors of 0 and 1 their rate goes to [`RateChange`](super::RateChange), with nine tenths of alpha, and with the
/// rest so does the rate of losses that are larger than the reference's largest (smaller than its smallest, for falls).
/// If it is more, the means of blocks of so many go to [`ValueChange`]: blocks are nearly exchangeable where labels are
/// not, and the ranks of their means need no estimate of their variance. A reference of fewer than ten blocks grows, up
/// to eightfold.
///
/// Guarantee: independent losses alarm with probability `alpha` at most, over the whole life (the choice between labels
/// and blocks apart, which uses the reference alone). For dependent losses this holds as far as blocks are
/// exchangeable; it is not proved, but simulated. Of 2,000 unchanged streams of 10,000 labels each, at the defaults,
/// there alarmed
///
/// | losses | alarmed |
/// | --- | --- |
/// | independent errors, 20 % | 0.50 % |
/// | independent, exponential | 0.20 % |
/// | an error while a normal autoregression, φ = 0.9, is below its 20 % quantile | 0.80 % |
/// | errors, 20 %, whose log-odds follow such an autoregression, deviation 1.5 | 0.80 % |
/// | a normal autoregression, φ = 0.1 (too faint to be seen always), 0.5, 0.9 | 1.20, 0.75, 0.40 % |
///
/// And the median delay, over 1,001 streams, of a change after 5,000 labels was
///
/// | losses | change | labels |
/// | --- | --- | --- |
/// | independent errors | 20 % to 30 % (after 2,000 labels: 431) | 412 |
/// | independent errors | 20 % to 40 % | 120 |
/// | errors below the quantile | 20 % to 30 %, to 40 % | 5,625, 1,376 |
/// | errors with autoregressive log-odds | 20 % to 30 %, to 40 % | 2,080, 662 |
/// | autoregression, φ = 0.9 | up by one deviation | 623 |
///
/// (`tests/stream_simulation.rs` prints them.) Where labels say little, delays are long because little was known, not
/// for want of haste: what came before a change bounds how well any detector can tell it from luck, and as losses after
/// the change join those that later ones are ranked among, a small change that is not found soon may never be.
///
/// Dependence that begins after a gap (a daily season in hourly losses), or is too long for the reference, is not
/// covered. After its alarm the detector is done; [`renewed`](Self::renewed), it begins another life.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LossDrift {
    settings: LossDriftSettings,
    phase: Phase,
    labels: u64,
    alarm: Option<u64>,
}

impl LossDrift {
    /// Nothing seen.
    ///
    /// # Errors
    /// [`BadSetting`] when a parameter is outside its range.
    pub fn new(settings: LossDriftSettings) -> Result<Self, BadSetting> {
        let alpha = settings.alpha;
        require(alpha > 0.0 && alpha < 1.0, "alpha", alpha, "above 0 and below 1")?;
        let wanted = settings.reference;
        require((100..=100_000).contains(&wanted), "reference", f64::from(wanted), "100 to 100,000")?;
        let phase = Phase::Learning { values: Vec::new(), wanted: wanted as usize };
        Ok(Self { settings, phase, labels: 0, alarm: None })
    }

    /// Another life with the same settings, which has seen nothing: the next labels are its reference. Its ties are broken
    /// by another seed, so that lives have nothing in common; alpha is spent anew.
    #[must_use]
    pub fn renewed(&self) -> Self {
        let mut settings = self.settings.clone();
        settings.seed = settings.seed.wrapping_add(1);
        let phase = Phase::Learning { values: Vec::new(), wanted: settings.reference as usize };
        Self { settings, phase, labels: 0, alarm: None }
    }

    /// Takes in the loss of one prediction, larger being worse; NaN is passed over.
    ///
    /// # Errors
    /// [`Unusable`] for an infinity or a magnitude above 1e150. The state is then unchanged.
    pub fn observe(&mut self, loss: f64) -> Result<Signal, Unusable> {
        if !usable(loss)? || self.alarm.is_some() {
            return Ok(Signal::Stable);
        }
        let signal = match &mut self.phase {
            Phase::Learning { values, wanted } => {
                values.push(loss);
                if values.len() >= *wanted {
                    self.learn();
                }
                Signal::Stable
            }
            Phase::Errors(change) => change.observe(loss)?,
            Phase::Blocks { length, sum, filled, change } => {
                *sum += loss / *length as f64;
                *filled += 1;
                if *filled < *length {
                    Signal::Stable
                } else {
                    *filled = 0;
                    change.observe(std::mem::take(sum))
                }
            }
        };
        self.labels += 1;
        if signal == Signal::Change {
            self.alarm = Some(self.labels);
        }
        Ok(signal)
    }

    /// Ends the reference, unless it is too short for its dependence.
    fn learn(&mut self) {
        let LossDriftSettings { alpha, direction, reference, seed } = self.settings;
        let Phase::Learning { values, wanted } = &mut self.phase else { return };
        let dependence = dependence(values);
        let longest = LONGEST * reference as usize;
        let length = dependence.map_or(1, |dependence| dependence.block).min(longest / BLOCKS);
        if length * BLOCKS > *wanted {
            *wanted = length * BLOCKS;
            return;
        }
        let guarantee = Guarantee::Lifetime { alpha };
        let next = if let Some(dependence) = dependence {
            blocks(values, length, dependence.inflation, guarantee, direction, seed)
        } else if ErrorChange::suits(values) {
            ErrorChange::new(alpha, direction, values, seed).map(Phase::Errors)
        } else {
            ValueChange::new(guarantee, direction, values, seed).map(|change| Phase::Blocks {
                length: 1,
                sum: 0.0,
                filled: 0,
                change,
            })
        };
        // The settings were checked when the detector was made.
        if let Ok(next) = next {
            self.phase = next;
        }
    }

    /// Labels in a block, 1 for independent labels; `None` while the reference is incomplete.
    #[must_use]
    pub fn block(&self) -> Option<u64> {
        match &self.phase {
            Phase::Learning { .. } => None,
            Phase::Errors(_) => Some(1),
            Phase::Blocks { length, .. } => Some(*length),
        }
    }

    /// The evidence for a change, from 0 to 1 (alarm), as a share of what an alarm needs in logarithms; `None` while
    /// the reference is incomplete.
    #[must_use]
    pub fn strength(&self) -> Option<f64> {
        match &self.phase {
            Phase::Learning { .. } => None,
            Phase::Errors(change) => Some(change.strength()),
            Phase::Blocks { change, .. } => Some(change.strength()),
        }
    }

    /// The label, counted from 1, at which it alarmed.
    #[must_use]
    pub fn alarm(&self) -> Option<u64> {
        self.alarm
    }
}

/// Watches means of blocks of so many values. Mean and spread of the reference say where classes lie, its blocks are what
/// later ones are ranked among.
fn blocks(
    values: &[f64],
    length: usize,
    inflation: f64,
    guarantee: Guarantee,
    direction: Direction,
    seed: u64,
) -> Result<Phase, BadSetting> {
    let moments: Moments = values.iter().copied().collect();
    let deviation = moments.standard_deviation().unwrap_or(0.0) * (inflation / length as f64).sqrt();
    let middle = moments.mean().unwrap_or(0.0);
    let step = 2.0 * REACH / f64::from(EDGES - 1);
    let edges = (0..EDGES).map(|at| middle + deviation * (f64::from(at) * step - REACH)).collect();
    let mut change = ValueChange::with_edges(guarantee, direction, edges, HORIZON / length as f64, seed)?;
    for block in values.chunks_exact(length) {
        change.learn(block.iter().map(|value| value / length as f64).sum());
    }
    Ok(Phase::Blocks { length: length as u64, sum: 0.0, filled: 0, change })
}

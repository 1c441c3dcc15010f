//! Streams whose drift is known, for trying policies where the truth is not in doubt.
//!
//! Nothing is trained: a world has one hidden number, the *concept*, that moves as the stream's kind says; a model knows its mean
//! over the days that it learnt from, and a day's loss is √(noise² + gap²), times how hard the day is for everybody. So the
//! controller and the other policies can be held against many worlds in a second.

use gyre_core::fact::Drift;
use gyre_core::spec::{Holdout, Window};
use gyre_core::time::Period;
use gyre_core::{Span, Timestamp};

use crate::known::{Fit, Fitted, Losses};
use crate::timeline::{Slice, Timeline};

/// How a stream's concept moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Not at all.
    Still,
    /// In a few jumps, far apart.
    Abrupt,
    /// Steadily, as far as two and a half times the noise in a year.
    Gradual,
    /// Between two states and back, every 120 days.
    Recurring,
    /// Not at all, while all features drift.
    Harmless,
    /// Not at all, while the days get half as hard again: no training helps.
    Harder,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 6] =
        [Self::Still, Self::Abrupt, Self::Gradual, Self::Recurring, Self::Harmless, Self::Harder];
}

/// A stream: its losses under every model that may be trained.
pub struct World {
    kind: Kind,
    timeline: Timeline,
    fits: Vec<Vec<Fitted>>,
}

/// Labelled rows of a day.
const ROWS: u64 = 100;
/// Days before the first training, and days of a window.
const WARM_UP: i64 = 56;
const WINDOW: i64 = 7;

impl World {
    /// A world of `days` days, with models trained on each of `candidates`; the seed makes its luck.
    pub fn new(kind: Kind, days: i64, candidates: &[Window], seed: u64) -> Self {
        let mut dice = Dice(seed);
        let concept = concept(kind, days, &mut dice);
        let hard: Vec<f64> = (0..days)
            .map(|day| {
                let trend = if kind == Kind::Harder { 1.0 + 0.5 * day as f64 / days as f64 } else { 1.0 };
                trend * (0.12 * dice.normal()).exp()
            })
            .collect();
        let timeline = timeline(days);
        let fit = |at: usize, window: &Window, dice: &mut Dice| {
            let as_of = timeline.moment(at).day();
            let from = match window {
                Window::All | Window::Fading(_) => 0,
                Window::Last(span) => (as_of - span.as_days() as i64).max(0),
            };
            // Labels of the last day are not there yet.
            let learnt: Vec<f64> = (from..as_of - 1)
                .filter(|day| day.rem_euclid(4) != 0)
                .filter_map(|day| concept.get(day as usize).copied())
                .collect();
            let count = learnt.len().max(1) as f64;
            let knows = learnt.iter().sum::<f64>() / count + dice.normal() / count.sqrt();
            let loss = |slice: &Slice, dice: &mut Dice| {
                let day = slice.day as usize;
                let (concept, hard) =
                    (concept.get(day).copied().unwrap_or_default(), hard.get(day).copied().unwrap_or(1.0));
                let own = 1.0 + 0.02 * dice.normal();
                10.0 * hard * own * (1.0 + (concept - knows).powi(2)).sqrt() * slice.seen as f64
            };
            let seen: Vec<f64> = timeline.slices.iter().map(|slice| loss(slice, dice)).collect();
            let expected =
                (0..timeline.decisions()).map(|decision| mean(&timeline, &seen, decision)).collect();
            Fitted { rows: count as u64 * ROWS, late: vec![0.0; seen.len()], seen, expected }
        };
        let fits = (0..timeline.decisions())
            .map(|at| candidates.iter().map(|window| fit(at, window, &mut dice)).collect())
            .collect();
        Self { kind, timeline, fits }
    }

    /// From losses that somebody made up.
    pub fn of(timeline: Timeline, fits: Vec<Vec<Fitted>>) -> Self {
        Self { kind: Kind::Still, timeline, fits }
    }

    /// The same with all losses from day `day` on in another order: a future that nobody can know.
    pub fn with_another_future(mut self, day: i64) -> Self {
        let from = self.timeline.slices.partition_point(|slice| slice.day < day);
        for fitted in self.fits.iter_mut().flatten() {
            if let Some(future) = fitted.seen.get_mut(from..) {
                future.reverse();
                future.iter_mut().for_each(|sum| *sum *= 1.5);
            }
            let (timeline, seen) = (&self.timeline, &fitted.seen);
            fitted.expected = (0..timeline.decisions()).map(|at| mean(timeline, seen, at)).collect();
        }
        self
    }
}

impl Losses for World {
    fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    fn fitted(&self, fit: Fit) -> Option<&Fitted> {
        self.fits.get(fit.at)?.get(fit.choice)
    }

    fn drift(&self, _: Fit, _: usize) -> Vec<Drift> {
        let drifted = self.kind == Kind::Harmless;
        let effect = if drifted { 0.5 } else { 0.0 };
        let (column, statistic) = ("x".to_owned(), "wasserstein".to_owned());
        vec![Drift { column, statistic, effect, floor: None, p: 1.0 - effect, usual: None, drifted }]
    }
}

/// Windows of a week, labels after a day, the first training after eight weeks, every fourth day withheld.
pub fn timeline(days: i64) -> Timeline {
    let at = |day: i64| Timestamp::from_millis(0) + Span::days(day);
    let windows: Vec<Period> = (WARM_UP..days)
        .step_by(WINDOW as usize)
        .map(|from| Period { from: at(from), to: at((from + WINDOW).min(days)) })
        .collect();
    let closings = (WARM_UP + WINDOW + 1..days).step_by(WINDOW as usize);
    let moments: Vec<Timestamp> = std::iter::once(WARM_UP).chain(closings).map(at).collect();
    let holdout = Holdout::default();
    let slice = |day: i64| {
        let from = at(day);
        let window = (day >= WARM_UP).then(|| ((day - WARM_UP) / WINDOW) as usize);
        Slice {
            from,
            day,
            window,
            era: moments.partition_point(|moment| *moment <= from).checked_sub(1),
            visible: window.map_or(0, |window| window + 1),
            withheld: holdout.withholds(from),
            seen: ROWS,
            late: 0,
        }
    };
    let slices = (0..days).map(slice).collect();
    Timeline { slices, windows, moments }
}

/// The mean loss over the window that closes at a decision.
fn mean(timeline: &Timeline, seen: &[f64], decision: usize) -> Option<f64> {
    let window = decision.checked_sub(1)?;
    let inside = timeline.slices.iter().zip(seen).filter(|(slice, _)| slice.window == Some(window));
    let (rows, sum) = inside.fold((0, 0.0), |(rows, sum), (slice, of)| (rows + slice.seen, sum + of));
    (rows > 0).then(|| sum / rows as f64)
}

fn concept(kind: Kind, days: i64, dice: &mut Dice) -> Vec<f64> {
    let jumps: Vec<(i64, f64)> = (0..3)
        .map(|_| (WARM_UP + (dice.uniform() * (days - WARM_UP) as f64) as i64, 1.5 * dice.normal()))
        .collect();
    let phase = (dice.uniform() * 120.0) as i64;
    let of_day = |day: i64| match kind {
        Kind::Still | Kind::Harmless | Kind::Harder => 0.0,
        Kind::Abrupt => jumps.iter().filter(|(at, _)| day >= *at).map(|(_, size)| size).sum(),
        Kind::Gradual => 2.5 * day as f64 / 365.0,
        Kind::Recurring => f64::from(u8::from((day + phase) / 120 % 2 == 1)) * 1.5,
    };
    (0..days).map(of_day).collect()
}

/// A small, seeded generator (SplitMix64, Steele et al. 2014).
struct Dice(u64);

impl Dice {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Standard normal (Box & Muller 1958).
    fn normal(&mut self) -> f64 {
        let (a, b) = (self.uniform().max(f64::MIN_POSITIVE), self.uniform());
        (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()
    }
}

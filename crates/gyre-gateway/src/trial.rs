//! The trial of a candidate: it is held against the champion after every single request.
//!
//! Ordinary tests break when they are looked at again and again. These hold whenever they are looked at
//! ([`gyre_stats::sequential`]): over a whole rollout, however long it takes and however its shares move, a candidate that
//! is no worse than the champion is sent back with probability [`Trial::alpha`] at most. So nobody has to wait for the end
//! of a window to act, and the gateway takes a failing candidate out of traffic with the request that convicts it.
//!
//! The tests need events that chance alone has dealt to one of the two. So a trial takes in calls of one row: the rows of a
//! larger call are dealt one by one and fail together, which no share describes. And it counts a failing id once: an id
//! stays with its version, so a client that tries again and again would bring the same event as often as it likes.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use gyre_core::Version;
use gyre_core::fact::Numbers;
use gyre_stats::proportion::Interval;
use gyre_stats::sequential::{Arm, ErrorShare, MeanDifference};
use twox_hash::XxHash3_64;

/// The chance of sending back a candidate that is no worse, over a whole rollout, unless another is set.
pub const ALPHA: f64 = 0.01;

/// How many failing ids are remembered; by then there is evidence enough, and a repeated one would change nothing.
const REMEMBERED: usize = 65_536;

/// What has come of a candidate beside its champion.
#[derive(Debug)]
pub struct Trial {
    candidate: Version,
    champion: Version,
    alpha: f64,
    seen: Mutex<Seen>,
    /// Whether the candidate has been convicted of failing more often.
    convicted: AtomicBool,
}

#[derive(Debug, Default)]
struct Seen {
    errors: ErrorShare,
    /// Of the logarithm of the time in the model: latencies have long tails, and "twice as slow" is what is meant.
    slowness: MeanDifference,
    calls: [u64; 2],
    failed: [u64; 2],
    /// Hashes of the ids that have failed.
    failing: HashSet<u64>,
}

/// What a trial has shown so far.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Finding {
    /// Calls of one row of the champion and of the candidate.
    pub calls: (u64, u64),
    /// Of those, failed; an id that fails again and again counts once.
    pub failed: (u64, u64),
    /// Anytime-valid p-value that the candidate fails no more often than the champion.
    pub errors_p: f64,
    /// Whether that is refuted at the trial's alpha.
    pub fails_more: bool,
    /// How many times longer a call of the candidate takes (ratio of geometric means), as an interval that holds at all
    /// times together; none before 100 answers of each.
    pub slowdown: Option<Interval>,
}

impl Finding {
    /// What a convicted candidate is convicted of, in words.
    pub fn charge(&self) -> String {
        format!(
            "it fails more often than the champion: {} of {} calls beside {} of {} (p = {:.2e}, valid whenever it is looked at)",
            self.failed.1, self.calls.1, self.failed.0, self.calls.0, self.errors_p
        )
    }

    /// By the names that `rollback_on` uses. `slowdown` is what is known for sure: the lower end, 0 when nothing is.
    pub fn numbers(&self) -> Numbers {
        let named = [
            ("errors_p", self.errors_p),
            ("champion_requests", self.calls.0 as f64),
            (
                "champion_errors",
                if self.calls.0 == 0 { 0.0 } else { self.failed.0 as f64 / self.calls.0 as f64 },
            ),
            ("slowdown", self.slowdown.map_or(0.0, |interval| interval.lower)),
        ];
        named.into_iter().map(|(name, number)| (name.to_owned(), number)).collect()
    }
}

impl Trial {
    /// A trial of `candidate` beside `champion`. `alpha`, the chance of a false conviction, lies in (0, 0.5].
    pub fn new(candidate: Version, champion: Version, alpha: f64) -> Self {
        let alpha = if alpha > 0.0 && alpha <= 0.5 { alpha } else { ALPHA };
        Self { candidate, champion, alpha, seen: Mutex::default(), convicted: AtomicBool::new(false) }
    }

    /// Who is on trial.
    pub fn candidate(&self) -> Version {
        self.candidate
    }

    /// Whether this is the trial of `candidate` beside `champion`.
    pub fn is_of(&self, candidate: Version, champion: Version) -> bool {
        (self.candidate, self.champion) == (candidate, champion)
    }

    /// The chance of a false conviction.
    pub fn alpha(&self) -> f64 {
        self.alpha
    }

    /// Whether the candidate fails more often than the champion, beyond doubt.
    pub fn is_convicted(&self) -> bool {
        self.convicted.load(Relaxed)
    }

    /// Takes in a call for the one row `id` that `version` answered in `took`, or failed, and that was routed while the
    /// candidate's share of traffic was `weight` (0 to 1). Says whether it is this call that convicts the candidate. Calls
    /// that were not routed by chance are none of the trial's business and must not be handed in.
    pub fn observe(&self, version: Version, weight: f64, id: &str, took: Duration, answered: bool) -> bool {
        let arm = if version == self.candidate {
            Arm::Candidate
        } else if version == self.champion {
            Arm::Champion
        } else {
            return false;
        };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if !answered {
            let hash = XxHash3_64::oneshot(id.as_bytes());
            let again = seen.failing.contains(&hash);
            if !again && seen.failing.len() < REMEMBERED {
                seen.failing.insert(hash);
            }
            if again {
                return false;
            }
        }
        let Some(calls) = seen.calls.get_mut(arm as usize) else { return false };
        *calls += 1;
        if answered {
            // A call takes some time; what the clock cannot tell counts as its smallest step. At a share of 0 or 1 there
            // is nothing to compare, which is all that can be wrong here.
            let _ = seen.slowness.observe(arm, weight, took.as_secs_f64().max(1e-9).ln());
            return false;
        }
        if let Some(failed) = seen.failed.get_mut(arm as usize) {
            *failed += 1;
        }
        let counted = seen.errors.observe_error(arm, weight).is_ok();
        counted && seen.errors.is_worse(self.alpha) && !self.convicted.swap(true, Relaxed)
    }

    /// What it has shown so far.
    pub fn finding(&self) -> Finding {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let interval = seen.slowness.interval(self.alpha);
        Finding {
            calls: seen.calls.into(),
            failed: seen.failed.into(),
            errors_p: seen.errors.p_value(),
            fails_more: seen.errors.is_worse(self.alpha),
            slowdown: interval.map(|interval| Interval {
                lower: interval.lower.exp(),
                upper: interval.upper.exp(),
                level: interval.level,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_candidate_that_always_fails_is_convicted_by_its_second_or_third_failure() {
        let trial = Trial::new(2, 1, ALPHA);
        (0..20).for_each(|at| assert!(!trial.observe(1, 0.1, &format!("good-{at}"), MS, true)));
        let convicting: Vec<bool> =
            (0..5).map(|at| trial.observe(2, 0.1, &format!("bad-{at}"), MS, false)).collect();
        assert_eq!(
            convicting.iter().filter(|convicts| **convicts).count(),
            1,
            "once, not again: {convicting:?}"
        );
        assert!(trial.is_convicted() && convicting[..3].contains(&true), "{convicting:?}");
        let finding = trial.finding();
        assert_eq!((finding.calls, finding.failed, finding.fails_more), ((20, 5), (0, 5), true));
        assert!(finding.errors_p <= ALPHA);
    }

    #[test]
    fn whoever_tries_the_same_again_and_again_convicts_nobody() {
        let trial = Trial::new(2, 1, ALPHA);
        assert!((0..1_000).all(|_| !trial.observe(2, 0.1, "poisoned", MS, false)));
        assert_eq!((trial.finding().failed, trial.is_convicted()), ((0, 1), false));
    }

    #[test]
    fn what_fails_alike_is_not_convicted() {
        let trial = Trial::new(2, 1, ALPHA);
        for at in 0..10_000_u32 {
            let (version, failed) = (if at % 10 == 0 { 2 } else { 1 }, at % 7 == 0);
            trial.observe(version, 0.1, &at.to_string(), MS, !failed);
        }
        assert!(!trial.is_convicted(), "{:?}", trial.finding());
    }

    #[test]
    fn slowness_is_a_ratio() {
        let trial = Trial::new(2, 1, ALPHA);
        assert_eq!(trial.finding().numbers()["slowdown"], 0.0);
        for at in 0..4_000_u32 {
            let jitter = Duration::from_micros(u64::from(at * 37 % 200));
            let version = 1 + at % 2;
            trial.observe(version, 0.5, "id", version * MS * 2 + jitter, true);
        }
        let slowdown = trial.finding().slowdown.unwrap();
        assert!(slowdown.lower > 1.7 && slowdown.upper < 2.1, "{slowdown:?}");
    }

    #[test]
    fn strangers_do_not_count() {
        let trial = Trial::new(2, 1, ALPHA);
        assert!(!trial.observe(3, 0.1, "id", MS, false));
        assert_eq!(trial.finding().calls, (0, 0));
    }
}

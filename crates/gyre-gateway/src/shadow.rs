//! A candidate in the shadow of the champion: it is asked what the champion is asked, and nobody waits for its answer.
//!
//! A copy of each request goes through a bounded queue to one thread; when the queue is full the copy is skipped and
//! counted, so a slow candidate costs the champion's callers nothing but the copy. What is compared are answers to the same
//! rows, so a handful shows more than thousands of split traffic would.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use gyre_core::Version;
use gyre_core::fact::Numbers;
use gyre_core::record::Value;
use gyre_stats::moments::Moments;

use crate::request::{Answer, Request};

/// Requests that may wait for the candidate.
const QUEUE: usize = 256;

/// Numbers that differ by more than this share of the champion's are another answer.
const ANOTHER: f64 = 0.1;

/// Who answers beside the champion: the rows' answers, or none when it failed.
pub(crate) type Asked = Box<dyn Fn(Request) -> Option<Vec<Answer>> + Send>;

/// A candidate that is asked beside the champion.
pub(crate) struct Shadow {
    candidate: Version,
    champion: Version,
    queue: SyncSender<(Request, Vec<Answer>)>,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    mirrored: AtomicU64,
    skipped: AtomicU64,
    compared: Mutex<Compared>,
}

#[derive(Default)]
struct Compared {
    rows: u64,
    others: u64,
    difference: Moments,
}

/// What a candidate has shown in the shadow of the champion.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ShadowFinding {
    /// Requests that it was asked, answered or not.
    pub mirrored: u64,
    /// Requests that it was not asked, for it could not keep up.
    pub skipped: u64,
    /// Rows that both answered.
    pub rows: u64,
    /// The share of them with another class, or with a number that differs by more than a tenth of the champion's; none
    /// before the first.
    pub disagreement: Option<f64>,
    /// The mean difference: of numbers in their unit, of classes in probability moved (total variation distance).
    pub difference: Option<f64>,
}

impl ShadowFinding {
    /// By the names that `rollback_on` uses; what was not measured is left out.
    pub fn numbers(&self) -> Numbers {
        let named = [
            ("mirrored", Some(self.mirrored as f64)),
            ("disagreement", self.disagreement),
            ("difference", self.difference),
        ];
        named.into_iter().filter_map(|(name, number)| Some((name.to_owned(), number?))).collect()
    }
}

impl Shadow {
    /// Begins to ask `candidate` beside `champion`, on a thread of its own that ends with the shadow.
    ///
    /// # Errors
    /// No thread can be had.
    pub(crate) fn start(candidate: Version, champion: Version, asked: Asked) -> std::io::Result<Self> {
        let (queue, coming) = sync_channel(QUEUE);
        let seen = Arc::new(Seen::default());
        let told = Arc::clone(&seen);
        let thread = std::thread::Builder::new().name("gyre-shadow".to_owned());
        thread.spawn(move || compare_all(&coming, &asked, &told))?;
        Ok(Self { candidate, champion, queue, seen })
    }

    pub(crate) fn is_of(&self, candidate: Version, champion: Version) -> bool {
        (self.candidate, self.champion) == (candidate, champion)
    }

    pub(crate) fn candidate(&self) -> Version {
        self.candidate
    }

    /// Hands over what the champion has answered; never waits.
    pub(crate) fn mirror(&self, request: Request, answers: Vec<Answer>) {
        let counted = match self.queue.try_send((request, answers)) {
            Ok(()) => &self.seen.mirrored,
            Err(_) => &self.seen.skipped,
        };
        counted.fetch_add(1, Relaxed);
    }

    /// What it has shown so far.
    pub(crate) fn finding(&self) -> ShadowFinding {
        let compared = self.seen.compared.lock().unwrap_or_else(PoisonError::into_inner);
        ShadowFinding {
            mirrored: self.seen.mirrored.load(Relaxed),
            skipped: self.seen.skipped.load(Relaxed),
            rows: compared.rows,
            disagreement: (compared.rows > 0).then(|| compared.others as f64 / compared.rows as f64),
            difference: compared.difference.mean(),
        }
    }
}

fn compare_all(coming: &Receiver<(Request, Vec<Answer>)>, asked: &Asked, seen: &Seen) {
    for (request, champions) in coming {
        let Some(candidates) = asked(request) else { continue };
        let mut compared = seen.compared.lock().unwrap_or_else(PoisonError::into_inner);
        for (champion, candidate) in champions.iter().zip(&candidates) {
            compared.rows += 1;
            compared.others += u64::from(is_another(&champion.output, &candidate.output));
            if let Some(difference) = difference(champion, candidate) {
                compared.difference.push(difference);
            }
        }
    }
}

fn is_another(champion: &Value, candidate: &Value) -> bool {
    match (champion, candidate) {
        (Value::Number(champion), Value::Number(candidate)) => {
            (champion - candidate).abs() > ANOTHER * champion.abs()
        }
        (champion, candidate) => champion != candidate,
    }
}

fn difference(champion: &Answer, candidate: &Answer) -> Option<f64> {
    match (&champion.output, &candidate.output) {
        (Value::Number(champion), Value::Number(candidate)) => Some((champion - candidate).abs()),
        _ if champion.scores.len() == candidate.scores.len() => {
            let moved = champion.scores.iter().zip(&candidate.scores).map(|(a, b)| (a - b).abs());
            Some(moved.sum::<f64>() / 2.0)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gyre_core::Timestamp;
    use gyre_core::record::Route;

    fn answer(output: Value, scores: &[f64]) -> Answer {
        Answer { version: 1, route: Route::Champion, output, scores: scores.to_vec(), cached: false }
    }

    fn request() -> Request {
        Request {
            ids: vec!["a".into()],
            key: None,
            time: Timestamp::default(),
            inputs: Vec::new(),
            headers: Default::default(),
        }
    }

    /// What is found once all that was mirrored has been compared.
    fn found(shadow: Shadow, count: u64) -> ShadowFinding {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while shadow.finding().rows < count && std::time::Instant::now() < deadline {
            std::thread::yield_now();
        }
        shadow.finding()
    }

    #[test]
    fn numbers_and_classes_are_compared_row_by_row() {
        let constant = |output: Value, scores: &'static [f64]| -> Asked {
            Box::new(move |_| Some(vec![answer(output.clone(), scores)]))
        };
        let numbers = Shadow::start(2, 1, constant(Value::Number(10.0), &[])).unwrap();
        for champion in [10.0, 10.5, 20.0, 8.0] {
            numbers.mirror(request(), vec![answer(Value::Number(champion), &[])]);
        }
        let finding = found(numbers, 4);
        assert_eq!((finding.mirrored, finding.skipped, finding.rows), (4, 0, 4));
        assert_eq!((finding.disagreement, finding.difference), (Some(0.5), Some(12.5 / 4.0)));
        let classes = Shadow::start(2, 1, constant(Value::Text("a".into()), &[0.75, 0.25])).unwrap();
        for (class, scores) in [("a", [0.75, 0.25]), ("b", [0.25, 0.75])] {
            classes.mirror(request(), vec![answer(Value::Text(class.into()), &scores)]);
        }
        let finding = found(classes, 2);
        assert_eq!((finding.disagreement, finding.difference), (Some(0.5), Some(0.25)));
    }

    #[test]
    fn a_candidate_that_hangs_costs_nothing_but_its_own_comparison() {
        let (free, blocked) = std::sync::mpsc::channel::<()>();
        let blocked = Mutex::new(blocked);
        let hanging: Asked = Box::new(move |_| {
            let _ = blocked.lock().unwrap().recv();
            None
        });
        let shadow = Shadow::start(2, 1, hanging).unwrap();
        for _ in 0..1_000 {
            shadow.mirror(request(), vec![answer(Value::Number(1.0), &[])]);
        }
        let finding = shadow.finding();
        assert_eq!(finding.mirrored + finding.skipped, 1_000);
        assert!((QUEUE as u64..=QUEUE as u64 + 1).contains(&finding.mirrored), "{finding:?}");
        assert_eq!(finding.disagreement, None);
        drop(free);
    }
}

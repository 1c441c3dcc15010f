use super::*;
use std::sync::Mutex as StdMutex;

use gyre_runtime::Column;

type Answer = oneshot::Receiver<Result<Scores, BackendError>>;
/// The slots and batches that were started.
type Started = Arc<StdMutex<Vec<(Slot, Vec<Job>)>>>;

fn lane(limits: Limits) -> (Arc<Lane>, Started) {
    let started: Started = Arc::default();
    let sink = Arc::clone(&started);
    let start = move |slot: Slot, jobs: Vec<Job>| sink.lock().unwrap().push((slot, jobs));
    (Lane::new(limits, Arc::new(start)), started)
}

fn job(rows: usize, millis: u64) -> (Job, Answer) {
    let table = Table::new([("x", Column::Numeric(vec![0.0; rows]))]).unwrap();
    let (reply, answer) = oneshot::channel();
    let deadline = Instant::now() + Duration::from_millis(millis);
    (Job { table, deadline, parent: None, reply: Some(reply) }, answer)
}

fn enter(lane: &Arc<Lane>, rows: usize, millis: u64) -> (Result<Entry, BackendError>, Answer) {
    let (job, answer) = job(rows, millis);
    (lane.enter(job, true), answer)
}

/// The rows of each request of each batch.
fn batches(started: &Started) -> Vec<Vec<usize>> {
    let started = started.lock().unwrap();
    started.iter().map(|(_, jobs)| jobs.iter().map(|job| job.table.rows()).collect()).collect()
}

/// Ends the calls that were started.
fn finish(started: &Started) {
    let slots = std::mem::take(&mut *started.lock().unwrap());
    drop(slots);
}

#[tokio::test(start_paused = true)]
async fn who_comes_to_an_idle_model_goes_at_once_and_others_go_together() {
    let (lane, started) = lane(Limits { batch_rows: 4, ..Limits::default() });
    let (first, _answer) = enter(&lane, 1, 1_000);
    let Ok(Entry::Now(slot, _)) = first else { panic!("{first:?}") };
    let waiting: Vec<_> = [1, 2, 1, 1, 9, 1].map(|rows| enter(&lane, rows, 1_000)).into_iter().collect();
    assert!(waiting.iter().all(|(entry, _)| matches!(entry, Ok(Entry::Later))));
    assert_eq!((lane.load().requests, lane.load().rows), (6, 15));
    assert_eq!(lane.load().waited, Waited::default());
    tokio::time::advance(Duration::from_millis(5)).await;
    drop(slot);
    assert_eq!(batches(&started), [vec![1, 2, 1]]);
    assert_eq!(lane.load().waited, Waited { requests: 3, time: Duration::from_millis(15) });
    finish(&started);
    // What is longer than a batch goes alone.
    assert_eq!(batches(&started), [vec![1]]);
    finish(&started);
    assert_eq!(batches(&started), [vec![9]]);
    finish(&started);
    assert_eq!(batches(&started), [vec![1]]);
    finish(&started);
    assert_eq!(lane.load().calls, 0);
    lane.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn who_has_gone_away_is_not_asked_for() {
    let (lane, started) = lane(Limits::default());
    let (first, _answer) = enter(&lane, 1, 1_000);
    let (_, gone) = enter(&lane, 2, 1_000);
    let (_, _late) = enter(&lane, 3, 10);
    let (_, _stays) = enter(&lane, 4, 1_000);
    drop(gone);
    tokio::time::advance(Duration::from_millis(20)).await;
    drop(first);
    assert_eq!(batches(&started), [vec![4]]);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_turns_away_but_forgets_who_has_gone() {
    let (lane, _started) = lane(Limits { queue_requests: 2, queue_rows: 10, ..Limits::default() });
    let (_first, _answer) = enter(&lane, 1, 1_000);
    let (_, a) = enter(&lane, 8, 1_000);
    let (too_many_rows, _) = enter(&lane, 3, 1_000);
    assert!(matches!(too_many_rows, Err(BackendError::Overloaded { .. })));
    let (_, _b) = enter(&lane, 1, 1_000);
    let (too_many, _) = enter(&lane, 1, 1_000);
    let error = too_many.unwrap_err().to_string();
    assert_eq!(error, "the model is busy: too much waits already; try again in 1.0 s");
    drop(a);
    assert!(matches!(enter(&lane, 3, 1_000).0, Ok(Entry::Later)));
    assert_eq!(lane.load().rows, 4);
}

#[tokio::test(start_paused = true)]
async fn who_has_no_chance_is_turned_away_at_once() {
    let (lane, started) = lane(Limits { batch_rows: 1, ..Limits::default() });
    for _ in 0..5 {
        lane.note(1, Duration::from_millis(100));
    }
    let (first, _answer) = enter(&lane, 1, 1_000);
    let _waiting: Vec<_> = (0..3).map(|_| enter(&lane, 1, 1_000)).collect();
    let (hopeless, _) = enter(&lane, 1, 400);
    let Err(BackendError::Overloaded { retry_after, why }) = hopeless else { panic!("{hopeless:?}") };
    assert_eq!((why, retry_after.as_millis().div_ceil(10)), ("the answer would come after the deadline", 45));
    assert!(matches!(enter(&lane, 1, 500).0, Ok(Entry::Later)));
    drop(first);
    finish(&started);
}

#[tokio::test(start_paused = true)]
async fn who_lost_the_chance_in_line_takes_no_time_of_others() {
    let (lane, started) = lane(Limits { batch_rows: 1, ..Limits::default() });
    (0..5).for_each(|_| lane.note(1, Duration::from_millis(100)));
    let (first, _answer) = enter(&lane, 1, 1_000);
    let (waits, lost) = enter(&lane, 1, 160);
    let (_, stays) = enter(&lane, 1, 1_000);
    assert!(matches!(waits, Ok(Entry::Later)));
    // The call before takes longer than calls do.
    tokio::time::advance(Duration::from_millis(80)).await;
    drop(first);
    let told = lost.await.unwrap().unwrap_err();
    assert!(matches!(told, BackendError::Overloaded { why: TOO_LATE, .. }), "{told}");
    assert_eq!((batches(&started), lane.load().rows), (vec![vec![1]], 0));
    drop(stays);
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_cut_where_its_first_deadline_would_pass() {
    let (lane, started) = lane(Limits::default());
    for rows in [1, 2, 3, 4, 5] {
        lane.note(rows, Duration::from_millis(10 * rows as u64));
    }
    let (first, _answer) = enter(&lane, 1, 1_000);
    let _waiting: Vec<_> = [10, 10, 10].map(|rows| enter(&lane, rows, 350)).into_iter().collect();
    tokio::time::advance(Duration::from_millis(100)).await;
    drop(first);
    assert_eq!(batches(&started), [vec![10, 10]]);
}

#[tokio::test(start_paused = true)]
async fn calls_of_ones_own_take_their_turn() {
    let (lane, started) = lane(Limits::default());
    let own = lane.turn(Instant::now()).await.unwrap();
    let (_, _a) = enter(&lane, 1, 1_000);
    let turn = tokio::spawn({
        let lane = Arc::clone(&lane);
        async move { lane.turn(Instant::now() + Duration::from_secs(9)).await }
    });
    while lane.load().requests < 2 {
        tokio::task::yield_now().await;
    }
    let (_, _b) = enter(&lane, 2, 1_000);
    drop(own);
    assert_eq!(batches(&started), [vec![1]]);
    finish(&started);
    let own = turn.await.unwrap().unwrap();
    assert!(batches(&started).is_empty());
    drop(own);
    assert_eq!(batches(&started), [vec![2]]);
    let late = lane.turn(Instant::now() + Duration::from_millis(5)).await.unwrap_err();
    assert!(matches!(late, BackendError::Deadline { .. }));
    finish(&started);
    assert_eq!(lane.load().calls, 0);
}

#[tokio::test(start_paused = true)]
async fn a_closed_lane_takes_nobody_and_ends_when_all_are_done() {
    let (lane, started) = lane(Limits::default());
    let (first, _answer) = enter(&lane, 1, 1_000);
    let (_, _waits) = enter(&lane, 2, 1_000);
    lane.close();
    assert!(matches!(enter(&lane, 1, 1_000).0, Err(BackendError::Stopped)));
    let quiet = tokio::spawn({
        let lane = Arc::clone(&lane);
        async move { lane.quiet().await }
    });
    drop(first);
    assert_eq!(batches(&started), [vec![2]]);
    assert!(!quiet.is_finished());
    finish(&started);
    quiet.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_reads_nothing_is_no_silence_of_the_server() {
    let (lane, _started) = lane(Limits { calls: 2, ..Limits::default() });
    let hour = Duration::from_secs(3_600);
    let _slot = lane.turn(Instant::now() + hour).await.unwrap();
    tokio::time::advance(hour).await;
    assert_eq!(lane.silent(), hour);
    let away = lane.away();
    tokio::time::advance(hour).await;
    assert_eq!(lane.silent(), Duration::ZERO);
    // While another call waits for the server, its silence counts.
    let other = lane.turn(Instant::now() + hour).await.unwrap();
    assert_eq!(lane.silent(), hour);
    drop(other);
    drop(away);
    tokio::time::advance(hour).await;
    assert_eq!(lane.silent(), hour, "from the moment on that the caller came back");
}

/// Comes every `every` ms for `millis` ms to a model that answers one in 10 ms; the ages of those that were answered, by when.
async fn come(
    lane: &Arc<Lane>,
    started: &Started,
    every: u64,
    millis: u64,
    patience: u64,
) -> Vec<(u64, u64)> {
    (0..5).for_each(|_| lane.note(1, Duration::from_millis(10)));
    let mut answered = Vec::new();
    let mut open = vec![];
    let mut first = None;
    for at in 0..millis {
        if at % 10 == 0 {
            first = None;
            let ended: Vec<(Slot, Vec<Job>)> = std::mem::take(&mut *started.lock().unwrap());
            for (slot, jobs) in ended {
                for mut job in jobs {
                    let age = job.deadline - Duration::from_millis(patience);
                    answered.push((at, age.elapsed().as_millis() as u64));
                    job.answer(Err(BackendError::Stopped));
                }
                drop(slot);
            }
        }
        if at % every == 0 {
            let (entry, answer) = enter(lane, 1, patience);
            match entry {
                Ok(Entry::Now(slot, job)) => first = Some((slot, job)),
                Ok(Entry::Later) => open.push(answer),
                Err(_) => {}
            }
        }
        open.retain_mut(|answer: &mut Answer| {
            matches!(answer.try_recv(), Err(oneshot::error::TryRecvError::Empty))
        });
        tokio::time::advance(Duration::from_millis(1)).await;
    }
    drop(first);
    answered
}

#[tokio::test(start_paused = true)]
async fn under_lasting_overload_the_newest_go_first_and_nobody_waits_for_long() {
    let (lane, started) = lane(Limits { batch_rows: 1, ..Limits::default() });
    let answered = come(&lane, &started, 2, 2_000, 60_000).await;
    let settled: Vec<u64> = answered.iter().filter_map(|(at, age)| (*at >= 500).then_some(*age)).collect();
    assert_eq!(settled.len(), 150, "it answers as many as it can");
    assert!(settled.iter().all(|age| *age <= 30), "{settled:?}");
    assert!(lane.load().requests <= 11, "{:?}", lane.load());
}

#[tokio::test(start_paused = true)]
async fn a_burst_and_what_can_be_answered_keep_their_order() {
    let (lane, started) = lane(Limits { batch_rows: 1, ..Limits::default() });
    let (first, _answer) = enter(&lane, 1, 60_000);
    let burst: Vec<Answer> = (0..100).map(|_| enter(&lane, 1, 60_000).1).collect();
    drop(first);
    let answered = come(&lane, &started, 10, 3_000, 60_000).await;
    let ages: Vec<u64> = answered.iter().map(|(_, age)| *age).collect();
    assert_eq!(ages.len(), 300);
    // As long as the line is, one after another.
    assert!(ages[120..].iter().all(|age| (900..=1_100).contains(age)), "{ages:?}");
    assert!(burst.into_iter().all(|mut answer| matches!(answer.try_recv(), Ok(Err(BackendError::Stopped)))));
}

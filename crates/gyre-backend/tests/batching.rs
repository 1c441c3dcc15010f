//! Many callers in front of a model that answers one request at a time.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use gyre_backend::{AnswerError, Backend, BackendError, Instant};
use gyre_runtime::Scores;
use support::*;

/// Asks for all rows at once, each as a caller of its own, while the model is busy with another.
async fn together(backend: &Arc<Backend>, asked: &[(f64, &str)]) -> Vec<Result<Scores, BackendError>> {
    let ask = |rows_of: Vec<(f64, String)>| {
        let backend = Arc::clone(backend);
        tokio::spawn(async move {
            let rows_of: Vec<(f64, &str)> = rows_of.iter().map(|(x, mode)| (*x, mode.as_str())).collect();
            backend.predict(rows(&rows_of), soon()).await
        })
    };
    let folder = tempfile::tempdir().unwrap();
    let gate = folder.path().join("gate");
    let first = ask(vec![(0.0, format!("gate:{}", gate.display()))]);
    while backend.status().calls == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut callers = Vec::new();
    for (x, mode) in asked {
        callers.push(ask(vec![(*x, (*mode).to_owned())]));
        // One after another, so that their order in line is known.
        while backend.status().waiting_requests < callers.len() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    std::fs::write(gate, "open").unwrap();
    let mut answers = Vec::new();
    for caller in callers {
        answers.push(caller.await.unwrap());
    }
    first.await.unwrap().unwrap();
    answers
}

fn calls(backend: &Backend) -> Vec<usize> {
    backend.log().iter().filter_map(|line| line.strip_prefix("call ")?.parse().ok()).collect()
}

#[tokio::test]
async fn rows_that_gather_go_together_and_each_caller_gets_its_own() {
    for arguments in [&["--calls"][..], &["--calls", "--binary"]] {
        let backend = Arc::new(Backend::process(v2(arguments)).unwrap());
        backend.ready(soon()).await.unwrap();
        let asked: Vec<(f64, &str)> = (1..=20).map(|x| (f64::from(x), "ok")).collect();
        let answers = together(&backend, &asked).await;
        for ((x, _), answer) in asked.iter().zip(answers) {
            assert_eq!(answer.unwrap(), y(&[2.0 * x + 1.0]));
        }
        // The first prediction, the slow one, and all others in one.
        assert_eq!(calls(&backend), [1, 1, 20]);
        backend.drain().await;
    }
}

#[tokio::test]
async fn a_poison_row_fails_alone() {
    let backend = Arc::new(Backend::process(v2(&["--calls"])).unwrap());
    backend.ready(soon()).await.unwrap();
    for poison in ["fail", "garbage", "rows", "nan"] {
        let before = calls(&backend).len();
        let mut asked = vec![(1.0, "ok"); 16];
        asked[5].1 = poison;
        let answers = together(&backend, &asked).await;
        for (at, answer) in answers.into_iter().enumerate() {
            match (at, answer) {
                (5, Err(BackendError::Refused { status: 400, .. })) if poison == "fail" => {}
                (5, Err(BackendError::Answer(AnswerError::Format(_)))) if poison == "garbage" => {}
                // What answers with a row too few answers one row with none.
                (5, Err(BackendError::Answer(AnswerError::Rows { found: 0, expected: 1 })))
                    if poison == "rows" => {}
                (5, Err(BackendError::Answer(AnswerError::NonFinite { row: 0, .. }))) if poison == "nan" => {}
                (_, Ok(scores)) if at != 5 => assert_eq!(scores, y(&[3.0])),
                (at, other) => panic!("{poison}, caller {at}: {other:?}"),
            }
        }
        // NaN is found in the common answer; for the others the batch was halved until the row was alone.
        let asked = calls(&backend).len() - before - 1;
        assert_eq!(asked, if poison == "nan" { 1 } else { 9 }, "{poison}");
    }
    assert_eq!(backend.status().restarts, 0);
    backend.drain().await;
}

#[tokio::test]
async fn a_row_that_kills_the_model_takes_at_most_half_of_its_batch_along() {
    let backend = Arc::new(Backend::process(v2(&[])).unwrap());
    backend.ready(soon()).await.unwrap();
    let mut asked = vec![(1.0, "ok"); 8];
    asked[7].1 = "crash";
    let answers = together(&backend, &asked).await;
    let lost: Vec<usize> =
        answers.iter().enumerate().filter(|(_, answer)| answer.is_err()).map(|(at, _)| at).collect();
    assert!(answers[..4].iter().all(|answer| *answer.as_ref().unwrap() == y(&[3.0])));
    assert!(lost.contains(&7) && lost.iter().all(|at| *at >= 4), "{lost:?}");
    // The batch was lost, and then one half of it; not every row of that alone.
    while backend.status().restarts < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    backend.ready(soon()).await.unwrap();
    assert_eq!(backend.status().restarts, 2);
    backend.drain().await;
}

#[tokio::test]
async fn batching_can_be_turned_off() {
    let mut spec = v2(&["--calls"]);
    spec.limits.batch_rows = 1;
    let backend = Arc::new(Backend::process(spec).unwrap());
    backend.ready(soon()).await.unwrap();
    let answers = together(&backend, &[(1.0, "ok"); 5]).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(calls(&backend), [1; 7]);
    backend.drain().await;
}

#[tokio::test]
async fn too_many_callers_are_turned_away_and_the_others_answered() {
    let mut spec = v2(&[]);
    spec.limits.queue_requests = 4;
    let backend = Arc::new(Backend::process(spec).unwrap());
    backend.ready(soon()).await.unwrap();
    let callers: Vec<_> = (0..40)
        .map(|_| {
            let backend = Arc::clone(&backend);
            tokio::spawn(async move { backend.predict(rows(&[(1.0, "slow")]), soon()).await })
        })
        .collect();
    let mut answered = 0;
    for caller in callers {
        match caller.await.unwrap() {
            Ok(scores) => {
                assert_eq!(scores, y(&[3.0]));
                answered += 1;
            }
            Err(BackendError::Overloaded { retry_after, .. }) => assert!(retry_after > Duration::ZERO),
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(answered, 5);
    backend.drain().await;
}

#[tokio::test]
async fn a_caller_that_goes_away_frees_its_place() {
    let backend = Arc::new(Backend::process(v2(&[])).unwrap());
    backend.ready(soon()).await.unwrap();
    let gone = tokio::spawn({
        let backend = Arc::clone(&backend);
        async move { backend.predict(rows(&[(1.0, "slow")]), soon()).await }
    });
    while backend.status().calls == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    gone.abort();
    let began = Instant::now();
    assert_eq!(backend.predict(rows(&[(1.0, "ok")]), soon()).await.unwrap(), y(&[3.0]));
    assert!(began.elapsed() < PATIENCE);
    assert_eq!(backend.status().calls, 0);
    backend.drain().await;
}

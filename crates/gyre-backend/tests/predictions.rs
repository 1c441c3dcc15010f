//! Predictions of real servers, in each protocol, over each kind of connection, held to the signature.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use gyre_backend::{AnswerError, Backend, BackendError, Instant, Listen, ProcessSpec, Protocol};
use gyre_runtime::{Scores, Table};
use support::*;

async fn ask(backend: &Backend, table: Table) -> Result<Scores, BackendError> {
    backend.predict(table, soon()).await
}

#[tokio::test]
async fn v2_in_json_and_in_binary_on_a_port_and_on_a_socket() {
    for arguments in [&[][..], &["--binary"]] {
        for listen in [Listen::FreePort, Listen::Socket] {
            let backend = Backend::process(ProcessSpec { listen, ..v2(arguments) }).unwrap();
            let scores = ask(&backend, rows(&[(1.0, "ä"), (-0.25, ""), (3e300, "ok")])).await.unwrap();
            assert_eq!(scores, y(&[3.0, 0.5, 6e300]), "{arguments:?} {listen:?}");
            let status = backend.status();
            assert!(
                status.pid.is_some()
                    && status.address.unwrap().contains(if listen == Listen::Socket {
                        "/socket"
                    } else {
                        "127.0.0.1:"
                    })
            );
            backend.drain().await;
        }
    }
}

#[tokio::test]
async fn another_language_behind_placeholders() {
    let command = ["node", "node.js", "{socket}"];
    let mut spec = ProcessSpec::new(command, Protocol::v2("n"), signature(false, &[]));
    spec.dir = servers();
    let backend = Backend::process(spec).unwrap();
    assert_eq!(ask(&backend, numbers(&[1.5, 2.0])).await.unwrap(), y(&[4.5, 6.0]));
    backend.drain().await;
}

#[tokio::test]
async fn mlflow_scoring_in_each_shape_of_answer() {
    for shape in ["labels", "probabilities", "frame"] {
        let signature = signature(false, &["no", "yes"]);
        let backend = Backend::process(python("scoring.py", &[shape], Protocol::Mlflow, signature)).unwrap();
        let scores = ask(&backend, numbers(&[2.5, 7.5])).await.unwrap();
        let Scores::Classification { labels, classes, probabilities } = scores else { panic!("{scores:?}") };
        assert_eq!((&*labels[0], &*labels[1], classes.len()), ("no", "yes", 2));
        let expected = if shape == "labels" { vec![] } else { vec![0.75, 0.25, 0.25, 0.75] };
        assert_eq!(probabilities, expected);
        let error = ask(&backend, numbers(&[-1.0])).await.unwrap_err().to_string();
        assert_eq!(error, "the model's server answered 400: x must not be negative");
        backend.drain().await;
    }
}

#[tokio::test]
async fn what_the_signature_does_not_promise_is_an_error_with_a_name() {
    let mut spec = v2(&[]);
    spec.limits.answer_bytes = 1 << 20;
    let backend = Backend::process(spec).unwrap();
    let answer = async |mode: &str| match ask(&backend, rows(&[(1.0, "ok"), (2.0, mode)])).await {
        Err(BackendError::Answer(error)) => error,
        other => panic!("{mode}: {other:?}"),
    };
    assert!(matches!(answer("garbage").await, AnswerError::Format(_)));
    assert_eq!(answer("rows").await, AnswerError::Rows { found: 1, expected: 2 });
    assert!(matches!(answer("nan").await, AnswerError::NonFinite { row: 1, .. }));
    assert_eq!(answer("big").await, AnswerError::TooLarge { limit: 1 << 20 });
    let refused = ask(&backend, rows(&[(1.0, "fail")])).await.unwrap_err();
    assert!(
        matches!(&refused, BackendError::Refused { status: 400, message } if message == "bad row"),
        "{refused}"
    );
    let busy = ask(&backend, rows(&[(1.0, "busy")])).await.unwrap_err();
    assert!(
        matches!(busy, BackendError::Overloaded { retry_after, .. } if retry_after == Duration::from_secs(7))
    );
    // And none of this has disturbed it.
    assert_eq!(ask(&backend, rows(&[(1.0, "ok")])).await.unwrap(), y(&[3.0]));
    assert_eq!(backend.status().restarts, 0);
    backend.drain().await;
}

#[tokio::test]
async fn rows_that_do_not_fit_never_leave() {
    let backend = Backend::process(v2(&["--calls"])).unwrap();
    backend.ready(soon()).await.unwrap();
    let calls = backend.log().len();
    for (table, expected) in
        [(numbers(&[1.0]), r#"feature "mode" is missing"#), (rows(&[]), "there are no rows")]
    {
        let error = ask(&backend, table).await.unwrap_err();
        assert!(matches!(&error, BackendError::Input(problem) if problem == expected), "{error}");
    }
    assert_eq!(backend.log().len(), calls);
    backend.drain().await;
}

#[tokio::test]
async fn a_deadline_is_kept_and_a_slow_answer_harms_nobody_later() {
    let backend = Backend::process(v2(&[])).unwrap();
    backend.ready(soon()).await.unwrap();
    let began = Instant::now();
    let error = backend.predict(rows(&[(1.0, "slow")]), began + Duration::from_millis(50)).await.unwrap_err();
    assert!(matches!(error, BackendError::Deadline { .. }), "{error}");
    assert!(began.elapsed() < Duration::from_millis(190), "{:?}", began.elapsed());
    assert_eq!(ask(&backend, rows(&[(1.0, "ok")])).await.unwrap(), y(&[3.0]));
    backend.drain().await;
}

#[tokio::test]
async fn a_connection_that_the_server_closes_is_made_again() {
    let backend = Backend::process(v2(&[])).unwrap();
    let error = ask(&backend, rows(&[(1.0, "close")])).await.unwrap_err();
    assert!(matches!(error, BackendError::Lost(_)), "{error}");
    assert_eq!(ask(&backend, rows(&[(1.0, "ok")])).await.unwrap(), y(&[3.0]));
    assert_eq!(backend.status().restarts, 0);
    backend.drain().await;
}

#[tokio::test]
async fn specifications_that_cannot_work_are_refused() {
    let refused = |change: fn(&mut ProcessSpec)| {
        let mut spec = v2(&[]);
        change(&mut spec);
        Backend::process(spec).unwrap_err().to_string()
    };
    assert!(refused(|spec| spec.command.clear()).contains("the command is empty"));
    assert!(
        refused(|spec| spec.hang_after = Duration::from_secs(1)).contains("must be longer than probe_every")
    );
    assert!(refused(|spec| spec.command.push("{socket}".into())).contains("asks for {socket}"));
    assert!(refused(|spec| spec.limits.calls = 0).contains("limits.calls is 0"));
    assert!(refused(|spec| spec.warm_up = Some(numbers(&[1.0]))).contains(r#"feature "mode" is missing"#));
    assert!(refused(|spec| spec.signature.inputs.clear()).contains("no features"));
    assert!(refused(|spec| spec.probe = Some("ready".into())).contains("begins with /"));
}

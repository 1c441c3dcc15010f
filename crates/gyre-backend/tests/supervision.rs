//! What becomes of processes that start slowly, crash, hang, eat memory, or are left alone.
#![allow(clippy::unwrap_used)]

mod support;

use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gyre_backend::{
    Backend, BackendError, Backoff, Failure, Instant, Listen, LogHook, Patience, ProcessSpec, State,
};
use support::*;

#[tokio::test]
async fn requests_wait_for_a_slow_start_within_their_deadlines() {
    let backend = Backend::process(v2(&["--slow-start", "0.5"])).unwrap();
    assert_eq!(backend.state(), State::Starting);
    let impatient = backend.predict(rows(&[(1.0, "ok")]), Instant::now() + Duration::from_millis(100));
    let (impatient, patient) =
        tokio::join!(impatient, async { backend.predict(rows(&[(2.0, "ok")]), soon()).await });
    assert!(matches!(impatient, Err(BackendError::Deadline { .. })), "{impatient:?}");
    assert_eq!(patient.unwrap(), y(&[5.0]));
    backend.drain().await;
    assert_eq!(backend.state(), State::Stopped);
    let stopped = backend.predict(rows(&[(1.0, "ok")]), soon()).await;
    assert!(matches!(stopped, Err(BackendError::Stopped)));
}

#[tokio::test]
async fn a_process_that_is_never_ready_says_so() {
    let spec = ProcessSpec { start_within: Duration::from_millis(700), ..v2(&["--never-ready"]) };
    let backend = Backend::process(spec).unwrap();
    let state = until(&backend, |state| matches!(state, State::Restarting { .. })).await;
    let State::Restarting { reason, failures: 1, .. } = state else { panic!("{state:?}") };
    let reason = reason.to_string();
    assert!(reason.starts_with("the process was not ready within 0.7 s: GET /v2/models/m/ready"), "{reason}");
    backend.drain().await;
}

#[tokio::test]
async fn a_process_that_does_not_fit_its_signature_never_counts_as_ready() {
    let unfit = async |spec: ProcessSpec| {
        let backend = Backend::process(spec).unwrap();
        let state = until(&backend, |state| matches!(state, State::Restarting { .. })).await;
        backend.drain().await;
        let State::Restarting { reason: Failure::Unfit(problem), .. } = state else { panic!("{state:?}") };
        problem
    };
    let mut other = v2(&[]);
    other.signature.inputs[0].name = "z".into();
    assert!(
        unfit(other)
            .await
            .contains(r#"the model takes the inputs ["x", "mode"], the signature has ["z", "mode"]"#)
    );
    let mut classes = v2(&[]);
    classes.signature.classes = ["a", "b", "c"].map(String::from).to_vec();
    assert!(unfit(classes).await.contains("the first prediction: "));
    let refusing = ProcessSpec { warm_up: Some(rows(&[(1.0, "fail")])), ..v2(&[]) };
    assert!(unfit(refusing).await.ends_with("the model's server answered 400: bad row"));
}

#[tokio::test]
async fn a_crash_loop_is_seen_and_requests_are_refused_at_once() {
    let mut spec = v2(&["--crash"]);
    spec.backoff =
        Backoff { first: Duration::from_millis(10), longest: PATIENCE * 9, crash_loop: 3, ..spec.backoff };
    let backend = Backend::process(spec).unwrap();
    let state = until(&backend, |state| matches!(state, State::CrashLoop { .. })).await;
    let State::CrashLoop { reason, failures, .. } = &state else { panic!("{state:?}") };
    assert!(*failures >= 3);
    assert_eq!(
        reason.to_string(),
        "the process ended with exit code 1; its last line was: cannot find the model file"
    );
    let refused = match backend.predict(rows(&[(1.0, "ok")]), soon()).await {
        Err(BackendError::Unavailable { reason, retry_after: Some(_) }) => reason,
        other => panic!("{other:?}"),
    };
    assert!(refused.contains("cannot find the model file"));
    backend.drain().await;
}

#[tokio::test]
async fn a_program_that_does_not_exist_is_named() {
    let mut spec = v2(&[]);
    spec.command = vec!["no-such-program".into()];
    let backend = Backend::process(spec).unwrap();
    let state = until(&backend, |state| matches!(state, State::Restarting { .. })).await;
    let State::Restarting { reason: Failure::Spawn { program, .. }, .. } = state else { panic!("{state:?}") };
    assert_eq!(program, "no-such-program");
    backend.drain().await;
}

#[tokio::test]
async fn a_killed_process_is_back_and_requests_do_not_notice() {
    let mut spec = v2(&[]);
    spec.backoff.first = Duration::from_millis(100);
    let backend = Arc::new(Backend::process(spec).unwrap());
    backend.ready(soon()).await.unwrap();
    let under_way = tokio::spawn({
        let backend = Arc::clone(&backend);
        async move { backend.predict(rows(&[(1.0, "slow")]), soon()).await }
    });
    while backend.status().calls == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let pid = backend.status().pid.unwrap().to_string();
    assert!(Command::new("kill").args(["-KILL", &pid]).status().unwrap().success());
    assert_eq!(under_way.await.unwrap().unwrap(), y(&[3.0]));
    let status = backend.status();
    assert_eq!((status.restarts, status.state), (1, State::Ready));
    assert!(matches!(status.last_failure, Some(Failure::Signalled { signal: 9, .. })));
    backend.drain().await;
}

#[tokio::test]
async fn a_row_that_kills_its_model_fails_and_the_next_are_answered() {
    let backend = Backend::process(v2(&[])).unwrap();
    let killer = backend.predict(rows(&[(1.0, "crash")]), soon()).await.unwrap_err();
    assert!(matches!(killer, BackendError::Lost(_)), "{killer}");
    assert_eq!(backend.predict(rows(&[(1.0, "ok")]), soon()).await.unwrap(), y(&[3.0]));
    let status = backend.status();
    // The row was tried once more.
    assert_eq!(status.restarts, 2);
    let reason = status.last_failure.unwrap().to_string();
    assert_eq!(reason, "the process ended with exit code 3; its last line was: this row is too much");
    backend.drain().await;
}

#[tokio::test]
async fn a_hanging_process_is_found_out_by_its_silence() {
    let mut spec = v2(&[]);
    (spec.probe_every, spec.hang_after) = (Duration::from_millis(100), Duration::from_millis(400));
    let backend = Backend::process(spec).unwrap();
    let late = backend.predict(rows(&[(1.0, "hang")]), Instant::now() + Duration::from_millis(50)).await;
    assert!(matches!(late, Err(BackendError::Deadline { .. })) || backend.status().restarts > 0, "{late:?}");
    backend.ready(soon()).await.unwrap();
    // The first call may have waited for the start; this one hangs for certain.
    let _ = backend.predict(rows(&[(1.0, "hang")]), Instant::now() + Duration::from_millis(50)).await;
    let before = Instant::now();
    while backend.status().restarts == 0 {
        assert!(before.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(
        matches!(backend.status().last_failure, Some(Failure::Hung { silent }) if silent >= Duration::from_millis(400))
    );
    assert_eq!(backend.predict(rows(&[(1.0, "ok")]), soon()).await.unwrap(), y(&[3.0]));
    backend.drain().await;
}

#[tokio::test]
async fn an_idle_process_that_answers_probes_is_left_alone() {
    let mut spec = v2(&["--probes"]);
    (spec.probe_every, spec.hang_after) = (Duration::from_millis(20), Duration::from_secs(1));
    let backend = Backend::process(spec).unwrap();
    backend.ready(soon()).await.unwrap();
    let (pid, began, deadline) = (backend.status().pid, Instant::now(), soon());
    let probes = || backend.log().iter().filter(|line| *line == "probe").count();
    while probes() < 30 || began.elapsed() < Duration::from_millis(1_200) {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!((backend.status().pid, backend.state()), (pid, State::Ready));
    backend.drain().await;
}

#[tokio::test]
async fn a_process_that_eats_memory_is_started_again() {
    let backend = Backend::process(ProcessSpec { memory: Some(200 << 20), ..v2(&[]) }).unwrap();
    // It is ended before its answer or after it, as it happens.
    match backend.predict(rows(&[(1.0, "leak")]), soon()).await {
        Ok(scores) => assert_eq!(scores, y(&[3.0])),
        Err(error) => assert!(matches!(error, BackendError::Lost(_)), "{error}"),
    }
    let deadline = soon();
    while backend.status().restarts == 0 {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let reason = backend.status().last_failure.unwrap().to_string();
    assert!(reason.ends_with("MiB of memory, the limit is 200 MiB"), "{reason}");
    assert_eq!(backend.predict(rows(&[(1.0, "ok")]), soon()).await.unwrap(), y(&[3.0]));
    assert!(backend.status().memory.is_some_and(|held| held > 1 << 20 && held < 200 << 20));
    backend.drain().await;
}

#[tokio::test]
async fn nobody_else_is_taken_for_the_model_on_a_taken_port() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port();
    let backend = Backend::process(ProcessSpec { listen: Listen::Port(port), ..v2(&[]) }).unwrap();
    let state = until(&backend, |state| matches!(state, State::Restarting { .. })).await;
    assert!(
        matches!(state, State::Restarting { reason: Failure::PortTaken { port: taken }, .. } if taken == port)
    );
    drop(other);
    assert_eq!(backend.predict(rows(&[(1.0, "ok")]), soon()).await.unwrap(), y(&[3.0]));
    backend.drain().await;
}

#[tokio::test]
async fn nobody_pays_for_an_idle_model_and_the_next_request_wakes_it() {
    let spec = ProcessSpec { idle: Some(Duration::from_millis(300)), ..v2(&["--children"]) };
    let backend = Backend::process(spec).unwrap();
    for _ in 0..2 {
        assert_eq!(backend.predict(rows(&[(1.0, "ok")]), soon()).await.unwrap(), y(&[3.0]));
        let pid = backend.status().pid.unwrap().to_string();
        until(&backend, |state| *state == State::Idle).await;
        wait_gone(&pid);
    }
    let status = backend.status();
    assert_eq!((status.restarts, status.last_failure), (0, None));
    backend.drain().await;
}

#[tokio::test]
async fn draining_lets_requests_end_and_leaves_nobody() {
    let mut spec = v2(&["--stubborn", "--children"]);
    spec.grace = Duration::from_millis(100);
    let backend = Arc::new(Backend::process(spec).unwrap());
    backend.ready(soon()).await.unwrap();
    let child = line(&backend, "child ").await;
    let pid = backend.status().pid.unwrap().to_string();
    let under_way = tokio::spawn({
        let backend = Arc::clone(&backend);
        async move { backend.predict(rows(&[(1.0, "slow")]), soon()).await }
    });
    while backend.status().calls == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let (refused, ()) = tokio::join!(
        async {
            until(&backend, |state| *state == State::Draining).await;
            backend.predict(rows(&[(1.0, "ok")]), soon()).await
        },
        backend.drain()
    );
    assert!(matches!(refused, Err(BackendError::Stopped)));
    assert_eq!(under_way.await.unwrap().unwrap(), y(&[3.0]));
    wait_gone(&pid);
    wait_gone(&child);
}

#[tokio::test]
async fn a_dropped_backend_stops_its_process() {
    let backend = Backend::process(v2(&[])).unwrap();
    backend.ready(soon()).await.unwrap();
    let pid = backend.status().pid.unwrap().to_string();
    drop(backend);
    let deadline = soon();
    while !is_gone(&pid) {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_process_sees_of_our_environment_what_it_is_given() {
    let mut spec = v2(&[]);
    spec.env.push(("MODEL_AT".into(), "http://localhost:{port}/".into()));
    spec.pass_env = vec!["CARGO_PKG_NAME".into()];
    let told = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&told);
    spec.log_hook = Some(LogHook(Arc::new(move |line: &str| sink.lock().unwrap().push(line.to_owned()))));
    let backend = Backend::process(spec).unwrap();
    let request = http::Request::get("/environment").body(http_body_util::Empty::new()).unwrap();
    let patience = Patience { first: soon(), idle: Duration::from_secs(30), whole: Duration::from_secs(60) };
    let body = backend.forward(request, patience).await.unwrap().into_body();
    let bytes = http_body_util::BodyExt::collect(body).await.unwrap().to_bytes();
    let environment: std::collections::BTreeMap<String, String> = serde_json::from_slice(&bytes).unwrap();
    let port = &environment["PORT"];
    assert_eq!(
        (&environment["GYRE_PORT"], &environment["MODEL_AT"]),
        (port, &format!("http://localhost:{port}/"))
    );
    assert_eq!(environment["CARGO_PKG_NAME"], "gyre-backend");
    assert!(std::env::var("CARGO_MANIFEST_DIR").is_ok() && !environment.contains_key("CARGO_MANIFEST_DIR"));
    assert!(environment.contains_key("PATH"));
    assert_eq!(*told.lock().unwrap(), ["listening"]);
    backend.drain().await;
}

#[tokio::test]
async fn several_versions_live_side_by_side() {
    let versions: Vec<Backend> = (0..3).map(|_| Backend::process(v2(&[])).unwrap()).collect();
    for version in &versions {
        assert_eq!(version.predict(rows(&[(1.0, "ok")]), soon()).await.unwrap(), y(&[3.0]));
    }
    let pids: std::collections::BTreeSet<_> =
        versions.iter().filter_map(|version| version.status().pid).collect();
    assert_eq!(pids.len(), 3);
    let crash = versions[0].predict(rows(&[(1.0, "crash")]), soon()).await;
    assert!(crash.is_err());
    for version in &versions[1..] {
        assert_eq!((version.state(), version.status().restarts), (State::Ready, 0));
    }
    for version in &versions {
        version.drain().await;
    }
}

/// What the next test starts as a process of its own: a backend that is never stopped.
#[tokio::test]
async fn as_a_process_of_its_own() {
    if std::env::var_os("GYRE_BACKEND_TEST_PARENT").is_none() {
        return;
    }
    let backend = Backend::process(v2(&["--stubborn", "--children"])).unwrap();
    backend.ready(soon()).await.unwrap();
    let child = line(&backend, "child ").await;
    println!("\nfamily {} {child}", backend.status().pid.unwrap());
    std::future::pending::<()>().await;
}

#[test]
fn no_orphan_survives_us_when_we_are_killed() {
    use std::io::{BufRead, BufReader};
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "as_a_process_of_its_own", "--nocapture"])
        .env("GYRE_BACKEND_TEST_PARENT", "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(parent.stdout.take().unwrap()).lines().map_while(Result::ok);
    let family = lines.filter_map(|line| line.strip_prefix("family ").map(str::to_owned)).next().unwrap();
    let pids: Vec<&str> = family.split(' ').collect();
    assert!(pids.len() == 2 && pids.iter().all(|pid| !is_gone(pid)));
    parent.kill().unwrap();
    parent.wait().unwrap();
    pids.into_iter().for_each(wait_gone);
}

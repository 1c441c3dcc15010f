//! Requests that are passed on as they are.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use bytes::Bytes;
use gyre_backend::{Backend, BackendError, Patience, ProcessSpec, Protocol};
use http::Request;
use http_body_util::{BodyExt, Empty, Full};
use support::*;

fn node() -> Backend {
    let mut spec = ProcessSpec::new(["node", "node.js"], Protocol::v2("n"), signature(false, &[]));
    spec.dir = servers();
    spec.limits.calls = 2;
    Backend::process(spec).unwrap()
}

fn patient() -> Patience {
    Patience { first: soon(), idle: Duration::from_secs(30), whole: Duration::from_secs(60) }
}

#[tokio::test]
async fn method_body_status_and_headers_arrive_but_no_credentials() {
    let backend = node();
    let request = Request::put("http://gyre.example/echo")
        .header("authorization", "Bearer ours")
        .header("cookie", "session=ours")
        .header("connection", "x-hop")
        .header("x-hop", "1")
        .header("x-caller", "me")
        .body(Full::new(Bytes::from_static(b"hello")))
        .unwrap();
    let answer = backend.forward(request, patient()).await.unwrap();
    assert_eq!(
        (answer.status(), &answer.headers()["content-type"]),
        (http::StatusCode::IM_A_TEAPOT, &"application/json".parse().unwrap())
    );
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    let seen: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(seen, serde_json::json!({"method": "PUT", "caller": "me", "body": "hello"}));
    backend.drain().await;
}

#[tokio::test]
async fn pieces_come_as_they_are_sent_and_silence_ends_them() {
    let backend = node();
    let get = |path: &str| Request::get(path).body(Empty::<Bytes>::new()).unwrap();
    let mut body = backend.forward(get("/pieces"), patient()).await.unwrap().into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "one");
    assert_eq!(backend.status().calls, 1);
    backend.forward(get("/next"), patient()).await.unwrap().into_body().collect().await.unwrap();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "two");
    assert!(body.frame().await.is_none());
    assert_eq!(backend.status().calls, 0);

    for (idle, whole, told) in [(300, 60_000, "fell silent"), (30_000, 300, "for too long")] {
        let patience =
            Patience { idle: Duration::from_millis(idle), whole: Duration::from_millis(whole), ..patient() };
        let mut body = backend.forward(get("/pieces"), patience).await.unwrap().into_body();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "one");
        let error = body.frame().await.unwrap().unwrap_err();
        assert!(matches!(error, BackendError::Deadline { .. }), "{error}");
        assert!(error.to_string().contains(told), "{error}");
        assert!(body.frame().await.is_none());
        assert_eq!(backend.status().calls, 0);
    }
    backend.drain().await;
}

#[tokio::test]
async fn who_goes_away_breaks_the_answer_off_at_the_server_too() {
    let backend = node();
    let get = |path: &str| Request::get(path).body(Empty::<Bytes>::new()).unwrap();
    let mut body = backend.forward(get("/pieces"), patient()).await.unwrap().into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "one");
    drop(body);
    assert_eq!(backend.status().calls, 0);
    // It answers when the connection of the pieces has been closed.
    let gone = backend.forward(get("/gone"), patient()).await.unwrap();
    assert_eq!(gone.status(), http::StatusCode::OK);
    backend.drain().await;
}

//! Models at URLs: what may be reached, and how certificates are checked.
#![allow(clippy::unwrap_used)]

mod support;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use gyre_backend::{Backend, BackendError, Door, EndpointSpec, Protocol, State};
use http::{HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use support::*;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Opens to this machine.
fn open() -> Door {
    Door::new(
        |_, address| if address.is_loopback() { Ok(()) } else { Err(format!("{address} is elsewhere")) },
    )
}

/// Opens to nobody.
fn shut() -> Door {
    Door::new(|uri, address| {
        Err(format!("{} is {address}, which is not listed", uri.host().unwrap_or_default()))
    })
}

/// Scores `y = 2 x` as MLflow does, and keeps the paths and tokens that it saw.
type Seen = Arc<Mutex<Vec<(String, Option<String>)>>>;

async fn answer(request: Request<Incoming>, seen: Seen) -> Result<Response<Full<Bytes>>, Infallible> {
    let token = request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned());
    seen.lock().unwrap().push((request.uri().path().to_owned(), token));
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let rows = body["dataframe_split"]["data"].as_array().unwrap();
    let y: Vec<f64> = rows.iter().map(|row| 2.0 * row[0].as_f64().unwrap()).collect();
    Ok(Response::new(Full::new(serde_json::json!({"predictions": y}).to_string().into())))
}

async fn serve(tls: Option<TlsAcceptor>) -> (SocketAddr, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Seen::default();
    let kept = Arc::clone(&seen);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (tls, seen) = (tls.clone(), Arc::clone(&seen));
            tokio::spawn(async move {
                let service = service_fn(move |request| answer(request, Arc::clone(&seen)));
                let http = hyper::server::conn::http1::Builder::new();
                // Clients that do not trust us break off.
                match tls {
                    None => drop(http.serve_connection(TokioIo::new(stream), service).await),
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(stream).await {
                            drop(http.serve_connection(TokioIo::new(stream), service).await);
                        }
                    }
                }
            });
        }
    });
    (address, kept)
}

fn spec(url: String) -> EndpointSpec {
    EndpointSpec::new(url, Protocol::Mlflow, signature(false, &[]))
}

#[tokio::test]
async fn a_listed_host_is_asked_under_its_path_with_its_token() {
    let (address, seen) = serve(None).await;
    let mut spec = spec(format!("http://{address}/models/m/"));
    spec.headers =
        vec![(HeaderName::from_static("authorization"), HeaderValue::from_static("Bearer theirs"))];
    assert!(!format!("{spec:?}").contains("theirs"));
    let backend = Backend::endpoint(spec, open()).unwrap();
    assert_eq!(backend.state(), State::Idle);
    assert_eq!(backend.predict(numbers(&[1.5]), soon()).await.unwrap(), y(&[3.0]));
    assert_eq!(backend.state(), State::Ready);
    assert_eq!(
        *seen.lock().unwrap(),
        [("/models/m/invocations".to_owned(), Some("Bearer theirs".to_owned()))]
    );
    backend.drain().await;
    assert_eq!(backend.state(), State::Stopped);
    assert!(matches!(backend.predict(numbers(&[1.5]), soon()).await, Err(BackendError::Stopped)));
}

#[tokio::test]
async fn what_is_not_listed_is_not_reached() {
    let (address, seen) = serve(None).await;
    let refused = |url: &str| Backend::endpoint(spec(url.to_owned()), open()).unwrap_err().to_string();
    let error = Backend::endpoint(spec(format!("http://{address}")), shut()).unwrap_err();
    assert!(
        matches!(&error, BackendError::Forbidden(why) if why == "127.0.0.1 is 127.0.0.1, which is not listed")
    );
    assert!(refused("http://10.1.2.3/").contains("10.1.2.3 is elsewhere"));
    assert!(refused("ftp://127.0.0.1").contains("must begin with https://"));
    assert!(refused("https://u:p@models.example").contains("must not hold a user"));
    assert!(refused("http://127.0.0.1/?a=b").contains("has a query"));
    // A name is judged when it is resolved: this one leads inside.
    for scheme in ["http", "https"] {
        let url = format!("{scheme}://localhost:{}", address.port());
        let mut spec = spec(url);
        spec.roots = vec![rcgen::generate_simple_self_signed(["other".into()]).unwrap().cert.der().to_vec()];
        let backend = Backend::endpoint(spec, shut()).unwrap();
        let error = backend.predict(numbers(&[1.0]), soon()).await.unwrap_err();
        assert!(
            matches!(&error, BackendError::Forbidden(why) if why.starts_with("localhost is ")),
            "{error}"
        );
    }
    assert!(seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn certificates_are_checked() {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".into()]).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let (address, seen) = serve(Some(TlsAcceptor::from(Arc::new(config)))).await;
    let url = format!("https://localhost:{}", address.port());

    let mut trusting = spec(url.clone());
    trusting.roots = vec![cert.der().to_vec()];
    let trusting = Backend::endpoint(trusting, open()).unwrap();
    for _ in 0..2 {
        assert_eq!(trusting.predict(numbers(&[1.5]), soon()).await.unwrap(), y(&[3.0]));
    }
    let known = seen.lock().unwrap().len();

    let mut wary = spec(url);
    // Some other authority, so that the test does not depend on the machine's.
    wary.roots = vec![rcgen::generate_simple_self_signed(["other".into()]).unwrap().cert.der().to_vec()];
    let wary = Backend::endpoint(wary, open()).unwrap();
    let error = wary.predict(numbers(&[1.5]), soon()).await.unwrap_err();
    assert!(
        matches!(&error, BackendError::Unavailable { reason, .. } if reason.contains("certificate")),
        "{error}"
    );
    assert!(matches!(wary.state(), State::Unreachable { .. }));
    assert_eq!(seen.lock().unwrap().len(), known);
}

#[tokio::test]
async fn a_server_that_comes_back_is_asked_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut spec = EndpointSpec::new(format!("http://{address}"), Protocol::v2("n"), signature(false, &[]));
    spec.limits.calls = 2;
    let backend = Backend::endpoint(spec, open()).unwrap();
    for _ in 0..2 {
        let error = backend.predict(numbers(&[1.0]), soon()).await.unwrap_err();
        assert!(matches!(error, BackendError::Unavailable { .. }), "{error}");
        assert!(matches!(backend.state(), State::Unreachable { .. }));
    }
    let mut node = tokio::process::Command::new("node")
        .arg(servers().join("node.js"))
        .env("PORT", address.port().to_string())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let deadline = soon();
    let scores = loop {
        match backend.predict(numbers(&[1.0]), soon()).await {
            Ok(scores) => break scores,
            Err(error) => assert!(gyre_backend::Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    };
    assert_eq!((scores, backend.state()), (y(&[3.0]), State::Ready));
    node.kill().await.unwrap();
}
